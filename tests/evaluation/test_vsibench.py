"""VSI-Bench: the floors on all its questions, and that the scorer bites and cannot leak."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.evaluation.vsibench import TASKS, Item, Result, evaluate, read_questions

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "vsi"
SCENES, QUESTIONS = DATA / "scenes.json", DATA / "qa.jsonl"
NUMERIC = ("object_counting", "object_abs_distance", "object_size_estimation",
           "room_size_estimation")  # fmt: skip
NEEDS_VIDEO = "cannot be told from boxes: needs the video"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")
EYE = (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in QUESTIONS.read_text().splitlines()]


@pytest.fixture(scope="module")
def result():
    return evaluate(SCENES, QUESTIONS)


@pytest.fixture(scope="module")
def by_task(result):
    groups = defaultdict(list)
    for item in result.items:
        groups[item.task].append(item)
    return groups


@needs_data
class TestFloors:
    @pytest.mark.parametrize(
        ("task", "items", "floor"),
        [
            ("object_counting", 163, 0.99),
            ("object_size_estimation", 301, 0.99),
            ("room_size_estimation", 88, 0.99),
            ("object_rel_distance", 232, 1.0),
            ("object_rel_direction_easy", 57, 1.0),
            ("object_rel_direction_medium", 105, 1.0),
        ],
    )
    def test_over_all_items(self, result, task, items, floor):
        row = result.tasks()[task]
        assert row["n"] == items
        assert row["score"] >= floor

    @pytest.mark.parametrize(
        ("task", "items", "covered", "floor"),
        [("object_abs_distance", 246, 240, 0.965), ("object_rel_direction_hard", 102, 97, 1.0)],
    )
    def test_where_the_boxes_tell(self, result, task, items, covered, floor):
        row = result.tasks()[task]
        assert (row["n"], row["covered"]) == (items, covered)
        assert row["covered_score"] >= floor

    def test_every_question_is_there_once_and_in_order(self, result, rows):
        assert len(rows) == 1583
        assert [item.id for item in result.items] == [str(row["id"]) for row in rows]
        assert [item.task for item in result.items] == [row["question_type"] for row in rows]

    def test_every_question_is_understood(self, result):
        assert not [item for item in result.items if item.status is Status.NOT_UNDERSTOOD]

    def test_the_order_of_appearance_needs_the_video(self, by_task):
        items = by_task["obj_appearance_order"]
        assert len(items) == 240
        assert {item.status for item in items} == {Status.NEEDS_VIDEO}
        assert all(NEEDS_VIDEO in item.reason for item in items)
        assert {(item.answer, item.covered) for item in items} == {(None, False)}

    def test_a_route_needs_the_video_or_is_walked(self, by_task):
        items = by_task["route_planning"]
        assert len(items) == 49
        for item in items:
            if item.status is Status.ANSWERED:
                assert item.answer is not None
            else:
                assert item.status is Status.NEEDS_VIDEO
                assert NEEDS_VIDEO in item.reason

    def test_the_mean_takes_direction_as_one_task(self, result):
        scores = {task: row["score"] for task, row in result.tasks().items()}
        levels = [
            scores.pop(f"object_rel_direction_{level}") for level in ("easy", "medium", "hard")
        ]
        assert result.mean() == pytest.approx((sum(scores.values()) + sum(levels) / 3) / 8)
        assert result.mean() >= 0.74


@needs_data
class TestOfficialAnswers:
    @pytest.fixture(scope="class")
    @classmethod
    def altered(cls, rows, tmp_path_factory):
        """Every third question, its official answer replaced by another valid one."""
        path = tmp_path_factory.mktemp("vsi") / "qa.jsonl"
        lines = []
        for row in rows[::3]:
            if row["question_type"] in NUMERIC:
                other = str(float(row["answer"]) * 3 + 1)
            else:
                letters = "ABCDEFGH"[: len(row["options"])]
                other = letters[(letters.index(row["answer"]) + 1) % len(letters)]
            lines.append(json.dumps({**row, "answer": other}) + "\n")
        path.write_text("".join(lines))
        return evaluate(SCENES, path)

    def test_they_are_out_of_the_solver_s_reach(self, result, altered):
        told = [(item.id, item.answer, item.status, item.covered) for item in result.items]
        assert [(i.id, i.answer, i.status, i.covered) for i in altered.items] == told[::3]

    def test_the_scores_are_others(self, altered):
        assert set(altered.tasks()) == set(TASKS)
        for task, row in altered.tasks().items():
            assert row["score"] < 0.05, task


BOX = {"axesLengths": [1, 1, 2], "normalizedAxes": EYE}
GOOD = {
    "id": 1, "scene": "one", "question_type": "object_counting",
    "question": "How many cup(s) are in this room?", "options": None, "answer": "2",
}  # fmt: skip
ORDER = {
    "scene": "one", "question_type": "obj_appearance_order",
    "question": "What will be the first-time appearance order of the following categories in the "
    "video: cup, tv, sofa?",
    "options": ["A. tv, sofa, cup", "B. sofa, tv, cup", "C. cup, tv, sofa", "D. cup, sofa, tv"],
}  # fmt: skip


def write(folder, lines, **changes):
    """A scene of two cups, a tv and a sofa in a row, and its questions."""
    places = {"cup": (0, 2), "tv": (5,), "sofa": (9,)}
    boxes = {label: [{**BOX, "centroid": [x, 0, 0]} for x in xs] for label, xs in places.items()}
    scene = {
        "room_size": 12.0, "object_bbox": boxes,
        "object_counts": {label: len(xs) for label, xs in places.items()}, **changes,
    }  # fmt: skip
    (folder / "scenes.json").write_text(json.dumps({"one": scene}))
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "qa.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder / "scenes.json", folder / "qa.jsonl"


class TestScoring:
    @pytest.mark.parametrize(
        ("answer", "score"), [("2", 1.0), ("3", 0.4), ("4", 0.1), ("5", 0.0), ("200", 0.0)]
    )
    def test_a_wrong_number_lowers_the_score(self, tmp_path, answer, score):
        (item,) = evaluate(*write(tmp_path, [{**GOOD, "answer": answer}])).items
        assert (item.answer, item.score) == (2.0, pytest.approx(score))
        assert item.reason == ("" if score == 1 else f"answered 2, official {answer}")

    @pytest.mark.parametrize(("answer", "score"), [("B", 1.0), ("b", 1.0), ("A", 0.0)])
    def test_a_wrong_letter_lowers_the_score(self, tmp_path, answer, score):
        question = "Which of these objects (cup, tv) is the closest to the sofa?"
        row = {**GOOD, "question_type": "object_rel_distance", "question": question}
        row |= {"options": ["A. cup", "B. tv"], "answer": answer}
        (item,) = evaluate(*write(tmp_path, [row])).items
        assert (item.answer, item.score) == ("B", score)

    def test_no_answer_scores_nothing_and_says_why(self, tmp_path):
        row = {**GOOD, "question": "How many zebra(s) are in this room?"}
        (item,) = evaluate(*write(tmp_path, [row])).items
        assert (item.answer, item.score, item.covered) == (None, 0.0, False)
        assert "zebra" in item.reason

    def test_the_order_is_told_where_the_scene_knows_first_sights(self, tmp_path):
        seen = {"tv": 1.5, "sofa": 4.0, "cup": 9.0}
        lines = [{**ORDER, "id": i, "answer": letter} for i, letter in enumerate("AB")]
        right, wrong = evaluate(*write(tmp_path, lines, first_seen=seen)).items
        assert (right.answer, right.score, right.status) == ("A", 1.0, Status.ANSWERED)
        assert (wrong.answer, wrong.score, wrong.covered) == ("A", 0.0, True)
        other = {"tv": 1.5, "sofa": 0.5, "cup": 9.0}
        right, wrong = evaluate(*write(tmp_path, lines, first_seen=other)).items
        assert [right.answer, wrong.answer] == ["B", "B"]

    def test_the_order_is_not_told_where_one_first_sight_is_missing(self, tmp_path):
        files = write(tmp_path, [{**ORDER, "answer": "A"}], first_seen={"tv": 1.5, "cup": 9.0})
        (item,) = evaluate(*files).items
        assert (item.status, item.answer, item.covered) == (Status.NEEDS_VIDEO, None, False)

    def test_the_table_is_computed_from_the_items(self):
        item = {"status": Status.ANSWERED, "answer": None}
        items = [
            Item(id="1", task="object_counting", score=1.0, covered=True, **item),
            Item(id="2", task="object_counting", score=0.5, covered=False, **item),
            Item(id="3", task="object_rel_direction_easy", score=1.0, covered=True, **item),
            Item(id="x", task="object_rel_direction_hard", score=0.0, covered=False, **item),
        ]
        table = Result(items=tuple(items))
        assert table.tasks() == {
            "object_counting": {"n": 2, "score": 0.75, "covered": 1, "covered_score": 1.0},
            "object_rel_direction_easy": {
                "n": 1, "score": 1.0, "covered": 1, "covered_score": 1.0},
            "object_rel_direction_hard": {
                "n": 1, "score": 0.0, "covered": 0, "covered_score": None},
        }  # fmt: skip
        assert table.mean() == pytest.approx((0.75 + 0.5) / 2)
        assert [row["id"] for row in table.record()["items"]] == [1, 2, 3, "x"]


BAD_LINES = {
    "not JSON": '{"id": 1,',
    "expected an object, got list": "[]",
    "'scene' is missing or no text": {**GOOD, "scene": None},
    "'question' is missing or no text": {**GOOD, "question": ["how"]},
    "'answer' is missing or no text": {k: v for k, v in GOOD.items() if k != "answer"},
    "'id' is missing or no text": {**GOOD, "id": {}},
    "'question_type' is missing or no text": {**GOOD, "question_type": True},
    "unknown question type 'object_countin'": {**GOOD, "question_type": "object_countin"},
    "Did you mean 'object_counting'": {**GOOD, "question_type": "object_conting"},
    "'options' must be a list of texts": {**GOOD, "options": "A. B."},
    "'options' must be a list of texts ": {**GOOD, "options": [1, 2]},
    "the answer 'two' is no number above 0": {**GOOD, "answer": "two"},
    "the answer '0' is no number above 0": {**GOOD, "answer": "0"},
    "the answer '-1' is no number above 0": {**GOOD, "answer": "-1"},
    "the answer 'nan' is no number above 0": {**GOOD, "answer": "nan"},
    "the answer 'inf' is no number above 0": {**GOOD, "answer": float("inf")},
    "needs 'options', at least two": {**ORDER, "options": None, "answer": "A"},
    "the answer 'E' is none of A, B, C, D": {**ORDER, "answer": "E"},
    "the answer 'AB' is none of A, B, C, D": {**ORDER, "answer": "AB"},
    "the answer '' is none of A, B, C, D": {**ORDER, "answer": ""},
    "id '1' is used twice": GOOD,
}


class TestFiles:
    @pytest.mark.parametrize("why", BAD_LINES)
    def test_a_malformed_line_names_file_and_line(self, tmp_path, why):
        _, path = write(tmp_path, [GOOD, "", BAD_LINES[why]])
        with pytest.raises(InputError) as caught:
            read_questions(path)
        message = str(caught.value)
        assert message.startswith("questions 'qa.jsonl', line 3: ")
        assert why.strip() in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("data", "why"),
        [(b"", "there are none in it"), (b"\n\n", "there are none in it"),
         (b'{"a": "\xff"}', "not UTF-8 at byte 7")],
    )  # fmt: skip
    def test_a_file_without_questions_is_named(self, tmp_path, data, why):
        (tmp_path / "qa.jsonl").write_bytes(data)
        with pytest.raises(InputError, match=f"'qa.jsonl': {why}"):
            read_questions(tmp_path / "qa.jsonl")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"'qa.jsonl': cannot be read: No such file"):
            read_questions(tmp_path / "qa.jsonl")

    def test_answers_are_kept_apart_from_the_questions(self, tmp_path):
        (question,), answers = read_questions(write(tmp_path, [GOOD])[1])
        assert answers == {"1": "2"}
        assert not hasattr(question, "answer")
        assert "2" not in (question.text, *question.choices)

    def test_the_benchmark_s_other_names_of_keys_are_read(self, tmp_path):
        other = {"scene_name": "one", "ground_truth": 2}
        row = {k: v for k, v in GOOD.items() if k not in ("scene", "answer", "id")} | other
        (question,), answers = read_questions(write(tmp_path, ["", row])[1])
        assert (question.id, question.scene, answers) == ("2", "one", {"2": "2"})

    def test_a_mark_inside_a_text_parts_no_line(self, tmp_path):
        row = {**GOOD, "question": "How many cup(s)\u2028are in this room?"}
        text = "\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n"
        (item,) = evaluate(*write(tmp_path, [text])).items
        assert item.score == 1

    def test_scenes_that_are_not_there_are_named(self, tmp_path):
        files = write(tmp_path, [GOOD, {**GOOD, "id": 2, "scene": "two"}])
        with pytest.raises(InputError, match="lacks 1 scenes that questions name: two"):
            evaluate(*files)

    @needs_data
    def test_the_ten_types_are_those_of_the_benchmark(self, rows):
        assert set(Counter(row["question_type"] for row in rows)) == set(TASKS)

"""CLEVR: the floors from programs and from English, on its questions and on others of our own."""

import json
import os
from dataclasses import replace

import pytest
from solids import make_questions

from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.evaluation.clevr import ClevrResult, evaluate_clevr, read_clevr
from groundplane.spatial.programs import ProgramError

SCENES_OF_OURS = int(os.environ.get("GROUNDPLANE_CASES", "6"))


@pytest.fixture(scope="module")
def clevr(data_dir):
    return data_dir / "clevr" / "scenes.json", data_dir / "clevr" / "questions.json"


@pytest.fixture(scope="module")
def from_programs(clevr):
    return evaluate_clevr(*clevr, reading="program")


@pytest.fixture(scope="module")
def from_text(clevr):
    return evaluate_clevr(*clevr)


@pytest.fixture
def ours(tmp_path):
    """A file of scenes and a file of questions, written anew; give the questions to change."""
    scenes, questions = make_questions(11, scenes=2, each=3)

    def write(change=lambda rows: rows):
        (tmp_path / "s.json").write_text(json.dumps(scenes))
        rows = change(questions["questions"])
        (tmp_path / "q.json").write_text(json.dumps({"questions": rows}))
        return tmp_path / "s.json", tmp_path / "q.json"

    return write


def changed(rows, at, **details):
    return [{**row, **details} if i == at else row for i, row in enumerate(rows)]


class TestFloors:
    def test_every_answer_and_every_step_of_the_programs(self, from_programs):
        assert len(from_programs.items) == 300
        assert from_programs.score == 1
        assert from_programs.steps == (3283, 3283)

    def test_every_answer_from_the_english_alone(self, from_text):
        assert len(from_text.items) == 300
        assert from_text.score == 1
        assert {item.status for item in from_text.items} == {Status.ANSWERED}

    def test_every_family_is_there(self, from_text):
        assert set(from_text.families()) == {
            "compare_integer", "comparison", "one_hop", "same_relate", "single_and", "single_or",
            "three_hop", "two_hop", "zero_hop",
        }  # fmt: skip

    def test_other_questions_of_our_own_are_read_as_well(self, tmp_path):
        scenes, questions = make_questions(5, scenes=SCENES_OF_OURS, each=20)
        (tmp_path / "s.json").write_text(json.dumps(scenes))
        (tmp_path / "q.json").write_text(json.dumps(questions))
        files = tmp_path / "s.json", tmp_path / "q.json"
        text, program = evaluate_clevr(*files), evaluate_clevr(*files, reading="program")
        assert [item.reason for item in text.items if not item.score] == []
        assert (program.score, program.steps[0]) == (1, program.steps[1])
        assert len(text.families()) == 9


class TestNothingLeaks:
    def test_the_text_alone_is_enough(self, ours):
        def without(rows):
            keep = ("question", "answer", "image_index", "question_index")
            return [{key: row[key] for key in keep} for row in rows]

        assert evaluate_clevr(*ours(without)).score == 1

    def test_relationships_of_the_scene_are_not_read(self, ours):
        scenes, questions = ours()
        document = json.loads(scenes.read_text())
        for scene in document["scenes"]:
            scene["relationships"] = {"left": "nonsense"}
        scenes.write_text(json.dumps(document))
        assert evaluate_clevr(scenes, questions, reading="program").score == 1

    def test_a_wrong_official_answer_changes_no_answer(self, ours):
        right = evaluate_clevr(*ours())
        wrong = evaluate_clevr(*ours(lambda rows: [{**row, "answer": "mauve"} for row in rows]))
        assert [a.answer for a in right.items] == [b.answer for b in wrong.items]
        assert wrong.score == 0
        assert "official mauve" in wrong.items[0].reason


class TestAWrongAnswerIsSeen:
    def test_an_altered_step_is_reported_though_the_answer_is_right(self, ours):
        def alter(rows):
            program = [dict(step) for step in rows[0]["program"]]
            program[0]["_output"] = [0]
            return changed(rows, 0, program=program)

        result = evaluate_clevr(*ours(alter), reading="program")
        assert result.score == 1
        assert result.items[0].wrong[0].startswith("step 0 (scene): [0, 1")
        assert result.steps[0] == result.steps[1] + 1

    def test_a_number_is_no_truth_value(self, ours):
        def alter(rows):
            program = [dict(step) for step in rows[0]["program"]]
            program[-1]["_output"] = "1" if program[-1]["_output"] == 1 else 1
            return changed(rows, 0, program=program)

        assert len(evaluate_clevr(*ours(alter), reading="program").items[0].wrong) == 1

    def test_an_altered_program_gives_another_answer(self, ours):
        def alter(rows):
            steps = [{"type": "scene", "inputs": []}, {"type": "count", "inputs": [0]}]
            return changed(rows, 0, program=steps, answer=99)

        item = evaluate_clevr(*ours(alter), reading="program").items[0]
        assert (item.score, item.steps) == (0, 0)
        assert item.reason.endswith("official 99")

    def test_a_program_that_cannot_run_is_a_miss_with_its_step(self, ours):
        steps = [{"type": "scene", "inputs": []}, {"type": "unique", "inputs": [0]},
                 {"type": "query_size", "inputs": [1]}]  # fmt: skip
        files = ours(lambda rows: changed(rows, 1, program=steps))
        item = evaluate_clevr(*files, reading="program").items[1]
        assert (item.answer, item.score) == (None, 0)
        assert item.reason.startswith("question 1, step 1 (unique): expected one object")

    def test_a_question_that_is_not_understood_is_a_miss(self, ours):
        files = ours(lambda rows: changed(rows, 2, question="Colour the cube how?"))
        item = evaluate_clevr(*files).items[2]
        assert (item.score, item.status) == (0, Status.NOT_UNDERSTOOD)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"question": 3}, "question 1: 'question' is missing or no text"),
        ({"image_index": None}, "question 1: 'image_index' is missing or no number"),
        ({"answer": [1]}, "question 1: 'answer' is missing"),
        ({"template_filename": 4}, "question 1: 'template_filename' must be a text"),
        ({"question_index": 0}, "question_index 0 is used twice"),
        ({"program": 7}, "question 1: expected a program of 1 to 1000 steps, got int"),
        ({"program": [{"type": "scent", "inputs": []}]}, r"question 1, step 0 \(scent\)"),
        (
            {"program": [{"type": "scene", "inputs": [], "_output": {}}]},
            "question 1, step 0: expected '_output' to be",
        ),
        ({"image_index": 77}, r"lacks 1 scenes that questions name: 77 \(question 1 is the first"),
    ],
)
def test_a_malformed_question_is_refused_with_its_place(ours, details, message):
    with pytest.raises(InputError, match=message):
        evaluate_clevr(*ours(lambda rows: changed(rows, 1, **details)), reading="program")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"), (b"\xff", "not UTF-8 at byte 0"), (b"[]", "a list of 'questions'"),
        (b'{"questions": []}', "a list of 'questions'"),
        (b'{"questions": [1]}', "question 0: expected an object, got int"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused(tmp_path, content, message):
    (tmp_path / "q.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_clevr(tmp_path / "q.json", programs=False)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_clevr(tmp_path / "none.json", programs=False)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_reading_is_refused(ours):
    with pytest.raises(InputError, match="'text' or 'program', got 'images'"):
        evaluate_clevr(*ours(), reading="images")


def test_a_program_is_needed_only_where_it_is_read(ours):
    def without(rows):
        return [{key: row[key] for key in row if key != "program"} for row in rows]

    assert evaluate_clevr(*ours(without)).score == 1
    with pytest.raises(InputError, match="there is no 'program'"):
        evaluate_clevr(*ours(without), reading="program")
    assert issubclass(ProgramError, InputError)


def test_answers_of_the_release_are_spelt_as_words(ours):
    def respelt(rows):
        words = {True: "yes", False: "no"}
        return [
            {**row, "answer": words[row["answer"]] if isinstance(row["answer"], bool)
             else str(row["answer"])} for row in rows
        ]  # fmt: skip

    assert evaluate_clevr(*ours(respelt)).score == 1


def test_the_record_counts_what_was_asked(from_programs):
    record = from_programs.record()
    assert (record["benchmark"], record["from"], record["n"]) == ("clevr", "program", 300)
    assert record["score"] == 1
    assert record["steps"] == {"checked": 3283, "right": 3283}
    assert record["items"][0].keys() == {
        "id", "family", "answer", "score", "status", "steps", "wrong_steps", "reason",
    }  # fmt: skip
    assert json.loads(json.dumps(record)) == record


def test_the_score_is_the_share_of_right_answers(from_programs):
    half = ClevrResult(reading="text", items=from_programs.items[:2])
    wrong = ClevrResult(reading="text", items=(half.items[0], replace(half.items[1], score=0)))
    assert (half.score, wrong.score) == (1, 0.5)

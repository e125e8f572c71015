"""StepGame: the floor on its stories, that the scorer bites, and what is printed and written."""

from __future__ import annotations

import json

import pytest

from groundplane.apps.evaluating_stories import run
from groundplane.core.answer import Status
from groundplane.core.errors import InputError, OutputError
from groundplane.evaluation.stepgame import evaluate_stepgame

ROW = {
    "id": "a", "family": "clean", "hops": 2, "story": ["A is left of B.", "C is above B."],
    "question": "What is the relation of the agent A to the agent C?", "label": "lower-left",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def call(*rows):
        path = tmp_path / "stories.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return path

    return call


@pytest.fixture(scope="module")
def result(data_dir):
    return evaluate_stepgame(data_dir / "stepgame" / "stepgame.jsonl")


# Sentences whose label is that of another sentence, with the words they would have needed.
MISWORDED = {
    "X and Y are parallel, and X is to the right of Y.",
    "X and Y are parallel, and X on the right of Y.",
    "X and Y are horizontal and X is to the right of Y.",
    "X and Y are both there with the object X is to the right of object Y.",
    "X is placed at the bottom of Y.",
    "X is there and Y is at the 10 position of a clock face.",
    "X is positioned below Y and to the left.",
    "X is to the right and above Y at an angle of about 45 degrees.",
}


class TestBenchmark:
    def test_plain_english_agrees_with_354_labels_and_more(self, result):
        assert len(result.items) == 400
        assert result.score >= 354 / 400
        assert result.record()["agree"] >= 354

    def test_every_disagreement_rests_on_a_misworded_sentence_or_on_an_unreadable_one(self, result):
        from groundplane.evaluation.stepgame import _pattern

        for item in result.disagreements:
            used = {_pattern(sentence) for sentence in item.sentences}
            assert used & MISWORDED or "cannot lie beside itself" in item.note, item.id

    def test_a_misworded_sentence_is_still_read_as_it_says(self, result):
        by_id = {item.id: item for item in result.items}

        assert by_id["clean-k1-6"].answer == "below"
        assert by_id["clean-k1-6"].label == "above"
        assert "W is 1 down of P" in by_id["clean-k1-6"].derivation[0]

    def test_the_groups_hold_every_story_once(self, result):
        groups = result.hops()

        assert sum(row["n"] for row in groups.values()) == 400
        assert list(groups)[:2] == ["clean 1", "clean 2"]


class TestScorer:
    def test_a_right_label_scores_and_a_wrong_one_is_listed_with_its_derivation(self, write):
        result = evaluate_stepgame(write(ROW, ROW | {"id": "b", "label": "above"}))

        assert [item.score for item in result.items] == [1, 0]
        (miss,) = result.record()["disagreements"]
        assert (miss["id"], miss["answer"], miss["label"]) == ("b", "lower-left", "above")
        assert "in all 1 left, 1 down" in miss["derivation"][-1]

    def test_the_label_is_not_shown_to_the_solver(self, write):
        answers = {
            evaluate_stepgame(write(ROW | {"label": label})).items[0].answer
            for label in ("left", "overlap", "below")
        }

        assert answers == {"lower-left"}

    def test_a_story_without_an_answer_scores_nothing(self, write):
        (item,) = evaluate_stepgame(write(ROW | {"story": "A is left of B. C is here."})).items

        assert (item.answer, item.score, item.status) == (None, 0, Status.AMBIGUOUS)

    def test_sentences_are_counted_by_their_pattern(self, write):
        wrong = ROW | {"id": "b", "label": "above", "story": ["D is left of C.", "A is above D."]}
        result = evaluate_stepgame(write(ROW, wrong))

        counted = {pattern.text: (pattern.used, pattern.missed) for pattern in result.patterns()}
        assert counted == {"X is left of Y.": (2, 1), "X is above Y.": (2, 1)}


class TestFiles:
    def test_the_benchmarks_own_files_are_read(self, tmp_path):
        row = {key: ROW[key] for key in ("story", "question", "label")}
        (tmp_path / "qa2.json").write_text(json.dumps({"0": row, "1": row | {"k_hop": "2"}}))

        result = evaluate_stepgame(tmp_path / "qa2.json")

        assert [(item.id, item.hops, item.score) for item in result.items] == [
            ("0", 0, 1), ("1", 2, 1)
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"story": []}, "'story' must be"), ({"story": 3}, "'story' must be"),
            ({"story": [""]}, "'story' must be"), ({"question": None}, "'question' is missing"),
            ({"label": "north"}, "unknown label 'north'"), ({"hops": "many"}, "whole number"),
            ({"hops": True}, "whole number"),
        ],
    )  # fmt: skip
    def test_a_malformed_line_is_refused_by_number(self, write, change, why):
        with pytest.raises(InputError, match=f"line 2: .*{why}"):
            evaluate_stepgame(write(ROW, ROW | change))

    def test_files_that_hold_no_story_are_refused(self, tmp_path):
        path = tmp_path / "stories.jsonl"
        for content, why in ((b"", "none in it"), (b"[1", "not JSON"), (b"[]", "got list"),
                             (b"\xff", "not UTF-8")):  # fmt: skip
            path.write_bytes(content)
            with pytest.raises(InputError, match=why):
                evaluate_stepgame(path)
        with pytest.raises(InputError, match="cannot be read"):
            evaluate_stepgame(tmp_path / "none.jsonl")


class TestCommand:
    def test_tables_and_misses_are_printed_and_written(self, write, tmp_path, capsys):
        out = tmp_path / "out.json"

        assert run(write(ROW, ROW | {"id": "b", "label": "above"}), out=out, misses=5) == 0

        printed, written = capsys.readouterr().out, json.loads(out.read_text())
        assert (written["n"], written["score"]) == (2, 0.5)
        assert [item["id"] for item in written["items"]] == ["a", "b"]
        assert "clean 2            2   0.5000" in printed
        assert "1 of 2 answers are not the label" in printed
        assert "b: lower-left, label above" in printed

    def test_a_place_that_cannot_be_written_is_told_before_the_work(self, write, tmp_path):
        with pytest.raises(OutputError, match="no such folder"):
            run(write(ROW), out=tmp_path / "none" / "out.json", misses=0)

    def test_no_misses_print_none(self, write, capsys):
        run(write(ROW), out=None, misses=5)

        assert "not the label" not in capsys.readouterr().out

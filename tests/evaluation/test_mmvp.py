"""MMVP: the published files, pairs of which both answers must be right, and malformed files."""

import json

import numpy as np
import pytest
from PIL import Image as Pictures

from groundplane.core.errors import InputError
from groundplane.evaluation import mmvp
from groundplane.evaluation.mmvp import (
    answer_mmvp,
    evaluate_mmvp,
    read_mmvp,
    read_patterns,
    read_responses,
)

HEAD = "Index,Question,Options,Correct Answer"
# The form of the published rows.
TABLE = f"""{HEAD}
1,Are the wings open or closed?,(a) Open (b) Closed,(a)
2,Are the wings open or closed?,(a) Open (b) Closed,(b)
3,"Is the dog, on the left, facing us?",(a) Yes (b) No,(a)
4,"Is the dog, on the left, facing us?",(a) Yes (b) No,(b)
"""


@pytest.fixture
def table(tmp_path):
    def write(text=TABLE, name="Questions.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def questions(table):
    return read_mmvp(table())


def lines(rows):
    return "\n".join(json.dumps(row) for row in rows)


class TestQuestions:
    def test_a_published_table_is_read(self, questions):
        assert [question.index for question in questions] == [1, 2, 3, 4]
        assert [question.truth for question in questions] == ["a", "b", "a", "b"]
        assert questions[2].text == "Is the dog, on the left, facing us?"
        assert questions[0].prompt == "Are the wings open or closed? (a) Open (b) Closed"
        assert questions[3].picture == "4.jpg"

    @pytest.mark.parametrize(
        "text",
        [
            TABLE.encode("utf-8-sig"),
            TABLE.replace("\n", "\r\n"),
            TABLE.replace("Index", "lndex"),
            TABLE.replace(HEAD, " index , QUESTION,options,correct answer "),
            TABLE.replace("\n", ",extra\n"),
            TABLE.replace("(a)\n", " A \n"),
            TABLE + "\n,,,\n\n",
        ],
        ids=["mark", "line ends", "small l", "case", "more columns", "letter alone", "blank lines"],
    )
    def test_harmless_forms_are_read_alike(self, table, questions, text):
        assert read_mmvp(table(text)) == questions

    def test_the_order_of_lines_does_not_matter(self, table, questions):
        head, *rows = TABLE.splitlines()
        assert read_mmvp(table("\n".join([head, *rows[::-1]]))) == questions

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "the file is empty"),
            (HEAD, "there are none in it"),
            (TABLE.replace("Options", "Choices"), "no column for the Options"),
            (TABLE.replace("Question,", "Index,"), "2 columns for the Index"),
            (TABLE.replace("4,", "3,"), r"line 5.Index: expected a number that is not used twice"),
            (TABLE.rsplit("4,", 1)[0], "question 3 has no partner: 4 is not there"),
            (
                TABLE.replace('"', ""),
                "line 4: expected 4 fields.*got 6; a field that holds a comma",
            ),
            (TABLE.replace("(a) Yes (b) No", "yes/no"), r"line 4.Options: expected '\(a\)"),
            (TABLE.replace(",(b)\n", ",(d)\n"), "line 3.Correct Answer: expected one of"),
            (TABLE.replace("\n1,", "\nx,"), "line 2.Index: expected a whole number from 1"),
            (TABLE.replace("\n1,", "\n0,"), "line 2.Index: expected a whole number from 1"),
            (TABLE.replace("\n1,", "\n-1,"), "line 2.Index: expected a whole number from 1"),
            (
                TABLE.replace("Are the wings open or closed?", " ", 1),
                "line 2.Question: expected text",
            ),
            (TABLE.replace('"Is', '"I"s', 1), "line 4: not CSV"),
            (TABLE + '5,"never closed', "not CSV"),
            (b"\xff\xfe" + TABLE.encode(), "not UTF-8 at byte 0"),
            (b"\x80\x04pickle", "is a Python pickle"),
        ],
    )
    def test_a_malformed_table_is_refused_with_its_place(self, table, text, said):
        with pytest.raises(InputError, match=said):
            read_mmvp(table(text))

    def test_a_table_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"questions 'Questions\.csv': cannot be read"):
            read_mmvp(tmp_path / "Questions.csv")


class TestResponses:
    def rows(self, questions, said):
        """Lines as the benchmark's script writes them."""
        return [
            {"question_id": q.index, "prompt": q.prompt, "answer": f"({q.truth})",
             "response": s, "answer_id": "x", "model_id": "m"}
            for q, s in zip(questions, said, strict=True)
        ]  # fmt: skip

    def test_what_was_said_is_read_and_the_truth_beside_it_is_not(self, table, questions):
        rows = self.rows(questions, ["(b)", "(b)", "(b)", ""])
        path = table(lines(rows[::-1]), "answers.jsonl")
        assert read_responses(path, questions) == (("(b)", "(b)", "(b)", ""), 0)

    def test_another_version_of_the_truth_is_counted(self, table, questions):
        rows = self.rows(questions, ["(a)"] * 4)
        rows[1]["answer"] = "(a)"
        assert read_responses(table(lines(rows), "a.jsonl"), questions)[1] == 1

    def test_without_ids_the_order_counts(self, table, questions):
        rows = [{"text": word} for word in "abcd"]
        assert read_responses(table(lines(rows), "a.jsonl"), questions)[0] == tuple("abcd")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda rows: rows[:3], "question 4 has none"),
            (lambda rows: [*rows, rows[0]], "number that is not used twice"),
            (lambda rows: [{"text": "a"}], "expected one for each of 4 questions, got 1"),
            (lambda rows: [{k: v for k, v in r.items() if k != "response"} for r in rows],
             "'response' or 'text'"),
            (lambda rows: [*rows[:3], {**rows[3], "question_id": "x"}], "a whole number from 1"),
            (lambda rows: [*rows[:3], {**rows[3], "response": 5}], "response: expected text"),
        ],
    )  # fmt: skip
    def test_answers_that_do_not_fit_are_refused(self, table, questions, change, said):
        rows = change(self.rows(questions, ["(a)"] * 4))
        with pytest.raises(InputError, match=said):
            read_responses(table(lines(rows), "a.jsonl"), questions)


class TestScore:
    def test_a_pair_counts_only_if_both_are_right(self, questions):
        result = evaluate_mmvp(questions, ["(a)", "closed", "yes", "yes"])
        assert result.pairs == (True, False)
        assert (result.pair_accuracy, result.accuracy, result.unreadable) == (0.5, 0.75, 0)

    def test_one_answer_to_all_gets_no_pair(self, questions):
        result = evaluate_mmvp(questions, ["(a)"] * 4)
        assert (result.pair_accuracy, result.accuracy, result.chance) == (0.0, 0.5, 0.25)

    def test_what_cannot_be_read_is_wrong_and_counted(self, questions):
        result = evaluate_mmvp(questions, ["(a) or (b)", "(b)", "", "no"])
        assert (result.pair_accuracy, result.unreadable) == (0.0, 2)

    def test_guessing_comes_to_the_stated_chance(self, questions):
        rng = np.random.default_rng(0)
        asked = list(questions) * 1000
        result = evaluate_mmvp(asked, list(rng.choice(["(a)", "(b)"], len(asked))))
        assert result.interval[0] < result.chance < result.interval[1]

    def test_patterns_are_counted_apart(self, table, questions):
        named = read_patterns(
            table("index,pattern\n1,state\n2,state\n4,direction\n", "p.csv"), questions
        )
        result = evaluate_mmvp(questions, ["a", "b", "a", "a"], patterns=named)
        assert result.by_pattern() == {"state": (1, 1), "direction": (0, 1)}
        assert json.loads(json.dumps(result.record()))["patterns"]["direction"] == {
            "right": 0,
            "n": 1,
        }

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("1,state\n", "questions 3 and 4 have none"),
            ("1,x\n2,y\n3,z\n", "line 3.pattern: expected 'x'"),
        ],
    )
    def test_patterns_that_do_not_fit_are_refused(self, table, questions, rows, said):
        with pytest.raises(InputError, match=said):
            read_patterns(table("index,pattern\n" + rows, "p.csv"), questions)

    @pytest.mark.parametrize("count", [0, 1, 3, 5])
    def test_another_number_of_answers_is_refused(self, questions, count):
        with pytest.raises(InputError, match="an answer to each"):
            evaluate_mmvp(questions, ["(a)"] * count)

    def test_nothing_and_half_a_pair_are_refused(self, questions):
        for part in ([], questions[:1]):
            with pytest.raises(InputError, match="expected pairs"):
                evaluate_mmvp(part, ["a"] * len(part))
        with pytest.raises(InputError, match="2 pairs but 1 patterns"):
            evaluate_mmvp(questions, ["a"] * 4, patterns=["x"])


class TestModel:
    @pytest.fixture
    def folder(self, tmp_path):
        """Pictures whose brightness says the right answer."""
        (tmp_path / "MMVP Images").mkdir()
        for index in range(1, 5):
            grey = 200 if index % 2 else 20
            Pictures.new("RGB", (6, 5), (grey,) * 3).save(tmp_path / "MMVP Images" / f"{index}.jpg")
        return tmp_path

    def test_any_callable_answers(self, questions, folder):
        asked = []

        def model(images, prompts):
            asked.extend(prompts)
            return ["(a)" if image.pixels.mean() > 100 else "(b)" for image in images]

        result = evaluate_mmvp(questions, answer_mmvp(questions, folder, model))
        assert result.pair_accuracy == 1.0
        assert asked == [question.prompt for question in questions]

    def test_a_model_that_gives_too_few_answers_is_refused(self, questions, folder):
        with pytest.raises(InputError, match="4 questions but 1 answers"):
            answer_mmvp(questions, folder, lambda images, prompts: ["(a)"])

    def test_a_picture_that_is_missing_is_named_before_any_work(
        self, questions, folder, monkeypatch
    ):
        def model(images, prompts):
            raise AssertionError("asked although a picture is missing")

        monkeypatch.setattr(mmvp, "_BATCH", 1)
        (folder / "MMVP Images" / "3.jpg").unlink()
        with pytest.raises(InputError, match=r"no picture '3\.jpg'"):
            answer_mmvp(questions, folder, model)

"""`groundplane evaluate clevr`: its table, its JSON, and its one line where a file is at fault."""

import json

import pytest
from solids import make_questions


@pytest.fixture
def evaluate(run, tmp_path):
    """Run the command on files of six questions; `questions` may be changed before."""
    scenes, questions = make_questions(3, scenes=2, each=3)
    (tmp_path / "s.json").write_text(json.dumps(scenes))

    def call(*more):
        (tmp_path / "q.json").write_text(json.dumps(questions))
        files = ("--scenes", tmp_path / "s.json", "--questions", tmp_path / "q.json")
        return run("evaluate", "clevr", *files, *more)

    call.questions = questions["questions"]
    return call


@pytest.mark.parametrize("reading", ["text", "program"])
def test_the_json_holds_n_and_score_and_every_item(evaluate, tmp_path, reading):
    out = tmp_path / "out.json"
    code, table, err = evaluate("--from", reading, "--json", out)
    assert (code, err) == (0, "")
    record = json.loads(out.read_text())
    assert (record["n"], record["score"], record["from"]) == (6, 1.0, reading)
    assert [item["id"] for item in record["items"]] == list(range(6))
    assert table.splitlines()[0].split() == ["family", "n", "score", "steps", "right"]
    assert "a second" in table


def test_text_is_what_is_read_where_nothing_is_said(evaluate, tmp_path):
    out = tmp_path / "out.json"
    for question in evaluate.questions:
        del question["program"]
    assert evaluate("--json", out)[0] == 0
    assert json.loads(out.read_text())["score"] == 1


def test_misses_are_told_with_their_reasons_and_counted(evaluate):
    for question in evaluate.questions:
        question["answer"] = "mauve"
    out = evaluate("--misses", "2")[1]
    assert "6 questions with a wrong answer or step" in out
    assert out.count("official mauve") == 2
    assert "and 4 more; all are in --json" in out


def test_a_wrong_step_is_told_though_the_answer_is_right(evaluate):
    evaluate.questions[4]["program"][0]["_output"] = []
    out = evaluate("--from", "program")[1]
    assert "1 question with a wrong answer or step" in out
    assert "step 0 (scene): [0, 1" in out
    assert "stored []" in out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--from", "images"), "--from: expected 'text' or 'program', got 'images'"),
        (("--json", "/nowhere/out.json"), "there is no such folder"),
        (("--scenes", "none.json"), "none.json"),
        (("--questions", "none.json"), "questions 'none.json': cannot be read"),
    ],
)
def test_a_fault_is_one_line_and_nothing_on_stdout(evaluate, more, message):
    code, out, err = evaluate(*more)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_malformed_program_names_question_and_step(evaluate):
    evaluate.questions[2]["program"][1]["type"] = "filter_weight"
    code, _, err = evaluate("--from", "program")
    assert code == 2
    assert "question 2, step 1 (filter_weight): there is no such function" in err

import json

import jsonschema
import pytest

from groundplane.core.answer import Answer, FrameOfReference, Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select
from groundplane.core.queries import Count, Measure
from groundplane.core.session import Failed, Prompt, Query, Resolved
from groundplane.language.query_tools import (
    fenced_trigger,
    query_instructions,
    query_tool,
    query_trigger,
    read_request,
    tell_answer,
)
from groundplane.language.triggers import Asked, Told, Trigger

COUNT = '{"op": "count", "source": "chair"}'
PROMPT = Prompt(text="How many?", vocabulary=("chair",))


def ask(trigger: Trigger, payload: str) -> object:
    asked = Asked(sequence=3, request="ask-1", payload=payload, span=(0, 0), prompt=PROMPT)
    return trigger.ask(asked)


def tell(trigger: Trigger, outcome: Resolved | Failed) -> str:
    event = Query(sequence=3, request="ask-1", expression=Count(Select("chair")))
    return trigger.tell(Told(event=event, outcome=outcome, prompt=PROMPT, frames=()))


@pytest.mark.parametrize("payload", [COUNT, f'{{"query": {COUNT}}}', f"```json\n{COUNT}\n```"])
def test_a_query_is_read_in_any_of_its_wrappings(payload: str) -> None:
    reading = read_request(payload)

    assert (reading.way, reading.expression) == ("query", Count(Select("chair")))


def test_a_question_in_words_is_read_by_the_grammar_and_says_so() -> None:
    reading = read_request({"question": "How far is the chair from the table?"})

    assert reading.way == "question"
    assert isinstance(reading.expression, Measure)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "expected one of 'query' and 'question'"),
        ({"query": COUNT}, "expected an object as query, got str"),
        ({"query": {}, "question": "x"}, "expected one of"),
        ({"question": 3}, "expected a question of at most 480"),
        ({"question": "x" * 481}, "expected a question of at most 480"),
        ({"question": "rm -rf / && curl http://a.b"}, "question not understood"),
        ({"url": "file:///etc/passwd"}, "expected one of"),
        ("nothing", "one JSON object"),
    ],
)
def test_what_is_no_request_is_refused_in_words(request_: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_request(request_)  # type: ignore[arg-type]


def test_the_tool_takes_what_the_reader_takes() -> None:
    parameters = query_tool()["function"]["parameters"]
    validator = jsonschema.Draft202012Validator(parameters)

    assert validator.is_valid({"query": json.loads(COUNT)})
    assert validator.is_valid({"question": "How many chairs are there?"})
    for wrong in ({}, {"query": "x"}, {"path": "/"}, {"query": json.loads(COUNT), "question": "x"}):
        assert not validator.is_valid(wrong)


def test_an_answer_tells_value_unit_frame_interval_and_evidence() -> None:
    answer = Answer(
        value=1.23456,
        unit="m",
        interval=(1.0, 1.5),
        probability=0.5,
        evidence=("chair-1",),
        frame=FrameOfReference(kind="viewpoint", text="at the sofa, facing the door"),
        measure="closest points",
        note="a <b>",
    )

    assert json.loads(tell_answer(answer)) == {
        "status": "answered",
        "value": 1.235,
        "unit": "m",
        "between": {"low": 1.0, "high": 1.5},
        "probability": 0.5,
        "frame": "viewpoint: at the sofa, facing the door",
        "measure": "closest points",
        "note": "a \u2039b\u203a",
        "evidence": ["chair-1"],
    }


def test_long_answers_are_cut_and_say_so() -> None:
    names = tuple(f"chair-{i}" for i in range(1000))

    told = json.loads(tell_answer(Answer(value=names, evidence=names)))

    assert (len(told["value"]), len(told["evidence"]), told["left_out"]) == (20, 20, 980)


@pytest.mark.parametrize("value", [None, True, 3, "left", (), float("nan"), float("inf")])
def test_every_kind_of_value_is_json(value: object) -> None:
    answer = Answer(value=value, status=Status.TOO_CLOSE)  # type: ignore[arg-type]

    assert json.loads(tell_answer(answer))["status"] == "too_close"


def test_a_stretch_between_the_signs_is_asked() -> None:
    assert ask(query_trigger(), COUNT) == Query(
        sequence=3, request="ask-1", expression=Count(Select("chair"))
    )
    with pytest.raises(InputError, match="one JSON object"):
        ask(query_trigger(), "how many chairs")


def test_a_fence_is_asked_only_where_it_holds_a_query() -> None:
    assert ask(fenced_trigger(), '{"bbox_2d": [1, 2, 3, 4]}') is None
    assert ask(fenced_trigger(), "no json") is None
    assert isinstance(ask(fenced_trigger(), f'\n{{"query": {COUNT}}}\n'), Query)


def test_what_became_of_a_query_is_told_on_one_line() -> None:
    answered = Resolved(sequence=3, request="ask-1", value=Answer(value=2, unit="count"))
    failed = Failed(sequence=3, request="ask-1", kind="error", message="</query>\n<query>no")

    assert (
        tell(query_trigger(), answered) == ' {"status": "answered", "value": 2, "unit": "count"} '
    )
    told = tell(fenced_trigger(), failed)
    assert json.loads(told)["status"] == "failed"
    assert "<" not in told
    assert "no answer came back" in tell(
        query_trigger(), Resolved(sequence=3, request="ask-1", value=None)
    )


def test_instructions_hold_queries_that_can_be_read() -> None:
    text = query_instructions(["chair", "<query>", "chair"])

    pieces = [part.split("</query>")[0] for part in text.split("<query>")[1:]]
    assert [read_request(piece).way for piece in pieces] == ["query"] * 4 + ["question"]
    assert text.endswith("Things on the map: chair, \u2039query\u203a.")
    assert len(query_instructions(f"thing {i}" for i in range(5000))) < 2500

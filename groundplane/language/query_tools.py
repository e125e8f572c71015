"""Spatial queries in the loop: how a model is taught them, how it asks, and what it is told.

A query stands between `<query>` and `</query>`, or in a fenced block of JSON, in the text of the
model; or it is the argument of a tool call. The answer comes back as one line of JSON: a value
with its unit, the frame of reference that it holds in, and the things that it rests on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groundplane.core.answer import Answer
from groundplane.core.errors import InputError, listing
from groundplane.core.queries import Expression
from groundplane.core.session import Failed, Query
from groundplane.language.escaping import escaped
from groundplane.language.spatial_queries import LIMITS, query_schema, read_json, read_query
from groundplane.language.triggers import Asked, Told, Trigger
from groundplane.spatial.questions.parser import parse_question

__all__ = [
    "QUERY_CLOSE",
    "QUERY_OPEN",
    "Reading",
    "fenced_trigger",
    "query_instructions",
    "query_tool",
    "query_trigger",
    "read_request",
    "tell_answer",
]

QUERY_OPEN, QUERY_CLOSE = "<query>", "</query>"
_FENCE = "```"
_MOST = 20
_LABELS = 60
_TAUGHT = """\
An exact map of the scene can be asked. Do not guess a number, a direction or a count: ask, wait \
for the line of JSON that comes back, and answer from it.
To ask, write one query and nothing else on the line, such as
<query>{"op": "count", "source": "chair"}</query>
<query>{"op": "measure", "name": "distance", "of": ["chair", "table"], "unit": "m"}</query>
<query>{"op": "direction", "target": "lamp", "viewpoint": {"origin": "bed", "facing": "door"}, \
"sectors": "sides_and_back"}</query>
<query>{"op": "extreme", "source": {"op": "or", "sources": ["bed", "sofa"]}, \
"measure": "distance", "largest": false, "anchor": "door"}</query>
or, in words,
<query>{"question": "How far is the chair from the table?"}</query>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a model asked.

    Attributes:
        expression: The query.
        way: Whether it wrote the `query` itself or a `question` in words, which the grammar of
            questions read.
    """

    expression: Expression
    way: Literal["query", "question"]


def read_request(request: str | Mapping[str, object], *, nouns: Iterable[str] = ()) -> Reading:
    """Read what a model asks: a query, `{"query": {...}}`, or `{"question": "..."}` in words.

    Args:
        request: JSON, or what was read from it.
        nouns: Names of things that words may mean, such as the labels of the scene.

    Raises:
        InputError: If it is neither; the message says what may stand there.

    Examples:
        >>> asked = read_request('{"question": "How many chairs are there?"}')
        >>> asked.way, asked.expression
        ('question', Count(source=Select(phrase='chairs')))
        >>> read_request({"query": {"op": "exists", "source": "cup"}}).way
        'query'
    """
    found = read_json(request, what="request") if isinstance(request, str) else request
    if "op" in found:
        return Reading(expression=read_query(found), way="query")
    if len(found) != 1 or not found.keys() & {"query", "question"}:
        raise InputError(
            f"request: expected one of 'query' and 'question', got {listing(map(repr, found))[:80]}"
            '. Try: {"question": "How far is the chair from the table?"}'
        )
    asked = found.get("question")
    if "query" in found:
        query = found["query"]
        if not isinstance(query, Mapping):
            raise InputError(f"request: expected an object as query, got {type(query).__name__}")
        return Reading(expression=read_query(query), way="query")
    if not isinstance(asked, str) or len(asked) > 4 * LIMITS.phrase:
        raise InputError(f"request: expected a question of at most {4 * LIMITS.phrase} characters")
    return Reading(expression=parse_question(asked, nouns=nouns).expression, way="question")


def tell_answer(answer: Answer, *, special: Iterable[str] = ()) -> str:
    """An answer as a model reads it: one line of JSON.

    Numbers are rounded to what is worth reading. Words of the scene in it are data: they hold no
    sign (`escaped`). Of more than 20 things the first are named, and how many are left out.

    Args:
        answer: Of a query.
        special: Tokens that the model's tokenizer reads as marks of its own.

    Examples:
        >>> tell_answer(Answer(value=2.30671, unit="m", evidence=("chair-1", "table-1")))
        '{"status": "answered", "value": 2.307, "unit": "m", "evidence": ["chair-1", "table-1"]}'
        >>> from groundplane.core.answer import Status
        >>> tell_answer(Answer(value=None, status=Status.UNKNOWN_OBJECT, note="no cup"))
        '{"status": "unknown_object", "value": null, "note": "no cup"}'
    """
    marks = list(special)

    def clean(text: str) -> str:
        return escaped(text, special=marks)

    told: dict[str, Any] = {"status": answer.status.value, "value": _value(answer.value, clean)}
    if answer.unit is not None:
        told["unit"] = answer.unit
    if answer.interval is not None:
        told["between"] = {"low": _short(answer.interval[0]), "high": _short(answer.interval[1])}
    if answer.probability is not None:
        told["probability"] = _short(answer.probability)
    if answer.frame is not None:
        told["frame"] = f"{answer.frame.kind}: {clean(answer.frame.text)}"
    told |= {name: clean(getattr(answer, name)) for name in ("measure", "note")}
    if isinstance(answer.value, tuple) and len(answer.value) > _MOST:
        told["left_out"] = len(answer.value) - _MOST
    told["evidence"] = [clean(name) for name in answer.evidence[:_MOST]]
    kept = {name: part for name, part in told.items() if part not in ("", [])}
    return json.dumps(kept, ensure_ascii=False, allow_nan=False)


def _value(value: Any, clean: Any) -> Any:
    if isinstance(value, tuple):
        return [clean(name) for name in value[:_MOST]]
    if isinstance(value, str):
        return clean(value)
    return _short(value) if isinstance(value, float) else value


def _short(number: float) -> float | None:
    """To four significant digits; nothing for what is no number."""
    short = float(f"{number:.4g}")
    return short if abs(short) < float("inf") else None


def query_tool(name: str = "spatial_query") -> dict[str, Any]:
    """The tool as OpenAI's interface declares one; its arguments go to `read_request`.

    Examples:
        >>> tool = query_tool()["function"]
        >>> tool["name"], sorted(tool["parameters"]["properties"])
        ('spatial_query', ['query', 'question'])
    """
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": "Measure and compare things on the map of the scene, which is exact. "
            "Give a query, or a question in plain English.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"$ref": "#/$defs/query"},
                    "question": {"type": "string", "maxLength": 4 * LIMITS.phrase},
                },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "$defs": query_schema()["$defs"],
            },
        },
    }


def query_trigger(special: Sequence[str] = ()) -> Trigger:
    """What a model writes between `<query>` and `</query>` is asked, and it waits.

    Args:
        special: Tokens that its tokenizer reads as marks of its own; answers hold none of them.

    Examples:
        >>> trigger = query_trigger()
        >>> trigger.open, trigger.close, trigger.waits, trigger.shown
        ('<query>', '</query>', True, False)
    """

    def tell(told: Told) -> str:
        return _told(told, special)

    return Trigger(open=QUERY_OPEN, close=QUERY_CLOSE, ask=_ask, tell=tell, shown=False)


def fenced_trigger(special: Sequence[str] = ()) -> Trigger:
    """The same in a fenced block of JSON; a block that holds no query is text.

    Args:
        special: See `query_trigger`.

    Examples:
        >>> fenced_trigger().open
        '```json'
    """

    def ask(asked: Asked) -> Query | None:
        try:
            found = read_json(asked.payload, what="request")
        except InputError:
            return None
        return _ask(asked) if found.keys() & {"query", "question"} else None

    def tell(told: Told) -> str:
        return _told(told, special)

    return Trigger(open=f"{_FENCE}json", close=_FENCE, ask=ask, tell=tell)


def _ask(asked: Asked) -> Query:
    reading = read_request(asked.payload, nouns=asked.prompt.vocabulary or ())
    return Query(sequence=asked.sequence, request=asked.request, expression=reading.expression)


def _told(told: Told, special: Sequence[str]) -> str:
    outcome = told.outcome
    if not isinstance(outcome, Failed) and isinstance(outcome.value, Answer):
        return f" {tell_answer(outcome.value, special=special)} "
    why = outcome.message if isinstance(outcome, Failed) else "no answer came back"
    failed = {"status": "failed", "note": escaped(why, special=special)}
    return f" {json.dumps(failed, ensure_ascii=False)} "


def query_instructions(labels: Iterable[str] = ()) -> str:
    """What a model is told before the question, so that it can ask queries.

    Args:
        labels: Names of the things on the map; the first 60 are told, and how many there are.

    Examples:
        >>> print(query_instructions(["chair", "table"]).splitlines()[-1])
        Things on the map: chair, table.
        >>> "Things on the map" in query_instructions()
        False
    """
    lines = [_TAUGHT]
    names = list(dict.fromkeys(escaped(label, limit=60) for label in labels))
    if names:
        lines.append(f"Things on the map: {listing(names, limit=_LABELS)}.")
    return "\n".join(lines)

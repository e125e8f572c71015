"""Queries of a model that cannot be told anything in mid-sentence: it is asked again each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from groundplane.core.answer import Answer
from groundplane.core.errors import InputError
from groundplane.core.queries import describe, phrases_of
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    Need,
    Prompt,
    Query,
    Resolved,
    Text,
)
from groundplane.core.session_notes import Injected, Note
from groundplane.language.escaping import escaped
from groundplane.language.query_tools import (
    fenced_trigger,
    query_trigger,
    read_request,
    tell_answer,
)
from groundplane.language.rounds import Passing, State
from groundplane.language.spans import Closed, Given, Watcher
from groundplane.language.spatial_queries import read_json

__all__ = ["QueryCourse"]

_TAG, _FENCE = query_trigger(), fenced_trigger()
# Characters that a model is reminded of; of a longer text its end.
_REMEMBERED = 8_000


class QueryCourse:
    """One sequence: its text up to a query, the query, the next round with the answer.

    Args:
        index: The sequence.
        prompt: What it is asked, with how to ask queries.
        most: Most queries; a model that goes on asking is ended there.
    """

    def __init__(self, index: int, prompt: Prompt, *, most: int = 8) -> None:
        self.state: State = "ready"
        self._prompt, self._most = prompt, most
        self._passing = Passing(index=index)
        self._watcher = Watcher([_TAG, _FENCE])
        self._said = ""
        self._asked = 0
        self._pending = ""

    def begin(self) -> tuple[Prompt, list[Event]]:
        """The question; from the second round on with what was said and answered."""
        self._passing.begin()
        self._watcher = Watcher([_TAG, _FENCE])
        if not self._said:
            told = Note(
                sequence=self._passing.index,
                name="strategy",
                detail="query: asked again with each answer",
            )
            return self._prompt, [told]
        text = (
            f"{self._prompt.text}\n\nYour answer so far, with what came back:\n"
            f"{self._said[-_REMEMBERED:]}\nGo on from there; do not repeat it."
        )
        return replace(self._prompt, text=text), []

    def hear(self, event: Event) -> list[Event]:
        """Passes events on; text up to a query, and then the query."""
        if isinstance(event, Text):
            return self._read(event)
        if not isinstance(event, Done):
            return [self._passing.out(event)]
        events = self._sort(self._watcher.close())
        if self.state == "running":
            self.state = "done"
            events.append(self._passing.out(event))
        return events

    def resolve(self, outcome: Resolved | Failed) -> tuple[list[Event], Resolved | Failed | None]:
        """The answer goes into the next round."""
        if outcome.request != self._pending:
            return [], self._passing.back(outcome)
        if isinstance(outcome, Resolved) and isinstance(outcome.value, Answer):
            line = tell_answer(outcome.value)
        else:
            why = outcome.message if isinstance(outcome, Failed) else "no answer came back"
            line = _failed("failed", why)
        request, self._pending = self._pending, ""
        if self.state == "waiting":
            self.state = "ready"
        self._said += f"\n{line}\n"
        return [Injected(sequence=self._passing.index, request=request, text=line)], None

    def replies(self) -> list[Failed]:
        """It answers nothing itself."""
        return []

    def _read(self, event: Text) -> list[Event]:
        tokens = event.tokens
        found = self._sort(self._watcher.feed(event.text), refers=event.refers)
        if self.state == "running" and self._watcher.rest:
            found += self._sort(self._watcher.feed(""), refers=event.refers)
        counted = Text(sequence=self._passing.index, text="", tokens=tokens)
        return [counted, *found] if tokens else found

    def _sort(self, found: Sequence[object], *, refers: tuple[str, ...] = ()) -> list[Event]:
        events: list[Event] = []
        for one in found:
            if isinstance(one, Given):
                events += self._show(one.text, refers)
            elif isinstance(one, Closed) and one.trigger is None:
                # Its characters came as text already.
                told = f"{one.payload!r} is never closed; shown as text"
                events.append(Note(sequence=self._passing.index, name="unclosed", detail=told))
            elif isinstance(one, Closed) and one.trigger is not None:
                if one.trigger is _FENCE and not _is_request(one.payload):
                    events += self._show(f"{_FENCE.open}{one.payload}{_FENCE.close}", refers)
                    continue
                return events + self._ask(one.payload)
        return events

    def _show(self, text: str, refers: tuple[str, ...]) -> list[Event]:
        if not text:
            return []
        self._said += text
        return [self._passing.out(Text(sequence=0, text=text, refers=refers))]

    def _ask(self, payload: str) -> list[Event]:
        index = self._passing.index
        self._asked += 1
        self._said += f"\n{_TAG.open}{payload}{_TAG.close}"
        if self._asked > self._most:
            self.state = "done"
            why = f"more than {self._most} queries; the text ends there"
            return [
                Note(sequence=index, name="queries", detail=why),
                Done(sequence=index, finish="length"),
            ]
        try:
            reading = read_request(payload, nouns=self._prompt.vocabulary or ())
        except InputError as error:
            self.state = "ready"
            told = " ".join(str(error).split())
            self._said += f"\n{_failed('refused', told)}\n"
            return [Note(sequence=index, name="refused", detail=told)]
        return self._request(reading.expression, reading.way)

    def _request(self, expression: object, way: str) -> list[Event]:
        index = self._passing.index
        self._pending = name = f"strategy/query-{self._asked}"
        self.state = "waiting"
        events: list[Event] = []
        if way == "question":
            detail = f"a question in words, read as {describe(expression)}"
            events.append(Note(sequence=index, name="question", detail=detail))
        on: tuple[str, ...] = ()
        phrases = phrases_of(expression)
        if self._prompt.scene is None and self._prompt.images and phrases:
            on = (f"strategy/ground-{self._asked}",)
            events.append(Ground(sequence=index, request=on[0], phrases=phrases))
        query = Query(sequence=index, request=name, expression=expression, on=on)  # type: ignore[arg-type]
        return [*events, query, Need(sequence=index, requests=(name,))]


def _is_request(payload: str) -> bool:
    try:
        found = read_json(payload, what="request")
    except InputError:
        return False
    return bool(found.keys() & {"query", "question"})


def _failed(status: str, why: str) -> str:
    return json.dumps({"status": status, "note": escaped(why, limit=400)}, ensure_ascii=False)

"""Several sessions with a model as one: what was heard in one round goes into the next.

A course says what one sequence is asked in each round, and what of it the reader gets. Courses of
one batch go round by round together, so that the model answers a batch each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    LanguageModel,
    Locate,
    Need,
    Prompt,
    Query,
    Resolved,
    Session,
    Text,
)
from groundplane.core.session_notes import Injected

__all__ = ["Course", "Passing", "RoundsSession"]

# `ready` for a round, within one, waiting for a request of its own, or at its end.
State = Literal["ready", "running", "waiting", "done"]


@runtime_checkable
class Course(Protocol):
    """What one sequence is asked, round by round.

    Attributes:
        state: Where it is; `RoundsSession` sets `running`, all else it sets itself.
    """

    state: State

    def begin(self) -> tuple[Prompt, list[Event]]:
        """A round begins: what the model is asked, and what the reader is told before."""
        ...

    def hear(self, event: Event) -> list[Event]:
        """An event of the round; gives those that go on to the reader."""
        ...

    def resolve(self, outcome: Resolved | Failed) -> tuple[list[Event], Resolved | Failed | None]:
        """What became of a request: events for the reader, and the outcome if it is the model's."""
        ...

    def replies(self) -> list[Failed]:
        """Outcomes that the course itself gives the model for what it asked."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Passing:
    """Takes events of a round to the text of all rounds.

    Attributes:
        index: The sequence, for the reader.
        round: Which round, from 1.
        base: Characters of the rounds before.
        shown: Characters in all.
        names: Names of requests, for the reader, to those of the model.
    """

    index: int
    round: int = 0
    base: int = 0
    shown: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """A round begins."""
        self.round += 1
        self.base = self.shown
        self.names.clear()

    def out(self, event: Event) -> Event:
        """An event as the reader gets it: its spans and names are those of the whole text."""
        event = replace(event, sequence=self.index)
        if isinstance(event, Text):
            self.shown += len(event.text)
        elif isinstance(event, Ground | Query | Injected):
            event = replace(event, request=self._name(event.request))
        elif isinstance(event, Need):
            event = replace(event, requests=tuple(map(self._name, event.requests)))
        if isinstance(event, Query):
            event = replace(event, on=tuple(map(self._name, event.on)))
        if isinstance(event, Ground | Locate) and event.span is not None:
            start, stop = event.span
            event = replace(event, span=(start + self.base, stop + self.base))
        return event

    def back(self, outcome: Resolved | Failed) -> Resolved | Failed | None:
        """An outcome as the model named it; None where this round did not ask for it."""
        name = self.names.get(outcome.request)
        return None if name is None else replace(outcome, request=name)

    def _name(self, name: str) -> str:
        told = name if self.round == 1 else f"round-{self.round}/{name}"
        self.names[told] = name
        return told


class RoundsSession:
    """A batch of courses with one model.

    Args:
        model: Is asked.
        courses: One a sequence, in order.
    """

    def __init__(self, model: LanguageModel, courses: Sequence[Course]) -> None:
        self._model, self._courses = model, tuple(courses)
        self._inner: Session | None = None
        self._order: list[int] = []
        self._over: set[int] = set()

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Let the round go on, or begin the next one."""
        events: list[Event] = []
        given: list[Resolved | Failed] = []
        for outcome in resolutions:
            told, theirs = self._courses[outcome.sequence].resolve(outcome)
            events += told
            if theirs is not None and outcome.sequence in self._order:
                given.append(replace(theirs, sequence=self._order.index(outcome.sequence)))
        if self._inner is None:
            self._begin(events)
        if self._inner is not None:
            self._hear(self._inner, given, events)
        return events

    def stop(self, sequence: int) -> None:
        """The sequence was ended from outside."""
        self._courses[sequence].state = "done"
        self._leave(sequence)

    def close(self) -> None:
        """The run is over."""
        if self._inner is not None and callable(close := getattr(self._inner, "close", None)):
            close()
        self._inner = None

    def _begin(self, events: list[Event]) -> None:
        ready = [i for i, course in enumerate(self._courses) if course.state == "ready"]
        if not ready:
            return
        prompts = []
        for index in ready:
            prompt, told = self._courses[index].begin()
            self._courses[index].state = "running"
            prompts.append(prompt)
            events += told
        self._order, self._over = ready, set()
        self._inner = self._model.open(prompts)

    def _hear(self, inner: Session, given: list[Resolved | Failed], events: list[Event]) -> None:
        for place, index in enumerate(self._order):
            for failed in self._courses[index].replies():
                given.append(replace(failed, sequence=place))
        for event in inner.step(given):
            index = self._order[event.sequence]
            if index in self._over:
                continue
            course = self._courses[index]
            events += course.hear(event)
            if isinstance(event, Done):
                self._over.add(index)
            elif course.state != "running":
                self._leave(index)
        if len(self._over) == len(self._order):
            self.close()
            self._order = []

    def _leave(self, index: int) -> None:
        """Nothing more of this round is heard of a sequence."""
        if self._inner is None or index not in self._order or index in self._over:
            return
        self._over.add(index)
        if callable(stop := getattr(self._inner, "stop", None)):
            stop(self._order.index(index))

"""The orchestrator: it runs a language model and answers what it asks while it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from groundplane.core.answer import Answer, GroundedText, Mention, Step
from groundplane.core.dispatch import Dispatcher, Request, fail
from groundplane.core.errors import InputError, ProtocolError, listing
from groundplane.core.queries import describe
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
from groundplane.core.workers import Call, Resolver, Resolvers, WorkerPool

__all__ = [
    "Budget",
    "Call",
    "Finished",
    "Orchestrator",
    "Resolver",
    "Resolvers",
    "Update",
]

# A session goes on "as far as is useful" in one step, so silent steps are rare; this many in a
# row, with nothing under way, mean that it will never speak again.
_SILENT_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may use.

    Attributes:
        calls: Requests of one sequence; those after it fail as `budget`.
        seconds: Wall-clock seconds of the whole run, the reader's of `stream` among them.
        deadline: Seconds that a resolver may take for a batch, once a worker runs it.
        events: Events of one sequence.
        text: Characters of one sequence's text.
    """

    calls: int = 16
    seconds: float = 120.0
    deadline: float = 60.0
    events: int = 100_000
    text: int = 1_000_000

    def __post_init__(self) -> None:
        for name, least in (("calls", 0), ("events", 1), ("text", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"budget: expected {name} of at least {least}, got {value}")
        for name in ("seconds", "deadline"):
            value = getattr(self, name)
            if not 0 < value <= threading.TIMEOUT_MAX:
                raise InputError(
                    f"budget: expected {name} above 0 and at most {threading.TIMEOUT_MAX:g}, "
                    f"got {value}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """A sequence has ended and all its requests are settled."""

    sequence: int
    result: GroundedText


Update = Event | Resolved | Failed | Finished

_DEFAULT_BUDGET = Budget()


class Orchestrator:
    """Runs a language model; finds and computes what it asks for while it goes on.

    Args:
        model: The language model.
        resolvers: Who answers its requests.
        budget: What a run may use.
        workers: How many batches of requests run at a time. Threads whose call hangs past its
            deadline are replaced, up to four times this number.

    Raises:
        InputError: If `workers` is less than 1.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        resolvers: Resolvers,
        budget: Budget = _DEFAULT_BUDGET,
        workers: int = 4,
    ) -> None:
        self._model = model
        self._resolvers = resolvers
        self._budget = budget
        self._pool = WorkerPool(workers)

    def run(self, prompts: Sequence[Prompt]) -> list[GroundedText]:
        """Answer prompts.

        Returns:
            One text a prompt, in order.

        Raises:
            ProtocolError: If the model breaks the session protocol. What the model itself
                raises passes through.
        """
        results: dict[int, GroundedText] = {}
        for update in self.stream(prompts):
            if isinstance(update, Finished):
                results[update.sequence] = update.result
        return [results[index] for index in range(len(prompts))]

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[Update]:
        """Answer prompts and tell what happens as it happens.

        Yields:
            The model's events, each request's `Resolved` or `Failed`, and one `Finished` a
            prompt, which is the last of its sequence. Closing the iterator ends the run.

        Raises:
            ProtocolError: As for `run`.
        """
        run = _Run(
            self._model,
            prompts,
            resolvers=self._resolvers,
            budget=self._budget,
            pool=self._pool,
        )
        yield from run.updates()


@dataclass(slots=True, eq=False, kw_only=True)
class _Sequence:
    """What one sequence has said and asked so far."""

    index: int
    prompt: Prompt
    begun: float
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    requests: dict[str, Request] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    marks: list[tuple[tuple[int, int], tuple[str, ...] | Request]] = field(default_factory=list)
    reach: int = 0
    located: int = 0
    events: int = 0
    trace: list[Step] = field(default_factory=list)
    finish: str | None = None

    def note(self, name: str, detail: str) -> None:
        self.trace.append(Step(name=name, detail=detail, seconds=time.monotonic() - self.begun))

    def unsettled(self) -> list[Request]:
        return [request for request in self.requests.values() if request.outcome is None]

    def say(self, text: str, refers: tuple[str, ...]) -> None:
        start, self.length = self.length, self.length + len(text)
        self.pieces.append(text)
        if refers:
            self.marks.append(((start, self.length), refers))
        self.note("text", _cut(repr(text) + (f" of {', '.join(refers)}" if refers else "")))

    def locate(self, event: Locate) -> None:
        first = self.located + 1
        self.located += len(event.boxes)
        ids = tuple(f"located-{number}" for number in range(first, self.located + 1))
        self.marks.append((event.span, ids))
        boxes = np.round(event.frame_map.boxes(event.boxes), 1).tolist()
        shown = "; ".join(f"{name} at {box}" for name, box in zip(ids, boxes, strict=True))
        self.note("locate", _cut(f"image {event.image}: {shown or 'no box'}"))

    def result(self) -> GroundedText:
        """The finished text.

        Mentions follow the text; mentions that a budget cut off are shortened or left out.
        """
        text = "".join(self.pieces)
        mentions = []
        for (start, stop), source in self.marks:
            ids = _region_ids(source.outcome) if isinstance(source, Request) else source
            cut_off = stop > start >= len(text)
            if ids and not cut_off:
                span = (min(start, len(text)), min(stop, len(text)))
                mentions.append(Mention(span=span, ids=ids))
        mentions.sort(key=lambda mention: mention.span)
        queries = [r.outcome for r in self.requests.values() if isinstance(r.event, Query)]
        return GroundedText(
            text=text,
            mentions=tuple(mentions),
            answers=tuple(cast(Answer, q.value) for q in queries if isinstance(q, Resolved)),
            trace=tuple(self.trace),
            finish=self.finish or "complete",
        )


class _Run:
    """One run: the sequences, what is under way, and what has to be told."""

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        *,
        resolvers: Resolvers,
        budget: Budget,
        pool: WorkerPool,
    ) -> None:
        self._model = model
        self._prompts = tuple(prompts)
        self._pool = pool
        self._dispatcher = Dispatcher(
            resolvers, pool=pool, deadline=budget.deadline, note=self._note
        )
        self._resolvers = resolvers
        self._budget = budget
        self._begun = time.monotonic()
        self._end = self._begun + budget.seconds
        self._sequences = [
            _Sequence(index=index, prompt=prompt, begun=self._begun)
            for index, prompt in enumerate(self._prompts)
        ]
        self._open = dict(enumerate(self._sequences))
        self._pending: list[Resolved | Failed] = []
        self._updates: list[Update] = []
        self._silent = 0

    def updates(self) -> Iterator[Update]:
        """Alternate between the model's steps and what has arrived until all is finished."""
        if not self._prompts:
            return
        session = self._model.open(self._prompts)
        if not isinstance(session, Session):
            got = type(session).__name__
            raise ProtocolError(f"{self._who()}: open() gave {got}, expected a session with step()")
        with self._pool:
            try:
                while self._open:
                    self._turn(session)
                    told, self._updates = self._updates, []
                    yield from told
            finally:
                self._dispatcher.close()

    def _turn(self, session: Session) -> None:
        """Take in what has arrived, waiting for it if the model is stuck; then let it go on."""
        for outcome in self._dispatcher.collect(self._end if self._stuck() else 0.0):
            self._settle(outcome)
        if time.monotonic() >= self._end:
            self._expire()
        elif not self._stuck():
            self._step(session)
        self._dispatcher.send()
        self._finish()

    def _who(self) -> str:
        return f"language model {type(self._model).__name__!r}"

    def _broken(self, event: object, why: str) -> ProtocolError:
        sequence = getattr(event, "sequence", "?")
        shown = _cut(" ".join(repr(event).split()))
        return ProtocolError(f"{self._who()}, sequence {sequence}: {shown}: {why}")

    def _note(self, event: Ground | Query, name: str, detail: str) -> None:
        self._sequences[event.sequence].note(name, f"{event.request!r} {detail}")

    def _live(self) -> list[_Sequence]:
        return [sequence for sequence in self._open.values() if sequence.finish is None]

    def _stuck(self) -> bool:
        """Whether the model can do nothing before a request is settled."""
        live = self._live()
        if self._pending:
            return False
        if all(sequence.needs for sequence in live):
            return True
        if not self._silent:
            return False
        if any(sequence.unsettled() for sequence in live):
            return self._silent >= _SILENT_STEPS or not any(s.needs for s in live)
        if self._silent >= _SILENT_STEPS:
            stuck = listing(str(sequence.index) for sequence in live)
            raise ProtocolError(
                f"{self._who()}, sequences {stuck}: the session makes no progress: {self._silent} "
                "steps without an event and no request under way; expected Text, a request or Done"
            )
        return False

    def _step(self, session: Session) -> None:
        given, self._pending = self._pending, []
        events = session.step(given)
        if not isinstance(events, list):
            got = type(events).__name__
            raise ProtocolError(f"{self._who()}: step() gave {got}, expected a list of events")
        for event in events:
            if not isinstance(event, Event):
                raise self._broken(event, f"{type(event).__name__} is not an event")
        accepted = [kept for kept in map(self._accept, events) if kept is not None]
        self._silent = 0 if accepted else self._silent + 1

    def _accept(self, event: Event) -> Event | None:
        """Take in an event; None for one of a sequence that a budget has ended."""
        sequence = self._sequence_of(event)
        if sequence is None:
            return None
        sequence.events += 1
        if sequence.events > self._budget.events:
            self._cut_off(sequence, f"more than {self._budget.events} events")
            return None
        if isinstance(event, Text):
            event = self._say(sequence, event)
        self._updates.append(event)
        if isinstance(event, Ground | Query):
            self._request(sequence, event)
        elif isinstance(event, Locate):
            self._locate(sequence, event)
        elif isinstance(event, Need):
            self._need(sequence, event)
        elif isinstance(event, Done):
            self._done(sequence, event)
        return event

    def _sequence_of(self, event: Event) -> _Sequence | None:
        if not 0 <= event.sequence < len(self._sequences):
            raise self._broken(event, f"expected a sequence of 0 to {len(self._sequences) - 1}")
        sequence = self._sequences[event.sequence]
        if sequence.finish is None:
            return sequence
        if sequence.finish == "budget":
            return None  # the protocol has no way to tell a session to stop
        raise self._broken(event, "an event after Done; expected none")

    def _say(self, sequence: _Sequence, event: Text) -> Text:
        if not isinstance(event.text, str):
            raise self._broken(event, f"expected str as text, got {type(event.text).__name__}")
        room = self._budget.text - sequence.length
        kept = event.text[:room]
        sequence.say(kept, event.refers if kept or not event.text else ())
        if len(kept) == len(event.text):
            return event
        self._cut_off(sequence, f"more than {self._budget.text} characters of text")
        return Text(sequence=event.sequence, text=kept, refers=event.refers)

    def _request(self, sequence: _Sequence, event: Ground | Query) -> None:
        if event.request in sequence.requests:
            raise self._broken(event, f"the request id {event.request!r} was used before")
        on: tuple[str, ...] = ()
        if isinstance(event, Query):
            on = event.on
            self._check_known(sequence, event, on)
            sequence.note("query", _cut(f"{event.request!r}: {describe(event.expression)}"))
        else:
            what = f"{', '.join(event.phrases)} in image {event.image}"
            sequence.note("ground", _cut(f"{event.request!r}: {what}"))
        inputs = tuple(sequence.requests[name] for name in on)
        request = Request(event=event, prompt=sequence.prompt, on=inputs)
        sequence.requests[event.request] = request
        if isinstance(event, Ground) and event.span is not None:
            self._check_span(sequence, event, event.span)
            sequence.marks.append((event.span, request))
        self._admit(request)

    def _admit(self, request: Request) -> None:
        """Put a request in line, or fail it at once."""
        event, images = request.event, len(request.prompt.images)
        if len(self._sequences[event.sequence].requests) > self._budget.calls:
            limit = f"the sequence may make {self._budget.calls} requests"
            self._settle(fail(request, "budget", f"not run: {limit} and this is one more"))
        elif self._resolvers.of(event) is None:
            kind = type(event).__name__.lower()
            self._settle(fail(request, "unsupported", f"there is no {kind} resolver"))
        elif isinstance(event, Ground) and not 0 <= event.image < images:
            why = f"image {event.image}, but the prompt has {images} images"
            self._settle(fail(request, "error", why))
        else:
            self._dispatcher.add(request)

    def _locate(self, sequence: _Sequence, event: Locate) -> None:
        if event.boxes.ndim != 2 or event.boxes.shape[1] != 4:
            raise self._broken(event, f"expected boxes of shape (n, 4), got {event.boxes.shape}")
        if not np.isfinite(event.boxes).all():
            raise self._broken(event, "expected finite boxes")
        count = len(sequence.prompt.images)
        if not 0 <= event.image < count:
            raise self._broken(event, f"image {event.image}, but the prompt has {count} images")
        self._check_span(sequence, event, event.span)
        sequence.locate(event)

    def _need(self, sequence: _Sequence, event: Need) -> None:
        self._check_known(sequence, event, event.requests)
        open_names = {request.event.request for request in sequence.unsettled()}
        sequence.needs = frozenset(open_names.intersection(event.requests))
        sequence.note("need", _cut(", ".join(map(repr, event.requests))))

    def _check_known(self, sequence: _Sequence, event: Event, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in sequence.requests]
        if unknown:
            known = listing(sequence.requests)
            raise self._broken(event, f"unknown requests {listing(unknown)}; known: {known}")

    def _check_span(self, sequence: _Sequence, event: Event, span: tuple[int, int]) -> None:
        if not 0 <= span[0] <= span[1]:
            raise self._broken(event, f"expected a span (first, one past the last), got {span}")
        sequence.reach = max(sequence.reach, span[1])

    def _done(self, sequence: _Sequence, event: Done) -> None:
        if sequence.reach > sequence.length:
            why = f"a span ends at {sequence.reach}, but the text has {sequence.length} characters"
            raise self._broken(event, why)
        sequence.note("done", event.finish)
        self._close(sequence, event.finish)

    def _cut_off(self, sequence: _Sequence, why: str) -> None:
        sequence.note("budget", why)
        self._close(sequence, "budget")

    def _close(self, sequence: _Sequence, finish: str) -> None:
        sequence.finish = finish
        self._pending = [o for o in self._pending if o.sequence != sequence.index]

    def _finish(self) -> None:
        """Hand over the sequences that have ended and wait for no request."""
        ended = [s for s in self._open.values() if s.finish is not None and not s.unsettled()]
        for sequence in ended:
            del self._open[sequence.index]
            self._updates.append(Finished(sequence=sequence.index, result=sequence.result()))

    def _settle(self, outcome: Resolved | Failed) -> None:
        """Tell a request's outcome to everybody who waits for it."""
        sequence = self._sequences[outcome.sequence]
        sequence.needs -= {outcome.request}
        if isinstance(outcome, Failed):
            sequence.note("failed", f"{outcome.request!r}, {outcome.kind}: {outcome.message}")
        else:
            # How a resolver came to its result; an answer's steps are its own.
            for step in () if isinstance(outcome.value, Answer) else cast(Any, outcome.value).steps:
                sequence.note(step.name, f"{outcome.request!r}: {step.detail}")
            sequence.note("resolved", _cut(f"{outcome.request!r}: {_summary(outcome.value)}"))
        if sequence.finish is None:
            self._pending.append(outcome)
        self._updates.append(outcome)

    def _expire(self) -> None:
        """End everything: the run's seconds are over."""
        why = f"the run's {self._budget.seconds:g} s are over"
        for sequence in self._live():
            self._cut_off(sequence, why)
        self._dispatcher.close()
        for sequence in self._open.values():
            for request in sequence.unsettled():
                self._settle(fail(request, "budget", why))


def _region_ids(outcome: Resolved | Failed | None) -> tuple[str, ...]:
    if not isinstance(outcome, Resolved):
        return ()
    from groundplane.core.detection import DetectResult

    return cast(DetectResult, outcome.value).regions.ids


def _summary(value: object) -> str:
    if isinstance(value, Answer):
        return f"{value.value!r}{f' {value.unit}' if value.unit else ''}, {value.status}"
    from groundplane.core.detection import DetectResult

    return f"{len(cast(DetectResult, value).regions)} regions"


def _cut(text: str, *, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

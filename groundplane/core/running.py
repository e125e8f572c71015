"""One run of the orchestrator: the model's steps, and the requests that are under way meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from groundplane.core.answer import Answer
from groundplane.core.budget import Budget
from groundplane.core.dispatch import Dispatcher, Request, fail, resolve
from groundplane.core.errors import ProtocolError, listing
from groundplane.core.event_checks import malformed, oversized
from groundplane.core.progress import Finished, Progress, Update, cut, summary
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
from groundplane.core.session_notes import Injected, Note
from groundplane.core.workers import Resolvers, WorkerPool

__all__ = ["Run"]

# A session goes on "as far as is useful" in one step, so silent steps are rare; this many in a
# row, with nothing under way, mean that it will never speak again.
_SILENT_STEPS = 1000


class Run:
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
            resolvers, pool=pool, deadline=budget.deadline, boxes=budget.boxes, note=self._note
        )
        self._resolvers = resolvers
        self._budget = budget
        self._begun = time.monotonic()
        self._end = self._begun + budget.seconds
        self._sequences = [
            Progress(index=index, prompt=prompt, begun=self._begun)
            for index, prompt in enumerate(self._prompts)
        ]
        self._open = dict(enumerate(self._sequences))
        self._pending: list[Resolved | Failed] = []
        self._updates: list[Update] = []
        self._silent = 0
        self._session: Session | None = None

    def updates(self) -> Iterator[Update]:
        """Alternate between the model's steps and what has arrived until all is finished."""
        if not self._prompts:
            return
        session = self._model.open(self._prompts)
        if not isinstance(session, Session):
            got = type(session).__name__
            raise ProtocolError(f"{self._who()}: open() gave {got}, expected a session with step()")
        self._session = session
        with self._pool:
            try:
                self._dispatcher.prefetch(self._prompts)
                while self._open:
                    self._turn(session)
                    told, self._updates = self._updates, []
                    yield from told
            finally:
                self._dispatcher.close()
                if callable(close := getattr(session, "close", None)):
                    close()

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
        shown = cut(" ".join(repr(event).split()))
        return ProtocolError(f"{self._who()}, sequence {sequence}: {shown}: {why}")

    def _note(self, event: Ground | Query, name: str, detail: str) -> None:
        self._sequences[event.sequence].note(name, f"{event.request!r} {detail}")

    def _live(self) -> list[Progress]:
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
            if why := malformed(event):
                raise self._broken(event, why)
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
        elif isinstance(event, Injected):
            self._check_known(sequence, event, (event.request,))
            sequence.inject(event)
        elif isinstance(event, Note):
            sequence.remark(event)
        elif isinstance(event, Done):
            self._done(sequence, event)
        return event

    def _sequence_of(self, event: Event) -> Progress | None:
        if not 0 <= event.sequence < len(self._sequences):
            raise self._broken(event, f"expected a sequence of 0 to {len(self._sequences) - 1}")
        sequence = self._sequences[event.sequence]
        if sequence.finish is None:
            return sequence
        if sequence.finish == "budget":
            return None  # a session may say more before it stops
        raise self._broken(event, "an event after Done; expected none")

    def _say(self, sequence: Progress, event: Text) -> Text:
        room = self._budget.text - sequence.length
        kept = event.text[:room]
        sequence.say(kept, event.refers if kept or not event.text else ())
        sequence.tokens += event.tokens
        if len(kept) == len(event.text):
            if sequence.tokens > self._budget.tokens:
                self._cut_off(sequence, f"more than {self._budget.tokens} tokens")
            return event
        self._cut_off(sequence, f"more than {self._budget.text} characters of text")
        return replace(event, text=kept)

    def _request(self, sequence: Progress, event: Ground | Query) -> None:
        if event.request in sequence.requests:
            raise self._broken(event, f"the request id {event.request!r} was used before")
        on: tuple[str, ...] = ()
        large = oversized(event)
        if isinstance(event, Query):
            on = event.on
            self._check_known(sequence, event, on)
        if large:
            sequence.note(type(event).__name__.lower(), f"{event.request!r}: {large}")
        elif isinstance(event, Query):
            sequence.note("query", cut(f"{event.request!r}: {describe(event.expression)}"))
        else:
            what = f"{', '.join(event.phrases)} in image {event.image}"
            sequence.note("ground", cut(f"{event.request!r}: {what}"))
        inputs = tuple(sequence.requests[name] for name in on)
        request = Request(event=event, prompt=sequence.prompt, on=inputs)
        sequence.requests[event.request] = request
        if isinstance(event, Ground) and event.span is not None:
            self._check_span(sequence, event, event.span)
            sequence.marks.append((event.span, request))
        if large:
            self._settle(fail(request, "budget", f"not run: {large}"))
        else:
            self._admit(request)

    def _admit(self, request: Request) -> None:
        """Put a request in line, or fail it at once."""
        event, images = request.event, len(request.prompt.images)
        if self._resolvers.of(event) is None:
            kind = type(event).__name__.lower()
            self._settle(fail(request, "unsupported", f"there is no {kind} resolver"))
        elif isinstance(event, Ground) and not 0 <= event.image < images:
            why = f"image {event.image}, but the prompt has {images} images"
            self._settle(fail(request, "error", why))
        else:
            self._look(request)

    def _look(self, request: Request) -> None:
        """Send a request, unless an earlier one asks for the same."""
        sequence = self._sequences[request.event.sequence]
        earlier = sequence.alike(request)
        # What was asked before costs no further call.
        sequence.calls += earlier is None
        if earlier is None and sequence.calls > self._budget.calls:
            limit = f"the sequence may make {self._budget.calls} requests"
            self._settle(fail(request, "budget", f"not run: {limit} and this is one more"))
        elif earlier is None:
            self._dispatcher.add(request)
        elif earlier.outcome is None:
            sequence.followers.setdefault(earlier, []).append(request)
        else:
            self._follow(request, earlier)

    def _locate(self, sequence: Progress, event: Locate) -> None:
        if event.boxes.ndim != 2 or event.boxes.shape[1] != 4:
            raise self._broken(event, f"expected boxes of shape (n, 4), got {event.boxes.shape}")
        if len(event.boxes) > self._budget.boxes:
            why = f"{len(event.boxes)} boxes of the model's own, more than {self._budget.boxes}"
            sequence.note("budget", f"{why}; left out")
            return
        if not np.isfinite(event.boxes).all():
            raise self._broken(event, "expected finite boxes")
        if event.ids and len(event.ids) != len(event.boxes):
            raise self._broken(event, f"expected {len(event.boxes)} ids, got {len(event.ids)}")
        count = len(sequence.prompt.images)
        if not 0 <= event.image < count:
            raise self._broken(event, f"image {event.image}, but the prompt has {count} images")
        self._check_span(sequence, event, event.span)
        sequence.locate(event)

    def _need(self, sequence: Progress, event: Need) -> None:
        self._check_known(sequence, event, event.requests)
        open_names = {request.event.request for request in sequence.unsettled()}
        sequence.needs = frozenset(open_names.intersection(event.requests))
        sequence.note("need", cut(", ".join(map(repr, event.requests))))

    def _check_known(self, sequence: Progress, event: Event, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in sequence.requests]
        if unknown:
            known = listing(sequence.requests)
            raise self._broken(event, f"unknown requests {listing(unknown)}; known: {known}")

    def _check_span(self, sequence: Progress, event: Event, span: tuple[int, int]) -> None:
        if not 0 <= span[0] <= span[1]:
            raise self._broken(event, f"expected a span (first, one past the last), got {span}")
        sequence.reach = max(sequence.reach, span[1])

    def _done(self, sequence: Progress, event: Done) -> None:
        if sequence.reach > sequence.length:
            why = f"a span ends at {sequence.reach}, but the text has {sequence.length} characters"
            raise self._broken(event, why)
        sequence.note("done", event.finish)
        self._close(sequence, event.finish)

    def _cut_off(self, sequence: Progress, why: str) -> None:
        sequence.note("budget", why)
        self._close(sequence, "budget")
        if callable(stop := getattr(self._session, "stop", None)):
            stop(sequence.index)

    def _close(self, sequence: Progress, finish: str) -> None:
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
        request = sequence.requests[outcome.request]
        if isinstance(outcome, Resolved) and isinstance(request.event, Ground):
            outcome = resolve(request, sequence.took(request, cast(Any, outcome.value)))
        sequence.needs -= {outcome.request}
        if isinstance(outcome, Failed):
            sequence.note("failed", f"{outcome.request!r}, {outcome.kind}: {outcome.message}")
        else:
            # How a resolver came to its result; an answer's steps are its own.
            for step in () if isinstance(outcome.value, Answer) else cast(Any, outcome.value).steps:
                sequence.note(step.name, f"{outcome.request!r}: {step.detail}")
            sequence.note("resolved", cut(f"{outcome.request!r}: {summary(outcome.value)}"))
        if sequence.finish is None:
            self._pending.append(outcome)
        self._updates.append(outcome)
        for follower in sequence.followers.pop(request, ()):
            self._follow(follower, request)

    def _follow(self, follower: Request, earlier: Request) -> None:
        """Settle a request as an earlier one for the same was; if that failed, look again."""
        outcome = earlier.outcome
        if isinstance(outcome, Resolved):
            name = earlier.event.request
            self._note(follower.event, "again", f"as {name!r}, which asked for the same")
            self._settle(resolve(follower, outcome.value))
        elif follower.outcome is None:
            self._look(follower)

    def _expire(self) -> None:
        """End everything: the run's seconds are over."""
        why = f"the run's {self._budget.seconds:g} s are over"
        for sequence in self._live():
            self._cut_off(sequence, why)
        self._dispatcher.close()
        for sequence in self._open.values():
            for request in sequence.unsettled():
                self._settle(fail(request, "budget", why))

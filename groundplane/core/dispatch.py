"""Requests on their way: sent to their resolvers in batches, retried alone, and settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from groundplane.core.answer import Answer
from groundplane.core.errors import GroundplaneError
from groundplane.core.session import Failed, Ground, Prompt, Query, Resolved
from groundplane.core.workers import Call, Inbox, News, Resolver, Resolvers, Task, WorkerPool

__all__ = ["Dispatcher", "Request", "fail", "resolve"]

FailureKind = Literal["error", "deadline", "budget", "unsupported"]


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """A request, what it rests on, and what became of it."""

    event: Ground | Query
    prompt: Prompt
    on: tuple[Request, ...] = ()
    outcome: Resolved | Failed | None = None

    @property
    def ready(self) -> bool:
        """Whether everything that it rests on is settled."""
        return all(request.outcome is not None for request in self.on)

    def call(self) -> Call:
        """What its resolver gets."""
        given = (request.outcome for request in self.on)
        inputs = tuple(item.value if isinstance(item, Resolved) else item for item in given)
        return Call(event=self.event, prompt=self.prompt, inputs=inputs)


def fail(request: Request, kind: FailureKind, message: str) -> Failed:
    """Settle a request without a result."""
    event = request.event
    failed = Failed(sequence=event.sequence, request=event.request, kind=kind, message=message)
    request.outcome = failed
    return failed


def resolve(request: Request, value: object) -> Resolved:
    """Settle a request with its result."""
    event = request.event
    resolved = Resolved(sequence=event.sequence, request=event.request, value=value)
    request.outcome = resolved
    return resolved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """Requests that a resolver gets in one call."""

    requests: tuple[Request, ...]
    resolver: Resolver | None
    name: str = ""


class Dispatcher:
    """Sends requests to their resolvers in batches and settles them.

    Args:
        resolvers: Who answers.
        pool: Where the batches run.
        deadline: Seconds that a batch may take once it runs.
        boxes: Most regions of one result.
        note: Told what is done with a request: its event, a word for it, and the detail.
    """

    def __init__(
        self,
        resolvers: Resolvers,
        *,
        pool: WorkerPool,
        deadline: float,
        boxes: int,
        note: Callable[[Ground | Query, str, str], None],
    ) -> None:
        self._resolvers = resolvers
        self._pool = pool
        self._deadline = deadline
        self._boxes = boxes
        self._note = note
        self._inbox: Inbox[_Batch] = Inbox(pool, deadline=deadline)
        self._waiting: list[Request] = []

    def add(self, request: Request) -> None:
        """Take a request that has a resolver; it goes with the next `send`."""
        self._waiting.append(request)

    def send(self) -> None:
        """Send the requests whose inputs are settled: all of a kind as one batch."""
        ready = [request for request in self._waiting if request.ready]
        if not ready:
            return
        self._waiting = [request for request in self._waiting if not request.ready]
        for kind in (Ground, Query):
            self._send([request for request in ready if isinstance(request.event, kind)])

    def collect(self, until: float) -> list[Resolved | Failed]:
        """What was settled since the last call; may wait for news until `until`."""
        return [
            outcome
            for task, news in self._inbox.collect(until)
            for outcome in self._outcomes(task, news)
        ]

    def prefetch(self, prompts: Sequence[Prompt]) -> None:
        """Let a resolver that can look ahead begin with the pictures, beside the model.

        It may have `prefetch(images)`. What comes of that is its own; an error in it is met
        again, and told, when something is asked.
        """
        images = list({id(image): image for p in prompts for image in p.images}.values())
        ahead = getattr(self._resolvers.ground, "prefetch", None)
        if images and callable(ahead):
            self._inbox.submit(partial(ahead, images), tag=_Batch(requests=(), resolver=None))

    def close(self) -> None:
        """Give up everything that is under way."""
        self._inbox.close()
        self._waiting.clear()

    def _send(self, requests: Sequence[Request]) -> None:
        resolver = self._resolvers.of(requests[0].event) if requests else None
        if resolver is None:
            return
        # A resolver may say how many calls it takes at a time, since a deadline is a batch's.
        most = getattr(resolver, "batch", len(requests))
        if len(requests) > most:
            for start in range(0, len(requests), most):
                self._send(requests[start : start + most])
            return
        kind = type(requests[0].event).__name__.lower()
        # A resolver may say whom it speaks for, such as the expert that it asks.
        name = getattr(resolver, "who", f"{kind} resolver {type(resolver).__name__!r}")
        for request in requests:
            size = f", {len(requests)} in the batch" if len(requests) > 1 else ""
            self._note(request.event, "dispatch", f"to {name}{size}")
        calls = tuple(request.call() for request in requests)
        batch = _Batch(requests=tuple(requests), resolver=resolver, name=name)
        self._inbox.submit(partial(resolver.resolve, calls), tag=batch)

    def _outcomes(self, task: Task[_Batch], news: News) -> Sequence[Resolved | Failed]:
        batch, error = task.tag, task.error
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not batch.requests:
            return []
        if news == "deadline":
            return _fail_all(batch, "deadline", f"no result within {self._deadline:g} s")
        if news == "refused":
            why = f"not run: {self._pool.limit} calls past their deadline hang in as many threads"
            return _fail_all(batch, "error", why)
        if news == "late":
            for request in batch.requests:
                self._note(request.event, "late", f"dropped what {batch.name} gave")
            return []
        if error is None:
            return _take(batch, task.value, boxes=self._boxes)
        if len(batch.requests) == 1:
            return _fail_all(batch, "error", _line(error))
        for request in batch.requests:
            # One bad call must not fail its neighbours.
            self._note(request.event, "retry", f"alone, as the batch failed: {_line(error)}")
            self._send([request])
        return []


def _take(batch: _Batch, values: object, *, boxes: int) -> Sequence[Resolved | Failed]:
    """Settle a batch with what its resolver returned."""
    count = len(batch.requests)
    if not isinstance(values, Sequence) or len(values) != count:
        got = len(values) if isinstance(values, Sequence) else type(values).__name__
        return _fail_all(batch, "error", f"expected {count} results, got {got}")
    pairs = zip(batch.requests, values, strict=True)
    return [_take_one(request, value, name=batch.name, boxes=boxes) for request, value in pairs]


def _take_one(request: Request, value: object, *, name: str, boxes: int) -> Resolved | Failed:
    if isinstance(value, BaseException):
        line = _line(value)
        return fail(request, "error", line if line.startswith(name) else f"{name}: {line}")
    expected = _result_type(request.event)
    if not isinstance(value, expected):
        why = f"expected {expected.__name__}, got {type(value).__name__}"
        return fail(request, "error", f"{name}: {why}")
    if isinstance(request.event, Ground) and len(cast(Any, value).regions) > boxes:
        why = (
            f"{len(cast(Any, value).regions)} regions, more than the {boxes} that a result may have"
        )
        return fail(request, "budget", f"{name}: {why}")
    return resolve(request, value)


def _fail_all(batch: _Batch, kind: FailureKind, why: str) -> Sequence[Failed]:
    return [fail(request, kind, f"{batch.name}: {why}") for request in batch.requests]


def _result_type(event: Ground | Query) -> type:
    if isinstance(event, Query):
        return Answer
    # Loads torch, which whoever answers a `Ground` has loaded already.
    from groundplane.core.detection import DetectResult

    return DetectResult


def _line(error: BaseException) -> str:
    """An error in one line; ours speak for themselves, others need their type."""
    text = " ".join(str(error).split())[:500]
    own = isinstance(error, GroundplaneError) and text
    return text if own else f"{type(error).__name__}: {text}".rstrip(": ")

"""Calls to experts side by side, each given up when its time is over.

The batches of one expert run one after the other, so that it needs the memory of one. A batch in
which one request hangs must not take the others along. So when half of the time is over, the
requests of a batch that is still out are asked alone as well, and what comes first is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar, cast

from groundplane.core.errors import DetectorError, GroundplaneError
from groundplane.core.workers import Inbox, WorkerPool

__all__ = ["Job", "run_all"]

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job(Generic[Q, A]):
    """A batch of requests for one expert.

    Attributes:
        who: What messages call the expert; jobs of one name run one after the other.
        requests: The batch.
        ask: Answers some of them, one an answer or an error; safe to call from several threads.
    """

    who: str
    requests: tuple[Q, ...]
    ask: Callable[[Sequence[Q]], Sequence[A | GroundplaneError]]


def run_all(
    jobs: Sequence[Job[Q, A]], *, pool: WorkerPool, start: float, seconds: float | None
) -> list[list[A | GroundplaneError]]:
    """Run jobs, side by side where there is a deadline.

    Args:
        jobs: The batches.
        pool: Where they run if there is a deadline.
        start: Time of `time.monotonic` from which it counts.
        seconds: The deadline; None runs one job after the other in this thread.

    Returns:
        For each job its answers, in the order of its requests; `DetectorError` for each that did
        not come in time. What a job raises that is no error of ours passes through.
    """
    if seconds is None:
        return [list(job.ask(job.requests)) for job in jobs]
    race = _Race(jobs, pool=pool, start=start, seconds=seconds)
    with pool:
        return race.run()


@dataclass(slots=True, eq=False)
class _Runner(Generic[Q, A]):
    """A job and what is known of its answers."""

    job: Job[Q, A]
    begun: bool = False
    answers: dict[int, A | GroundplaneError] = field(default_factory=dict)

    def missing(self) -> list[int]:
        return [row for row in range(len(self.job.requests)) if row not in self.answers]

    def take(self, rows: Sequence[int], given: Sequence[A | GroundplaneError]) -> None:
        """What came first counts."""
        for row, answer in zip(rows, given, strict=True):
            self.answers.setdefault(row, answer)

    def fail(self, rows: Sequence[int], why: str) -> None:
        self.take(rows, [DetectorError(f"{self.job.who}: {why}")] * len(rows))


class _Race(Generic[Q, A]):
    """Jobs that run until all is answered or the time is over."""

    def __init__(
        self, jobs: Sequence[Job[Q, A]], *, pool: WorkerPool, start: float, seconds: float
    ) -> None:
        self._runners = [_Runner(job) for job in jobs]
        self._pool = pool
        self._seconds = seconds
        self._half, self._end = start + seconds / 2, start + seconds
        self._alone = False
        self._inbox: Inbox[tuple[_Runner[Q, A], list[int]]] = Inbox(pool, deadline=seconds)

    def run(self) -> list[list[A | GroundplaneError]]:
        try:
            for who in dict.fromkeys(runner.job.who for runner in self._runners):
                self._begin_next(who)
            while any(runner.missing() for runner in self._runners):
                now = time.monotonic()
                if now >= self._end:
                    break
                if not self._alone and now >= self._half:
                    self._ask_alone()
                self._collect()
        finally:
            self._inbox.close()
        for runner in self._runners:
            runner.fail(runner.missing(), f"no result within {self._seconds:g} s")
        return [[r.answers[row] for row in range(len(r.job.requests))] for r in self._runners]

    def _begin_next(self, who: str) -> None:
        """Start the next batch of an expert, if there is one."""
        for runner in self._runners:
            if runner.job.who == who and not runner.begun:
                self._submit(runner, runner.missing())
                return

    def _submit(self, runner: _Runner[Q, A], rows: list[int]) -> None:
        runner.begun = True
        requests = [runner.job.requests[row] for row in rows]
        self._inbox.submit(partial(runner.job.ask, requests), tag=(runner, rows))

    def _ask_alone(self) -> None:
        self._alone = True
        for runner in self._runners:
            rows = runner.missing()
            if not runner.begun:
                self._submit(runner, rows)
            elif len(rows) > 1:
                for row in rows:
                    self._submit(runner, [row])

    def _collect(self) -> None:
        for task, news in self._inbox.collect(self._end if self._alone else self._half):
            runner, rows = task.tag
            if news == "ended" and task.error is None:
                runner.take(rows, cast(Sequence[A | GroundplaneError], task.value))
            elif news == "ended" and isinstance(task.error, GroundplaneError):
                runner.take(rows, [task.error] * len(rows))
            elif news == "ended" and task.error is not None:
                raise task.error
            elif news == "refused" and not self._alone:
                limit = self._pool.limit
                runner.fail(rows, f"not asked: {limit} calls past their deadline hang")
            if not self._alone:
                self._begin_next(runner.job.who)

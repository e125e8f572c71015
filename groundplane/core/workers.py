"""The resolvers' side of a run: what a resolver is, and the workers that run its calls.

The standard library's executors join their threads when the interpreter exits, so one hanging
call would keep the process alive. These workers are daemons, and a call past its deadline is
given up: its worker is replaced, up to a limit.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from groundplane.core.errors import InputError
from groundplane.core.session import Ground, Prompt, Query

__all__ = [
    "Call",
    "Inbox",
    "Resolver",
    "Resolvers",
    "Task",
    "WorkerPool",
]

T = TypeVar("T")

News = Literal["started", "ended", "refused", "deadline", "late"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One request, as a resolver gets it.

    Attributes:
        event: The request.
        prompt: The prompt of its sequence: the images, the scene.
        inputs: For a `Query`, what became of the requests named by `on`, in order: their values,
            or `Failed` for those without one.
    """

    event: Ground | Query
    prompt: Prompt
    inputs: tuple[object, ...] = ()


@runtime_checkable
class Resolver(Protocol):
    """Answers requests of one kind. It is called from worker threads, several at a time."""

    def resolve(self, calls: Sequence[Call]) -> Sequence[object]:
        """Answer each call, in order.

        Returns:
            One element a call: a `DetectResult` for `Ground`, an `Answer` for `Query`, or an
            exception instance for a call that failed alone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolvers:
    """Who answers which kind of request; requests of a kind that is None fail as `unsupported`."""

    ground: Resolver | None = None
    query: Resolver | None = None

    def of(self, event: Ground | Query) -> Resolver | None:
        """The resolver for a request."""
        return self.ground if isinstance(event, Ground) else self.query


@dataclass(slots=True, eq=False, kw_only=True)
class Task(Generic[T]):
    """One call on a worker.

    Attributes:
        call: What is run.
        tag: The submitter's own.
        inbox: Where the news of it goes.
        state: How far it is; guarded by the pool's lock. `lost` runs, but was given up.
        started: When it began, seconds of `time.monotonic`.
        value: What the call returned.
        error: What the call raised, or None.
    """

    call: Callable[[], object]
    tag: T
    inbox: SimpleQueue[tuple[Task[T], News]]
    state: Literal["queued", "running", "lost", "ended"] = "queued"
    started: float = 0.0
    value: object = None
    error: BaseException | None = None


class WorkerPool:
    """Daemon threads that run tasks, `workers` at a time.

    Threads are started when there is work and leave when no run uses the pool any more. A task
    that was given up keeps its thread; another thread takes its place as long as there are
    fewer than `limit` threads in all.
    """

    def __init__(self, workers: int, *, limit: int | None = None) -> None:
        if workers < 1:
            raise InputError(f"worker pool: expected at least 1 worker, got {workers}")
        if limit is not None and limit < workers:
            raise InputError(f"worker pool: expected a limit of {workers} or more, got {limit}")
        self._workers = workers
        self._limit = 4 * workers if limit is None else limit
        self._changed = threading.Condition()
        self._queue: deque[Task[Any]] = deque()
        self._users = 0
        self._live = 0
        self._busy = 0
        self._lost = 0

    @property
    def limit(self) -> int:
        """The most threads that there can be, hanging ones counted."""
        return self._limit

    @property
    def threads(self) -> int:
        """How many threads there are now, hanging ones counted."""
        with self._changed:
            return self._live

    @property
    def lost(self) -> int:
        """How many calls were given up that have not come back."""
        with self._changed:
            return self._lost

    def __enter__(self) -> WorkerPool:
        with self._changed:
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def submit(self, task: Task[Any]) -> None:
        """Queue a task; it is refused at once if every thread of the limit hangs."""
        with self._changed:
            if self._capacity() > 0:
                self._queue.append(task)
                self._staff()
                return
            task.state = "ended"
        task.inbox.put((task, "refused"))

    def give_up(self, task: Task[Any]) -> None:
        """Drop a queued task, or stop counting on the thread of a running one."""
        with self._changed:
            if task.state == "queued":
                task.state = "ended"
                self._queue.remove(task)
            elif task.state == "running":
                task.state = "lost"
                self._lost += 1
                if self._capacity() == 0:
                    self._refuse_queued()
                self._staff()

    def _refuse_queued(self) -> None:
        while self._queue:
            task = self._queue.popleft()
            task.state = "ended"
            task.inbox.put((task, "refused"))

    def _capacity(self) -> int:
        return min(self._workers, self._limit - self._lost)

    def _staff(self) -> None:
        """Wake or start threads for what is queued."""
        missing = len(self._queue) - (self._live - self._busy)
        allowed = self._capacity() - (self._live - self._lost)
        for _ in range(min(missing, allowed)):
            threading.Thread(target=self._work, name="groundplane-worker", daemon=True).start()
            self._live += 1
        self._changed.notify(len(self._queue))

    def _work(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Run one task; apart from `_work`, so that an idle thread holds no task's data."""
        task = self._take()
        if task is not None:
            self._perform(task)
        return task is not None

    def _take(self) -> Task[Any] | None:
        with self._changed:
            while not self._queue and self._users and not self._surplus():
                self._changed.wait()
            if not self._queue or self._surplus():
                self._live -= 1
                return None
            task = self._queue.popleft()
            task.state = "running"
            self._busy += 1
        task.started = time.monotonic()
        task.inbox.put((task, "started"))
        return task

    def _surplus(self) -> bool:
        """Whether a thread that was given up has come back although it was replaced."""
        return self._live - self._lost > self._capacity()

    def _perform(self, task: Task[Any]) -> None:
        try:
            task.value = task.call()
        except BaseException as caught:  # noqa: BLE001 - whatever it is, it belongs to the caller
            task.error = caught
        with self._changed:
            self._busy -= 1
            if task.state == "lost":
                self._lost -= 1
            task.state = "ended"
        task.inbox.put((task, "ended"))


class Inbox(Generic[T]):
    """The calls of one run on a pool, with a deadline each.

    Args:
        pool: Where the calls run.
        deadline: Seconds that a call may take once it runs; waiting for a free worker does not
            count, or a hanging call would take the ones queued behind it along.
    """

    def __init__(self, pool: WorkerPool, *, deadline: float) -> None:
        self._pool = pool
        self._deadline = deadline
        self._messages: SimpleQueue[tuple[Task[T], News]] = SimpleQueue()
        self._tasks: dict[Task[T], None] = {}
        self._due: dict[Task[T], float] = {}

    def submit(self, call: Callable[[], object], *, tag: T) -> None:
        """Have a call run as soon as a worker is free."""
        task = Task(call=call, tag=tag, inbox=self._messages)
        self._tasks[task] = None
        self._pool.submit(task)

    def collect(self, until: float) -> list[tuple[Task[T], News]]:
        """Everything new; with nothing new, wait for it until a time of `time.monotonic`.

        Returns:
            Tasks that `ended` (see `error`, then `value`), passed their `deadline` and were
            given up, ended too `late` after that, or were `refused`, as every thread hangs.
        """
        while True:
            news: list[tuple[Task[T], News]] = []
            while not self._messages.empty():
                news.extend(self._read(*self._messages.get()))
            now = time.monotonic()
            news.extend(self._expired(now))
            if news or now >= until:
                return news
            wake = min([until, *self._due.values()])
            try:
                news = self._read(*self._messages.get(timeout=max(wake - now, 0.0)))
            except Empty:
                continue
            if news:
                return news

    def close(self) -> None:
        """Give up every call that has not ended."""
        for task in self._tasks:
            self._pool.give_up(task)
        self._tasks.clear()
        self._due.clear()

    def _read(self, task: Task[T], news: News) -> list[tuple[Task[T], News]]:
        if news == "started":
            self._due[task] = task.started + self._deadline
            return []
        del self._tasks[task]
        given_up = self._due.pop(task, None) is None
        return [(task, "late" if news == "ended" and given_up else news)]

    def _expired(self, now: float) -> list[tuple[Task[T], News]]:
        over = [task for task, due in self._due.items() if due <= now]
        for task in over:
            del self._due[task]
            self._pool.give_up(task)
        return [(task, "deadline") for task in over]

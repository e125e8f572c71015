"""Requests under way: each on a thread of its own, what they bring in one queue.

No read of a socket can be ended from outside, so whoever is late is left behind: its thread ends
with its next read.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from groundplane.language.chat.transport import Chat, ChatError, Delta

__all__ = ["Again", "Ended", "Item", "Streams", "Trouble"]

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0
# What threads may be ahead of the session: beyond it they wait.
_AHEAD = 1024
# Seconds after which a thread that cannot hand over looks whether anybody still wants it.
_LOOK = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A reply is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A request is made again; `why` in words."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trouble:
    """A request failed for good."""

    error: ChatError


Item = Delta | Ended | Again | Trouble
Make = Callable[[], Mapping[str, Any]]


@dataclass(slots=True, eq=False, kw_only=True)
class _Task:
    """One request on its thread."""

    key: int
    make: Make
    end: float = 0.0
    left: threading.Event = field(default_factory=threading.Event)


class Streams:
    """Runs requests and hands over what comes.

    Args:
        chat: Where they go.
        most: Most under way at a time; the others wait in line.
        retries: How often one is made again that could not begin.
        deadline: Seconds for one with its retries, from when it begins.
        first_wait: Seconds before the first retry; twice as long before each further one.
    """

    def __init__(
        self,
        chat: Chat,
        *,
        most: int,
        retries: int,
        deadline: float,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._chat, self._most, self._retries = chat, most, retries
        self._deadline, self._first_wait = deadline, first_wait
        self._line: deque[_Task] = deque()
        self._running: dict[int, _Task] = {}
        self._queue: queue.Queue[tuple[_Task, Item | BaseException]] = queue.Queue(_AHEAD)

    def start(self, key: int, make: Make) -> None:
        """Put a request in line.

        Args:
            key: Whose it is; nobody has two at a time.
            make: Makes the request's body, on its thread; what it raises, `take` raises, but for
                a `ChatError`, which is the request's own.
        """
        self._line.append(_Task(key=key, make=make))
        self._fill()

    def leave(self, key: int) -> None:
        """Nothing more is wanted of the request of `key`."""
        self._line = deque(task for task in self._line if task.key != key)
        task = self._running.pop(key, None)
        if task is not None:
            task.left.set()
        self._fill()

    def close(self) -> None:
        """Leave all requests."""
        self._line.clear()
        for key in list(self._running):
            self.leave(key)

    @property
    def keys(self) -> list[int]:
        """Whose requests are under way or in line."""
        return [*self._running, *(task.key for task in self._line)]

    def take(self, seconds: float) -> list[tuple[int, Item]]:
        """What has come, in the order of its coming; waits so long for the first of it."""
        items: list[tuple[int, Item]] = []
        until = time.monotonic() + seconds
        while self._running and len(items) < _AHEAD:
            wait = 0.0 if items else until - time.monotonic()
            try:
                given = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            self._sort(*given, items)
        self._expire(items)
        return items

    def _sort(self, task: _Task, item: Item | BaseException, items: list[tuple[int, Item]]) -> None:
        if self._running.get(task.key) is not task:
            return  # it was left
        if isinstance(item, BaseException):
            self.leave(task.key)
            raise item
        if isinstance(item, Ended | Trouble):
            self.leave(task.key)
        items.append((task.key, item))

    def _expire(self, items: list[tuple[int, Item]]) -> None:
        now = time.monotonic()
        for task in [task for task in self._running.values() if now >= task.end]:
            self.leave(task.key)
            why = f"the reply was not complete within {self._deadline:g} s"
            items.append((task.key, Trouble(error=ChatError(why, kind="late"))))

    def _fill(self) -> None:
        while self._line and len(self._running) < self._most:
            task = self._line.popleft()
            task.end = time.monotonic() + self._deadline
            self._running[task.key] = task
            threading.Thread(
                target=self._run, args=(task,), name=f"chat-{task.key}", daemon=True
            ).start()

    # On the threads ----------------------------------------------------------------------------

    def _run(self, task: _Task) -> None:
        tries = 0
        while not task.left.is_set():
            came = 0
            try:
                with closing(iter(self._chat.stream(task.make()))) as reply:  # type: ignore[type-var]
                    for delta in reply:
                        came += 1
                        if not self._put(task, delta):
                            return
                self._put(task, Ended())
                return
            except ChatError as error:
                tries += 1
                wait = max(error.wait, self._backoff(tries))
                over = time.monotonic() + wait >= task.end
                if error.kind != "busy" or came or tries > self._retries or over:
                    self._put(task, Trouble(error=_tried(error, tries, over=over)))
                    return
                if not self._put(task, Again(why=f"{error}; again in {wait:.2g} s")):
                    return
                task.left.wait(wait)
            except BaseException as error:  # noqa: BLE001 - the session raises it where it is seen
                self._put(task, error)
                return

    def _put(self, task: _Task, item: Item | BaseException) -> bool:
        """Hand over; false once nobody wants it."""
        while not task.left.is_set():
            try:
                self._queue.put((task, item), timeout=_LOOK)
                return True
            except queue.Full:
                continue
        return False

    def _backoff(self, tries: int) -> float:
        longest: float = min(_LONGEST_WAIT, self._first_wait * 2.0 ** min(tries - 1, 16))
        return longest * random.uniform(0.5, 1.0)


def _tried(error: ChatError, tries: int, *, over: bool) -> ChatError:
    if error.kind != "busy":
        return error
    more = ", no time for more" if over else ""
    return ChatError(f"{error} (tries: {tries}{more})", kind="busy")

"""A bounded queue between two threads that either side can close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Pipe"]

T = TypeVar("T")


class Pipe(Generic[T]):
    """What one thread puts in another takes out, in order; whoever puts waits when it is full.

    Args:
        most: How many it holds.

    Examples:
        >>> pipe = Pipe(2)
        >>> pipe.put("a"), pipe.end(), pipe.get(), pipe.get()
        (True, None, 'a', None)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: deque[T] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._closed = False

    def put(self, thing: T) -> bool:
        """Put something in, waiting for room; False where the pipe is closed."""
        with self._changed:
            while len(self._held) >= self._most and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._held.append(thing)
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Take the next out, waiting for it; None where nothing will come any more."""
        with self._changed:
            while not self._held and not self._over and not self._closed:
                self._changed.wait()
            if not self._held or self._closed:
                return None
            thing = self._held.popleft()
            self._changed.notify_all()
            return thing

    def end(self) -> None:
        """Nothing will be put in any more; what is in it can still be taken."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody takes anything any more; whoever waits goes on."""
        with self._changed:
            self._closed = True
            self._held.clear()
            self._changed.notify_all()

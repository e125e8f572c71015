"""A first Ctrl-C ends a job in order, a second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, runtime_checkable

__all__ = ["Interruptible", "drained_by_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@runtime_checkable
class Interruptible(Protocol):
    """What can be ended in two ways, both from within a signal's handler."""

    def drain(self, why: str = ...) -> None:
        """Finish what is begun."""
        ...

    def stop(self) -> None:
        """Give up what is begun."""
        ...


@contextmanager
def drained_by_signals(job: Interruptible) -> Iterator[None]:
    """Within it SIGINT and SIGTERM drain the job; the second one stops it.

    Outside the main thread, where no handler can be set, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            job.drain(f"{signal.Signals(number).name}; once more ends it at once")
        else:
            job.stop()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

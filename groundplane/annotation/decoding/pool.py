"""Processes that decode: whatever an item does to one of them, only that item is lost."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from groundplane.annotation.decoding.foreman import Foreman, Terms
from groundplane.annotation.decoding.slots import Slots
from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.annotation import Failure
from groundplane.core.errors import InputError, WorkerError
from groundplane.core.media import MediaLimits

__all__ = ["DecodePool"]

_DEFAULT_LIMITS = MediaLimits()


class DecodePool:
    """Reads and decodes items in processes of its own, into memory shared with them.

    A picture ends with one `Picture` or `Unread`; a video gives a `Picture` a frame that is
    wanted, an `Unread` if it has a fault, and one `ItemEnd`. They come in the order in which they
    are done. All methods may be called from any thread.

    Args:
        workers: How many processes; one a processor core by default.
        limits: What a picture may be at most.
        seconds: That a picture, or a frame of a video, may take. A process that takes longer is
            ended, and the item with it.
        memory: Bytes of address space that a process may have.
        slots: Pictures that there can be at a time, from the beginning of their decoding to their
            release.

    Raises:
        InputError: If a number is below 1.
        WorkerError: If the processes cannot be started, or there is no memory to share, or there
            are no descriptors for it.

    Examples:
        >>> with DecodePool(1, slots=4) as pool:
        ...     pool.submit(Item(path="zero.jpg", where={"file": "/dev/zero"}))
        ...     pool.next(timeout=30).failure
        Failure(stage='read', message="cannot read picture 'zero.jpg': it is not a regular file")
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: MediaLimits = _DEFAULT_LIMITS,
        *,
        seconds: float = 30.0,
        memory: int = 2 * 2**30,
        slots: int = 64,
    ) -> None:
        workers = len(os.sched_getaffinity(0)) if workers is None else workers
        for name, value in (("workers", workers), ("seconds", seconds), ("slots", slots)):
            if not value >= (0.01 if name == "seconds" else 1):
                raise InputError(f"decoding: expected {name} of 1 or more, got {value}")
        try:
            self._slots = Slots(slots, most=max(3 * limits.max_pixels, limits.max_bytes))
        except OSError as error:
            raise _no_room(slots, error) from error
        self._results: queue.SimpleQueue[Picture | Unread | ItemEnd | BaseException] = (
            queue.SimpleQueue()
        )
        terms = Terms(workers=workers, limits=limits, seconds=seconds, memory=memory)
        try:
            self._foreman = Foreman(self._slots, self._results.put, terms)
        except OSError as error:
            self._slots.close()
            raise _no_room(slots, error) from error
        self._hired: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="decode pool", daemon=True)
        self._thread.start()
        try:
            self._hired.result()
        except BaseException:
            self._foreman.close()
            self._thread.join()
            self._slots.close()
            raise

    def submit(self, item: Item) -> None:
        """Hand over an item; it is begun as soon as a process and a slot are free."""
        if item.kind == "fault":
            failure = Failure(stage="read", message=str(item.where.get("message", "")))
            self._results.put(
                Unread(path=item.path, content_hash="", failure=failure, stamp=item.stamp)
            )
        else:
            self._foreman.take(item)

    def next(self, timeout: float | None = None) -> Picture | Unread | ItemEnd | None:
        """What has come of some item; None where nothing did in so many seconds.

        Raises:
            WorkerError: If no process can be started.
        """
        try:
            result = self._results.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            self._results.put(result)  # for whoever else asks
            raise result
        return result

    def release(self, picture: Picture) -> None:
        """The pixels of a picture are no longer needed, and are no longer valid."""
        if picture.slot >= 0:
            self._foreman.release(picture.slot)

    def slot_fds(self) -> tuple[int, ...]:
        """The descriptors of all slots, for processes that map them with `map_slot`."""
        return self._slots.fds

    @property
    def pids(self) -> Sequence[int]:
        """The ids of the processes that are at work now."""
        return self._foreman.pids

    def close(self) -> None:
        """End all processes; what was not decoded yet is dropped."""
        self._foreman.close()
        self._thread.join()
        self._slots.close()

    def _work(self) -> None:
        try:
            self._foreman.hire()
        except BaseException as error:  # noqa: BLE001 - it is raised where the pool is made
            self._hired.set_exception(error)
            return
        self._hired.set_result(None)
        try:
            self._foreman.run()
        except BaseException as error:  # noqa: BLE001 - it is raised where results are taken
            self._results.put(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _no_room(slots: int, error: OSError) -> WorkerError:
    """Why so many pictures cannot be shared with other processes, and what to do about it."""
    cures = {
        errno.EFBIG: "raise the limit of the size of files (ulimit -f), which holds for memory too",
        errno.EMFILE: "raise the limit of open files (ulimit -n), or take smaller batches",
    }
    return WorkerError(
        f"decoding: there cannot be memory for {slots} pictures at a time: "
        f"{error.strerror or error}; {cures.get(error.errno or 0, 'smaller batches need less')}"
    )

"""Gives items to the processes that decode, hears what they say, and replaces those that end.

All of it runs in one thread; other threads leave items and slots for it and wake it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from groundplane.annotation.decoding.granting import Grants
from groundplane.annotation.decoding.item_json import item_record
from groundplane.annotation.decoding.messages import Message
from groundplane.annotation.decoding.process import DecodeProcess, Job
from groundplane.annotation.decoding.results import end_of, picture_of, unread_of
from groundplane.annotation.decoding.slots import Slots, map_slot, write_slot
from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.errors import MediaError, WorkerError
from groundplane.core.files import one_line
from groundplane.core.media import MediaLimits, read_image

__all__ = ["Foreman", "Terms"]

Result = Picture | Unread | ItemEnd
# Items that a process has at a time, so that it need not wait for the next one.
_AHEAD = 2
# Bytes of memory for all pictures together beyond what every slot keeps.
_SPARE = 512 * 2**20
# Seconds that a process may take to start; and how often in a row starting may fail.
_START, _TRIES = 60.0, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What processes may do.

    Attributes:
        workers: How many there are.
        limits: What a picture may be at most.
        seconds: What an item may take.
        memory: What each process may have, bytes.
    """

    workers: int
    limits: MediaLimits
    seconds: float
    memory: int


class Foreman:
    """Runs the processes.

    Args:
        slots: Memory to decode to.
        give: What takes the results; called from the thread that runs.
        terms: How many processes there are, and what they may do.
    """

    def __init__(self, slots: Slots, give: Callable[[Result], None], terms: Terms) -> None:
        limits = terms.limits
        self._fds = slots.fds
        self._give = give
        self._limits = limits
        self._seconds = terms.seconds
        self._most = terms.workers
        self._settings: Mapping[str, object] = {
            "limits": asdict(limits), "formats": limits.formats, "seconds": terms.seconds,
            "memory": terms.memory, "slots": self._fds,
        }  # fmt: skip
        self._grants = Grants(slots, spare=max(_SPARE, 6 * limits.max_pixels))
        self._todo: deque[Item] = deque()
        self._given: deque[Item | int | None] = deque()
        self._crew: list[DecodeProcess] = []
        self._dying: list[DecodeProcess] = []
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._closing = False
        self._over = False
        self._lock = threading.Lock()

    @property
    def pids(self) -> Sequence[int]:
        """Ids of the processes at work."""
        return tuple(process.pid for process in self._crew)

    def take(self, item: Item) -> None:
        """Leave an item; from any thread."""
        self._leave(item)

    def release(self, slot: int) -> None:
        """Leave a slot that is no longer needed; from any thread."""
        self._leave(slot)

    def close(self) -> None:
        """Have `run` end; from any thread."""
        self._leave(None)

    def _leave(self, thing: Item | int | None) -> None:
        self._given.append(thing)
        with self._lock, contextlib.suppress(BlockingIOError):  # rung often enough
            if not self._over:
                os.write(self._ring, b"!")

    def hire(self) -> None:
        """Start the processes, in the thread that runs: they end when it does.

        Raises:
            WorkerError: If one cannot be started; none is left behind.
        """
        try:
            for _ in range(self._most):
                self._hire()
        except BaseException:
            self._dismiss()
            raise

    def run(self) -> None:
        """Work until it is closed.

        Raises:
            WorkerError: If processes end before they are ready.
        """
        try:
            while not self._closing:
                self._hear(self._selector.select(self._patience()))
                self._look_after()
                self._hand_out()
        finally:
            self._dismiss()

    # Processes -------------------------------------------------------------------------------

    def _hire(self) -> None:
        try:
            process = DecodeProcess(self._fds, self._settings)
        except OSError as error:
            raise WorkerError(
                f"decoding: a process cannot be started: {error.strerror or error}"
            ) from error
        self._crew.append(process)
        messages, printed = process.sockets
        self._selector.register(messages, selectors.EVENT_READ, process)
        self._selector.register(printed, selectors.EVENT_READ, process)

    def _forget(self, process: DecodeProcess) -> None:
        """Listen to a process no more; it is killed, if it has not ended yet."""
        process.kill()
        self._crew.remove(process)
        self._dying.append(process)
        for descriptor in process.sockets:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)

    def _bury(self, process: DecodeProcess) -> None:
        """Its slots are free once it has ended: nobody writes to them any more."""
        self._dying.remove(process)
        why = process.close()
        if not process.ready:
            self._failed_starts += 1
            if self._failed_starts >= _TRIES:
                raise WorkerError(
                    f"decoding: processes end before they are ready: {why}. Try: "
                    "python -m groundplane.annotation.decoding.worker < /dev/null"
                )
        for number, job in enumerate(process.jobs):
            self._grants.free(job.slot)
            if number == 0 and process.ready:
                self._fail(job.item, why)
            else:
                self._todo.appendleft(job.item)

    def _fail(self, item: Item, why: str) -> None:
        name = one_line(item.path)
        message: Message = {"stage": "decode", "message": f"cannot read {name!r}: {why}"}
        self._give(unread_of(item, message))
        if item.kind == "video":
            self._give(end_of(item, {"frames": 0, "hash": ""}))

    def _dismiss(self) -> None:
        for process in self._crew[:]:
            self._forget(process)
        for process in self._dying:
            deadline = time.monotonic() + 5
            while not process.ended() and time.monotonic() < deadline:
                time.sleep(0.001)
            process.close()
        self._selector.close()
        with self._lock:  # nobody may ring what is a file of somebody else by then
            self._over = True
            os.close(self._bell)
            os.close(self._ring)

    def _patience(self) -> float | None:
        """How long nothing needs to be looked after."""
        if self._dying:
            return 0.002
        times = [self._deadline(process) for process in self._crew]
        soonest = min((when for when in times if when is not None), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _deadline(self, process: DecodeProcess) -> float | None:
        if not process.ready:
            return process.begun + _START
        if not process.jobs or process.jobs[0].wish:
            return None
        return process.jobs[0].since + self._seconds

    def _look_after(self) -> None:
        now = time.monotonic()
        for process in self._crew[:]:
            deadline = self._deadline(process)
            if deadline is not None and now >= deadline:
                seconds = self._seconds if process.ready else _START
                process.kill(f"it took more than {seconds:g} s")
                self._forget(process)
        for process in self._dying[:]:
            if process.ended():
                self._bury(process)

    # Messages --------------------------------------------------------------------------------

    def _hear(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in events:
            process = key.data
            if process is None:
                self._wake()
            elif process not in self._crew:
                continue
            elif key.fd == process.sockets[0]:
                self._converse(process)
            elif not process.listen():
                self._selector.unregister(key.fd)

    def _wake(self) -> None:
        os.read(self._bell, 2**16)
        while self._given:
            thing = self._given.popleft()
            if thing is None:
                self._closing = True
            elif isinstance(thing, Item):
                self._todo.append(thing)
            else:
                self._grants.free(thing)

    def _converse(self, process: DecodeProcess) -> None:
        process.flush()
        try:
            for message in process.receive():
                self._understand(process, message)
        except EOFError:
            self._forget(process)
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
            process.kill("the process that decoded it said what makes no sense")
            self._forget(process)
        self._watch(process)

    def _understand(self, process: DecodeProcess, message: Any) -> None:
        kind = message["kind"]
        if kind == "ready":
            process.ready, self._failed_starts = True, 0
            self._begin_next(process)
            return
        job = process.jobs[0]
        job.since = time.monotonic()
        if kind == "want":
            job.wish = self._whole(message["bytes"])
        elif kind == "picture":
            self._pass_on(process, job, message)
        elif kind == "unread":
            self._give(unread_of(job.item, message))
            if job.item.kind != "video":
                self._finish(process)
        elif kind == "end":
            self._give(end_of(job.item, message))
            self._finish(process)
        elif kind != "busy":
            raise ValueError(kind)

    def _pass_on(self, process: DecodeProcess, job: Job, message: Any) -> None:
        slot, shape = job.slot, tuple(message["shape"])
        size = self._whole(shape[0] * shape[1] * shape[2])
        if message["slot"] != slot or slot < 0 or not self._grants.covers(slot, size):
            raise ValueError("a slot that was not granted")
        picture = picture_of(job.item, message, map_slot(self._fds[slot], shape), slot)
        job.slot = -1  # the slot is the picture's from now on
        self._grants.used(slot, size)
        if picture.frame is None:
            self._finish(process)
        self._give(picture)

    def _finish(self, process: DecodeProcess) -> None:
        job = process.jobs.popleft()
        self._grants.free(job.slot)
        self._begin_next(process)

    def _begin_next(self, process: DecodeProcess) -> None:
        if process.jobs:
            process.jobs[0].since = time.monotonic()

    def _whole(self, value: object) -> int:
        most = max(3 * self._limits.max_pixels, self._limits.max_bytes)
        if not isinstance(value, int) or not 0 < value <= most:
            raise ValueError(f"{value!r} bytes")
        return value

    # Work ------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Grant what is waited for, then begin new items."""
        for process in self._crew:
            job = process.jobs[0] if process.jobs else None
            if job is not None and job.wish and self._grants.grant(job, job.wish):
                job.wish, job.since = 0, time.monotonic()
                process.send({"slot": job.slot})
                self._watch(process)
        while self._todo and not self._closing:
            if len(self._crew) + len(self._dying) < self._most:
                self._hire()
            if not self._begin(self._todo[0]):
                return
            self._todo.popleft()

    def _begin(self, item: Item) -> bool:
        """Give an item to the process with the least to do; False where all have enough."""
        if isinstance(item.held, np.ndarray):
            return self._take_pixels(item, item.held)
        alone = item.kind == "video"
        free = [p for p in self._crew if len(p.jobs) < (1 if alone or _busy(p) else _AHEAD)]
        process = min(free, key=lambda p: len(p.jobs), default=None)
        job = Job(item=item, since=time.monotonic())
        if process is None or not (alone or self._grants.grant(job)):
            return False
        message: Message = {"item": item_record(item), "slot": job.slot}
        if isinstance(item.held, bytes):
            held = item.held[: self._limits.max_bytes + 1]
            if held and len(held) <= self._limits.max_bytes:
                write_slot(self._fds[job.slot], np.frombuffer(held, dtype=np.uint8))
                self._grants.used(job.slot, len(held))
                message["held"] = len(held)
            else:
                message["item"] = item_record(item) | {"where": {"message": _unfit(item, held)}}
        process.jobs.append(job)
        process.send(message)
        self._watch(process)
        return True

    def _take_pixels(self, item: Item, pixels: np.ndarray) -> bool:
        """Pixels that were handed over need no process."""
        name = one_line(item.path)
        try:
            image = read_image(pixels, name=name, limits=self._limits)
        except MediaError as error:
            self._give(unread_of(item, {"stage": "decode", "message": str(error)}))
            return True
        job = Job(item=item)
        if not self._grants.grant(job, image.pixels.nbytes):
            return False
        write_slot(self._fds[job.slot], image.pixels)
        self._grants.used(job.slot, image.pixels.nbytes)
        message = {
            "hash": image.source.content_hash, "map": image.frame_map.matrix.ravel().tolist(),
            "seconds": {},
        }  # fmt: skip
        shown = map_slot(self._fds[job.slot], image.pixels.shape)
        self._give(picture_of(item, message, shown, job.slot))
        return True

    def _watch(self, process: DecodeProcess) -> None:
        """Notice when what could not be sent can be."""
        if process in self._crew and process.watched != process.waits_to_send:
            process.watched = process.waits_to_send
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE * process.watched)
            self._selector.modify(process.sockets[0], events, process)


def _busy(process: DecodeProcess) -> bool:
    """Whether nothing should wait behind what a process does, as it may do it for long."""
    return not process.ready or any(job.item.kind == "video" for job in process.jobs)


def _unfit(item: Item, held: bytes) -> str:
    what = "too many bytes; raise MediaLimits.max_bytes" if held else "the file is empty"
    return f"cannot read picture {one_line(item.path)!r}: {what}"

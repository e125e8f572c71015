"""One process of experts, from its start to its end, as the one that started it sees it."""

from __future__ import annotations

import dataclasses
import logging
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundplane.annotation.experts_log import ExpertsLog, open_output
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import LookTerms
from groundplane.annotation.parcels import Parcel, receive, send
from groundplane.annotation.spec import JobSpec
from groundplane.core import errors
from groundplane.core.errors import DetectorError, GroundplaneError, InputError

__all__ = ["Answer", "Child", "EndedError", "Start"]

_log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-P", "-m", "groundplane.annotation.expert_worker")
# Seconds: that a process has to start, weights and all; after a deadline, within which an expert
# is given up by name without loss for others, until the process is ended; for an answer to come
# whole once it has begun; and between looks at whether the process lives and how large it is.
_START, _GRACE, _WHOLE, _TICK = 1800.0, 0.6, 60.0, 0.05
# Of its own pixels a process keeps so many bytes between looks.
_KEPT = 64 * 2**20
_PAGE = mmap.ALLOCATIONGRANULARITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """With what a process is started.

    Attributes:
        spec: What is looked for.
        terms: On what terms.
        slots: Files that pixels may lie in, by number of slot.
        log: A file that what experts print is added to; None for stderr.
    """

    spec: JobSpec
    terms: LookTerms
    slots: tuple[int, ...] = ()
    log: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What came of a look.

    Attributes:
        records: The records, encoded.
        stuck: Calls that hang in a thread of the process each.
        largest: See `Looker.largest`.
    """

    records: tuple[bytes, ...]
    stuck: int
    largest: int | None = None


class EndedError(Exception):
    """The process has ended, or was ended, over a look.

    Args:
        why: In a few words.
        stage: The stage of the look.
        memory: Whether memory was the reason, as far as that can be told.
    """

    def __init__(self, why: str, *, stage: str, memory: bool = False) -> None:
        super().__init__(why)
        self.stage = stage
        self.memory = memory


class Child:
    """A process of experts.

    Args:
        start: With what it is started.

    Raises:
        GroundplaneError: What it says of experts that cannot be made, under the same class.
        DetectorError: If it ends before it says anything.

    Attributes:
        who: What messages call the experts.
        lacking: The prompts that they cannot look for.
        seconds: What its stages have taken so far.
        served: Looks that it has answered.
    """

    def __init__(self, start: Start) -> None:
        self._terms = start.terms
        self._slots = start.slots
        self._pixels = _Pixels()
        self._ending = threading.Lock()
        self._connection, theirs = socket.socketpair()
        fds = [*start.slots, self._pixels.fd]
        try:
            self._log = None if start.log is None else ExpertsLog(start.log)
            self._process = _launched(self._log, theirs, fds)
        except OSError as error:
            self._pixels.close()
            self._connection.close()
            raise DetectorError(f"experts: their process cannot be started: {error}") from error
        finally:
            theirs.close()
        self.seconds: dict[str, float] = {}
        self.served = 0
        try:
            spec, terms = dataclasses.asdict(start.spec), dataclasses.asdict(start.terms)
            self._tell({"spec": spec, "terms": terms, "fds": fds})
            (told, _), _ = self._hear("start", limit=_START)
        except EndedError as end:
            self.end()
            raise DetectorError(
                f"experts: their process ended while it started: {end}{self.said()}"
            ) from end
        except BaseException:
            self.end()
            raise
        self.who = str(told["ready"])
        self.lacking = {str(phrase): str(why) for phrase, why in told["lacking"].items()}

    def look(self, pictures: Sequence[Picture], *, captions: bool = True) -> Answer:
        """Have it look at pictures.

        Raises:
            EndedError: If it ends, takes too long or too much memory; it is ended then.
            GroundplaneError: If it can look at nothing any more.
        """
        placed = self._pixels.place(pictures, self._slots)
        self._tell({"look": [_told(*one) for one in zip(pictures, placed, strict=True)],
                    "captions": captions})  # fmt: skip
        deadline = self._terms.deadline
        limit = None if deadline is None else deadline + _GRACE
        (told, records), stage = self._hear("detect", limit=limit)
        if len(records) != len(pictures):
            raise EndedError("it gave another number of records", stage=stage)
        self.seconds = {str(name): float(spent) for name, spent in told["seconds"].items()}
        self.served += 1
        self._pixels.trim()
        if self._log is not None:
            self._log.bound()
        return Answer(records=tuple(records), stuck=int(told["stuck"]), largest=told["largest"])

    def print_to(self, path: Path) -> None:
        """Have it print to a file from here on; to be called between looks.

        Raises:
            OSError: If that cannot be written.
        """
        self._log = ExpertsLog(path)
        self._tell({"print_to": os.path.abspath(path)})

    def said(self) -> str:
        """Its last words, to be put behind why it ended; empty where they are not kept."""
        line = "" if self._log is None else self._log.last_line()
        return f"; it printed last: {line}" if line else ""

    def too_large(self) -> bool:
        """Whether it holds more memory than it may."""
        most = self._terms.memory
        return most is not None and _own_memory(self._process.pid) > most

    def kill(self) -> None:
        """End it and all processes that it has started; from any thread, whatever it does."""
        with self._ending:
            # Before it was waited for: until then nobody else can get its number.
            if self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it, wait until it has ended, and let go of it."""
        self.kill()
        with self._ending:
            self._process.wait()
        self._connection.close()
        self._pixels.close()

    def _tell(self, head: Mapping[str, object]) -> None:
        self._connection.settimeout(_WHOLE)
        with suppress(OSError):  # it is gone; whoever waits for its answer notices
            send(self._connection, head)

    def _hear(self, stage: str, *, limit: float | None) -> tuple[Parcel, str]:
        """What it says that is no news of a stage, and the stage that it was in."""
        begun = time.monotonic()
        while True:
            while not select.select([self._connection], [], [], _TICK)[0]:
                self._check(stage, begun=begun, limit=limit)
            try:
                told, blocks = receive(self._connection, until=time.monotonic() + _WHOLE)
            except (EOFError, OSError, ValueError):
                raise self._ended(stage) from None
            if "fault" in told:
                raise _fault(*told["fault"])
            if "stage" not in told:
                return (told, blocks), stage
            stage, begun = str(told["stage"]), time.monotonic()

    def _check(self, stage: str, *, begun: float, limit: float | None) -> None:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, self._process.pid, flags) is not None:
            raise self._ended(stage)
        if self._log is not None:
            self._log.bound()
        if self.too_large():
            most = (self._terms.memory or 0) / 2**20
            raise EndedError(f"more than {most:.0f} MiB of memory", stage=stage, memory=True)
        if limit is not None and time.monotonic() - begun > limit:
            seconds = limit if self._terms.deadline is None else self._terms.deadline
            raise EndedError(f"no result within {seconds:g} s", stage=stage)

    def _ended(self, stage: str) -> EndedError:
        self.end()
        code = self._process.returncode
        if code is not None and code >= 0:
            return EndedError(f"exit code {code}", stage=stage)
        name = signal.Signals(-(code or 0)).name if code else "unknown signal"
        # The kernel ends a process so when the machine's memory is used up.
        return EndedError(f"signal {name}", stage=stage, memory=code == -signal.SIGKILL)


class _Pixels:
    """A file without a name that holds the pixels of the pictures that are in no slot."""

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            raise InputError(
                "annotation: experts in a process of their own need Linux. Try: experts as objects"
            )
        self.fd = os.memfd_create("groundplane-pixels", os.MFD_CLOEXEC)
        self._size = self._used = 0

    def place(self, pictures: Sequence[Picture], slots: Sequence[int]) -> list[tuple[int, int]]:
        """For each picture the file and the offset of its pixels, copied here if need be."""
        placed = []
        self._used = 0
        for picture in pictures:
            if 0 <= picture.slot < len(slots):
                placed.append((slots[picture.slot], 0))
            else:
                placed.append((self.fd, self._used))
                self._used += -(-picture.pixels.nbytes // _PAGE) * _PAGE
        if self._used > self._size:
            os.ftruncate(self.fd, self._used)
            self._size = self._used
        for picture, (fd, offset) in zip(pictures, placed, strict=True):
            if fd == self.fd:
                self._write(picture, offset)
        return placed

    def trim(self) -> None:
        """Give back the memory of what large batches took."""
        if self._used > _KEPT:
            with mmap.mmap(self.fd, self._used - _KEPT, offset=_KEPT) as memory:
                memory.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write(self, picture: Picture, offset: int) -> None:
        with mmap.mmap(self.fd, picture.pixels.nbytes, offset=offset) as memory:
            target = np.frombuffer(memory, dtype=np.uint8).reshape(picture.pixels.shape)
            np.copyto(target, picture.pixels)
            del target  # the map cannot be closed while an array shows it


def _launched(
    log: ExpertsLog | None, theirs: socket.socket, fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start the process in a group of its own, which Ctrl-C in a terminal does not reach."""
    errors_to = 2 if log is None else open_output(log.path)
    try:
        return subprocess.Popen(
            [*_COMMAND, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=errors_to,
            stderr=errors_to,
            pass_fds=(theirs.fileno(), *fds),
            start_new_session=True,
        )
    finally:
        if log is not None:
            os.close(errors_to)


def _told(picture: Picture, place: tuple[int, int]) -> dict[str, object]:
    frame = picture.frame
    return {
        "path": picture.path,
        "hash": picture.content_hash,
        "size": picture.size,
        "to_stored": picture.to_stored,
        "frame": None if frame is None else (frame.video, frame.index, frame.time),
        "fd": place[0],
        "offset": place[1],
    }


def _fault(name: str, message: str) -> GroundplaneError:
    """An error under the class that it had in the other process."""
    kind = getattr(errors, name, None)
    ours = isinstance(kind, type) and issubclass(kind, GroundplaneError)
    return kind(message) if ours and kind is not None else DetectorError(message)


def _own_memory(pid: int) -> int:
    """Bytes that a process holds for itself alone; 0 where that cannot be told any more."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    resident, shared = (int(pages) for pages in text.split()[1:3])
    return (resident - shared) * mmap.PAGESIZE

"""The process that reads and decodes: one item after the other, as it is told.

Whatever a codec does to its process, only the item that it was at is lost. In come a message with
settings, then `{"item"}` or `{"slot"}`; out go `ready`, then of each item `picture` (of a video,
many), `unread` or, for a video, `end`. `want` asks for a slot to write so many bytes to, and
`busy` says that a long video is still being worked on.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import resource
import signal
import socket
import stat
import time
from collections import deque
from collections.abc import Iterator
from typing import IO, Any, cast

from groundplane.annotation.decoding.fetching import Fetcher, shown
from groundplane.annotation.decoding.item_json import item_of
from groundplane.annotation.decoding.messages import Message, pack, receive
from groundplane.annotation.decoding.places import open_address
from groundplane.annotation.decoding.slots import KEPT, SlotWriter
from groundplane.annotation.items import Item
from groundplane.core.errors import GroundplaneError, MediaError
from groundplane.core.image import Image
from groundplane.core.media import MediaLimits, read_image
from groundplane.core.regular_files import stamp_of

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
# Bytes of a video that are hashed, and seconds that pass, between two words that it goes on.
_PIECE, _SILENCE = 2**24, 1.0


class _OverError(Exception):
    """The process that gives the items has ended, or wants no more."""


class _Line:
    """The connection to the process that gives the items."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._items: deque[Message] = deque()

    def say(self, **message: object) -> None:
        try:
            self._connection.sendall(pack(message))
        except OSError as error:
            raise _OverError from error

    def hear(self) -> Message:
        try:
            return receive(self._connection)
        except (OSError, EOFError, ValueError) as error:
            raise _OverError from error

    def item(self) -> Message:
        """The next item; waits for it."""
        return self._items.popleft() if self._items else self.hear()

    def slot(self, size: int) -> int:
        """A slot to write so many bytes to; waits for it."""
        self.say(kind="want", bytes=size)
        while "item" in (message := self.hear()):
            self._items.append(message)  # it was sent before the wish arrived
        return _whole(message["slot"])


class _Decoder:
    """Works on items.

    Args:
        line: Who gives them.
        settings: `limits`, `seconds`, and `slots`: the descriptors of the shared memory.
    """

    def __init__(self, line: _Line, settings: Any) -> None:
        self._line = line
        self._limits = MediaLimits(**{**settings["limits"], "formats": tuple(settings["formats"])})
        self._seconds = float(settings["seconds"])
        self._slots: list[int] = settings["slots"]
        self._writer = SlotWriter(self._slots)
        self._fetcher = Fetcher(self._limits.max_bytes)
        self._told = 0.0

    def work(self, message: Any) -> None:
        """Do one item; says what became of it."""
        item = item_of(message["item"])
        _limit_time(self._seconds)
        if item.kind == "video":
            self._video(item)
        else:
            self._picture(item, message)

    def _picture(self, item: Item, message: Any) -> None:
        slot = int(message["slot"])
        begun = time.perf_counter()
        data = b""
        stage = "read"
        try:
            if "held" in message:
                data = os.pread(self._slots[slot], message["held"], 0)
            else:
                data = self._fetcher.fetch(item)
            read = time.perf_counter() - begun
            stage = "decode"
            image = read_image(data, name=shown(item.path), limits=self._limits)
        except (GroundplaneError, OSError, MemoryError) as error:
            digest = hashlib.sha256(data).hexdigest() if stage == "decode" else ""
            self._line.say(kind="unread", stage=stage, message=_told(error), hash=digest)
            return
        if image.pixels.nbytes > KEPT:
            slot = self._line.slot(image.pixels.nbytes)
        self._writer.write(slot, image.pixels)
        seconds = {"read": read, "decode": time.perf_counter() - begun - read}
        self._line.say(**_picture(image, slot), hash=image.source.content_hash, seconds=seconds)

    def _video(self, item: Item) -> None:
        """Give the frames of a video that are wanted, up to its end or its first fault."""
        digest, frames, stage = "", 0, "read"
        try:
            with _open_video(item) as file:
                digest = self._hash(file)
                stage = "decode"
                file.seek(0)
                for frames in self._frames(file, item, digest):  # noqa: B007 - the last counts
                    pass
                if "file" in item.where:
                    _check_unchanged(file.fileno(), item)
        except (GroundplaneError, OSError, MemoryError, ValueError) as error:
            self._line.say(kind="unread", stage=stage, message=_told(error), hash=digest)
        self._line.say(kind="end", frames=frames, hash=digest)

    def _frames(self, file: IO[bytes], item: Item, digest: str) -> Iterator[int]:
        """Send frames; gives how many there have been."""
        from groundplane.core.video import read_frames

        done = item.frames_done

        def wanted(index: int) -> bool:
            known = index >> 3 < len(done) and done[index >> 3] >> (index & 7) & 1
            return index % item.frame_step == 0 and not known

        begun = time.perf_counter()
        for frame in read_frames(file, name=shown(item.path), limits=self._limits, wanted=wanted):
            if frame.image is None:
                self._go_on()
            else:
                spent = time.perf_counter() - begun
                slot = self._line.slot(frame.image.pixels.nbytes)
                self._writer.write(slot, frame.image.pixels)
                when = [frame.index, frame.time.numerator, frame.time.denominator]
                self._line.say(
                    **_picture(frame.image, slot), hash=digest, frame=when,
                    seconds={"decode": spent},
                )  # fmt: skip
                begun = time.perf_counter()
                _limit_time(self._seconds)
            yield frame.index + 1

    def _hash(self, file: IO[bytes]) -> str:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
            self._go_on()
        return digest.hexdigest()

    def _go_on(self) -> None:
        """Say from time to time that something was achieved."""
        if time.monotonic() - self._told > _SILENCE:
            self._told = time.monotonic()
            self._line.say(kind="busy")
            _limit_time(self._seconds)


def _picture(image: Image, slot: int) -> dict[str, Any]:
    return {
        "kind": "picture",
        "slot": slot,
        "shape": list(image.pixels.shape),
        "map": image.frame_map.matrix.ravel().tolist(),
    }


def _open_video(item: Item) -> IO[bytes]:
    where = item.where
    if "address" in where:
        return cast("IO[bytes]", open_address(str(where["address"])))
    # Opening a pipe must not wait for a writer; what is no regular file is refused just below.
    descriptor = os.open(str(where["file"]), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_unchanged(descriptor, item)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_unchanged(descriptor: int, item: Item) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"cannot read video {shown(item.path)!r}: it is not a regular file")
    if item.stamp is not None and item.stamp != stamp_of(status):
        raise MediaError(
            f"cannot read video {shown(item.path)!r}: it has changed since it was listed"
        )


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return "it needs more memory than a process that decodes may take"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def _whole(value: object) -> int:
    return int(str(value))


def _limit_time(seconds: float) -> None:
    """Let the system end this process once it has computed for too long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _confine(memory: int) -> None:
    """What a codec that was taken over, or that runs away, can do at most."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It ends with the one that gives the items, even in the middle of one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(limit, (most, most))


def main() -> None:
    """Work until there is nobody any more who gives items."""
    line = _Line(socket.socket(fileno=os.dup(0)))
    try:
        settings: Any = line.hear()
        _confine(int(settings["memory"]) + KEPT * len(settings["slots"]))
        decoder = _Decoder(line, settings)
        line.say(kind="ready")
        while True:
            decoder.work(line.item())
    except _OverError:
        return


if __name__ == "__main__":
    main()

"""The bytes of a log: a header, then frames that each prove themselves.

A frame is a marker, the length of its payload, a checksum and the payload. The checksum (BLAKE2b,
64 bits) also covers the log's own key and the place of the frame, so that neither old blocks of
another log, which a file system may show after a power failure, nor a frame within a payload is
ever taken for a record. The marker's bytes occur in no UTF-8 text.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundplane.annotation.disk import SYSTEM, Disk, reason
from groundplane.core.errors import InputError
from groundplane.core.files import one_line

__all__ = [
    "HEADER_SIZE",
    "KEY_SIZE",
    "MAX_PAYLOAD",
    "Damage",
    "LogScan",
    "make_frame",
    "make_header",
    "read_frame",
    "read_header",
    "scan_log",
]

FORMAT = 1
KEY_SIZE = 16
MAX_PAYLOAD = 2**26
_MAGIC = b"GPLOG\r\n\x1a"
_HEADER = struct.Struct(f"<8sI{KEY_SIZE}s8s")
HEADER_SIZE = _HEADER.size
_MARKER = b"\xf5\xc7\xae\xf9"
_FRAME = struct.Struct("<4sI8s")
_CHUNK = 2**20
# In a damaged stretch each marker is tried. Chance makes none; a log made to waste time is given
# up when so many bytes were summed in vain.
_VAIN = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A stretch of a log in which no frame is sound; bytes from its beginning."""

    start: int
    stop: int


def make_header(key: bytes) -> bytes:
    """The first bytes of a log.

    Examples:
        >>> len(make_header(bytes(16))) == HEADER_SIZE
        True
    """
    return _HEADER.pack(_MAGIC, FORMAT, key, _header_sum(FORMAT, key))


def make_frame(payload: bytes, offset: int, *, key: bytes) -> bytes:
    """A payload as it stands at a place of the log.

    Raises:
        InputError: If the payload is larger than `MAX_PAYLOAD`.

    Examples:
        >>> len(make_frame(b"abc", 40, key=bytes(16)))
        19
    """
    if len(payload) > MAX_PAYLOAD:
        raise InputError(f"log: a record of {len(payload)} bytes; at most {MAX_PAYLOAD} fit in one")
    return _FRAME.pack(_MARKER, len(payload), _sum(payload, offset, key)) + payload


def _sum(payload: bytes, offset: int, key: bytes) -> bytes:
    place = offset.to_bytes(8, "little")
    return hashlib.blake2b(payload, digest_size=8, salt=key, person=place).digest()


def _header_sum(version: int, key: bytes) -> bytes:
    return hashlib.blake2b(b"%d" % version + key, digest_size=8).digest()


def read_header(data: bytes, *, name: str) -> bytes | None:
    """The key of a log; None if its header is damaged.

    Raises:
        InputError: If it is no log, or one of a newer version.
    """
    if not data.startswith(_MAGIC[: len(data)][:5]):
        raise InputError(f"{name}: is no log of a run")
    if len(data) < HEADER_SIZE:
        return None
    magic, version, key, check = _HEADER.unpack_from(data)
    if magic != _MAGIC or check != _header_sum(version, key):
        return None
    if version > FORMAT:
        raise InputError(
            f"{name}: written by a newer groundplane (log format {version}, this one reads "
            f"{FORMAT}); install that version"
        )
    return bytes(key)


class LogScan:
    """The sound frames of a log, in order; a single piece of the file is held at a time.

    Args:
        file: An open descriptor.
        key: The log's.
        disk: Where the file is.

    Attributes:
        num_records: How many frames were given so far.
        end: Where the last sound frame ends.
        size: How far the file went when it was read last.
        damage: Stretches between sound frames that hold none. What follows the last sound frame
            is no damage: it is torn, or being written.
    """

    def __init__(self, file: int, *, key: bytes, disk: Disk = SYSTEM) -> None:
        self._file, self._key, self._disk = file, key, disk
        self._piece, self._base, self._vain, self._ended = b"", 0, 0, False
        self.num_records, self.end, self.size = 0, HEADER_SIZE, 0
        self.damage: list[Damage] = []

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """The place and the payload of each sound frame."""
        at = HEADER_SIZE
        while True:
            payload = self._sound(at)
            if payload is None:
                after = self._next_sound(at + 1)
                if after is None:
                    return
                self.damage.append(Damage(start=at, stop=after[0]))
                at, payload = after
            self.num_records += 1
            self.end = at + _FRAME.size + len(payload)
            yield at, payload
            at = self.end

    def _sound(self, at: int) -> bytes | None:
        """The payload of the frame at a place, if it is one."""
        start = at - self._base
        if start < 0 or start + _FRAME.size > len(self._piece):
            start = self._load(at, _FRAME.size)
        if start + _FRAME.size > len(self._piece):
            return None
        marker, length, check = _FRAME.unpack_from(self._piece, start)
        if marker != _MARKER or length > MAX_PAYLOAD:
            return None
        if start + _FRAME.size + length > len(self._piece):
            start = self._load(at, _FRAME.size + length)
        start += _FRAME.size
        payload = self._piece[start : start + length]
        if len(payload) == length and _sum(payload, at, self._key) == check:
            return payload
        self._vain += len(payload)
        return None

    def _next_sound(self, at: int) -> tuple[int, bytes] | None:
        """The first sound frame from a place on."""
        while self._vain <= _VAIN:
            start = at - self._base
            if start < 0 or start + len(_MARKER) > len(self._piece):
                start = self._load(at, len(_MARKER))
            found = self._piece.find(_MARKER, start)
            if found < 0:
                if self._ended:
                    return None
                # The marker may lie across the edge.
                at = self._base + len(self._piece) - len(_MARKER) + 1
                continue
            at = self._base + found
            payload = self._sound(at)
            if payload is not None:
                return at, payload
            at += 1
        raise InputError(
            f"log: at byte {at} it is damaged in a way that no accident makes; it is not read on"
        )

    def _load(self, at: int, least: int) -> int:
        """Hold what lies at a place; its index in what is held."""
        parts, size, want, self._ended = [], 0, max(least, _CHUNK), False
        while size < want:
            part = self._disk.read(self._file, want - size, at + size)
            if not part:
                self._ended = True
                break
            parts.append(part)
            size += len(part)
        self._piece, self._base = b"".join(parts), at
        if size:
            self.size = max(self.size, at + size)
        return 0


def read_frame(file: int, offset: int, *, key: bytes, disk: Disk = SYSTEM) -> bytes:
    """The payload of the frame at a place.

    Raises:
        InputError: If there is no sound frame.
        OSError: If the file cannot be read.
    """
    head = disk.read(file, 4096, offset)
    if len(head) >= _FRAME.size:
        marker, length, check = _FRAME.unpack_from(head)
        payload = head[_FRAME.size : _FRAME.size + length]
        while marker == _MARKER and len(payload) < length <= MAX_PAYLOAD:
            more = disk.read(file, length - len(payload), offset + _FRAME.size + len(payload))
            if not more:
                break
            payload += more
        if len(payload) == length and _sum(payload, offset, key) == check:
            return payload
    raise InputError(f"log: no sound record at byte {offset}; it was damaged since it was opened")


def scan_log(
    path: str | Path, *, key: bytes | None = None, disk: Disk = SYSTEM
) -> Iterator[tuple[int, bytes]]:
    """Read the sound frames of a log that may be damaged, torn, or being written.

    Args:
        path: The log.
        key: Its key; None to take that of its header.
        disk: Where it is.

    Yields:
        The place of each frame, and its payload.

    Raises:
        InputError: If it cannot be read or is no log.
    """
    name = one_line(str(path))
    try:
        file = disk.open(Path(path), os.O_RDONLY)
        try:
            key = key or read_header(disk.read(file, HEADER_SIZE, 0), name=name)
            if key is None:
                raise InputError(f"{name}: its header is damaged")
            yield from LogScan(file, key=key, disk=disk)
        finally:
            disk.close(file)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {reason(error)}") from error

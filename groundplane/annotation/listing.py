"""What the logs of a run hold, in the order of the paths: where each last record lies."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from groundplane.annotation.codec import RecordHead
from groundplane.annotation.disk import SYSTEM, Disk, reason
from groundplane.annotation.entries import Opened, Thresholds, TracksOf, decode_head
from groundplane.annotation.framing import HEADER_SIZE, LogScan, read_header
from groundplane.annotation.items import ItemEnd
from groundplane.core.errors import InputError
from groundplane.core.files import one_line

__all__ = ["Listing", "OpenLogs", "list_logs", "opened", "order_key"]

Thresholded = tuple[float | None, ...]
_INDEX_BYTES = 8
_NOWHERE = -1
# Logs that are open at a time; many systems let a process have 1,024 files.
_OPEN = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listing:
    """Where the last record of each path lies; frames of a video in the order of their index.

    Attributes:
        logs: Which log each is in.
        offsets: Its place in that log.
        failed: Whether the picture failed.
        videos: By video, which stretch of the columns its frames are.
        thresholds: Those that were set last; None where none were.
        tracks: By video, the log and the place of its tracks.
        num_bytes: Of all logs.
        damaged: Stretches of the logs, or entries in them, that cannot be read.
        unread: Bytes after the last records: torn off, or just being written.
    """

    logs: Int64[np.ndarray, " n"]
    offsets: Int64[np.ndarray, " n"]
    failed: Bool[np.ndarray, " n"]
    videos: dict[str, slice]
    thresholds: Thresholded | None
    tracks: dict[str, tuple[int, int]]
    num_bytes: int
    damaged: int
    unread: int

    def __len__(self) -> int:
        return int(self.offsets.size)


class OpenLogs:
    """Descriptors of logs, for reading: opened when first asked for, the longest unused closed.

    Many machines write many logs, more than a process may hold open.

    Args:
        paths: The logs.
        disk: Where they are.

    Attributes:
        name: Of the log that was asked for last, for messages.
    """

    def __init__(self, paths: Sequence[Path], *, disk: Disk = SYSTEM) -> None:
        self._paths, self._disk = paths, disk
        self._files: OrderedDict[int, int] = OrderedDict()
        self.name = ""

    def __getitem__(self, log: int) -> int:
        """The descriptor of a log, good until others are asked for.

        Raises:
            InputError: If it cannot be opened.
        """
        self.name = one_line(str(self._paths[log]))
        if log in self._files:
            self._files.move_to_end(log)
            return self._files[log]
        while len(self._files) >= _OPEN:
            _, oldest = self._files.popitem(last=False)
            self._disk.close(oldest)
        try:
            self._files[log] = self._disk.open(self._paths[log], os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {reason(error)}") from error
        return self._files[log]

    def close(self) -> None:
        """Close what is open."""
        while self._files:
            _, file = self._files.popitem()
            self._disk.close(file)


@contextmanager
def opened(paths: Sequence[Path], *, disk: Disk = SYSTEM) -> Iterator[OpenLogs]:
    """Logs, for reading.

    Raises:
        InputError: If one cannot be opened or read.
    """
    files = OpenLogs(paths, disk=disk)
    try:
        yield files
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{files.name}: cannot be read: {reason(error)}") from error
    finally:
        files.close()


def list_logs(paths: Sequence[Path], *, key: bytes, disk: Disk = SYSTEM) -> Listing:
    """Read what logs hold that may still be written.

    Args:
        paths: The logs; of two records of one path that of the later opening counts, and of the
            same opening that of the later log.
        key: The run's.
        disk: Where they are.

    Raises:
        InputError: If a log cannot be read.
    """
    gathering = _Gathering()
    num_bytes = damaged = unread = 0
    with opened(paths, disk=disk) as files:
        for log, path in enumerate(paths):
            file, name = files[log], one_line(str(path))
            if read_header(disk.read(file, HEADER_SIZE, 0), name=name) not in (None, key):
                raise InputError(f"{name}: belongs to another run; put this run's in its place")
            scan = LogScan(file, key=key, disk=disk)
            gathering.read(log, scan)
            num_bytes += scan.size
            damaged += len(scan.damage)
            unread += max(scan.size - scan.end, 0)
    order, videos = gathering.sorted()
    return Listing(
        logs=np.array(gathering.logs, np.int64)[order],
        offsets=np.array(gathering.offsets, np.int64)[order],
        failed=np.frombuffer(bytes(gathering.failed), np.bool_)[order],
        videos=videos,
        thresholds=gathering.thresholds[1],
        tracks={video: place for video, (_, place) in gathering.tracks.items()},
        num_bytes=num_bytes,
        damaged=damaged + gathering.malformed,
        unread=unread,
    )


def order_key(path: str, frame: tuple[str, int] | None) -> bytes:
    """By which records are sorted: the path's bytes, or the video's and the frame's index.

    Examples:
        >>> order_key("a.mp4#10", ("a.mp4", 10)) > order_key("a.mp4#9", ("a.mp4", 9))
        True
    """
    if frame is None:
        return _bytes(path)
    video, index = frame
    return _frames_key(video) + min(index, 2**63).to_bytes(_INDEX_BYTES, "big")


class _Gathering:
    """Takes entries in the order of the logs, and sorts them at the end."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.epochs, self.logs, self.offsets = array("q"), array("q"), array("q")
        self.failed = bytearray()
        # By the key of a video: its name, and the epoch and the version that was seen last.
        self.videos: dict[bytes, tuple[str, int, bytes]] = {}
        self.versions: dict[int, bytes] = {}
        self.thresholds: tuple[int, Thresholded | None] = (-1, None)
        self.tracks: dict[str, tuple[int, tuple[int, int]]] = {}
        self.malformed = 0

    def read(self, log: int, entries: Iterable[tuple[int, bytes]]) -> None:
        """Take what a log holds. An entry that is whole but makes no sense counts as damage."""
        epoch = 0
        for offset, payload in entries:
            try:
                entry = decode_head(payload)
            except InputError:
                self.malformed += 1
                continue
            if isinstance(entry, RecordHead):
                self._record(entry, epoch, (log, offset))
            elif isinstance(entry, Opened):
                epoch = entry.epoch
            elif isinstance(entry, Thresholds) and self.thresholds[0] <= epoch:
                self.thresholds = (epoch, entry.values)
                self.tracks.clear()  # they followed from the thresholds before
            elif isinstance(entry, TracksOf) and self.tracks.get(entry.video, (0,))[0] <= epoch:
                self.tracks[entry.video] = (epoch, (log, offset))
            elif isinstance(entry, ItemEnd):
                # The video went well: what stands under its own name, a failure, is over.
                self._version(entry.path, entry.content_hash, epoch)
                self._row(_bytes(entry.path), epoch, (log, _NOWHERE), failed=False)

    def _record(self, head: RecordHead, epoch: int, place: tuple[int, int]) -> None:
        if head.frame is not None:
            version = self._version(head.frame[0], head.content_hash, epoch)
            self.versions[len(self.keys)] = version
        elif _frames_key(head.path) in self.videos and head.content_hash:
            self._version(head.path, head.content_hash, epoch)
        self._row(order_key(head.path, head.frame), epoch, place, failed=head.failed)

    def _version(self, video: str, content_hash: str, epoch: int) -> bytes:
        """Note that a video was seen with this content; what is older of it does not count."""
        key = _frames_key(video)
        version = hashlib.blake2b(_bytes(content_hash), digest_size=8).digest()
        if key not in self.videos or self.videos[key][1] <= epoch:
            self.videos[key] = (video, epoch, version)
        return version

    def _row(self, key: bytes, epoch: int, place: tuple[int, int], *, failed: bool) -> None:
        self.keys.append(key)
        self.epochs.append(epoch)
        self.logs.append(place[0])
        self.offsets.append(place[1])
        self.failed.append(failed)

    def sorted(self) -> tuple[Int64[np.ndarray, " n"], dict[str, slice]]:
        """The last records in the order of their paths, and where the frames of videos are."""
        keys, order = self.keys, np.argsort(self.epochs, kind="stable").tolist()
        order.sort(key=keys.__getitem__)
        nexts = [*order[1:], _NOWHERE][: len(order)]
        last = [i for i, after in zip(order, nexts, strict=True) if self._counts(i, after)]
        videos: dict[str, slice] = {}
        start = 0
        for key, rows in groupby(last, key=self._video_of):
            stop = start + sum(1 for _ in rows)
            if key is not None:
                videos[self.videos[key][0]] = slice(start, stop)
            start = stop
        return np.array(last, dtype=np.int64), videos

    def _counts(self, row: int, after: int) -> bool:
        """Whether a record is the last of its path, and a frame one of its video's last version."""
        if (after >= 0 and self.keys[after] == self.keys[row]) or self.offsets[row] < 0:
            return False
        key = self._video_of(row)
        return key is None or self.videos[key][2] == self.versions[row]

    def _video_of(self, row: int) -> bytes | None:
        return self.keys[row][:-_INDEX_BYTES] if row in self.versions else None


def _frames_key(video: str) -> bytes:
    # No name in UTF-8 holds this byte, so a frame is never taken for a picture.
    return _bytes(video) + b"#\xff"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

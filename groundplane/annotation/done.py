"""What a run knows to be done, kept small: some thirty bytes a picture, one bit a frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt64

from groundplane.annotation.codec import RecordHead, Stamp
from groundplane.annotation.entries import Touched
from groundplane.annotation.items import ItemEnd

__all__ = ["DoneIndex"]

# Entries that wait to be sorted in with the rest.
_RECENT = 4096
# Frames of one video; a bitmap of them takes 16 MB.
_FRAMES = 2**27
_LOW = 2**64 - 1

_Column = UInt64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Entries in columns, sorted by `high`: the halves of a path's hash, the hashes of the file's
    mark and of its content (0 for none), and whether it failed.
    """

    high: _Column
    low: _Column
    stamps: _Column
    contents: _Column
    failed: Bool[np.ndarray, " n"]

    def place(self, high: int, low: int) -> int:
        """Where the entry of a path is; -1 for nowhere."""
        at = int(np.searchsorted(self.high, np.uint64(high)))
        while at < self.high.size and int(self.high[at]) == high:
            if int(self.low[at]) == low:
                return at
            at += 1
        return -1


@dataclass(slots=True, eq=False)
class _Video:
    """The frames that are done of one version of a video."""

    stamp: int
    content: int
    done: bytearray = field(default_factory=bytearray)
    failed: bytearray = field(default_factory=bytearray)


class DoneIndex:
    """The last record of each path.

    A file is known by its mark (size and time of change) without being read; one with another mark
    by the hash of its content.
    """

    def __init__(self) -> None:
        none = np.zeros(0, np.uint64)
        self._table = _Table(none, none, none, none, np.zeros(0, np.bool_))
        self._recent: dict[int, tuple[int, int, bool]] = {}
        self._videos: dict[int, _Video] = {}
        self._num = 0

    def __len__(self) -> int:
        """Pictures and frames that have a record."""
        return self._num

    def add(self, head: RecordHead) -> None:
        """Take a record into account."""
        if head.frame is not None and head.frame[1] < _FRAMES:
            self._add_frame(head, *head.frame)
            return
        key = _path_key(head.path)
        self._num += self._find(key) is None
        self._put(key, _stamp_key(head.stamp), _hash64(head.content_hash), head.failed)

    def add_end(self, end: ItemEnd) -> None:
        """Take into account that nothing more comes of a video."""
        key = _path_key(end.path)
        self._put(key, _stamp_key(end.stamp), _hash64(end.content_hash), False)

    def touch(self, touched: Touched) -> bool:
        """Know a version that is done by another mark from here on.

        Returns:
            Whether that is new: it is done, and was not known by this mark.
        """
        key, content = _path_key(touched.path), _hash64(touched.content_hash)
        stamp, entry = _stamp_key(touched.stamp), self._find(key)
        if not stamp or not content:
            return False
        new = False
        if entry is not None and entry[1] == content and entry[0] != stamp:
            self._put(key, stamp, content, entry[2])
            new = True
        video = self._videos.get(key)
        if video is not None and video.content == content and video.stamp != stamp:
            video.stamp = stamp
            new = True
        return new

    def is_done(
        self, path: str, stamp: Stamp, content_hash: str | None = None, *, retry: bool = False
    ) -> bool:
        """Whether there is a record of this version of a picture, or of all of a video.

        Args:
            path: The picture's or the video's.
            stamp: The file's mark; None where there is none, and then only the hash decides.
            content_hash: Where the file was read; None where it was not.
            retry: Whether what failed counts as not done.
        """
        key = _path_key(path)
        entry = self._find(key)
        if entry is None:
            return False
        of_stamp, of_content, failed = entry
        if retry:
            video = self._videos.get(key)
            if failed or (video is not None and any(video.failed)):
                return False
        if stamp is not None and of_stamp == _stamp_key(stamp):
            return True
        return bool(content_hash) and of_content == _hash64(content_hash)

    def holds(self, head: RecordHead) -> bool:
        """Whether this version of a picture is done, and did not fail."""
        content = _hash64(head.content_hash)
        if head.frame is not None and head.frame[1] < _FRAMES:
            video = self._videos.get(_path_key(head.frame[0]))
            if video is None or video.content != content:
                return False
            index = head.frame[1]
            return _bit(video.done, index) and not _bit(video.failed, index)
        entry = self._find(_path_key(head.path))
        return entry is not None and bool(content) and entry[1:] == (content, False)

    def frames_done(self, video: str, stamp: Stamp, *, retry: bool = False) -> bytes:
        """The frames of this version of a video that have a record: a bit each, lowest first."""
        known = self._videos.get(_path_key(video))
        if known is None or stamp is None or known.stamp != _stamp_key(stamp):
            return b""
        if not retry:
            return bytes(known.done)
        failed = known.failed.ljust(len(known.done), b"\0")
        return bytes(done & ~bad for done, bad in zip(known.done, failed, strict=False))

    def _add_frame(self, head: RecordHead, name: str, index: int) -> None:
        key, content = _path_key(name), _hash64(head.content_hash)
        video = self._videos.get(key)
        if video is None or video.content != content:
            if video is not None:
                self._num -= sum(byte.bit_count() for byte in video.done)
            video = self._videos[key] = _Video(stamp=0, content=content)
        video.stamp = _stamp_key(head.stamp)
        self._num += not _bit(video.done, index)
        _set(video.done, index, on=True)
        _set(video.failed, index, on=head.failed)

    def _find(self, key: int) -> tuple[int, int, bool] | None:
        recent = self._recent.get(key)
        if recent is not None:
            return recent
        table = self._table
        at = table.place(key >> 64, key & _LOW)
        if at < 0:
            return None
        return int(table.stamps[at]), int(table.contents[at]), bool(table.failed[at])

    def _put(self, key: int, stamp: int, content: int, failed: bool) -> None:
        self._recent[key] = (stamp, content, failed)
        if len(self._recent) >= _RECENT:
            self._sort_in()

    def _sort_in(self) -> None:
        """Move the recent entries into the table, those of known paths into their places."""
        table, keys = self._table, sorted(self._recent)
        high = np.array([key >> 64 for key in keys], np.uint64)
        low = np.array([key & _LOW for key in keys], np.uint64)
        values = [self._recent[key] for key in keys]
        stamps = np.array([value[0] for value in values], np.uint64)
        contents = np.array([value[1] for value in values], np.uint64)
        failed = np.array([value[2] for value in values], np.bool_)
        at = np.searchsorted(table.high, high)
        where = np.full(len(keys), -1)
        alike = at < table.high.size
        alike[alike] = table.high[at[alike]] == high[alike]
        for i in np.flatnonzero(alike).tolist():
            where[i] = table.place(keys[i] >> 64, keys[i] & _LOW)
        known, new = where >= 0, where < 0
        at = at[new]
        columns = []
        for old, fresh in zip(
            (table.high, table.low, table.stamps, table.contents, table.failed),
            (high, low, stamps, contents, failed),
            strict=True,
        ):
            old[where[known]] = fresh[known]
            columns.append(np.insert(old, at, fresh[new]))
        self._table = _Table(*columns)
        self._recent = {}


def _path_key(path: str) -> int:
    """128 bits, so that no two of any number of paths are taken for one."""
    return int.from_bytes(_digest(path, 16), "big")


def _hash64(text: str | None) -> int:
    return int.from_bytes(_digest(text, 8), "big") or 1 if text else 0


def _stamp_key(stamp: Stamp) -> int:
    return 0 if stamp is None else _hash64(f"{stamp[0]},{stamp[1]}")


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _bit(bits: bytearray, index: int) -> bool:
    return index >> 3 < len(bits) and bool(bits[index >> 3] >> (index & 7) & 1)


def _set(bits: bytearray, index: int, *, on: bool) -> None:
    if not on and index >> 3 >= len(bits):
        return
    if index >> 3 >= len(bits):
        bits.extend(bytes((index >> 3) + 1 - len(bits)))
    mask = 1 << (index & 7)
    bits[index >> 3] = bits[index >> 3] | mask if on else bits[index >> 3] & ~mask

"""What a log holds beside records: who opened it, ends of videos, new dates, thresholds, tracks."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundplane.annotation.codec import (
    RecordHead,
    Stamp,
    deflated,
    from_json,
    inflated,
    need_count,
    need_text,
    need_whole,
    read_head,
    to_json,
)
from groundplane.annotation.items import ItemEnd
from groundplane.core.errors import InputError

__all__ = [
    "Opened",
    "Thresholds",
    "Touched",
    "Tracks",
    "TracksOf",
    "decode_head",
    "decode_tracks",
    "encode_entry",
]

_MALFORMED = (
    LookupError, TypeError, ArithmeticError, ValueError, AttributeError, RecursionError,
    zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A process began to write. Of two records of one path in two logs that of the later opening
    counts; clocks, which may be set back, play no part.

    Attributes:
        epoch: One more than that of any opening that the process knew of.
    """

    epoch: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds that hold from here on.

    Attributes:
        values: The least score for each prompt; None leaves it to the expert.
    """

    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of a video, which replace those that were there.

    Attributes:
        video: The video's path.
        table: By the path of a frame, by the id of a region: the number of its track.
    """

    video: str
    table: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class TracksOf:
    """That there are tracks of a video.

    Attributes:
        video: The video's path.
    """

    video: str


@dataclass(frozen=True, slots=True)
class Touched:
    """A file that is done was seen with the same bytes under another mark.

    Attributes:
        path: Of the picture or the video.
        content_hash: Of its bytes.
        stamp: Its mark from here on.
    """

    path: str
    content_hash: str
    stamp: Stamp


Head = RecordHead | Opened | Thresholds | TracksOf | ItemEnd | Touched


def encode_entry(entry: Opened | Thresholds | Tracks | ItemEnd | Touched) -> bytes:
    """An entry as the bytes of a log.

    Raises:
        InputError: If a number is not finite.

    Examples:
        >>> encode_entry(Opened(3)), encode_entry(Thresholds((0.5, None)))
        (b'["o",3]', b'["s",[0.5,null]]')
        >>> encode_entry(Tracks("a.mp4", {}))
        b'["t","a.mp4"]\\n{}'
    """
    try:
        if isinstance(entry, Opened):
            return to_json(["o", entry.epoch])
        if isinstance(entry, Thresholds):
            return to_json(["s", entry.values])
        if isinstance(entry, Tracks):
            table = {path: dict(tracks) for path, tracks in entry.table.items()}
            return to_json(["t", entry.video]) + b"\n" + deflated(to_json(table))
        if isinstance(entry, Touched):
            return to_json(["m", entry.path, entry.content_hash, entry.stamp])
        return to_json(["e", entry.path, entry.content_hash, entry.frames, entry.stamp])
    except (TypeError, ValueError) as error:
        raise InputError(f"log: cannot hold a {type(entry).__name__}: {error}") from error


def decode_head(data: bytes) -> Head:
    """What a run must know of an entry: of records and tracks not what they hold.

    Raises:
        InputError: If it is malformed.

    Examples:
        >>> decode_head(b'["s",[0.5,null]]')
        Thresholds(values=(0.5, None))
        >>> decode_head(b'["r","a.png","",0,null,null]\\n{}').path
        'a.png'
    """
    if data.startswith(b'["r",'):
        return read_head(data)
    try:
        kind, *fields = from_json(data.partition(b"\n")[0])
        return _READERS[kind](fields)
    except _MALFORMED as error:
        raise InputError(f"log: an entry is malformed: {error!r}") from error


def decode_tracks(data: bytes) -> Tracks:
    """The tracks that `encode_entry` wrote.

    Raises:
        InputError: If it is malformed.

    Examples:
        >>> decode_tracks(encode_entry(Tracks("a.mp4", {"a.mp4#0": {"r0": 7}}))).table
        {'a.mp4#0': {'r0': 7}}
    """
    try:
        line, _, body = data.partition(b"\n")
        kind, video = from_json(line)
        if kind != "t":
            raise ValueError(f"{kind} instead of tracks")
        table = from_json(inflated(body))
        rows = {
            path: {name: need_count(track) for name, track in row.items()}
            for path, row in table.items()
        }
        return Tracks(need_text(video), rows)
    except _MALFORMED as error:
        raise InputError(f"log: tracks are malformed: {error!r}") from error


def _opened(fields: list[Any]) -> Opened:
    (epoch,) = fields
    return Opened(need_count(epoch))


def _thresholds(fields: list[Any]) -> Thresholds:
    (values,) = fields
    return Thresholds(tuple(None if value is None else _share(value) for value in values))


def _tracks_of(fields: list[Any]) -> TracksOf:
    (video,) = fields
    return TracksOf(need_text(video))


def _end(fields: list[Any]) -> ItemEnd:
    path, content_hash, frames, stamp = fields
    return ItemEnd(
        path=need_text(path),
        content_hash=need_text(content_hash),
        frames=need_count(frames),
        stamp=_stamp(stamp),
    )


def _touched(fields: list[Any]) -> Touched:
    path, content_hash, stamp = fields
    return Touched(need_text(path), need_text(content_hash), _stamp(stamp))


def _stamp(given: Any) -> Stamp:
    if given is None:
        return None
    size, changed = given
    return need_whole(size), need_whole(changed)


_READERS: dict[str, Callable[[list[Any]], Head]] = {
    "o": _opened,
    "s": _thresholds,
    "t": _tracks_of,
    "e": _end,
    "m": _touched,
}


def _share(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no threshold")
    return float(value)

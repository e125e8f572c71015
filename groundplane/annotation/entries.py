"""What a log holds beside records: who opened it, ends of videos, thresholds, tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundplane.annotation.codec import Stamp, deflated, from_json, inflated, to_json
from groundplane.annotation.items import ItemEnd
from groundplane.core.errors import InputError

__all__ = ["Opened", "Thresholds", "Tracks", "decode_entry", "encode_entry"]

_MOST = 2**53


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


def encode_entry(entry: Opened | Thresholds | Tracks | ItemEnd) -> bytes:
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
        return to_json(["e", entry.path, entry.content_hash, entry.frames, entry.stamp])
    except (TypeError, ValueError) as error:
        raise InputError(f"log: cannot hold a {type(entry).__name__}: {error}") from error


def decode_entry(data: bytes) -> Opened | Thresholds | Tracks | ItemEnd | None:
    """The entry that `encode_entry` wrote; None for a record.

    Raises:
        InputError: If it is malformed.

    Examples:
        >>> decode_entry(b'["s",[0.5,null]]')
        Thresholds(values=(0.5, None))
        >>> decode_entry(b'["r","a.png","",0,null,null]') is None
        True
    """
    if data.startswith(b'["r",'):
        return None
    try:
        line, _, body = data.partition(b"\n")
        kind, *fields = from_json(line)
        return _READERS[kind](fields, body)
    except InputError:
        raise
    except (LookupError, TypeError, ArithmeticError, ValueError, RecursionError) as error:
        raise InputError(f"log: an entry is malformed: {error!r}") from error


def _opened(fields: list[Any], _: bytes) -> Opened:
    (epoch,) = fields
    return Opened(_count(epoch))


def _thresholds(fields: list[Any], _: bytes) -> Thresholds:
    (values,) = fields
    return Thresholds(tuple(None if value is None else _share(value) for value in values))


def _tracks(fields: list[Any], body: bytes) -> Tracks:
    (video,) = fields
    table = from_json(inflated(body))
    return Tracks(
        _text(video),
        {path: {name: _count(track) for name, track in row.items()} for path, row in table.items()},
    )


def _end(fields: list[Any], _: bytes) -> ItemEnd:
    path, content_hash, frames, given = fields
    stamp: Stamp = None
    if given is not None:
        size, changed = given
        stamp = (_whole(size), _whole(changed))
    return ItemEnd(
        path=_text(path), content_hash=_text(content_hash), frames=_count(frames), stamp=stamp
    )


_Entry = Opened | Thresholds | Tracks | ItemEnd
_READERS: dict[str, Callable[[list[Any], bytes], _Entry]] = {
    "o": _opened,
    "s": _thresholds,
    "t": _tracks,
    "e": _end,
}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{type(value).__name__} is no whole number")
    return value


def _count(value: object) -> int:
    if not 0 <= _whole(value) <= _MOST:
        raise ValueError(f"{value} is no count")
    return _whole(value)


def _share(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no threshold")
    return float(value)

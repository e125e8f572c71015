"""Records as the bytes of a log, and back: compact, exact, and safe to read whatever they hold.

A record is two lines of JSON: a head, from which alone a run knows what is done, and a body,
which is compressed where that pays. Text is UTF-8 in which half a surrogate pair stands as it is,
so that every name comes back. Numbers that are rounded, as all are in a log, stand as whole
hundredths and ten-thousandths.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NoReturn

import numpy as np
from jaxtyping import Float64

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationRecord,
    Failure,
    VideoFrame,
)
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.masks import RleMask

__all__ = [
    "RecordHead",
    "Stamp",
    "decode_record",
    "deflated",
    "encode_record",
    "from_json",
    "inflated",
    "need_count",
    "need_text",
    "need_whole",
    "read_head",
    "to_json",
]

Stamp = tuple[int, int] | None
"""Size in bytes and time of change in nanoseconds of the file, or another mark of its version."""

KIND: Final = "r"
_BOX, _SCORE = 100.0, 10_000.0
_DEFLATE_ABOVE = 4096
_MOST = 2**28
_WHOLE_LIMIT = 2**53
_STATUS: tuple[Literal["done", "failed"], ...] = ("done", "failed")
_MALFORMED = (
    LookupError, TypeError, ArithmeticError, ValueError, AttributeError, RecursionError,
    GroundplaneError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What a run must know of a record without reading the rest.

    Attributes:
        path: The picture's.
        content_hash: Of the encoded bytes.
        failed: Whether it failed.
        stamp: The file's mark, by which it is known without reading it.
        frame: A frame's video and index, where the path is made of them as those of frames are;
            other records stand by their path alone.
    """

    path: str
    content_hash: str
    failed: bool
    stamp: Stamp
    frame: tuple[str, int] | None

    @classmethod
    def of(cls, record: AnnotationRecord, stamp: Stamp = None) -> RecordHead:
        """The head of a record."""
        shown = record.frame
        frame = None if shown is None else (shown.video, shown.index)
        return cls(
            record.path,
            record.content_hash,
            record.status == "failed",
            stamp,
            _own(record.path, frame),
        )


def _own(path: str, frame: tuple[str, int] | None) -> tuple[str, int] | None:
    return frame if frame is not None and path == f"{frame[0]}#{frame[1]}" else None


def encode_record(record: AnnotationRecord, stamp: Stamp = None) -> bytes:
    """A record and the mark of its file as bytes.

    Raises:
        InputError: If a number is not finite or a value is of a type that a log cannot hold.

    Examples:
        >>> record = AnnotationRecord(path="a.png", content_hash="", status="done", size=(4, 3))
        >>> encode_record(record, (17, 1))
        b'["r","a.png","",0,[17,1],null]\\n{"s":[4,3]}'
    """
    frame = None if record.frame is None else [record.frame.video, record.frame.index]
    head = [KIND, record.path, record.content_hash, _STATUS.index(record.status), stamp, frame]
    body: dict[str, Any] = {"s": record.size}
    if record.turned:
        body["m"] = [float(number) for number in record.to_stored]
    if record.outcomes:
        body["o"] = record.outcomes
    if record.failure is not None:
        body["f"] = [record.failure.stage, record.failure.message]
    if record.frame is not None:
        body["t"] = float(record.frame.time)
    for key, text in (("c", record.caption), ("n", record.note)):
        if text:
            body[key] = text
    try:
        if len(record.regions):
            body["r"] = _columns(record.regions, record.size)
        return to_json(head) + b"\n" + deflated(to_json(body))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"record of {record.path!r}: a log cannot hold it: {error}") from error


def decode_record(data: bytes) -> tuple[AnnotationRecord, Stamp]:
    """The record that `encode_record` wrote, and the mark of its file.

    Raises:
        InputError: If it is malformed.

    Examples:
        >>> record, stamp = decode_record(b'["r","a.png","",0,[17,1],null]\\n{"s":[4,3]}')
        >>> record.path, record.size, stamp
        ('a.png', (4, 3), (17, 1))
        >>> decode_record(b"")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: log: a record is malformed: ValueError('no head')
    """
    try:
        head = _head(data)
        body = from_json(inflated(data.partition(b"\n")[2]))
        return _record(head, body), head.stamp
    except _MALFORMED as error:
        raise InputError(f"log: a record is malformed: {error!r}") from error


def read_head(data: bytes) -> RecordHead:
    """The head of a record.

    Raises:
        InputError: If it is malformed.

    Examples:
        >>> read_head(b'["r","a.png","",1,null,null]\\n{}').failed
        True
    """
    try:
        head = _head(data)
    except _MALFORMED as error:
        raise InputError(f"log: a record is malformed: {error!r}") from error
    return head if head.frame is None else replace(head, frame=_own(head.path, head.frame))


def to_json(value: object) -> bytes:
    """Plain values as one line of compact JSON.

    Raises:
        TypeError, ValueError: If it holds others, or a number that is not finite.

    Examples:
        >>> to_json(["é", 1.5])
        b'["\\xc3\\xa9",1.5]'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def from_json(data: bytes) -> Any:
    """Plain values of `to_json`.

    Raises:
        ValueError: If it is no JSON, or holds a number that is not finite.

    Examples:
        >>> from_json(b"[1,2.5]")
        [1, 2.5]
    """
    return json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_refuse)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no finite number")


def deflated(data: bytes) -> bytes:
    """JSON of an object, compressed where that pays.

    Raises:
        ValueError: If it is larger than what is read again.

    Examples:
        >>> deflated(b"{}"), len(deflated(b"{" + b" " * 9998 + b"}")) < 100
        (b'{}', True)
    """
    if len(data) > _MOST:
        raise ValueError(f"{len(data)} bytes; at most {_MOST} fit")
    if len(data) <= _DEFLATE_ABOVE:
        return data
    packed = zlib.compress(data, 1)
    return packed if len(packed) < len(data) else data


def inflated(data: bytes) -> bytes:
    """JSON of an object, which begins with a brace where it is not compressed.

    Raises:
        ValueError, zlib.error: If it is malformed or would take more than 256 MB.

    Examples:
        >>> inflated(b"{}")
        b'{}'
    """
    if data.startswith(b"{"):
        return data
    reader = zlib.decompressobj()
    plain = reader.decompress(data, _MOST)
    if not reader.eof or reader.unused_data:
        raise ValueError("compressed data do not end where the record does")
    return plain


# Regions -------------------------------------------------------------------------------------


def _columns(regions: AnnotatedRegions, size: tuple[int, int] | None) -> dict[str, Any]:
    """Regions by column; what is usual takes no room."""
    n = len(regions)
    usual = tuple(f"r{i}" for i in range(n))
    columns: dict[str, Any] = {
        "i": n if regions.ids == usual else regions.ids,
        "p": regions.prompt_ids.tolist(),
        "c": regions.class_ids.tolist(),
        "k": "".join("01"[kept] for kept in regions.kept.tolist()),
        **_numbers("b", regions.boxes.reshape(-1), _BOX),
        **_numbers("s", regions.scores, _SCORE),
    }
    if regions.masks is not None:
        own = None if size is None else size[::-1]
        columns["m"] = [_mask_out(mask, own) for mask in regions.masks]
    if regions.track_ids is not None:
        columns["t"] = regions.track_ids.tolist()
    if regions.attributes:
        columns["a"] = [_facts(dict(facts)) for facts in regions.attributes]
    if regions.sources:
        one = len(set(regions.sources)) == 1
        columns["u"] = regions.sources[0] if one else regions.sources
    return columns


def _numbers(key: str, values: Float64[np.ndarray, " n"], scale: float) -> dict[str, Any]:
    """Numbers as whole multiples where that loses nothing, else under the capital letter."""
    if (np.abs(values) < _WHOLE_LIMIT / scale).all():  # NaN is not either
        whole = np.rint(values * scale)
        if np.array_equal(whole / scale, values):
            return {key: whole.astype(np.int64).tolist()}
    return {key.upper(): values.tolist()}


def _mask_out(mask: RleMask | None, own: tuple[int, int] | None) -> object:
    """A mask; its counts alone where it is of the picture's size."""
    if mask is None:
        return None
    counts = mask.counts.decode("latin-1")
    height, width = (int(side) for side in mask.size)
    return counts if (height, width) == own else [height, width, counts]


def _head(data: bytes) -> RecordHead:
    line, _, _ = data.partition(b"\n")
    if not line.startswith(b'["r",'):
        raise ValueError("no head")
    _, path, content_hash, status, stamp, frame = from_json(line)
    if stamp is not None:
        size, changed = map(need_whole, stamp)
        stamp = (size, changed)
    if frame is not None:
        video, index = frame
        frame = (need_text(video), need_count(index))
    failed = _STATUS[need_count(status)] == "failed"
    return RecordHead(need_text(path), need_text(content_hash), failed, stamp, frame)


def _record(head: RecordHead, body: Any) -> AnnotationRecord:
    size = None if body["s"] is None else _size(body["s"])
    extra: dict[str, Any] = {}
    if "m" in body:
        extra["to_stored"] = tuple(_finite(body["m"]).tolist())
    if "f" in body:
        stage, message = body["f"]
        extra["failure"] = Failure(stage=need_text(stage), message=need_text(message))
    if head.frame is not None:
        video, index = head.frame
        (time,) = _finite([body["t"]]).tolist()
        extra["frame"] = VideoFrame(video=video, index=index, time=time)
    if "r" in body:
        extra["regions"] = _regions(body["r"], size)
    return AnnotationRecord(
        path=head.path,
        content_hash=head.content_hash,
        status=_STATUS[head.failed],
        size=size,
        outcomes=tuple(map(need_text, body.get("o", ()))),
        caption=need_text(body.get("c", "")),
        note=need_text(body.get("n", "")),
        **extra,
    )


def _regions(columns: Mapping[str, Any], size: tuple[int, int] | None) -> AnnotatedRegions:
    given = columns["i"]
    kept = np.frombuffer(columns["k"].encode("ascii"), dtype=np.uint8) - ord("0")
    n = kept.size
    ids = tuple(f"r{i}" for i in range(n)) if given == n else tuple(map(need_text, given))
    extra: dict[str, Any] = {}
    if "m" in columns:
        own = None if size is None else size[::-1]
        extra["masks"] = tuple(_mask_in(mask, own) for mask in columns["m"])
    if "t" in columns:
        extra["track_ids"] = _wholes(columns["t"])
    if "u" in columns:
        one = columns["u"]
        extra["sources"] = (one,) * n if isinstance(one, str) else tuple(map(need_text, one))
    return AnnotatedRegions(
        ids=ids,
        boxes=_read_numbers(columns, "b", _BOX).reshape(-1, 4),
        scores=_read_numbers(columns, "s", _SCORE),
        prompt_ids=_wholes(columns["p"]),
        class_ids=_wholes(columns["c"]),
        kept=kept == 1,
        attributes=tuple(map(_facts, columns.get("a", ()))),
        **extra,
    )


def _read_numbers(columns: Mapping[str, Any], key: str, scale: float) -> Float64[np.ndarray, " n"]:
    if key in columns:
        return np.asarray(_wholes(columns[key]) / scale)
    return _finite(columns[key.upper()])


def _mask_in(mask: Any, own: tuple[int, int] | None) -> RleMask | None:
    if mask is None:
        return None
    if isinstance(mask, str):
        if own is None:
            raise ValueError("a mask of no size")
        return RleMask(size=own, counts=mask.encode("latin-1"))
    height, width, counts = mask
    return RleMask(size=(need_count(height), need_count(width)), counts=counts.encode("latin-1"))


# Values that are of the type they should be --------------------------------------------------


def need_text(value: object) -> str:
    """The text that a value must be.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value


def need_whole(value: object) -> int:
    """The whole number that a value must be.

    Raises:
        TypeError: If it is none; a truth value is none.
    """
    if type(value) is not int:
        raise TypeError(f"{type(value).__name__} is no whole number")
    return value


def need_count(value: object) -> int:
    """The whole number of 0 or more that a value must be.

    Raises:
        TypeError, ValueError: If it is none.
    """
    if need_whole(value) < 0:
        raise ValueError(f"{value} is negative")
    return need_whole(value)


def _size(value: Sequence[object]) -> tuple[int, int]:
    width, height = map(need_count, value)
    return width, height


def _wholes(values: Sequence[object]) -> Any:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise TypeError("a column is not of whole numbers")
    return np.array(values, dtype=np.int64)


def _finite(values: Sequence[object]) -> Float64[np.ndarray, " n"]:
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float}:
        raise TypeError("a column is not of numbers")
    column = np.array(values, dtype=np.float64)
    if not np.isfinite(column).all():
        raise ValueError("a number is not finite")
    return column


def _facts(value: object) -> dict[str, str | float | int | bool]:
    if not isinstance(value, dict):
        raise TypeError("facts are no object")
    for fact in value.values():
        if not isinstance(fact, str | int | float | bool):
            raise TypeError(f"{type(fact).__name__} is no fact")
        if isinstance(fact, float) and not math.isfinite(fact):
            raise ValueError("a fact is not finite")
    return value

"""Records of annotations as plain JSON values and back, nothing lost; for formats that hold them.

What comes back was in a file that anybody may have changed, so each field is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    VideoFrame,
)
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.masks import RleMask

__all__ = [
    "classes_document",
    "read_classes_document",
    "read_record_document",
    "record_document",
]

T = TypeVar("T")
_MOST = 2**53  # whole numbers that every reader of JSON keeps


# Out -------------------------------------------------------------------------------------------


def classes_document(classes: ClassTable) -> dict[str, Any]:
    """A class table as JSON values.

    Examples:
        >>> classes_document(ClassTable(names=("dog",), prompts=()))
        {'names': ['dog'], 'prompts': []}
    """
    return {
        "names": list(classes.names),
        "prompts": [
            {"text": prompt.text, "class_id": prompt.class_id, "threshold": prompt.threshold}
            for prompt in classes.prompts
        ],
    }


def record_document(record: AnnotationRecord) -> dict[str, Any]:
    """A record as JSON values; what is empty or usual is left out of it.

    Raises:
        InputError: If an attribute of a region is not finite, which JSON cannot hold.

    Examples:
        >>> record_document(
        ...     AnnotationRecord(path="a.png", content_hash="", status="done", size=(4, 3))
        ... )
        {'path': 'a.png', 'content_hash': '', 'status': 'done', 'size': [4, 3], 'regions': {'ids': \
[], 'boxes': [], 'scores': [], 'prompt_ids': [], 'class_ids': [], 'kept': []}}
    """
    usual = AnnotationRecord(path="", content_hash="", status="done", size=(1, 1))
    document: dict[str, Any] = {
        "path": record.path,
        "content_hash": record.content_hash,
        "status": record.status,
        "size": None if record.size is None else list(record.size),
        "regions": _regions_document(record.regions, where=record.path),
    }
    if record.turned:
        document["to_stored"] = list(record.to_stored)
    if record.failure is not None:
        failure = record.failure
        document["failure"] = {"stage": failure.stage, "message": failure.message}
    if record.frame is not None:
        frame = record.frame
        document["frame"] = {"video": frame.video, "index": frame.index, "time": frame.time}
    for name in ("outcomes", "caption", "note"):
        if getattr(record, name) != getattr(usual, name):
            value = getattr(record, name)
            document[name] = list(value) if isinstance(value, tuple) else value
    return document


def _regions_document(regions: AnnotatedRegions, *, where: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "ids": list(regions.ids),
        "boxes": regions.boxes.tolist(),
        "scores": regions.scores.tolist(),
        "prompt_ids": regions.prompt_ids.tolist(),
        "class_ids": regions.class_ids.tolist(),
        "kept": regions.kept.tolist(),
    }
    if regions.masks is not None:
        document["masks"] = [
            None if m is None else {"size": list(m.size), "counts": m.counts.decode("ascii")}
            for m in regions.masks
        ]
    if regions.track_ids is not None:
        document["track_ids"] = regions.track_ids.tolist()
    if regions.sources:
        document["sources"] = list(regions.sources)
    if regions.attributes:
        document["attributes"] = [dict(facts) for facts in regions.attributes]
        for name, value in (pair for facts in regions.attributes for pair in facts.items()):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"record of {where!r}: attribute {name!r} is not finite")
    return document


# Back ------------------------------------------------------------------------------------------


def read_classes_document(document: object, *, where: str) -> ClassTable:
    """The class table of `classes_document`.

    Args:
        document: JSON values.
        where: The file, for messages.

    Raises:
        InputError: If it is malformed; the message names the file and the field.

    Examples:
        >>> read_classes_document({"names": ["dog"], "prompts": []}, where="classes.json").names
        ('dog',)
        >>> read_classes_document({"names": [7], "prompts": []}, where="classes.json")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: classes.json: names[0]: expected text, got 7
    """
    fields = _Fields(document, where=where)
    prompts = []
    for place, entry in enumerate(fields.need("prompts", _list)):
        prompt = _Fields(entry, where=f"{where}: prompts[{place}]")
        threshold = prompt.may("threshold", _number)
        prompts.append(
            prompt.make(
                AnnotationPrompt,
                text=prompt.need("text", _text),
                class_id=prompt.need("class_id", _whole),
                threshold=threshold,
            )
        )
    names = fields.column("names", _text)
    return fields.make(ClassTable, names=tuple(names), prompts=tuple(prompts))


def read_record_document(document: object, *, where: str) -> AnnotationRecord:
    """The record of `record_document`.

    Args:
        document: JSON values.
        where: The file and the place in it, for messages.

    Raises:
        InputError: If it is malformed; the message names the file and the field.

    Examples:
        >>> record = AnnotationRecord(path="a.png", content_hash="", status="done", size=(4, 3))
        >>> read_record_document(record_document(record), where="a.json").size
        (4, 3)
        >>> read_record_document({}, where="a.json")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: a.json: path is not there
    """
    fields = _Fields(document, where=where)
    size = fields.may("size", _pair)
    extra: dict[str, Any] = {}
    if fields.there("to_stored"):
        extra["to_stored"] = tuple(fields.column("to_stored", _number))
    if fields.there("outcomes"):
        extra["outcomes"] = tuple(fields.column("outcomes", _text))
    if fields.there("failure"):
        inner = fields.inner("failure")
        extra["failure"] = Failure(
            stage=inner.need("stage", _text), message=inner.need("message", _text)
        )
    if fields.there("frame"):
        inner = fields.inner("frame")
        extra["frame"] = VideoFrame(
            video=inner.need("video", _text),
            index=inner.need("index", _whole),
            time=inner.need("time", _number),
        )
    for name in ("caption", "note"):
        if fields.there(name):
            extra[name] = fields.need(name, _text)
    return fields.make(
        AnnotationRecord,
        path=fields.need("path", _text),
        content_hash=fields.need("content_hash", _text),
        status=fields.need("status", _status),
        size=size,
        regions=_read_regions(fields.inner("regions")),
        **extra,
    )


def _read_regions(fields: _Fields) -> AnnotatedRegions:
    boxes = fields.column("boxes", _box)
    return fields.make(
        AnnotatedRegions,
        ids=tuple(fields.column("ids", _text)),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.array(fields.column("scores", _number), dtype=np.float64),
        prompt_ids=np.array(fields.column("prompt_ids", _whole), dtype=np.int64),
        class_ids=np.array(fields.column("class_ids", _whole), dtype=np.int64),
        kept=np.array(fields.column("kept", _truth), dtype=np.bool_),
        masks=tuple(fields.column("masks", _mask)) if fields.there("masks") else None,
        track_ids=(
            np.array(fields.column("track_ids", _whole), dtype=np.int64)
            if fields.there("track_ids")
            else None
        ),
        attributes=(
            tuple(fields.column("attributes", _facts)) if fields.there("attributes") else ()
        ),
        sources=tuple(fields.column("sources", _text)) if fields.there("sources") else (),
    )


class _Fields:
    """The fields of a JSON object, each checked as it is taken."""

    def __init__(self, document: object, *, where: str) -> None:
        if not isinstance(document, Mapping):
            raise InputError(f"{where}: expected an object, got {_shown(document)}")
        self._document = document
        self._where = where

    def there(self, name: str) -> bool:
        return self._document.get(name) is not None

    def need(self, name: str, read: Callable[[object], T]) -> T:
        """A field that must be there."""
        if name not in self._document:
            raise InputError(f"{self._where}: {name} is not there")
        return self._read(name, self._document[name], read)

    def may(self, name: str, read: Callable[[object], T]) -> T | None:
        """A field that may be missing or null."""
        return self._read(name, self._document[name], read) if self.there(name) else None

    def column(self, name: str, read: Callable[[object], T]) -> list[T]:
        """A list of which each entry is read the same way."""
        entries = self.need(name, _list)
        return [self._read(f"{name}[{i}]", entry, read) for i, entry in enumerate(entries)]

    def inner(self, name: str) -> _Fields:
        """An object within this one."""
        return _Fields(self.need(name, lambda value: value), where=f"{self._where}: {name}")

    def make(self, kind: Callable[..., T], /, **values: Any) -> T:
        """A value of ours; what it refuses is said with the place."""
        try:
            return kind(**values)
        except GroundplaneError as error:
            raise InputError(f"{self._where}: {error}") from error

    def _read(self, name: str, value: object, read: Callable[[object], T]) -> T:
        try:
            return read(value)
        except _UnfitError as unfit:
            raise InputError(
                f"{self._where}: {name}: expected {unfit}, got {_shown(value)}"
            ) from unfit
        except GroundplaneError as error:
            raise InputError(f"{self._where}: {name}: {error}") from error


class _UnfitError(Exception):
    """A value is of another kind; the text says what was expected."""


def _shown(value: object) -> str:
    return ascii(value)[:80]


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _UnfitError("a list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _UnfitError("text")
    return value


def _status(value: object) -> Literal["done", "failed"]:
    if value == "done":
        return "done"
    if value == "failed":
        return "failed"
    raise _UnfitError("done or failed")


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError("true or false")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MOST:
        raise _UnfitError("a whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _UnfitError("a number")
    if not abs(value) <= _MOST:  # NaN is not either
        raise _UnfitError("a finite number")
    return float(value)


def _pair(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or min(map(_whole, value)) < 0:
        raise _UnfitError("two whole numbers of 0 or more")
    return _whole(value[0]), _whole(value[1])


def _box(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) != 4:
        raise _UnfitError("four numbers")
    return [_number(edge) for edge in value]


def _mask(value: object) -> RleMask | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not {"size", "counts"} <= set(value):
        raise _UnfitError("a mask with size and counts")
    counts = _text(value["counts"])
    if not counts.isascii():
        raise _UnfitError("a mask's counts in ASCII")
    return RleMask(size=_pair(value["size"]), counts=counts.encode("ascii"))


def _facts(value: object) -> dict[str, str | float | int | bool]:
    if not isinstance(value, Mapping):
        raise _UnfitError("an object of facts")
    facts: dict[str, str | float | int | bool] = {}
    for name, fact in value.items():
        if not isinstance(fact, str | bool | int | float) or not isinstance(name, str):
            raise _UnfitError("facts in words, numbers or truth values")
        facts[name] = fact
    return facts

"""Who looks at pictures: experts in this process, or in one of their own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from groundplane.annotation.items import Picture
from groundplane.core.annotation import AnnotationRecord, Failure
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source

__all__ = ["LookTerms", "Looker", "failed_record", "image_of"]

_MOST_WORDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTerms:
    """How experts run. Nothing of it changes what they find.

    Attributes:
        device: Where they run.
        deadline: Seconds that each stage of a look (detect, segment, caption) may take for all of
            its pictures; None for as long as it takes.
        memory: Most that the experts' own process may hold, bytes, without libraries and other
            memory that it shares; None for no limit.
        deaths: So many ends of that process in a row, without one answer, end the run.

    Raises:
        InputError: If a number is out of range.
    """

    device: str = "auto"
    deadline: float | None = 120.0
    memory: int | None = None
    deaths: int = 8

    def __post_init__(self) -> None:
        if self.deadline is not None and not 0 < self.deadline <= threading.TIMEOUT_MAX:
            raise InputError(f"experts: expected a deadline above 0 seconds, got {self.deadline}")
        for name, number in (("memory", self.memory), ("deaths", self.deaths)):
            if number is not None and number < 1:
                raise InputError(f"experts: expected {name} of 1 or more, got {number}")


@runtime_checkable
class Looker(Protocol):
    """Makes records of pictures; used by one thread at a time."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """What each stage has taken so far: `detect`, `segment`, `caption`."""
        ...

    @property
    def lacking(self) -> Mapping[str, str]:
        """The prompts that no expert can look for, and why."""
        ...

    @property
    def largest(self) -> int | None:
        """The most pictures at a time that are worth trying, once memory ran out; else None."""
        ...

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        """One record a picture, in order; the fault of a picture is its record's failure.

        Raises:
            DetectorError: If the experts cannot be asked any more at all.
        """
        ...

    def close(self) -> None:
        """Let go of the experts."""
        ...


def image_of(picture: Picture) -> Image:
    """A picture as experts see it.

    Examples:
        >>> image_of(Picture(path="a.png", content_hash="", pixels=np.zeros((2, 3, 3), np.uint8))).size
        (3, 2)
    """  # noqa: E501
    key = picture.content_hash
    if picture.frame is not None:
        # All frames of a video have its hash, and experts keep what they know of a picture by it.
        key = hashlib.sha256(f"{key}#{picture.frame.index}".encode()).hexdigest()
    return Image(
        pixels=picture.pixels,
        source=Source(name=picture.path, content_hash=key),
        frame_map=FrameMap(matrix=np.array(picture.to_stored, dtype=np.float64).reshape(2, 3)),
    )


def failed_record(picture: Picture, stage: str, message: str) -> AnnotationRecord:
    """The record of a picture that could not be annotated.

    Args:
        picture: The picture.
        stage: `detect` or `segment`.
        message: Why; it names the expert. It is cut to one line of bounded length.

    Examples:
        >>> picture = Picture(path="a.png", content_hash="", pixels=np.zeros((2, 3, 3), np.uint8))
        >>> failed_record(picture, "detect", "detector 'x' failed on 'a.png'").failure.stage
        'detect'
    """
    line = " ".join(message.split())
    line = line if len(line) <= _MOST_WORDS else f"{line[: _MOST_WORDS - 1]}…"
    return AnnotationRecord(
        path=picture.path,
        content_hash=picture.content_hash,
        status="failed",
        size=picture.size,
        to_stored=picture.to_stored,
        failure=Failure(stage=stage, message=line),
        frame=picture.frame,
    )

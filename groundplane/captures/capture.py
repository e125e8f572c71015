"""A capture: frames of one walk through a place, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from groundplane.captures.layouts import Layout
from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import Known

__all__ = ["Capture", "FrameSource"]


@runtime_checkable
class FrameSource(Protocol):
    """Where the frames of a capture come from."""

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        """Frames `start`, `start + step` and so on, each with its place in the capture."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Capture:
    """Frames of one walk through a place, read one at a time.

    Attributes:
        name: The folder's or file's name.
        layout: Which layout it has: one of `LAYOUTS`.
        up: Which way is up in the capture's own world, of length 1; None where it is not known.
        length: How many frames there are; None where only reading to the end would tell.
        gives: What the files tell of each frame, or of most; a frame may still lack it.
        notes: What a reader of an answer must know of the files, in words.
        source: Where the frames come from.

    Raises:
        InputError: If `up` has not length 1.
    """

    name: str
    layout: Layout
    up: tuple[float, float, float] | None
    length: int | None
    gives: frozenset[Known]
    source: FrameSource = field(repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.up is not None and not abs(sum(x * x for x in self.up) - 1) < 1e-6:
            raise InputError(f"capture {self.name!r}: expected `up` of length 1, got {self.up}")

    def frames(self, start: int = 0, step: int = 1) -> Iterator[Frame]:
        """Read frames in order; each keeps its place in the capture as its index.

        Args:
            start: The first one.
            step: Every how many-th.

        Yields:
            One frame at a time; those before are not held.

        Raises:
            InputError: If `start` is negative or `step` below 1, or the geometry of a frame is
                malformed.
            MediaError: If a picture, a depth or a video is missing, broken or cut off.
        """
        if start < 0 or step < 1:
            raise InputError(
                f"capture {self.name!r}: expected start >= 0 and step >= 1, got {start} and {step}"
            )
        return self.source.frames(start, step)

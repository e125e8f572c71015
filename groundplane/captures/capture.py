"""A capture: frames of one walk through a place, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from groundplane.captures.layouts import Layout
from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import InputError
from groundplane.core.geometry import Known

__all__ = ["Capture", "FrameSource", "Glance", "GlancingSource"]


@runtime_checkable
class FrameSource(Protocol):
    """Where the frames of a capture come from."""

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        """Frames `start`, `start + step` and so on, each with its place in the capture."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Glance:
    """What is known of a frame before its picture and depth are read.

    Attributes:
        index: Its place in the capture.
        time: Seconds since the start.
        pose: Camera to world, or None where the frame will have none.
        scale: Of the pose.
        notes: What is to be said of it so far.
        read: Reads the frame.
    """

    index: int
    time: float
    pose: Float[np.ndarray, "4 4"] | None
    scale: Scale
    notes: tuple[str, ...]
    read: Callable[[], Frame] = field(repr=False)

    @classmethod
    def of(cls, frame: Frame) -> Glance:
        """Of a frame that is there already."""
        return cls(
            index=frame.index,
            time=frame.time,
            pose=None if frame.camera is None else frame.camera.T_world_cam,
            scale=frame.scale,
            notes=frame.notes,
            read=lambda: frame,
        )


@runtime_checkable
class GlancingSource(Protocol):
    """A source that knows of frames what a glance tells, without reading them."""

    def glances(self, start: int, step: int) -> Iterator[Glance]:
        """What is known of frames `start`, `start + step` and so on."""
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

    def glances(self, start: int = 0, step: int = 1) -> Iterator[Glance]:
        """What is known of each frame before it is read, where the files allow it.

        Whoever picks a few of many frames by time or pose reads no others: a file that is broken
        and not looked at is no fault then.

        Args:
            start: The first one.
            step: Every how many-th.

        Yields:
            One a frame, in order.

        Raises:
            InputError, MediaError: As `frames`, of what has to be read.
        """
        if isinstance(self.source, GlancingSource) and start >= 0 and step >= 1:
            return self.source.glances(start, step)
        return map(Glance.of, self.frames(start, step))

"""What geometry experts are given and what they add: depth, intrinsics, poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import InputError

__all__ = ["FLOOR_ONLY", "UNKNOWN_SHIFT", "GeometryCapabilities", "GeometryExpert", "Known"]

Known = Literal["depth", "intrinsics", "pose"]

# A note of a frame whose depth is that of the bare floor, whatever stands on it: a thing is as far
# as the floor at its foot.
FLOOR_ONLY = "depth is known of the floor alone: a thing stands where its lowest point is"
# A note of a frame whose relative depth is right but for a factor and an offset of its inverse.
UNKNOWN_SHIFT = "the depth's unit is unknown, and so is an offset of 1 / depth"

_KNOWN = ("depth", "intrinsics", "pose")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryCapabilities:
    """What a geometry expert needs and gives, known without loading its weights.

    Attributes:
        gives: What it fills in: `depth`, `intrinsics`, `pose`.
        needs: What must be known of a frame before.
        scale: Whether its depth and poses are metres or an unknown unit.
        sequential: Whether frames must come in the order of one capture, since it carries over
            what it knows from one to the next.
        cost: Work of one frame, billions of floating-point operations, about; 0 for none.
        licence: Of the weights, as their publisher names it; empty where there are none.

    Raises:
        InputError: If it gives nothing, or a name or a number is no good one.
    """

    gives: frozenset[Known]
    needs: frozenset[Known] = frozenset()
    scale: Scale = "metric"
    sequential: bool = False
    cost: float = 0.0
    licence: str = ""

    def __post_init__(self) -> None:
        strange = sorted(set(self.gives | self.needs) - set(_KNOWN))
        if strange or not self.gives:
            raise InputError(f"geometry: expected gives and needs among {_KNOWN}, got {strange}")
        if not self.cost >= 0:
            raise InputError(f"geometry: expected a cost of 0 or more, got {self.cost}")


@runtime_checkable
class GeometryExpert(Protocol):
    """An expert that tells how far things are, or where the camera is."""

    @property
    def capabilities(self) -> GeometryCapabilities:
        """What it needs and gives."""
        ...

    def begin(self) -> None:
        """A new capture begins: forget what was carried over from frames before."""
        ...

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in what the expert gives.

        Args:
            frames: A few frames of one capture, in order; more may follow in the next call.

        Returns:
            The same frames in the same order, with the same pictures, indices and times. What
            the expert cannot tell of a frame stays unknown, with a note that says why; what it
            does not give stays as it is.

        Raises:
            InputError: If a frame lacks what the expert needs.
        """
        ...

"""Of which unit depth and poses of a map are, and how its frames come to metres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import InputError
from groundplane.core.geometry import UNKNOWN_SHIFT, Known
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.scaling import (
    DepthScale,
    Scaler,
    ScalingOptions,
    common_scale,
    find_scale,
    scaled,
)

__all__ = ["Units"]


class Units:
    """Brings frames to metres: each by what is known in it, or all by one factor.

    Networks for single pictures give each frame a unit of its own, beside poses in metres. Files
    and reconstructions have one unit for all depths, and the poses have it as well: these must
    be scaled with the depth, or nothing stays where it is.

    Args:
        scaling: What is known of the place.
        gives: What the files of the capture tell.
        source: Names the capture, for messages.
    """

    def __init__(self, scaling: ScalingOptions, *, gives: Iterable[Known], source: str) -> None:
        self._scaler = Scaler(scaling)
        self._gives, self._source = frozenset(gives), source
        self.wanted = bool(scaling.known or scaling.camera_height or scaling.distances)
        self._common: DepthScale | None = None
        self._one = False

    def check(self, frames: Sequence[Frame], *, posed: Scale) -> None:
        """Whether frames can make one map at all.

        Args:
            frames: With depth and poses.
            posed: Of the poses of the files, where they have some; trusted ones are metric.

        Raises:
            InputError: If depth and poses are of units that do not go together.
        """
        apart = any(UNKNOWN_SHIFT in frame.notes for frame in frames)
        if "pose" in self._gives and "depth" not in self._gives and posed == "relative":
            raise InputError(
                f"{self._source}: its poses have a unit of their own, and the depth of an expert "
                "has another, so they make no map together. Try: depth of the same reconstruction; "
                "if the poses are in metres: --poses trust"
            )
        if apart and "pose" not in self._gives:
            raise InputError(
                f"{self._source}: the depth of each frame has a unit of its own, from which no "
                "poses can be found. Try: geometry that is metric, such as depth-pro,odometry"
            )
        if apart and not self.wanted:
            raise InputError(
                f"{self._source}: the depth of each frame has a unit of its own, so they "
                "make no map together. Try: --known door=2.0 or --camera-height 1.5, or geometry "
                "that is metric"
            )

    def is_one(self, frames: Sequence[Frame]) -> bool:
        """Whether depth and poses of frames have one unit that is not known."""
        mixed = "pose" in self._gives and "depth" not in self._gives
        relative = all(frame.scale == "relative" for frame in frames)
        return relative and not mixed and not any(UNKNOWN_SHIFT in f.notes for f in frames)

    def settle(self, frames: Sequence[Frame], regions: Sequence[Regions]) -> tuple[str, ...]:
        """Find the one factor of depth and poses, from the first frames; what is to be said of it.

        Args:
            frames: In a world whose z is up.
            regions: What was found in each.
        """
        self._one = True
        pairs = zip(frames, regions, strict=True)
        found = [find_scale(self._scaler.references(*pair), affine=False) for pair in pairs]
        self._common = common_scale([one for one in found if one is not None])
        if self._common is not None:
            return ()
        where = f"in the first {len(frames)} keyframes"
        return (f"lengths stay without unit: nothing of known size was seen whole {where}",)

    def in_metres(self, frame: Frame, regions: Regions) -> Frame | None:
        """A frame in metres, or in the one unit of all; None where its unit stays unknown.

        Raises:
            InputError: If intrinsics or the way up, which what is known needs, are not known.
        """
        if self._one:
            common = self._common
            return frame if common is None else scaled(frame, common, with_pose=True)
        told = self._scaler.scale(frame, regions)
        return None if told.scale == "relative" and self.wanted else told

"""What a user may say of a capture that its files do not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from groundplane.core.camera import DepthNoise, Scale
from groundplane.core.errors import InputError
from groundplane.core.media import MediaLimits

__all__ = ["CaptureOptions"]

_LIMITS = MediaLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What is said of a capture beside its files; what is None is left to the layout.

    Attributes:
        fps: Pictures a second, where the files state no times.
        depth_scale: What a depth of one metre is in the files: 1000 where they hold millimetres.
        longest: Pixels that the longer side of a picture may have; larger ones are shrunk, with
            intrinsics and depth.
        tolerance: Seconds by which what belongs together may lie apart: picture, depth, pose.
        intrinsics: fx, fy, cx, cy in pixels of the pictures before they are shrunk, where the
            outer corner of the top-left pixel is at (0, 0).
        noise: How far the depth may be off.
        scale: Whether depth and poses are metric.
        up: Which way is up in the capture's own world.
        pictures: Folder of the pictures, where the layout does not say.
        whole: Whether a video that ends early is an error; else it ends with a note.
        limits: What a picture may be at most.

    Raises:
        InputError: If a number is out of range.
    """

    fps: float | None = None
    depth_scale: float | None = None
    longest: int | None = None
    tolerance: float = 0.02
    intrinsics: tuple[float, float, float, float] | None = None
    noise: DepthNoise | None = None
    scale: Scale | None = None
    up: tuple[float, float, float] | None = None
    pictures: Path | None = None
    whole: bool = True
    limits: MediaLimits = _LIMITS

    def __post_init__(self) -> None:
        for name in ("fps", "depth_scale", "longest", "tolerance"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"capture option {name}: expected a number above 0, got {value}")
        lens = self.intrinsics
        if lens is not None and not (all(map(math.isfinite, lens)) and min(lens[:2]) > 0):
            raise InputError(
                "capture option intrinsics: expected fx, fy, cx, cy, finite, fx and fy above 0, "
                f"got {lens}"
            )
        if self.up is not None and not (0 < math.hypot(*self.up) < math.inf):
            raise InputError(f"capture option up: expected a direction, got {self.up}")

    def up_or(
        self, default: tuple[float, float, float] | None
    ) -> tuple[float, float, float] | None:
        """The direction that was given, of length 1, or else the layout's."""
        if self.up is None:
            return default
        length = math.hypot(*self.up)
        x, y, z = (part / length for part in self.up)
        return x, y, z

"""What one frame shows of objects: points in the world, boxes, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D

__all__ = ["Sightings"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sightings:
    """Regions of one frame, lifted into the world; z up.

    Attributes:
        frame: Index of the frame in its capture.
        time: Seconds.
        region_ids: One id a region; unique over a capture.
        labels: One label a region.
        scores: In [0, 1].
        points: Points of all regions, one region after another, metres, world.
        counts: How many of the points each region has; at least 1.
        pixels: Pixels in the picture that each region covers, those without depth counted too.
        boxes: Gravity-aligned: row 2 of the axes is (0, 0, 1). With covariance.
        truncated: Whether the region meets the border of the picture, so that the thing may go on.
        occluded: Whether something nearer borders on it, so that a part of it may be hidden.
        features: Appearance of each region, rows of length 1, or None.
        dropped: Regions that could not be lifted: the id of each, and why, in words.

    Raises:
        ShapeError: If columns differ in length.
    """

    frame: int
    time: float
    region_ids: tuple[str, ...]
    labels: tuple[str, ...]
    scores: Float[Tensor, " n"]
    points: Float[Tensor, "p 3"]
    counts: Int[Tensor, " n"]
    pixels: Int[Tensor, " n"]
    boxes: Boxes3D
    truncated: Bool[Tensor, " n"]
    occluded: Bool[Tensor, " n"]
    features: Float[Tensor, "n d"] | None = None
    dropped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        n = len(self.region_ids)
        for name in ("labels", "scores", "counts", "pixels", "boxes", "truncated", "occluded"):
            if (got := len(getattr(self, name))) != n:
                raise ShapeError(f"sightings: {n} regions but {got} {name}")
        if self.features is not None and len(self.features) != n:
            raise ShapeError(f"sightings: {n} regions but {len(self.features)} features")

    def __len__(self) -> int:
        return len(self.region_ids)

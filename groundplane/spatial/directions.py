"""In which direction something lies: sectors of the bearing round a viewer."""

from __future__ import annotations

import math
from collections import Counter

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.queries import Sectors

__all__ = ["margin_of", "sector_of", "tally"]

# Borders in degrees, counter-clockwise from the line of sight, and the name from each border on.
# Quadrants and the 135 degrees are VSI-Bench's (supplement, relative direction).
_BORDERS: dict[str, tuple[tuple[float, str], ...]] = {
    "sides": ((0.0, "left"), (180.0, "right")),
    # A turn of 135 degrees to either side is a turn to the back, so 225 still is.
    "sides_and_back": ((0.0, "left"), (135.0, "back"), (math.nextafter(225.0, 360.0), "right")),
    "front_back": ((0.0, "front"), (90.0, "back"), (270.0, "front")),
    "quadrants": (
        (0.0, "front-left"), (90.0, "back-left"), (180.0, "back-right"), (270.0, "front-right"),
    ),
    "compass": (
        (0.0, "front"), (22.5, "front-left"), (67.5, "left"), (112.5, "back-left"),
        (157.5, "back"), (202.5, "back-right"), (247.5, "right"), (292.5, "front-right"),
        (337.5, "front"),
    ),
}  # fmt: skip


def sector_of(bearing: float, sectors: Sectors) -> str:
    """The sector of a bearing.

    Examples:
        >>> sector_of(23.1, "quadrants"), sector_of(325.3, "quadrants")
        ('front-left', 'front-right')
        >>> sector_of(135.0, "sides_and_back")
        'back'
    """
    # Rounding off the last digits, a scene that is turned keeps what lies on a border there.
    angle = round(bearing, 9) % 360
    return [name for border, name in _BORDERS[sectors] if angle >= border][-1]


def margin_of(bearing: float, sectors: Sectors) -> float:
    """Degrees to the nearest border between two sectors of different names.

    Examples:
        >>> margin_of(10.0, "sides"), margin_of(350.0, "compass")
        (10.0, 12.5)
    """
    borders = _BORDERS[sectors]
    real = [b for k, (b, name) in enumerate(borders) if borders[k - 1][1] != name]
    return min(min(abs(bearing - b), 360 - abs(bearing - b)) for b in real)


def tally(bearings: Float[Tensor, "..."], sectors: Sectors) -> Counter[str]:
    """How many of the bearings fall into each sector; NaN does not count."""
    known: list[float] = bearings[~torch.isnan(bearings)].flatten().tolist()
    return Counter(sector_of(angle, sectors) for angle in known)

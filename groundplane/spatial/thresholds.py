"""The numbers that relations turn on, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from groundplane.core.errors import InputError

__all__ = ["THRESHOLDS", "Thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Every number that a relation turns on: metres, radians, or shares of 1.

    Raises:
        InputError: If one is not a finite number: no relation would hold by it.
    """

    # Faces of scanned boxes lie up to about 5 cm off, and two faces meet.
    height_noise: float = 0.10
    # Boxes fitted to tall things (plants, lamps, shelves) are off in proportion.
    height_noise_share: float = 0.15
    # Less than half held up, and its centre not over the support: it would fall.
    covered_share: float = 0.50
    # Two things that only pass each other at the rim are not one above the other.
    above_share: float = 0.30
    # A window, a picture or a flat screen: no thicker than this, and over what stands before it.
    hung_thickness: float = 0.40
    hung_width: float = 3.0  # times as wide as thick
    hung_reach: float = 0.40
    # What is in a drawer or on a shelf may stick out a little; midway of 0.8 and 0.9.
    inside_share: float = 0.85
    # Half the side of a voxel of common indoor scans (4 cm): less cannot be seen.
    touch_gap: float = 0.02
    # Within a hand's reach: no person fits between.
    next_gap: float = 0.50
    # A long step; things further apart need to be walked between.
    near_gap: float = 1.00
    # Twelve feet, where social distance ends (Hall, The Hidden Dimension, 1966).
    far_gap: float = 3.60
    # Centres of scanned boxes are not known better, so a smaller offset has no side.
    side_offset: float = 0.10
    # An eighth of a turn to either side, as `in front of me` and `front` among eight directions.
    facing_angle: float = math.pi / 4
    # From this turn on something is at one's back (VSI-Bench, relative direction).
    back_angle: float = 3 * math.pi / 4
    # VSI-Bench drops questions within 10 degrees of a border: a direction is not known better.
    parallel_angle: float = math.pi / 18
    # Sides that differ by less are equal: fitted boxes are off in proportion (see above).
    size_share: float = 0.15
    # A picture or a rug may have no thickness; this much gives it a footprint and a volume.
    least_side: float = 0.001
    # Two points nearer than this have no direction from one to the other.
    least_ray: float = 1e-9
    # Measures closer than this share of the larger are equal up to rounding.
    least_share: float = 1e-9

    def __post_init__(self) -> None:
        for field in fields(self):
            if not math.isfinite(value := getattr(self, field.name)):
                raise InputError(f"thresholds: {field.name} must be a finite number, got {value}")


THRESHOLDS = Thresholds()

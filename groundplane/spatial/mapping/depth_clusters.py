"""Which of a region's pixels are the thing: depths in one piece, not what shines through its rim.

Depths are counted in bins as wide as a share of the depth, for all regions at once. A bin with
next to nothing in it parts what lies before it from what lies behind.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

__all__ = ["above_ground", "main_depths"]

# Share of a region's pixels below which a bin counts as empty.
_SPARSE = 0.005
# The lowest part of a box's points, as a share of their height, and how many of them it holds where
# it is the ground that the thing stands on, and not the thing.
_LOWEST = 0.06
_GROUND_LOW, _GROUND_HIGH = 0.12, 0.7


def main_depths(
    depth: Float[np.ndarray, " p"],
    owner: Int64[np.ndarray, " p"],
    num: int,
    *,
    gap: float,
    share: float,
    central: Bool[np.ndarray, " p"] | None = None,
) -> Bool[np.ndarray, " p"]:
    """Whether each pixel belongs to its region's thing, by its depth.

    Args:
        depth: Positive and finite.
        owner: The region of each pixel.
        num: Regions.
        gap: Width of a bin as a share of the depth; emptiness as long as twice that is seen.
        share: Pieces with at least this share of a region's pixels are kept, the largest always.
        central: Pixels that may choose the piece, where regions are boxes that hold other things
            too; then only the piece with most of them is kept.

    Examples:
        >>> depth = np.array([2.0, 2.01, 2.02, 4.0])
        >>> main_depths(depth, np.zeros(4, dtype=np.int64), 1, gap=0.04, share=0.3).tolist()
        [True, True, True, False]
        >>> main_depths(depth[:0], np.zeros(0, dtype=np.int64), 0, gap=0.04, share=0.3).tolist()
        []
    """
    if not depth.size:
        return np.zeros(0, dtype=bool)
    bins = np.floor(np.log(depth) / np.float32(gap)).astype(np.int64)
    bins -= bins.min()
    width = int(bins.max()) + 2  # an empty one at the end parts the regions
    cell = owner * width + bins
    counted = np.bincount(cell, minlength=num * width).reshape(num, width)
    votes = counted
    if central is not None:
        votes = np.bincount(cell[central], minlength=num * width).reshape(num, width)
    least = np.maximum(_SPARSE * counted.sum(axis=1), 1)
    filled = counted >= least[:, None]
    begins = filled.copy()
    begins[:, 1:] &= ~filled[:, :-1]
    piece = np.cumsum(begins.ravel()) - 1
    masses = np.bincount(piece[filled.ravel()], weights=votes[filled])
    home = np.flatnonzero(begins) // width
    most = np.zeros(num)
    np.maximum.at(most, home, masses)
    kept = masses == most[home]
    if central is None:
        kept |= masses >= share * counted.sum(axis=1)[home]
    good: Bool[np.ndarray, " _"] = filled.ravel() & np.append(kept, False)[piece]
    chosen: Bool[np.ndarray, " p"] = good[cell]
    return chosen


def above_ground(
    heights: Float[np.ndarray, " p"],
    owner: Int64[np.ndarray, " p"],
    num: int,
    *,
    slack: Float[np.ndarray, " p"],
) -> Bool[np.ndarray, " p"]:
    """Whether points in a box are the thing and not what it stands on.

    The corners of a box show the floor or the table round the thing's foot: many points that are
    all as low as the lowest. Where most points are, the thing itself is flat.

    Args:
        heights: Of points, world z.
        owner: The box of each, in order.
        num: Boxes.
        slack: How far noise may have lifted each above the lowest.

    Examples:
        >>> heights = np.array([0.0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1])
        >>> above_ground(heights, np.zeros(8, dtype=np.int64), 1, slack=0 * heights).tolist()
        [False, False, False, True, True, True, True, True]
        >>> above_ground(heights[:0], np.zeros(0, dtype=np.int64), 0, slack=heights[:0]).tolist()
        []
    """
    low, high = np.full(num, np.inf), np.full(num, -np.inf)
    np.minimum.at(low, owner, heights)
    np.maximum.at(high, owner, heights)
    lowest = heights <= (low + _LOWEST * (high - low))[owner] + slack
    every = np.maximum(np.bincount(owner, minlength=num), 1)
    share = np.bincount(owner[lowest], minlength=num) / every
    ground = (share >= _GROUND_LOW) & (share <= _GROUND_HIGH)
    kept: Bool[np.ndarray, " p"] = ~(lowest & ground[owner])
    return kept

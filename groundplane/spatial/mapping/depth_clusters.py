"""Which of a region's pixels are the thing: depths in one piece, not what shines through its rim.

Depths are counted in bins as wide as a share of the depth, for all regions at once. A bin with
next to nothing in it parts what lies before it from what lies behind.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

__all__ = ["main_depths"]

# Share of a region's pixels, and of the fullest bin's, below which a bin counts as empty.
_SPARSE_OF_MASK = 0.005
_SPARSE_OF_BOX = 0.15


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
    votes = cell if central is None else cell[central]
    counted = np.bincount(votes, minlength=num * width).reshape(num, width)
    if central is None:
        least = np.maximum(_SPARSE_OF_MASK * counted.sum(axis=1), 1)
    else:
        least = np.maximum(_SPARSE_OF_BOX * counted.max(axis=1), 1)
    filled = counted >= least[:, None]
    begins = filled.copy()
    begins[:, 1:] &= ~filled[:, :-1]
    piece = np.cumsum(begins.ravel()) - 1
    masses = np.bincount(piece[filled.ravel()], weights=counted[filled])
    home = np.flatnonzero(begins) // width
    most = np.zeros(num)
    np.maximum.at(most, home, masses)
    kept = masses == most[home]
    if central is None:
        kept |= masses >= share * counted.sum(axis=1)[home]
    good: Bool[np.ndarray, " _"] = filled.ravel() & np.append(kept, False)[piece]
    chosen: Bool[np.ndarray, " p"] = good[cell]
    return chosen

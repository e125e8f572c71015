"""What borders on regions: whether something nearer covers a part of their outline.

The outline is read off the pixels that were taken of a region: the first and the last of each row
and column. Just outside of it lies what the region ends at: a wall behind it, the floor that it
stands on, or something in front of it, behind which the region may go on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from groundplane.spatial.mapping.region_pixels import RegionPixels

__all__ = ["SIDES", "Outline", "nearer_shares", "outline_of"]

# Left, top, right, bottom: the step outwards in columns and rows.
SIDES = ((-1, 0), (0, -1), (1, 0), (0, 1))
# Pixels from the first look outside to the second.
_SECOND_LOOK = 3
# Fewer pixels of an outline tell nothing of its side.
_LEAST_PIXELS = 3

_Column = Int64[np.ndarray, " m"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """Pixels at the rim of regions, and two places outside of each.

    Attributes:
        owner: The region of each.
        side: Which of `SIDES` is outwards.
        inside: Flat place of the pixel in the picture.
        near: Flat place of the first pixel outside.
        far: Flat place of one a little farther out, or of the first where that is no more in it.
        step: Pixels from the rim to the first.
    """

    owner: _Column
    side: _Column
    inside: _Column
    near: _Column
    far: _Column
    step: _Column


def outline_of(
    pixels: RegionPixels, size: tuple[int, int], *, step: Int64[np.ndarray, " n"]
) -> Outline:
    """The rim of each region as its pixels show it.

    Args:
        pixels: In the order of regions, columns and rows.
        size: Height and width of the picture.
        step: Pixels from the last one taken of each region to one that is surely outside.

    Examples:
        >>> where = np.array([0]), np.array([1]), np.array([1])
        >>> pixels = RegionPixels(owner=where[0], rows=where[1], columns=where[2])
        >>> outline_of(pixels, (3, 3), step=np.array([1])).near.tolist()
        [3, 1, 5, 7]
        >>> none = RegionPixels(**{k: where[0][:0] for k in ("owner", "rows", "columns")})
        >>> outline_of(none, (3, 3), step=where[0][:0]).near.tolist()
        []
    """
    height, width = size
    owner, rows, columns = pixels.owner, pixels.rows, pixels.columns
    new = np.ones(owner.size + 1, dtype=bool)
    new[1:-1] = (columns[1:] != columns[:-1]) | (owner[1:] != owner[:-1])
    bounds = np.flatnonzero(new)
    line = owner * height + rows
    table = np.full(step.size * height, -1)
    table[line] = np.arange(line.size)
    last = table[table >= 0]
    table[line[::-1]] = np.arange(line.size)[::-1]
    first = table[table >= 0]
    ends = (first, bounds[:-1], last, bounds[1:] - 1)
    at = np.concatenate(ends)
    side = np.repeat(np.arange(4), [rim.size for rim in ends])
    out = np.array(SIDES)[side]
    step = step[owner[at]]
    x, y = columns[at] + out[:, 0] * step, rows[at] + out[:, 1] * step
    held = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    at, side, out, step, x, y = at[held], side[held], out[held], step[held], x[held], y[held]
    far_x, far_y = x + _SECOND_LOOK * out[:, 0], y + _SECOND_LOOK * out[:, 1]
    beyond = (far_x < 0) | (far_x >= width) | (far_y < 0) | (far_y >= height)
    near = y * width + x
    return Outline(
        owner=owner[at],
        side=side,
        inside=rows[at] * width + columns[at],
        near=near,
        far=np.where(beyond, near, far_y * width + far_x),
        step=step,
    )


def nearer_shares(
    outline: Outline,
    depth: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]],
    num: int,
    *,
    jump: float,
) -> Float64[np.ndarray, "n 4"]:
    """Share of each side of the outline on which something nearer borders.

    The floor before a thing is nearer than the thing, too, but leads up to it: along a plane the
    inverse of the depth is linear in the picture, so two looks outside tell how deep the plane
    lies at the rim. Only what would still be nearer there hides anything.

    Args:
        outline: The rim.
        depth: At `inside`, `near` and `far`; not positive or not finite where unknown.
        num: Regions.
        jump: How much nearer, as a share of the depth.

    Returns:
        0 for a side with next to nothing to look at.

    Examples:
        >>> where = np.zeros(3, dtype=np.int64)
        >>> rim = Outline(owner=where, side=where, inside=where, near=where, far=where, step=where)
        >>> far, close = np.full(3, 2.0), np.ones(3)
        >>> nearer_shares(rim, (far, close, close), 1, jump=0.05).tolist()
        [[1.0, 0.0, 0.0, 0.0]]
        >>> nearer_shares(rim, (close, far, far), 1, jump=0.05).tolist()
        [[0.0, 0.0, 0.0, 0.0]]
    """
    inside, near, far = depth
    known = (inside > 0) & (near > 0) & np.isfinite(inside) & np.isfinite(near)
    safe = np.where(known, near, 1)
    inverse = 1 / safe
    straight = known & (far > 0) & np.isfinite(far)
    slope = np.where(straight, inverse - 1 / np.where(straight, far, 1), 0)
    at_rim = inverse + slope * outline.step / _SECOND_LOOK
    limit = np.where(known, inside, 1) * (1 - jump)
    nearer = known & (safe < limit) & (at_rim * limit > 1)
    cell = outline.owner * 4 + outline.side
    looked = np.bincount(cell[known], minlength=num * 4).reshape(num, 4)
    found = np.bincount(cell[nearer], minlength=num * 4).reshape(num, 4)
    shares: Float64[np.ndarray, "n 4"] = np.where(
        looked >= _LEAST_PIXELS, found / np.maximum(looked, 1), 0.0
    )
    return shares

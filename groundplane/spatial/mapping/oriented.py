"""Upright boxes round groups of points: the smallest rectangle seen from above, and the heights.

The smallest rectangle round points has a side along an edge of their convex hull (Freeman and
Shapira, Determining the minimum-area encasing rectangle for an arbitrary closed curve, CACM 1975),
so each edge of each hull is tried. Few points are corners of the hull: those within the octagon of
the outermost points in eight directions are put aside first, for all groups at once (Akl and
Toussaint, A fast convex hull algorithm, 1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D

__all__ = ["LEAST_SIZE", "Uprights", "fit_uprights", "upright_boxes"]

# Metres; thinner than this no depth camera measures, and maps take positive sizes only.
LEAST_SIZE = 0.01
_DIRECTIONS = 4
# Numbers that groups may be padded to without a thought of memory.
_PADDED = 1 << 20
_Points = Float[np.ndarray, "p 3"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Uprights:
    """Boxes with a vertical axis, on the host.

    Attributes:
        centers: Metres.
        sizes: Metres; as fitted, so 0 where the points have no extent.
        directions: Unit vector of each box's first, longer horizontal side.
    """

    centers: Float64[np.ndarray, "n 3"]
    sizes: Float64[np.ndarray, "n 3"]
    directions: Float64[np.ndarray, "n 2"]

    @property
    def axes(self) -> Float64[np.ndarray, "n 3 3"]:
        """Rows are the unit axes; the last one is (0, 0, 1)."""
        axes = np.zeros((len(self.centers), 3, 3))
        axes[:, 0, :2] = self.directions
        axes[:, 1, 0], axes[:, 1, 1] = -self.directions[:, 1], self.directions[:, 0]
        axes[:, 2, 2] = 1
        return axes


def upright_boxes(
    points: Float[Tensor, "p 3"], counts: Int[Tensor, " n"], *, least: float = LEAST_SIZE
) -> Boxes3D:
    """The smallest upright box round each group of points.

    The hulls are found on the host: points of a card are copied there, once.

    Args:
        points: Group after group, metres, z up.
        counts: How many each group has, at least 1.
        least: No size is smaller, metres; the box grows about its middle.

    Returns:
        Boxes on the points' device and of their type, without covariance. Row 0 of the axes is
        the longer horizontal side, row 2 is (0, 0, 1).

    Raises:
        ShapeError: If the counts do not add up to the points.
        InputError: If a group is empty or a point is not finite.

    Examples:
        >>> corners = torch.tensor([[0.0, 0, 0], [2, 0, 1], [0, 1, 0], [2, 1, 0]])
        >>> box = upright_boxes(corners, torch.tensor([4]))
        >>> box.centers.tolist(), box.sizes.tolist()
        ([[1.0, 0.5, 0.5]], [[2.0, 1.0, 1.0]])
        >>> len(upright_boxes(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)))
        0
    """
    found = fit_uprights(points.detach().cpu().numpy(), counts.detach().cpu().numpy())
    centers, sizes, axes = (
        torch.from_numpy(column).to(points)
        for column in (found.centers, np.maximum(found.sizes, least), found.axes)
    )
    return Boxes3D(centers=centers, sizes=sizes, axes=axes)


def fit_uprights(points: _Points, counts: Int[np.ndarray, " n"]) -> Uprights:
    """The smallest upright box round each group of points, sizes as they are.

    Raises:
        ShapeError: If the counts do not add up to the points.
        InputError: If a group is empty or a point is not finite.

    Examples:
        >>> fit_uprights(np.array([[1.0, 2, 3]]), np.array([1])).sizes.tolist()
        [[0.0, 0.0, 0.0]]
        >>> len(fit_uprights(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).centers)
        0
    """
    if counts.sum() != len(points):
        raise ShapeError(f"boxes: {len(points)} points but counts of {counts.sum()}")
    if counts.size and counts.min() < 1:
        raise InputError("boxes: a group has no points; leave it out")
    if not counts.size:
        return Uprights(
            centers=np.zeros((0, 3)), sizes=np.zeros((0, 3)), directions=np.zeros((0, 2))
        )
    starts = _begins(counts)
    low = np.minimum.reduceat(points, starts, axis=0).astype(np.float64)
    high = np.maximum.reduceat(points, starts, axis=0).astype(np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError("boxes: a point is not finite")
    middle, sides, directions = _tightest(points, counts, starts)
    centers = np.column_stack([middle, (low[:, 2] + high[:, 2]) / 2])
    sizes = np.column_stack([sides, high[:, 2] - low[:, 2]])
    return Uprights(centers=centers, sizes=sizes, directions=directions)


def _tightest(
    points: _Points, counts: Int[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n 2"]]:
    """Middle, sides and direction of each group's smallest rectangle.

    Groups of a call are padded to the largest: where that wastes more than it holds, the larger
    ones go first, so that memory is bounded by the points however uneven the groups are.
    """
    if (counts.max() + 1) * len(counts) > max(_PADDED, 2 * (len(points) + len(counts))):
        large = counts > counts.max() // 2
        found = (np.zeros((len(counts), 2)), np.zeros((len(counts), 2)), np.zeros((len(counts), 2)))
        for part in (large, ~large):
            for column, own in zip(
                found, _tightest(_taken(points, counts, part), counts[part], _begins(counts[part])),
                strict=True,
            ):  # fmt: skip
                column[part] = own
        return found
    flat, groups = _candidates(points, counts, starts)
    middle, sides, directions = _rectangles(flat, groups, len(counts))
    return middle + points[starts, :2], sides, directions


def _begins(counts: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Where each group begins."""
    begins: Int64[np.ndarray, " n"] = np.cumsum(counts) - counts
    return begins


def _taken(
    points: _Points, counts: Int[np.ndarray, " n"], part: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "q 3"]:
    """The points of some groups."""
    taken: Float[np.ndarray, "q 3"] = points[np.repeat(part, counts)]
    return taken


def _candidates(
    points: _Points, counts: Int[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "m 2"], Int64[np.ndarray, " m"]]:
    """Points that may be corners of a hull, from each group's first, and whose they are."""
    # One column more than there are points: a group of one point is a line of two.
    width = int(counts.max()) + 1
    place = starts[:, None] + np.minimum(np.arange(width), counts[:, None] - 1)
    # From a point of the group, so that the digits are those of its size.
    x, y = (points[:, k].take(place) - points[starts, k, None] for k in (0, 1))
    turns = [math.pi * k / _DIRECTIONS for k in range(_DIRECTIONS)]
    one, two = np.empty_like(x), np.empty_like(x)
    outermost = []
    for turn in turns:
        np.multiply(x, math.cos(turn), out=one)
        one += np.multiply(y, math.sin(turn), out=two)
        outermost.append((one.argmax(axis=1), one.argmin(axis=1)))
    at = np.stack([*(most for most, _ in outermost), *(least for _, least in outermost)], axis=1)
    corner_x, corner_y = np.take_along_axis(x, at, 1), np.take_along_axis(y, at, 1)
    outside = np.zeros(x.shape, dtype=bool)
    outside[:, -1] = True
    for k in range(2 * _DIRECTIONS):
        start_x, start_y = corner_x[:, k - 1, None], corner_y[:, k - 1, None]
        side_x, side_y = corner_x[:, k, None] - start_x, corner_y[:, k, None] - start_y
        np.multiply(side_y, x, out=one)
        one -= np.multiply(side_x, y, out=two)
        outside |= one > side_y * start_x - side_x * start_y  # to the right of the side
    np.put_along_axis(outside, at, values=True, axis=1)
    chosen = np.flatnonzero(outside)
    xy = np.column_stack([x.ravel()[chosen], y.ravel()[chosen]])
    return xy.astype(np.float64), chosen // width


def _rectangles(
    flat: Float64[np.ndarray, "m 2"], groups: Int64[np.ndarray, " m"], num: int
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n 2"]]:
    """Middle, sides (the longer one first) and direction of the longer one."""
    hulls = shapely.convex_hull(shapely.linestrings(flat, indices=groups))
    corners, owner = shapely.get_coordinates(hulls, return_index=True)
    counts = np.bincount(owner, minlength=num)
    starts = np.cumsum(counts) - counts
    place = starts[:, None] + np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    ring = corners[place] - corners[starts][:, None]
    edges = np.roll(ring, -1, axis=1) - ring
    length = np.linalg.norm(edges, axis=2)
    unit = edges / np.maximum(length, np.finfo(np.float64).tiny)[..., None]
    unit[length == 0] = (1.0, 0.0)
    along = unit @ ring.transpose(0, 2, 1)
    across = np.stack([-unit[..., 1], unit[..., 0]], axis=2) @ ring.transpose(0, 2, 1)
    low = np.stack([along.min(axis=2), across.min(axis=2)], axis=2)
    high = np.stack([along.max(axis=2), across.max(axis=2)], axis=2)
    sides = high - low
    # A rectangle without area is as thin along any edge: the shorter way round is the tighter.
    areas = sides.prod(axis=2)
    areas[length == 0] = np.inf
    best = np.where(np.isinf(areas).all(axis=1), 0, areas.argmin(axis=1))
    rows = np.arange(num)
    first, low, sides = unit[rows, best], low[rows, best], sides[rows, best]
    second = np.column_stack([-first[:, 1], first[:, 0]])
    middle = low + sides / 2
    centre = corners[starts] + middle[:, :1] * first + middle[:, 1:] * second
    turned = sides[:, 1] > sides[:, 0]
    direction = np.where(turned[:, None], second, first)
    sides = np.where(turned[:, None], sides[:, ::-1], sides)
    flip = (direction[:, 0] < 0) | ((direction[:, 0] == 0) & (direction[:, 1] < 0))
    return centre, sides, np.where(flip[:, None], -direction, direction)

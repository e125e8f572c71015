"""Where a way may end at a spot: its nearest point, and the tips of the rim that is open to one.

A spot is what is free of the ground within some distance of a thing. Round a post at a wall it is
a C, and what is nearest of it may lie behind the wall. The rim that one comes in by is a part of
the line at that distance, which is convex as the thing is: so from anywhere the nearest way to it,
among those beside it, leads to the nearest point of all or to a tip, where the rim meets a wall.
"""

from __future__ import annotations

import numpy as np
import shapely
from jaxtyping import Float, Int
from shapely.geometry.base import BaseGeometry

__all__ = ["lines_between", "nearest_points", "tips_of"]

Points = Float[np.ndarray, "n 2"]
Lines = Float[np.ndarray, "n 2 2"]

# What lies so near to a wall is of it, metres: rounding is far less.
_ON = 1e-7


def tips_of(spot: BaseGeometry, walls: BaseGeometry) -> Float[np.ndarray, "t 2"]:
    """Where the open rim of a spot meets the walls.

    Args:
        spot: Polygons, or a point, which has no tips.
        walls: The border of the region that the spot is cut out of; prepared if it is asked often.

    Examples:
        >>> floor = shapely.box(0, 0, 4, 4)
        >>> sorted(map(tuple, tips_of(shapely.box(1, 0, 3, 1), floor.boundary).tolist()))
        [(1.0, 0.0), (3.0, 0.0)]
        >>> tips_of(shapely.Point(1, 1), floor.boundary).shape
        (0, 2)
    """
    found = [np.zeros((0, 2))]
    parts = shapely.get_parts(spot)
    for ring in shapely.get_rings(parts[shapely.area(parts) > 0]):
        at = shapely.get_coordinates(ring)
        middles = shapely.points((at[1:] + at[:-1]) / 2)
        shut = np.asarray(shapely.dwithin(walls, middles, _ON))
        found.append(at[:-1][shut != np.roll(shut, 1)])
    return np.concatenate(found)


def nearest_points(
    spot: BaseGeometry, tips: Float[np.ndarray, "t 2"], points: Float[np.ndarray, "m 2"]
) -> tuple[Int[np.ndarray, " k"], Points]:
    """Where ways from some points may end at a spot: the nearest point of all, then the tips.

    Args:
        spot: Where one stands.
        tips: Of its rim.
        points: Where the ways come from, metres.

    Returns:
        Rows of the points, ascending, and for each an end, the nearest first.

    Examples:
        >>> spot = shapely.box(1, 0, 3, 1)
        >>> rows, ends = nearest_points(spot, np.array([[3.0, 0.0]]), np.array([[4.0, 0.5]]))
        >>> rows.tolist(), ends.tolist()
        ([0, 0], [[3.0, 0.5], [3.0, 0.0]])
        >>> nearest_points(spot, np.zeros((0, 2)), np.zeros((0, 2)))[0].tolist()
        []
    """
    if isinstance(spot, shapely.Point):
        return np.arange(len(points)), np.broadcast_to([spot.x, spot.y], points.shape)
    lines = shapely.shortest_line(shapely.points(points), spot)
    first = shapely.get_coordinates(lines).reshape(-1, 2, 2)[:, 1:]
    ends = np.concatenate([first, np.broadcast_to(tips, (len(points), *tips.shape))], axis=1)
    lengths = np.linalg.norm(ends - points[:, None], axis=2)
    rows = np.repeat(np.arange(len(points)), ends.shape[1])
    order = np.lexsort((lengths.ravel(), rows))
    return rows[order], ends.reshape(-1, 2)[order]


def lines_between(
    a: BaseGeometry,
    b: BaseGeometry,
    tips_a: Float[np.ndarray, "s 2"],
    tips_b: Float[np.ndarray, "t 2"],
) -> Lines:
    """The lines between two spots of which one may be the shortest that is free.

    Examples:
        >>> a, b = shapely.box(0, 0, 1, 1), shapely.box(3, 2, 4, 3)
        >>> lines_between(a, b, np.zeros((0, 2)), np.array([[3.0, 3.0]])).tolist()
        [[[1.0, 1.0], [3.0, 2.0]], [[1.0, 1.0], [3.0, 3.0]]]
    """
    nearest = shapely.get_coordinates(shapely.shortest_line(a, b))
    rows, ends = nearest_points(b, tips_b, tips_a)
    there = np.stack([tips_a[rows], ends], axis=1)
    _, starts = nearest_points(a, tips_a[:0], tips_b)
    return np.concatenate([nearest[None], there, np.stack([starts, tips_b], axis=1)])

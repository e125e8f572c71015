"""Where a way may end at a spot: the points of its rim that are nearer than those beside them.

A spot need not be convex: round a post at a wall it is a C, and what is nearest of it may lie
behind the wall. A shortest way ends at the nearest point that it reaches, and that is nearest in
its surroundings; how near each stretch of the rim comes tells all of those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int
from shapely.geometry.base import BaseGeometry

__all__ = ["Rim", "nearest_stretches", "rim_of", "shortest_lines"]

Points = Float[np.ndarray, "n 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rim:
    """The straight stretches round a spot, holes too; one without length for a point.

    Attributes:
        start: Where each begins, metres.
        end: Where it ends.
        before: Which stretch comes before it.
        after: Which comes behind it.
    """

    start: Float[np.ndarray, "s 2"]
    end: Float[np.ndarray, "s 2"]
    before: Int[np.ndarray, " s"]
    after: Int[np.ndarray, " s"]

    def toward(self, points: Float[np.ndarray, "*m 1 2"]) -> Float[np.ndarray, "*m s 2"]:
        """The point of each stretch that is nearest to each of some points."""
        way = self.end - self.start
        square = np.maximum((way**2).sum(axis=1), 1e-300)
        share = ((points - self.start) * way).sum(axis=-1) / square
        return np.asarray(self.start + share.clip(0, 1)[..., None] * way)

    def dips(self, lengths: Float[np.ndarray, "*m s"]) -> Bool[np.ndarray, "*m s"]:
        """Whether each stretch is nearer than both beside it; of equals in a row, the last."""
        return np.asarray(
            (lengths <= lengths[..., self.before]) & (lengths < lengths[..., self.after])
            | (self.before == self.after)
        )


def rim_of(spot: BaseGeometry) -> Rim:
    """The rim of a point, or of polygons.

    Examples:
        >>> rim_of(shapely.box(0, 0, 2, 1)).after.tolist()
        [1, 2, 3, 0]
        >>> len(rim_of(shapely.Polygon()).start)
        0
    """
    parts = shapely.get_parts(spot)
    solid = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings = [*shapely.get_rings(parts[solid]), *parts[~solid]]
    starts, ends, before, after = [np.zeros((0, 2))], [np.zeros((0, 2))], [], []
    count = 0
    for ring in rings:
        at = shapely.get_coordinates(ring)
        size = max(1, len(at) - 1)
        starts.append(at[:size])
        ends.append(at[-size:])
        here = np.arange(size)
        before.append(count + np.roll(here, 1))
        after.append(count + np.roll(here, -1))
        count += size
    none = np.zeros(0, dtype=np.int64)
    return Rim(
        start=np.concatenate(starts),
        end=np.concatenate(ends),
        before=np.concatenate([none, *before]),
        after=np.concatenate([none, *after]),
    )


def nearest_stretches(
    rim: Rim, points: Float[np.ndarray, "m 2"]
) -> tuple[Int[np.ndarray, " k"], Points]:
    """For each point, what of a rim is nearest in its surroundings; the nearest first.

    Args:
        rim: Of a spot.
        points: Where ways come from, metres.

    Returns:
        Rows of the points, ascending, and the points of the rim.

    Examples:
        >>> rim = rim_of(shapely.box(0, 0, 2, 1))
        >>> rows, ends = nearest_stretches(rim, np.array([[3.0, 0.5]]))
        >>> rows.tolist(), ends.tolist()
        ([0], [[2.0, 0.5]])
        >>> nearest_stretches(rim, np.zeros((0, 2)))[0].tolist()
        []
    """
    ends = rim.toward(points[:, None])
    lengths = np.linalg.norm(ends - points[:, None], axis=2)
    dips = rim.dips(lengths)
    if len(rim.start):
        # Where all of a ring is as far, none of it is nearer than what is beside it.
        dips[np.arange(len(points)), lengths.argmin(axis=1)] = True
    rows, stretches = np.nonzero(dips)
    order = np.lexsort((lengths[rows, stretches], rows))
    rows, stretches = rows[order], stretches[order]
    return rows, ends[rows, stretches]


def shortest_lines(a: Rim, b: Rim) -> tuple[Points, Points]:
    """The lines between two rims that are shorter than those beside them, the shortest first.

    Returns:
        Where each begins, on the first rim, and where it ends, on the second.

    Examples:
        >>> left, right = rim_of(shapely.box(0, 0, 1, 1)), rim_of(shapely.box(3, 0, 4, 1))
        >>> start, end = shortest_lines(left, right)
        >>> (end - start)[0].tolist()
        [2.0, 0.0]
    """
    lines = np.concatenate([_from_ends(a, b), _from_ends(b, a).swapaxes(1, 2)[..., ::-1, :]])
    lengths = np.linalg.norm(lines[..., 1, :] - lines[..., 0, :], axis=-1)
    best = lengths.argmin(axis=0)
    length = np.take_along_axis(lengths, best[None], axis=0)[0]
    i, j = np.nonzero(b.dips(length) & a.dips(length.T).T)
    order = length[i, j].argsort(kind="stable")
    i, j = i[order], j[order]
    found = lines[best[i, j], i, j]
    return found[:, 0], found[:, 1]


def _from_ends(a: Rim, b: Rim) -> Float[np.ndarray, "2 s t 2 2"]:
    """The shortest lines from both ends of the one's stretches to the other's.

    Of two stretches that do not cross, an end is an end of the shortest line.
    """
    ends = np.stack([a.start, a.end])[:, :, None]
    return np.stack(np.broadcast_arrays(ends, b.toward(ends)), axis=-2)

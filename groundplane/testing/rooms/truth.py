"""What is true of things given as meshes: boxes, gaps, turns, areas, by plain geometry.

Written from the published definitions (VSI-Bench, appendix) on vertices and outlines alone. It
imports nothing of `groundplane.spatial`, so that what answers questions and what makes them cannot
share a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from groundplane.core.errors import InputError

__all__ = [
    "Solid",
    "area_of",
    "bearing",
    "gaps",
    "grid_gap",
    "holds",
    "outline_distances",
    "outline_gap",
    "solid_of",
]

# Step of the grid that VSI-Bench puts on a box to measure from, metres.
_STEP = 0.05
# No side is thinner, metres: a mesh may be flat.
_THIN = 1e-6

Points = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solid:
    """A thing's upright box.

    Attributes:
        id: Of the thing.
        label: Of the thing.
        center: Middle of the box, metres, world.
        sizes: Full extents along the axes; the third is the height.
        axes: Rows are the axes; row 2 is (0, 0, 1).
    """

    id: int
    label: str
    center: Float[np.ndarray, " 3"]
    sizes: Float[np.ndarray, " 3"]
    axes: Float[np.ndarray, "3 3"]

    @property
    def footprint(self) -> Float[np.ndarray, "4 2"]:
        """The corners seen from above, counter-clockwise."""
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=float) / 2
        return np.asarray((signs * self.sizes[:2]) @ self.axes[:2, :2] + self.center[:2])

    @property
    def low(self) -> float:
        """Its lowest z."""
        return float(self.center[2] - self.sizes[2] / 2)

    @property
    def high(self) -> float:
        """Its highest z."""
        return float(self.center[2] + self.sizes[2] / 2)


def solid_of(id: int, label: str, vertices: Float[np.ndarray, "v 3"]) -> Solid:
    """The upright box with the least footprint round a mesh.

    A rectangle of least area has a side along a side of the convex hull (Freeman and Shapira
    1975), so each side is tried.

    Args:
        id: Of the thing.
        label: Of the thing.
        vertices: Metres, world, z up.

    Raises:
        InputError: If there are none, or one is not finite.

    Examples:
        >>> box = solid_of(1, "rug", np.array([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0.5]]))
        >>> box.sizes.tolist(), box.center.tolist()
        ([2.0, 1.0, 0.5], [1.0, 0.5, 0.25])
        >>> solid_of(2, "dust", np.zeros((0, 3)))
        Traceback (most recent call last):
        groundplane.core.errors.InputError: truth of 'dust': expected finite vertices, got 0
    """
    if not len(vertices) or not np.isfinite(vertices).all():
        raise InputError(f"truth of {label!r}: expected finite vertices, got {len(vertices)}")
    hull = _hull(vertices[:, :2])
    sides = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(sides[:, 1], sides[:, 0]) % (np.pi / 2)) if len(hull) > 1 else [0]
    turns = np.stack([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])
    seen = np.einsum("hd,adk->kha", hull, turns)  # each angle, each corner, along both axes
    low, high = seen.min(axis=1), seen.max(axis=1)
    best = int(np.argmin(np.prod(high - low, axis=1)))
    axes = np.eye(3)
    axes[:2, :2] = turns[:, :, best]
    bottom, top = vertices[:, 2].min(), vertices[:, 2].max()
    middle = ((low[best] + high[best]) / 2) @ axes[:2, :2]
    return Solid(
        id=id,
        label=label,
        center=np.array([*middle, (bottom + top) / 2]),
        sizes=np.maximum([*(high[best] - low[best]), top - bottom], _THIN),
        axes=axes,
    )


def _hull(points: Points) -> Points:
    """The convex hull, counter-clockwise, by the monotone chain (Andrew 1979)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered

    def half(run: Points) -> list[Float[np.ndarray, " 2"]]:
        kept: list[Float[np.ndarray, " 2"]] = []
        for point in run:
            while len(kept) > 1 and _cross(kept[-1] - kept[-2], point - kept[-2]) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _cross(a: Float[np.ndarray, " 2"], b: Float[np.ndarray, " 2"]) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


def gaps(solids: Sequence[Solid]) -> Float[np.ndarray, "n n"]:
    """How far each two boxes are apart, closest point to closest point, metres.

    Upright boxes are footprints times ranges of height: the square of the gap is that of the
    footprints' gap plus that of the heights'.

    Examples:
        >>> one = solid_of(1, "rod", np.array([[0.0, 0, 0], [1, 1, 1]]))
        >>> gaps([]).shape, gaps([one]).tolist()
        ((0, 0), [[0.0]])
    """
    table = np.zeros((len(solids), len(solids)))
    outlines = [solid.footprint for solid in solids]
    for i, a in enumerate(solids):
        for j, b in enumerate(solids[:i]):
            over = max(a.low - b.high, b.low - a.high, 0.0)
            table[i, j] = table[j, i] = np.hypot(outline_gap(outlines[i], outlines[j]), over)
    return table


def outline_gap(a: Points, b: Points) -> float:
    """How far two convex outlines are apart, metres; 0 where they meet.

    Args:
        a: Corners in order; two make a stretch of a line, one a point.
        b: The same.

    Examples:
        >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
        >>> outline_gap(square, square + [3, 4]), outline_gap(square, square + 0.5)
        (3.605551275463989, 0.0)
        >>> outline_gap(square, np.array([[0.5, 2.0]]))
        1.0
    """
    if _meet(a, b):
        return 0.0
    return min(_to_edges(a, b), _to_edges(b, a))


def _meet(a: Points, b: Points) -> bool:
    """Whether no line parts them: of a line that does, some normal of a side tells."""
    sides = np.concatenate([np.roll(a, -1, axis=0) - a, np.roll(b, -1, axis=0) - b])
    normals = np.concatenate([sides[:, ::-1] * (1, -1), sides])
    normals = normals[(normals**2).sum(axis=1) > 0]
    first, second = a @ normals.T, b @ normals.T
    apart = (first.min(axis=0) > second.max(axis=0)) | (second.min(axis=0) > first.max(axis=0))
    return bool(len(normals)) and not bool(apart.any())


def outline_distances(points: Points, outline: Points) -> Float[np.ndarray, " _"]:
    """How far each point is from an outline, metres; 0 within it.

    Examples:
        >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
        >>> outline_distances(np.array([[0.5, 0.5], [0.5, 3.0]]), square).tolist()
        [0.0, 2.0]
    """
    return np.where(holds(outline, points), 0.0, _edge_distances(points, outline).min(axis=1))


def _to_edges(points: Points, outline: Points) -> float:
    """The least distance of points from the sides of an outline."""
    return float(_edge_distances(points, outline).min())


def _edge_distances(points: Points, outline: Points) -> Float[np.ndarray, "_ _"]:
    sides = np.roll(outline, -1, axis=0) - outline
    lengths = np.maximum((sides**2).sum(axis=1), 1e-30)
    off = points[:, None] - outline
    along = np.clip((off * sides).sum(axis=2) / lengths, 0, 1)
    return np.asarray(np.linalg.norm(off - along[:, :, None] * sides, axis=2))


def grid_gap(a: Solid, b: Solid) -> float:
    """The distance as VSI-Bench measures it: between grids of 5 cm on both boxes, faces included.

    Which points lie deep inside, and are dropped there, does not matter to the least distance.

    Examples:
        >>> cube = np.stack(np.meshgrid([0.0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3)
        >>> round(grid_gap(solid_of(1, "box", cube), solid_of(2, "box", cube + [2, 0, 0])), 6)
        1.0
    """
    # A point of the nearest pair is at most so far from the other box as a grid may miss by.
    near = gaps([a, b])[0, 1] + np.sqrt(3) * _STEP
    own, other = _near(_grid(a), b, near), _near(_grid(b), a, near)
    parts = np.array_split(own, max(1, len(own) * len(other) // 2_000_000))
    least = [np.linalg.norm(part[:, None] - other, axis=2).min() for part in parts if len(part)]
    return float(min(least))


def _grid(solid: Solid) -> Float[np.ndarray, "_ 3"]:
    """The points of the grid, world."""
    runs = [np.append(np.arange(-s / 2, s / 2 - 1e-9, _STEP), s / 2) for s in solid.sizes]
    local = np.stack(np.meshgrid(*runs, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(local @ solid.axes + solid.center)


def _near(points: Float[np.ndarray, "_ 3"], solid: Solid, limit: float) -> Float[np.ndarray, "_ 3"]:
    """The points at most so far from a box."""
    local = np.abs((points - solid.center) @ solid.axes.T) - solid.sizes / 2
    return np.asarray(points[np.linalg.norm(np.maximum(local, 0), axis=1) <= limit])


def bearing(stand: Points, face: Points, query: Points) -> Float[np.ndarray, " _"]:
    """The turn from facing one place to facing another, degrees counter-clockwise in [0, 360).

    Args:
        stand: Where one stands, one row or as many as the others.
        face: Where one looks.
        query: What is asked about.

    Examples:
        >>> spot, ahead = np.array([[0.0, 0]]), np.array([[0.0, 1]])
        >>> bearing(spot, ahead, np.array([[-1.0, 0], [0, -1], [1, 0]])).tolist()
        [90.0, 180.0, 270.0]
        >>> bearing(spot, ahead, np.zeros((0, 2))).tolist()
        []
    """
    ahead, there = face - stand, query - stand
    turned = np.arctan2(there[:, 1], there[:, 0]) - np.arctan2(ahead[:, 1], ahead[:, 0])
    return np.asarray(np.degrees(turned) % 360)


def area_of(outline: Points) -> float:
    """Square metres within an outline that does not cross itself.

    Examples:
        >>> area_of(np.array([[0.0, 0], [4, 0], [4, 3], [0, 3]]))
        12.0
    """
    x, y = outline.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def holds(outline: Points, points: Points) -> Bool[np.ndarray, " _"]:
    """Which points lie within an outline: a ray crosses its sides an odd number of times.

    Examples:
        >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
        >>> holds(square, np.array([[0.5, 0.5], [1.5, 0.5]])).tolist()
        [True, False]
        >>> holds(square, np.zeros((0, 2))).tolist()
        []
    """
    start, end = outline, np.roll(outline, -1, axis=0)
    y = points[:, 1, None]
    between = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(start[:, 1] == end[:, 1], 1.0, end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / rise
    return np.asarray((between & (points[:, 0, None] < crossing)).sum(axis=1) % 2 == 1)

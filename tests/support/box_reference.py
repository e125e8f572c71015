"""Plain float64 geometry of pairs of boxes in numpy, to hold the fast paths against.

Nothing here is shared with the package: the gap is the least over all features of both boxes, in
world coordinates, and a shared volume is the hull of all its corners. Boxes come as corners of
arrays: `centers` n 3, `sizes` n 3 and `axes` n 3 3 (rows are the axes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Array = NDArray[np.float64]

SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
# The twelve edges, as pairs of corners that differ in one sign.
EDGES = [(i, j) for i in range(8) for j in range(i) if np.abs(SIGNS[i] - SIGNS[j]).sum() == 2]


class Boxes(NamedTuple):
    centers: Array
    sizes: Array
    axes: Array


def corners(boxes: Boxes) -> Array:
    """n 8 3."""
    return boxes.centers[:, None] + (SIGNS * boxes.sizes[:, None] / 2) @ boxes.axes


def locally(points: Array, boxes: Boxes) -> Array:
    """Points n k 3 in the frame of box i."""
    return (points - boxes.centers[:, None]) @ boxes.axes.transpose(0, 2, 1)


def points_to_box(points: Array, boxes: Boxes) -> Array:
    """Distance n k of points n k 3 to box i."""
    excess = np.abs(locally(points, boxes)) - boxes.sizes[:, None] / 2
    return np.linalg.norm(np.maximum(excess, 0), axis=-1)


def edges(boxes: Boxes) -> tuple[Array, Array]:
    """Both ends of the twelve edges, n 12 3."""
    points = corners(boxes)
    return points[:, [i for i, _ in EDGES]], points[:, [j for _, j in EDGES]]


def edges_meet_box(a: Boxes, b: Boxes) -> NDArray[np.bool_]:
    """Whether any edge of a runs through box b."""
    starts, ends = (locally(end, b) for end in edges(a))
    half = b.sizes[:, None] / 2
    way = ends - starts
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-half - starts) / way, (half - starts) / way
    level = way == 0
    inside = np.abs(starts) <= half
    start = np.where(level, np.where(inside, -np.inf, np.inf), np.minimum(one, two)).max(axis=-1)
    end = np.where(level, np.where(inside, np.inf, -np.inf), np.maximum(one, two)).min(axis=-1)
    return (np.maximum(start, 0) <= np.minimum(end, 1)).any(axis=1)


def between_segments(p: Array, u: Array, q: Array, v: Array) -> Array:
    """Distance of segments p + s u and q + t v, s and t in [0, 1].

    The inner minimum is in closed form or at an end: all five candidates are tried.
    """

    def dot(x: Array, y: Array) -> Array:
        return np.einsum("...i,...i->...", x, y)

    way = q - p
    uu, vv, uv = dot(u, u), dot(v, v), dot(u, v)
    wu, wv = dot(way, u), dot(way, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (wu * vv - wv * uv) / (uu * vv - uv * uv)
        # For each end of the second segment the best place on the first, and both ends of it.
        candidates = [inner, wu / uu, (wu + uv) / uu, np.zeros_like(wu), np.ones_like(wu)]
        best = np.full(wu.shape, np.inf)
        for candidate in candidates:
            s = np.clip(np.nan_to_num(candidate), 0, 1)
            t = np.clip(np.nan_to_num((s * uv - wv) / vv), 0, 1)
            point = way + t[..., None] * v - s[..., None] * u
            best = np.minimum(best, dot(point, point))
    return np.sqrt(best)


def gaps(a: Boxes, b: Boxes) -> Array:
    """Gap of box i of a and box i of b: corners to boxes, edges to edges; 0 where one pierces."""
    near = np.minimum(
        points_to_box(corners(a), b).min(axis=1), points_to_box(corners(b), a).min(axis=1)
    )
    (start_a, end_a), (start_b, end_b) = edges(a), edges(b)
    way_a, way_b = (end_a - start_a)[:, :, None], (end_b - start_b)[:, None]
    crossed = between_segments(start_a[:, :, None], way_a, start_b[:, None], way_b)
    near = np.minimum(near, crossed.min(axis=(1, 2)))
    return np.where(edges_meet_box(a, b) | edges_meet_box(b, a), 0.0, near)


def vertices(a: Boxes, b: Boxes) -> tuple[Array, NDArray[np.bool_]]:
    """Candidates for the corners of what a and b share, and which of them lie in both."""
    found = [corners(a), corners(b)]
    for one, other in ((a, b), (b, a)):
        starts, ends = (locally(end, other) for end in edges(one))
        way = ends - starts
        for axis in range(3):
            for side in (-0.5, 0.5):
                with np.errstate(divide="ignore", invalid="ignore"):
                    share = (side * other.sizes[:, None, axis] - starts[..., axis]) / way[..., axis]
                share = np.clip(np.nan_to_num(share), 0, 1)[..., None]
                point = (starts + share * way) @ other.axes + other.centers[:, None]
                found.append(point)
    points = np.concatenate(found, axis=1)
    # A nanometre outside is on the surface: a candidate found by division is off by rounding.
    inside = (points_to_box(points, a) < 1e-9) & (points_to_box(points, b) < 1e-9)
    return points, inside


def shared_volumes(a: Boxes, b: Boxes) -> Array:
    """Volume of the hull of the corners of what box i of a and box i of b share."""
    points, inside = vertices(a, b)
    volumes = np.zeros(len(points))
    for i in np.flatnonzero(inside.sum(axis=1) >= 4):
        held = points[i, inside[i]]
        spread = held - held.mean(axis=0)
        # What is flat to a micrometre has no hull; its volume is below what is compared.
        if np.linalg.svd(spread, compute_uv=False)[2] > 1e-6:
            try:
                volumes[i] = ConvexHull(held).volume
            except QhullError:
                volumes[i] = np.nan
    return volumes


def shadows(boxes: Boxes) -> Array:
    """Area that each box covers seen from above: what its three pairs of faces cast."""
    x, y, z = boxes.axes.transpose(1, 0, 2)
    area = np.zeros(len(x))
    for first, second, i, j in ((x, y, 0, 1), (y, z, 1, 2), (z, x, 2, 0)):
        cast = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        area += np.abs(cast) * boxes.sizes[:, i] * boxes.sizes[:, j]
    return area


def turns_to(origin: Array, ahead: Array, target: Array) -> Array:
    """Degrees to turn left at the origin, from looking ahead until the target is ahead."""
    sight, way = (point[..., 0] + 1j * point[..., 1] for point in (ahead - origin, target - origin))
    return np.degrees(np.angle(way / sight)) % 360

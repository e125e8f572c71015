"""Alpha shapes: the outline of points in the plane, bays and holes and all.

Source: Edelsbrunner, Kirkpatrick and Seidel, On the shape of a set of points in the plane, 1983:
the triangles of Delaunay's triangulation whose circumcircle is smaller than 1 / alpha. Yang et
al., Thinking in Space, 2025, measure rooms so, with alpha of 5 a metre. Shapely's `concave_hull`
is another thing: it takes away long edges from outside and finds no holes.
"""

from __future__ import annotations

import numpy as np
import shapely
from jaxtyping import Float

from groundplane.core.errors import InputError

__all__ = ["alpha_shape"]


def alpha_shape(
    points: Float[np.ndarray, "n 2"], *, alpha: float = 5.0
) -> shapely.Polygon | shapely.MultiPolygon:
    """The alpha shape of points.

    Args:
        points: In the plane; those that are not finite are left out.
        alpha: One over the largest radius of a triangle's circumcircle; 0 gives the convex hull.

    Returns:
        One polygon or several, with their holes; empty where no three points are near enough.

    Raises:
        InputError: If alpha is negative or not a number.

    Examples:
        >>> corners = np.array([[0.0, 0], [0.2, 0], [0.2, 0.1], [0, 0.1], [9, 9]])
        >>> round(alpha_shape(corners).area, 6)
        0.02
        >>> alpha_shape(np.zeros((0, 2))).is_empty
        True
    """
    if not 0 <= alpha < float("inf"):
        raise InputError(f"alpha shape: expected an alpha of at least 0, got {alpha}")
    finite = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    mesh = shapely.delaunay_triangles(shapely.multipoints(finite))
    triangles = shapely.get_parts(mesh)
    triangles = triangles[shapely.get_type_id(triangles) == shapely.GeometryType.POLYGON]
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice_area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    # The circumradius is abc / 4 area; written without a division, as slivers have no area.
    small = sides.prod(axis=1) * alpha < 2 * twice_area
    union = shapely.coverage_union_all(triangles[small])
    parts = [part for part in shapely.get_parts(union) if isinstance(part, shapely.Polygon)]
    if len(parts) == 1:
        return parts[0]
    return shapely.MultiPolygon(parts)

"""Alpha shapes against triangles counted one by one."""

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.alpha_shapes import alpha_shape


def by_hand(points, alpha):
    """Area of the Delaunay triangles that are small enough, by their definition."""
    area = 0.0
    for a, b, c in itertools.combinations(points, 3):
        twice = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(twice) < 1e-12:
            continue
        # The circle through three points: equal distance to each.
        left = 2 * np.array([b - a, c - a])
        middle = np.linalg.solve(left, [b @ b - a @ a, c @ c - a @ a])
        radius = np.linalg.norm(a - middle)
        inside = (np.linalg.norm(points - middle, axis=1) < radius * (1 - 1e-9)).any()
        if not inside and radius * alpha < 1:
            area += abs(twice) / 2
    return area


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num=st.integers(3, 14), alpha=st.sampled_from([0.5, 2.0, 5.0]))
def test_area_is_that_of_the_triangles_with_a_small_circle(seed, num, alpha):
    points = np.random.default_rng(seed).random((num, 2))
    assert alpha_shape(points, alpha=alpha).area == pytest.approx(by_hand(points, alpha), abs=1e-9)


def test_the_reference_feels_a_wrong_radius():
    points = np.random.default_rng(3).random((12, 2))
    assert alpha_shape(points, alpha=5.0).area != pytest.approx(by_hand(points, 3.0), abs=1e-6)


def test_no_alpha_gives_the_convex_hull():
    points = np.random.default_rng(0).random((50, 2))
    hull = shapely.convex_hull(shapely.multipoints(points))
    # Slivers along the hull are lost to rounding at most.
    assert alpha_shape(points, alpha=0.0).area == pytest.approx(hull.area, rel=1e-6)


def test_holes_and_pieces_are_kept():
    grid = np.stack(np.meshgrid(np.arange(21), np.arange(21)), axis=-1).reshape(-1, 2) * 0.1
    ring = grid[np.abs(grid - 1.0).max(axis=1) > 0.45]
    shape = alpha_shape(np.concatenate([ring, ring + np.array([5.0, 0])]))
    assert len(shape.geoms) == 2
    assert [len(part.interiors) for part in shape.geoms] == [1, 1]
    # Triangles cut the corners of the holes off.
    assert shape.area == pytest.approx(2 * (4 - 1.0), rel=0.03)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        np.zeros((5, 2)),
        np.array([[0.0, 0], [0.1, 0.1], [0.2, 0.2]]),
        np.array([[0.0, 0], [np.nan, 0], [0, np.inf], [0.1, 0]]),
        np.array([[0.0, 0], [1e6, 0], [0, 1e6]]),
    ],
)
def test_what_has_no_small_triangle_is_empty(points):
    assert alpha_shape(points).is_empty


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(InputError, match="alpha of at least 0"):
        alpha_shape(np.zeros((3, 2)), alpha=alpha)

"""Upright boxes: as tight as shapely's rectangle, whatever the points."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.oriented import fit_uprights, upright_boxes


def rectangle_area(points: np.ndarray) -> float:
    """The reference: one call of shapely a group."""
    return shapely.minimum_rotated_rectangle(shapely.multipoints(points[:, :2])).area


def check(groups: list[np.ndarray], tolerance: float) -> None:
    points, counts = np.concatenate(groups), np.array([len(group) for group in groups])
    found = fit_uprights(points, counts)
    for i, group in enumerate(groups):
        local = (group - found.centers[i]) @ found.axes[i].T
        scale = max(1.0, float(np.abs(group).max()))
        assert np.abs(local).max(axis=0) == pytest.approx(found.sizes[i] / 2, abs=tolerance * scale)
        wanted = rectangle_area(group.astype(np.float64))
        assert found.sizes[i, 0] * found.sizes[i, 1] <= wanted + tolerance * scale**2
        assert found.sizes[i, 0] >= found.sizes[i, 1]


def test_boxes_are_as_tight_as_the_smallest_rectangle():
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(k, 3)) * rng.random(3) for k in (1, 2, 3, 4, 9, 100, 2000)]
    groups += [rng.random((3000, 3)), rng.integers(0, 3, (50, 3)).astype(float)]
    check(groups, 1e-9)


def test_groups_without_extent_or_width_have_boxes_without_either():
    line = np.linspace(0, 1, 7)[:, None] * np.array([[1.0, 2.0, 0.0]])
    found = fit_uprights(np.concatenate([np.ones((5, 3)), line]), np.array([5, 7]))
    assert found.sizes[0].tolist() == [0, 0, 0]
    assert found.sizes[1] == pytest.approx([5**0.5, 0, 0], abs=1e-12)
    assert found.directions[1] == pytest.approx(np.array([1, 2]) / 5**0.5)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-5000, 5000)),
    st.floats(-3.2, 3.2),
)
def test_a_turned_group_has_a_box_of_the_same_area(points, yaw):
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    points = points / 100
    check([points], 1e-7)
    both = fit_uprights(np.concatenate([points, points @ turn.T]), np.array([len(points)] * 2))
    areas = both.sizes[:, 0] * both.sizes[:, 1]
    assert areas[0] == pytest.approx(areas[1], abs=1e-6)


def test_axes_are_right_handed_and_upright_and_sizes_have_a_least():
    box = upright_boxes(torch.rand(6, 3), torch.tensor([1, 5]))
    assert box.sizes.min() >= 0.01
    assert torch.linalg.det(box.axes) == pytest.approx(torch.ones(2), abs=1e-6)
    assert box.axes[:, 2].tolist() == [[0, 0, 1]] * 2


def test_counts_that_do_not_fit_and_points_that_are_not_finite_are_refused():
    with pytest.raises(ShapeError, match="3 points but counts of 2"):
        fit_uprights(np.zeros((3, 3)), np.array([2]))
    with pytest.raises(InputError, match="no points"):
        fit_uprights(np.zeros((3, 3)), np.array([3, 0]))
    with pytest.raises(InputError, match="not finite"):
        fit_uprights(np.array([[0, np.nan, 0]]), np.array([1]))


def test_very_uneven_groups_take_memory_by_their_points_and_have_the_same_boxes():
    rng = np.random.default_rng(4)
    counts = np.array([200_000, *rng.integers(1, 40, 400), 100_000])
    points = rng.normal(size=(counts.sum(), 3))
    tracemalloc.start()
    found = fit_uprights(points, counts)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Padded to the largest they would be 402 times 200,000 points.
    assert most < 60 * points.nbytes / 3
    ends = np.cumsum(counts)
    for i in (0, 1, 57, 400, 401):
        alone = fit_uprights(points[ends[i] - counts[i] : ends[i]], counts[i : i + 1])
        assert found.centers[i] == pytest.approx(alone.centers[0], abs=1e-12)
        assert found.sizes[i] == pytest.approx(alone.sizes[0], abs=1e-12)

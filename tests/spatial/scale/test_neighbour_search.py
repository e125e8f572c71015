"""What the search measures, and where its radius ends; what it finds is tested with neighbours."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.box_tree import reachable, within
from groundplane.spatial.scale.neighbour_search import near_pairs, root_of, sort_sides, square_of

DOUBLE = torch.float64


def points(centers):
    centers = torch.as_tensor(centers, dtype=DOUBLE)
    eye = torch.eye(3, dtype=DOUBLE).repeat(len(centers), 1, 1)
    return Boxes3D(centers=centers, sizes=torch.ones_like(centers), axes=eye)


def sorted_points(centers):
    """The tree, and its leaves that hold something, which ask."""
    tree = sort_sides(points(centers), None, "centers").tree
    leaves = tree.levels[-1]
    return tree, leaves.pick(leaves.counts.nonzero()[:, 0])


@given(
    st.lists(st.one_of(st.floats(0, 1e150), st.floats(0, 1e-150), st.just(math.inf)), min_size=1)
)
def test_roots_are_rounded_rightly(squares):
    squares = torch.tensor(squares * 9, dtype=DOUBLE)
    assert root_of(squares).tolist() == [math.sqrt(square) for square in squares.tolist()]


@given(st.lists(st.floats(0, 2.0**99, width=32), min_size=1))
def test_so_are_roots_in_single_precision(squares):
    squares = torch.tensor(squares * 9, dtype=torch.float32)
    np.testing.assert_array_equal(root_of(squares), np.sqrt(squares.numpy()))


def test_roots_next_to_a_half_way_mark_are_rounded_rightly():
    # Just below a power of four, the root lies within a thousandth of a digit of such a mark.
    squares = [math.nextafter(4.0**power, side) for power in range(-9, 9) for side in (0, math.inf)]
    assert root_of(torch.tensor(squares, dtype=DOUBLE)).tolist() == [*map(math.sqrt, squares)]


def test_the_root_of_what_is_not_known_is_not_known():
    assert root_of(torch.tensor([math.nan, 4.0], dtype=DOUBLE)).isnan().tolist() == [True, False]


@given(st.floats(0, 1e30))
def test_the_square_of_a_radius_is_the_last_whose_root_is_within(radius):
    square = square_of(radius, DOUBLE)
    assert math.sqrt(square) <= radius < math.sqrt(math.nextafter(square, math.inf))


@given(st.floats(0, 2**50, width=32))
def test_so_it_is_in_single_precision(radius):
    square = np.float32(square_of(radius, torch.float32))
    following = np.nextafter(square, np.float32(np.inf))
    assert np.sqrt(square) <= np.float32(radius) < np.sqrt(following)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_radius_whose_square_does_not_fit_holds_every_square_that_does(dtype):
    assert square_of(1e200, dtype) == torch.finfo(dtype).max


@pytest.mark.parametrize("radius", [-1.0, math.nan, math.inf])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(InputError, match="radius must be at least 0 metres and finite"):
        square_of(radius, DOUBLE)


def test_in_a_heap_each_leaf_looks_into_the_first_ones_only():
    tree, leaves = sorted_points(torch.zeros(4_000, 3))
    walk = reachable(tree, 9, leaves, 2**20)
    assert walk is not None
    assert len(walk.rows) == len(leaves.counts)
    assert walk.parts.unique().tolist() == [0]


def test_in_a_heap_the_whole_is_counted_without_a_look():
    tree, leaves = sorted_points(torch.zeros(4_000, 3))
    walk = within(tree, 1.0, True, leaves, 2**20)
    assert walk is not None
    assert len(walk.rows) == 0
    assert (walk.counts == 4_000).all()


def test_in_a_row_of_objects_a_leaf_looks_into_its_neighbours_only():
    row = torch.stack([torch.arange(4_000.0), torch.zeros(4_000), torch.zeros(4_000)], dim=1)
    tree, leaves = sorted_points(row)
    walk = reachable(tree, 3, leaves, 2**20)
    assert walk is not None
    assert len(walk.rows) < 6 * len(leaves.counts)


def test_a_walk_that_grows_too_wide_is_given_up_unless_one_leaf_asks():
    tree, leaves = sorted_points(torch.zeros(400, 3))
    assert within(tree, 1.0, False, leaves, 100) is None
    alone = within(tree, 1.0, False, leaves.pick(torch.tensor([3])), 5)
    assert alone is not None
    assert len(alone.parts) == len(leaves.counts)


def test_pairs_of_nothing_are_columns_of_the_right_type():
    first, _, squares = next(near_pairs(sort_sides(points(torch.zeros(0, 3)), None, "hulls"), 1.0))
    assert (len(first), first.dtype, squares.dtype) == (0, torch.int64, DOUBLE)

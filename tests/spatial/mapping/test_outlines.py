"""The rim of regions, and what stands nearer beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.spatial.mapping.outlines import SIDES, nearer_shares, outline_of
from groundplane.spatial.mapping.region_pixels import RegionPixels

SIZE = (30, 40)


def rim_of(shape: np.ndarray, *, step: int = 1):
    """The outline of one region, every pixel of it taken."""
    columns, rows = np.nonzero(shape.T)
    owner = np.zeros(len(rows), dtype=np.int64)
    pixels = RegionPixels(owner=owner, rows=rows, columns=columns)
    return outline_of(pixels, SIZE, step=np.array([step]))


def shares_of(depth: np.ndarray, shape: np.ndarray) -> np.ndarray:
    rim = rim_of(shape)
    flat = depth.ravel()
    looks = (flat[rim.inside], flat[rim.near], flat[rim.far])
    return nearer_shares(rim, looks, 1, jump=0.05)[0]


@pytest.fixture
def shape() -> np.ndarray:
    full = np.zeros(SIZE, dtype=bool)
    full[8:20, 10:30] = True
    return full


def test_every_row_and_column_has_two_ends(shape):
    rim = rim_of(shape, step=2)
    assert np.bincount(rim.side).tolist() == [12, 20, 12, 20]
    rows, columns = np.divmod(rim.inside, SIZE[1])
    assert shape[rows, columns].all()
    outwards = np.array(SIDES)[rim.side] * 2
    assert (rim.near == (rows + outwards[:, 1]) * SIZE[1] + columns + outwards[:, 0]).all()


def test_what_lies_beyond_the_picture_is_not_looked_at(shape):
    rim = rim_of(np.roll(shape, (-8, -10), axis=(0, 1)))
    assert sorted(set(rim.side.tolist())) == [2, 3]


@pytest.mark.parametrize(
    ("place", "side"),
    [
        ((slice(None), slice(0, 10)), 0), ((slice(0, 8), slice(None)), 1),
        ((slice(None), slice(30, 40)), 2), ((slice(20, 30), slice(None)), 3),
    ],
)  # fmt: skip
def test_something_nearer_is_told_on_its_own_side(shape, place, side):
    depth = np.full(SIZE, 4.0)
    depth[shape] = 2.0
    depth[place] = 1.0
    found = shares_of(depth, shape)
    assert found[side] == 1
    assert np.delete(found, side).tolist() == [0, 0, 0]


def test_a_plane_that_leads_up_to_a_thing_does_not_hide_it(shape):
    depth = np.full(SIZE, 4.0)
    depth[shape] = 2.0
    # A floor: its inverse depth grows with the rows, and is the thing's at the thing's foot.
    rows = np.arange(20, 30)[:, None]
    depth[20:30] = 1 / (0.5 + 0.03 * (rows + 0.5 - 20))
    assert shares_of(depth, shape).tolist() == [0, 0, 0, 0]
    depth[20:30] = 1 / (0.7 + 0.03 * (rows + 0.5 - 20))
    assert shares_of(depth, shape)[3] == 1


def test_unknown_depths_hide_nothing(shape):
    for wrong in (0.0, np.nan, np.inf):
        depth = np.full(SIZE, wrong)
        depth[shape] = 2.0
        assert shares_of(depth, shape).tolist() == [0, 0, 0, 0]

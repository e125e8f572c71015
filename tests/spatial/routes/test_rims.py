"""Where ways may end at a spot, by hand; `test_routes` has them against a raster."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from groundplane.spatial.routes.rims import lines_between, nearest_points, tips_of

# A post, and a floor that a wall to the right of it cuts into: where one stands is a C.
POST = shapely.box(-0.5, -1, 0.5, 1)
FLOOR = shapely.box(-6, -6, 6, 6) - POST.buffer(0.5) - shapely.box(0, -0.6, 4, 0.4)
SPOT = FLOOR & POST.buffer(0.6)
TIPS = tips_of(SPOT, FLOOR.boundary)


def other_spot(x, turn):
    """Another of the kind, seven metres and more away, and its tips."""
    moved = (shapely.affinity.rotate(g, turn, origin=(0, 0)) for g in (SPOT, FLOOR.boundary))
    spot, walls = (shapely.affinity.translate(g, x, 1.0) for g in moved)
    return spot, tips_of(spot, walls)


def test_tips_are_where_the_wall_cuts_the_rim():
    outer = [tip for tip in TIPS.tolist() if tip[0] > 1.05]

    assert len(TIPS) == 2
    assert sorted(round(y, 3) for _, y in outer) == [-0.6, 0.4]


def test_ring_and_point_have_no_tips():
    open_floor = shapely.box(-6, -6, 6, 6) - POST.buffer(0.5)

    assert len(tips_of(open_floor & POST.buffer(0.6), open_floor.boundary)) == 0
    assert len(tips_of(shapely.Point(3, 3), FLOOR.boundary)) == 0


def test_nearest_comes_first_and_then_the_tips():
    rows, ends = nearest_points(SPOT, TIPS, np.array([[5.0, 0.1], [5.0, -0.3]]))

    assert rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert ends[0, 1] == pytest.approx(0.4)
    assert ends[3, 1] == pytest.approx(-0.6)


def test_point_is_its_own_end():
    rows, ends = nearest_points(shapely.Point(1, 2), np.zeros((0, 2)), np.ones((3, 2)))

    assert rows.tolist() == [0, 1, 2]
    assert ends.tolist() == [[1, 2]] * 3


@given(x=st.floats(7, 9), turn=st.floats(0, 360))
def test_first_line_between_two_spots_is_the_shortest_and_all_end_at_them(x, turn):
    spot, tips = other_spot(x, turn)
    lines = lines_between(SPOT, spot, TIPS, tips)

    lengths = np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1)
    assert lengths[0] == pytest.approx(SPOT.distance(spot), abs=1e-9)
    assert (lengths >= lengths[0] - 1e-9).all()
    for side, at in ((0, SPOT), (1, spot)):
        assert shapely.distance(shapely.points(lines[:, side]), at).max() < 1e-6
    assert len(lines) == 1 + len(TIPS) * (1 + len(tips)) + len(tips)

"""Nearest points of rims, against shapely and by hand."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from groundplane.spatial.rims import nearest_stretches, rim_of, shortest_lines

# A C that is open to the right, its lower arm the longer one.
C = shapely.Polygon([(0, 0), (3, 0), (3, 1), (1, 1), (1, 3), (2, 3), (2, 4), (0, 4)])
COORDINATE = st.floats(-8, 8).map(lambda value: round(value, 3))


def test_rim_goes_round_each_ring_and_back_to_its_start():
    rim = rim_of(
        shapely.union(shapely.box(0, 0, 3, 3) - shapely.box(1, 1, 2, 2), shapely.box(5, 0, 6, 1))
    )
    assert len(rim.start) == 12
    assert (rim.end == rim.start[rim.after]).all()
    assert (rim.end[rim.before] == rim.start).all()


def test_rim_of_a_point_is_one_stretch_and_of_nothing_none():
    rim = rim_of(shapely.Point(1, 2))
    assert rim.start.tolist() == rim.end.tolist() == [[1, 2]]
    assert len(rim_of(shapely.Polygon()).start) == 0


def test_both_arms_of_a_c_are_found_the_nearer_first():
    rows, ends = nearest_stretches(rim_of(C), np.array([[4.0, 1.5], [4.0, 3.5]]))
    at = {row: ends[rows == row].tolist() for row in (0, 1)}
    assert at[0][0] == [3, 1]
    assert [2, 3] in at[0]
    assert at[1][0] == [2, 3.5]
    assert [3, 1] in at[1]


def test_two_cs_that_face_each_other_have_a_line_for_each_pair_of_arms():
    other = shapely.affinity.translate(shapely.affinity.scale(C, xfact=-1, origin=(0, 0)), 7, 0)
    start, end = shortest_lines(rim_of(C), rim_of(other))
    lengths = np.linalg.norm(end - start, axis=1)
    assert lengths[0] == 1
    assert (np.diff(lengths) >= 0).all()
    assert 3 in lengths.tolist()


@given(x=COORDINATE, y=COORDINATE)
def test_first_of_the_nearest_is_shapelys(x, y):
    rows, ends = nearest_stretches(rim_of(C), np.array([[x, y]]))
    assert len(rows)
    found = float(np.hypot(*(ends[0] - (x, y))))
    assert found == pytest.approx(C.exterior.distance(shapely.Point(x, y)), abs=1e-9)


@given(x=st.floats(6, 9), y=COORDINATE, turn=st.floats(0, 360))
def test_first_of_the_lines_is_shapelys(x, y, turn):
    other = shapely.affinity.translate(shapely.affinity.rotate(C, turn), x, y)
    start, end = shortest_lines(rim_of(C), rim_of(other))
    length = float(np.hypot(*(end[0] - start[0])))
    assert length == pytest.approx(C.distance(other), abs=1e-9)


@given(x=COORDINATE, y=COORDINATE)
def test_each_is_nearer_than_what_lies_beside_it(x, y):
    point, rim = np.array([x, y]), rim_of(C)
    _, ends = nearest_stretches(rim, point[None])
    ring = C.exterior
    for end in ends[1:]:
        at = ring.project(shapely.Point(end))
        beside = [ring.interpolate((at + step) % ring.length) for step in (-1e-4, 1e-4)]
        here = float(np.hypot(*(end - point)))
        assert all(here <= shapely.Point(point).distance(other) + 1e-9 for other in beside)

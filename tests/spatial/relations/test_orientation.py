"""Fronts, long sides and lines: hand-built cases and a plain reference, pair by pair."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.relations.orientation import has_front, has_long_side, horizontal_sides
from groundplane.spatial.relations.sides import between_points

SEEDS = st.integers(0, 2**31)


def boxes(*rows):
    """Boxes from (x, y, width, depth, degrees) or with a height behind; height 1 without."""
    columns = [row if len(row) == 6 else (*row, 1.0) for row in rows]
    angles = [math.radians(row[4]) for row in columns]
    axes = [
        [[math.cos(a), math.sin(a), 0], [-math.sin(a), math.cos(a), 0], [0, 0, 1]] for a in angles
    ]
    return Boxes3D(
        centers=torch.tensor(
            [[row[0], row[1], row[5] / 2] for row in columns], dtype=torch.float64
        ),
        sizes=torch.tensor([[row[2], row[3], row[5]] for row in columns], dtype=torch.float64),
        axes=torch.tensor(axes, dtype=torch.float64),
    )


def front(*degrees):
    """Fronts by their angle from x; None where unknown."""
    rows = [
        [math.nan] * 3 if d is None else [math.cos(math.radians(d)), math.sin(math.radians(d)), 0]
        for d in degrees
    ]
    return torch.tensor(rows, dtype=torch.float64)


HERE = boxes((0, 0, 1, 1, 0))


@pytest.mark.parametrize(
    ("degrees", "facing", "away"),
    [(0, True, False), (44, True, False), (45, True, False), (46, False, False),
     (90, False, False), (134, False, False), (135, False, True), (180, False, True),
     (316, True, False), (None, False, False)],
)  # fmt: skip
def test_a_front_points_at_what_is_an_eighth_of_a_turn_off_at_most(degrees, facing, away):
    east = boxes((3, 0, 1, 1, 0))

    assert relations.facing(HERE, east, front(degrees)).item() is facing
    assert relations.facing_away(HERE, east, front(degrees)).item() is away


def test_heights_do_not_count_for_a_front_nor_what_it_points_up():
    high = Boxes3D(
        centers=torch.tensor([[3.0, 0, 9]]), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
    )

    assert relations.facing(HERE, high, torch.tensor([[0.6, 0.0, 0.8]])).item()
    assert not relations.facing(HERE, high, torch.tensor([[0.0, 0.0, 1.0]])).item()
    assert has_front(torch.tensor([[0.6, 0.0, 0.8], [0.0, 0.0, 1.0]])).tolist() == [True, False]


def test_opposite_is_face_to_face():
    sofa, tv = boxes((0, 0, 2, 1, 0)), boxes((0, 3, 1, 0.1, 0))

    assert relations.opposite(sofa, tv, front(90), front(270)).item()
    assert not relations.opposite(sofa, tv, front(90), front(90)).item()
    assert not relations.opposite(sofa, tv, front(90), front(None)).item()


@pytest.mark.parametrize(
    ("degrees", "parallel", "perpendicular"),
    [(0, True, False), (9.9, True, False), (10.1, False, False), (79.9, False, False),
     (80.1, False, True), (90, False, True), (170.1, True, False), (180, True, False)],
)  # fmt: skip
def test_long_sides_run_the_same_way_or_across(degrees, parallel, perpendicular):
    one, other = boxes((0, 0, 2, 1, 30)), boxes((5, 1, 0.4, 1.2, 30 + 90 + degrees))

    assert relations.parallel(one, other).item() is parallel
    assert relations.perpendicular(one, other).item() is perpendicular


def test_a_square_thing_has_no_long_side():
    square, long = boxes((0, 0, 1, 0.9, 0)), boxes((0, 0, 2, 1, 0))

    assert has_long_side(square).tolist() == [False]
    assert has_long_side(long).tolist() == [True]
    assert not relations.parallel(square, long).item()
    assert not relations.perpendicular(square, long).item()
    assert has_long_side(square, thresholds=Thresholds(size_share=0.05)).tolist() == [True]


def test_the_upright_side_is_found_wherever_it_stands():
    lying = Boxes3D(
        centers=torch.zeros(1, 3), sizes=torch.tensor([[5.0, 2.0, 1.0]]),
        axes=torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]]),
    )  # fmt: skip

    sides, axes = horizontal_sides(lying)

    assert sides.tolist() == [[2.0, 1.0]]
    assert axes.tolist() == [[[1.0, 0.0], [0.0, 1.0]]]


@pytest.mark.parametrize(
    ("other", "want"),
    [
        pytest.param((0, 4, 1, 1, 0), True, id="straight ahead"),
        pytest.param((0.1, 4, 1, 1, 0), True, id="a hand's breadth off"),
        pytest.param((0.11, 4, 1, 1, 0), False, id="further off"),
        pytest.param((4, 0, 2, 1, 90), True, id="square to it"),
        pytest.param((0, 4, 1, 1, 45), False, id="turned"),
        pytest.param((4, 4, 1, 1, 0), False, id="across the corner"),
        pytest.param((0, 0, 1, 1, 0), True, id="at one place"),
    ],
)
def test_things_stand_in_line_by_their_middle_lines(other, want):
    assert relations.aligned_with(boxes((0, 0, 2, 1, 0)), boxes(other)).item() is want


# -- between -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "want"),
    [
        pytest.param((2, 0, 1, 1, 0), True, id="on the line"),
        pytest.param((2, 0.5, 1, 1, 0), True, id="touched by it"),
        pytest.param((2, 0.6, 1, 1, 0), False, id="beside it"),
        pytest.param((2, 0.6, 0.5, 1.3, 0), True, id="longer than wide"),
        pytest.param((-1, 0, 1, 1, 0), False, id="behind one end"),
        pytest.param((5, 0, 1, 1, 0), False, id="behind the other"),
        pytest.param((0, 0, 1, 1, 0), False, id="at one end"),
        pytest.param((4, 0, 1, 1, 0), False, id="at the other"),
    ],
)
def test_what_the_line_runs_through_is_between(thing, want):
    a, b = boxes((0, 0, 1, 1, 0)), boxes((4, 0, 1, 1, 0))

    assert relations.between(boxes(thing), a, b).item() is want
    assert relations.between(boxes(thing), b, a).item() is want


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_between_is_what_plain_python_says_of_each_triple(seed):
    generator = torch.Generator().manual_seed(seed)
    points, a, b = (torch.rand(k, 2, generator=generator).double() * 4 for k in (6, 4, 5))
    a[0] = b[0]
    reach = torch.rand(6, generator=generator).double()

    found = between_points(points, a, b, reach=reach)

    for i, (x, y) in enumerate(points.tolist()):
        for j, (ax, ay) in enumerate(a.tolist()):
            for k, (bx, by) in enumerate(b.tolist()):
                length = math.hypot(bx - ax, by - ay)
                along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / max(length, 1e-12)
                across = ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / max(length, 1e-12)
                want = length > 1e-9 and 0 < along < length and abs(across) <= reach[i].item()
                assert found[i, j, k].item() is want


def test_too_many_triples_are_refused_with_their_number():
    some = torch.zeros(400, 2)

    with pytest.raises(InputError, match="64,000,000 triples, and at most 50,000,000"):
        between_points(some, some, some, reach=torch.zeros(400))


# -- each anchor's own view ----------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_view_for_each_anchor_equals_one_anchor_at_a_time(seed):
    generator = torch.Generator().manual_seed(seed)
    spots = (torch.rand(9, 2, generator=generator).double() * 4).tolist()
    things = boxes(*[(x, y, 1, 1, 0) for x, y in spots])
    views = torch.randn(9, 3, generator=generator, dtype=torch.float64)

    for name in relations.VIEWER_RELATIONS:
        holds = getattr(relations, name)
        together = holds(things, things, views)
        for j in range(9):
            one = holds(things, things[torch.tensor([j])], views[j])
            assert torch.equal(together[:, j : j + 1], one), name


def test_an_anchor_without_a_front_has_no_sides():
    things = boxes((0, 0, 1, 1, 0), (3, 0, 1, 1, 0), (6, 1, 1, 1, 0))
    # Seen by somebody who stands before each and faces it.
    views = -torch.cat([front(90, None), torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)])

    found = relations.right_of(things, things, views) | relations.left_of(things, things, views)

    assert found.tolist() == [[False, False, False], [True, False, False], [True, False, False]]
    # Facing the first one's front, from the north, its right is in the west.
    assert relations.left_of(things, things, views)[1, 0].item()


def test_views_that_are_neither_one_nor_one_an_anchor_are_refused(unchecked):
    del unchecked
    things = boxes((0, 0, 1, 1, 0), (3, 0, 1, 1, 0))

    for shape in ((2,), (1, 3), (3, 3), (2, 2), (1, 2, 3)):
        with pytest.raises(ShapeError, match=r"one an anchor of shape \(2, 3\)"):
            relations.left_of(things, things, torch.ones(shape))


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (3,), (2, 2)])
def test_fronts_that_are_not_one_a_thing_are_refused(unchecked, shape):
    del unchecked
    things = boxes((0, 0, 1, 1, 0), (3, 0, 1, 1, 0))

    with pytest.raises(ShapeError, match=r"of shape \(2, 3\)"):
        relations.facing(things, things, torch.ones(shape))
    with pytest.raises(ShapeError, match=r"of shape \(2, 3\)"):
        relations.opposite(things, things, torch.ones(2, 3), torch.ones(shape))


def test_the_numbers_are_radians_and_metres():
    assert math.degrees(THRESHOLDS.facing_angle) == pytest.approx(45)
    assert math.degrees(THRESHOLDS.back_angle) == pytest.approx(135)
    assert math.degrees(THRESHOLDS.parallel_angle) == pytest.approx(10)
    wide = Thresholds(facing_angle=math.radians(100))
    assert relations.facing(HERE, boxes((3, 0, 1, 1, 0)), front(90), thresholds=wide).item()

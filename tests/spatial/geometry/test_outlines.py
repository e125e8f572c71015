"""Outlines against shapely: areas, what two share, distances, points."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.outlines import (
    Outlines,
    outline_gaps,
    outlines_meet,
    shared_areas,
)

SEEDS = st.integers(0, 2**31)
PAIRS = 40
# Outlines of metres, corners by six additions each: rounding stays far under this.
CLOSE = {"rtol": 0, "atol": 1e-10}


def boxes(seed, *, count=PAIRS, upright=0.5):
    """Boxes of all shapes, some upright, some lying on others' corners and lines."""
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    turn = torch.randint(0, 24, (count,), generator=generator) * (math.pi / 12)
    o = torch.zeros(count, dtype=torch.float64)
    c, s = turn.cos(), turn.sin()
    level = torch.stack([c, s, o, -s, c, o, o, o, o + 1], dim=1).reshape(count, 3, 3).double()
    stands = torch.rand(count, **options) < upright
    # Coordinates on a grid make shared sides and corners likely.
    centers = torch.randint(-4, 5, (count, 3), generator=generator).double() / 4
    sizes = torch.randint(1, 9, (count, 3), generator=generator).double() / 4
    loose = torch.rand(count, **options) < 0.5
    sizes[loose] += torch.rand(count, 3, **options)[loose]
    return Boxes3D(
        centers=centers, sizes=sizes, axes=torch.where(stands[:, None, None], level, axes)
    )


def pairs(seed):
    a, b = boxes(seed), boxes(seed + 1)
    prints, others = a.footprints(), b.footprints()
    return Outlines.of(a), Outlines.of(b), prints, others


def tensor(values):
    return torch.from_numpy(np.asarray(values))


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS)
def test_outlines_measure_as_shapely_measures(seed):
    a, _, prints, _ = pairs(seed)

    torch.testing.assert_close(a.area, tensor(shapely.area(prints)), **CLOSE)
    torch.testing.assert_close(a.perimeter, tensor(shapely.length(prints)), **CLOSE)
    hull = torch.cat([a.centers - a.reach, a.centers + a.reach], dim=1)
    torch.testing.assert_close(hull, tensor(shapely.bounds(prints)), **CLOSE)
    corners = shapely.convex_hull(shapely.multipoints(a.corners().numpy()))
    assert shapely.hausdorff_distance(corners, prints).max() < 1e-10


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS)
def test_shared_areas_are_those_of_shapely(seed):
    a, b, prints, others = pairs(seed)

    want = tensor(shapely.area(shapely.intersection(prints, others)))

    torch.testing.assert_close(shared_areas(a, b), want, **CLOSE)
    torch.testing.assert_close(shared_areas(b, a), want, **CLOSE)
    torch.testing.assert_close(shared_areas(a, a), a.area, **CLOSE)


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS)
def test_gaps_are_those_of_shapely(seed):
    a, b, prints, others = pairs(seed)

    want = tensor(shapely.distance(prints, others))
    to_centers = tensor(shapely.distance(shapely.centroid(prints), others))

    torch.testing.assert_close(outline_gaps(a, b), want, **CLOSE)
    torch.testing.assert_close(b.gaps_to(a.centers), to_centers, **CLOSE)
    # Within rounding of touching either answer is right.
    clear = want > 1e-9
    assert not outlines_meet(a, b)[clear].any()
    assert outlines_meet(a, b)[shapely.area(shapely.intersection(prints, others)) > 1e-9].all()
    clear = to_centers > 1e-9
    assert not b.holds(a.centers)[clear].any()
    assert b.holds(a.centers)[
        tensor(shapely.contains_properly(others, shapely.centroid(prints)))
    ].all()


def flat(size, *, degrees=0.0, at=(0.0, 0.0)):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return Outlines.of(
        Boxes3D(
            centers=torch.tensor([[*at, 0.0]], dtype=torch.float64),
            sizes=torch.tensor([[*size, 1.0]], dtype=torch.float64),
            axes=torch.tensor([[[c, s, 0], [-s, c, 0], [0, 0, 1]]], dtype=torch.float64),
        )
    )


@pytest.mark.parametrize(
    ("one", "other", "area", "gap"),
    [
        pytest.param(flat((2, 2)), flat((2, 2), at=(1, 1)), 1.0, 0.0, id="corner in corner"),
        pytest.param(flat((2, 2)), flat((2, 2), at=(2, 0)), 0.0, 0.0, id="side on side"),
        pytest.param(flat((2, 2)), flat((2, 2), at=(2, 2)), 0.0, 0.0, id="corner on corner"),
        pytest.param(flat((2, 2)), flat((1, 1), degrees=45), 1.0, 0.0, id="one in the other"),
        pytest.param(flat((2, 2)), flat((2, 2), degrees=90), 4.0, 0.0, id="the same turned"),
        pytest.param(flat((2, 2)), flat((2, 2), at=(5, 6)), 0.0, 5.0, id="corner to corner"),
        pytest.param(flat((2, 0)), flat((2, 2), at=(0, 3)), 0.0, 2.0, id="a line"),
        pytest.param(flat((2, 0)), flat((2, 0), at=(3, 0)), 0.0, 1.0, id="lines in line"),
        pytest.param(flat((0, 0)), flat((0, 0), at=(3, 4)), 0.0, 5.0, id="points"),
        pytest.param(flat((0, 0)), flat((2, 2)), 0.0, 0.0, id="a point inside"),
    ],
)
def test_known_pairs(one, other, area, gap):
    for a, b in ((one, other), (other, one)):
        torch.testing.assert_close(shared_areas(a, b).item(), area, **CLOSE)
        torch.testing.assert_close(outline_gaps(a, b).item(), gap, **CLOSE)
        assert outlines_meet(a, b).item() is (gap == 0)


def test_no_outlines_have_no_areas():
    none = Outlines.of(boxes(0)[torch.zeros(0, dtype=torch.long)])

    assert len(none) == 0
    assert shared_areas(none, none).shape == (0,)
    assert outline_gaps(none, none).shape == (0,)


def test_an_outline_of_nan_meets_nothing():
    lost = flat((math.nan, 1.0))

    assert not outlines_meet(lost, lost).item()
    assert not lost.holds(lost.centers).item()

"""Geometry over many random and awkward cases, none off a plain float64 reference.

`GROUNDPLANE_CASES=200000 python -m pytest tests/spatial/test_geometry_properties.py` is the long
form; what runs by default takes the same cases, fewer of each.
"""

import os

import numpy as np
import pytest
import shapely
import torch
from box_reference import Boxes, gaps, shadows, shared_volumes, turns_to
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps, closest_points, overlaps, points_to_boxes
from groundplane.spatial.geometry.overlap import paired_intersection, paired_iou
from groundplane.spatial.relations import bearing
from groundplane.spatial.scale.dense import tabulate

CASES = int(os.environ.get("GROUNDPLANE_CASES", "2000"))
BLOCK = 200
SEEDS = st.integers(0, 2**31)
# A case is off where it differs by more than 1e-4 of what is expected. What is expected to be
# nearly 0 may differ by a billionth of the case's extent, which is rounding.
RELATIVE, OF_EXTENT = 1e-4, 1e-9


def turns(count, random):
    axes, _ = np.linalg.qr(random.standard_normal((count, 3, 3)))
    return axes * np.sign(np.linalg.det(axes))[:, None, None]


def about_z(angles):
    axes = np.zeros((len(angles), 3, 3))
    axes[:, 0, 0] = axes[:, 1, 1] = np.cos(angles)
    axes[:, 0, 1], axes[:, 1, 0] = np.sin(angles), -np.sin(angles)
    axes[:, 2, 2] = 1
    return axes


def boxes(random, *, spread=2.5):
    return Boxes(
        centers=random.random((BLOCK, 3)) * spread,
        sizes=random.random((BLOCK, 3)) * 1.5 + 0.02,
        axes=turns(BLOCK, random),
    )


def anyhow(random):
    return boxes(random), boxes(random)


def apart(random):
    return boxes(random, spread=20.0), boxes(random, spread=20.0)


def far_from_the_origin(random):
    shift = random.standard_normal(3) * 1_000
    return tuple(x._replace(centers=x.centers + shift) for x in anyhow(random))


def parallel(random):
    a, b = anyhow(random)
    return a, b._replace(axes=a.axes[:, [1, 2, 0]])


def nearly_parallel(random):
    a, b = parallel(random)
    tilt = about_z(10.0 ** random.uniform(-12, -3, BLOCK))
    return a, b._replace(axes=tilt @ a.axes)


def on_a_lattice(random):
    """Faces, edges and corners level and touching: all is rounded to 25 cm."""
    eye = np.broadcast_to(np.eye(3), (BLOCK, 3, 3))
    return tuple(
        Boxes(centers=np.round(x.centers * 4) / 4, sizes=np.ceil(x.sizes * 2) / 2, axes=eye)
        for x in anyhow(random)
    )


def upright(random):
    a, b = anyhow(random)
    angles = random.uniform(0, 7, (2, BLOCK))
    return a._replace(axes=about_z(angles[0])), b._replace(axes=about_z(angles[1]))


def flat(random):
    """Sheets, bars and points."""
    a, b = anyhow(random)
    thin = np.where(random.random((2, BLOCK, 3)) < 0.4, 0.0, 1.0)
    return a._replace(sizes=a.sizes * thin[0]), b._replace(sizes=b.sizes * thin[1])


def nested(random):
    a, b = anyhow(random)
    inner = a.centers + (random.random((BLOCK, 3)) - 0.5) * 0.1
    return a, b._replace(centers=inner, sizes=b.sizes * 0.2)


def crossing_bars(random):
    a, b = boxes(random, spread=1.0), boxes(random, spread=1.0)
    long = np.array([6.0, 0.05, 0.05])
    return a._replace(sizes=a.sizes * 0.1 + long), b._replace(sizes=b.sizes * 0.1 + long)


KINDS = [
    anyhow, apart, far_from_the_origin, parallel, nearly_parallel, on_a_lattice, upright, flat,
    nested, crossing_bars,
]  # fmt: skip


def blocks():
    """All cases, 200 pairs at a time: the kinds by turns."""
    for number in range(-(-CASES // BLOCK)):
        kind = KINDS[number % len(KINDS)]
        a, b = kind(np.random.default_rng(number))
        yield kind.__name__, a, b


def tensors(boxes, dtype=torch.float64):
    return Boxes3D(
        centers=torch.from_numpy(boxes.centers.copy()).to(dtype),
        sizes=torch.from_numpy(boxes.sizes.copy()).to(dtype),
        axes=torch.from_numpy(boxes.axes.copy()).to(dtype),
    )


def extent(a, b):
    return (
        np.linalg.norm(a.centers - b.centers, axis=1)
        + np.linalg.norm(a.sizes, axis=1)
        + np.linalg.norm(b.sizes, axis=1)
    )


def assert_none_off(got, want, scale, kind):
    """None of the cases differs by more than is allowed, and none is NaN."""
    difference = np.abs(np.asarray(got, dtype=float) - want)
    off = ~(difference <= RELATIVE * np.abs(want) + OF_EXTENT * scale)
    assert not off.any(), (
        f"{kind}: {off.sum()} of {off.size} off, by up to {difference[off].max():.3g}; "
        f"expected {want[off][:3]}, got {np.asarray(got)[off][:3]}"
    )


def test_gaps_and_closest_points_are_those_of_the_reference():
    for kind, a, b in blocks():
        first, second, scale = tensors(a), tensors(b), extent(a, b)
        want = gaps(a, b)

        table = box_gaps(first, second)
        on_a, on_b, apart = closest_points(first, second)

        assert_none_off(table.diagonal(), want, scale, kind)
        assert_none_off(apart, want, scale, kind)
        assert_none_off((on_a - on_b).norm(dim=1), want, scale, kind)
        # A point of a box is held by it; far from the origin its coordinates round to a nanometre.
        for points, held in ((on_a, first), (on_b, second)):
            assert_none_off(points_to_boxes(points, held).diagonal(), 0 * want, scale + 1, kind)
        # Beside the pairs, some of the table: both ways round, and by the other test of overlap.
        some = torch.arange(40)
        few, corner = (first[some], second[some]), table[:40, :40]
        assert ((corner == 0) == overlaps(*few)).all(), kind
        assert_none_off(box_gaps(*few[::-1]).T, corner.numpy(), scale[:40, None], kind)


def test_gaps_of_float32_boxes_are_good_to_a_tenth_of_a_millimetre():
    for kind, a, b in blocks():
        first, second = tensors(a, torch.float32), tensors(b, torch.float32)
        rounded = [
            Boxes(*(x.double().numpy() for x in (box.centers, box.sizes, box.axes)))
            for box in (first, second)
        ]

        difference = box_gaps(first, second).diagonal().double().numpy() - gaps(*rounded)

        assert np.abs(difference).max() < 1e-4, kind  # metres


def test_shared_volume_and_iou_are_those_of_the_reference():
    overlapping = 0
    for kind, a, b in blocks():
        want, scale = shared_volumes(a, b), extent(a, b) ** 3
        each = a.sizes.prod(axis=1), b.sizes.prod(axis=1)
        joint = each[0] + each[1] - want

        assert_none_off(paired_intersection(tensors(a), tensors(b)), want, scale, kind)
        # Of thin bodies, share is volume over very little: only what is a body is compared.
        body = joint > 1e-4
        iou = paired_iou(tensors(a), tensors(b)).numpy()[body]
        assert_none_off(iou, (want[body] / joint[body]), np.full(body.sum(), 100.0), kind)
        overlapping += (want > 0).sum()
    assert overlapping > CASES / 5


def test_centre_distances_are_those_of_the_reference():
    for kind, a, b in blocks():
        distances = tabulate(tensors(a), tensors(b), metric="centers").distances.diagonal()

        want = np.sqrt(((a.centers - b.centers) ** 2).sum(axis=1))

        # The table is float32 over the whole block: a ten-millionth of the block's extent.
        assert_none_off(distances, want, np.full(BLOCK, 1e3), kind)


def test_footprint_areas_are_those_of_the_reference():
    for kind, a, b in blocks():
        areas = shapely.area(tensors(a).footprints())

        # Far from the origin coordinates of a kilometre round to 1e-13 m, areas to 1e-9 square m.
        assert_none_off(areas, shadows(a), extent(a, b) ** 2 + 1, kind)


def test_bearings_are_those_of_the_reference():
    for kind, a, b in blocks():
        here, ahead, target = (
            x[:size, :2] for x, size in ((a.centers, 4), (b.centers, 5), (a.centers[::-1], 10))
        )

        got = bearing(*(torch.from_numpy(x.copy()) for x in (here, ahead, target))).numpy()

        with np.errstate(divide="ignore", invalid="ignore"):
            want = turns_to(here[:, None, None], ahead[None, :, None], target[None, None])
        same = (here[:, None] == ahead[None]).all(-1)[:, :, None] | (
            here[:, None] == target[None]
        ).all(-1)[:, None]
        assert (np.isnan(got) == same).all(), kind
        # 359.9999 and 0 degrees are neighbours.
        off = np.abs((got - want + 180) % 360 - 180)[~same]
        assert_none_off(off, np.zeros_like(off), np.ones_like(off), kind)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: np.linalg.norm(a.centers - b.centers, axis=1),
        lambda a, b: gaps(a, b) * (1 + 2e-4),
        lambda a, b: np.where(np.arange(BLOCK) == 7, np.nan, gaps(a, b)),
    ],
    ids=["of centres", "a hair longer", "nan"],
)
def test_reference_refuses_wrong_gaps(wrong):
    a, b = anyhow(np.random.default_rng(1))

    with pytest.raises(AssertionError, match="off, by up to"):
        assert_none_off(wrong(a, b), gaps(a, b), extent(a, b), "wrong")


def test_reference_refuses_wrong_volumes():
    a, b = anyhow(np.random.default_rng(1))
    less = a._replace(sizes=a.sizes * 0.999)

    with pytest.raises(AssertionError, match="off, by up to"):
        assert_none_off(shared_volumes(less, b), shared_volumes(a, b), extent(a, b), "wrong")


def moved(boxes, turn, shift):
    return Boxes3D(
        centers=boxes.centers @ turn.T + shift, sizes=boxes.sizes, axes=boxes.axes @ turn.T
    )


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, kind=st.sampled_from(KINDS), flip=st.booleans())
def test_nothing_measured_changes_when_the_scene_is_moved_or_mirrored(seed, kind, flip):
    random = np.random.default_rng(seed)
    a, b = (tensors(x) for x in kind(random))
    turn = torch.from_numpy(turns(1, random)[0] * (-1 if flip else 1))
    shift = torch.from_numpy(random.standard_normal(3) * 10)

    after = moved(a, turn, shift), moved(b, turn, shift)

    # Coordinates a kilometre out round to 1e-13 m; a shared volume loses that times its surface.
    limits = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(closest_points(*after)[2], closest_points(a, b)[2], **limits)
    shared = paired_intersection(*after), paired_intersection(a, b)
    torch.testing.assert_close(*shared, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, kind=st.sampled_from(KINDS))
def test_volume_is_symmetric_and_no_more_than_either(seed, kind):
    a, b = (tensors(x) for x in kind(np.random.default_rng(seed)))

    volume = paired_intersection(a, b)

    torch.testing.assert_close(volume, paired_intersection(b, a), rtol=1e-6, atol=1e-6)
    assert (volume <= torch.minimum(a.sizes.prod(dim=1), b.sizes.prod(dim=1))).all()
    # Whatever shares a volume meets; what is apart shares none.
    assert (volume[closest_points(a, b)[2] > 0] == 0).all()


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_points_obey_the_triangle(seed):
    random = np.random.default_rng(seed)
    points = Boxes(random.random((BLOCK, 3)) * 5, np.zeros((BLOCK, 3)), turns(BLOCK, random))
    three = [tensors(points)[torch.arange(20 * k, 20 * k + 20)] for k in range(3)]

    direct, one, two = (box_gaps(three[i], three[j]) for i, j in ((0, 2), (0, 1), (1, 2)))

    assert (direct[:, None] <= one[:, :, None] + two[None] + 1e-12).all()
    torch.testing.assert_close(direct, torch.cdist(three[0].centers, three[2].centers))


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, angle=st.floats(-7, 7))
def test_bearings_turn_with_the_world_and_mirror_to_the_other_side(seed, angle):
    here, ahead, target = torch.from_numpy(
        np.random.default_rng(seed).standard_normal((3, 12, 2))
    ).unbind(0)
    turn = torch.from_numpy(about_z(np.array([angle]))[0, :2, :2])
    mirror = torch.tensor([[-1.0, 0], [0, 1]], dtype=torch.float64)

    before = bearing(here, ahead, target)
    turned = bearing(here @ turn, ahead @ turn, target @ turn)
    mirrored = bearing(here @ mirror, ahead @ mirror, target @ mirror)

    # Compared on the circle: 360 and 0 degrees are one direction.
    assert torch.remainder(turned - before + 180, 360).sub(180).abs().max() < 1e-9
    assert torch.remainder(mirrored + before + 180, 360).sub(180).abs().max() < 1e-9


def test_coincident_centres_have_a_gap_of_zero_and_no_bearing():
    a = tensors(boxes(np.random.default_rng(3)))
    b = Boxes3D(centers=a.centers, sizes=a.sizes * 0, axes=a.axes.roll(1, 0))

    assert (closest_points(a, b)[2] == 0).all()
    assert (paired_intersection(a, b) == 0).all()
    here = a.centers[:1, :2]
    assert bearing(here, here, here).isnan().all()

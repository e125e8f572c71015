"""The search of all features by itself, for the projections leave little of it to be seen."""

import numpy as np
import pytest
import torch
from box_reference import Boxes, corners, gaps, points_to_box
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.box_features import nearest_features, separation, shared_points
from groundplane.spatial.geometry.box_pairs import paired

SEEDS = st.integers(0, 2**31)
# float64, lengths of a few metres.
EXACT = {"rtol": 1e-9, "atol": 1e-10}


def random_boxes(count, *, seed, spread=2.0, bars=False):
    random = np.random.default_rng(seed)
    sizes = random.random((count, 3)) + 0.02
    return Boxes(
        centers=random.random((count, 3)) * spread,
        sizes=sizes * (4, 0.1, 0.1) if bars else sizes,
        axes=np.linalg.qr(random.standard_normal((count, 3, 3)))[0],
    )


def on_a_lattice(count, *, seed):
    boxes = random_boxes(count, seed=seed)
    return Boxes(
        centers=np.round(boxes.centers * 4) / 4,
        sizes=np.ceil(boxes.sizes * 2) / 2,
        axes=np.broadcast_to(np.eye(3), (count, 3, 3)),
    )


def tensors(boxes):
    return Boxes3D(
        **{name: torch.from_numpy(np.array(value)) for name, value in boxes._asdict().items()}
    )


def pairs_of(a, b):
    return paired(tensors(a), tensors(b))


def assert_gaps(found, a, b):
    torch.testing.assert_close(found, torch.from_numpy(gaps(a, b)), **EXACT)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS, bars=st.booleans())
def test_search_finds_the_gaps_of_the_reference(seed, bars):
    a, b = (random_boxes(400, seed=seed + k, bars=bars) for k in range(2))

    assert_gaps(nearest_features(pairs_of(a, b)).gap, a, b)


def test_search_finds_gaps_where_faces_are_level_and_touch():
    a, b = on_a_lattice(600, seed=1), on_a_lattice(600, seed=2)

    assert_gaps(nearest_features(pairs_of(a, b)).gap, a, b)


def test_corners_alone_are_refused_by_the_reference():
    a, b = (random_boxes(400, seed=k, bars=True) for k in range(2))
    nearest = np.minimum(
        points_to_box(corners(a), b).min(axis=1), points_to_box(corners(b), a).min(axis=1)
    )

    with pytest.raises(AssertionError, match="not close"):
        assert_gaps(torch.from_numpy(nearest), a, b)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_separation_tells_overlap_and_is_never_more_than_the_gap(seed):
    a, b = random_boxes(500, seed=seed), random_boxes(500, seed=seed + 1)

    apart, want = separation(pairs_of(a, b)), torch.from_numpy(gaps(a, b))

    assert torch.equal(apart > 0, want > 0)
    assert (apart.clamp(min=0) <= want + 1e-12).all()


def test_shared_points_lie_in_both_boxes():
    a, b = random_boxes(500, seed=3, spread=0.8), random_boxes(500, seed=4, spread=0.8)
    meet = gaps(a, b) == 0
    assert meet.sum() > 100

    points = shared_points(pairs_of(a, b)).numpy().T
    world = np.einsum("nk,nkd->nd", points, a.axes) + a.centers

    for boxes in (a, b):
        assert points_to_box(world[:, None], boxes)[meet].max() < 1e-12


def test_no_pairs_have_no_gaps():
    none = random_boxes(0, seed=0)

    found = nearest_features(pairs_of(none, none))

    assert found.gap.shape == (0,)
    assert found.on_a.shape == (3, 0)
    assert separation(pairs_of(none, none)).shape == (0,)

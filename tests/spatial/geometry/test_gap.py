"""The exact gap against a quadratic program, and what must hold of any distance."""

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps, closest_points, overlaps, points_to_boxes
from groundplane.spatial.map import CognitiveMap

SEEDS = st.integers(0, 2**31)
# float64 against the quadratic program: both are exact up to rounding of lengths of some metres.
EXACT = {"rtol": 1e-9, "atol": 1e-10}


def turns(count, *, generator):
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    return axes * torch.linalg.det(axes).sign()[:, None, None]


def random_boxes(count, *, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    return Boxes3D(
        centers=torch.rand(count, 3, **options) * spread,
        sizes=torch.rand(count, 3, **options) * 1.5 + 0.02,
        axes=turns(count, generator=generator),
    )


def changed(boxes, **fields):
    columns = {"centers": boxes.centers, "sizes": boxes.sizes, "axes": boxes.axes}
    return Boxes3D(**(columns | fields))


def moved(boxes, turn, shift):
    """Boxes after the rigid motion x -> turn x + shift."""
    return changed(boxes, centers=boxes.centers @ turn.T + shift, axes=boxes.axes @ turn.T)


def upright(center, size, *, degrees=0.0):
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return Boxes3D(
        centers=torch.tensor([center], dtype=torch.float64),
        sizes=torch.tensor([size], dtype=torch.float64),
        axes=torch.tensor([[[c, s, 0], [-s, c, 0], [0, 0, 1]]], dtype=torch.float64),
    )


def reference_gap(a, b):
    """Paired gaps by a bounded least-squares solver over the local coordinates of both boxes."""
    gaps = []
    for i in range(len(a)):
        both = np.concatenate([a.axes[i].numpy().T, -b.axes[i].numpy().T], axis=1)
        reach = np.concatenate([a.sizes[i].numpy(), b.sizes[i].numpy()]) / 2
        # The solver wants room between its bounds; a hair of 1e-13 m is no length.
        reach = np.maximum(reach, 1e-13)
        way = (b.centers[i] - a.centers[i]).numpy()
        found = lsq_linear(both, way, (-reach, reach), method="bvls", tol=1e-15, max_iter=1000)
        assert found.status > 0
        gaps.append(math.sqrt(2 * found.cost))
    return torch.tensor(gaps, dtype=torch.float64)


def assert_exact(gaps, a, b):
    torch.testing.assert_close(gaps, reference_gap(a, b), **EXACT)


def general(seed):
    return random_boxes(600, seed=seed), random_boxes(600, seed=seed + 1)


def far(seed):
    return random_boxes(300, seed=seed, spread=40.0), random_boxes(300, seed=seed + 1, spread=40.0)


def parallel(seed):
    a, b = random_boxes(300, seed=seed), random_boxes(300, seed=seed + 1)
    return a, changed(b, axes=a.axes[:, [1, 2, 0]])


def axis_aligned(seed):
    a, b = random_boxes(300, seed=seed), random_boxes(300, seed=seed + 1)
    eye = torch.eye(3, dtype=torch.float64).expand(300, 3, 3)
    # Rounded to 10 cm many faces, edges and corners lie exactly level or touch.
    a, b = (changed(x, axes=eye, centers=x.centers.mul(10).round() / 10) for x in (a, b))
    return tuple(changed(x, sizes=x.sizes.mul(5).round() / 5) for x in (a, b))


def same_upright(seed):
    a, b = axis_aligned(seed)
    angles = torch.linspace(0, 2, 300, dtype=torch.float64)
    c, s, o = angles.cos(), angles.sin(), torch.zeros(300, dtype=torch.float64)
    axes = torch.stack([c, s, o, -s, c, o, o, o, o + 1], dim=1).reshape(300, 3, 3)
    return changed(a, axes=axes), b


def flat(seed):
    a, b = random_boxes(300, seed=seed), random_boxes(300, seed=seed + 1)
    thin_a, thin_b = a.sizes.clone(), b.sizes.clone()
    thin_a[:, 0] = 0
    thin_b[::2, 1:] = 0
    thin_b[1::4] = 0
    return changed(a, sizes=thin_a), changed(b, sizes=thin_b)


def nested(seed):
    a, b = random_boxes(200, seed=seed), random_boxes(200, seed=seed + 1)
    return a, changed(b, centers=a.centers + 0.01, sizes=b.sizes * 0.05)


def long_and_crossing(seed):
    """Long bars that pass each other: nearest inside two edges, no corner near."""
    a, b = random_boxes(300, seed=seed, spread=1.0), random_boxes(300, seed=seed + 1, spread=1.0)
    length = torch.tensor([8.0, 0.1, 0.1], dtype=torch.float64)
    return changed(a, sizes=a.sizes * 0.1 + length), changed(b, sizes=b.sizes * 0.1 + length)


def nearly_parallel(seed):
    a, b = long_and_crossing(seed)
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(len(a), generator=generator, dtype=torch.float64) * 1e-4
    c, s, o = angle.cos(), angle.sin(), torch.zeros_like(angle)
    tilt = torch.stack([c, s, o, -s, c, o, o, o, o + 1], dim=1).reshape(-1, 3, 3)
    return a, changed(b, axes=tilt @ a.axes)


CATALOGUE = [
    general, far, parallel, axis_aligned, same_upright, flat, nested, long_and_crossing,
    nearly_parallel,
]  # fmt: skip


@pytest.mark.parametrize("build", CATALOGUE)
def test_gap_equals_the_quadratic_program(build):
    a, b = build(17)

    gaps = box_gaps(a, b).diagonal()

    assert_exact(gaps, a, b)


@pytest.mark.parametrize("build", CATALOGUE)
def test_closest_points_lie_in_their_boxes_and_are_the_gap_apart(build):
    a, b = build(23)

    on_a, on_b, gaps = closest_points(a, b)

    assert_exact(gaps, a, b)
    zero = torch.zeros(len(a), dtype=torch.float64)
    for points, boxes in ((on_a, a), (on_b, b)):
        held = points_to_boxes(points, boxes).diagonal()
        torch.testing.assert_close(held, zero, rtol=0, atol=1e-12)
    torch.testing.assert_close((on_a - on_b).norm(dim=1), gaps, rtol=1e-9, atol=1e-12)


def test_reference_refuses_a_wrong_gap():
    a, b = general(17)
    centers = (a.centers - b.centers).norm(dim=1)
    spheres = centers - a.sizes.norm(dim=1) / 2 - b.sizes.norm(dim=1) / 2

    with pytest.raises(AssertionError, match="not close"):
        assert_exact(spheres.clamp(min=0), a, b)


def test_corners_alone_would_miss_crossing_bars():
    a, b = long_and_crossing(17)

    corners = torch.minimum(
        points_to_boxes(b.corners().flatten(0, 1), a).reshape(len(b), 8, len(a)).amin(1).diagonal(),
        points_to_boxes(a.corners().flatten(0, 1), b).reshape(len(a), 8, len(b)).amin(1).diagonal(),
    )

    with pytest.raises(AssertionError, match="not close"):
        assert_exact(corners, a, b)


@pytest.mark.parametrize(
    ("a", "b", "gap"),
    [
        (upright((0, 0, 0), (2, 2, 2)), upright((3, 0, 0), (2, 2, 2)), 1.0),
        (upright((0, 0, 0), (2, 2, 2)), upright((2, 0, 0), (2, 2, 2)), 0.0),
        (upright((0, 0, 0), (2, 2, 2)), upright((3, 3, 3), (2, 2, 2)), math.sqrt(3)),
        (
            upright((0, 0, 0), (2, 2, 2)),
            upright((3, 0, 0), (2, 2, 2), degrees=45),
            2 - math.sqrt(2),
        ),
        (upright((0, 0, 0), (4, 4, 4)), upright((0, 0, 0), (1, 1, 1), degrees=20), 0.0),
        # Two planks, one over the other, no corner over the other one.
        (upright((0, 0, 0), (9, 1, 1)), upright((0, 0, 3), (9, 1, 1), degrees=90), 2.0),
        # Two square plates turned by 45 degrees: all eight edges cross, no corner is over a plate.
        (upright((0, 0, 0), (2, 2, 1)), upright((0, 0, 3), (2, 2, 1), degrees=45), 2.0),
        # A cross in one plane: overlap with no corner inside.
        (upright((0, 0, 0), (9, 1, 1)), upright((0, 0, 0), (9, 1, 1), degrees=90), 0.0),
        (upright((0, 0, 0), (0, 0, 0)), upright((3, 4, 0), (0, 0, 0)), 5.0),
        (upright((1, 1, 1), (0, 0, 0)), upright((1, 1, 1), (0, 0, 0)), 0.0),
        (upright((0, 0, 0), (2, 2, 0)), upright((0, 0, 0), (1, 1, 0), degrees=45), 0.0),
    ],
)
def test_hand_built_gaps(a, b, gap):
    assert box_gaps(a, b).item() == pytest.approx(gap, abs=1e-12)
    assert overlaps(a, b).item() is (gap == 0)
    on_a, on_b, distance = closest_points(a, b)
    assert distance.item() == pytest.approx(gap, abs=1e-12)
    assert (on_a - on_b).norm().item() == pytest.approx(gap, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_gap_is_symmetric(seed):
    a, b = random_boxes(12, seed=seed), random_boxes(9, seed=seed + 1)

    torch.testing.assert_close(box_gaps(a, b), box_gaps(b, a).T, rtol=1e-12, atol=1e-12)
    assert torch.equal(overlaps(a, b), overlaps(b, a).T)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_gap_does_not_change_when_all_moves_together(seed):
    a, b = random_boxes(12, seed=seed), random_boxes(9, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    turn = turns(1, generator=generator)[0]
    shift = torch.randn(3, generator=generator, dtype=torch.float64) * 10

    after = box_gaps(moved(a, turn, shift), moved(b, turn, shift))

    torch.testing.assert_close(after, box_gaps(a, b), rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_gap_grows_with_the_scene(seed, factor):
    a, b = random_boxes(12, seed=seed), random_boxes(9, seed=seed + 1)
    big_a, big_b = (changed(x, centers=x.centers * factor, sizes=x.sizes * factor) for x in (a, b))

    torch.testing.assert_close(
        box_gaps(big_a, big_b) / factor, box_gaps(a, b), rtol=1e-9, atol=1e-11
    )


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, build=st.sampled_from(CATALOGUE))
def test_gap_is_zero_exactly_where_boxes_overlap(seed, build):
    a, b = build(seed)
    a, b = a[torch.arange(60)], b[torch.arange(50)]

    assert torch.equal(box_gaps(a, b) == 0, overlaps(a, b))


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_gap_is_bounded_by_centres_and_spheres(seed):
    a, b = random_boxes(12, seed=seed), random_boxes(9, seed=seed + 1)
    centers = torch.cdist(a.centers, b.centers)
    radii = a.sizes.norm(dim=1)[:, None] / 2 + b.sizes.norm(dim=1) / 2

    gaps = box_gaps(a, b)

    assert (gaps <= centers + 1e-12).all()
    assert (gaps >= centers - radii - 1e-12).all()


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_gap_obeys_the_triangle_over_a_box_between(seed):
    boxes = random_boxes(10, seed=seed)
    gaps, across = box_gaps(boxes, boxes), boxes.sizes.norm(dim=1)

    # From a to c by way of b: two gaps and the way through b, at most its diagonal.
    detour = gaps[:, :, None] + across[None, :, None] + gaps[None]

    assert (gaps[:, None] <= detour + 1e-12).all()


@pytest.mark.parametrize("build", [general, far, parallel, same_upright, long_and_crossing])
def test_float32_is_near_float64(build):
    a32, b32 = (
        Boxes3D(centers=x.centers.float(), sizes=x.sizes.float(), axes=x.axes.float())
        for x in build(5)
    )
    a, b = (
        Boxes3D(centers=x.centers.double(), sizes=x.sizes.double(), axes=x.axes.double())
        for x in (a32, b32)
    )

    gaps = box_gaps(a32, b32)

    assert gaps.dtype == torch.float32
    # Lengths as large as the pair round by a few machine epsilons: a gap below that is no gap.
    extent = torch.cdist(a.centers, b.centers).max() + a.sizes.sum(1).max() + b.sizes.sum(1).max()
    rounding = 8 * torch.finfo(torch.float32).eps * extent.item()
    torch.testing.assert_close(gaps.double(), box_gaps(a, b), rtol=1e-4, atol=rounding)


def test_float32_is_as_good_far_from_the_origin():
    a, b = random_boxes(200, seed=3), random_boxes(200, seed=4)
    # A whole number of steps of float32 at 500 m (2^-15 m): the shift itself rounds nothing.
    a, b = (changed(x, centers=x.centers.mul(2**10).round() / 2**10) for x in (a, b))

    far_a, far_b = (
        Boxes3D(centers=(x.centers + 500).float(), sizes=x.sizes.float(), axes=x.axes.float())
        for x in (a, b)
    )

    error = (box_gaps(far_a, far_b).double() - box_gaps(a, b)).abs().max().item()
    assert error < 1e-5  # metres: that of a room at the origin


def test_gaps_of_the_scenes_equal_the_quadratic_program(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    if not path.is_file():
        pytest.skip("needs vsi/scenes.json, which is not here")
    names = CognitiveMap.scenes(path)
    some = names if "GROUNDPLANE_FUZZ" in os.environ else names[::11]
    for name in some:
        objects = CognitiveMap.load(path, scene=name).objects
        row, column = torch.randint(
            len(objects), (2, 60), generator=torch.Generator().manual_seed(len(objects))
        )
        a, b = objects[row], objects[column]
        # The scenes' axes are given to so many digits: the solver and we round them differently.
        torch.testing.assert_close(
            box_gaps(a, b).diagonal().double(), reference_gap(a, b), rtol=1e-4, atol=1e-4
        )


def test_many_boxes_give_what_each_gives_alone():
    a, b = random_boxes(150, seed=1), random_boxes(333, seed=2)
    singles = [
        box_gaps(a[torch.tensor([i])], b[torch.tensor([j])]).item()
        for i, j in ((0, 0), (149, 332), (40, 301), (77, 5), (111, 200))
    ]

    together = box_gaps(a, b)

    assert together.shape == (150, 333)
    picked = together[[0, 149, 40, 77, 111], [0, 332, 301, 5, 200]]
    torch.testing.assert_close(picked, torch.tensor(singles, dtype=torch.float64))


def test_one_anchor_against_very_many_is_cut_in_tiles():
    a, b = random_boxes(1, seed=1), random_boxes(30_001, seed=2, spread=30.0)

    gaps = box_gaps(a, b)[0]

    some = torch.arange(0, 30_001, 97)
    assert_exact(gaps[some], a[torch.zeros(len(some), dtype=torch.long)], b[some])


def test_no_boxes_give_empty_tables():
    a, none = random_boxes(3, seed=0), random_boxes(0, seed=0)

    assert box_gaps(a, none).shape == (3, 0)
    assert box_gaps(none, a).shape == (0, 3)
    assert overlaps(none, none).shape == (0, 0)
    assert points_to_boxes(a.centers, none).shape == (3, 0)
    on_a, on_b, gaps = closest_points(none, none)
    assert on_a.shape == on_b.shape == (0, 3)
    assert gaps.shape == (0,)


def test_unpaired_boxes_are_refused():
    with pytest.raises(ShapeError, match="got 3 and 2 boxes; use box_gaps"):
        closest_points(random_boxes(3, seed=0), random_boxes(2, seed=0))


def test_nan_box_gives_nan_and_harms_no_other():
    a = random_boxes(3, seed=0)
    centers = a.centers.clone()
    centers[1, 0] = math.nan

    gaps = box_gaps(changed(a, centers=centers), a)

    assert gaps[1].isnan().all()
    assert torch.equal(gaps[[0, 2]], box_gaps(a, a)[[0, 2]])


def test_points_to_boxes_measures_outside_and_is_zero_inside():
    box = upright((1, 0, 0), (2, 2, 2), degrees=90)
    points = torch.tensor([[1, 0, 0], [5, 0, 0], [3, 2, 2], [2, 1, 1]], dtype=torch.float64)

    distances = points_to_boxes(points, box)[:, 0]

    want = torch.tensor([0, 3, math.sqrt(3), 0], dtype=torch.float64)
    torch.testing.assert_close(distances, want, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_point_is_a_box_of_no_size(seed):
    points, boxes = random_boxes(20, seed=seed), random_boxes(11, seed=seed + 1)

    dots = changed(points, sizes=torch.zeros(20, 3, dtype=torch.float64))

    torch.testing.assert_close(
        points_to_boxes(points.centers, boxes), box_gaps(dots, boxes), rtol=1e-9, atol=1e-12
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("build", CATALOGUE)
def test_gap_is_the_same_on_a_gpu(build):
    a, b = build(31)

    gaps = box_gaps(a.to("cuda"), b.to("cuda"))

    assert gaps.is_cuda
    torch.testing.assert_close(gaps.cpu(), box_gaps(a, b), rtol=1e-9, atol=1e-11)

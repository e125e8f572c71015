"""Shared volumes against closed forms and against the hull of an intersection of half-spaces."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.overlap import (
    paired_intersection,
    paired_iou,
    volume_intersection,
    volume_iou,
)

SEEDS = st.integers(0, 2**31)
EYE = torch.eye(3, dtype=torch.float64)


def about(axis, angle):
    """A turn about a world axis."""
    turn = EYE.clone()
    first, second = (k for k in range(3) if k != axis)
    turn[first, first] = turn[second, second] = math.cos(angle)
    turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
    return turn


def random_boxes(count, *, seed, spread=1.5):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    return Boxes3D(
        centers=torch.rand(count, 3, **options) * spread,
        sizes=torch.rand(count, 3, **options) * 1.5 + 0.02,
        axes=axes,
    )


def upright(count, *, seed):
    """Axis-aligned boxes on a lattice of 10 cm: many faces lie in one plane."""
    boxes = random_boxes(count, seed=seed)
    return Boxes3D(
        centers=boxes.centers.mul(10).round() / 10,
        sizes=boxes.sizes.mul(5).ceil() / 5,
        axes=EYE.expand(count, 3, 3),
    )


def box(center, size, axes=EYE):
    return Boxes3D(
        centers=torch.tensor([center], dtype=torch.float64),
        sizes=torch.tensor([size], dtype=torch.float64),
        axes=axes[None],
    )


def turned(boxes, turn):
    return Boxes3D(centers=boxes.centers @ turn.T, sizes=boxes.sizes, axes=boxes.axes @ turn.T)


def half_spaces(boxes, i):
    """Rows n, -d of the six half-spaces n x <= d of a box."""
    normals = torch.cat([boxes.axes[i], -boxes.axes[i]])
    reach = normals @ boxes.centers[i] + boxes.sizes[i].repeat(2) / 2
    return torch.cat([normals, -reach[:, None]], dim=1).numpy()


def hull_volume(a, b, i):
    """The volume of the hull of all corners of the intersection, float64."""
    planes = np.concatenate([half_spaces(a, i), half_spaces(b, i)])
    sides = np.concatenate([planes[:, :3], np.ones((12, 1))], axis=1)
    # The middle of the widest ball inside: a point that the intersection needs to start from.
    ball = linprog((0, 0, 0, -1), A_ub=sides, b_ub=-planes[:, 3], bounds=[(None, None)] * 4)
    if ball.x[3] < 1e-7:
        return 0.0
    return ConvexHull(HalfspaceIntersection(planes, ball.x[:3]).intersections).volume


def assert_shared(volumes, a, b):
    want = torch.tensor([hull_volume(a, b, i) for i in range(len(a))], dtype=torch.float64)
    assert (want > 0).any()
    torch.testing.assert_close(volumes, want, rtol=1e-6, atol=1e-8)


def shared_upright(a, b):
    """The closed form of axis-aligned boxes."""
    (low_a, high_a), (low_b, high_b) = a.hull(), b.hull()
    return (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(dim=1)


@pytest.mark.parametrize("seed", range(3))
def test_shared_volume_equals_that_of_the_hull(seed):
    a, b = random_boxes(150, seed=seed), random_boxes(150, seed=seed + 50)

    assert_shared(paired_intersection(a, b), a, b)


def test_reference_refuses_the_volume_of_the_upright_hulls():
    a, b = random_boxes(20, seed=1), random_boxes(20, seed=51)

    with pytest.raises(AssertionError, match="not close"):
        assert_shared(shared_upright(a, b), a, b)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, angle=st.floats(-4, 4), axis=st.sampled_from([0, 1, 2]))
def test_upright_boxes_share_what_the_closed_form_says_however_the_scene_is_turned(
    seed, angle, axis
):
    a, b = upright(60, seed=seed), upright(60, seed=seed + 1)
    turn = about(axis, angle) @ about((axis + 1) % 3, angle / 3)

    together = paired_intersection(turned(a, turn), turned(b, turn))

    torch.testing.assert_close(together, shared_upright(a, b), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(paired_intersection(a, b), shared_upright(a, b))


@pytest.mark.parametrize("exponent", [*range(-16, -3)])
def test_nearly_parallel_faces_change_a_volume_by_as_little(exponent):
    a, b = upright(100, seed=4), upright(100, seed=5)
    angle = 10.0**exponent
    tilted = turned(b, about(2, angle) @ about(0, angle / 2))

    difference = paired_intersection(a, tilted) - shared_upright(a, b)

    # Faces of up to 2 by 2 m move by some angle times 2 m; 1e-6 is what planes that are parallel
    # but for the last digits may cost.
    assert difference.abs().max() < 1e-6 + 20 * angle


@pytest.mark.parametrize(
    ("a", "b", "volume"),
    [
        # A square prism of half width 0.5 and one turned by 45 degrees share a regular octagon.
        (box((0, 0, 0), (1, 1, 1)), box((0, 0, 0), (1, 1, 1), about(2, math.pi / 4)),
         2 * (math.sqrt(2) - 1)),
        (box((0, 0, 0), (2, 2, 2)), box((0.1, 0, 0), (1, 1, 1), about(0, 1.0)), 1.0),
        (box((0, 0, 0), (9, 1, 1)), box((0, 0, 0), (9, 1, 1), about(2, math.pi / 2)), 1.0),
        (box((0, 0, 0), (1, 1, 1)), box((1, 0, 0), (1, 1, 1)), 0.0),
        (box((0, 0, 0), (1, 1, 1)), box((1, 1, 0), (1, 1, 1)), 0.0),
        (box((0, 0, 0), (1, 1, 1)), box((3, 0, 0), (1, 1, 1)), 0.0),
        (box((0, 0, 0), (1, 1, 0)), box((0, 0, 0), (1, 1, 1)), 0.0),
        (box((0, 0, 0), (0, 0, 0)), box((0, 0, 0), (0, 0, 0)), 0.0),
        # An edge of b, level with a's axis, goes 0.1 deep into a face: a prism of two right angles.
        (box((0, 0, 0), (2, 2, 2)),
         box((0, 0, 1 + math.sqrt(0.5) - 0.1), (1, 1, 1), about(0, math.pi / 4)), 0.01),
    ],
)  # fmt: skip
def test_hand_built_volumes(a, b, volume):
    assert paired_intersection(a, b).item() == pytest.approx(volume, abs=1e-10)
    assert volume_intersection(b, a).item() == pytest.approx(volume, abs=1e-10)
    if volume == 0:
        assert paired_intersection(a, b).item() == 0


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_iou_is_a_symmetric_share_and_one_only_for_the_same_box(seed):
    boxes = random_boxes(15, seed=seed)

    iou = volume_iou(boxes, boxes)

    torch.testing.assert_close(iou, iou.T, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(iou.diagonal(), torch.ones(15, dtype=torch.float64))
    assert ((iou >= 0) & (iou <= 1)).all()
    assert iou.fill_diagonal_(0).max() < 1


def test_all_pairs_are_what_each_pair_gives():
    a, b = random_boxes(40, seed=1, spread=4.0), random_boxes(50, seed=2, spread=4.0)
    row, column = torch.arange(40).repeat_interleave(50), torch.arange(50).repeat(40)

    together, shares = volume_intersection(a, b), volume_iou(a, b)

    torch.testing.assert_close(together.flatten(), paired_intersection(a[row], b[column]))
    torch.testing.assert_close(shares.flatten(), paired_iou(a[row], b[column]))


def test_float32_boxes_give_float32():
    a, b = (
        Boxes3D(centers=x.centers.float(), sizes=x.sizes.float(), axes=x.axes.float())
        for x in (random_boxes(50, seed=1), random_boxes(50, seed=2))
    )

    volumes = paired_intersection(a, b)

    assert volumes.dtype == torch.float32
    want = paired_intersection(random_boxes(50, seed=1), random_boxes(50, seed=2)).float()
    torch.testing.assert_close(volumes, want, rtol=1e-4, atol=1e-6)


def test_nan_box_gives_nan_and_harms_no_other():
    a, b = random_boxes(3, seed=0), random_boxes(2, seed=1)
    sizes = a.sizes.clone()
    sizes[1, 2] = math.nan
    broken = Boxes3D(centers=a.centers, sizes=sizes, axes=a.axes)

    assert volume_iou(broken, b).isnan().tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert paired_intersection(broken, a).isnan().tolist() == [False, True, False]


def test_nothing_over_nothing_is_no_overlap():
    point = box((0, 0, 0), (0, 0, 0))

    assert volume_iou(point, point).item() == 0


def test_no_boxes_share_nothing():
    none = random_boxes(0, seed=0)

    assert volume_iou(random_boxes(3, seed=0), none).shape == (3, 0)
    assert volume_intersection(none, none).shape == (0, 0)
    assert paired_iou(none, none).shape == (0,)


@pytest.mark.parametrize("measure", [paired_intersection, paired_iou])
def test_unpaired_boxes_are_refused(measure):
    with pytest.raises(ShapeError, match="got 3 and 2 boxes; use volume"):
        measure(random_boxes(3, seed=0), random_boxes(2, seed=0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_shared_volume_is_the_same_on_a_gpu():
    a, b = random_boxes(60, seed=1), random_boxes(70, seed=2)

    volumes = volume_intersection(a.to("cuda"), b.to("cuda"))

    assert volumes.is_cuda
    torch.testing.assert_close(volumes.cpu(), volume_intersection(a, b), rtol=1e-9, atol=1e-10)

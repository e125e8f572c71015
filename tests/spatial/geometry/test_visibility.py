"""Lines of sight against points marched along them, and shares against rays of the whole view."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import points_to_boxes
from groundplane.spatial.geometry.visibility import _samples, blocked, eyes_at, sees, sight

SEEDS = st.integers(0, 2**31)
ORIGIN = torch.zeros(1, 3, dtype=torch.float64)


def random_boxes(count, *, seed, spread=6.0):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    return Boxes3D(
        centers=(torch.rand(count, 3, **options) - 0.5) * spread,
        sizes=torch.rand(count, 3, **options) * 1.5 + 0.05,
        axes=axes,
    )


def random_points(count, *, seed, spread=6.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, generator=generator, dtype=torch.float64) - 0.5) * spread


def upright(*boxes):
    """Axis-aligned boxes, each given as (center, size)."""
    return Boxes3D(
        centers=torch.tensor([center for center, _ in boxes], dtype=torch.float64).view(-1, 3),
        sizes=torch.tensor([size for _, size in boxes], dtype=torch.float64).view(-1, 3),
        axes=torch.eye(3, dtype=torch.float64).expand(len(boxes), 3, 3),
    )


def depth_inside(starts, ends, boxes, *, steps=1_000):
    """How deep each line goes into each box: the deepest of many points along it, metres."""
    deepest = torch.full((len(starts), len(boxes)), -math.inf, dtype=torch.float64)
    for share in torch.linspace(0, 1, steps, dtype=torch.float64):
        point = starts + share * (ends - starts)
        local = ((point[:, None] - boxes.centers)[:, :, None] * boxes.axes).sum(dim=-1)
        deepest = torch.maximum(deepest, (boxes.sizes / 2 - local.abs()).amin(dim=-1))
    return deepest


def assert_blocked(got, deepest):
    # Between two points of the march a line moves by 1 cm at most: so close is not decided.
    assert got[deepest > 1e-2].all(), "a line runs through a box that is said not to block it"
    assert not got[deepest < -1e-2].any(), "a line misses a box that is said to block it"


def ray_shares(boxes, *, rays=40_000):
    """Per box, the share of the rays from the origin to it that meet it first, and their number."""
    generator = torch.Generator().manual_seed(0)
    way = torch.randn(rays, 3, generator=generator, dtype=torch.float64)
    place = -(boxes.axes * boxes.centers[:, None]).sum(dim=-1)
    slope = (way @ boxes.axes.flatten(0, 1).T).view(rays, len(boxes), 3)
    one, two = (-boxes.sizes / 2 - place) / slope, (boxes.sizes / 2 - place) / slope
    near, far = torch.minimum(one, two).amax(dim=-1), torch.maximum(one, two).amin(dim=-1)
    near = torch.where((near <= far) & (near > 0), near, math.inf)
    hit = near.isfinite()
    first = hit & (near == near.amin(dim=1, keepdim=True))
    return first.sum(dim=0) / hit.sum(dim=0), hit.sum(dim=0)


@settings(deadline=None, max_examples=4)
@given(seed=SEEDS)
def test_blocked_is_what_points_along_the_line_say(seed):
    starts, ends = random_points(80, seed=seed), random_points(80, seed=seed + 1)
    boxes = random_boxes(15, seed=seed + 2)

    assert_blocked(blocked(starts, ends, boxes), depth_inside(starts, ends, boxes))


def test_reference_refuses_lines_that_are_not_these():
    starts, ends = random_points(80, seed=1), random_points(80, seed=2)
    boxes = random_boxes(15, seed=3)

    with pytest.raises(AssertionError, match="said"):
        assert_blocked(blocked(starts, -ends, boxes), depth_inside(starts, ends, boxes))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((-3, 0, 0), (3, 0, 0), True),
        ((-3, 0, 0), (-2, 0, 0), False),  # ends before the box
        ((-3, 0, 0), (-1, 0, 0), False),  # ends on its face
        ((-1, 0, 0), (-3, 0, 0), False),  # starts on its face and leads away
        ((-3, 1, 0), (3, 1, 0), False),  # along its face
        ((-3, 3, 0), (3, 3, 0), False),
        ((0, 0, 0), (0.5, 0, 0), True),  # inside
        ((0, 0, -5), (0, 0, 5), True),  # along two axes at once level
        ((2, 2, 2), (2, 2, 2), False),  # no line at all
    ],
)
def test_lines_past_a_cube_of_two_metres(start, end, expected):
    lines = torch.tensor([[start], [end]], dtype=torch.float64)

    assert blocked(lines[0], lines[1], upright(((0, 0, 0), (2, 2, 2)))).item() is expected


def test_sheet_blocks_what_passes_through_it_but_not_what_runs_along_it():
    sheet = upright(((0, 0, 0), (0, 2, 2)))
    starts = torch.tensor([[-1, 0, 0], [0, -3, 0], [-1, 3, 0]], dtype=torch.float64)
    ends = torch.tensor([[1, 0.5, 0], [0, 3, 0], [1, 3, 0]], dtype=torch.float64)

    assert blocked(starts, ends, sheet)[:, 0].tolist() == [True, False, False]


def test_wall_before_half_of_a_board_hides_half_of_it():
    board, wall = ((4, 0, 0), (0.1, 2, 2)), ((2, -1, 0), (0.1, 2, 4))

    seen = sight(ORIGIN, upright(board, wall), targets=torch.tensor([0]), samples=40)

    assert seen.share.item() == pytest.approx(0.5, abs=0.01)
    assert seen.blocker.item() == 1


@pytest.mark.parametrize("seed", range(4))
def test_share_is_the_share_of_rays_that_meet_the_target_first(seed):
    boxes = random_boxes(12, seed=seed)
    boxes = boxes[(boxes.centers.norm(dim=1) > boxes.sizes.norm(dim=1) / 2).nonzero()[:, 0]]

    seen = sight(ORIGIN, boxes, samples=24).share[0]

    shares, hits = ray_shares(boxes)
    # Cells of 1/24 of a face are counted whole; rays scatter by one over the root of their number.
    assert ((seen - shares).abs() < 0.04 + 2 / hits.sqrt()).all()


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_looking_only_at_boxes_near_the_lines_loses_none(seed):
    boxes, eyes = random_boxes(14, seed=seed), random_points(3, seed=seed + 1)

    seen = sight(eyes, boxes, samples=3)

    held = points_to_boxes(eyes, boxes) == 0
    for eye in range(3):
        for target in range(14):
            looked = _samples(eyes[[eye]], boxes[torch.tensor([target])], count=3)
            ends = looked.points[0]
            cut = blocked(eyes[eye].expand_as(ends), ends, boxes)
            cut[:, target], cut[:, held[eye]] = False, False
            share = looked.weights[0][~cut.any(dim=1)].sum() / looked.weights.sum()
            want = 1.0 if held[eye, target] else share.item()
            assert seen.share[eye, target].item() == pytest.approx(want, abs=1e-12)


def test_the_box_that_hides_most_is_named():
    target, most, less = (
        ((6, 0, 0), (1, 4, 2)),
        ((3, 0.5, 0), (1, 1, 2)),
        ((3, -0.8, 0), (1, 0.3, 2)),
    )

    seen = sight(ORIGIN, upright(target, less, most), targets=torch.tensor([0]), samples=20)

    assert 0 < seen.share.item() < 1
    assert seen.blocker.item() == 2


def test_who_stands_at_a_box_is_not_hidden_from_by_it():
    # A table of 1 m: eyes 1.6 m high over its middle look down on a cup behind its edge.
    room = upright(((0, 0, 0.5), (2, 2, 1)), ((1.2, 0, 0.05), (0.1, 0.1, 0.1)))
    eyes = eyes_at(room[torch.tensor([0])], floor=0.0)

    assert not sees(eyes, room, targets=torch.tensor([1])).item()
    assert sees(eyes, room, targets=torch.tensor([1]), at=torch.tensor([0])).item()
    assert not sees(eyes, room, targets=torch.tensor([1]), at=torch.tensor([-1])).item()


def test_box_that_holds_the_eye_hides_nothing_and_is_seen_in_full():
    room = upright(((0, 0, 0), (2, 2, 2)), ((5, 0, 0), (1, 1, 1)))

    seen = sight(ORIGIN, room)

    assert seen.share.tolist() == [[1.0, 1.0]]
    assert seen.blocker.tolist() == [[-1, -1]]


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS)
def test_one_more_box_never_shows_more(seed):
    boxes = random_boxes(12, seed=seed)
    eyes, first = random_points(4, seed=seed + 1), torch.arange(11)

    fewer, more = sight(eyes, boxes[first]).share, sight(eyes, boxes, targets=first).share

    assert ((more >= 0) & (more <= fewer + 1e-12) & (fewer <= 1)).all()


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS)
def test_share_does_not_change_when_all_is_moved_and_scaled(seed):
    boxes, eyes = random_boxes(10, seed=seed), random_points(4, seed=seed + 1)
    turn, shift = boxes.axes[0], random_points(1, seed=seed + 2)
    moved = Boxes3D(
        centers=(boxes.centers @ turn.T + shift) * 3,
        sizes=boxes.sizes * 3,
        axes=boxes.axes @ turn.T,
    )

    after = sight((eyes @ turn.T + shift) * 3, moved).share

    # A sample point whose line just grazes a box may go either way: one of 75, of uneven weight.
    difference = (after - sight(eyes, boxes).share).abs()
    assert difference.median() < 1e-9
    assert (difference > 1e-9).double().mean() < 0.1


def test_many_eyes_are_cut_in_parts_that_give_the_same():
    boxes, eyes = random_boxes(60, seed=1, spread=12.0), random_points(25, seed=2, spread=12.0)

    together = sight(eyes, boxes)
    alone = [sight(eyes[[i]], boxes, targets=torch.tensor([7])).share.item() for i in range(25)]

    assert together.share.shape == (25, 60)
    assert together.share[:, 7].tolist() == pytest.approx(alone)


def test_bar_and_point_are_given_the_share_of_their_points():
    bar, point = ((4, 0, 0), (0, 4, 0)), ((0, 4, 0), (0, 0, 0))
    wall = ((2, -1, 0), (0.2, 2, 2))

    seen = sight(ORIGIN, upright(bar, point, wall), samples=10)

    assert seen.share[0, 1].item() == 1
    assert 0.2 < seen.share[0, 0].item() < 0.8


def test_nan_target_is_nan_and_nan_box_hides_nothing():
    boxes = upright(((4, 0, 0), (1, 1, 1)), ((2, 0, 0), (1, math.nan, 1)))

    seen = sight(ORIGIN, boxes)

    assert seen.share[0, 0].item() == 1
    assert seen.share[0, 1].isnan()
    assert seen.blocker.tolist() == [[-1, -1]]


def test_nothing_to_see_and_nobody_to_see_it():
    none = random_boxes(0, seed=0)

    assert sight(ORIGIN, none).share.shape == (1, 0)
    assert sees(ORIGIN[:0], random_boxes(3, seed=0)).shape == (0, 3)
    assert blocked(ORIGIN, ORIGIN, none).shape == (1, 0)
    assert eyes_at(none, floor=0.0).shape == (0, 3)


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="samples must be at least 1, got 0"):
        sight(ORIGIN, random_boxes(2, seed=0), samples=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sight_is_the_same_on_a_gpu():
    boxes, eyes = random_boxes(30, seed=1), random_points(5, seed=2)

    seen = sight(eyes.to("cuda"), boxes.to("cuda"))

    assert seen.share.is_cuda
    # A sample point whose line just grazes a box may go either way.
    assert (seen.share.cpu() - sight(eyes, boxes).share).abs().median() < 1e-9

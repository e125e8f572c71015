"""The table of relations: complete, true of the functions, and the page that is written from it."""

import inspect
import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relations_page import PAGE, relations_page
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core.errors import InputError
from groundplane.spatial import relations
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.relations.definitions import DEFINITIONS, definition_of

PAIRWISE = [row for row in DEFINITIONS.values() if row.arity == 2]
BY_NAME = {"ids": lambda row: row.name}


def room(seed, *, count=14):
    """Boxes and fronts of a crowded room; many stand square to each other and in line."""
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    turn = torch.randint(0, 16, (count,), generator=generator) * (math.pi / 8)
    turn = turn + (torch.rand(count, **options) - 0.5) / 20
    c, s, o = turn.cos(), turn.sin(), torch.zeros(count, dtype=torch.float64)
    axes = torch.stack([c, s, o, -s, c, o, o, o, o + 1], dim=1).reshape(count, 3, 3)
    grid = torch.randint(0, 8, (count, 3), generator=generator) * 0.75
    centers = grid * torch.tensor([1.0, 1.0, 0.3]) + 0.05 * torch.rand(count, 3, **options)
    sizes = 0.25 * torch.randint(1, 8, (count, 3), generator=generator) + torch.rand(
        count, 3, **options
    ) / 20  # fmt: skip
    boxes = Boxes3D(centers=centers, sizes=sizes, axes=axes)
    fronts = torch.stack([c, s, o], dim=1)
    fronts[::5] = torch.nan
    return boxes, fronts


def moved(boxes, fronts, degrees, shift):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    after = Boxes3D(
        centers=boxes.centers @ turn.T + torch.tensor(shift, dtype=torch.float64),
        sizes=boxes.sizes,
        axes=boxes.axes @ turn.T,
    )
    return after, fronts @ turn.T, turn


def told(row, subjects, anchors, *, fronts=None, view=None, thresholds=THRESHOLDS):
    """A pairwise relation with what its frame needs; fronts are of subjects and of anchors."""
    options = {"thresholds": thresholds}
    if row.name == "within":
        return row.function(subjects, anchors, 0.7)
    if row.frame == "viewer":
        return row.function(subjects, anchors, view, **options)
    if row.frame == "object":
        return row.function(subjects, anchors, *fronts[: 2 if row.symmetric else 1], **options)
    return row.function(subjects, anchors, **options)


VIEW = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)


def test_every_relation_of_the_package_is_in_the_table():
    helpers = {"bearing", "rests_in", "Thresholds", "THRESHOLDS"}
    public = {name for name in relations.__all__ if not name.endswith("_RELATIONS")}

    assert public - helpers == set(DEFINITIONS)
    assert set(relations.WORLD_RELATIONS) | set(relations.VIEWER_RELATIONS) <= set(DEFINITIONS)


@pytest.mark.parametrize("row", DEFINITIONS.values(), **BY_NAME)
def test_a_row_names_its_function_and_real_numbers(row):
    assert row.function is getattr(relations, row.name)
    assert set(row.thresholds) <= {field.name for field in fields(Thresholds)}
    assert row.inverse is None or row.inverse in DEFINITIONS
    assert row.meaning
    assert row.source
    assert "thresholds" in inspect.signature(row.function).parameters or row.name == "within"


def test_every_number_turns_a_relation():
    # `least_ray` is that of bearings as well; no number is left that nothing uses.
    used = {name for row in DEFINITIONS.values() for name in row.thresholds}

    assert used == {field.name for field in fields(Thresholds)}


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**31))
def test_inverses_and_symmetry_are_as_stated(seed):
    (a, fronts), (b, others) = room(seed), room(seed + 1, count=11)

    for row in PAIRWISE:
        if row.inverse is None:
            continue
        there = told(row, a, b, fronts=(fronts, others), view=VIEW)
        back = told(DEFINITIONS[row.inverse], b, a, fronts=(others, fronts), view=VIEW)
        assert torch.equal(there, back.T), row.name
        assert DEFINITIONS[row.inverse].inverse == row.name


def test_rooms_hold_every_relation_and_not_everywhere():
    share = {}
    for row in PAIRWISE:
        found = []
        for seed in range(12):
            boxes, fronts = room(seed)
            found.append(told(row, boxes, boxes, fronts=(fronts, fronts), view=VIEW))
        share[row.name] = torch.stack(found).double().mean().item()

    assert all(0 < value < 1 for value in share.values()), share
    # What has no inverse by name is not symmetric either.
    assert not DEFINITIONS["facing"].symmetric


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**31), degrees=st.floats(0, 360), x=st.floats(-9, 9))
def test_relations_keep_when_scene_and_view_move_together(seed, degrees, x):
    boxes, fronts = room(seed)
    after, turned, turn = moved(boxes, fronts, degrees, (x, 1 - x, x / 3))

    for row in PAIRWISE:
        before = told(row, boxes, boxes, fronts=(fronts, fronts), view=VIEW)
        now = told(row, after, after, fronts=(turned, turned), view=turn @ VIEW)
        assert torch.equal(before, now), row.name
    assert torch.equal(
        relations.between(after, after, after), relations.between(boxes, boxes, boxes)
    )


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**31))
def test_a_mirror_swaps_left_and_right_and_keeps_all_else(seed):
    boxes, fronts = room(seed)
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    # Two columns change sign, and the first axis, so the axes stay right-handed.
    axes = boxes.axes * mirror
    axes[:, 0] = -axes[:, 0]
    after = Boxes3D(centers=boxes.centers * mirror, sizes=boxes.sizes, axes=axes)

    for row in PAIRWISE:
        name = {"left_of": "right_of", "right_of": "left_of"}.get(row.name, row.name)
        before = told(DEFINITIONS[name], boxes, boxes, fronts=(fronts, fronts), view=VIEW)
        turned = (fronts * mirror, fronts * mirror)
        now = told(row, after, after, fronts=turned, view=VIEW * mirror)
        assert torch.equal(before, now), row.name


def test_a_relation_that_reads_nan_does_not_hold():
    boxes, fronts = room(3)
    centers = boxes.centers.clone()
    centers[4, 0] = torch.nan
    sizes = boxes.sizes.clone()
    sizes[7] = torch.nan
    broken = Boxes3D(centers=centers, sizes=sizes, axes=boxes.axes)
    bad = torch.tensor([4, 7])

    for row in PAIRWISE:
        found = told(row, broken, broken, fronts=(fronts, fronts), view=VIEW)
        by_size = row.name in ("bigger", "smaller", "same_size", "longer", "parallel")
        by_place = row.frame in ("viewer", "object")
        # Sizes do not ask where a thing is, nor sides how big it is.
        lost = bad[1:] if by_size else bad[:1] if by_place else bad
        if row.name in ("perpendicular", "taller", "shorter"):
            lost = bad[1:]
        if row.name == "aligned_with":
            lost = bad[:1]
        assert not (found[lost].any() | found[:, lost].any()), row.name


def test_flat_and_inside_out_boxes_are_thin_ones():
    boxes, fronts = room(5)
    for value in (0.0, -1.0):
        sizes = boxes.sizes.clone()
        sizes[:, 1] = value
        flat = Boxes3D(centers=boxes.centers, sizes=sizes, axes=boxes.axes)
        for row in PAIRWISE:
            found = told(row, flat, flat, fronts=(fronts, fronts), view=VIEW)
            assert found.dtype == torch.bool
            if row.frame == "world" and not row.symmetric:
                assert not (found & found.T).any(), row.name


def test_things_at_one_place_have_no_direction():
    boxes, fronts = room(6)
    heap = Boxes3D(centers=boxes.centers[:1].expand(14, 3), sizes=boxes.sizes, axes=boxes.axes)

    for row in PAIRWISE:
        if row.frame in ("viewer", "object"):
            assert not told(row, heap, heap, fronts=(fronts, fronts), view=VIEW).any(), row.name
    assert not relations.between(heap, heap, heap).any()


def test_no_things_have_empty_tables():
    boxes, fronts = room(0)
    none = boxes[torch.zeros(0, dtype=torch.long)]

    for row in PAIRWISE:
        found = told(row, none, boxes, fronts=(fronts[:0], fronts), view=VIEW)
        assert found.shape == (0, 14), row.name
        found = told(row, boxes, none, fronts=(fronts, fronts[:0]), view=VIEW)
        assert found.shape == (14, 0), row.name
    assert relations.between(none, boxes, none).shape == (0, 14, 0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_by_its_name(wrong):
    with pytest.raises(InputError, match="thresholds: near_gap must be a finite number"):
        Thresholds(near_gap=wrong)


def test_numbers_given_are_the_numbers_used():
    boxes, fronts = room(8)
    wide = replace(
        THRESHOLDS, touch_gap=9.0, near_gap=9.0, far_gap=0.1, next_gap=9.0, side_offset=-1.0,
        facing_angle=3.1, back_angle=0.1, parallel_angle=1.5, size_share=0.9, height_noise=9.0,
        inside_share=0.01, above_share=0.01, least_share=0.5,
    )  # fmt: skip

    for row in PAIRWISE:
        if row.name == "within":
            continue
        usual = told(row, boxes, boxes, fronts=(fronts, fronts), view=VIEW)
        other = told(row, boxes, boxes, fronts=(fronts, fronts), view=VIEW, thresholds=wide)
        assert not torch.equal(usual, other), row.name


@pytest.mark.parametrize("row", PAIRWISE, **BY_NAME)
def test_a_table_that_does_not_fit_is_refused_with_its_bytes(row):
    one, front = room(0, count=1)
    many = Boxes3D(
        centers=one.centers.expand(200_000, 3), sizes=one.sizes.expand(200_000, 3),
        axes=one.axes.expand(200_000, 3, 3),
    )  # fmt: skip
    fronts = front.expand(200_000, 3)

    told_size = r"200,000 by 200,000 objects take [\d.]+ [GT]B; allowed are"
    with pytest.raises(InputError, match=told_size):
        told(row, many, many, fronts=(fronts, fronts), view=VIEW)


class Copies(TorchDispatchMode):
    """Counts what is brought to the host: `.item()`, `bool(...)` and their like."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("row", PAIRWISE, **BY_NAME)
def test_nothing_is_copied_to_the_host_but_the_check_of_a_view(row):
    boxes, fronts = room(2)

    with Copies() as copies:
        told(row, boxes, boxes, fronts=(fronts, fronts), view=VIEW)

    assert copies.count == (1 if row.frame == "viewer" else 0)


def test_the_counter_of_copies_counts():
    with Copies() as copies:
        assert torch.ones(1).item() == 1

    assert copies.count == 1


def test_a_name_that_is_none_is_refused_with_the_nearest():
    assert definition_of("near").function is relations.near
    with pytest.raises(InputError, match="Did you mean 'left_of'"):
        definition_of("left_off")
    with pytest.raises(InputError, match="There are: on, supports"):
        definition_of("zzz")


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == relations_page(), (
        "docs/relations.md is not what the tables say; run python tests/support/relations_page.py"
    )

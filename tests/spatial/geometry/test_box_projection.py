"""Projecting to and fro proves what it claims and leaves the rest to the search of features."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.box_features import nearest_features
from groundplane.spatial.geometry.box_pairs import Pairs, across, paired, ranges, tiles
from groundplane.spatial.geometry.box_projection import _proved, nearest_points, project

SEEDS = st.integers(0, 2**31)


def random_boxes(count, *, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    return Boxes3D(
        centers=torch.rand(count, 3, **options) * spread,
        sizes=torch.rand(count, 3, **options) * 1.5 + 0.02,
        axes=axes,
    )


def random_pairs(count, *, seed, spread=3.0):
    first = random_boxes(count, seed=seed, spread=spread)
    return paired(first, random_boxes(count, seed=seed + 1, spread=spread))


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, spread=st.sampled_from([1.0, 3.0, 30.0]))
def test_what_projections_prove_is_what_the_search_of_all_features_finds(seed, spread):
    pairs = random_pairs(500, seed=seed, spread=spread)

    found, proved = project(pairs)

    searched = nearest_features(pairs).gap
    torch.testing.assert_close(found.gap[proved], searched[proved], rtol=1e-10, atol=1e-12)
    # No pair is said to be nearer than it is, proved or not.
    assert (found.gap >= searched - 1e-12).all()


def test_most_pairs_of_a_hall_are_proved_at_once():
    proved = project(random_pairs(5_000, seed=3, spread=20.0))[1]

    assert proved.double().mean() > 0.97


def test_points_that_are_not_the_nearest_are_not_proved():
    pairs = random_pairs(2_000, seed=5, spread=20.0)
    found, _ = project(pairs, rounds=8)
    local = pairs.to_b(found.on_b - pairs.offset)
    # Off along an axis of b by a hair: still a point of b, and the nearest of a is found anew.
    off = torch.clamp(local * (1 - 1e-6), min=-pairs.half_b, max=pairs.half_b)
    on_b = pairs.from_b(off)
    on_a = torch.clamp(on_b, min=-pairs.half_a, max=pairs.half_a)
    wrong = dataclasses.replace(found, gap=(on_a - on_b).norm(dim=0), on_a=on_a, on_b=on_b)

    assert _proved(pairs, local, found)[1].double().mean() > 0.97
    assert not _proved(pairs, off, wrong)[1][wrong.gap > found.gap + 1e-9].any()


def test_overlapping_pairs_end_at_zero_whichever_step_decides():
    boxes = random_boxes(400, seed=7)
    inside = Boxes3D(centers=boxes.centers + 1e-3, sizes=boxes.sizes, axes=boxes.axes.roll(1, 0))

    assert (nearest_points(paired(boxes, inside)).gap == 0).all()


def test_nan_is_never_proved_and_stays_nan():
    pairs = random_pairs(4, seed=9)
    offset = pairs.offset.clone()
    offset[1, 2] = torch.nan
    broken = dataclasses.replace(pairs, offset=offset)

    assert not project(broken)[1][2]
    assert nearest_points(broken).gap.isnan().tolist() == [False, False, True, False]


def test_swapped_pairs_are_as_far_apart():
    pairs = random_pairs(300, seed=11)

    there, back = nearest_points(pairs), nearest_points(pairs.swapped())

    torch.testing.assert_close(there.gap, back.gap, rtol=1e-10, atol=1e-12)


def test_all_pairs_lie_row_by_row():
    a, b = random_boxes(3, seed=1), random_boxes(4, seed=2)
    row, column = torch.arange(3).repeat_interleave(4), torch.arange(4).repeat(3)

    table, picked = across(a, b, slice(0, 3), slice(0, 4)), paired(a[row], b[column])

    for field in dataclasses.fields(Pairs):
        torch.testing.assert_close(getattr(table, field.name), getattr(picked, field.name))


@pytest.mark.parametrize(("rows", "columns", "size"), [(3, 7, 5), (1, 30, 8), (9, 2, 4), (4, 0, 3)])
def test_tiles_cover_a_table_once_and_are_no_larger_than_asked(rows, columns, size):
    covered = torch.zeros(rows, columns)

    for block, part in tiles(rows, columns, size=size):
        covered[block, part] += 1
        assert covered[block, part].numel() <= size

    assert (covered == 1).all()


def test_no_count_has_no_ranges():
    assert list(ranges(0, step=4)) == []
    assert list(ranges(5, step=4)) == [slice(0, 4), slice(4, 5)]

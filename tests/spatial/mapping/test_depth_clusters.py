"""Which depths are the thing: one piece of them, whatever shines through or stands below."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.mapping.depth_clusters import above_ground, main_depths


def plain(depth: np.ndarray, *, gap: float, share: float) -> np.ndarray:
    """The reference for one region: walk along the bins, cut where one is empty."""
    bins = np.floor(np.log(depth.astype(np.float64)) / gap).astype(int)
    kept, piece = np.zeros(len(depth), dtype=bool), []
    pieces = []
    for number in range(bins.min(), bins.max() + 2):
        held = np.flatnonzero(bins == number)
        if len(held) >= max(0.005 * len(depth), 1):
            piece.extend(held.tolist())
        elif piece:
            pieces.append(piece)
            piece = []
    largest = max(map(len, pieces))
    for one in pieces:
        if len(one) == largest or len(one) >= share * len(depth):
            kept[one] = True
    return kept


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([1.02, 1.07, 1.5, 2.02, 3.3]), min_size=1, max_size=60))
def test_pieces_are_those_of_the_plain_way(depths):
    depth = np.array(depths, dtype=np.float32)
    found = main_depths(depth, np.zeros(len(depth), dtype=np.int64), 1, gap=0.04, share=0.3)
    assert found.tolist() == plain(depth, gap=0.04, share=0.3).tolist()


def test_regions_do_not_see_one_another():
    rng = np.random.default_rng(0)
    parts = [rng.uniform(1, 4, size) for size in (40, 7, 200)]
    owner = np.repeat(np.arange(3), [40, 7, 200])
    together = main_depths(np.concatenate(parts), owner, 3, gap=0.04, share=0.1)
    alone = [
        main_depths(part, np.zeros(len(part), dtype=np.int64), 1, gap=0.04, share=0.1)
        for part in parts
    ]
    assert together.tolist() == np.concatenate(alone).tolist()


def test_the_middle_of_a_box_chooses_the_smaller_piece():
    depth = np.array([1.0] * 10 + [3.0] * 40)
    central = np.arange(50) < 10
    owner = np.zeros(50, dtype=np.int64)
    found = main_depths(depth, owner, 1, gap=0.04, share=0.1, central=central)
    assert found.tolist() == central.tolist()


@pytest.mark.parametrize(("share", "goes"), [(0.05, False), (0.3, True), (0.9, False)])
def test_ground_goes_where_it_is_a_part_and_not_where_it_is_all(share, goes):
    count = round(200 * share)
    heights = np.concatenate([np.zeros(count), np.linspace(0.2, 1, 200 - count)])
    kept = above_ground(heights, np.zeros(200, dtype=np.int64), 1, slack=np.zeros(200))
    assert kept[:count].any() == (not goes)
    assert kept[count:].all()

"""Outlines of masks: filled again they are the very mask, whatever it looks like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from groundplane.core.errors import GroundplaneError
from groundplane.core.mask_outlines import bridged, joined, mask_parts, ring_area
from groundplane.core.masks import RleMask, area, decode, encode, from_counts, from_polygons
from groundplane.testing.exporters import num_parts_and_holes

_masks = st.tuples(st.integers(1, 16), st.integers(1, 16)).flatmap(
    lambda size: hnp.arrays(bool, size)
)


def _filled(rings, size):
    """What the rings enclose; an empty mask where there is none."""
    flat = [ring.ravel().tolist() for ring in rings]
    return from_polygons(flat, size) if flat else encode(np.zeros(size, dtype=bool))


def _check_mask(mask, rle):
    assert np.array_equal(decode(rle), mask)


@given(_masks)
def test_parts_with_bridges_fill_back_to_the_mask(mask):
    _check_mask(mask, _filled(map(bridged, mask_parts(encode(mask))), mask.shape))


@given(_masks)
def test_all_parts_as_one_ring_fill_back_to_the_mask(mask):
    ring = joined(mask_parts(encode(mask)))
    _check_mask(mask, _filled([ring] if len(ring) else [], mask.shape))


@given(_masks)
def test_parts_and_holes_are_those_of_a_plain_flood(mask):
    parts = mask_parts(encode(mask))
    expected = num_parts_and_holes(encode(mask))
    assert (len(parts), sum(len(part.holes) for part in parts)) == expected


@given(_masks)
def test_areas_of_rings_add_up_to_that_of_the_mask(mask):
    parts = mask_parts(encode(mask))
    assert all(ring_area(part.outer) > 0 for part in parts)
    assert all(ring_area(hole) < 0 for part in parts for hole in part.holes)
    rings = [ring for part in parts for ring in (part.outer, *part.holes)]
    assert sum(map(ring_area, rings)) == mask.sum()


@given(_masks)
def test_rings_turn_at_each_corner(mask):
    for part in mask_parts(encode(mask)):
        for ring in (part.outer, *part.holes):
            steps = np.roll(ring, -1, axis=0) - ring
            flat = steps[:, 1] == 0
            assert (flat != np.roll(flat, -1)).all()
            assert (np.abs(steps).sum(axis=1) > 0).all()


def test_wrong_rings_do_not_fill_back_to_the_mask():
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:5, 1:5], mask[2, 3] = True, False
    outer = mask_parts(encode(mask))[0].outer
    with pytest.raises(AssertionError):
        _check_mask(mask, _filled([outer], mask.shape))


def test_pixels_that_touch_at_a_corner_are_parts_of_their_own():
    parts = mask_parts(encode(np.eye(3, dtype=bool)))
    assert [part.outer[0].tolist() for part in parts] == [[0, 0], [1, 1], [2, 2]]


def test_an_island_in_a_hole_is_a_part():
    mask = np.ones((7, 7), dtype=bool)
    mask[1:6, 1:6], mask[3, 3] = False, True
    first, island = mask_parts(encode(mask))
    assert [ring_area(ring) for ring in first.holes] == [-25]
    assert ring_area(island.outer) == 1
    assert not island.holes


def test_runs_of_no_pixels_change_nothing():
    plain, strange = from_counts([1, 4, 1], (3, 2)), from_counts([1, 2, 0, 2, 1], (3, 2))
    assert [p.outer.tolist() for p in mask_parts(strange)] == [
        p.outer.tolist() for p in mask_parts(plain)
    ]


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (1, 1), (4, 3)])
def test_masks_without_pixels_have_no_parts(size):
    assert mask_parts(encode(np.zeros(size, dtype=bool))) == []


def test_a_broken_mask_is_refused():
    for counts in (b"", b"zz", b"13"):
        with pytest.raises(GroundplaneError):
            mask_parts(RleMask(size=(9, 9), counts=counts))


def test_many_holes_in_a_chain_are_bridged():
    mask = np.ones((101, 101), dtype=bool)
    mask[1::2, 1::2] = False
    parts = mask_parts(encode(mask))
    assert len(parts[0].holes) == 50 * 50
    _check_mask(mask, _filled([bridged(parts[0])], mask.shape))


def test_an_outline_along_edges_keeps_what_pixel_centres_lose():
    mask = np.zeros((40, 40), dtype=np.uint8)
    cv2.circle(mask, (20, 20), 12, 1, -1)
    centres, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    rle = encode(mask.astype(bool))
    lost = from_polygons([centres[0].astype(float).ravel().tolist()], (40, 40))
    assert area(lost) < 0.95 * area(rle)
    assert _filled([mask_parts(rle)[0].outer], (40, 40)) == rle

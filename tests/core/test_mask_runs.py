"""Runs of many masks at once; pycocotools and plain pixels are the referees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as referee

from groundplane.core import mask_runs
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_runs import read_runs, shared_pixels, spans_of, write_runs
from groundplane.core.masks import RleMask, encode, intersection_over_union

_runs = st.lists(st.lists(st.integers(0, 2**28), max_size=9), max_size=6)
_pairs = st.tuples(st.integers(1, 15), st.integers(1, 15)).flatmap(
    lambda size: st.tuples(
        hnp.arrays(bool, st.tuples(st.integers(0, 4), *map(st.just, size))),
        hnp.arrays(bool, st.tuples(st.integers(0, 4), *map(st.just, size))),
    )
)


def columns(lists):
    flat = [run for runs in lists for run in runs]
    return np.array(flat, dtype=np.int64), np.array([len(runs) for runs in lists], dtype=np.int64)


def spans(masks):
    texts = [encode(mask).counts for mask in masks]
    return spans_of(*read_runs(texts))


def plainly(a, b):
    """Pixel for pixel."""
    return np.array([[(x & y).sum() for y in b] for x in a], dtype=float).reshape(len(a), len(b))


@given(_runs)
def test_runs_of_many_masks_are_read_as_they_were_written(lists):
    runs, counts = columns(lists)
    texts = write_runs(runs, counts)
    assert len(texts) == len(lists)
    read, numbers = read_runs(texts)
    assert read.tolist() == runs.tolist()
    assert numbers.tolist() == counts.tolist()


@given(_runs)
def test_masks_are_written_together_as_they_are_alone(lists):
    alone = [write_runs(*columns([runs]))[0] for runs in lists]
    assert write_runs(*columns(lists)) == alone


def test_a_bad_byte_is_named_by_its_place_in_its_own_mask():
    with pytest.raises(InputError, match="byte 0x21 at 1 is no part"):
        read_runs([b"13", b"1!"])


def test_a_number_that_is_cut_off_is_not_read_on_in_the_next_mask():
    with pytest.raises(InputError, match="cut off"):
        read_runs([b"1P", b"3"])


def test_a_number_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="8 bytes"):
        read_runs([b"4", b"PPPPPPP1"])


@given(_pairs)
def test_shared_pixels_are_those_that_both_hold(pair):
    a, b = pair
    height, width = a.shape[1:]
    found = shared_pixels(spans(a), spans(b), height=height, width=width)
    assert np.array_equal(found, plainly(a, b))


@given(_pairs)
def test_both_ways_of_looking_agree(pair):
    a, b = (spans(masks) for masks in pair)
    height, width = pair[0].shape[1:]
    pieces = [mask_runs._pieces(s, height) for s in (a, b)]
    layers = [mask_runs._Layers(p, mask_runs._depths(p), width) for p in pieces]
    assert np.array_equal(mask_runs._compared(*layers), mask_runs._searched(a, b))


def things(num, size, *, holes=0.0, seed=0):
    width, height = size
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    masks = []
    for _ in range(num):
        middle, radius = draw.uniform(0, 1, 2) * size, draw.uniform(0.03, 0.4, 2) * size
        inside = ((x - middle[0]) / radius[0]) ** 2 + ((y - middle[1]) / radius[1]) ** 2 < 1
        masks.append(inside & (draw.random((height, width)) >= holes))
    return masks


@pytest.mark.parametrize("holes", [0.0, 0.01, 0.5])
def test_overlaps_of_things_and_of_noise_are_those_of_pycocotools(holes):
    a, b = (things(12, (160, 120), holes=holes, seed=seed) for seed in (1, 2))
    b.append(np.zeros((120, 160), dtype=bool))
    b.append(np.ones((120, 160), dtype=bool))
    ours = [[encode(mask) for mask in masks] for masks in (a, b)]
    theirs = [[{"size": list(r.size), "counts": r.counts} for r in masks] for masks in ours]
    crowd = [i % 3 == 0 for i in range(len(b))]
    expected = referee.iou(*theirs, crowd)
    found = intersection_over_union(*ours, crowd=crowd)
    assert np.array_equal(found, np.nan_to_num(expected))


def test_noise_is_searched_and_things_are_compared(monkeypatch):
    asked = []
    for name in ("_compared", "_searched"):
        plain = getattr(mask_runs, name)
        monkeypatch.setattr(
            mask_runs, name, lambda *a, name=name, plain=plain: asked.append(name) or plain(*a)
        )
    for holes in (0.0, 0.5):
        masks = [encode(mask) for mask in things(12, (160, 120), holes=holes)]
        intersection_over_union(masks, masks)
    assert asked == ["_compared", "_searched"]


def test_a_mask_whose_runs_do_not_fill_it_is_refused_among_others():
    good = encode(np.ones((4, 4), dtype=bool))
    with pytest.raises(ShapeError, match="the runs fill 3 pixels"):
        intersection_over_union([good], [good, RleMask(size=(4, 4), counts=b"3")])


def test_a_negative_run_is_refused_among_others():
    good = encode(np.ones((4, 4), dtype=bool))
    negative = write_runs(np.array([20, -4]), np.array([2]))[0]
    with pytest.raises(InputError, match="negative"):
        intersection_over_union([good, RleMask(size=(4, 4), counts=negative)], [good])

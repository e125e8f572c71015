"""Pixels read off runs: the same as those of drawn masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.masks import RleMask, encode, from_counts
from groundplane.spatial.mapping.region_pixels import spans_of_boxes, spans_of_masks

PICTURES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.lists(arrays(bool, size), min_size=1, max_size=4)
)


def drawn(spans, strides=None) -> list[np.ndarray]:
    """Spans as pictures."""
    strides = np.ones(spans.num, dtype=np.int64) if strides is None else strides
    found = spans.on_grid(strides)
    pictures = np.zeros((spans.num, *spans.size), dtype=bool)
    pictures[found.owner, found.rows, found.columns] = True
    assert pictures.sum() == found.owner.size  # none twice
    return list(pictures)


def plainly_eroded(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The reference: the top and bottom of the picture take nothing, its sides do."""
    for_rows, for_columns = (
        np.pad(mask, ((pixels,) * 2, (0, 0)), constant_values=True),
        np.pad(mask, ((0, 0), (pixels,) * 2)),
    )
    height, width = mask.shape
    kept = mask.copy()
    for k in range(2 * pixels + 1):
        kept &= for_rows[k : k + height] & for_columns[:, k : k + width]
    return kept


@settings(max_examples=30, deadline=None)
@given(PICTURES, st.integers(0, 2), st.integers(1, 3))
def test_spans_are_shrunk_and_sampled_as_pictures_are(masks, pixels, stride):
    spans = spans_of_masks([encode(mask) for mask in masks], masks[0].shape)
    assert spans.areas().tolist() == [mask.sum() for mask in masks]
    rows, columns = np.indices(masks[0].shape)
    grid = (rows % stride == stride // 2) & (columns % stride == stride // 2)
    core = spans.eroded(pixels)
    # Within so many pixels of the picture's top and bottom a run may lose more, or nothing.
    for mask, got in zip(masks, drawn(core), strict=True):
        wanted = plainly_eroded(mask, pixels)
        assert not (got & ~mask).any()
        inner = slice(pixels, mask.shape[0] - pixels)
        assert (got[inner] == wanted[inner]).all()
    for whole, got in zip(drawn(core), drawn(core, np.full(len(masks), stride)), strict=True):
        assert (got == (whole & grid)).all()
    for mask, meets in zip(masks, spans.at_borders(), strict=True):
        sides = (mask[:, 0], mask[0], mask[:, -1], mask[-1])
        assert meets.tolist() == [bool(side.any()) for side in sides]


def test_boxes_hold_the_pixels_whose_middle_lies_within():
    boxes = np.array([[0.4, 1.6, 3.5, 9.0], [2, 2, 2, 2], [-5, -5, -1, -1]])
    pictures = drawn(spans_of_boxes(boxes, (4, 6)))
    assert np.argwhere(pictures[0]).min(axis=0).tolist() == [2, 0]
    assert np.argwhere(pictures[0]).max(axis=0).tolist() == [3, 2]
    assert not pictures[1].any()
    assert not pictures[2].any()


def test_masks_that_do_not_fit_are_refused():
    mask = encode(np.ones((2, 3), dtype=bool))
    with pytest.raises(ShapeError, match="mask 1 has the size"):
        spans_of_masks([from_counts([4], (2, 2)), mask], (2, 2))
    with pytest.raises(ShapeError, match="fill 1 pixels, expected 4"):
        spans_of_masks([RleMask(size=(2, 2), counts=b"1")], (2, 2))
    with pytest.raises(InputError, match="not finite"):
        spans_of_boxes(np.array([[0, 0, np.nan, 1]]), (2, 2))
    with pytest.raises(InputError, match="share"):
        spans_of_boxes(np.zeros((1, 4)), (2, 2), share=0.0)

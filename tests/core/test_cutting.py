"""Parts of pictures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.cutting import cut_out, pixels_of
from groundplane.testing.detectors import make_image

EDGE = st.floats(-50, 90)


def test_a_part_is_the_pixels_that_its_box_touches_and_leads_back():
    pixels = np.arange(30 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3)
    whole = make_image(pixels)
    part = cut_out(whole, np.array([1.5, 2.0, 9.2, 8.0]))
    assert np.array_equal(part.pixels, pixels[2:8, 1:10])
    assert part.frame_map.points(np.array([[0.0, 0.0]])).tolist() == [[1.0, 2.0]]
    assert part.source.content_hash != whole.source.content_hash


def test_a_part_at_the_edge_has_a_pixel():
    part = cut_out(make_image(np.zeros((30, 40, 3), np.uint8)), np.array([40.0, 30.0, 40.0, 30.0]))
    assert part.size == (1, 1)


@given(st.tuples(EDGE, EDGE, EDGE, EDGE), st.integers(1, 60), st.integers(1, 60), st.floats(0, 2))
def test_a_part_of_any_box_has_pixels_and_lies_within(box, width, height, margin):
    left, top, right, bottom = pixels_of(np.array(box), (width, height), margin=margin)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(st.integers(0, 39), st.integers(0, 29), st.integers(0, 39), st.integers(0, 29))
def test_boxes_of_whole_pixels_are_cut_as_slices_are(a, b, c, d):
    left, right = sorted((a, c + 1))
    top, bottom = sorted((b, d + 1))
    if left == right or top == bottom:
        return
    pixels = np.arange(30 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3)
    part = cut_out(make_image(pixels), np.array([left, top, right, bottom], dtype=np.float64))
    assert np.array_equal(part.pixels, pixels[top:bottom, left:right])

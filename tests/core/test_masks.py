"""Run-length masks; pycocotools is the referee, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as referee

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.masks import (
    RleMask,
    area,
    bounding_box,
    decode,
    encode,
    from_counts,
    from_polygons,
    intersection_over_union,
    to_counts,
    union,
)

_INSTANCES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data/coco/instances.json"
_sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
_masks = _sizes.flatmap(lambda size: hnp.arrays(bool, size))


def _stack(num):
    """So many masks of one size."""
    return _sizes.flatmap(lambda size: st.lists(hnp.arrays(bool, size), min_size=1, max_size=num))


def _referee_encode(mask):
    return referee.encode(np.asfortranarray(mask.astype(np.uint8)))


def _as_referee(rle):
    return {"size": list(rle.size), "counts": rle.counts}


def _compressed(counts, size):
    """What pycocotools writes for uncompressed runs."""
    given = {"size": list(size), "counts": list(counts)}
    return referee.frPyObjects(given, *size)["counts"]


def _check_polygons(polygons, size):
    """Compare with pycocotools; raise AssertionError where one byte differs."""
    expected = referee.merge(referee.frPyObjects(polygons, *size))
    assert from_polygons(polygons, size).counts == expected["counts"]


# Random masks --------------------------------------------------------------------------------


@given(_masks)
def test_encoding_is_byte_for_byte_that_of_pycocotools(mask):
    assert encode(mask).counts == _referee_encode(mask)["counts"]


@given(_masks)
def test_decoding_undoes_encoding_and_reads_what_pycocotools_wrote(mask):
    assert np.array_equal(decode(encode(mask)), mask)
    written = _referee_encode(mask)
    assert np.array_equal(decode(RleMask(size=mask.shape, counts=written["counts"])), mask)


@given(_masks)
def test_area_and_box_are_those_of_the_pixels(mask):
    rle = encode(mask)
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert area(rle) == rows.size == referee.area(_as_referee(rle))
    x, y, w, h = referee.toBbox(_as_referee(rle))
    assert bounding_box(rle) == box == (x, y, x + w, y + h)


@given(_masks)
def test_counts_and_back_are_the_same_mask(mask):
    rle = encode(mask)
    counts = to_counts(rle)
    assert from_counts(counts, rle.size) == rle
    assert sum(counts) == mask.size
    assert sum(counts[1::2]) == mask.sum()


@given(_stack(5))
def test_union_is_the_union_of_the_pixels(masks):
    joined = union([encode(mask) for mask in masks])
    assert joined.counts == encode(np.logical_or.reduce(masks)).counts
    expected = referee.merge([_referee_encode(mask) for mask in masks])
    assert joined.counts == expected["counts"]


@given(_stack(8), st.data())
def test_iou_is_exactly_that_of_pycocotools(masks, data):
    split = data.draw(st.integers(0, len(masks)))
    found, true = masks[:split], masks[split:]
    crowd = data.draw(st.lists(st.booleans(), min_size=len(true), max_size=len(true)))
    ours = [encode(mask) for mask in masks]
    got = intersection_over_union(ours[:split], ours[split:], crowd=crowd)
    assert got.shape == (len(found), len(true))
    if found and true:
        expected = referee.iou(
            [_referee_encode(m) for m in found], [_referee_encode(m) for m in true], crowd
        )
        assert np.array_equal(got, expected)


def test_iou_of_many_masks_is_that_of_pycocotools():
    rng = np.random.default_rng(0)
    masks = [encode(rng.random((9, 7)) < share) for share in np.linspace(0, 1, 150)]
    got = intersection_over_union(masks, masks[:130])
    theirs = [_as_referee(mask) for mask in masks]
    expected = referee.iou(theirs, theirs[:130], [0] * 130)
    assert np.array_equal(got, expected)


def _slow_iou(a, b):
    """The overlap of two masks, pixel by pixel."""
    return (a & b).sum() / max((a | b).sum(), 1)


@given(_stack(6))
def test_iou_is_that_of_the_pixels_where_boxes_meet_and_where_they_do_not(masks):
    apart = [
        np.pad(m, [(0, 0), (k * m.shape[1] // 2, 3 * m.shape[1])]) for k, m in enumerate(masks)
    ]
    width = min(mask.shape[1] for mask in apart)
    planes = [mask[:, :width] for mask in apart]
    rles = [encode(plane) for plane in planes]
    got = intersection_over_union(rles, rles)
    assert np.array_equal(got, [[_slow_iou(a, b) for b in planes] for a in planes])


def test_touching_boxes_and_empty_runs_share_nothing():
    left, right = from_counts([0, 2, 0, 0, 2], (2, 2)), from_counts([2, 0, 0, 2], (2, 2))
    assert intersection_over_union([left, right], [left, right]).tolist() == [[1, 0], [0, 1]]


def test_iou_without_crowd_flags_divides_by_the_union():
    half, whole = from_counts([0, 2, 2], (2, 2)), from_counts([0, 4], (2, 2))
    assert intersection_over_union([whole], [half]).tolist() == [[0.5]]
    assert intersection_over_union([half], [whole], crowd=[True]).tolist() == [[1.0]]


def test_the_order_of_runs_is_down_the_columns():
    mask = np.array([[0, 1, 0], [1, 1, 0]], dtype=bool)
    assert to_counts(encode(mask)) == [1, 3, 2]


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_mask_without_pixels_survives(size):
    rle = encode(np.zeros(size, dtype=bool))
    assert decode(rle).shape == size
    assert (area(rle), bounding_box(rle), to_counts(rle)) == (0, (0, 0, 0, 0), [0])


def test_long_runs_take_several_bytes():
    mask = np.zeros((4000, 5000), dtype=bool)
    mask[17, 4100] = True
    mask[3999, 4999] = True
    rle = encode(mask)
    assert rle.counts == _referee_encode(mask)["counts"]
    first, last = 4100 * 4000 + 17, 4999 * 4000 + 3999
    assert to_counts(rle) == [first, 1, last - first - 1, 1]


# Runs of no length, which others write -------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_given_runs_are_kept_as_they_are(counts):
    size = (1, sum(counts))
    rle = from_counts(counts, size)
    assert rle.counts == _compressed(counts, size)
    assert to_counts(rle) == counts
    again = encode(decode(rle))
    assert (area(again), bounding_box(again)) == (area(rle), bounding_box(rle))
    assert union([rle, rle]) == again


# Polygons ------------------------------------------------------------------------------------

_half_pixels = st.integers(-40, 120).map(lambda n: n / 2)
_anywhere = st.floats(-20, 60, allow_nan=False, width=64)


@st.composite
def _polygons(draw):
    number = draw(st.sampled_from([_half_pixels, _anywhere]))
    points = st.lists(st.tuples(number, number), min_size=3, max_size=8)
    parts = draw(st.lists(points, min_size=1, max_size=3))
    return [[value for point in part for value in point] for part in parts]


@given(_polygons(), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_polygons_fill_as_in_pycocotools(polygons, size):
    _check_polygons(polygons, size)


@pytest.mark.parametrize(
    "polygon",
    [
        pytest.param([3, 3, 3, 3, 3, 3], id="one point"),
        pytest.param([1, 1, 8, 8, 1, 1], id="a line there and back"),
        pytest.param([0, 0, 10, 0, 10, 8, 0, 8], id="the whole picture"),
        pytest.param([-50, -50, 60, -50, 60, 60, -50, 60], id="larger than the picture"),
        pytest.param([20, 20, 30, 20, 30, 30], id="outside"),
        pytest.param([1, 1, 1, 1, 6, 1, 6, 6], id="a point twice"),
        pytest.param([0, 0, 8, 8, 8, 0, 0, 8], id="crosses itself"),
    ],
)
def test_odd_polygons_fill_as_in_pycocotools(polygon):
    _check_polygons([[float(value) for value in polygon]], (8, 10))


def test_the_polygon_referee_sees_a_shift_of_one_pixel():
    square = [2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0]
    expected = referee.merge(referee.frPyObjects([square], 10, 10))["counts"]
    assert from_polygons([square], (10, 10)).counts == expected
    assert from_polygons([[value + 1 for value in square]], (10, 10)).counts != expected


def test_a_polygon_of_whole_pixels_holds_them_and_no_more():
    rle = from_polygons([[2, 1, 5, 1, 5, 3, 2, 3]], (6, 8))
    assert (bounding_box(rle), area(rle)) == ((2, 1, 5, 3), 6)


# Photos --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instances():
    if not _INSTANCES.exists():
        pytest.skip("needs ../shared/data/coco")
    return json.loads(_INSTANCES.read_text())


def _ours_and_theirs(instances):
    sizes = {image["id"]: (image["height"], image["width"]) for image in instances["images"]}
    for entry in instances["annotations"]:
        size, segmentation = sizes[entry["image_id"]], entry["segmentation"]
        theirs = referee.frPyObjects(segmentation, *size)
        if isinstance(segmentation, dict):
            yield entry, from_counts(segmentation["counts"], size), theirs
        else:
            yield entry, from_polygons(segmentation, size), referee.merge(theirs)


# pycocotools' decode has not learnt NumPy 2's copy keyword.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_every_segmentation_of_the_photos_equals_that_of_pycocotools(instances):
    num_crowds = 0
    for entry, ours, theirs in _ours_and_theirs(instances):
        assert ours.counts == theirs["counts"], entry["id"]
        assert area(ours) == referee.area(theirs)
        x, y, w, h = referee.toBbox(theirs)
        assert bounding_box(ours) == (x, y, x + w, y + h)
        assert np.array_equal(decode(ours), referee.decode(theirs).astype(bool))
        num_crowds += isinstance(entry["segmentation"], dict)
    assert (len(instances["annotations"]), num_crowds) == (476, 6)


def test_overlaps_within_each_photo_equal_those_of_pycocotools(instances):
    by_image = {}
    for entry, ours, theirs in _ours_and_theirs(instances):
        by_image.setdefault(entry["image_id"], []).append((ours, theirs, bool(entry["iscrowd"])))
    for rows in by_image.values():
        ours, theirs, crowd = (list(column) for column in zip(*rows, strict=True))
        expected = referee.iou(theirs, theirs, crowd)
        assert np.array_equal(intersection_over_union(ours, ours, crowd=crowd), expected)


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        pytest.param(b"", ShapeError, "fill 0 pixels", id="nothing"),
        pytest.param(b"13 ", InputError, "byte 0x20 at 2", id="a blank"),
        pytest.param(b"1\xff", InputError, "byte 0xff at 1", id="not ASCII"),
        pytest.param(b"1P", InputError, "cut off", id="cut off"),
        pytest.param(b"14", ShapeError, "fill 5 pixels", id="too many pixels"),
        pytest.param(b"12", ShapeError, "fill 3 pixels", id="too few pixels"),
        pytest.param(b"5O", InputError, "negative", id="negative"),
        pytest.param(b"P" * 40 + b"1", InputError, "41 bytes", id="endless number"),
    ],
)
def test_malformed_bytes_are_refused(counts, error, message):
    rle = RleMask(size=(2, 2), counts=counts)
    for read in (decode, to_counts, area, bounding_box):
        with pytest.raises(error, match=message):
            read(rle)


@given(st.binary(max_size=30))
def test_any_bytes_give_a_mask_or_an_error_of_ours(counts):
    rle = RleMask(size=(4, 5), counts=counts)
    try:
        mask = decode(rle)
    except (InputError, ShapeError):
        return
    assert mask.shape == (4, 5)
    assert mask.sum() == area(rle)


@pytest.mark.parametrize("size", [(-1, 4), (2**20, 2**20), (2, 2, 2)])
def test_absurd_sizes_are_refused(size):
    # The hook that checks types in tests refuses the triple first.
    with pytest.raises((ShapeError, TypeError)):
        RleMask(size=size, counts=b"4")
    with pytest.raises((ShapeError, TypeError)):
        from_counts([4], size)
    with pytest.raises((ShapeError, TypeError)):
        from_polygons([[0.0, 0, 1, 0, 1, 1]], size)


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ([5, -1], InputError),
        ([2**70], InputError),
        ([2**63], ShapeError),
        ([2**40, 2], ShapeError),
        ([3], ShapeError),
        ([], ShapeError),
    ],
)
def test_malformed_runs_are_refused(counts, error):
    with pytest.raises(error):
        from_counts(counts, (2, 2))


@pytest.mark.parametrize("counts", [[1.5, 2.5], ["4"], [[1, 3]], [[1], [1, 2]], [None]])
def test_runs_that_are_no_whole_numbers_are_refused(counts):
    # The hook that checks types in tests refuses them first.
    with pytest.raises((InputError, TypeError)):
        from_counts(counts, (2, 2))


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "got none"),
        ([[]], "got 0 entries"),
        ([1, 2, 3], r"array of shape \(\)"),
        ([[[1, 2], [3, 4], [5, 6]]], r"array of shape \(3, 2\)"),
        (["text"], "no number"),
        ([[1.0, 1.0, 2.0, 2.0]], "got 4 entries"),
        ([[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]], "got 7 entries"),
        ([[1.0, 1.0, float("nan"), 2.0, 3.0, 3.0]], "not finite"),
        ([[1.0, 1.0, 1e30, 2.0, 3.0, 3.0]], "absurdly large"),
        ([[0.0, 0.0, 2e8, 0.0, 2e8, 2e8]], "outline is"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_malformed_polygons_are_refused(polygons, message):
    with pytest.raises(InputError, match=message):
        from_polygons(polygons, (10, 10))


def test_masks_of_two_sizes_cannot_be_compared_or_joined():
    a, b = encode(np.ones((2, 3), dtype=bool)), encode(np.ones((3, 2), dtype=bool))
    with pytest.raises(ShapeError, match="one size"):
        intersection_over_union([a], [b])
    with pytest.raises(ShapeError, match="one size"):
        union([a, b])


def test_crowd_flags_must_match_the_true_masks():
    mask = encode(np.ones((2, 3), dtype=bool))
    with pytest.raises(ShapeError, match="1 true masks but 2 crowd flags"):
        intersection_over_union([mask], [mask], crowd=[True, False])


def test_a_union_of_nothing_is_refused():
    with pytest.raises(InputError, match="got none"):
        union([])


@pytest.mark.parametrize("mask", [np.zeros((2, 2)), np.zeros((2, 2, 2), dtype=bool)])
def test_only_boolean_planes_are_encoded(mask):
    # The hook that checks shapes in tests refuses them first.
    with pytest.raises((ShapeError, TypeError)):
        encode(mask)

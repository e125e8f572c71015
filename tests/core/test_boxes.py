"""Box functions: conversions, areas, overlaps and gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as referee

from groundplane.core import boxes as boxes_module
from groundplane.core.boxes import (
    area,
    centers,
    clip,
    from_cxcywh,
    from_xywh,
    gap,
    intersection,
    iou,
    to_cxcywh,
    to_xywh,
)

# Quarter pixels below 2**14: sums, halves and products of them are exact in float64.
_coordinate = st.integers(-(2**12), 2**12).map(lambda n: n / 4)
_extent = st.integers(0, 2**12).map(lambda n: n / 4)
_box = st.tuples(_coordinate, _coordinate, _extent, _extent)


def _tensor(rows, width=4):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, width)


def _boxes(least=0):
    return st.lists(_box, min_size=least, max_size=6).map(lambda rows: from_xywh(_tensor(rows)))


@given(_boxes())
def test_xywh_and_back_gives_the_same_boxes(boxes):
    assert torch.equal(from_xywh(to_xywh(boxes)), boxes)


@given(_boxes())
def test_cxcywh_and_back_gives_the_same_boxes(boxes):
    assert torch.equal(from_cxcywh(to_cxcywh(boxes)), boxes)


@given(_boxes())
def test_both_forms_state_the_same_size_and_centre(boxes):
    assert torch.equal(to_xywh(boxes)[:, 2:], to_cxcywh(boxes)[:, 2:])
    assert torch.equal(to_cxcywh(boxes)[:, :2], centers(boxes))
    assert torch.equal(centers(boxes), (boxes[:, :2] + boxes[:, 2:]) / 2)


@given(_boxes())
def test_area_is_width_times_height_without_plus_one(boxes):
    sides = to_xywh(boxes)[:, 2:]
    assert torch.equal(area(boxes), sides[:, 0] * sides[:, 1])


def test_area_of_an_inside_out_box_is_zero():
    # Both sides negative: their plain product would be positive.
    assert area(torch.tensor([[5.0, 5.0, 1.0, 1.0], [5.0, 0.0, 1.0, 2.0]])).tolist() == [0.0, 0.0]


@given(_boxes(), st.integers(1, 300), st.integers(1, 300))
def test_clipped_boxes_lie_inside_and_a_second_clip_changes_nothing(boxes, width, height):
    clipped = clip(boxes, (width, height))
    assert ((clipped >= 0) & (clipped <= torch.tensor([width, height] * 2))).all()
    assert torch.equal(clip(clipped, (width, height)), clipped)
    assert torch.equal(area(clipped), intersection(boxes, _tensor([0, 0, width, height]))[:, 0])


@given(_boxes(), _boxes())
def test_intersection_iou_and_gap_are_symmetric(a, b):
    for pairwise in (intersection, iou, gap):
        assert torch.equal(pairwise(a, b), pairwise(b, a).T)


@given(_boxes(least=1))
def test_a_box_meets_itself_wholly(boxes):
    whole = area(boxes)
    assert torch.equal(intersection(boxes, boxes).diagonal(), whole)
    assert torch.equal(iou(boxes, boxes).diagonal(), (whole > 0).double())
    assert not gap(boxes, boxes).diagonal().any()


@given(_boxes(), _boxes(), _coordinate, _coordinate)
def test_moving_everything_changes_no_relation(a, b, dx, dy):
    shift = _tensor([dx, dy, dx, dy])
    for pairwise in (intersection, iou, gap):
        assert torch.equal(pairwise(a + shift, b + shift), pairwise(a, b))


@given(_boxes(), _boxes())
def test_pairwise_functions_agree_with_plain_loops(a, b):
    for i, p in enumerate(a.tolist()):
        for j, q in enumerate(b.tolist()):
            wide = max(min(p[2], q[2]) - max(p[0], q[0]), 0)
            high = max(min(p[3], q[3]) - max(p[1], q[1]), 0)
            apart_x = max(q[0] - p[2], p[0] - q[2], 0)
            apart_y = max(q[1] - p[3], p[1] - q[3], 0)
            assert intersection(a, b)[i, j] == wide * high
            # One rounding in the root.
            assert gap(a, b)[i, j] == pytest.approx((apart_x**2 + apart_y**2) ** 0.5, rel=1e-12)


@given(_boxes(least=1), _boxes(least=1))
def test_iou_agrees_with_pycocotools(a, b):
    solid_a, solid_b = a[area(a) > 0], b[area(b) > 0]
    if len(solid_a) and len(solid_b):
        sides_a, sides_b = to_xywh(solid_a).numpy(), to_xywh(solid_b).numpy()
        expected = referee.iou(sides_a, sides_b, [0] * len(solid_b))
        # The union is summed in another order: two roundings.
        np.testing.assert_allclose(iou(solid_a, solid_b).numpy(), expected, rtol=1e-14, atol=0)


def test_the_comparison_with_pycocotools_sees_a_plus_one_error():
    a, b = _tensor([0, 0, 4, 4]), _tensor([2, 2, 6, 6])
    expected = referee.iou(to_xywh(a).numpy(), to_xywh(b).numpy(), [0])
    one_more = torch.tensor([0.0, 0, 1, 1])
    assert iou(a, b).numpy() == pytest.approx(expected)
    assert iou(a + one_more, b + one_more).numpy() != pytest.approx(expected)


def test_boxes_that_touch_have_no_overlap_and_no_gap():
    a, b = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[2.0, 0.0, 4.0, 2.0]])
    assert (intersection(a, b).item(), iou(a, b).item(), gap(a, b).item()) == (0, 0, 0)


def test_gap_along_one_axis_and_across_a_corner():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    b = torch.tensor([[7.0, 1.0, 9.0, 3.0], [-5.0, -6.0, -3.0, -4.0]])
    assert gap(a, b).tolist() == [[5.0, 5.0]]


def test_iou_of_two_empty_boxes_is_zero():
    assert iou(torch.zeros(1, 4), torch.zeros(2, 4)).tolist() == [[0.0, 0.0]]


def test_no_boxes_give_empty_results():
    none, some = torch.zeros(0, 4), torch.zeros(3, 4)
    assert from_xywh(none).shape == to_cxcywh(none).shape == clip(none, (5, 5)).shape == (0, 4)
    assert (centers(none).shape, area(none).shape) == ((0, 2), (0,))
    assert (iou(none, some).shape, gap(some, none).shape) == ((0, 3), (3, 0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_areas_do_not_overflow(dtype):
    boxes = torch.tensor([[0.0, 0.0, 1024.0, 512.0]], dtype=dtype)
    assert area(boxes).tolist() == [1024.0 * 512.0]
    assert iou(boxes, boxes).tolist() == [[1.0]]
    assert from_xywh(boxes).dtype == centers(boxes).dtype == dtype


def _all_functions(boxes):
    for name in boxes_module.__all__:
        function = getattr(boxes_module, name)
        match name:
            case "clip":
                yield name, function(boxes, (64, 48))
            case "intersection" | "iou" | "gap":
                yield name, function(boxes, boxes[:2])
            case _:
                yield name, function(boxes)


def test_nothing_is_copied_to_the_host():
    # A tensor on the meta device has no values: reading one is an error.
    boxes = torch.zeros(3, 4, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        boxes.sum().item()
    results = dict(_all_functions(boxes))
    assert set(results) == set(boxes_module.__all__)
    assert {result.device.type for result in results.values()} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same_results():
    boxes = from_xywh(torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) * 100)
    on_device = dict(_all_functions(boxes.cuda()))
    for name, expected in _all_functions(boxes):
        assert on_device[name].is_cuda
        # float32: the device may fuse a multiplication with an addition.
        torch.testing.assert_close(on_device[name].cpu(), expected, rtol=1e-5, atol=1e-3)


def test_inputs_are_unchanged():
    boxes = from_xywh(torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) * 100)
    before = boxes.clone()
    list(_all_functions(boxes))
    assert torch.equal(boxes, before)

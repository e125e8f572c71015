"""A segmenter is asked for each box of a picture once, and nobody sees a difference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.experts import Expert
from groundplane.grounding.repeated_boxes import without_repeats
from groundplane.grounding.router import Router
from groundplane.testing.detectors import make_image

PICTURE = make_image(np.zeros((30, 40, 3), np.uint8), name="room")
BOXES = torch.tensor([[9.0, 9, 20, 20], [1, 1, 5, 5], [9, 9, 20, 20.5], [0, 0, 40, 30]])


class Cutter:
    """Masks that are the boxes, of a quality that is their width."""

    def __init__(self):
        self.asked = []

    def segment(self, requests):
        self.asked += [request.boxes for request in requests]
        return list(map(cut, requests))


def cut(request):
    masks = []
    for left, top, right, bottom in request.boxes.tolist():
        mask = np.zeros((30, 40), dtype=np.bool_)
        mask[int(top) : round(bottom), int(left) : int(right)] = True
        masks.append(encode(mask))
    n = len(request)
    return Regions(
        ids=tuple(f"1:{i}" for i in range(n)),
        boxes=request.boxes,
        scores=(request.boxes[:, 2] - request.boxes[:, 0]) / 40,
        phrases=(),
        phrase_ids=torch.full((n,), -1),
        image_size=request.image.size,
        masks=tuple(masks),
        sources=("cutter",) * n,
    )


def told(regions):
    return (
        regions.boxes.tolist(), regions.scores.tolist(), regions.masks, regions.sources,
        regions.phrase_ids.tolist(), len(set(regions.ids)),
    )  # fmt: skip


@given(st.lists(st.integers(0, len(BOXES) - 1), max_size=9))
@settings(max_examples=60, deadline=None)
def test_each_distinct_box_reaches_the_segmenter_once_and_all_get_its_mask(picks):
    cutter = Cutter()
    request = SegmentRequest(image=PICTURE, boxes=BOXES[picks].reshape(-1, 4))
    [answer] = Router([], segmenters=[Expert.of(cutter, name="s")]).answer_masks([request])

    [asked] = cutter.asked
    assert asked.tolist() == [BOXES[pick].tolist() for pick in dict.fromkeys(picks)]
    assert told(answer) == told(cut(request))


def test_boxes_of_different_pictures_are_different():
    cutter = Cutter()
    other = make_image(np.ones((30, 40, 3), np.uint8), name="hall")
    boxes = BOXES[[0, 0, 1]]
    requests = [SegmentRequest(image=image, boxes=boxes) for image in (PICTURE, other)]
    first, second = Router([], segmenters=[Expert.of(cutter, name="s")]).answer_masks(requests)

    assert [len(asked) for asked in cutter.asked] == [2, 2]
    assert told(first) == told(second) == told(cut(requests[0]))


@pytest.mark.parametrize(
    "more",
    [{"points": torch.ones(2, 1, 2)}, {"embeddings": torch.rand(2, 1, 4)}],
    ids=["points", "embeddings"],
)
def test_boxes_that_other_prompts_tell_apart_stay(more):
    request = SegmentRequest(image=PICTURE, boxes=BOXES[[0, 0]], **more)
    assert without_repeats(request).request is request


def test_what_is_not_repeated_is_answered_as_the_segmenter_gave_it():
    request = SegmentRequest(image=PICTURE, boxes=BOXES)
    once = without_repeats(request)
    answer = cut(request)
    assert once.request is request
    assert once.spread(answer) is answer

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core import masks
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError
from groundplane.grounding.candidates import Scored, result_of, to_device
from groundplane.grounding.merging import suppress
from groundplane.testing.detectors import make_image

IMAGE = make_image(np.zeros((40, 60, 3), dtype=np.uint8))
PHRASES = ("cup", "dog")


def scored(boxes, scores, phrases, **rest):
    return Scored(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        phrase_ids=torch.tensor(phrases, dtype=torch.long),
        **({"cannot": {}} | rest),
    )


def result(given, *, thresholds=(0.5, 0.5), iou=0.5):
    request = DetectRequest(image=IMAGE, phrases=PHRASES)
    return result_of(request, given, source="x", thresholds=thresholds, iou=iou)


COLUMNS = st.lists(
    st.tuples(
        st.integers(-5, 50), st.integers(-5, 30), st.integers(1, 30), st.integers(1, 30),
        st.integers(0, 100), st.integers(0, 1),
    ),
    max_size=12,
)  # fmt: skip


@given(rows=COLUMNS, least=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_thresholds_before_or_after_suppression_give_the_same(rows, least):
    rows = list({row[4]: row for row in rows}.values())  # equal scores have no one order
    boxes = [[x, y, x + w, y + h] for x, y, w, h, _, _ in rows]
    scores, phrases = [row[4] / 101 for row in rows], [row[5] for row in rows]
    thresholds = tuple(value / 101 for value in least)
    got = result(scored(boxes, scores, phrases), thresholds=thresholds).regions

    plain = scored(boxes, scores, phrases)
    cut = plain.boxes.clone()
    cut[:, 0::2] = cut[:, 0::2].clamp(0, 60)
    cut[:, 1::2] = cut[:, 1::2].clamp(0, 40)
    good = (cut[:, 2:] > cut[:, :2]).all(dim=1)
    good &= plain.scores >= torch.tensor(thresholds)[plain.phrase_ids]
    kept = suppress(cut[good], plain.scores[good], groups=plain.phrase_ids[good], iou=0.5)
    assert torch.equal(got.boxes, cut[good][kept])
    assert torch.equal(got.phrase_ids, plain.phrase_ids[good][kept])


def test_candidates_stand_best_first_with_ids_in_that_order():
    found = result(scored([[0, 0, 9, 9], [20, 20, 30, 30]], [0.2, 0.9], [0, 1]))
    assert found.candidates.ids == ("x-0", "x-1")
    assert found.candidates.labels() == ("dog", "cup")
    assert found.outcomes == (Outcome.NONE, Outcome.FOUND)


def test_one_place_may_answer_two_phrases():
    found = result(scored([[0, 0, 9, 9], [0, 0, 9, 9]], [0.8, 0.9], [0, 1]))
    assert found.outcomes == (Outcome.FOUND, Outcome.FOUND)


def test_masks_stay_with_their_boxes():
    shapes = [masks.from_polygons([[0, 0, s, 0, s, s, 0, s]], (40, 60)) for s in (5, 20)]
    boxes = [[0, 0, 5, 5], [0, 0, 20, 20]]
    found = result(scored(boxes, [0.6, 0.9], [0, 0], masks=tuple(shapes)))
    assert [masks.area(mask) for mask in found.regions.masks] == [400, 25]


def test_what_cannot_be_looked_for_says_why():
    found = result(scored([], [], [], cannot={1: "too long"}, note="careful"))
    assert found.outcomes == (Outcome.NONE, Outcome.CANNOT)
    assert found.note == "careful, too long"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_the_experts_failure(bad):
    with pytest.raises(DetectorError, match="detector 'x' gave boxes or scores that are not"):
        result(scored([[0, 0, 9, bad]], [0.5], [0]))
    with pytest.raises(DetectorError):
        result(scored([[0, 0, 9, 9]], [bad], [0]))


def test_all_tensors_are_moved():
    moved = to_device(result(scored([[0, 0, 9, 9]], [0.9], [0])), "meta")
    for regions in (moved.regions, moved.candidates):
        devices = {t.device.type for t in (regions.boxes, regions.scores, regions.phrase_ids)}
        assert devices == {"meta"}

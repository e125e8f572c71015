"""What all segmenters share, on a network that is a few lines of arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundplane.core.errors import DetectorError, InputError
from groundplane.core.feature_cache import FeatureCache
from groundplane.core.masks import area, bounding_box
from groundplane.core.pixels import PixelRule
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.prompting import Prompting, StretchedModel, enlarge
from groundplane.testing.detectors import make_image
from groundplane.testing.segmenters import SegmenterContract

GRID = 16


class Boxes:
    """Gives back the box, or a square about the mean of the points that are on the thing."""

    rule = PixelRule(fit="longest", size=64, square=True)
    device = torch.device("cpu")
    embedding_width = 8

    def __init__(self, *, most=1000, quality=None):
        self.most = most
        self.quality = quality
        self.asked = []
        self.encoded = 0

    def encode(self, image):
        self.encoded += 1
        return torch.zeros(1)

    def decode(self, features, prompts):
        num = next(
            len(p) for p in (prompts.boxes, prompts.points, prompts.embeddings) if p is not None
        )
        self.asked.append(num)
        if num > self.most:
            raise torch.OutOfMemoryError(f"{num} at once")
        at = (torch.arange(GRID) + 0.5) * 64 / GRID
        if prompts.boxes is not None:
            low, high = prompts.boxes[:, :2], prompts.boxes[:, 2:]
        elif prompts.points is not None:
            middle = (prompts.points * prompts.labels[..., None]).sum(1)
            middle = middle / prompts.labels.sum(1, keepdim=True)
            low, high = middle - 8, middle + 8
        else:
            low, high = torch.zeros(num, 2), torch.full((num, 2), 32.0)
        inside = [(at >= low[:, i : i + 1]) & (at < high[:, i : i + 1]) for i in (0, 1)]
        whole = (inside[1][:, :, None] & inside[0][:, None, :]).float() * 2 - 1
        logits = torch.stack([-torch.ones_like(whole), whole], dim=1)
        quality = torch.tensor([[0.2, 0.8]]).repeat(num, 1)
        return logits, quality if self.quality is None else quality * self.quality


def prompting(model, **settings):
    return Prompting(model, who="boxes", identity=id(model), cache=FeatureCache(10**6), **settings)


@pytest.fixture
def image():
    return make_image(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


class TestContract(SegmenterContract):
    @pytest.fixture
    def segmenter(self):
        return prompting(Boxes())


def grid_boxes(num):
    left = torch.arange(num) % 5 * 8.0
    return torch.stack([left, left / 2, left + 16, left / 2 + 16], dim=1)


def test_the_favourite_guess_is_taken(image):
    regions = prompting(Boxes()).segment([SegmentRequest(image=image, boxes=grid_boxes(2))])[0]
    assert torch.allclose(regions.scores, torch.tensor([0.8, 0.8]))
    assert all(area(mask) > 0 for mask in regions.masks)


def test_a_mask_lies_where_its_box_does(image):
    box = torch.tensor([[16.0, 8.0, 48.0, 40.0]])
    regions = prompting(Boxes()).segment([SegmentRequest(image=image, boxes=box)])[0]
    around = bounding_box(regions.masks[0])
    assert regions.boxes[0].tolist() == list(map(float, around))
    assert np.abs(np.array(around) - box[0].numpy()).max() <= 2  # half a cell of the grid


def test_an_empty_mask_has_the_box_of_its_prompt(image):
    speck = torch.tensor([[3.0, 3.0, 3.5, 3.5]])
    regions = prompting(Boxes()).segment([SegmentRequest(image=image, boxes=speck)])[0]
    assert area(regions.masks[0]) == 0
    assert regions.boxes.tolist() == speck.tolist()
    assert regions.scores[0] > 0


def test_an_image_at_which_nothing_points_is_not_encoded(image):
    model = Boxes()
    request = SegmentRequest(image=image, boxes=torch.tensor([[90.0, 90.0, 99.0, 99.0]]))
    regions = prompting(model).segment([request])[0]
    assert model.encoded == 0
    assert regions.boxes.tolist() == [[0.0] * 4]


def test_prompts_go_through_a_few_at_a_time(image):
    model = Boxes()
    request = SegmentRequest(image=image, boxes=grid_boxes(11))
    few = prompting(model, prompts_a_pass=4).segment([request])[0]
    assert model.asked == [4, 4, 3]
    assert few.masks == prompting(Boxes()).segment([request])[0].masks


def test_where_memory_does_not_do_half_is_tried(image):
    model = Boxes(most=3)
    request = SegmentRequest(image=image, boxes=grid_boxes(10))
    regions = prompting(model).segment([request])[0]
    assert model.asked[0] == 10
    assert regions.masks == prompting(Boxes()).segment([request])[0].masks


def test_one_prompt_that_does_not_fit_is_an_error(image):
    with pytest.raises(torch.OutOfMemoryError):
        prompting(Boxes(most=0)).segment([SegmentRequest(image=image, boxes=grid_boxes(3))])


def test_numbers_that_are_not_finite_are_an_error(image):
    model = Boxes(quality=float("nan"))
    with pytest.raises(DetectorError, match="'boxes' gave scores that are not finite"):
        prompting(model).segment([SegmentRequest(image=image, boxes=grid_boxes(1))])


def test_a_quality_above_one_is_cut(image):
    regions = prompting(Boxes(quality=2.0)).segment(
        [SegmentRequest(image=image, boxes=grid_boxes(1))]
    )[0]
    assert regions.scores.tolist() == [1.0]


def test_a_wrong_request_is_refused_before_any_is_answered(image):
    model = Boxes()
    good = SegmentRequest(image=image, boxes=grid_boxes(1))
    bad = SegmentRequest(image=image, embeddings=torch.zeros(1, 1, 9))
    with pytest.raises(InputError, match="embeddings of 8 numbers"):
        prompting(model).segment([good, bad])
    assert model.encoded == 0


def test_things_with_unlike_numbers_of_points_come_in_their_order(image):
    points = torch.tensor([[[10.0, 10.0], [50.0, 40.0]]] * 3)
    labels = torch.tensor([[1, -1], [1, 1], [-1, 1]])
    request = SegmentRequest(image=image, points=points, point_labels=labels)
    model = Boxes()
    boxes = prompting(model).segment([request])[0].boxes
    assert model.asked == [2, 1]  # those of one point together
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert torch.allclose(middles, torch.tensor([[10.0, 10], [30, 25], [50, 40]]), atol=4)


def test_an_embedding_beside_a_box_that_holds_nothing_names_nothing(image):
    request = SegmentRequest(image=image, boxes=torch.zeros(1, 4), embeddings=torch.ones(1, 1, 8))
    assert area(prompting(Boxes()).segment([request])[0].masks[0]) == 0


def test_half_precision_prompts_are_answered(image):
    request = SegmentRequest(image=image, boxes=grid_boxes(2).bfloat16())
    regions = prompting(Boxes()).segment([request])[0]
    assert regions.boxes.dtype == torch.float32


def test_what_covers_the_padding_is_cut_off():
    rule = PixelRule(fit="longest", size=8, square=True)
    logits = torch.full((1, 8, 8), -1.0)
    logits[:, 4:] = 1.0  # below a picture twice as wide as high
    assert not bool((enlarge(logits, (40, 20), rule=rule)[:, :17] > 0).any())
    stretched = PixelRule(fit="stretch", size=8)
    assert bool((enlarge(logits, (40, 20), rule=stretched)[:, 12:] > 0).all())


def test_a_stretched_model_passes_on_what_it_is_given(image):
    seen = []
    model = StretchedModel(
        rule=PixelRule(fit="stretch", size=32),
        device=torch.device("cpu"),
        dtype=torch.float32,
        encoder=lambda pixels: seen.append(tuple(pixels.shape)) or pixels.mean(),
        decoder=Boxes().decode,
    )
    prompting(model).segment([SegmentRequest(image=image, boxes=grid_boxes(2))])
    assert seen == [(1, 3, 32, 32)]

"""SAM 3 on tiny weights; the referees are transformers' classes with their own processors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import groundplane
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError, InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.masks import decode
from groundplane.core.segmentation import SegmentRequest
from groundplane.plugins.sam3 import (
    Sam3Detector,
    Sam3DetectorOptions,
    Sam3Segmenter,
    Sam3SegmenterOptions,
)
from groundplane.testing.checkpoints_sam import save_sam2, save_sam3
from groundplane.testing.detectors import DetectorContract, make_image
from groundplane.testing.segmenters import SegmenterContract

# One network in one program: what is left is the order of sums.
CLOSE = 1e-3
PHRASES = ("red dog", "cup", "small wooden table")
BOX = (10.0, 8.0, 40.0, 45.0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Detector and tracker in one file, as they are published."""
    return save_sam3(tmp_path_factory.mktemp("sam3"))


@pytest.fixture(scope="session")
def detector(folder):
    return groundplane.load("detectors", "sam3", weights=str(folder))


@pytest.fixture(scope="session")
def segmenter(folder):
    return groundplane.load("segmenters", "sam3", weights=str(folder))


@pytest.fixture(scope="session")
def everything(folder):
    """Keeps all that the network scores, as the reference does."""
    return Sam3Detector(Sam3DetectorOptions(weights=str(folder), floor=0.0, threshold=0.0))


@pytest.fixture(scope="session")
def peer(folder):
    model = transformers.Sam3Model.from_pretrained(folder).eval()
    return model, transformers.Sam3Processor.from_pretrained(folder)


@pytest.fixture(scope="session")
def tracker(folder, tmp_path_factory):
    model = transformers.Sam3TrackerModel.from_pretrained(folder).eval()
    apart = save_sam3(tmp_path_factory.mktemp("tracker"), part="segmenter")
    return model, transformers.Sam3TrackerProcessor.from_pretrained(apart)


@pytest.fixture
def image():
    # Of the network's own size, so that no filter stands between the two.
    return make_image(np.random.default_rng(7).integers(0, 256, (56, 56, 3), dtype=np.uint8))


class TestDetectorContract(DetectorContract):
    @pytest.fixture
    def detector(self, detector):
        return detector


class TestSegmenterContract(SegmenterContract):
    @pytest.fixture
    def segmenter(self, segmenter):
        return segmenter


# Detector --------------------------------------------------------------------------------------


def by_transformers(peer, image, phrase, *, box=None, threshold):
    model, processor = peer
    boxes = {} if box is None else {"input_boxes": [[list(box)]]}
    inputs = processor(images=image.pixels, text=phrase, return_tensors="pt", **boxes)
    sizes = inputs.pop("original_sizes").tolist()
    with torch.no_grad():
        out = model(**inputs)
    found = processor.post_process_instance_segmentation(
        out, threshold=threshold, target_sizes=sizes
    )[0]
    return found, float(out.presence_logits.sigmoid())


def check(result, index, expected, presence):
    """Compare one phrase's candidates with the reference; AssertionError where they differ."""
    order = torch.argsort(expected["scores"], descending=True)
    mine = result.candidates.select(result.candidates.phrase_ids == index)
    assert len(mine) == len(order)
    width, height = mine.image_size
    edges = torch.tensor([width, height, width, height])
    assert torch.allclose(mine.scores, expected["scores"][order], rtol=0, atol=CLOSE)
    boxes = expected["boxes"][order].clamp(min=0).minimum(edges)
    assert torch.allclose(mine.boxes, boxes, rtol=0, atol=CLOSE * width)
    for mask, true in zip(mine.masks, expected["masks"][order], strict=True):
        assert (decode(mask) != true.bool().numpy()).mean() < 1e-3
    assert abs(result.presence[index] - presence) < CLOSE


def test_phrases_are_answered_as_by_transformers(everything, peer, image):
    result = everything.detect([DetectRequest(image=image, phrases=PHRASES)])[0]
    for i, phrase in enumerate(PHRASES):
        check(result, i, *by_transformers(peer, image, phrase, threshold=-1.0))


def test_an_exemplar_is_answered_as_by_transformers(everything, peer, image):
    request = DetectRequest(image=image, phrases=("cup", "dog"), exemplars=(None, BOX))
    result = everything.detect([request])[0]
    check(result, 0, *by_transformers(peer, image, "cup", threshold=-1.0))
    check(result, 1, *by_transformers(peer, image, "dog", box=BOX, threshold=-1.0))


def test_an_exemplar_without_words_is_asked_for_as_transformers_does(everything, peer, image):
    request = DetectRequest(image=image, phrases=("",), exemplars=(BOX,))
    result = everything.detect([request])[0]
    check(result, 0, *by_transformers(peer, image, None, box=BOX, threshold=-1.0))


@pytest.mark.parametrize("size", [(140, 90), (30, 200)])
def test_a_picture_of_another_shape_is_answered_as_by_transformers(everything, peer, size):
    # Smooth, so that the two filters agree.
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0], 1)
    image = make_image(np.broadcast_to(ramp, (size[1], size[0], 3)).astype(np.uint8))
    expected, _ = by_transformers(peer, image, "cup", threshold=-1.0)
    result = everything.detect([DetectRequest(image=image, phrases=("cup",))])[0]
    order = torch.argsort(expected["scores"], descending=True)
    found = result.candidates
    assert torch.allclose(found.scores, expected["scores"][order], rtol=0, atol=1e-2)
    edges = torch.tensor([*size, *size])
    boxes = expected["boxes"][order].clamp(min=0).minimum(edges)
    assert torch.allclose(found.boxes / edges, boxes / edges, rtol=0, atol=1e-2)


def test_the_comparison_itself_sees_other_weights(tmp_path, peer, image):
    other = save_sam3(tmp_path, seed=1)
    options = Sam3DetectorOptions(weights=str(other), floor=0.0, threshold=0.0)
    result = Sam3Detector(options).detect([DetectRequest(image=image, phrases=("cup",))])[0]
    with pytest.raises(AssertionError):
        check(result, 0, *by_transformers(peer, image, "cup", threshold=-1.0))


def test_thresholds_keep_the_candidates(detector, image):
    request = DetectRequest(image=image, phrases=PHRASES, thresholds=(0.9, 0.1, 0.3))
    result = detector.detect([request])[0]
    plain = detector.detect([DetectRequest(image=image, phrases=PHRASES)])[0]
    assert result.candidates.ids == plain.candidates.ids
    again = plain.at((0.9, 0.1, 0.3))
    assert again.regions.ids == result.regions.ids
    assert len(plain.candidates) > 0


def test_a_phrase_is_answered_alike_whatever_else_is_asked(detector, image):
    together = detector.detect([DetectRequest(image=image, phrases=PHRASES * 5)])[0]
    alone = detector.detect([DetectRequest(image=image, phrases=("cup",))])[0]
    for index in range(1, 15, 3):
        mine = together.candidates.select(together.candidates.phrase_ids == index)
        assert torch.allclose(mine.scores, alone.candidates.scores, rtol=0, atol=1e-5)


def test_what_cannot_be_looked_for_says_why(detector, image):
    long = " ".join(["umbrella"] * 40)
    request = DetectRequest(
        image=image,
        phrases=("  ", long, "cup", "dog", "cat"),
        exemplars=(None, None, (500.0, 500.0, 600.0, 600.0), (1.0, 1.0, 1.0, 5.0), None),
    )
    result = detector.detect([request])[0]
    assert result.outcomes[:4] == (Outcome.CANNOT,) * 4
    assert result.outcomes[4] is not Outcome.CANNOT
    assert result.presence[:4] == (0.0,) * 4
    assert result.presence[4] > 0
    for said in ("names nothing", "sam3 reads 32", "holds no part"):
        assert said in result.note


def test_an_exemplar_that_is_no_number_cannot_be_looked_for(detector, image):
    nan = float("nan")
    request = DetectRequest(image=image, phrases=("cup",), exemplars=((nan, 0.0, 5.0, 5.0),))
    assert detector.detect([request])[0].outcomes == (Outcome.CANNOT,)


def test_no_phrases_need_no_look_at_the_picture(detector, image, monkeypatch):
    monkeypatch.setattr(detector, "_vision", lambda image: pytest.fail("it was encoded"))
    result = detector.detect([DetectRequest(image=image, phrases=())])[0]
    assert len(result.regions) == 0
    assert result.presence == ()


def test_pictures_and_phrases_are_encoded_once(folder, image, monkeypatch):
    detector = Sam3Detector(Sam3DetectorOptions(weights=str(folder)))
    shared_cache().clear()
    made = []
    for name in ("get_vision_features", "get_text_features"):
        plain = getattr(detector._network, name)
        monkeypatch.setattr(
            detector._network,
            name,
            lambda *a, name=name, plain=plain, **k: made.append(name) or plain(*a, **k),
        )
    for _ in range(2):
        detector.detect([DetectRequest(image=image, phrases=("cup", "dog", "cup"))] * 2)
    assert sorted(made) == ["get_text_features"] * 2 + ["get_vision_features"]


def test_scores_that_are_no_number_are_an_error(folder, image, monkeypatch):
    detector = Sam3Detector(Sam3DetectorOptions(weights=str(folder)))
    plain = detector._scored

    def broken(*given):
        out = plain(*given)
        out.pred_logits = out.pred_logits * float("nan")
        return out

    monkeypatch.setattr(detector, "_scored", broken)
    with pytest.raises(DetectorError, match="not finite"):
        detector.detect([DetectRequest(image=image, phrases=("cup",))])


def test_where_memory_does_not_do_half_is_tried(folder, image, monkeypatch):
    detector = Sam3Detector(Sam3DetectorOptions(weights=str(folder), phrases_a_pass=8))
    request = DetectRequest(image=image, phrases=(*PHRASES, "cat", "car"))
    whole = detector.detect([request])[0]
    plain, asked = detector._scored, []

    def scarce(size, vision, phrases):
        asked.append(len(phrases))
        if len(phrases) > 1:
            raise torch.OutOfMemoryError("too many at once")
        return plain(size, vision, phrases)

    monkeypatch.setattr(detector, "_scored", scarce)
    halved = detector.detect([request])[0]
    assert asked == [5, 2, 1, 1, 3, 1, 2, 1, 1]
    assert torch.allclose(halved.candidates.scores, whole.candidates.scores, rtol=0, atol=1e-5)
    monkeypatch.setattr(
        detector, "_scored", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none"))
    )
    with pytest.raises(torch.OutOfMemoryError):
        detector.detect([request])


def test_half_precision_gives_float32_regions(folder, image):
    options = Sam3DetectorOptions(weights=str(folder), floor=0.0)
    half = Sam3Detector(options, dtype=torch.bfloat16)
    request = DetectRequest(image=image, phrases=("cup", "dog"), exemplars=(None, BOX))
    result = half.detect([request])[0]
    assert result.candidates.boxes.dtype == result.candidates.scores.dtype == torch.float32
    whole = Sam3Detector(options).detect([request])[0]
    gaps = [abs(a - b) for a, b in zip(result.presence, whole.presence, strict=True)]
    assert max(gaps) < 0.1


def test_each_part_is_read_from_a_checkpoint_of_its_own(tmp_path, image):
    apart = save_sam3(tmp_path / "detector", part="detector")
    result = Sam3Detector(Sam3DetectorOptions(weights=str(apart))).detect(
        [DetectRequest(image=image, phrases=("cup",))]
    )[0]
    assert len(result.candidates) > 0
    with pytest.raises(WeightsError, match="sam3_tracker"):
        Sam3Segmenter(Sam3SegmenterOptions(weights=str(apart)))


def test_another_family_is_refused(tmp_path):
    other = save_sam2(tmp_path)
    with pytest.raises(WeightsError, match="sam3"):
        Sam3Detector(Sam3DetectorOptions(weights=str(other)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", 1.5), ("floor", -0.1), ("overlap", float("nan")), ("phrases_a_pass", 0)],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Sam3DetectorOptions(weights="x", **{name: value})


# Segmenter -------------------------------------------------------------------------------------

BOXES = torch.tensor([[4.0, 3.0, 40.0, 50.0], [10.0, 20.0, 55.0, 55.0], [0.0, 0.0, 56.0, 56.0]])
POINTS = torch.tensor([[[30.0, 40.0], [9.0, 20.0]], [[5.0, 5.0], [50.0, 30.0]], [[9.0, 9.0]] * 2])
LABELS = torch.tensor([[1, 0], [1, 1], [0, 1]])
PROMPTS = {
    "boxes": {"boxes": BOXES},
    "points": {"points": POINTS, "point_labels": LABELS},
    "both": {"boxes": BOXES, "points": POINTS, "point_labels": LABELS},
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_masks_are_those_of_transformers(segmenter, tracker, image, kind):
    model, processor = tracker
    given = PROMPTS[kind]
    names = {"boxes": "input_boxes", "points": "input_points", "point_labels": "input_labels"}
    prompts = {names[name]: prompt[None].tolist() for name, prompt in given.items()}
    inputs = processor(images=image.pixels, return_tensors="pt", **prompts)
    sizes = inputs.pop("original_sizes")
    with torch.no_grad():
        out = model(**inputs)
    whole = processor.post_process_masks(out.pred_masks, sizes)[0]
    best = out.iou_scores[0].argmax(dim=1)
    regions = segmenter.segment([SegmentRequest(image=image, **given)])[0]
    for i in range(3):
        assert (decode(regions.masks[i]) != whole[i, best[i]].numpy()).sum() <= 2
    expected = out.iou_scores[0].amax(dim=1).clamp(0, 1)
    assert torch.allclose(regions.scores, expected, rtol=0, atol=CLOSE)


def test_a_number_of_prompts_out_of_range_is_refused():
    with pytest.raises(InputError, match="prompts_a_pass"):
        Sam3SegmenterOptions(weights="x", prompts_a_pass=0)

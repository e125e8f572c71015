"""SAM 2 on tiny weights; the referee is transformers' class with its own processor."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.masks import decode
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.weights import read_state
from groundplane.grounding.prompting import Prompts, stretched
from groundplane.plugins import sam2
from groundplane.plugins.sam2 import Sam2Options, Sam2Segmenter
from groundplane.testing.checkpoints_sam import save_sam2
from groundplane.testing.detectors import make_image
from groundplane.testing.segmenters import SegmenterContract

# One network in one program: what is left is the order of sums, and the resizing of pictures,
# which is within one grey level of the processor's.
CLOSE = 1e-3

BOXES = torch.tensor([[10.0, 5.0, 80.0, 60.0], [40.0, 20.0, 139.0, 88.0], [0.0, 0.0, 140.0, 90.0]])
POINTS = torch.tensor([[[30.0, 40.0], [99.0, 20.0]], [[5.0, 5.0], [70.0, 80.0]], [[90.0, 9.0]] * 2])
LABELS = torch.tensor([[1, 0], [1, 1], [0, 1]])
PROMPTS = {
    "boxes": {"boxes": BOXES},
    "points": {"points": POINTS, "point_labels": LABELS},
    "both": {"boxes": BOXES, "points": POINTS, "point_labels": LABELS},
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return save_sam2(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="session")
def shared(folder):
    return groundplane.load("segmenters", "sam2", weights=str(folder))


@pytest.fixture(scope="session")
def single(folder):
    return Sam2Segmenter(Sam2Options(weights=str(folder), multimask=False))


@pytest.fixture(scope="session")
def peer(folder):
    model = transformers.Sam2Model.from_pretrained(folder).eval()
    return model, transformers.Sam2Processor.from_pretrained(folder)


@pytest.fixture
def image():
    # Of the network's own size, so that no filter stands between the two.
    return make_image(np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def asked_of(processor, image, given):
    names = {"boxes": "input_boxes", "points": "input_points", "point_labels": "input_labels"}
    prompts = {names[name]: prompt[None].tolist() for name, prompt in given.items()}
    return processor(images=image.pixels, return_tensors="pt", **prompts)


def fitted(given, size):
    """Prompts within a picture of another size."""
    factor = torch.tensor(size) / torch.tensor([140.0, 90.0])
    fit = {"boxes": factor.repeat(2), "points": factor}
    return {name: prompt * fit[name] if name in fit else prompt for name, prompt in given.items()}


class TestContract(SegmenterContract):
    @pytest.fixture
    def segmenter(self, shared):
        return shared


class TestContractOfOneGuess(SegmenterContract):
    @pytest.fixture
    def segmenter(self, single):
        return single


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("multimask", [True, False])
def test_results_are_those_of_transformers(shared, single, peer, image, kind, multimask):
    model, processor = peer
    given = fitted(PROMPTS[kind], (64, 64))
    inputs = asked_of(processor, image, given)
    with torch.no_grad():
        out = model(
            **{n: v for n, v in inputs.items() if n != "original_sizes"}, multimask_output=multimask
        )
    network = (shared if multimask else single)._prompting._model
    prompts = Prompts(
        boxes=given.get("boxes"),
        points=given.get("points"),
        labels=given.get("point_labels"),
        embeddings=None,
    )
    with torch.no_grad():
        logits, quality = network.decode(network.encode(image), prompts)
    assert torch.allclose(logits, out.pred_masks[0], rtol=0, atol=CLOSE)
    assert torch.allclose(quality, out.iou_scores[0], rtol=0, atol=CLOSE)
    whole = processor.post_process_masks(out.pred_masks, inputs["original_sizes"])[0]
    best = out.iou_scores[0].argmax(dim=1)
    regions = (shared if multimask else single).segment([SegmentRequest(image=image, **given)])[0]
    for i in range(3):
        apart = decode(regions.masks[i]) != whole[i, best[i]].numpy()
        assert apart.sum() <= 2  # a logit of nearly 0 may fall to either side
    expected = out.iou_scores[0].amax(dim=1).clamp(0, 1)
    assert torch.allclose(regions.scores, expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("size", [(140, 90), (30, 200), (1, 50)])
def test_a_stretched_picture_gives_the_masks_of_transformers(shared, peer, size):
    model, processor = peer
    # Smooth, so that the two filters agree.
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0], 1)
    image = make_image(np.broadcast_to(ramp, (size[1], size[0], 3)).astype(np.uint8))
    given = fitted(PROMPTS["boxes"], size)
    inputs = asked_of(processor, image, given)
    with torch.no_grad():
        out = model(**{n: v for n, v in inputs.items() if n != "original_sizes"})
    whole = processor.post_process_masks(out.pred_masks, inputs["original_sizes"])[0]
    best = out.iou_scores[0].argmax(dim=1)
    regions = shared.segment([SegmentRequest(image=image, **given)])[0]
    for i in range(3):
        assert (decode(regions.masks[i]) != whole[i, best[i]].numpy()).mean() < 0.02
    expected = out.iou_scores[0].amax(dim=1).clamp(0, 1)
    assert torch.allclose(regions.scores, expected, rtol=0, atol=1e-2)


def test_the_comparison_itself_sees_other_weights(tmp_path, peer, image):
    other = Sam2Segmenter(Sam2Options(weights=str(save_sam2(tmp_path, seed=1))))
    model, processor = peer
    inputs = asked_of(processor, image, {"boxes": BOXES / 3})
    with torch.no_grad():
        out = model(**{n: v for n, v in inputs.items() if n != "original_sizes"})
    regions = other.segment([SegmentRequest(image=image, boxes=BOXES / 3)])[0]
    assert not torch.allclose(regions.scores, out.iou_scores[0].amax(dim=1), rtol=0, atol=CLOSE)


def test_embeddings_are_refused(shared, image):
    with pytest.raises(InputError, match="no embeddings"):
        shared.segment([SegmentRequest(image=image, embeddings=torch.zeros(1, 1, 32))])


def test_half_precision_is_for_the_encoder_alone(folder, image, shared):
    half = Sam2Segmenter(Sam2Options(weights=str(folder)), dtype=torch.bfloat16)
    one, other = (
        s.segment([SegmentRequest(image=image, boxes=BOXES / 3)])[0] for s in (half, shared)
    )
    assert one.boxes.dtype == one.scores.dtype == torch.float32
    assert torch.allclose(one.scores, other.scores, rtol=0, atol=0.1)


def test_a_checkpoint_for_videos_is_read(folder, tmp_path, shared, image):
    """The published ones hold the weights of the video tracker too."""
    place = tmp_path / "video"
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    config |= {"model_type": "sam2_video", "architectures": ["Sam2VideoModel"]}
    (place / "config.json").write_text(json.dumps(config))
    state = read_state(place, who="test")
    state["memory_encoder.projection.weight"] = torch.zeros(4, 4)
    save_file(state, place / "model.safetensors")
    other = Sam2Segmenter(Sam2Options(weights=str(place)))
    one, two = (
        s.segment([SegmentRequest(image=image, boxes=BOXES / 3)])[0] for s in (shared, other)
    )
    assert one.masks == two.masks


@pytest.mark.parametrize("value", [0, -1, 10**6])
def test_a_number_of_prompts_out_of_range_is_refused(value):
    with pytest.raises(InputError, match="prompts_a_pass"):
        Sam2Options(weights="x", prompts_a_pass=value)


def test_colours_are_those_that_the_checkpoint_states(tmp_path):
    stated = {"image_processor": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(stated))
    rule = stretched(tmp_path, size=64, colours=sam2._COLOURS, who="test")
    assert (rule.mean, rule.std, rule.fit) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "stretch")


def test_without_a_statement_the_usual_colours_are_taken(tmp_path):
    rule = stretched(tmp_path, size=64, colours=sam2._COLOURS, who="test")
    assert (rule.mean, rule.std) == sam2._COLOURS


@pytest.mark.parametrize(
    "stated",
    [
        {"image_mean": [0.1, 0.2]},
        {"image_std": [0.1, 0.0, 0.1]},
        {"image_mean": ["a", "b", "c"]},
        {"image_mean": 0.5},
        {"image_std": [0.1, float("nan"), 0.1]},
    ],
)
def test_colours_that_are_none_are_refused(tmp_path, stated):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    with pytest.raises(WeightsError, match="three numbers"):
        stretched(tmp_path, size=64, colours=sam2._COLOURS, who="test")


def test_a_processor_that_states_nothing_of_pictures_is_passed_over(tmp_path):
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": "none"}))
    rule = stretched(tmp_path, size=[64, 64], colours=sam2._COLOURS, who="test")
    assert (rule.mean, rule.size) == (sam2._COLOURS[0], 64)


def test_a_canvas_that_is_no_square_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="square"):
        stretched(tmp_path, size=[64, 32], colours=sam2._COLOURS, who="test")

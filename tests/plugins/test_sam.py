"""SAM on tiny weights; the referees are transformers' class and the package's own predictor."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

import groundplane
from groundplane.core import hub
from groundplane.core.errors import InputError, PluginBrokenError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.masks import area, decode
from groundplane.core.pixels import prepare_pixels
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.weights import read_state
from groundplane.grounding.prompting import Prompting, Prompts
from groundplane.plugins import sam
from groundplane.plugins.sam import SamOptions, SamSegmenter
from groundplane.testing.checkpoints_sam import save_sam
from groundplane.testing.detectors import make_image
from groundplane.testing.segmenters import SegmenterContract

# One network, two programs: what is left is the order of sums in float32.
CLOSE = 1e-3


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return save_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture(scope="session")
def own_names(folder, tmp_path_factory):
    """The same weights as the package names them, in one file."""
    path = tmp_path_factory.mktemp("sam-own") / "sam_vit_tiny.safetensors"
    save_file(sam._in_own_names(read_state(folder, who="test")), path)
    return path


@pytest.fixture(scope="session")
def shared(folder):
    return SamSegmenter(SamOptions(weights=str(folder)))


@pytest.fixture(scope="session")
def single(own_names):
    """Loaded by its name, as users do; one guess a thing."""
    return groundplane.load("segmenters", "sam", weights=str(own_names), multimask=False)


@pytest.fixture(scope="session")
def peer(folder):
    return transformers.SamModel.from_pretrained(folder).eval()


@pytest.fixture
def image():
    return make_image(np.random.default_rng(7).integers(0, 256, (90, 140, 3), dtype=np.uint8))


BOXES = torch.tensor([[10.0, 5.0, 80.0, 60.0], [40.0, 20.0, 139.0, 88.0], [0.0, 0.0, 140.0, 90.0]])
POINTS = torch.tensor(
    [[[30.0, 40.0], [100.0, 20.0]], [[5.0, 5.0], [70.0, 80.0]], [[90.0, 9.0]] * 2]
)
LABELS = torch.tensor([[1, 0], [1, 1], [0, 1]])
PROMPTS = {
    "boxes": {"boxes": BOXES},
    "points": {"points": POINTS, "point_labels": LABELS},
    "both": {"boxes": BOXES, "points": POINTS, "point_labels": LABELS},
}


def network(segmenter):
    return segmenter._prompting._model


def by_transformers(peer, segmenter, image, given, *, multimask=True):
    """Low-resolution logits and qualities as transformers gives them for the same pixels."""
    rule = network(segmenter).rule
    width, height = image.size
    wide, high = rule.content(image.size)
    factor = torch.tensor([wide / width, high / height])
    asked = {}
    if "boxes" in given:
        asked["input_boxes"] = (given["boxes"] * factor.repeat(2))[None]
    if "points" in given:
        asked["input_points"] = (given["points"] * factor)[None]
        asked["input_labels"] = given["point_labels"][None]
    with torch.no_grad():
        pixels = prepare_pixels([image.pixels], rule).values
        out = peer(pixel_values=pixels, multimask_output=multimask, **asked)
    return out.pred_masks[0], out.iou_scores[0]


def by_us(segmenter, image, given):
    model = network(segmenter)
    width, height = image.size
    wide, high = model.rule.content(image.size)
    factor = torch.tensor([wide / width, high / height])
    boxes, points = given.get("boxes"), given.get("points")
    prompts = Prompts(
        boxes=None if boxes is None else boxes * factor.repeat(2),
        points=None if points is None else points * factor,
        labels=given.get("point_labels"),
        embeddings=None,
    )
    with torch.no_grad():
        return model.decode(model.encode(image), prompts)


class TestContract(SegmenterContract):
    @pytest.fixture
    def segmenter(self, shared):
        return shared


class TestContractOfOwnNames(SegmenterContract):
    @pytest.fixture
    def segmenter(self, single):
        return single


# Equal to the others ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PROMPTS)
def test_logits_and_qualities_are_those_of_transformers(shared, peer, image, kind):
    expected, quality = by_transformers(peer, shared, image, PROMPTS[kind])
    logits, found = by_us(shared, image, PROMPTS[kind])
    assert torch.allclose(logits, expected, rtol=0, atol=CLOSE)
    assert torch.allclose(found, quality, rtol=0, atol=CLOSE)


def test_the_comparison_itself_sees_other_weights(tmp_path, peer, image):
    other = SamSegmenter(SamOptions(weights=str(save_sam(tmp_path, seed=1))))
    expected, _ = by_transformers(peer, other, image, PROMPTS["boxes"])
    assert not torch.allclose(by_us(other, image, PROMPTS["boxes"])[0], expected, atol=CLOSE)


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("size", [(140, 90), (31, 200), (64, 64)])
def test_masks_are_those_of_transformers_post_processing(shared, peer, folder, kind, size):
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = make_image(pixels)
    limit = torch.tensor(size * 2)
    given = dict(PROMPTS[kind])
    if "boxes" in given:
        given["boxes"] = torch.minimum(given["boxes"], limit)
        given["boxes"][1, 0] = 3.0
    if "points" in given:
        given["points"] = torch.minimum(given["points"], limit[:2])
    logits, quality = by_transformers(peer, shared, image, given)
    processor = transformers.SamProcessor.from_pretrained(folder).image_processor
    reshaped = network(shared).rule.content(size)[::-1]
    whole = processor.post_process_masks(
        [logits], [size[::-1]], [reshaped], pad_size={"height": 64, "width": 64}
    )[0]
    best = quality.argmax(dim=1)
    regions = shared.segment([SegmentRequest(image=image, **given)])[0]
    for i in range(len(best)):
        apart = decode(regions.masks[i]) != whole[i, best[i]].numpy()
        assert apart.mean() < 1e-3  # a logit of nearly 0 may fall to either side
    assert torch.allclose(regions.scores, quality.amax(dim=1).clamp(0, 1), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_results_are_those_of_the_packages_own_predictor(shared, image, kind):
    from segment_anything import SamPredictor

    predictor = SamPredictor(network(shared)._network)
    predictor.set_image(image.pixels)
    regions = shared.segment([SegmentRequest(image=image, **PROMPTS[kind])])[0]
    for i in range(3):
        asked = (
            {"box": BOXES[i].numpy()}
            if kind == "boxes"
            else {"point_coords": POINTS[i].numpy(), "point_labels": LABELS[i].numpy()}
        )
        masks, quality, _ = predictor.predict(**asked, multimask_output=True)
        apart = decode(regions.masks[i]) != masks[quality.argmax()]
        # It resizes with Pillow's filter, within one grey level of ours.
        assert apart.mean() < 0.02
        assert abs(float(regions.scores[i]) - float(quality.max())) < 0.02


def test_one_guess_is_the_first_token_of_transformers(single, peer, image):
    expected, quality = by_transformers(peer, single, image, PROMPTS["boxes"], multimask=False)
    logits, found = by_us(single, image, PROMPTS["boxes"])
    assert logits.shape[1] == 1
    assert torch.allclose(logits, expected, rtol=0, atol=CLOSE)
    assert torch.allclose(found, quality, rtol=0, atol=CLOSE)


def test_both_namings_of_the_weights_give_one_network(shared, own_names, image):
    other = SamSegmenter(SamOptions(weights=str(own_names)))
    one, two = (s.segment([SegmentRequest(image=image, boxes=BOXES)])[0] for s in (shared, other))
    assert one.masks == two.masks
    assert torch.equal(one.scores, two.scores)


@pytest.mark.parametrize(
    ("published", "width", "depth", "heads"),
    [("vit_b", 768, 12, 12), ("vit_l", 1024, 24, 16), ("vit_h", 1280, 32, 16)],
)
def test_the_published_shapes_are_read_from_the_weights(published, width, depth, heads):
    import segment_anything.modeling as library
    from segment_anything import sam_model_registry

    with torch.device("meta"):  # shapes without the gigabytes
        built = sam_model_registry[published]()
        shape = sam._shape(built.state_dict())
        made = sam._made(library, shape)
    assert (shape.width, shape.depth, shape.heads, shape.window) == (width, depth, heads, 14)
    assert (shape.grid, shape.patch, len(shape.whole_blocks)) == (64, 16, 4)
    assert {name: tensor.shape for name, tensor in made.state_dict().items()} == {
        name: tensor.shape for name, tensor in built.state_dict().items()
    }
    windows = [block.window_size for block in built.image_encoder.blocks]
    assert [block.window_size for block in made.image_encoder.blocks] == windows


# Embeddings --------------------------------------------------------------------------------------


def test_an_embedding_stands_where_the_tokens_of_a_box_do(shared, image):
    """A box given as the embeddings that the prompt encoder makes of it gives the same mask."""
    model = network(shared)
    width, height = image.size
    wide, high = model.rule.content(image.size)
    scaled = BOXES * torch.tensor([wide / width, high / height]).repeat(2)
    tokens, _ = model._network.prompt_encoder(points=None, boxes=scaled, masks=None)
    by_box = SamSegmenter.__new__(SamSegmenter)
    by_box._prompting = Prompting(
        sam._Network(model._network, multimask=False), who="sam", identity="one"
    )
    expected = by_box.segment([SegmentRequest(image=image, boxes=BOXES)])[0]
    found = shared.segment([SegmentRequest(image=image, embeddings=tokens)])[0]
    assert found.masks == expected.masks
    assert torch.allclose(found.scores, expected.scores)


def test_embeddings_of_another_width_are_refused(shared, image):
    with pytest.raises(InputError, match="embeddings of 32 numbers"):
        shared.segment([SegmentRequest(image=image, embeddings=torch.zeros(1, 1, 256))])


def test_an_embedding_beside_a_box_changes_its_mask(shared, image):
    extra = torch.randn(3, 1, 32, generator=torch.Generator().manual_seed(0))
    plain, other = shared.segment(
        [
            SegmentRequest(image=image, boxes=BOXES, embeddings=extra * 0),
            SegmentRequest(image=image, boxes=BOXES, embeddings=extra * 4),
        ]
    )
    assert plain.masks != other.masks


# Encodings -------------------------------------------------------------------------------------


def test_an_image_is_encoded_once_for_all_that_is_asked_of_it(folder, monkeypatch):
    image = make_image(np.random.default_rng(99).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    segmenter = SamSegmenter(SamOptions(weights=str(folder)))
    encoded = []
    plain = sam._Network.encode
    monkeypatch.setattr(
        sam._Network, "encode", lambda self, image: encoded.append(image) or plain(self, image)
    )
    twin = make_image(image.pixels.copy())
    request = SegmentRequest(image=image, boxes=BOXES.clamp(max=40))
    segmenter.segment([request, SegmentRequest(image=twin, points=torch.full((2, 1, 2), 9.0))])
    segmenter.segment([request])
    assert len(encoded) == 1
    shared_cache().clear()
    segmenter.segment([request])
    assert len(encoded) == 2


def test_prompts_are_given_a_few_at_a_time(folder, image):
    many = BOXES.repeat(7, 1) + torch.arange(21)[:, None] / 10
    whole, few = (
        SamSegmenter(SamOptions(weights=str(folder), prompts_a_pass=n)).segment(
            [SegmentRequest(image=image, boxes=many)]
        )[0]
        for n in (64, 4)
    )
    assert torch.allclose(whole.scores, few.scores, rtol=0, atol=1e-5)
    assert all(abs(area(a) - area(b)) < 20 for a, b in zip(whole.masks, few.masks, strict=True))


def test_things_with_unlike_numbers_of_points_are_answered_as_they_would_be_alone(shared, image):
    labels = torch.tensor([[1, -1], [1, 1], [-1, 1]])
    together = shared.segment([SegmentRequest(image=image, points=POINTS, point_labels=labels)])[0]
    for i, keep in enumerate(([0], [0, 1], [1])):
        alone = shared.segment(
            [
                SegmentRequest(
                    image=image,
                    points=POINTS[i : i + 1, keep],
                    point_labels=labels[i : i + 1, keep],
                )
            ]
        )[0]
        assert torch.allclose(together.scores[i], alone.scores[0], rtol=0, atol=1e-5)


# Weights ---------------------------------------------------------------------------------------


def test_missing_and_unexpected_weights_are_named(own_names, tmp_path):
    state = load_file(own_names)
    state["image_encoder.surplus"] = state.pop("mask_decoder.iou_token.weight")
    save_file(state, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match=r"missing: mask_decoder.iou_token.*surplus"):
        SamSegmenter(SamOptions(weights=str(tmp_path / "bad.safetensors")))


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"not the weights of a SAM.*layer\.weight"):
        SamSegmenter(SamOptions(weights=str(tmp_path / "other.safetensors")))


def test_two_tables_of_places_that_differ_are_refused(folder, tmp_path):
    state = read_state(folder, who="test")
    twin = "prompt_encoder.shared_embedding.positional_embedding"
    state[twin] = state["shared_image_embedding.positional_embedding"] + 1
    save_file(state, tmp_path / "twins.safetensors")
    with pytest.raises(WeightsError, match="differs"):
        SamSegmenter(SamOptions(weights=str(tmp_path / "twins.safetensors")))


@pytest.mark.parametrize(
    ("kind", "name", "library"),
    [
        ("segmenters", "sam", "segment_anything"),
        ("segmenters", "sam", "torchvision"),
        ("segmenters", "sam2", "transformers"),
        ("segmenters", "sam3", "torchvision"),
        ("detectors", "sam3", "transformers"),
    ],
)
def test_a_missing_library_is_named_with_what_installs_it(monkeypatch, kind, name, library):
    monkeypatch.setattr(hub, "is_installed", lambda top: top != library)
    with pytest.raises(PluginBrokenError, match=rf"'{library}'.*groundplane\[{name}\]"):
        groundplane.load(kind, name, weights="anywhere")


def test_the_plugins_are_light_to_import():
    code = (
        "import sys, groundplane.plugins.sam, groundplane.plugins.sam2, groundplane.plugins.sam3\n"
        "heavy = {'segment_anything', 'torchvision', 'transformers'} & sys.modules.keys()\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", [0, -1, 10**6])
def test_a_number_of_prompts_out_of_range_is_refused(value):
    with pytest.raises(InputError, match="prompts_a_pass"):
        SamOptions(weights="x", prompts_a_pass=value)


def test_half_precision_is_for_the_encoder_alone(folder, image):
    segmenter = SamSegmenter(SamOptions(weights=str(folder)), dtype=torch.bfloat16)
    model = network(segmenter)._network
    assert model.image_encoder.patch_embed.proj.weight.dtype == torch.bfloat16
    assert model.mask_decoder.iou_token.weight.dtype == torch.float32
    regions = segmenter.segment([SegmentRequest(image=image, boxes=BOXES)])[0]
    assert regions.boxes.dtype == regions.scores.dtype == torch.float32


def test_enlarging_by_hand_gives_the_same_masks(shared, image):
    """The plain way: the whole canvas, the padding cut off, the picture's size."""
    logits, quality = by_us(shared, image, PROMPTS["boxes"])
    regions = shared.segment([SegmentRequest(image=image, boxes=BOXES)])[0]
    wide, high = network(shared).rule.content(image.size)
    for i, best in enumerate(quality.argmax(dim=1).tolist()):
        canvas = interpolate(logits[i, best][None, None], (64, 64), mode="bilinear")
        whole = interpolate(canvas[:, :, :high, :wide], image.size[::-1], mode="bilinear")[0, 0]
        assert (decode(regions.masks[i]) != (whole > 0).numpy()).sum() <= 2

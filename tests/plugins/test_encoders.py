"""The six encoders, over tiny checkpoints of both libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import groundplane
from groundplane.core.errors import EncoderError, InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.image import Image
from groundplane.core.views import canvas_to_tower, view_pixels
from groundplane.testing.checkpoints_siglip import save_siglip
from groundplane.testing.checkpoints_timm import save_timm
from groundplane.testing.checkpoints_towers import (
    save_blip2,
    save_clip,
    save_dinov2,
    save_dinov3,
    save_radio,
)
from groundplane.testing.detectors import make_image
from groundplane.testing.encoders import EncoderContract

transformers = pytest.importorskip("transformers")
pytest.importorskip("timm")


def registers(folder: Path) -> Path:
    return save_dinov2(folder, registers=4)


SAVED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "clip": ("clip", save_clip),
    "siglip": ("siglip", save_siglip),
    "eva-clip": ("eva-clip", save_blip2),
    "dinov2": ("dinov2", save_dinov2),
    "dinov2 registers": ("dinov2", registers),
    "dinov3": ("dinov3", save_dinov3),
    "radio": ("radio", save_radio),
} | {
    f"{kind} of timm": (kind, lambda folder, kind=kind: save_timm(folder, kind))
    for kind in ("clip", "siglip", "eva-clip", "dinov2", "dinov3", "radio")
}
EVERY = pytest.mark.parametrize("kind", SAVED)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp("w")) for kind, (_, save) in SAVED.items()}


def load(folders: dict[str, Path], kind: str, **options: Any) -> Any:
    shared_cache().clear()
    return groundplane.load("encoders", SAVED[kind][0], weights=str(folders[kind]), **options)


def noise(height: int, width: int, *, seed: int = 0, name: str = "noise") -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return make_image(pixels, name=name)


@pytest.fixture(scope="session")
def loaded(folders: dict[str, Path]) -> dict[str, Any]:
    """For tests that leave an encoder as it is: loading is most of the time."""
    return {kind: load(folders, kind) for kind in SAVED}


@EVERY
class TestContract(EncoderContract):
    @pytest.fixture
    def encoder(self, loaded: dict[str, Any], kind: str) -> Any:
        return loaded[kind]


@pytest.fixture(scope="session")
def refitted(folders: dict[str, Path]) -> dict[str, Any]:
    return {fit: load(folders, "dinov2", fit=fit) for fit in ("pad", "stretch")}


@pytest.mark.parametrize("fit", ["pad", "stretch"])
class TestContractOfOtherViews(EncoderContract):
    @pytest.fixture
    def encoder(self, refitted: dict[str, Any], fit: str) -> Any:
        return refitted[fit]


@EVERY
def test_cells_are_those_of_the_tower_over_the_view(loaded: dict[str, Any], kind: str) -> None:
    shared_cache().clear()
    encoder = loaded[kind]
    images = [noise(40, 70, seed=i) for i in range(3)]
    grid = encoder.encode(images)
    shares = canvas_to_tower(view_pixels(images, encoder.view), encoder.config.size)
    with torch.no_grad():
        lean = encoder.tower(shares)
    assert torch.allclose(grid.tokens, lean.tokens, atol=1e-4)
    assert grid.grid == encoder.tower.shape.grid
    assert lean.summary is None


def test_unlike_options_have_unlike_names_and_keys(folders: dict[str, Path]) -> None:
    given: list[dict[str, Any]] = [
        {},
        {"layer": 1},
        {"fit": "pad"},
        {"pixels": "clip"},
        {"dtype": torch.bfloat16},
    ]
    encoders = [load(folders, "dinov2", **options) for options in given]
    assert len({encoder.key for encoder in encoders}) == len(given)
    names = {encoder.encode([]).encoder for encoder in encoders}
    assert len(names) == len(given)


def test_the_clip_of_the_reference(folders: dict[str, Path]) -> None:
    """LLaVA: `hidden_states[-2]` without the class token, of the processor's own pixels."""
    encoder = load(folders, "clip")
    image = noise(50, 75)
    whole = transformers.CLIPModel.from_pretrained(folders["clip"])
    processor = transformers.AutoImageProcessor.from_pretrained(folders["clip"], use_fast=False)
    pixels = processor(image.pixels, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        seen = whole.vision_model(pixel_values=pixels, output_hidden_states=True)
        embedding = whole.visual_projection(seen.pooler_output)
    grid = encoder.encode([image])
    # A grey level is some hundredths of these pixels.
    assert torch.allclose(grid.tokens, seen.hidden_states[-2][:, 1:], atol=0.1)
    cosine = torch.cosine_similarity(grid.summary, embedding)
    assert float(cosine) > 0.999


def test_the_dinov2_of_the_reference(folders: dict[str, Path]) -> None:
    """MMVP: the last block before the last norm, with the normalisation of CLIP."""
    encoder = load(folders, "dinov2", pixels="clip")
    assert encoder.config.mean == load(folders, "clip").config.mean
    model = transformers.Dinov2Model.from_pretrained(folders["dinov2"])
    images = [noise(60, 60)]
    shares = canvas_to_tower(view_pixels(images, encoder.view), 56)
    pixels = (shares - encoder.tower.mean) / encoder.tower.std
    with torch.no_grad():
        seen = model(pixels, output_hidden_states=True)
    grid = encoder.encode(images)
    assert torch.allclose(grid.tokens, seen.hidden_states[-1][:, 1:], atol=1e-5)
    normed = load(folders, "dinov2", pixels="clip", final_norm=True).encode(images)
    assert torch.allclose(normed.tokens, seen.last_hidden_state[:, 1:], atol=1e-5)
    assert torch.allclose(grid.summary, seen.pooler_output, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_texts_lie_where_the_model_puts_them(folders: dict[str, Path], kind: str) -> None:
    encoder = load(folders, kind)
    texts = ["a red car", "a dog on the table", "a dog"]
    got = encoder.embed_texts(texts)
    model = transformers.AutoModel.from_pretrained(folders[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    limit = model.config.text_config.max_position_embeddings
    given = tokenizer(texts, padding="max_length", max_length=limit, return_tensors="pt")
    if kind == "siglip":
        given = {"input_ids": given["input_ids"]}
    with torch.no_grad():
        expected = model.get_text_features(**given).pooler_output
    assert torch.allclose(got, torch.nn.functional.normalize(expected), atol=1e-5)
    assert torch.allclose(encoder.embed_texts(texts[1:]), got[1:], atol=1e-5)
    assert got.shape[1] == encoder.encode([]).summary.shape[1]
    assert encoder.embed_texts([]).shape == (0, got.shape[1])


@pytest.mark.parametrize(
    ("text", "said"), [("", "empty text"), ("  ", "empty text"), ("dog " * 99, "tokens")]
)
def test_texts_that_cannot_be_read_are_refused(
    folders: dict[str, Path], text: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load(folders, "clip").embed_texts(["a dog", text])


def test_texts_of_any_script_are_read(folders: dict[str, Path]) -> None:
    made = load(folders, "clip").embed_texts(["猫", "e\u0301", "🦙", "\x00"])
    assert bool(made.isfinite().all())


def test_weights_without_a_text_tower_say_so(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no text tower"):
        load(folders, "clip of timm").embed_texts(["a dog"])


@pytest.mark.parametrize("kind", ["clip", "dinov2", "dinov3", "radio", "clip of timm"])
@pytest.mark.parametrize("layer", [-5, 4, 999])
def test_an_unknown_layer_is_refused_with_the_range(
    folders: dict[str, Path], kind: str, layer: int
) -> None:
    with pytest.raises(InputError, match="layer: expected -4 to 3"):
        load(folders, kind, layer=layer)


@pytest.mark.parametrize("kind", ["clip", "siglip", "eva-clip", "dinov2", "dinov3", "radio"])
@pytest.mark.parametrize("size", [1, 33])
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(
    folders: dict[str, Path], kind: str, size: int
) -> None:
    with pytest.raises(InputError, match="multiple of its patch"):
        load(folders, kind, size=size)


@EVERY
def test_other_sizes_have_other_grids(
    folders: dict[str, Path], loaded: dict[str, Any], kind: str
) -> None:
    patch = loaded[kind].tower.patch
    encoder = load(folders, kind, size=6 * patch)
    assert encoder.encode([noise(20, 30)]).grid == (6, 6)
    assert encoder.view.size == 6 * patch


@pytest.mark.parametrize(("family", "kind"), [("clip", "dinov2"), ("dinov2", "clip")])
def test_weights_of_another_family_are_refused(
    folders: dict[str, Path], family: str, kind: str
) -> None:
    for one in (kind, f"{kind} of timm"):
        with pytest.raises(WeightsError, match=family):
            groundplane.load("encoders", family, weights=str(folders[one]))


@pytest.mark.parametrize("kind", ["clip", "dinov2", "clip of timm"])
def test_features_that_are_no_numbers_are_refused_by_name(
    folders: dict[str, Path], kind: str
) -> None:
    encoder = load(folders, kind)
    with torch.no_grad():
        for name, weight in encoder.tower.named_parameters():
            if name.endswith("norm1.weight") or "layer_norm1.weight" in name:
                weight.fill_(float("nan"))
    with pytest.raises(EncoderError, match=rf"encoder '{SAVED[kind][0]}'.*'noise'"):
        encoder.encode([noise(20, 20)])


def test_damaged_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = save_dinov2(tmp_path)
    state = load_file(folder / "model.safetensors")
    state["embeddings.cls_token"].fill_(float("inf"))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="cls_token"):
        groundplane.load("encoders", "dinov2", weights=str(folder))
    del state["embeddings.cls_token"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"missing: .*cls_token"):
        groundplane.load("encoders", "dinov2", weights=str(folder))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 0}, "batch"),
        ({"size": 0}, "size"),
        ({"size": -14}, "size"),
        ({"pixels": "imagenet"}, "pixels"),
        ({"fit": "squash"}, "fit"),
        ({"layer": "last"}, "layer"),
        ({"layers": -2}, "layers"),
    ],
)
def test_bad_options_are_refused_by_name(
    folders: dict[str, Path], options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load(folders, "dinov2", **options)


def test_a_strip_that_would_become_too_large_is_refused_by_name(folders: dict[str, Path]) -> None:
    strip = make_image(np.zeros((1, 50_000, 3), dtype=np.uint8), name="strip.png")
    with pytest.raises(InputError, match=r"strip\.png.*cut it into parts"):
        load(folders, "clip").encode([noise(9, 9), strip])
    padded = load(folders, "clip", fit="pad").encode([strip])
    assert padded.tokens.shape[0] == 1


def test_a_picture_is_encoded_once(folders: dict[str, Path]) -> None:
    encoder = load(folders, "clip")
    images = [noise(30, 30, seed=i) for i in range(3)]
    first = encoder.encode(images[:2])
    before = shared_cache().stats
    second = encoder.encode([*images[:2], images[0], images[2]])
    after = shared_cache().stats
    assert after.misses - before.misses == 1
    assert torch.equal(first.tokens, second.tokens[:2])

"""Towers of transformers: what the whole networks give, at their own and at other sizes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundplane.core.errors import GroundplaneError, InputError, WeightsError
from groundplane.core.towers.building import (
    build_tower,
    frozen_hash,
    load_tower,
    tower_from_json,
    tower_to_json,
)
from groundplane.core.towers.rules import TowerRule
from groundplane.core.towers.tower import Network, Tower
from groundplane.testing.checkpoints_siglip import save_siglip
from groundplane.testing.checkpoints_timm import save_timm
from groundplane.testing.checkpoints_towers import (
    save_blip2,
    save_clip,
    save_dinov2,
    save_dinov3,
    save_radio,
)
from groundplane.testing.encoders import make_tower

transformers = pytest.importorskip("transformers")


def registers(folder: Path) -> Path:
    return save_dinov2(folder, registers=4)


@dataclass(frozen=True)
class Case:
    """A family, its checkpoint, the class that reads it, and what is in front of its cells."""

    family: str
    save: Callable[[Path], Path]
    model: str
    prefix: int
    norm: str = "layernorm"


CASES = {
    "clip": Case("clip", save_clip, "CLIPModel", 1, "post_layernorm"),
    "siglip": Case("siglip", save_siglip, "SiglipModel", 0, "post_layernorm"),
    "eva-clip": Case("eva-clip", save_blip2, "Blip2VisionModel", 1, "post_layernorm"),
    "dinov2": Case("dinov2", save_dinov2, "Dinov2Model", 1),
    "dinov2 registers": Case("dinov2", registers, "Dinov2WithRegistersModel", 5),
    "dinov3": Case("dinov3", save_dinov3, "DINOv3ViTModel", 5, "norm"),
    "radio": Case("radio", save_radio, "RadioModel", 10),
}
EVERY = pytest.mark.parametrize("kind", CASES)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: case.save(tmp_path_factory.mktemp("w")) for kind, case in CASES.items()}


def load(folders: dict[str, Path], kind: str, **rule: Any) -> Tower:
    return load_tower(CASES[kind].family, folders[kind], TowerRule(**rule), who="test")


def pixels_of(tower: Tower) -> Tensor:
    side = tower.config.size
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side))


@torch.no_grad()
def theirs(folders: dict[str, Path], kind: str, tower: Tower) -> tuple[Any, Any]:
    """The whole forward pass of the library, and the network it is of."""
    model = getattr(transformers, CASES[kind].model).from_pretrained(folders[kind]).eval()
    vision = getattr(model, "vision_model", model)
    pixels = pixels_of(tower)
    if kind != "radio":  # it normalises by itself
        pixels = (pixels - tower.mean) / tower.std
    more = {} if kind.startswith(("dino", "radio")) else {"interpolate_pos_encoding": True}
    out = vision(pixel_values=pixels, output_hidden_states=True, **more)
    if kind == "radio":
        return out, out.summary
    if kind == "clip":
        return out, model.visual_projection(out.pooler_output)
    if kind == "eva-clip":
        return out, out.last_hidden_state[:, 0]  # its pooler puts the norm on twice
    return out, out.pooler_output


@EVERY
@pytest.mark.parametrize("layer", [-1, -2, 1, 0])
def test_cells_are_those_of_the_whole_network(
    folders: dict[str, Path], kind: str, layer: int
) -> None:
    tower = load(folders, kind, layer=layer, final_norm=False)
    out, summary = theirs(folders, kind, tower)
    got = tower(pixels_of(tower))
    expected = out.hidden_states[layer][:, CASES[kind].prefix :]
    assert torch.allclose(got.tokens, expected, atol=1e-5)
    assert torch.allclose(got.summary, summary, atol=1e-5)
    assert isinstance(tower.network, Network)


# transformers resamples DINOv2's table without the offset of its authors; see test_positions.py.
@pytest.mark.parametrize("kind", [kind for kind in CASES if kind != "dinov2"])
@pytest.mark.parametrize("cells", [3, 7])
def test_other_sizes_are_those_of_the_whole_network(
    folders: dict[str, Path], kind: str, cells: int
) -> None:
    patch = load(folders, kind).patch
    tower = load(folders, kind, layer=-1, final_norm=False, size=cells * patch)
    out, summary = theirs(folders, kind, tower)
    got = tower(pixels_of(tower))
    assert tower.shape.grid == (cells, cells)
    assert torch.allclose(got.tokens, out.hidden_states[-1][:, CASES[kind].prefix :], atol=2e-5)
    assert torch.allclose(got.summary, summary, atol=2e-5)


def test_dinov2_at_another_size_is_near_that_of_transformers(folders: dict[str, Path]) -> None:
    tower = load(folders, "dinov2", size=70)
    out, _ = theirs(folders, "dinov2", tower)
    expected = out.hidden_states[-1][:, 1:]
    cosine = torch.cosine_similarity(tower(pixels_of(tower)).tokens, expected, dim=-1)
    assert 0.95 < float(cosine.min()) < 0.99999


@EVERY
def test_the_norm_is_the_networks_own(folders: dict[str, Path], kind: str) -> None:
    if kind == "radio":
        with pytest.raises(InputError, match="has no final norm"):
            load(folders, kind, final_norm=True)
        return
    tower = load(folders, kind, layer=-1, final_norm=True)
    out, _ = theirs(folders, kind, tower)
    got = tower(pixels_of(tower)).tokens
    expected = out.last_hidden_state
    if kind == "clip":
        model = transformers.CLIPModel.from_pretrained(folders[kind])
        expected = model.vision_model.post_layernorm(expected)
    assert torch.allclose(got, expected[:, CASES[kind].prefix :], atol=1e-5)


@EVERY
def test_a_lean_tower_computes_no_block_that_nobody_asked_for(
    folders: dict[str, Path], kind: str
) -> None:
    tower = load(folders, kind, layer=-2, final_norm=False)
    lean = tower.lean()
    expected = tower(pixels_of(tower)).tokens

    def fail(*_: object) -> None:
        raise AssertionError("the last block was run")

    blocks = [m for m in tower.modules() if isinstance(m, nn.ModuleList)]
    blocks[-1][-1].register_forward_hook(fail)
    out = lean(pixels_of(tower))
    assert torch.equal(out.tokens, expected)
    assert out.summary is None
    with pytest.raises(AssertionError, match="last block"):
        tower(pixels_of(tower))


@EVERY
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.usefixtures("unchecked")
def test_compiles_as_one_graph(folders: dict[str, Path], kind: str, backend: str) -> None:
    tower = load(folders, kind)
    pixels = pixels_of(tower)
    torch._dynamo.reset()
    compiled = torch.compile(tower.forward, fullgraph=True, backend=backend)
    with torch.no_grad():
        got, expected = compiled(pixels), tower(pixels)
    assert torch.allclose(got.tokens, expected.tokens, atol=1e-5)


@EVERY
@pytest.mark.parametrize("other", [False, True])
def test_a_tower_made_anew_takes_the_weights(
    folders: dict[str, Path], kind: str, other: bool
) -> None:
    patch = load(folders, kind).patch
    tower = load(folders, kind, size=6 * patch if other else None)
    told = json.loads(json.dumps(tower_to_json(tower.config)))
    twin = build_tower(tower_from_json(told), seed=0)
    assert frozen_hash(twin) != frozen_hash(tower)
    twin.load_state_dict(tower.state_dict())
    assert frozen_hash(twin) == frozen_hash(tower)
    assert torch.equal(twin(pixels_of(tower)).tokens, tower(pixels_of(tower)).tokens)


def test_the_same_seed_makes_the_same_tower(folders: dict[str, Path]) -> None:
    config = load(folders, "clip").config
    hashes = [frozen_hash(build_tower(config, seed=seed)) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_hash_sees_one_changed_number() -> None:
    tower = make_tower()
    twin = copy.deepcopy(tower)
    assert frozen_hash(tower) == frozen_hash(twin)
    with torch.no_grad():
        next(twin.parameters()).view(-1)[0] += 1e-6
    assert frozen_hash(tower) != frozen_hash(twin)


def test_bfloat16_stays_near(folders: dict[str, Path]) -> None:
    """The rotations of DINOv3 are computed in float32, whatever the weights are in."""
    tower = load(folders, "dinov3")
    exact = tower(pixels_of(tower)).tokens
    rough = tower.to(torch.bfloat16)(pixels_of(tower).to(torch.bfloat16)).tokens
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.03


@pytest.mark.parametrize("kind", ["clip", "dinov2", "radio", "dinov3"])
def test_nothing_of_a_tower_is_trained(folders: dict[str, Path], kind: str) -> None:
    tower = load(folders, kind).train()
    assert not tower.training
    assert not any(weight.requires_grad for weight in tower.parameters())


@pytest.mark.parametrize("family", ["clip", "dinov2", "siglip"])
def test_folders_of_timm_are_told_by_their_settings(family: str, tmp_path: Path) -> None:
    tower = load_tower(family, save_timm(tmp_path, family), TowerRule(), who="test")
    assert tower.config.library == "timm"
    twin = build_tower(tower_from_json(tower_to_json(tower.config)))
    twin.load_state_dict(tower.state_dict())
    assert torch.equal(twin(pixels_of(tower)).tokens, tower(pixels_of(tower)).tokens)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "resnet"},
        {"architecture": "dinov2"},
        {"settings": {"auto_map": "x.y"}},
        {"settings": {"hidden_act": "os.system"}},
        {"settings": {"num_hidden_layers": 10**9}},
        {"settings": {"num_hidden_layers": -1}},
        {"settings": {"hidden_size": 33, "num_attention_heads": 2}},
        {"settings": {"patch_size": 0}},
        {"settings": {"num_attention_heads": 0}},
        {"settings": {"layer_norm_eps": float("nan")}},
        {"layer": 99},
        {"size": 33},
    ],
)
def test_configurations_that_are_refused(folders: dict[str, Path], change: dict[str, Any]) -> None:
    config = load(folders, "clip").config
    with pytest.raises((InputError, WeightsError), match="encoder 'clip'"):
        build_tower(replace(config, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"size": "336"},
        {"size": True},
        {"layer": 1.5},
        {"final_norm": 1},
        {"mean": [0.5, 0.5]},
        {"std": [0.5, 0.5, "x"]},
        {"std": [0.5, 0.5, 0.0]},
        {"settings": []},
        {"extra": 1},
        {"library": "jax"},
    ],
)
def test_json_that_is_no_tower_is_refused(folders: dict[str, Path], change: dict[str, Any]) -> None:
    told = tower_to_json(load(folders, "clip").config)
    with pytest.raises(GroundplaneError, match=next(iter(change))):
        tower_from_json(told | change)


@pytest.mark.parametrize("model_type", [None, "bert", "siglip2", 7, ["clip"]])
def test_a_model_of_another_kind_is_refused(tmp_path: Path, model_type: object) -> None:
    folder = save_clip(tmp_path)
    settings = json.loads((folder / "config.json").read_text()) | {"model_type": model_type}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match="expected weights of the kind"):
        load_tower("clip", folder, TowerRule(), who="test")


@pytest.mark.parametrize("mean", [[0.5, 0.5], "grey", [0.5, 0.5, None]])
def test_colours_that_are_no_three_numbers_are_refused(tmp_path: Path, mean: object) -> None:
    folder = save_dinov2(tmp_path)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_mean": mean}))
    with pytest.raises(InputError, match="image_mean: expected three numbers"):
        load_tower("dinov2", folder, TowerRule(), who="test")


def test_a_clip_without_a_projection_is_read(tmp_path: Path) -> None:
    whole = transformers.CLIPModel.from_pretrained(save_clip(tmp_path / "whole"))
    whole.vision_model.save_pretrained(tmp_path / "part")
    tower = load_tower("clip", tmp_path / "part", TowerRule(), who="test")
    pixels = pixels_of(tower)
    with torch.no_grad():
        out = whole.vision_model((pixels - tower.mean) / tower.std, output_hidden_states=True)
    got = tower(pixels)
    assert torch.allclose(got.tokens, out.hidden_states[-2][:, 1:], atol=1e-5)
    assert torch.allclose(got.summary, out.pooler_output, atol=1e-5)
    twin = build_tower(tower_from_json(tower_to_json(tower.config)))
    twin.load_state_dict(tower.state_dict())
    assert torch.equal(twin(pixels).tokens, got.tokens)

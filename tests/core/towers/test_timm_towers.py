"""Towers of timm from folders in the hub's layout: what they give, and what is refused."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.errors import InputError, ShapeError, WeightsError
from groundplane.core.towers.timm_settings import timm_config
from groundplane.core.towers.timm_towers import fit_timm_state, timm_network, timm_tower
from groundplane.core.towers.tower import Network, Tower, TowerConfig
from groundplane.core.weights import load_strict, read_state
from groundplane.testing.checkpoints_timm import TIMM_FAMILIES, save_eva_clip, save_timm

pytest.importorskip("timm")

_EVERY = pytest.mark.parametrize("kind", TIMM_FAMILIES)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may reach for a network."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def family_of(kind: str) -> str:
    return kind.replace("eva02", "eva").removesuffix("-registers")


def config_of(folder: Path, kind: str, **rule: Any) -> TowerConfig:
    settings = read_settings(folder / "config.json", who="test")
    return timm_config(settings, family_of(kind), **{"layer": -2, "final_norm": False, **rule})


def load(folder: Path, kind: str, **rule: Any) -> Tower:
    """As a plugin does it."""
    check_folder(folder, who="test")
    config = config_of(folder, kind, **rule)
    tower = timm_tower(config)
    state = fit_timm_state(
        read_state(folder, who="test"),
        tower.network,  # type: ignore[arg-type]
        family=config.family,
    )
    load_strict(tower.network, state, who="test")
    return tower


def pixels_of(tower: Tower) -> torch.Tensor:
    size = tower.config.size
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@_EVERY
def test_a_tiny_checkpoint_gives_cells_and_a_summary(kind: str, tmp_path: Path) -> None:
    tower = load(save_timm(tmp_path, kind), kind)
    assert isinstance(tower.network, Network)
    assert tower.shape.grid == (4, 4)
    out = tower(pixels_of(tower))
    assert out.tokens.shape == (2, 16, 32)
    assert out.summary is not None
    assert not torch.allclose(out.summary[0], out.summary[1], atol=1e-2)
    assert not torch.allclose(out.tokens[:, 0], out.tokens[:, 1], atol=1e-2)


@_EVERY
def test_the_same_seed_gives_the_same_weights(kind: str, tmp_path: Path) -> None:
    states = [
        read_state(save_timm(tmp_path / str(i), kind, seed=seed), who="test")
        for i, seed in enumerate((1, 1, 2))
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@_EVERY
def test_a_layer_is_what_a_whole_pass_has_there(kind: str, tmp_path: Path) -> None:
    tower = load(save_timm(tmp_path, kind), kind)
    model: Any = tower.network.model
    pixels = (pixels_of(tower) - tower.mean) / tower.std
    with torch.no_grad():
        outs = model.forward_intermediates(
            pixels, norm=False, output_fmt="NLC", intermediates_only=True
        )
        for layer, expected in ((1, outs[0]), (-2, outs[1]), (2, outs[1]), (-1, outs[2])):
            config = replace(tower.config, layer=layer)
            network = timm_network(config)
            load_strict(network, tower.network.state_dict(), who="test")
            assert torch.allclose(network(pixels).tokens, expected, atol=1e-5)


@_EVERY
def test_without_a_summary_the_cells_are_the_same(kind: str, tmp_path: Path) -> None:
    tower = load(save_timm(tmp_path, kind), kind)
    lean = timm_network(tower.config, summary=False)
    load_strict(lean, tower.network.state_dict(), who="test")
    pixels = pixels_of(tower)
    with torch.no_grad():
        out = lean(pixels)
        assert out.summary is None
        assert torch.equal(out.tokens, tower.network(pixels).tokens)


@_EVERY
def test_blocks_that_nobody_asked_for_are_not_computed(kind: str, tmp_path: Path) -> None:
    tower = load(save_timm(tmp_path, kind), kind)
    lean = timm_network(tower.config, summary=False)

    def fail(*_: object) -> None:
        raise AssertionError("the last block was run")

    lean.model.blocks[-1].register_forward_hook(fail)
    lean(pixels_of(tower))
    whole = timm_network(tower.config)
    whole.model.blocks[-1].register_forward_hook(fail)
    with pytest.raises(AssertionError, match="last block"):
        whole(pixels_of(tower))


@_EVERY
def test_positions_are_resampled_to_another_size(kind: str, tmp_path: Path) -> None:
    folder = save_timm(tmp_path, kind)
    patch = load(folder, kind).patch
    tower = load(folder, kind, size=7 * patch)
    assert tower.shape.grid == (7, 7)
    assert tower(pixels_of(tower)).tokens.shape == (2, 49, 32)


@_EVERY
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.usefixtures("unchecked")
def test_compiles_as_one_graph(kind: str, backend: str, tmp_path: Path) -> None:
    tower = load(save_timm(tmp_path, kind), kind)
    pixels = pixels_of(tower)
    torch._dynamo.reset()
    compiled = torch.compile(tower.forward, fullgraph=True, backend=backend)
    with torch.no_grad():
        got, expected = compiled(pixels), tower(pixels)
    assert torch.allclose(got.tokens, expected.tokens, atol=1e-5)


def test_bfloat16_stays_near(tmp_path: Path) -> None:
    """The angles of DINOv3's rotations are computed before weights are cut to bfloat16."""
    tower = load(save_timm(tmp_path, "dinov3"), "dinov3")
    with torch.no_grad():
        exact = tower(pixels_of(tower)).tokens
        rough = tower.to(torch.bfloat16)(pixels_of(tower).to(torch.bfloat16)).tokens
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.03


def test_openai_weights_get_their_own_activation(tmp_path: Path) -> None:
    """timm files them under an architecture with GELU; the hub's folder says no more."""
    folder = save_timm(tmp_path, "clip")
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    settings["architecture"] = "vit_large_patch14_clip_336"
    settings["model_args"].pop("patch_size")
    config = timm_config(settings, "clip", layer=-2, final_norm=False, size=28)
    assert config.settings["act_layer"] == "quick_gelu"
    settings["pretrained_cfg"]["tag"] = "laion2b"
    config = timm_config(settings, "clip", layer=-2, final_norm=False, size=28)
    assert "act_layer" not in config.settings


def test_published_configurations_are_read() -> None:
    """As the hub has them: no arguments, and a tag within `pretrained_cfg`."""
    settings = {
        "architecture": "vit_so400m_patch14_siglip_384",
        "num_classes": 0,
        "pretrained_cfg": {
            "tag": "webli",
            "input_size": [3, 384, 384],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
    }
    config = timm_config(settings, "siglip", layer=-1, final_norm=True)
    # 27 patches of 14 are 378: of a side of 384 six pixels would be seen by no cell.
    assert (config.size, config.architecture) == (378, "vit_so400m_patch14_siglip_384")


def test_the_saved_eva_clip_is_the_one_that_blip2_has(tmp_path: Path) -> None:
    assert config_of(save_eva_clip(tmp_path), "eva-clip").architecture.startswith("eva_giant")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "resnet50"}, "expected an architecture of timm"),
        ({"architecture": "vit_small_patch14_dinov2"}, "expected an architecture of timm"),
        ({"architecture": "hf-hub:someone/vit_x_clip_y"}, "expected an architecture of timm"),
        ({"architecture": "vit_no_clip_such"}, "expected an architecture of timm"),
        ({"architecture": None}, "expected an architecture of timm"),
        ({"model_args": {"pretrained": True}}, "pretrained=True"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path"),
        ({"model_args": {"pretrained_cfg": {"url": "http://x"}}}, "pretrained_cfg"),
        ({"model_args": {"act_layer": "os.system"}}, "act_layer"),
        ({"model_args": {"depth": 10**9}}, "depth"),
        ({"model_args": {"depth": -1}}, "depth"),
        ({"model_args": {"num_heads": True}}, "num_heads"),
        ({"model_args": {"mlp_ratio": float("nan")}}, "mlp_ratio"),
        ({"model_args": {"embed_dim": 33}}, "timm cannot make"),
        ({"model_args": {"num_heads": 0}}, "timm cannot make"),
        ({"model_args": [1]}, "model_args: expected an object"),
        ({"num_classes": "many", "model_args": {}}, "num_classes"),
        ({"pretrained_cfg": {}}, "expected three numbers"),
        ({"pretrained_cfg": {"input_size": [3, 32, 48]}}, "input_size"),
        ({"pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0, 0]}}, "mean"),
    ],
)
def test_settings_that_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = save_timm(tmp_path, "clip")
    settings = json.loads((folder / "config.json").read_text()) | change
    with pytest.raises(WeightsError, match=said):
        timm_network(timm_config(settings, "clip", layer=-2, final_norm=False))


@pytest.mark.parametrize("layer", [-5, 4, 99])
def test_an_unknown_layer_is_refused_with_the_range(layer: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layer: expected -4 to 3"):
        timm_network(config_of(save_timm(tmp_path, "clip"), "clip", layer=layer))


@pytest.mark.parametrize("size", [1, 7, 33])
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of its patch of 8"):
        config_of(save_timm(tmp_path, "clip"), "clip", size=size)


def test_a_norm_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no final norm"):
        timm_network(config_of(save_timm(tmp_path, "radio"), "radio", final_norm=True))


def test_a_family_that_timm_has_not_is_refused(tmp_path: Path) -> None:
    settings = read_settings(save_timm(tmp_path, "clip") / "config.json", who="test")
    with pytest.raises(WeightsError, match="expected a family that timm has"):
        timm_config(settings, "aimv2", layer=-1, final_norm=False)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    network = timm_network(config_of(save_timm(tmp_path / "a", "clip"), "clip"))
    state = read_state(save_timm(tmp_path / "b", "dinov2"), who="test")
    with pytest.raises((WeightsError, ShapeError), match=r"norm_pre|do not fit"):
        load_strict(network, fit_timm_state(state, network, family="clip"), who="test")


def test_positions_for_no_square_are_refused(tmp_path: Path) -> None:
    folder = save_timm(tmp_path, "clip")
    network = timm_network(config_of(folder, "clip"))
    state = read_state(folder, who="test")
    state["pos_embed"] = state["pos_embed"][:, :-1]
    with pytest.raises(ShapeError, match="square number of cells"):
        fit_timm_state(state, network, family="clip")


def test_the_unknown_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected clip"):
        save_timm(tmp_path, "resnet")

"""The same weights give the same numbers through timm and through transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundplane.core.towers.converting import timm_from_transformers, transformers_from_timm
from groundplane.core.towers.timm_towers import TimmNetwork, fit_timm_state, timm_network
from groundplane.core.towers.tower import TowerConfig
from groundplane.core.towers.transformers_towers import wrap_transformers
from groundplane.core.weights import load_strict

transformers = pytest.importorskip("transformers")
pytest.importorskip("timm")

DEPTH = 3
_SMALL = {"hidden_size": 32, "num_hidden_layers": DEPTH, "num_attention_heads": 2}
_CLIP = {**_SMALL, "intermediate_size": 128}
_EMBED = {"embed_dim": 32, "depth": DEPTH, "num_heads": 2}


@dataclass(frozen=True)
class Case:
    """A family in both libraries."""

    family: str
    theirs: Callable[[], nn.Module]
    architecture: str
    size: int
    other_size: int
    settings: Mapping[str, object] = field(default_factory=dict)
    num_prefix: int = 1
    norm: str = "layernorm"
    summary: str = "pooler_output"


def _clip() -> nn.Module:
    config = transformers.CLIPVisionConfig(**_CLIP, image_size=32, patch_size=8, projection_dim=16)
    return transformers.CLIPVisionModelWithProjection(config)


def _siglip() -> nn.Module:
    config = transformers.SiglipVisionConfig(
        **_CLIP, image_size=32, patch_size=8, hidden_act="gelu"
    )
    return transformers.SiglipVisionModel(config)


def _eva() -> nn.Module:
    config = transformers.Blip2VisionConfig(**_CLIP, image_size=28, patch_size=14)
    return transformers.Blip2VisionModel(config)


def _dinov2(**more: object) -> nn.Module:
    config = transformers.Dinov2Config(**_SMALL, image_size=70, patch_size=14, **more)
    return transformers.Dinov2Model(config)


def _registers() -> nn.Module:
    config = transformers.Dinov2WithRegistersConfig(**_SMALL, image_size=70, patch_size=14)
    return transformers.Dinov2WithRegistersModel(config)


def _dinov3(**more: object) -> nn.Module:
    config = transformers.DINOv3ViTConfig(
        **_CLIP, image_size=64, patch_size=16, num_register_tokens=4, **more
    )
    return transformers.DINOv3ViTModel(config)


def _radio() -> nn.Module:
    config = transformers.RadioConfig(**_SMALL, patch_size=16, max_img_size=128)
    return transformers.RadioModel(config)


# SwiGLU of a width of 32 has (32 * 4 * 2 / 3, rounded up to a multiple of 8) 88 hidden numbers.
_PACKED = {**_EMBED, "mlp_ratio": 2 * 88 / 32}
CASES = {
    "clip": Case(
        "clip",
        _clip,
        "vit_base_patch16_clip_quickgelu_224",
        32,
        48,
        {**_EMBED, "patch_size": 8, "num_classes": 16},
        norm="vision_model.post_layernorm",
        summary="image_embeds",
    ),
    "siglip": Case(
        "siglip",
        _siglip,
        "vit_base_patch16_siglip_224",
        32,
        48,
        {**_EMBED, "patch_size": 8, "num_classes": 0},
        num_prefix=0,
        norm="post_layernorm",
    ),
    "eva-clip": Case(
        "eva-clip",
        _eva,
        "eva_giant_patch14_clip_224",
        28,
        56,
        {**_EMBED, "mlp_ratio": 4.0, "num_classes": 0},
        norm="post_layernorm",
        summary="last_hidden_state",
    ),
    "dinov2": Case("dinov2", _dinov2, "vit_small_patch14_dinov2", 70, 42, {**_EMBED}),
    "dinov2 giant": Case(
        "dinov2",
        lambda: _dinov2(use_swiglu_ffn=True),
        "vit_giant_patch14_dinov2",
        70,
        98,
        _PACKED,
    ),
    "dinov2 registers": Case(
        "dinov2", _registers, "vit_small_patch14_reg4_dinov2", 70, 42, {**_EMBED}, num_prefix=5
    ),
    "dinov3": Case(
        "dinov3", _dinov3, "vit_small_patch16_dinov3_qkvb", 64, 96, {**_EMBED}, 5, "norm"
    ),
    "dinov3 plus": Case(
        "dinov3",
        lambda: _dinov3(use_gated_mlp=True, hidden_act="silu"),
        "vit_small_plus_patch16_dinov3_qkvb",
        64,
        96,
        {**_EMBED, "mlp_ratio": 4.0},
        5,
        "norm",
    ),
}
_NATIVE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def made(build: Callable[[], nn.Module]) -> nn.Module:
    """A module whose every weight is random: as initialised, many are 0 or 1."""
    torch.manual_seed(0)
    module = build().eval()
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "mask_token" not in name:
                weight.normal_(std=0.3)
    return module


def config_of(case: Case, *, layer: int, final_norm: bool, size: int) -> TowerConfig:
    return TowerConfig(
        family=case.family,
        library="timm",
        architecture=case.architecture,
        settings=case.settings,
        layer=layer,
        final_norm=final_norm,
        size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


def ours(case: Case, module: nn.Module, config: TowerConfig) -> TimmNetwork:
    """The network of timm with the weights of transformers."""
    network = timm_network(config)
    state = timm_from_transformers(module.state_dict(), case.family)
    fitted = fit_timm_state(state, network, family=case.family)
    loaded = load_strict(network, fitted, who="test")
    assert isinstance(loaded, TimmNetwork)
    return loaded


def pixels_of(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))


@torch.no_grad()
def theirs(case: Case, module: nn.Module, pixels: Tensor, layer: int, norm: bool) -> Any:
    """Cells and summary by the whole forward pass of transformers."""
    more = {} if case.family.startswith("dino") else {"interpolate_pos_encoding": True}
    out = module(pixels, output_hidden_states=True, **more)
    hidden = out.hidden_states[layer]
    hidden = module.get_submodule(case.norm)(hidden) if norm else hidden
    summary = getattr(out, case.summary)
    return hidden[:, case.num_prefix :], summary[:, 0] if summary.ndim == 3 else summary


def off(got: Tensor, expected: Tensor) -> float:
    """The largest difference, in shares of the largest number."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@_NATIVE
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("layer", [-1, -2, 1, 0])
def test_both_libraries_give_the_same(case: Case, layer: int, norm: bool) -> None:
    module = made(case.theirs)
    network = ours(case, module, config_of(case, layer=layer, final_norm=norm, size=case.size))
    pixels = pixels_of(case.size)
    with torch.no_grad():
        got = network(pixels)
    cells, summary = theirs(case, module, pixels, layer, norm)
    assert off(got.tokens, cells) < 1e-5
    assert got.summary is not None
    assert off(got.summary, summary) < 1e-5


@_NATIVE
def test_weights_survive_the_way_there_and_back(case: Case) -> None:
    module = made(case.theirs)
    state = module.state_dict()
    back = transformers_from_timm(timm_from_transformers(state, case.family), case.family)
    twin = case.theirs().eval()
    twin.load_state_dict(back, strict=True)
    pixels = pixels_of(case.size)
    with torch.no_grad():
        first, second = module(pixels), twin(pixels)
    assert off(second[0], first[0]) < 1e-6


# transformers resamples DINOv2's table without the offset of facebookresearch/dinov2, which ours
# has; see test_positions.py for how far apart they are.
_SAME_TABLE = {name: case for name, case in CASES.items() if name not in ("dinov2", "dinov2 giant")}


@pytest.mark.parametrize("case", _SAME_TABLE.values(), ids=_SAME_TABLE)
def test_both_libraries_give_the_same_at_another_size(case: Case) -> None:
    module = made(case.theirs)
    config = config_of(case, layer=-1, final_norm=False, size=case.other_size)
    pixels = pixels_of(case.other_size)
    with torch.no_grad():
        got = ours(case, module, config)(pixels)
    cells, summary = theirs(case, module, pixels, -1, False)
    assert off(got.tokens, cells) < 1e-5
    assert got.summary is not None
    assert off(got.summary, summary) < 1e-5


@pytest.mark.parametrize("name", ["dinov2", "dinov2 giant"])
def test_dinov2_is_the_same_at_another_size_but_for_its_table_of_positions(name: str) -> None:
    case = CASES[name]
    module: Any = made(case.theirs)
    config = config_of(case, layer=-1, final_norm=False, size=case.other_size)
    network = ours(case, module, config)
    pixels = pixels_of(case.other_size)
    plain, _ = theirs(case, module, pixels, -1, False)
    table = network.model.pos_embed
    module.embeddings.interpolate_pos_encoding = lambda *_: table
    cells, summary = theirs(case, module, pixels, -1, False)
    with torch.no_grad():
        got = network(pixels)
    assert off(got.tokens, cells) < 1e-5
    assert got.summary is not None
    assert off(got.summary, summary) < 1e-5
    assert off(got.tokens, plain) > 1e-3


def test_radio_is_the_same_at_every_size() -> None:
    module: Any = made(_radio)
    case = Case("radio", _radio, "vit_base_patch16_radio_v3", 64, 96, _EMBED)
    module.input_conditioner = nn.Identity()
    num_prefix = module.embeddings.cls_register_token.shape[0]
    settings = {**_EMBED, "reg_tokens": num_prefix - 1, "num_classes": 0}
    for size in (64, 128, 160):
        config = config_of(
            Case("radio", _radio, case.architecture, size, size, settings),
            layer=-1,
            final_norm=False,
            size=size,
        )
        pixels = pixels_of(size)
        with torch.no_grad():
            got = ours(case, module, config)(pixels)
            expected = module(pixels, output_hidden_states=True).hidden_states[-1]
        assert off(got.tokens, expected[:, num_prefix:]) < 1e-5


def test_a_wrong_weight_is_seen() -> None:
    case = CASES["clip"]
    module = made(case.theirs)
    network = ours(case, module, config_of(case, layer=-1, final_norm=False, size=case.size))
    with torch.no_grad():
        network.model.blocks[0].attn.qkv.bias[:1] += 0.5
        got = network(pixels_of(case.size))
    cells, _ = theirs(case, module, pixels_of(case.size), -1, False)
    assert off(got.tokens, cells) > 1e-4


def test_original_clip_has_its_own_activation() -> None:
    """The plain architecture of timm, with OpenAI's weights, would be off."""
    case = CASES["clip"]
    module = made(case.theirs)
    config = config_of(case, layer=-1, final_norm=False, size=case.size)
    plain = replace(config, architecture="vit_base_patch16_clip_224")
    with torch.no_grad():
        got = ours(case, module, plain)(pixels_of(case.size))
    cells, _ = theirs(case, module, pixels_of(case.size), -1, False)
    assert off(got.tokens, cells) > 1e-4


@_NATIVE
@pytest.mark.parametrize("other", [False, True], ids=["native", "another size"])
def test_towers_of_both_libraries_are_the_same_at_every_size(case: Case, other: bool) -> None:
    """With one rule a family for the positions, DINOv2's included."""
    size = case.other_size if other else case.size
    module: Any = made(case.theirs)
    config = config_of(case, layer=-1, final_norm=True, size=size)
    network = ours(case, module, config)
    twin = replace(config, library="transformers", architecture=module.config.model_type)
    tower = wrap_transformers(module, twin)
    pixels = pixels_of(size)
    with torch.no_grad():
        got, expected = network(pixels), tower.network(pixels)
    assert off(got.tokens, expected.tokens) < 1e-5
    # BLIP-2 normalises its class token twice; a tower of ours does it once.
    assert got.summary is not None
    assert off(got.summary, expected.summary) < 1e-5

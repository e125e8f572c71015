"""Names of both libraries: what is moved, and what has no place. Numbers: test_timm_equality."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from groundplane.core.errors import WeightsError
from groundplane.core.towers.converting import timm_from_transformers, transformers_from_timm
from groundplane.core.towers.tower_names import GATED, TABLES
from groundplane.core.weights import read_state
from groundplane.testing.checkpoints_timm import TIMM_FAMILIES, save_timm

pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")

# eva02 has no twin in transformers; of RADIO there is no way back.
_CONVERTED = [kind for kind in TIMM_FAMILIES if kind not in ("eva02-clip", "radio")]


def state_of(kind: str, folder: Path) -> dict[str, Tensor]:
    state = read_state(save_timm(folder, kind), who="test")
    # EVA-CLIP's projection is not a part of BLIP-2's network.
    return {k: v for k, v in state.items() if kind != "eva-clip" or not k.startswith("head.")}


def family_of(kind: str) -> str:
    return kind.removesuffix("-registers")


@pytest.mark.parametrize("kind", _CONVERTED)
def test_timm_there_and_back_is_the_same(kind: str, tmp_path: Path) -> None:
    state = state_of(kind, tmp_path)
    moved = transformers_from_timm(state, family_of(kind))
    back = timm_from_transformers(moved, family_of(kind))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("kind", _CONVERTED)
def test_what_is_moved_can_be_saved(kind: str, tmp_path: Path) -> None:
    """safetensors takes no two tensors that share memory."""
    moved = transformers_from_timm(state_of(kind, tmp_path), family_of(kind))
    safetensors.save_file({k: v.contiguous() for k, v in moved.items()}, tmp_path / "x.safetensors")
    back = timm_from_transformers(moved, family_of(kind))
    safetensors.save_file({k: v.contiguous() for k, v in back.items()}, tmp_path / "y.safetensors")


@pytest.mark.parametrize("kind", _CONVERTED)
def test_what_was_given_is_not_changed(kind: str, tmp_path: Path) -> None:
    state = state_of(kind, tmp_path)
    before = {name: tensor.clone() for name, tensor in state.items()}
    timm_from_transformers(transformers_from_timm(state, family_of(kind)), family_of(kind))
    assert state.keys() == before.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("kind", _CONVERTED)
def test_a_tensor_too_much_is_named(kind: str, tmp_path: Path) -> None:
    state = state_of(kind, tmp_path) | {"blocks.0.attn.extra.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"have no place.*blocks\.0\.attn\.extra"):
        transformers_from_timm(state, family_of(kind))


def test_a_tensor_without_its_fellow_is_named(tmp_path: Path) -> None:
    moved = transformers_from_timm(state_of("clip", tmp_path), "clip")
    del moved["vision_model.encoder.layers.1.self_attn.k_proj.weight"]
    with pytest.raises(WeightsError, match=r"layers\.1\.self_attn\.q_proj\.weight"):
        timm_from_transformers(moved, "clip")


def test_rows_that_do_not_come_apart_are_named(tmp_path: Path) -> None:
    state = state_of("clip", tmp_path)
    state["blocks.0.attn.qkv.bias"] = state["blocks.0.attn.qkv.bias"][:-1]
    with pytest.raises(WeightsError, match="rows that 3 parts share"):
        transformers_from_timm(state, "clip")


def test_an_axis_too_long_is_refused(tmp_path: Path) -> None:
    state = state_of("clip", tmp_path)
    state["cls_token"] = state["cls_token"].repeat(2, 1, 1)
    with pytest.raises(WeightsError, match="cls_token: expected leading axes of length 1"):
        transformers_from_timm(state, "clip")


def test_a_projection_with_a_bias_is_refused(tmp_path: Path) -> None:
    state = state_of("clip", tmp_path)
    state["head.bias"] = torch.ones(24)
    with pytest.raises(WeightsError, match=r"head\.bias: expected zeros"):
        transformers_from_timm(state, "clip")


def test_there_is_no_way_back_for_radio(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="lack what transformers' network needs"):
        transformers_from_timm(state_of("radio", tmp_path), "radio")
    with pytest.raises(WeightsError, match="is missing"):
        timm_from_transformers({}, "radio")


@pytest.mark.parametrize("convert", [timm_from_transformers, transformers_from_timm])
def test_an_unknown_family_is_refused(convert: object) -> None:
    with pytest.raises(WeightsError, match="expected a family that both"):
        convert({}, "resnet")  # type: ignore[operator]


@pytest.mark.parametrize("family", TABLES)
def test_no_two_rules_take_the_same_tensor(family: str) -> None:
    for gated in (False, True):
        rules = TABLES[family] + GATED.get((family, gated), [])
        for side in ("timm", "theirs"):
            names = [name for rule in rules for name in getattr(rule, side) if name]
            assert len(names) == len(set(names))


def test_nothing_stays_nothing() -> None:
    assert timm_from_transformers({}, "siglip") == {}
    assert transformers_from_timm({}, "siglip") == {}

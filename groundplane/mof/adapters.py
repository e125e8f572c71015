"""Adapters by themselves: ours, between the stages of a training, and the published layout.

The published layout is that of `MMVP/MoF_Models`, as the authors' code writes and reads it
(tsb0601/MMVP at commit 4d6eaeb, LLaVA/llava/model/llava_arch.py and
LLaVA/llava/train/llava_trainer.py): `model.mm_projector.{0,2}.{weight,bias}` for CLIP and
`model.dino_mm_projector.{0,2}.{weight,bias}` for DINOv2, in the whole checkpoint or in the two
files `mm_projector.bin` and `dino_mm_projector.bin` of the first stage. The first of these holds
both adapters, since the one's name is part of the other's; here names are compared whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundplane.core.checkpoints import read_settings
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.fusion.making import fusion_from_json, fusion_to_json
from groundplane.core.towers.building import frozen_hash, tower_from_json, tower_to_json
from groundplane.core.weights import need_library, read_state
from groundplane.mof.checking import check_towers
from groundplane.mof.modeling import MofForConditionalGeneration

__all__ = ["import_published", "load_adapters", "save_adapters"]

_WHO = "mof"
_WEIGHTS, _TOLD = "adapters.safetensors", "adapters.json"
_FORMAT = 1
# The published names of the adapters, in the order of fusion.
_PUBLISHED = ("mm_projector", "dino_mm_projector")
_NAME = re.compile(r"(?:.*\.)?(dino_mm_projector|mm_projector)\.(.+)")
_PARTS = ("0.weight", "0.bias", "2.weight", "2.bias")


def save_adapters(model: MofForConditionalGeneration, folder: str | Path) -> Path:
    """Save the fusion of a model, and what it was trained with.

    Args:
        model: Its towers and language model are not saved, but named by their hashes.
        folder: It is made where it is not there; gets `adapters.safetensors` and `adapters.json`.

    Returns:
        The folder.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    library = need_library("safetensors.torch", who=_WHO, extra="mof")
    state = {k: v.detach().cpu().contiguous() for k, v in model.fusion.state_dict().items()}
    library.save_file(state, str(place / _WEIGHTS), metadata={"format": "pt"})
    told = {
        "format": _FORMAT,
        "fusion": fusion_to_json(model.config.rule),
        "width": model.report.width,
        "towers": [
            {"config": tower_to_json(tower.config), "sha256": frozen_hash(tower)}
            for tower in model.towers
        ],
        "embeddings": frozen_hash(model.get_input_embeddings()),
    }
    (place / _TOLD).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return place


def load_adapters(
    model: MofForConditionalGeneration, folder: str | Path, *, any_language_model: bool = False
) -> None:
    """Put saved adapters into a model that has the towers they were trained with.

    Args:
        model: Its fusion is changed.
        folder: What `save_adapters` wrote.
        any_language_model: Whether the language model may be another one of the same width, such
            as one that was trained since.

    Raises:
        WeightsError: If a file is missing, malformed or refused, or the adapters are for another
            fusion, width, tower or language model; it is named.
    """
    place = Path(folder)
    told = _told(place / _TOLD)
    _check_fusion(model, told, place)
    towers = [_entry(entry, place) for entry in told["towers"]]
    check_towers(
        list(model.towers),
        configs=[tower_from_json(entry["config"]) for entry in towers],
        hashes=[entry["sha256"] for entry in towers],
        what=f"the adapters in {place}",
    )
    got = frozen_hash(model.get_input_embeddings())
    if not any_language_model and got != told["embeddings"]:
        raise WeightsError(
            f"{_WHO}: the adapters in {place} are for another base: expected a language model "
            f"whose embeddings have SHA-256 {str(told['embeddings'])[:16]}, got {got[:16]}; load "
            "that one, or allow any"
        )
    state = read_state(place / _WEIGHTS, who=_WHO)
    _fill(model.fusion, state, what=f"the adapters in {place}")


def import_published(
    model: MofForConditionalGeneration, *files: str | Path, layer: int | None = -2
) -> None:
    """Put the adapters of a checkpoint in the layout of `MMVP/MoF_Models` into a model.

    Args:
        model: Two towers, CLIP first, `interleaved` with `mlp2x_gelu`; its fusion is changed.
        *files: Safetensors: the whole checkpoint's folder, or the files of the adapters. A
            `.bin` is refused; `groundplane weights convert` makes safetensors of one.
        layer: What the first tower must read if no `config.json` says it; None: any.

    Raises:
        InputError: If the model is of another kind.
        WeightsError: If a file is refused, a tensor is missing or unexpected, or the adapters are
            for towers or a language model of another width.
    """
    rule = model.config.rule
    if (rule.name, rule.projector.kind, len(model.towers)) != ("interleaved", "mlp2x_gelu", 2):
        raise InputError(
            f"{_WHO}: published adapters: expected a model of two towers, interleaved, with "
            f"mlp2x_gelu, got {len(model.towers)} towers, {rule.name}, with {rule.projector.kind}"
        )
    paths = [Path(file) for file in files]
    for path in paths:
        beside = path / "config.json" if path.is_dir() else path.with_name("config.json")
        if beside.is_file():
            layer = _check_published(model, beside, layer)
    if layer is not None and model.towers[0].config.layer != layer:
        raise WeightsError(
            f"{_WHO}: published adapters are for layer {layer} of tower "
            f"{model.towers[0].shape.name!r}, got one that reads {model.towers[0].config.layer}; "
            f"load its encoder with layer={layer}"
        )
    found = _published(paths)
    _check_widths(model, found)
    state = {
        f"adapters.{index}.{part}": found[name][part]
        for index, name in enumerate(_PUBLISHED)
        for part in _PARTS
    }
    _fill(model.fusion, state, what=f"the adapters in {listing(map(str, paths))}")


def _published(paths: Sequence[Path]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each adapter by their names in it."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in _PUBLISHED}
    for path in paths:
        for key, tensor in read_state(path, who=_WHO).items():
            match = _NAME.fullmatch(key)
            if match is None:
                continue
            part = found[match[1]]
            if match[2] in part and not torch.equal(part[match[2]], tensor):
                raise WeightsError(f"{_WHO}: {path}: {key} differs from that of another file")
            part[match[2]] = tensor
    missing = [f"{n}.{p}" for n in _PUBLISHED for p in _PARTS if p not in found[n]]
    odd = [f"{n}.{p}" for n in _PUBLISHED for p in sorted(found[n]) if p not in _PARTS]
    faults = {"missing": missing, "unexpected": odd}
    if missing or odd:
        said = "; ".join(f"{how}: {listing(names)}" for how, names in faults.items() if names)
        raise WeightsError(
            f"{_WHO}: {listing(map(str, paths))}: expected two mlp2x_gelu adapters, "
            f"{listing(_PUBLISHED)}: {said}"
        )
    return found


def _check_widths(
    model: MofForConditionalGeneration, found: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Say in words whose width differs; the shapes alone would not."""
    width = model.report.width
    for name, tower in zip(_PUBLISHED, model.towers, strict=True):
        first = found[name]["0.weight"]
        made_for = tuple(first.shape) if first.ndim == 2 else ("?", "?")
        if made_for[1] != tower.shape.width:
            raise WeightsError(
                f"{_WHO}: {name} is for a tower of width {made_for[1]}, but "
                f"{tower.shape.name!r} has {tower.shape.width}"
            )
        if made_for[0] != width:
            raise WeightsError(
                f"{_WHO}: {name} is for a language model of width {made_for[0]}, but this one "
                f"has {width}: the adapters are for another base"
            )


def _check_published(
    model: MofForConditionalGeneration, path: Path, layer: int | None
) -> int | None:
    """What the checkpoint's own settings say of it; gives the layer of the first tower."""
    told = read_settings(path, who=_WHO)
    wanted = {
        "mm_projector_type": "mlp2x_gelu",
        "hidden_size": model.report.width,
        "mm_hidden_size": model.towers[0].shape.width,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
    }
    for name, here in wanted.items():
        if name in told and told[name] != here:
            raise WeightsError(
                f"{_WHO}: {path}: {name}: the adapters are for {told[name]!r}, but this model "
                f"has {here!r}"
            )
    said = told.get("mm_vision_select_layer", layer)
    return said if isinstance(said, int) else layer


def _told(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{_WHO}: {path} is not there: it says what the adapters are for")
    told = read_settings(path, who=_WHO)
    if told.get("format") != _FORMAT:
        raise WeightsError(
            f"{_WHO}: {path}: expected format {_FORMAT}, got {told.get('format')!r}; it is of "
            "another version of groundplane"
        )
    kinds = {"fusion": dict, "width": int, "towers": list, "embeddings": str}
    for name, kind in kinds.items():
        if not isinstance(told.get(name), kind):
            raise WeightsError(
                f"{_WHO}: {path}: {name}: expected {kind.__name__}, got {told.get(name)!r}"
            )
    return told


def _entry(entry: object, place: Path) -> dict[str, Any]:
    good = isinstance(entry, dict) and isinstance(entry.get("config"), dict)
    if not good or not isinstance(entry.get("sha256"), str):  # type: ignore[attr-defined]
        raise WeightsError(
            f"{_WHO}: {place / _TOLD}: towers: expected a config and a sha256, got {entry!r}"
        )
    return dict(entry)  # type: ignore[call-overload,no-any-return]


def _check_fusion(model: MofForConditionalGeneration, told: Mapping[str, Any], place: Path) -> None:
    rule = fusion_from_json(told["fusion"])
    if fusion_to_json(rule) != fusion_to_json(model.config.rule):
        raise WeightsError(
            f"{_WHO}: the adapters in {place} are for another fusion: {rule}, but this model has "
            f"{model.config.rule}"
        )
    if told["width"] != model.report.width:
        raise WeightsError(
            f"{_WHO}: the adapters in {place} are for another base: a language model of width "
            f"{told['width']}, but this one has {model.report.width}"
        )


def _fill(fusion: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Strictly, and all or nothing; number type, device and what is trained stay as they are."""
    own = fusion.state_dict()
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(
            name for name in own.keys() & state.keys() if own[name].shape != state[name].shape
        ),
        "not finite": sorted(name for name, t in state.items() if not bool(t.isfinite().all())),
    }
    faults = [f"{how}: {listing(names, limit=8)}" for how, names in wrong.items() if names]
    if faults:
        raise WeightsError(f"{_WHO}: {what} do not fit: {'; '.join(faults)}")
    fusion.load_state_dict(dict(state))

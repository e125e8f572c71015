"""Towers from configurations, with random weights, and from checkpoints, with theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import nn

from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.towers.hashing import frozen_hash
from groundplane.core.towers.rules import CLIP_MEAN, CLIP_STD, TowerRule, defaults_of
from groundplane.core.towers.timm_settings import timm_config
from groundplane.core.towers.timm_towers import fit_timm_state, timm_tower
from groundplane.core.towers.tower import Tower, TowerConfig
from groundplane.core.towers.transformers_settings import KINDS, Kind, kept_settings
from groundplane.core.towers.transformers_towers import transformers_tower, wrap_transformers
from groundplane.core.weights import (
    default_dtype,
    load_model,
    load_strict,
    need_library,
    read_state,
)

Colour = tuple[float, float, float]

__all__ = ["build_tower", "frozen_hash", "load_tower", "tower_from_json", "tower_to_json"]


def build_tower(
    config: TowerConfig,
    *,
    device: str | torch.device = "cpu",
    dtype: object = None,
    seed: int | None = None,
) -> Tower:
    """Make a tower with random weights, to be filled or trained. Nothing is read or fetched.

    It gives no summary; its weights have the names of one that does.

    Args:
        config: What to make.
        device: Where it is put.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.
        seed: The same seed gives the same weights; None draws from torch's own generator.

    Raises:
        PluginBrokenError: If the library is not installed.
        WeightsError: If the architecture is unknown, or a setting is not one that is taken.
        InputError: If there is no such layer, or the size is no multiple of the patch.
    """
    make = timm_tower if config.library == "timm" else transformers_tower
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        tower = make(config).lean()
    return tower.to(device=device, dtype=default_dtype(device, dtype))


def load_tower(
    family: str,
    folder: Path,
    rule: TowerRule,
    *,
    who: str,
    device: str | torch.device = "cpu",
    dtype: object = None,
) -> Tower:
    """Load the tower of a checkpoint, strictly, whichever library it is of.

    Args:
        family: Name of the encoder plugin, such as `clip`.
        folder: Holds `config.json` and safetensors: `model_type` says that they are of
            transformers, `architecture` of timm.
        rule: What is wanted of it.
        who: Whose weights they are, for messages.
        device: Where it is put.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Returns:
        A tower that gives a summary where the checkpoint has one; `lean` gives one that does not.

    Raises:
        PluginBrokenError: If the library is not installed.
        WeightsError: If the folder is refused, or is of another family.
        InputError: If there is no such layer, or the size is no multiple of the patch.
    """
    check_folder(folder, who=who)
    path = folder / "config.json"
    if not path.is_file():
        raise WeightsError(f"{who}: {folder} has no config.json, which says what the model is")
    settings = read_settings(path, who=who)
    kind = settings.get("model_type")
    if kind is None and "architecture" in settings:
        tower = _load_timm(family, folder, settings, rule, who=who)
    else:
        tower = _load_transformers(family, folder, settings, rule, who=who)
    return tower.to(device=device, dtype=default_dtype(device, dtype))


def tower_to_json(config: TowerConfig) -> dict[str, object]:
    """A configuration as JSON has it.

    Examples:
        >>> config = TowerConfig(family="clip", library="timm", architecture="x", size=28,
        ...                      mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> tower_from_json(tower_to_json(config)) == config
        True
    """
    told = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return told | {
        "settings": dict(config.settings),
        "mean": list(config.mean),
        "std": list(config.std),
    }


def tower_from_json(told: Mapping[str, object]) -> TowerConfig:
    """A configuration from JSON.

    Raises:
        InputError: If a key is missing, unknown or of another type.

    Examples:
        >>> tower_from_json({})
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: tower: missing: architecture, family, library, mean, \
size, std
    """
    fields = {field.name: field for field in dataclasses.fields(TowerConfig)}
    needed = fields.keys() - {"settings", "layer", "final_norm"}
    wrong = {"missing": sorted(needed - told.keys()), "unknown": sorted(told.keys() - fields)}
    if any(wrong.values()):
        faults = [f"{how}: {listing(names)}" for how, names in wrong.items() if names]
        raise InputError(f"tower: {'; '.join(faults)}")
    kinds: dict[str, type] = {"family": str, "library": str, "architecture": str}
    kinds |= {"settings": dict, "layer": int, "final_norm": bool, "size": int}
    for name in kinds.keys() & told.keys():
        if type(told[name]) is not kinds[name]:
            raise InputError(f"tower: {name}: expected {kinds[name].__name__}, got {told[name]!r}")
    given: dict[str, Any] = dict(told)
    for name in ("mean", "std"):
        given[name] = _colour(told[name], where=f"tower: {name}")
    return TowerConfig(**given)


def _load_timm(
    family: str, folder: Path, settings: Mapping[str, Any], rule: TowerRule, *, who: str
) -> Tower:
    config = timm_config(
        settings,
        family,
        layer=rule.layer_of(family),
        final_norm=rule.norm_of(family),
        size=rule.size,
    )
    if rule.pixels == "clip":
        config = replace(config, mean=CLIP_MEAN, std=CLIP_STD)
    tower = timm_tower(config)
    state = fit_timm_state(
        read_state(folder, who=who),
        tower.network,  # type: ignore[arg-type]
        family=family,
    )
    load_strict(tower.network, state, who=who, dtype=torch.float32)
    return tower


def _load_transformers(
    family: str, folder: Path, settings: Mapping[str, Any], rule: TowerRule, *, who: str
) -> Tower:
    architecture, kind, inner = _found(family, folder, settings, who=who)
    model = _read(kind, folder, settings, who=who)
    vision = getattr(model, "vision_model", model)
    told = kept_settings(vision.config.to_dict())
    if architecture == "clip_vision_model" and not hasattr(model, "visual_projection"):
        told["projection_dim"] = 0
    patch = told.get("patch_size")
    if not isinstance(patch, int):
        raise WeightsError(
            f"{who}: patch_size: expected one number, got {vision.config.patch_size!r}"
        )
    native = inner.get("image_size", told.get("image_size", 224))
    native = native[0] if isinstance(native, list) else native
    size = max(int(native) // patch, 1) * patch if rule.size is None else rule.size
    told["image_size"] = size
    if "max_img_size" in told:
        told["max_img_size"] = size
    mean, std = _colours(folder, vision.config, family, rule, who=who)
    config = TowerConfig(
        family=family,
        library="transformers",
        architecture=architecture,
        settings=told,
        layer=rule.layer_of(family),
        final_norm=rule.norm_of(family),
        size=size,
        mean=mean,
        std=std,
    )
    if hasattr(model, "visual_projection"):
        shell = nn.Module()
        shell.vision_model, shell.visual_projection = vision, model.visual_projection
        vision = shell
    return wrap_transformers(vision, config)


def _found(
    family: str, folder: Path, settings: Mapping[str, Any], *, who: str
) -> tuple[str, Kind, Mapping[str, Any]]:
    """The architecture of a checkpoint, and the settings of its vision part."""
    got = settings.get("model_type")
    for architecture, kind in KINDS.items():
        if kind.family == family and got == architecture:
            return architecture, kind, settings
        if kind.family == family and kind.whole is not None and got == kind.whole[0]:
            part = settings.get("vision_config")
            return architecture, kind, part if isinstance(part, dict) else {}
    known = [
        name
        for architecture, kind in KINDS.items()
        if kind.family == family
        for name in (architecture, *(kind.whole or ())[:1])
    ]
    raise WeightsError(
        f"{who}: expected weights of the kind {listing(known)} (model_type in "
        f"{folder / 'config.json'}), or of timm (architecture), got {got!r}"
    )


def _read(kind: Kind, folder: Path, settings: Mapping[str, Any], *, who: str) -> Any:
    """The whole model, in float32, so that positions are resampled from what is stored."""
    library = need_library("transformers", who=who, extra="features")
    name = kind.model
    if kind.whole is not None and settings.get("model_type") == kind.whole[0]:
        name = kind.whole[1]
    elif kind.family == "clip" and settings.get("architectures") == ["CLIPVisionModel"]:
        name = "CLIPVisionModel"
    return load_model(getattr(library, name), folder, who=who, dtype=torch.float32)


def _colours(
    folder: Path, vision: Any, family: str, rule: TowerRule, *, who: str
) -> tuple[Colour, Colour]:
    """Mean and deviation of the pixels: what is asked for, else what the checkpoint says."""
    if rule.pixels == "clip":
        return CLIP_MEAN, CLIP_STD
    if hasattr(vision, "norm_mean"):  # RADIO normalises by itself; its processor does not
        stated: Mapping[str, Any] = {"image_mean": vision.norm_mean, "image_std": vision.norm_std}
        place: object = folder / "config.json"
    else:
        stated, place = {}, folder
        for name in ("preprocessor_config.json", "processor_config.json"):
            if (folder / name).is_file():
                place = folder / name
                settings = read_settings(folder / name, who=who)
                stated = settings.get("image_processor") or settings
                break
    mean = stated.get("image_mean") or defaults_of(family).mean
    std = stated.get("image_std") or defaults_of(family).std
    return (
        _colour(mean, where=f"{who}: {place}: image_mean"),
        _colour(std, where=f"{who}: {place}: image_std"),
    )


def _colour(values: object, *, where: str) -> Colour:
    listed = list(values) if isinstance(values, list | tuple) else []
    numbers = [float(v) for v in listed if isinstance(v, int | float) and isfinite(v)]
    if len(listed) != 3 or len(numbers) != 3:
        raise InputError(f"{where}: expected three numbers, got {values!r}")
    return (numbers[0], numbers[1], numbers[2])

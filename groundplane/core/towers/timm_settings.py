"""What a checkpoint of timm's layout says of its network, and what of it is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.towers.tower import TowerConfig
from groundplane.core.weights import need_library

__all__ = ["check_timm", "timm_config"]

# Which architectures a family has, by their names in timm.
_FAMILIES = {
    "clip": r"vit_\w+_clip_\w+",
    "siglip": r"vit_\w+_siglip_\w+",
    "eva-clip": r"eva(02)?_\w+_clip_\w+",
    "dinov2": r"vit_\w+_dinov2",
    "dinov3": r"vit_\w+_dinov3(_qkvb)?",
    "radio": r"vit_\w+_radio_\w+",
}
# What a checkpoint may change of its architecture: numbers up to a bound, switches, and names of
# timm's own tables. Anything else could name files or make timm fetch them.
_BOUNDS = {
    "depth": 256,
    "embed_dim": 16_384,
    "init_values": 1e6,
    "mlp_ratio": 64,
    "num_classes": 1_000_000,
    "num_heads": 1_024,
    "num_reg_tokens": 1_024,
    "patch_size": 1_024,
    "reg_tokens": 1_024,
}
_NAMES = {
    "act_layer": ("gelu", "gelu_tanh", "quick_gelu", "silu"),
    "global_pool": ("", "avg", "map", "token"),
}
_SWITCHES = ("dynamic_img_size", "fc_norm", "pre_norm", "qkv_bias", "use_fc_norm")


def check_timm(config: TowerConfig) -> None:
    """Check a configuration before timm makes anything of it.

    Raises:
        WeightsError: If the architecture is unknown, is not one of the family, or a setting is
            not one that a checkpoint may make.
        InputError: If the size is no multiple of the patch.
    """
    _check_family(config.family, config.architecture)
    _check_settings(config)
    patch = _patch(config)
    if config.size < patch or config.size % patch:
        raise InputError(
            f"encoder {config.family!r}: size: expected a multiple of its patch of {patch} "
            f"pixels, got {config.size}"
        )


def timm_config(
    settings: Mapping[str, Any],
    family: str,
    *,
    layer: int,
    final_norm: bool,
    size: int | None = None,
) -> TowerConfig:
    """What a checkpoint of timm's layout says of its network.

    Args:
        settings: Its `config.json`: `architecture`, `pretrained_cfg`, maybe `model_args`.
        family: Name of the encoder plugin, such as `clip`.
        layer: See `TowerConfig`.
        final_norm: See `TowerConfig`.
        size: Side of the input, pixels; None for the checkpoint's own, cut down to whole patches.

    Raises:
        WeightsError: If the architecture is not one of the family, or a setting is not one that
            a checkpoint may make.
    """
    own = settings.get("pretrained_cfg")
    own = own if isinstance(own, dict) else settings
    name, _, tag = str(settings.get("architecture")).partition(".")
    arguments = settings.get("model_args") or {}
    who = f"encoder {family!r}"
    _check_family(family, name)
    if not isinstance(arguments, dict):
        raise WeightsError(f"{who}: model_args: expected an object, got {arguments!r}")
    arguments = _flat({"num_classes": settings.get("num_classes", 0)} | arguments)
    if _is_quick(name, str(own.get("tag") or tag), who=who):
        arguments.setdefault("act_layer", "quick_gelu")
    config = TowerConfig(
        family=family,
        library="timm",
        architecture=name,
        settings=arguments,
        layer=layer,
        final_norm=final_norm,
        size=_native_size(own, who=who) if size is None else size,
        mean=_triple(own, "mean", who=who),
        std=_triple(own, "std", who=who),
    )
    if size is None:
        _check_settings(config)
        patch = _patch(config)
        config = replace(config, size=max(config.size // patch, 1) * patch)
    check_timm(config)
    return config


def _flat(arguments: dict[str, Any]) -> dict[str, Any]:
    """Sides as one number, as timm takes and this module checks them; the size is told apart."""
    flat = {
        key: value[0] if isinstance(value, list) and value[1:] == value[:-1] != [] else value
        for key, value in arguments.items()
        if key != "img_size"
    }
    if flat.get("in_chans") == 3:
        del flat["in_chans"]
    return flat


def _check_family(family: str, name: str) -> None:
    """The architecture must be one that timm has and the family's; never a place to fetch from."""
    who = f"encoder {family!r}"
    library = need_library("timm", who=who, extra="features")
    pattern = _FAMILIES.get(family)
    if pattern is None:
        raise WeightsError(
            f"{who}: expected a family that timm has, {listing(_FAMILIES)}, got {family!r}"
        )
    if not re.fullmatch(pattern, name) or not library.is_model(name):
        raise WeightsError(
            f"{who}: expected an architecture of timm whose name is like {pattern}, got {name!r}"
        )


def _check_settings(config: TowerConfig) -> None:
    made = config.settings
    wrong = [f"{key}={value!r}" for key, value in made.items() if not _is_proper(key, value)]
    if wrong:
        known = sorted([*_BOUNDS, *_NAMES, *_SWITCHES])
        raise WeightsError(
            f"encoder {config.family!r}: settings of the architecture that are not taken: "
            f"{listing(wrong, limit=8)}; expected {listing(known, limit=20)} within their bounds"
        )


def _is_proper(key: str, value: object) -> bool:
    if key in _BOUNDS:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and 0 <= value <= _BOUNDS[key]  # type: ignore[operator]
    if key in _NAMES:
        return value in _NAMES[key]
    return key in _SWITCHES and isinstance(value, bool)


def _patch(config: TowerConfig) -> int:
    """Side of a patch, from the settings or the name: every family's names have it."""
    named = re.search(r"_patch(\d+)_", config.architecture)
    value = config.settings.get("patch_size") or (named.group(1) if named else 1)
    return max(1, int(str(value)))


def _is_quick(name: str, tag: str, *, who: str) -> bool:
    """Whether weights were trained with CLIP's own activation and the architecture has another.

    OpenAI's are filed under architectures with GELU; timm says so in the notes of their entry,
    and has a second architecture for the original numbers.
    """
    library = need_library("timm.models", who=who, extra="features")
    entry = library.get_arch_pretrained_cfgs(name).get(f"{name}.{tag}")
    return any("natively QuickGELU" in note for note in (entry.notes if entry else None) or ())


def _native_size(own: Mapping[str, Any], *, who: str) -> int:
    size = own.get("input_size")
    if isinstance(size, list | tuple) and len(size) == 3 and size[1] == size[2]:
        side = size[1]
        if isinstance(side, int) and side > 0:
            return side
    raise WeightsError(f"{who}: input_size: expected three numbers such as 3, 224, 224, got {size}")


def _triple(own: Mapping[str, Any], key: str, *, who: str) -> tuple[float, float, float]:
    values = own.get(key)
    listed = list(values) if isinstance(values, list | tuple) else []
    if len(listed) == 3 and all(isinstance(v, int | float) and isfinite(v) for v in listed):
        return (float(listed[0]), float(listed[1]), float(listed[2]))
    raise WeightsError(f"{who}: {key}: expected three numbers, got {values!r}")

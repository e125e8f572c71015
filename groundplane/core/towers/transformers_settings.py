"""What a configuration of transformers says of a network, and what of it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from groundplane.core.errors import InputError, WeightsError, listing
from groundplane.core.towers.tower import TowerConfig
from groundplane.core.weights import need_library

__all__ = [
    "KINDS",
    "Kind",
    "check_size",
    "check_transformers",
    "kept_settings",
    "make_transformers",
]


class Kind(NamedTuple):
    """A network of transformers.

    Attributes:
        family: Name of the encoder plugin.
        config: Class of its configuration.
        model: Class of the network.
        whole: `model_type` and class of a checkpoint that has the network beside other parts.
    """

    family: str
    config: str
    model: str
    whole: tuple[str, str] | None = None


# By `model_type`.
KINDS: dict[str, Kind] = {
    "clip_vision_model": Kind(
        "clip", "CLIPVisionConfig", "CLIPVisionModelWithProjection", ("clip", "CLIPModel")
    ),
    "siglip_vision_model": Kind(
        "siglip", "SiglipVisionConfig", "SiglipVisionModel", ("siglip", "SiglipModel")
    ),
    "blip_2_vision_model": Kind("eva-clip", "Blip2VisionConfig", "Blip2VisionModel"),
    "dinov2": Kind("dinov2", "Dinov2Config", "Dinov2Model"),
    "dinov2_with_registers": Kind(
        "dinov2", "Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"
    ),
    "dinov3_vit": Kind("dinov3", "DINOv3ViTConfig", "DINOv3ViTModel"),
    "radio": Kind("radio", "RadioConfig", "RadioModel"),
}

# What makes the numbers of a network; anything else concerns training or other parts.
_WHOLE = {
    "hidden_size": 16_384,
    "image_size": 65_536,
    "intermediate_size": 131_072,
    "max_img_size": 65_536,
    "num_attention_heads": 1_024,
    "num_channels": 3,
    "num_cls_tokens": 1_024,
    "num_hidden_layers": 256,
    "num_register_tokens": 1_024,
    "num_registers": 1_024,
    "patch_size": 1_024,
    "projection_dim": 16_384,
}
_NUMBERS = {"layer_norm_eps": 1.0, "layerscale_value": 1e6, "mlp_ratio": 64.0, "rope_theta": 1e9}
_SWITCHES = (
    *("key_bias", "mlp_bias", "proj_bias", "qkv_bias", "query_bias", "value_bias"),
    *("use_gated_mlp", "use_mask_token", "use_swiglu_ffn", "vision_use_head"),
)
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu")


def kept_settings(settings: Mapping[str, Any]) -> dict[str, object]:
    """Of a whole configuration what makes the numbers; sides as one number.

    Examples:
        >>> kept_settings({"hidden_size": 8, "patch_size": [14, 14], "torch_dtype": "float32"})
        {'hidden_size': 8, 'patch_size': 14}
        >>> kept_settings({})
        {}
    """
    kept: dict[str, object] = {}
    for key, value in settings.items():
        if key in ("image_size", "patch_size") and isinstance(value, list | tuple):
            if len(set(value)) == 1:
                kept[key] = value[0]
        elif key == "summary_idxs" and isinstance(value, list | tuple):
            kept[key] = list(value)
        elif key in (*_WHOLE, *_NUMBERS, *_SWITCHES, "hidden_act") and value is not None:
            kept[key] = value
    return kept


def check_transformers(config: TowerConfig) -> Kind:
    """Check a configuration before transformers makes anything of it.

    Raises:
        WeightsError: If the architecture is unknown or not one of the family, or a setting is
            not one that a checkpoint may make.
        InputError: If the size is no multiple of the patch.
    """
    who = f"encoder {config.family!r}"
    kind = KINDS.get(config.architecture)
    if kind is None or kind.family != config.family:
        known = [name for name, kind in KINDS.items() if kind.family == config.family]
        raise WeightsError(
            f"{who}: expected an architecture of transformers of this family, {listing(known)}, "
            f"got {config.architecture!r}"
        )
    wrong = [f"{key}={value!r}" for key, value in config.settings.items() if not _ok(key, value)]
    if wrong:
        raise WeightsError(
            f"{who}: settings of the architecture that are not taken: {listing(wrong, limit=8)}; "
            f"expected {listing(sorted([*_WHOLE, *_NUMBERS, *_SWITCHES]), limit=40)}, hidden_act "
            "and summary_idxs within their bounds"
        )
    return kind


def check_size(config: TowerConfig, patch: int) -> None:
    """Refuse a side that is no whole number of patches.

    Raises:
        InputError: If it is not.
    """
    if config.size < patch or config.size % patch:
        raise InputError(
            f"encoder {config.family!r}: size: expected a multiple of its patch of {patch} "
            f"pixels, got {config.size}"
        )


def make_transformers(config: TowerConfig) -> Any:
    """The network of a configuration, with the weights that transformers begins with.

    Raises:
        WeightsError, InputError: See `check_transformers`.
    """
    who = f"encoder {config.family!r}"
    kind = check_transformers(config)
    library = need_library("transformers", who=who, extra="features")
    settings = dict(config.settings)
    name = kind.model
    if settings.get("projection_dim") == 0:
        name = "CLIPVisionModel"
        del settings["projection_dim"]
    try:
        made = getattr(library, kind.config)(**settings)
        check_size(config, int(made.patch_size))
        return getattr(library, name)(made)
    except InputError:
        raise
    except Exception as error:  # whatever a library says of settings that do not go together
        said = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{who}: transformers cannot make {name} of these settings: {said}"
        ) from error


def _ok(key: str, value: object) -> bool:
    if key == "hidden_act":
        return value in _ACTIVATIONS
    if key in _SWITCHES:
        return isinstance(value, bool)
    if key == "summary_idxs":
        return isinstance(value, list | tuple) and all(_count(v, 1_024) for v in value)
    if key in _WHOLE:
        return _count(value, _WHOLE[key])
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return key in _NUMBERS and number and 0 <= value <= _NUMBERS[key]  # type: ignore[operator]


def _count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most

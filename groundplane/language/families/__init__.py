"""The families of models that run in this process, by `model_type` of their configuration.

Each module holds `FAMILIES` and is imported when one of its families is asked for.
"""

from __future__ import annotations

import importlib

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.language.family import Family

__all__ = ["HOMES", "families", "family"]

# Module: its families.
HOMES: dict[str, tuple[str, ...]] = {
    "llava": ("llava", "llava_next", "llava_onevision", "vipllava"),
    "qwen": ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    "internvl": ("internvl",),
    "glm": ("glm4v",),
    "molmo": ("molmo2",),
    "deepseek": ("deepseek_vl",),
    "blip": ("blip-2", "instructblip"),
    "janus": ("janus",),
    "paligemma": ("paligemma",),
    "kosmos": ("kosmos-2",),
    "florence": ("florence2",),
    "idefics": ("idefics2", "idefics3", "smolvlm"),
}


def families() -> tuple[str, ...]:
    """The names of all families, sorted; imports none of them.

    Examples:
        >>> "qwen2_5_vl" in families()
        True
    """
    return tuple(sorted(name for names in HOMES.values() for name in names))


def family(name: str) -> Family:
    """The family of a `model_type`.

    Raises:
        InputError: If there is none of that name.
    """
    for home, names in HOMES.items():
        if name in names:
            module = importlib.import_module(f"{__name__}.{home}")
            found: tuple[Family, ...] = module.FAMILIES
            return next(one for one in found if one.name == name)
    raise InputError(
        f"language model: model_type {name!r} is no family that is known; there are "
        f"{listing(families(), limit=60)}.{did_you_mean(name, families())}"
    )

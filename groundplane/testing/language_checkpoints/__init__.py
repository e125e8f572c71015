"""Tiny checkpoints of multimodal language models with random weights, one builder a family.

They are of the true classes, with their true processors, and are loaded as published ones are.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from groundplane.core.errors import InputError, listing

__all__ = ["language_checkpoints", "save_language_model"]

# Module: the families that it builds, as `model_type`. Each module has `SAVERS`, from the
# family to a function of folder and seed.
_HOMES: dict[str, tuple[str, ...]] = {
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


def language_checkpoints() -> tuple[str, ...]:
    """The families that there is a tiny checkpoint of, sorted."""
    return tuple(sorted(name for names in _HOMES.values() for name in names))


def save_language_model(name: str, folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny model and its processor.

    Args:
        name: The family, as `model_type`.
        folder: It is made where it is not there.
        seed: Of the weights.

    Returns:
        The folder.

    Raises:
        InputError: If there is no such family.
    """
    for home, names in _HOMES.items():
        if name in names:
            module = importlib.import_module(f"{__name__}.{home}")
            saved: Path = module.SAVERS[name](folder, seed=seed)
            return saved
    raise InputError(
        f"tiny checkpoint: {name!r} is not known; there are {listing(language_checkpoints())}"
    )

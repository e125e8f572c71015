"""Tiny checkpoints of multimodal language models with random weights, one builder a family.

They are of the true classes, with their true processors, and are loaded as published ones are.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from groundplane.core.errors import InputError, listing
from groundplane.language.families import HOMES, families

__all__ = ["language_checkpoints", "save_language_model"]

# Each module of a family of models has one of its name here, with `SAVERS`: from the family to a
# function of folder and seed.


def language_checkpoints() -> tuple[str, ...]:
    """The families that there is a tiny checkpoint of, sorted."""
    return families()


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
    for home, names in HOMES.items():
        if name in names:
            module = importlib.import_module(f"{__name__}.{home}")
            saved: Path = module.SAVERS[name](folder, seed=seed)
            return saved
    raise InputError(
        f"tiny checkpoint: {name!r} is not known; there are {listing(language_checkpoints())}"
    )

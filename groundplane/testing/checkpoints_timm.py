"""Tiny checkpoints of timm with random weights, in the layout of the hub, for tests.

folder = save_timm(tmp_path / "weights", "dinov2")
encoder = groundplane.load("encoders", "dinov2", weights=str(folder))
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from groundplane.core.errors import InputError, listing
from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import randomise

__all__ = ["TIMM_FAMILIES", "save_eva_clip", "save_timm"]

_WHO = "groundplane.testing"


class _Tiny(NamedTuple):
    """An architecture with the tag that tells its pixels, and what makes it small."""

    name: str
    size: int
    patch: int
    num_classes: int = 0


_SHAPE: dict[str, int] = {"embed_dim": 32, "depth": 3, "num_heads": 2}
_TINY = {
    "clip": _Tiny("vit_base_patch16_clip_quickgelu_224.openai", 32, 8, 24),
    "siglip": _Tiny("vit_base_patch16_siglip_224.webli", 32, 8),
    "eva-clip": _Tiny("eva_giant_patch14_clip_224.laion400m", 56, 14, 24),
    "eva02-clip": _Tiny("eva02_base_patch16_clip_224.merged2b", 64, 16, 24),
    "dinov2": _Tiny("vit_small_patch14_dinov2.lvd142m", 56, 14),
    "dinov2-registers": _Tiny("vit_small_patch14_reg4_dinov2.lvd142m", 56, 14),
    "dinov3": _Tiny("vit_small_patch16_dinov3.lvd1689m", 64, 16),
    "radio": _Tiny("vit_base_patch16_radio_v3.c_radio", 64, 16),
}
TIMM_FAMILIES = tuple(_TINY)


def save_timm(folder: str | Path, family: str, *, seed: int = 0) -> Path:
    """Save a tiny vision transformer of timm: 3 blocks, 32 numbers a cell, 4 by 4 cells.

    Args:
        folder: It is made where it is not there.
        family: One of `TIMM_FAMILIES`.
        seed: Of the weights.

    Returns:
        The folder.

    Raises:
        InputError: If the family is not one of them.
    """
    if family not in _TINY:
        raise InputError(f"timm: expected {listing(_TINY)}, got {family!r}")
    tiny = _TINY[family]
    library = need_library("timm", who=_WHO, extra="features")
    # Only an architecture of one size writes it to the checkpoint.
    settings = {**_SHAPE, "patch_size": tiny.patch, "img_size": tiny.size}
    settings["dynamic_img_size"] = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = library.create_model(
            tiny.name, pretrained=False, num_classes=tiny.num_classes, **settings
        )
    randomise(model, seed=seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # As published: the tokens are tables, and nothing is subtracted after the head.
            if name.endswith(("_token", "pos_embed")):
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(seed))
            elif name == "head.bias":
                weight.zero_()
    place = Path(folder)
    need_library("timm.models", who=_WHO).save_for_hf(
        model, str(place), model_args=settings, safe_serialization=True
    )
    return place


def save_eva_clip(folder: str | Path, *, seed: int = 0) -> Path:
    """Save a tiny EVA-CLIP: the first one, whose network BLIP-2 has too; see `save_timm`."""
    return save_timm(folder, "eva-clip", seed=seed)

"""How a tower is to be used: which layer, which size, whose normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from groundplane.core.errors import InputError, listing

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "FAMILIES",
    "Defaults",
    "TowerRule",
    "defaults_of",
    "num_blocks",
]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)
# No published vision transformer has half as many.
_MOST_BLOCKS = 1024


class Defaults(NamedTuple):
    """What a family's towers are used with unless a `TowerRule` says otherwise."""

    layer: int
    final_norm: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# CLIP as LLaVA reads it; DINOv2 as MMVP's code reads it: the last block, before the last norm.
FAMILIES: dict[str, Defaults] = {
    "clip": Defaults(-2, False, CLIP_MEAN, CLIP_STD),
    "siglip": Defaults(-2, False, _HALF, _HALF),
    "eva-clip": Defaults(-2, False, CLIP_MEAN, CLIP_STD),
    "dinov2": Defaults(-1, False, _IMAGENET_MEAN, _IMAGENET_STD),
    "dinov3": Defaults(-1, True, _IMAGENET_MEAN, _IMAGENET_STD),
    "radio": Defaults(-1, False, CLIP_MEAN, CLIP_STD),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerRule:
    """How a tower is to be used. None leaves it to the family, or to the checkpoint.

    Attributes:
        layer: Whose output is read, counted in blocks; see `TowerConfig`.
        final_norm: Whether the network's last norm is put on it.
        size: Side of the input, pixels; None for the checkpoint's own.
        pixels: `own`: the normalisation that the network was trained with; `clip`: CLIP's, which
            the reference of the mixture of features gives to both towers.

    Raises:
        InputError: If a value is out of range.
    """

    layer: int | None = None
    final_norm: bool | None = None
    size: int | None = None
    pixels: Literal["own", "clip"] = "own"

    def __post_init__(self) -> None:
        if self.pixels not in ("own", "clip"):
            raise InputError(f"tower: pixels: expected own or clip, got {self.pixels!r}")
        if self.layer is not None and not -_MOST_BLOCKS <= self.layer <= _MOST_BLOCKS:
            raise InputError(f"tower: layer: expected the number of a block, got {self.layer}")
        if self.size is not None and not 1 <= self.size <= 65_536:
            raise InputError(f"tower: size: expected 1 to 65536 pixels, got {self.size}")

    def layer_of(self, family: str) -> int:
        """The layer for a family, by the name of its encoder plugin."""
        return defaults_of(family).layer if self.layer is None else self.layer

    def norm_of(self, family: str) -> bool:
        """Whether the last norm is put on a family's features."""
        return defaults_of(family).final_norm if self.final_norm is None else self.final_norm


def defaults_of(family: str) -> Defaults:
    """What a family is used with.

    Raises:
        InputError: If there is no such family.
    """
    if family not in FAMILIES:
        raise InputError(f"unknown family of encoders {family!r}; known: {listing(FAMILIES)}")
    return FAMILIES[family]


def num_blocks(layer: int, depth: int, *, who: str) -> int:
    """How many blocks come before a layer that may be counted from the end.

    Raises:
        InputError: If the network has no such layer.

    Examples:
        >>> num_blocks(-2, 24, who="encoder 'clip'"), num_blocks(0, 24, who="encoder 'clip'")
        (23, 0)
        >>> num_blocks(-26, 24, who="encoder 'clip'")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: encoder 'clip': layer: expected -25 to 24, got -26
    """
    count = layer if layer >= 0 else depth + 1 + layer
    if not 0 <= count <= depth:
        raise InputError(f"{who}: layer: expected {-depth - 1} to {depth}, got {layer}")
    return count

"""Towers as parts of a model: what else uses them is never changed by it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain

import torch
from torch import nn

from groundplane.core.towers.tower import Tower

__all__ = ["convert_weights", "own_towers"]


def convert_weights(module: nn.Module, *, dtype: torch.dtype) -> None:
    """Bring weights to a number type, and no buffer, as transformers does when it loads.

    A language model's buffers hold the frequencies of its rotary positions. Rounded to bfloat16
    they turn some pairs of numbers a thousand places on by whole radians too much or too little.

    Examples:
        >>> layer = nn.BatchNorm1d(2)
        >>> convert_weights(layer, dtype=torch.bfloat16)
        >>> layer.weight.dtype, layer.running_mean.dtype
        (torch.bfloat16, torch.float32)
        >>> convert_weights(nn.Identity(), dtype=torch.bfloat16)
    """
    for weight in module.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)


def own_towers(
    towers: Sequence[Tower], *, device: str | torch.device, dtype: torch.dtype
) -> list[Tower]:
    """Towers of a device and a number type, without a summary.

    A tower that is of them already is shared with its encoder. Another one is copied: moved or
    rounded in place, its encoder would fail or keep features under the wrong name. So is one that
    stands there a second time, since a tensor of two names cannot be saved.

    Examples:
        >>> from groundplane.testing.encoders import make_tower
        >>> tower = make_tower()
        >>> one, other = own_towers([tower, tower], device="cpu", dtype=torch.float32)
        >>> [made.network.project is tower.network.project for made in (one, other)]
        [True, False]
        >>> own_towers([], device="cpu", dtype=torch.float32)
        []
    """
    place = torch.empty(0, device=device).device
    taken: set[int] = set()
    owned = []
    for tower in towers:
        made = tower.lean()
        tensors = list(chain(made.network.parameters(), made.network.buffers()))
        fits = all(
            tensor.device == place and (tensor.dtype == dtype or not tensor.is_floating_point())
            for tensor in tensors
        )
        if not fits or taken & {id(tensor) for tensor in tensors}:
            made = copy.deepcopy(made).to(device=place, dtype=dtype)
        taken |= {id(tensor) for tensor in tensors}
        owned.append(made)
    return owned

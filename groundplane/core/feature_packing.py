"""How an encoding becomes named tensors, which is all that a file of features holds, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

__all__ = ["Packing", "pack_fields", "pack_tensor", "pack_tuple"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing(Generic[T]):
    """A value as named tensors and back.

    Attributes:
        pack: The tensors of a value by name; an empty mapping is a value too.
        unpack: A value of its tensors, which it must not write to.
        device: Where tensors that are read from a disk are put before they are unpacked.
    """

    pack: Callable[[T], Mapping[str, Tensor]]
    unpack: Callable[[Mapping[str, Tensor]], T]
    device: str | torch.device = "cpu"


def pack_tensor(device: str | torch.device = "cpu") -> Packing[Tensor]:
    """For values that are one tensor.

    Examples:
        >>> packing = pack_tensor()
        >>> packing.unpack(packing.pack(torch.ones(2))).tolist()
        [1.0, 1.0]
        >>> packing.unpack(packing.pack(torch.zeros(0, 3))).shape
        torch.Size([0, 3])
    """
    return Packing(
        pack=lambda value: {"value": value}, unpack=lambda read: read["value"], device=device
    )


def pack_tuple(device: str | torch.device = "cpu") -> Packing[tuple[Tensor, ...]]:
    """For values that are a tuple of tensors, of any length.

    Examples:
        >>> packing = pack_tuple()
        >>> [t.shape[0] for t in packing.unpack(packing.pack((torch.ones(2), torch.ones(3))))]
        [2, 3]
        >>> packing.unpack(packing.pack(()))
        ()
    """
    return Packing(
        pack=lambda value: {str(place): tensor for place, tensor in enumerate(value)},
        unpack=lambda read: tuple(read[str(place)] for place in range(len(read))),
        device=device,
    )


def pack_fields(kind: Callable[..., T], device: str | torch.device = "cpu") -> Packing[T]:
    """For values of a dataclass whose fields are tensors; one that is None is left out.

    Examples:
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Seen:
        ...     cells: Tensor
        ...     summary: Tensor | None = None
        >>> packing = pack_fields(Seen)
        >>> sorted(packing.pack(Seen(cells=torch.ones(2))))
        ['cells']
        >>> packing.unpack({"cells": torch.zeros(0)}).summary is None
        True
    """

    def pack(value: Any) -> dict[str, Tensor]:
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    return Packing(pack=pack, unpack=lambda read: kind(**read), device=device)

"""How an encoding becomes named tensors, which is all that a file of features holds, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from groundplane.core.errors import InputError

__all__ = ["Packing", "pack_fields", "pack_nested", "pack_tensor"]

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


def pack_nested(device: str | torch.device = "cpu") -> Packing[Any]:
    """For values that are tensors in tuples, lists and dictionaries named by texts, nested.

    Raises:
        InputError: When a value that holds anything else is packed.

    Examples:
        >>> packing = pack_nested()
        >>> packing.unpack(packing.pack({"maps": (torch.ones(1), [torch.zeros(1)])}))
        {'maps': (tensor([1.]), [tensor([0.])])}
        >>> packing.unpack(packing.pack(()))
        ()
    """
    return Packing(pack=lambda value: dict(_leaves(value, "")), unpack=_nested, device=device)


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


def _leaves(value: object, place: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors by their way: `/t0/kmaps` is the item `maps` of the first item of a tuple."""
    if isinstance(value, Tensor):
        yield place, value
        return
    steps: list[tuple[str, object]]
    if type(value) is dict and all(
        type(name) is str and name and "/" not in name for name in value
    ):
        kind, steps = "k", list(value.items())
    elif type(value) in (tuple, list):
        kind = "t" if type(value) is tuple else "l"
        steps = [(str(number), item) for number, item in enumerate(cast("list[object]", value))]
    else:
        raise InputError(
            f"packing: expected tensors in tuples, lists and dictionaries named by texts without "
            f"a slash, got a {type(value).__name__} at {place or 'the top'}"
        )
    if not steps:
        yield f"{place}/{kind}", torch.zeros(0, dtype=torch.uint8)
    for name, item in steps:
        yield from _leaves(item, f"{place}/{kind}{name}")


def _nested(read: Mapping[str, Tensor]) -> Any:
    if "" in read:
        return read[""]
    parts: dict[str, dict[str, Tensor]] = {}
    for place, tensor in read.items():
        step, slash, rest = place[1:].partition("/")
        parts.setdefault(step, {})[slash + rest] = tensor
    kind = next(iter(parts))[0]
    if kind == "k":
        return {step[1:]: _nested(part) for step, part in parts.items() if step != "k"}
    numbered = {int(step[1:]): part for step, part in parts.items() if len(step) > 1}
    items = [_nested(numbered[number]) for number in sorted(numbered)]
    return tuple(items) if kind == "t" else items

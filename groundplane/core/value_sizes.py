"""What a value keeps alive: its tensors and arrays, wherever they stand in it, and their bytes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["bytes_of", "is_tensor", "leaves_of"]

# Sequences of numbers or letters, which are one thing each.
_FLAT = (str, bytes, bytearray, memoryview, range)


def bytes_of(value: object) -> int:
    """Bytes that a value keeps alive: whole storages of tensors, each once, and arrays.

    Looks into mappings, sequences, sets and dataclasses; anything else counts as the object
    alone, so a class that hides tensors in its attributes needs a size of its own.

    Examples:
        >>> bytes_of((np.zeros(10), b"abc")) - bytes_of((np.zeros(0), b"abc"))
        80
        >>> bytes_of(None) < 100
        True
    """
    storages: dict[tuple[str, int], int] = {}
    other = 0
    for leaf in leaves_of(value):
        if is_tensor(leaf):
            storage = cast("Tensor", leaf).untyped_storage()
            storages[str(storage.device), storage.data_ptr()] = storage.nbytes()
        elif isinstance(leaf, np.ndarray):
            whole = leaf
            while isinstance(whole.base, np.ndarray):
                whole = whole.base
            storages["numpy", id(whole)] = whole.nbytes
        else:
            other += sys.getsizeof(leaf, 0)
    return other + sum(storages.values())


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of torch; torch is not loaded for it."""
    # Whoever has a tensor has torch loaded; a cache of texts must not load it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def leaves_of(value: object) -> Iterator[object]:
    """What a nested value consists of, each object once."""
    todo: list[Any] = [value]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Mapping):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, Sequence | AbstractSet) and not isinstance(item, _FLAT):
            todo += item
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            todo += [getattr(item, field.name) for field in dataclasses.fields(item)]
        else:
            yield item

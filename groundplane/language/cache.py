"""The keys and values of a text so far: told, cut, put together and taken apart.

What transformers calls a cache is one tensor of keys and one of values a layer, of shape
(b, heads, t, width). Texts of unlike length share one by empty entries before the shorter ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from groundplane.core.errors import InputError

__all__ = ["can_cut", "can_share", "cut", "entries", "shared", "taken"]


def entries(cache: Any) -> int:
    """How many entries a cache holds.

    Examples:
        >>> from transformers import DynamicCache
        >>> entries(DynamicCache())
        0
    """
    return int(cache.get_seq_length())


def can_cut(cache: Any) -> bool:
    """Whether the last entries of a cache can be taken away and nothing else changes.

    Layers that keep a window of the text, or a summary of it, have lost what stood before.
    """
    own = getattr(cache, "self_attention_cache", cache)
    return all(_plain(layer) for layer in own.layers)


def can_share(cache: Any) -> bool:
    """Whether texts of unlike length can share such a cache."""
    return hasattr(cache, "layers") and all(_plain(layer) for layer in cache.layers)


def cut(cache: Any, count: int) -> None:
    """Take the last entries away, in place.

    A number below zero is what both meanings of transformers' `crop` agree on: there it is a
    count to remove, while a positive one was once the length to keep and is refused today.

    Args:
        cache: Of one text.
        count: How many.

    Raises:
        InputError: If it holds fewer, or its layers cannot go back.

    Examples:
        >>> from transformers import DynamicCache
        >>> cache = DynamicCache()
        >>> _ = cache.update(torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 5, 4), 0)
        >>> cut(cache, 2); entries(cache)
        3
        >>> cut(cache, 0); entries(cache)
        3
    """
    held = entries(cache)
    if not 0 <= count <= held:
        raise InputError(f"cache: expected to cut 0 to its {held} entries, got {count}")
    if not can_cut(cache):
        own = getattr(cache, "self_attention_cache", cache)
        kinds = sorted({type(layer).__name__ for layer in own.layers if not _plain(layer)})
        raise InputError(
            f"cache: layers of the kind {', '.join(kinds)} cannot go back. Try: inject='append'"
        )
    if count:
        cache.crop(-count)


def shared(caches: Sequence[Any], lengths: Sequence[int]) -> Any:
    """One cache of several texts, the shorter ones with empty entries before.

    Args:
        caches: Each of one row or more, whose layers `can_share`.
        lengths: How many of its last entries to take of each.

    Returns:
        A new cache of `max(lengths)` entries; rows in order.
    """
    library = importlib.import_module("transformers")
    joined, most = library.DynamicCache(), max(lengths)
    for index in range(len(caches[0].layers)):
        layers = [cache.layers[index] for cache in caches]
        keys, values = (
            torch.cat(
                [
                    _last(getattr(layer, name), length, most)
                    for layer, length in zip(layers, lengths, strict=True)
                ]
            )
            for name in ("keys", "values")
        )
        joined.update(keys, values, index)
    return joined


def taken(cache: Any, row: int, length: int) -> Any:
    """A cache of one row of a shared one, without the empty entries before it.

    Args:
        cache: Shared.
        row: Which.
        length: How many of its last entries are the row's.
    """
    library = importlib.import_module("transformers")
    alone = library.DynamicCache()
    for index, layer in enumerate(cache.layers):
        keys, values = (
            plane[row : row + 1, :, plane.shape[2] - length :].contiguous()
            for plane in (layer.keys, layer.values)
        )
        alone.update(keys, values, index)
    return alone


def _last(plane: Tensor, length: int, most: int) -> Tensor:
    return pad(plane[:, :, plane.shape[2] - length :], (0, 0, most - length, 0))


def _plain(layer: Any) -> bool:
    """Whether a layer keeps every entry as it is; what has not begun to, is not known yet."""
    return type(layer).__name__ == "DynamicLayer" and bool(layer.is_initialized)

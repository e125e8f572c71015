"""Keys of the feature store: one SHA-256 for whatever tells one encoding from all others.

A key in memory is any hashable value. On disk it must be the same in every process, so it is
written out type by type; what has no such form is refused. The versions of the libraries that
make features are part of each key, so an update never gives the features of before.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Hashable, Iterator
from importlib import metadata
from pathlib import PurePath

import torch

from groundplane.core.errors import InputError

__all__ = ["FORMAT", "stored_key"]

# Of the folder, the shards and the keys; another one is not read.
FORMAT = 1
_LIBRARIES = ("groundplane", "timm", "torch", "transformers")
# No key nests deeper; it bounds the recursion.
_DEEPEST = 32


def stored_key(key: Hashable) -> str:
    """The name of an encoding on disk, 64 hexadecimal digits.

    Args:
        key: Names the maker (plugin, weights, options) and the content (`image_key` for an
            image): texts, bytes, numbers, None, paths, number types and devices of torch, and
            tuples and frozen dataclasses of these.

    Raises:
        InputError: If it holds anything else.

    Examples:
        >>> len(stored_key(("clip", 336, "a.jpg")))
        64
        >>> stored_key((1,)) == stored_key((True,)), stored_key(("a", "b")) == stored_key(("ab",))
        (False, False)
        >>> stored_key(()) == stored_key(())
        True
    """
    digest = hashlib.sha256()
    for part in _parts(("groundplane features", FORMAT, _versions(), key), 0):
        digest.update(part)
    return digest.hexdigest()


@functools.cache
def _versions() -> tuple[str, ...]:
    """Versions of what makes features, `-` for what is not installed."""
    found = []
    for library in _LIBRARIES:
        try:
            found.append(metadata.version(library))
        except metadata.PackageNotFoundError:
            found.append("-")
    return tuple(found)


def _parts(value: object, depth: int) -> Iterator[bytes]:
    """A value type by type; every part says its length, so that no two values read alike."""
    if depth > _DEEPEST:
        raise InputError(f"feature store: a key nests deeper than {_DEEPEST} levels")
    if isinstance(value, tuple):
        yield b"t%d:" % len(value)
        for item in value:
            yield from _parts(item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind, fields = type(value), dataclasses.fields(value)
        yield from _sized(b"d", f"{kind.__module__}.{kind.__qualname__}".encode())
        yield from _parts(tuple((f.name, getattr(value, f.name)) for f in fields), depth + 1)
    else:
        yield from _sized(*_leaf(value))


def _sized(tag: bytes, data: bytes) -> Iterator[bytes]:
    yield b"%s%d:" % (tag, len(data))
    yield data


def _leaf(value: object) -> tuple[bytes, bytes]:
    match value:
        case None:
            return b"n", b""
        case bool():
            return b"b", b"1" if value else b"0"
        case int():
            return b"i", str(value).encode()
        case float():
            return b"f", value.hex().encode()
        case str():
            return b"s", value.encode("utf-8", "surrogatepass")
        case bytes():
            return b"y", value
        case PurePath():
            return b"p", str(value).encode("utf-8", "surrogatepass")
        case torch.dtype() | torch.device():
            return b"o", str(value).encode()
    raise InputError(
        f"feature store: a key holds a {type(value).__name__}, which has no form that is the same "
        "in every process; use texts, numbers, and tuples or frozen dataclasses of them"
    )

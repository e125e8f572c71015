"""Encodings of images and texts, kept by the hash of their content within a memory budget.

One store serves whoever encodes: experts, the mixture of features, prefetching. A key names the
maker and the content: the plugin, the identity of its weights and its preprocessing, and what was
encoded (`image_key` for an image), so that two plugins or two pictures never share an entry.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

import numpy as np

from groundplane.core.errors import InputError, OutputError
from groundplane.core.value_sizes import bytes_of, is_tensor, leaves_of

if TYPE_CHECKING:
    from torch import Tensor

    from groundplane.core.feature_packing import Packing
    from groundplane.core.feature_store import FeatureStore
    from groundplane.core.image import Image

__all__ = [
    "BUDGET",
    "STORE",
    "STORE_BUDGET",
    "CacheStats",
    "FeatureCache",
    "image_key",
    "shared_cache",
]

_log = logging.getLogger(__name__)

T = TypeVar("T")

BUDGET = "GROUNDPLANE_CACHE_BYTES"
STORE = "GROUNDPLANE_FEATURE_STORE"
STORE_BUDGET = "GROUNDPLANE_FEATURE_STORE_BYTES"
# About 60 pictures as a detector encodes them at 800 by 1066 in float32.
_DEFAULT_BUDGET = 2**30
# Points along each side at which the pixels themselves are looked at for a key.
_GRID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a cache has done so far.

    Attributes:
        hits: Values given without making them.
        misses: Values that were not in memory.
        read: Of the misses, those that the store on disk had; the rest was made.
        waits: Of the hits, those that another thread was just making.
        evictions: Values dropped for room.
        spoilt: Values dropped as somebody had written into them.
        entries: Values kept now.
        bytes: Size of the values kept now.
    """

    hits: int
    misses: int
    waits: int
    evictions: int
    spoilt: int
    entries: int
    bytes: int
    read: int = 0


class FeatureCache:
    """Keeps values by key; the least recently used go first when the budget is full.

    Safe from several threads. Threads that ask for one key at a time make it once: the others
    wait for it. What is given is the kept object itself, not a copy: whoever gets it may read it
    and must not write to it. A tensor that was written to nevertheless is found by its version
    counter at the next use, told in the log, and the value is made anew. Tensors made under
    `torch.inference_mode` carry no such counter; torch refuses to write to them outside of it.

    Args:
        budget_bytes: Most bytes kept at a time. A larger value is made and given, but not kept;
            0 keeps nothing.
        patience: Seconds to wait for another thread that makes the value; then it is made here
            too, so that one call that hangs does not hold up its key for ever.
        store: Where values that come with a packing are looked for before they are made, and
            kept after; None: nowhere.

    Raises:
        InputError: If the budget is negative or the patience not above 0.

    Examples:
        >>> cache = FeatureCache(1000)
        >>> cache.get_or_make(("upper", "a"), lambda: "A")
        'A'
        >>> cache.get_or_make(("upper", "a"), lambda: "not asked")
        'A'
        >>> cache.stats.hits, cache.stats.misses
        (1, 1)
        >>> FeatureCache(0).stats.entries
        0
    """

    def __init__(
        self, budget_bytes: int, *, patience: float = 60.0, store: FeatureStore | None = None
    ) -> None:
        self._budget = _checked_budget(budget_bytes)
        if not 0 < patience <= threading.TIMEOUT_MAX:
            raise InputError(f"feature cache: expected a patience above 0 s, got {patience}")
        self._patience = patience
        self._store = store
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._bytes = 0
        self._hits = self._misses = self._waits = self._evictions = self._spoilt = self._read = 0

    @property
    def budget_bytes(self) -> int:
        """Most bytes kept at a time."""
        return self._budget

    @property
    def stats(self) -> CacheStats:
        """What was done so far."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                waits=self._waits,
                evictions=self._evictions,
                spoilt=self._spoilt,
                entries=len(self._entries),
                bytes=self._bytes,
                read=self._read,
            )

    def get_or_make(
        self,
        key: Hashable,
        make: Callable[[], T],
        size: Callable[[T], int] | None = None,
        *,
        packing: Packing[T] | None = None,
    ) -> T:
        """Give the value of a key, made at most once while it is kept.

        Args:
            key: Names the maker (plugin, weights, preprocessing) and the content.
            make: Makes the value; what it raises passes through and nothing is kept.
            size: Bytes of a value; `bytes_of` if None.
            packing: The value as tensors and back, for the store on disk; without it the value
                is kept in memory alone.

        Returns:
            The kept object itself; it must not be written to.
        """
        while True:
            with self._lock:
                entry = self._fresh(key)
                if entry is not None:
                    self._hits += 1
                    return cast(T, entry.value)
                making = self._making.get(key)
                if making is None or making.owner == threading.get_ident():
                    making = self._making[key] = _Making(owner=threading.get_ident())
                    self._misses += 1
                    break
            if making.done.wait(self._patience):
                if making.made:
                    with self._lock:
                        self._hits += 1
                        self._waits += 1
                    return cast(T, making.value)
                continue  # it failed there, so it is tried here
            with self._lock:
                if self._making.get(key) is making:
                    del self._making[key]
        mine = {key: (0, making)}
        return self._make_batch(mine, lambda at: [make()], _Ways(size or bytes_of, packing))[key]

    def get_or_make_all(
        self,
        keys: Sequence[Hashable],
        make: Callable[[list[int]], Sequence[T]],
        size: Callable[[T], int] | None = None,
        *,
        packing: Packing[T] | None = None,
    ) -> list[T]:
        """Give the values of keys; those that are missing are made together, as one batch.

        Args:
            keys: One a value; alike keys are made once.
            make: Makes the values at some places of `keys`, in that order. What another thread
                is just making is not among them; it is waited for.
            size: See `get_or_make`.
            packing: See `get_or_make`.

        Raises:
            InputError: If `make` gives another number of values. What it raises passes through.

        Examples:
            >>> cache = FeatureCache(10_000)
            >>> cache.get_or_make_all(["a", "b", "a"], lambda at: [f"made at {i}" for i in at])
            ['made at 0', 'made at 1', 'made at 0']
            >>> cache.get_or_make_all([], lambda at: [])
            []
        """
        values: dict[Hashable, T] = {}
        mine: dict[Hashable, tuple[int, _Making]] = {}
        others: dict[Hashable, int] = {}
        with self._lock:
            for place, key in enumerate(keys):
                if key in values or key in mine or key in others:
                    continue
                if (entry := self._fresh(key)) is not None:
                    self._hits += 1
                    values[key] = cast(T, entry.value)
                elif key in self._making and self._making[key].owner != threading.get_ident():
                    others[key] = place
                else:
                    self._misses += 1
                    self._making[key] = _Making(owner=threading.get_ident())
                    mine[key] = place, self._making[key]
        if mine:
            values |= self._make_batch(mine, make, _Ways(size or bytes_of, packing))
        for key, place in others.items():
            one = functools.partial(_only, make, place)
            values[key] = self.get_or_make(key, one, size, packing=packing)
        return [values[key] for key in keys]

    def resize(self, budget_bytes: int) -> None:
        """Change the budget; what no longer fits is dropped."""
        budget = _checked_budget(budget_bytes)
        with self._lock:
            self._budget = budget
            dropped = self._make_room(0)
        del dropped

    def clear(self) -> None:
        """Drop everything, as when a device runs out of memory."""
        with self._lock:
            dropped, self._entries = self._entries, OrderedDict()
            self._bytes = 0
        del dropped  # freeing may take long and needs no lock

    def _make_batch(
        self,
        mine: Mapping[Hashable, tuple[int, _Making]],
        make: Callable[[list[int]], Sequence[T]],
        ways: _Ways[T],
    ) -> dict[Hashable, T]:
        dropped: list[_Entry] = []
        try:
            entries = self._stored(mine, ways)
            missing = [key for key in mine if key not in entries]
            made = make([mine[key][0] for key in missing]) if missing else []
            if len(made) != len(missing):
                raise InputError(
                    f"feature cache: expected {len(missing)} values from the maker, got {len(made)}"
                )
            for key, value in zip(missing, made, strict=True):
                entries[key] = _entry(value, ways.size(value))
                self._put(key, value, ways)
            with self._lock:
                self._read += len(mine) - len(missing)
                for key, (_, making) in mine.items():
                    making.value, making.made = entries[key].value, True
                    dropped += self._keep(key, entries[key])
        finally:
            with self._lock:
                for key, (_, making) in mine.items():
                    if self._making.get(key) is making:
                        del self._making[key]
            for _, making in mine.values():
                making.done.set()
        del dropped
        return {key: cast(T, entry.value) for key, entry in entries.items()}

    def _stored(self, keys: Iterable[Hashable], ways: _Ways[T]) -> dict[Hashable, _Entry]:
        """What the store on disk has of some keys."""
        entries: dict[Hashable, _Entry] = {}
        if self._store is None or ways.packing is None:
            return entries
        for key in keys:
            if (read := self._store.get(key, device=ways.packing.device)) is not None:
                # Views of a file: the whole of it is not what this value takes.
                size = sum(tensor.nbytes for tensor in read.values())
                entries[key] = _entry(ways.packing.unpack(read), size)
        return entries

    def _put(self, key: Hashable, value: T, ways: _Ways[T]) -> None:
        if self._store is None or ways.packing is None or self._store.read_only:
            return
        try:
            self._store.put(key, ways.packing.pack(value))
        except OutputError as error:
            # The value itself is made: a full disk must not cost the answer.
            _log.warning("%s; what was encoded is kept in memory alone", error)

    def _fresh(self, key: Hashable) -> _Entry | None:
        """The entry of a key that nobody has written into, now the last to go."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.versions == tuple(tensor._version for tensor in entry.tensors):
            self._entries.move_to_end(key)
            return entry
        del self._entries[key]
        self._bytes -= entry.bytes
        self._spoilt += 1
        _log.warning("an encoding was written to after it was cached and is made anew: %r", key)
        return None

    def _keep(self, key: Hashable, entry: _Entry) -> list[_Entry]:
        dropped = [old] if (old := self._entries.pop(key, None)) is not None else []
        self._bytes -= sum(entry.bytes for entry in dropped)
        if entry.bytes > self._budget:
            return dropped
        dropped += self._make_room(entry.bytes)
        self._entries[key] = entry
        self._bytes += entry.bytes
        return dropped

    def _make_room(self, wanted: int) -> list[_Entry]:
        """Take out the least recently used until so many bytes are free; freed by the caller."""
        dropped = []
        while self._entries and self._bytes + wanted > self._budget:
            _, entry = self._entries.popitem(last=False)
            self._bytes -= entry.bytes
            self._evictions += 1
            dropped.append(entry)
        return dropped


@functools.cache
def shared_cache() -> FeatureCache:
    """The cache of this process, which experts use unless they are given another.

    Its budget is 1 GiB, or what the environment variable `GROUNDPLANE_CACHE_BYTES` says when it
    is first used; `resize` changes it later. `GROUNDPLANE_FEATURE_STORE` names a folder in which
    a `FeatureStore` keeps what experts encode beyond this process; without it nothing is written.
    `GROUNDPLANE_FEATURE_STORE_BYTES` bounds the folder; without it, it grows.

    Raises:
        InputError: If a budget is no whole number, or the folder is refused.
        OutputError: If the folder cannot be made.
    """
    folder = os.environ.get(STORE, "").strip()
    store = _open_store(folder, _stated(STORE_BUDGET, least=1)) if folder else None
    budget = _stated(BUDGET)
    return FeatureCache(_DEFAULT_BUDGET if budget is None else budget, store=store)


def _stated(variable: str, *, least: int = 0) -> int | None:
    """A number of bytes in the environment, None where there is none."""
    said = os.environ.get(variable, "").strip()
    if said and not (said.isascii() and said.isdigit() and int(said) >= least):
        raise InputError(
            f"{variable}: expected a whole number of bytes, {least} or more, got {said!r}"
        )
    return int(said) if said else None


def _open_store(folder: str, budget: int | None) -> FeatureStore:
    # Here, since it loads torch, which a cache of texts does not need.
    from groundplane.core.feature_store import FeatureStore

    return FeatureStore(folder, budget)


def image_key(image: Image) -> tuple[Hashable, ...]:
    """What an image is to a cache: its content hash, its size and frame, and a look at its pixels.

    The look, at a grid of 64 by 64 points, keeps apart pictures that only claim to be one.

    Examples:
        >>> from groundplane.testing.detectors import make_image
        >>> black = make_image(np.zeros((2, 3, 3), np.uint8))
        >>> image_key(black) == image_key(make_image(np.zeros((2, 3, 3), np.uint8)))
        True
        >>> image_key(black) == image_key(make_image(np.ones((2, 3, 3), np.uint8)))
        False
    """
    height, width = image.pixels.shape[:2]
    down, across = max(1, -(-height // _GRID)), max(1, -(-width // _GRID))
    seen = np.ascontiguousarray(image.pixels[::down, ::across])
    frame = np.ascontiguousarray(image.frame_map.matrix, dtype=np.float64).tobytes()
    return (image.source.content_hash, width, height, frame, zlib.crc32(seen.tobytes()))


class _Ways(NamedTuple, Generic[T]):
    """How the values of a call are measured, and packed for the disk."""

    size: Callable[[T], int]
    packing: Packing[T] | None


@dataclass(slots=True, eq=False, kw_only=True)
class _Making:
    """A value that a thread is just making."""

    owner: int
    done: threading.Event = dataclasses.field(default_factory=threading.Event)
    made: bool = False
    value: object = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Entry:
    """A kept value, its size, and how often each of its tensors had been written to."""

    value: object
    bytes: int
    tensors: tuple[Tensor, ...]
    versions: tuple[int, ...]


def _checked_budget(budget: int) -> int:
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 0:
        raise InputError(f"feature cache: expected a budget of 0 bytes or more, got {budget!r}")
    return budget


def _entry(value: object, size: int) -> _Entry:
    found = [cast("Tensor", leaf) for leaf in leaves_of(value) if is_tensor(leaf)]
    # Those of inference mode count no writes.
    tensors = tuple(tensor for tensor in found if not tensor.is_inference())
    versions = tuple(tensor._version for tensor in tensors)
    return _Entry(value=value, bytes=size, tensors=tensors, versions=versions)


def _only(make: Callable[[list[int]], Sequence[T]], place: int) -> T:
    return make([place])[0]

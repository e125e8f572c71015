"""Encodings kept on disk, so that no picture is encoded twice by one encoder, in any process.

A folder holds `store.json` (which format it is), `shards/` (safetensors, written whole and never
changed) and `index.jsonl` (one line a shard). A killed process loses what it had not yet written;
a shard that is cut off or altered is named in the log, and what it held is made anew.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor

from groundplane.core.errors import InputError, OutputError
from groundplane.core.feature_index import FeatureIndex, Listed, is_shard_name
from groundplane.core.feature_keys import FORMAT, stored_key
from groundplane.core.feature_packing import Packing
from groundplane.core.feature_shards import DamagedShardError, Shard, checked_tensors, write_shard
from groundplane.core.files import write_whole

__all__ = ["FeatureStore", "StoreStats"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_MARK = "groundplane feature store"
# A shard is written when so many bytes, encodings or seconds have gathered.
_SHARD_BYTES = 64 * 2**20
_SHARD_ENTRIES = 4096
_SHARD_SECONDS = 30.0
# Drafts of processes that were killed are taken away after an hour.
_DRAFT_AGE = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What a store holds, and what was done with it since it was opened.

    Attributes:
        hits: Encodings that were there.
        misses: Encodings that were not.
        puts: Encodings taken in.
        entries: Encodings on disk now.
        pending: Encodings taken in and not yet written.
        shards: Files now.
        bytes: Their size.
        evicted: Shards given up for room.
        damaged: Shards found cut off, altered or gone.
    """

    hits: int
    misses: int
    puts: int
    entries: int
    pending: int
    shards: int
    bytes: int
    evicted: int
    damaged: int


class FeatureStore:
    """Keeps named tensors by key in a folder that several processes may use at a time.

    What is read is a view of the file in memory (on the CPU), not a copy: nothing may write to
    it. Whoever does changes no file, and through torch nothing that is read next; a write through
    NumPy goes unnoticed in its own process. Safe from several threads.

    Args:
        folder: Is made if it is not there.
        budget_bytes: Most bytes of all shards; the oldest go first. None: no limit. Processes
            that write at one time may pass it by a shard each.
        read_only: Whether nothing is ever written.

    Raises:
        InputError: If the folder is something else, or of another version of the format.
        OutputError: If it cannot be made.

    Examples:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with FeatureStore(folder.name) as store:
        ...     store.put(("clip", "a.jpg"), {"tokens": torch.ones(2, 3)})
        >>> with FeatureStore(folder.name, read_only=True) as store:
        ...     print(store.get(("clip", "a.jpg"))["tokens"].shape, store.get(("clip", "b.jpg")))
        torch.Size([2, 3]) None
        >>> folder.cleanup()
    """

    def __init__(
        self, folder: str | Path, budget_bytes: int | None = None, *, read_only: bool = False
    ) -> None:
        if budget_bytes is not None and (type(budget_bytes) is not int or budget_bytes < 1):
            raise InputError(
                f"feature store: expected a budget above 0 bytes or None, got {budget_bytes!r}"
            )
        self._folder = Path(folder)
        self._budget = budget_bytes
        self._read_only = read_only
        self._lock = threading.RLock()
        self._open: dict[str, Shard] = {}
        self._pending: dict[str, dict[str, Tensor]] = {}
        self._pending_bytes, self._pending_since, self._owner = 0, 0.0, os.getpid()
        self._hits = self._misses = self._puts = self._evicted = self._damaged = 0
        _check_folder(self._folder, read_only=read_only)
        self._index = FeatureIndex(self._folder / "index.jsonl")
        self._index.refresh()
        if not read_only:
            self._tidy()
            atexit.register(_flush_at_exit, weakref.ref(self))

    def __enter__(self) -> Self:
        return self

    def __del__(self) -> None:
        if getattr(self, "_pending", None):  # a store that was refused has none
            _write_last(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    @property
    def read_only(self) -> bool:
        """Whether nothing is ever written."""
        return self._read_only

    @property
    def stats(self) -> StoreStats:
        """What it holds now, by whichever process, and what was done here."""
        with self._lock:
            self._index.refresh()
            return StoreStats(
                hits=self._hits,
                misses=self._misses,
                puts=self._puts,
                entries=self._index.num_entries,
                pending=len(self._pending),
                shards=len(self._index.shards),
                bytes=self._index.num_bytes,
                evicted=self._evicted,
                damaged=self._damaged,
            )

    def get(self, key: Hashable, *, device: str | torch.device = "cpu") -> dict[str, Tensor] | None:
        """The tensors of a key, or None if they are not there.

        Args:
            key: See `stored_key`.
            device: Where they are put. On the CPU they are views of the file; see the class.

        Raises:
            InputError: If the key has no form that is the same in every process.
        """
        found = self._found(stored_key(key))
        with self._lock:
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
        return {name: tensor.to(device) for name, tensor in found.items()}

    def put(self, key: Hashable, tensors: Mapping[str, Tensor]) -> None:
        """Take in tensors; what the key already has stays. They are copied to the CPU at once.

        They are on disk when a shard of 64 MiB has gathered, when half a minute has passed, at
        `flush`, or when the store is let go of or the process ends on its own.

        Raises:
            InputError: If the key or a tensor cannot be stored, or the store is for reading only.
            OutputError: If a shard cannot be written; what had gathered is lost.
        """
        if self._read_only:
            raise InputError(f"feature store: {self._folder} was opened for reading only")
        name = stored_key(key)
        with self._lock:
            self._forget_parent()
            if name in self._pending or self._index.find(name) is not None:
                return
        kept = checked_tensors(tensors)
        with self._lock:
            if name in self._pending:
                return
            if not self._pending:
                self._pending_since = time.monotonic()
            self._pending[name] = kept
            self._pending_bytes += sum(tensor.nbytes for tensor in kept.values())
            self._puts += 1
            if (
                self._pending_bytes >= self._shard_bytes()
                or len(self._pending) >= _SHARD_ENTRIES
                or time.monotonic() - self._pending_since > _SHARD_SECONDS
            ):
                self.flush()

    def get_or_make_all(
        self,
        keys: Sequence[Hashable],
        make: Callable[[list[int]], Sequence[T]],
        packing: Packing[T],
    ) -> list[T]:
        """The values of keys; those that are not there are made together, and kept.

        Args:
            keys: One a value; alike keys are made once.
            make: Makes the values at some places of `keys`, in that order.
            packing: Between values and tensors.

        Raises:
            InputError: If `make` gives another number of values. What it raises passes through.
        """
        values: dict[Hashable, T] = {}
        missing: dict[Hashable, int] = {}
        for place, key in enumerate(keys):
            if key in values or key in missing:
                continue
            if (read := self.get(key, device=packing.device)) is None:
                missing[key] = place
            else:
                values[key] = packing.unpack(read)
        made = make(list(missing.values())) if missing else []
        if len(made) != len(missing):
            raise InputError(
                f"feature store: expected {len(missing)} values from the maker, got {len(made)}"
            )
        for key, value in zip(missing, made, strict=True):
            values[key] = value
            if not self._read_only:
                self.put(key, packing.pack(value))
        return [values[key] for key in keys]

    def flush(self) -> None:
        """Write what has gathered.

        Raises:
            OutputError: If it cannot be written; it is lost then.
        """
        with self._lock:
            self._forget_parent()
            pending, size = self._pending, self._pending_bytes
            self._pending, self._pending_bytes = {}, 0
            if not pending:
                return
            if self._budget is not None and size > self._budget:
                # Written, it would push out everything and then itself.
                _log.warning(
                    "feature store: %s: %d bytes are more than the budget of %d and are not kept",
                    self._folder, size, self._budget,
                )  # fmt: skip
                return
            self._index.refresh()
            name = f"{secrets.token_hex(8)}.safetensors"
            path = self._folder / "shards" / name
            size = write_shard(path, pending)
            self._index.add([Listed(name=name, num_bytes=size, keys=tuple(pending))])
            self._make_room()

    def clear(self) -> None:
        """Take away everything, what other processes wrote too.

        Raises:
            InputError: If the store is for reading only.
            OutputError: If the index cannot be written.
        """
        if self._read_only:
            raise InputError(f"feature store: {self._folder} was opened for reading only")
        with self._lock:
            self._pending, self._pending_bytes = {}, 0
            self._index.refresh()
            self._give_up(list(self._index.shards))

    def _found(self, name: str) -> dict[str, Tensor] | None:
        with self._lock:
            self._forget_parent()
            if (kept := self._pending.get(name)) is not None:
                return {part: tensor.clone() for part, tensor in kept.items()}
            where = self._index.find(name)
            if where is None:
                self._index.refresh()
                where = self._index.find(name)
            if where is None:
                return None
            shard = self._shard(where)
        try:
            return None if shard is None else shard.read(name)
        except (DamagedShardError, KeyError) as error:
            self._lose(where, str(error))
            return None

    def _shard(self, name: str) -> Shard | None:
        """A shard in memory, mapped anew if somebody wrote to the mapping."""
        shard = self._open.get(name)
        if shard is None or shard.spoilt:
            self._open = {n: s for n, s in self._open.items() if n in self._index.shards}
            try:
                shard = self._open[name] = Shard(self._folder / "shards" / name)
            except FileNotFoundError:
                self._index.refresh()
                if name not in self._index.dropped:  # else another process just gave it up
                    self._lose(name, f"feature store: {self._folder}: {name} is gone")
                return None
            except DamagedShardError as error:
                self._lose(name, str(error))
                return None
        return shard

    def _lose(self, name: str, why: str) -> None:
        _log.warning("%s; what it held is made anew", why)
        with self._lock:
            self._damaged += 1
            if self._read_only:
                self._open.pop(name, None)
                self._index.forget(name)
            else:
                self._give_up([name])

    def _make_room(self) -> None:
        """Give up the oldest shards until the budget is kept."""
        if self._budget is None:
            return
        over, old = self._index.num_bytes - self._budget, []
        for shard in self._index.shards.values():
            if over <= 0:
                break
            old.append(shard.name)
            over -= shard.num_bytes
        self._evicted += len(old)
        if old:
            self._give_up(old)

    def _give_up(self, names: Sequence[str]) -> None:
        # The index first: a file that no line names would be found again.
        self._index.drop(names)
        for name in names:
            self._open.pop(name, None)
            _unlink(self._folder / "shards" / name)

    def _tidy(self) -> None:
        """Take up shards that a killed process wrote and did not list, and clear away drafts."""
        shards = self._folder / "shards"
        found = []
        for path in sorted(shards.iterdir()):
            if path.name in self._index.shards:
                continue
            if path.name in self._index.dropped:
                _unlink(path)
            elif path.name.endswith(".part"):
                if _age(path) > _DRAFT_AGE:
                    _unlink(path)
            else:
                found += _taken_up(path)
        if found:
            self._index.add(found)

    def _forget_parent(self) -> None:
        """In a forked child what had gathered is the parent's, which writes it."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._pending, self._pending_bytes = {}, 0

    def _shard_bytes(self) -> int:
        # Eight shards or more in the budget, so that not half of it goes at once.
        return _SHARD_BYTES if self._budget is None else min(_SHARD_BYTES, self._budget // 8)


def _check_folder(folder: Path, *, read_only: bool) -> None:
    """Only a folder of this format is used; an empty one becomes one."""
    mark = folder / "store.json"
    try:
        if mark.exists():
            _check_version(mark)
        elif read_only:
            raise InputError(
                f"feature store: {folder} is no feature store; there is no {mark.name}"
            )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            if others and "store.json" not in others:
                raise InputError(
                    f"feature store: {folder} holds other files ({sorted(others)[0]!r}) and no "
                    "store.json; name an empty or a new folder"
                )
            write_whole(mark, json.dumps({"format": _MARK, "version": FORMAT}).encode())
        if not read_only:
            (folder / "shards").mkdir(exist_ok=True)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"feature store: {folder}: cannot be used: {error.strerror or error}"
        ) from error


def _check_version(mark: Path) -> None:
    try:
        said = json.loads(mark.read_bytes())
        named, version = said["format"], said["version"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"feature store: {mark} is malformed ({error!r}); name a new folder"
        ) from error
    if named != _MARK:
        raise InputError(f"feature store: {mark} is of something else: {str(named)[:80]!r}")
    if version != FORMAT:
        raise InputError(
            f"feature store: {mark.parent} is a cache from another version ({str(version)[:20]}; "
            f"this groundplane reads {FORMAT}); name a new folder, or take this one away"
        )


def _taken_up(path: Path) -> list[Listed]:
    """A shard that the index does not name, if it is one; whatever else it is stays there."""
    if not is_shard_name(path.name):
        _log.warning("feature store: %s is no name of a shard; it is left where it is", path)
        return []
    try:
        shard = Shard(path)
        return [Listed(name=path.name, num_bytes=path.stat().st_size, keys=shard.keys)]
    except FileNotFoundError:  # another process just gave it up
        return []
    except DamagedShardError as error:
        _log.warning("%s; it is left where it is", error)
        return []


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("feature store: %s cannot be taken away: %s", path, error.strerror or error)


def _age(draft: Path) -> float:
    """Seconds since a draft was written to; 0 if another process just finished it."""
    try:
        return time.time() - draft.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _flush_at_exit(reference: weakref.ref[FeatureStore]) -> None:
    store = reference()
    if store is not None:
        _write_last(store)


def _write_last(store: FeatureStore) -> None:
    """Flush where nobody is left to be told but the log."""
    try:
        store.flush()
    except (InputError, OutputError) as error:
        _log.warning("%s; what had gathered is lost", error)

"""The index of a feature store: which shard holds which encoding, one line a shard.

Several processes append to one file without a lock: a line is one write at the file's end, and
begins with a line end of its own, so that what a killed process left of a line ends there.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from groundplane.core.errors import InputError, OutputError

__all__ = ["FeatureIndex", "Listed", "is_shard_name"]

_log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9a-f]{16}\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A shard of the index.

    Attributes:
        name: File name.
        num_bytes: Size of the file.
        keys: The encodings in it.
    """

    name: str
    num_bytes: int
    keys: tuple[str, ...]


def is_shard_name(name: str) -> bool:
    """Whether a file name is one that a store gives to its shards.

    Examples:
        >>> is_shard_name("0123456789abcdef.safetensors"), is_shard_name("notes.txt")
        (True, False)
        >>> is_shard_name("")
        False
    """
    return _NAME.fullmatch(name) is not None


class FeatureIndex:
    """What the index says now; `refresh` reads what was appended since.

    Args:
        path: The file; it need not be there yet.

    Attributes:
        shards: Those that are kept, oldest first, by name.
        dropped: Names of shards that were given up.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._seen = 0
        self.shards: dict[str, Listed] = {}
        self.dropped: set[str] = set()
        self._where: dict[str, str] = {}

    @property
    def num_bytes(self) -> int:
        """Size of all kept shards."""
        return sum(shard.num_bytes for shard in self.shards.values())

    @property
    def num_entries(self) -> int:
        """How many encodings are kept."""
        return len(self._where)

    def find(self, key: str) -> str | None:
        """The shard that holds an encoding."""
        return self._where.get(key)

    def refresh(self) -> None:
        """Read the lines that were appended, by whichever process.

        Raises:
            InputError: If the file is there and cannot be read.
        """
        try:
            size = self._path.stat().st_size
            if size == self._seen:
                return
            if size < self._seen:  # it was taken away and begun anew
                self._begin()
            with self._path.open("rb") as file:
                file.seek(self._seen)
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"feature store: {self._path}: cannot be read: {reason}") from error
        whole = data.rfind(b"\n") + 1  # what follows is just being written
        self._seen += whole
        for line in data[:whole].splitlines():
            if line.strip():
                self._take(line)

    def add(self, shards: Iterable[Listed]) -> None:
        """Append shards, those that were written or found.

        Raises:
            OutputError: If the index cannot be written.
        """
        for shard in shards:
            self._append({"add": shard.name, "bytes": shard.num_bytes, "keys": shard.keys})

    def drop(self, names: Iterable[str]) -> None:
        """Append that shards are given up.

        Raises:
            OutputError: If the index cannot be written.
        """
        self._append({"drop": list(names)})

    def forget(self, name: str) -> None:
        """No longer look for anything in a shard; for a store that may not write."""
        self.dropped.add(name)
        shard = self.shards.pop(name, None)
        for key in shard.keys if shard is not None else ():
            if self._where.get(key) == name:
                del self._where[key]

    def _append(self, record: dict[str, object]) -> None:
        line = b"\n" + json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.write(file, line) != len(line):
                    raise OSError("only a part could be written")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"feature store: {self._path}: cannot be written: {reason}"
            ) from error
        self.refresh()

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            if "drop" in record:
                for name in record["drop"]:
                    self.forget(_NAME.fullmatch(name)[0])  # type: ignore[index]
                return
            shard = Listed(
                name=_NAME.fullmatch(record["add"])[0],  # type: ignore[index]
                num_bytes=int(record["bytes"]),
                keys=tuple(_KEY.fullmatch(key)[0] for key in record["keys"]),  # type: ignore[index]
            )
            if shard.num_bytes < 0:
                raise ValueError(shard.num_bytes)
        except (
            LookupError,
            TypeError,
            ArithmeticError,
            ValueError,
            AttributeError,
            RecursionError,
        ):
            shown = line[:80].decode("utf-8", "replace")
            _log.warning("feature store: %s: a line is skipped: %r", self._path, shown)
            return
        if shard.name not in self.dropped:
            self.shards[shard.name] = shard
            self._where.update(dict.fromkeys(shard.keys, shard.name))

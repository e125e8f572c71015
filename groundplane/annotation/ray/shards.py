"""Which machine does what: the items of a source in shards, each a file that lists its own.

An item's shard follows from its path alone. A listing is plain JSON lines, so that a task that
begins anew, on whatever machine, gets the very items that the first one got, without listing the
source again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from groundplane.annotation.decoding.item_json import item_of, item_record
from groundplane.annotation.items import Item
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import one_line

__all__ = ["ShardListing", "count_try", "shard_of", "write_shards"]

# Bytes of all listings together that wait in memory; a file each would need as many descriptors.
_HELD = 64 * 2**20
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def shard_of(path: str, num_shards: int) -> int:
    """The shard of an item.

    Examples:
        >>> shard_of("a/1.jpg", 8), shard_of("a/2.jpg", 8)
        (3, 6)
        >>> shard_of("", 1)
        0
    """
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % num_shards


def write_shards(items: Iterable[Item], folder: Path, *, num_shards: int) -> list[int]:
    """List items by shard in files of a folder; those of an earlier call are replaced.

    Args:
        items: What is to be done, taken one at a time.
        folder: Where the listings go, `00000.items` and so on; it is made if it is not there.
        num_shards: How many; a shard without items gets no file.

    Returns:
        How many items each shard has.

    Raises:
        InputError: If an item is an object of this program, which no other machine has.
        OutputError: If a listing cannot be written.
    """
    if num_shards < 1:
        raise InputError(f"shards: expected 1 or more, got {num_shards}")
    counts = [0] * num_shards
    lines: dict[int, list[bytes]] = {}
    held = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending in ("items", "items.part", "tries"):
            for old in folder.glob(f"*.{ending}"):
                old.unlink()
        for item in items:
            line = _line(item)
            shard = shard_of(item.path, num_shards)
            counts[shard] += 1
            lines.setdefault(shard, []).append(line)
            held += len(line)
            if held >= _HELD:
                _spill(lines, folder)
                held = 0
        _spill(lines, folder)
        # A listing that has its name is whole.
        for shard, count in enumerate(counts):
            if count:
                os.replace(_file(folder, shard, ".part"), _file(folder, shard))
    except OSError as error:
        raise OutputError(
            f"{one_line(str(folder))}: listings cannot be written: {error.strerror or error}"
        ) from error
    return counts


def count_try(folder: Path, shard: int) -> int:
    """Note that a shard is begun; how often it was since its list was written.

    Raises:
        OutputError: If that cannot be written.
    """
    path = folder / f"{shard:05d}.tries"
    try:
        with path.open("ab") as file:
            file.write(b".")
            return file.tell()
    except OSError as error:
        raise OutputError(f"{one_line(str(path))}: cannot be written: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardListing:
    """The items of one shard; it is a `Listing`.

    Attributes:
        folder: Where `write_shards` put its file.
        shard: Which one.
    """

    folder: Path
    shard: int

    def items(self) -> Iterator[Item]:
        """The items, in the order in which the source listed them.

        Raises:
            InputError: If the file is gone or malformed.
        """
        for number, line in enumerate(self._lines(), 1):
            try:
                yield item_of(json.loads(line))
            except _MALFORMED as error:
                raise InputError(f"{self._name}: line {number} is no item: {error!r}") from error

    def count(self) -> int:
        """How many there are."""
        return sum(1 for _ in self._lines())

    @property
    def _name(self) -> str:
        return f"listing {one_line(str(_file(self.folder, self.shard)))}"

    def _lines(self) -> Iterator[bytes]:
        try:
            with _file(self.folder, self.shard).open("rb") as file:
                yield from file
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read: {error.strerror or error}") from error


def _file(folder: Path, shard: int, ending: str = "") -> Path:
    return folder / f"{shard:05d}.items{ending}"


def _line(item: Item) -> bytes:
    if item.held is not None:
        raise InputError(
            f"shards: {one_line(item.path)!r} is an object of this program, which other machines "
            "do not have; give a folder, a list of files or an address"
        )
    # ASCII only, so that half a surrogate pair in a name comes back.
    return json.dumps(item_record(item), separators=(",", ":")).encode("ascii") + b"\n"


def _spill(lines: dict[int, list[bytes]], folder: Path) -> None:
    for shard, waiting in lines.items():
        with _file(folder, shard, ".part").open("ab") as file:
            file.writelines(waiting)
    lines.clear()

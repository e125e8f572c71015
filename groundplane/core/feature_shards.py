"""Shards of the feature store: whole files of encodings, written once and read in place.

A shard is a safetensors file; its metadata list the encodings in it, their tensors and their
checksums, so a shard is sound by itself and says what it holds without any index.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from groundplane.core.checkpoints import check_tensors
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_keys import FORMAT
from groundplane.core.files import write_whole
from groundplane.core.hub import need_library

__all__ = ["DamagedShardError", "Shard", "checked_tensors", "write_shard"]

_WHO = "feature store"
_MARK = "groundplane-features"
_KEY = re.compile(r"[0-9a-f]{64}")
# Names in safetensors; what torch has beyond these is not stored.
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_MALFORMED = (LookupError, TypeError, ArithmeticError, ValueError, AttributeError, RecursionError)


class DamagedShardError(WeightsError):
    """A shard is cut off, altered, or not of this store; what it held is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a tensor lies in a shard, bytes."""

    start: int
    stop: int
    dtype: torch.dtype
    shape: tuple[int, ...]


def checked_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Own copies on the CPU, laid out as a file has them.

    Raises:
        InputError: If a value is no dense tensor of a type that safetensors has.
    """
    for name, tensor in tensors.items():
        dense = isinstance(tensor, Tensor) and tensor.layout == torch.strided
        if not dense or tensor.is_meta or tensor.dtype not in _DTYPES.values():
            got = (
                f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
                if isinstance(tensor, Tensor)
                else type(tensor)
            )
            raise InputError(
                f"{_WHO}: {name!r}: expected a dense tensor of real numbers or booleans, got {got}"
            )
    with torch.inference_mode(False):
        return {
            name: torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format)
            .copy_(tensor.detach())
            for name, tensor in tensors.items()
        }  # fmt: skip


def write_shard(path: Path, entries: Mapping[str, Mapping[str, Tensor]]) -> int:
    """Write encodings, whole or not at all.

    Args:
        path: A new file.
        entries: By key, tensors as `checked_tensors` gives them.

    Returns:
        Size of the file, bytes.

    Raises:
        OutputError: If it cannot be written; nothing is left behind.
    """
    library = need_library("safetensors.torch", who=_WHO)
    flat, held = {}, {}
    for key, tensors in entries.items():
        names = sorted(tensors)
        flat.update({f"{key}.{name}": tensors[name] for name in names})
        held[key] = [_checksum([_bytes(tensors[name]) for name in names]), names]
    data = library.save(flat, metadata={_MARK: str(FORMAT), "entries": json.dumps(held)})
    write_whole(path, data)
    return len(data)


class Shard:
    """A shard mapped into memory: nothing is read before it is used, and nothing is copied.

    What is given are views of the mapping. Whoever writes to one changes neither the file nor
    another process, and `spoilt` then says that this mapping is no longer what the file holds.

    Raises:
        DamagedShardError: If the file is not a whole shard of this format.
        FileNotFoundError: If there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            check_tensors(path, who=_WHO)
        except WeightsError as error:
            raise DamagedShardError(str(error)) from error
        header, begin = _header(path)
        self._entries = self._listed(header, begin)
        self._sound: set[str] = set()
        with torch.inference_mode(False):
            self._all: UInt8[Tensor, " bytes"] = torch.from_file(
                str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """What it holds."""
        return tuple(self._entries)

    @property
    def spoilt(self) -> bool:
        """Whether somebody wrote to a tensor that this mapping gave."""
        return self._all._version != 0

    def read(self, key: str) -> dict[str, Tensor]:
        """The tensors of an encoding; the first time its checksum is compared.

        Raises:
            KeyError: If it does not hold the encoding.
            DamagedShardError: If the bytes are not those that were written.
        """
        checksum, places = self._entries[key]
        if key not in self._sound:
            bytes_of = [self._all[place.start : place.stop] for place in places.values()]
            if _checksum(bytes_of) != checksum:
                raise DamagedShardError(
                    f"{_WHO}: {self._path}: the checksum of {key[:12]} does not fit its bytes"
                )
            self._sound.add(key)
        with torch.inference_mode(False):
            return {name: self._view(place) for name, place in places.items()}

    def _view(self, place: _Place) -> Tensor:
        part = self._all[place.start : place.stop]
        if place.start % place.dtype.itemsize:
            part = part.clone()  # a file of another writer, which laid it out unevenly
        return part.view(place.dtype).reshape(place.shape)

    def _listed(
        self, header: dict[str, Any], begin: int
    ) -> dict[str, tuple[int, dict[str, _Place]]]:
        """What the header says that it holds, every item of it checked."""
        notes = header.get("__metadata__")
        if not isinstance(notes, dict) or notes.get(_MARK) != str(FORMAT):
            raise self._fault(f"it is no shard of format {FORMAT}")
        try:
            held = json.loads(notes["entries"])
            places = {
                name: _placed(entry, begin)
                for name, entry in header.items()
                if name != "__metadata__"
            }
            return {
                str(_KEY.fullmatch(key)[0]): (  # type: ignore[index]
                    int(checksum),
                    {name: places[f"{key}.{name}"] for name in names},
                )
                for key, (checksum, names) in held.items()
            }
        except _MALFORMED as error:
            raise self._fault(f"its list of encodings is malformed: {error!r}") from error

    def _fault(self, what: str) -> DamagedShardError:
        return DamagedShardError(f"{_WHO}: {self._path}: {what}")


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a file that `check_tensors` passed, and where its tensors begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def _placed(entry: Mapping[str, Any], begin: int) -> _Place:
    start, stop = entry["data_offsets"]
    dtype = _DTYPES[entry["dtype"]]
    shape = tuple(map(int, entry["shape"]))
    wanted = dtype.itemsize
    for side in shape:
        wanted *= side
    if wanted != stop - start or any(side < 0 for side in shape):
        raise ValueError(f"{shape} numbers of {dtype} do not take {stop - start} bytes")
    return _Place(start=begin + start, stop=begin + stop, dtype=dtype, shape=shape)


def _bytes(tensor: Tensor) -> UInt8[Tensor, " bytes"]:
    return tensor.reshape(-1).view(torch.uint8)


def _checksum(parts: list[Tensor]) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part.numpy().data, value)
    return value

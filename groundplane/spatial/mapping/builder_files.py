"""Growing maps on disk: a line that says what it is, a checksum, JSON, and columns of numbers.

The file holds no code and no pickle: a header in JSON says how long each column is, and the columns
follow one after another, little-endian. A file that was cut or altered has another checksum.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundplane.core.errors import InputError
from groundplane.core.files import one_line, write_whole
from groundplane.spatial.mapping.cells import Cells
from groundplane.spatial.mapping.fusing import BOX_COLUMNS
from groundplane.spatial.mapping.missing import View
from groundplane.spatial.mapping.tallies import BuilderOptions, Tally
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.voxels import OWNER_LIMIT, PLACE_BITS, Voxels

__all__ = ["Saved", "read_builder", "write_builder"]

_MAGIC = b"groundplane-builder 2\n"
# A file of so many bytes holds 30 million voxels.
_LIMIT = 2_000_000_000
_COLUMNS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "keys": ("<i8", ()), "means": ("<f4", (3,)), "counts": ("<i8", ()), "seen": ("<i8", ()),
    "cells": ("<i8", ()), "centers": ("<f8", (3,)), "sizes": ("<f8", (3,)), "axes": ("<f8", (3, 3)),
    "fitted": ("<i8", ()), "depths": ("<f2", ()),
}  # fmt: skip
_BY_VOXEL, _BY_SLOT = ("keys", "means", "counts", "seen"), ("centers", "sizes", "axes", "fitted")
_TALLY_COUNTS = ("born", "level", "hits", "num_whole", "num_partial")
_HEAD_KEYS = {"options", "views", "born", "frames", "apart", "tallies", "lengths"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """All that a map builder knows.

    Attributes:
        things: Its objects.
        apart: Pairs of slots seen side by side, and how often.
        views: What the last frames looked at.
        born: Objects found so far.
        frames: Frames so far.
    """

    things: Things
    apart: Mapping[tuple[int, int], int]
    views: tuple[View, ...]
    born: int
    frames: int


def write_builder(saved: Saved, path: str | Path) -> None:
    """Write a file in one step; an old one stays whole until then.

    Raises:
        OutputError: If it cannot be written.
    """
    columns = _columns(saved.things) | {"depths": _depths(saved.views)}
    head = {
        "options": asdict(saved.things.options),
        "born": saved.born,
        "frames": saved.frames,
        "apart": [[*pair, times] for pair, times in sorted(saved.apart.items())],
        "views": [_view_record(view) for view in saved.views],
        "tallies": [None if tally is None else _record(tally) for tally in saved.things.tallies],
        "lengths": {name: len(column) for name, column in columns.items()},
    }
    parts = [json.dumps(head, ensure_ascii=False, allow_nan=False).encode(), b"\n"]
    parts += [
        np.ascontiguousarray(columns[name], dtype=kind).tobytes()
        for name, (kind, _) in _COLUMNS.items()
    ]
    body = b"".join(parts)
    digest = hashlib.sha256(body).hexdigest().encode()
    write_whole(path, b"".join([_MAGIC, digest, b"\n", body]))


def read_builder(path: str | Path) -> Saved:
    """Read a file that `write_builder` wrote.

    Raises:
        InputError: If it cannot be read, is no such file, or was cut or altered.
    """
    name = one_line(str(path))
    data = _bytes(path, name)
    if not data.startswith(_MAGIC):
        raise InputError(f"{name}: no growing map of this version; build the map anew")
    digest, _, body = data[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise InputError(f"{name}: the file was cut or altered; build the map anew")
    text, _, rest = body.partition(b"\n")
    try:
        head = json.loads(text)
        if not isinstance(head, dict) or set(head) != _HEAD_KEYS:
            raise ValueError("its head is not that of a growing map")
        return _restored(head, _split(rest, head["lengths"]))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{name}: malformed: {reason}; build the map anew") from error


def _bytes(path: str | Path, name: str) -> bytes:
    """What is in a regular file that is not too large."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: expected a file, got a folder or a device")
        if status.st_size > _LIMIT:
            raise InputError(f"{name}: expected at most {_LIMIT} bytes, got {status.st_size}")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def _columns(things: Things) -> dict[str, np.ndarray]:
    voxels = things.voxels
    tensors = {"keys": voxels.keys, "means": voxels.means, "counts": voxels.counts}
    tensors |= {"seen": voxels.seen, "cells": things.cells.keys}
    host = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    host |= {"centers": things.centers, "sizes": things.sizes}
    return host | {"axes": things.axes, "fitted": things.fitted}


def _depths(views: tuple[View, ...]) -> np.ndarray:
    parts = [view.depth.cpu().numpy().reshape(-1) for view in views]
    return np.concatenate([np.zeros(0, dtype=np.float16), *parts])


def _view_record(view: View) -> dict[str, object]:
    shape = [int(side) for side in view.depth.shape]
    pose = view.world_to_cam.tolist()
    return {"K": view.K.tolist(), "pose": pose, "stride": view.stride, "shape": shape}


def _views(records: Any, depths: np.ndarray) -> tuple[View, ...]:
    """Views from their records and the depths of all of them."""
    views, start = [], 0
    for record in records:
        height, width = (_count(side) for side in record["shape"])
        end = start + height * width
        if end > len(depths) or _count(record["stride"]) < 1:
            raise ValueError("a view is cut short")
        depth = torch.from_numpy(depths[start:end].reshape(height, width))
        K, pose = _table(record["K"], 3, 3), _table(record["pose"], 4, 4)
        views.append(View(K=K, world_to_cam=pose, depth=depth, stride=record["stride"]))
        start = end
    if start != len(depths):
        raise ValueError("there are more depths than views")
    return tuple(views)


def _record(tally: Tally) -> dict[str, object]:
    record = asdict(tally)
    for name in ("first", "glimpsed"):
        record[name] = None if math.isnan(record[name]) else record[name]
    for name in ("whole", "partial", "looks"):
        record[name] = None if record[name] is None else record[name].tolist()
    return record


def _tally(record: Mapping[str, Any]) -> Tally:
    """A tally from its record; what is of another kind or size is refused."""
    votes = {str(name): _number(count) for name, count in record["votes"].items()}
    names = {str(name): str(written) for name, written in record["names"].items()}
    if not votes or set(votes) != set(names) or min(votes.values()) <= 0:
        raise ValueError("an object has no label, or votes that count nothing")
    values: dict[str, Any] = {name: _count(record[name]) for name in _TALLY_COUNTS}
    for name in ("first", "glimpsed"):
        values[name] = math.nan if record[name] is None else _number(record[name])
    for name in ("regions", "best"):
        values[name] = [(_number(score), str(region)) for score, region in record[name]]
    looks = record["looks"]
    return Tally(
        **values,
        log_odds=_number(record["log_odds"]),
        votes=votes,
        names=names,
        whole=_table(record["whole"], 6, 6),
        partial=_table(record["partial"], 6, 6),
        looks=None if looks is None else _table(looks, len(looks)),
        boxes=[_table(box, BOX_COLUMNS).tolist() for box in record["boxes"]],
        claims=[_table(claim, 2, 3).tolist() for claim in record["claims"]],
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {str(value)[:40]!r}")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(f"expected a count, got {str(value)[:40]!r}")
    return value


def _table(value: object, *shape: int) -> np.ndarray:
    table = np.array(value, dtype=np.float64)
    if table.shape != shape or not np.isfinite(table).all():
        raise ValueError(f"expected finite numbers of shape {shape}, got {table.shape}")
    return table


def _split(data: bytes, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The columns of a file."""
    if set(lengths) != set(_COLUMNS):
        raise ValueError("its columns are not those of a growing map")
    columns, start = {}, 0
    for name, (kind, shape) in _COLUMNS.items():
        count = _count(lengths[name]) * math.prod(shape)
        end = start + count * np.dtype(kind).itemsize
        if end > len(data):
            raise ValueError(f"column {name!r} is cut short")
        flat = np.frombuffer(data, dtype=kind, count=count, offset=start)
        # A copy in the machine's own order of bytes, which may be written to.
        columns[name] = flat.astype(np.dtype(kind).newbyteorder("=")).reshape(-1, *shape)
        start = end
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    return columns


def _restored(head: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> Saved:
    tallies = [None if record is None else _tally(record) for record in head["tallies"]]
    if len(tallies) > OWNER_LIMIT or any(tally and tally.level > 16 for tally in tallies):
        raise ValueError("too many objects, or too large ones")
    _check(columns, np.array([tally is not None for tally in tallies], dtype=bool))
    things = Things(BuilderOptions(**head["options"]))
    things.tallies = tallies
    tensors = {name: torch.from_numpy(columns[name]) for name in (*_BY_VOXEL, "cells")}
    things.voxels = Voxels(**{name: tensors[name] for name in _BY_VOXEL})
    things.cells = Cells(keys=tensors["cells"])
    things.centers, things.sizes = columns["centers"], columns["sizes"]
    things.axes, things.fitted = columns["axes"], columns["fitted"]
    apart = {(_count(a), _count(b)): _count(times) for a, b, times in head["apart"]}
    if any(not a < b < len(tallies) for a, b in apart):
        raise ValueError("a pair names an object that is not there")
    born, frames = _count(head["born"]), _count(head["frames"])
    views = _views(head["views"], columns["depths"])
    return Saved(things=things, apart=apart, views=views, born=born, frames=frames)


def _check(columns: Mapping[str, np.ndarray], used: np.ndarray) -> None:
    """Refuse columns that no builder could have written."""
    if {len(columns[name]) for name in _BY_SLOT} != {len(used)}:
        raise ValueError("the boxes are not as many as the objects")
    if len({len(columns[name]) for name in _BY_VOXEL}) != 1:
        raise ValueError("the columns of the voxels differ in length")
    if not all(np.isfinite(columns[name]).all() for name in _COLUMNS):
        raise ValueError("a number is not finite")
    for name in ("keys", "cells"):
        if len(columns[name]) and (columns[name][0] < 0 or (np.diff(columns[name]) <= 0).any()):
            raise ValueError(f"column {name!r} is not sorted")
    for owners in (columns["keys"] >> PLACE_BITS, columns["cells"] & (OWNER_LIMIT - 1)):
        if not np.array_equal(np.unique(owners), np.flatnonzero(used)):
            raise ValueError("voxels and objects do not fit together")
    if len(columns["counts"]) and min(columns["counts"].min(), columns["seen"].min()) < 1:
        raise ValueError("a voxel holds no point")

"""Folders with `poses.json`: pictures in `image/`, depth in `depth/`, one file for the rest.

The layout of Open3D's sample of a living room as this project keeps it; see docs/captures.md for
its fields. Intrinsics put (0, 0) at the middle of the top-left pixel, as Open3D does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from groundplane.captures.capture import Capture
from groundplane.captures.depth_files import DEPTH_ENDINGS
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.poses import rigid
from groundplane.captures.shots import Shot, ShotSource
from groundplane.captures.texts import (
    listed,
    need_number,
    need_numbers,
    need_object,
    need_positive,
    pictures_in,
    read_json,
    shown,
    within,
)
from groundplane.core.camera import DepthNoise, Scale
from groundplane.core.errors import InputError
from groundplane.core.geometry import Known

__all__ = ["INDEX", "open_rgbd"]

INDEX = "poses.json"
_CONVENTION = "4x4 camera-to-world, x right y down z forward"
_FPS = 30.0
# Nothing tells what made the depth: 1 % is what most sensors and models keep within a room.
_NOISE = DepthNoise(linear=0.01)


def open_rgbd(folder: Path, options: CaptureOptions) -> Capture:
    """Open a folder with `poses.json`.

    Raises:
        InputError: If the file is malformed or names a picture that is not there.
    """
    document = read_json(folder / INDEX)
    convention = document.get("convention", _CONVENTION)
    if convention != _CONVENTION:
        raise InputError(f"{INDEX}: convention: expected {_CONVENTION!r}, got {shown(convention)}")
    rows = document.get("frames")
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{INDEX}: frames: expected a list of frames, got {shown(rows)}")
    entries = [need_object(row, f"{INDEX}: frames[{at}]") for at, row in enumerate(rows)]
    _check_indices(entries)
    shots = _Shots(
        entries=entries,
        folder=folder,
        lens=_lens(document),
        fps=options.fps or need_positive(document.get("fps", _FPS), f"{INDEX}: fps"),
        files=_Files(folder),
        poses=_poses(rows),
    )
    noise = _noise(document)
    gives: set[Known] = {"depth"} if shots.files.depths else set()
    gives |= {"intrinsics"} if shots.lens is not None or options.intrinsics else set()
    gives |= {"pose"} if shots.poses[1].any() else set()
    notes = () if noise or options.noise else ("the depth is taken to be off by 1 %",)
    return Capture(
        name=folder.name,
        layout="rgbd",
        up=options.up_or(_up(document)),
        length=len(rows),
        gives=frozenset(gives),
        notes=notes,
        source=ShotSource(
            shots=shots,
            options=options,
            depth_scale=need_positive(document.get("depth_scale", 1000.0), f"{INDEX}: depth_scale"),
            noise=noise or _NOISE,
            scale=_scale(document),
        ),
    )


class _Files:
    """Pictures and depths by the number or the name that they are called."""

    def __init__(self, folder: Path) -> None:
        self.pictures = {path.stem: path for path in pictures_in(folder / "image")}
        depth = folder / "depth"
        names = listed(depth) if depth.is_dir() else []
        self.depths = {Path(name).stem: depth / name for name in names}
        # Other files are told by name when they are read.
        self.depths |= {
            Path(name).stem: depth / name for name in names if name.lower().endswith(DEPTH_ENDINGS)
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shots:
    entries: list[dict[str, Any]]
    folder: Path
    lens: Lens | None
    fps: float
    files: _Files
    poses: tuple[Float[np.ndarray, "n 4 4"], Bool[np.ndarray, " n"]]

    def __len__(self) -> int:
        return len(self.entries)

    def place(self, index: int) -> tuple[Path, float]:
        entry, where = self.entries[index], f"{INDEX}: frames[{index}]"
        number = _number(entry, where, default=index)
        time = need_number(entry.get("time", number / self.fps), f"{where}.time")
        if time < 0:
            raise InputError(f"{where}.time: expected seconds of 0 or more, got {time:g}")
        if "image" in entry:
            return within(self.folder, entry["image"], f"{where}.image"), time
        if (stem := f"{number:05d}") in self.files.pictures:
            return self.files.pictures[stem], time
        raise InputError(f"{where}: there is no picture {stem} in the folder image/")

    def shot(self, index: int) -> Shot:
        entry, where = self.entries[index], f"{INDEX}: frames[{index}]"
        picture, time = self.place(index)
        depth = self.files.depths.get(f"{_number(entry, where, default=index):05d}")
        if "depth" in entry:
            depth = within(self.folder, entry["depth"], f"{where}.depth")
        return Shot(
            picture=picture,
            time=time,
            depth=depth,
            lens=self.lens,
            pose=self.poses[0][index] if self.poses[1][index] else None,
        )


def _check_indices(entries: list[dict[str, Any]]) -> None:
    """No two frames have one number: the pictures of all but one would be of another pose."""
    first: dict[int, int] = {}
    for at, entry in enumerate(entries):
        number = _number(entry, f"{INDEX}: frames[{at}]", default=at)
        if first.setdefault(number, at) != at and not {"image", "depth"} <= entry.keys():
            raise InputError(
                f"{INDEX}: frames[{at}].index: {number} is the index of frames[{first[number]}] "
                "already; expected each once"
            )


def _number(entry: dict[str, Any], where: str, *, default: int) -> int:
    number = entry.get("index", default)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 10**9:
        raise InputError(f"{where}.index: expected a whole number, got {shown(number)}")
    return number


def _poses(rows: list[Any]) -> tuple[Float[np.ndarray, "n 4 4"], Bool[np.ndarray, " n"]]:
    unknown = np.full((4, 4), np.nan)
    stated = [
        unknown
        if row.get("camera_to_world") is None
        else need_numbers(row["camera_to_world"], (4, 4), f"{INDEX}: frames[{at}].camera_to_world")
        for at, row in enumerate(rows)
    ]
    return rigid(np.stack(stated), lambda row: f"{INDEX}: frames[{row}].camera_to_world")


def _lens(document: dict[str, Any]) -> Lens | None:
    stated = document.get("intrinsics")
    if stated is None:
        return None
    where = f"{INDEX}: intrinsics"
    fields = need_object(stated, where)
    fx, fy, cx, cy, width, height = (
        need_number(fields.get(name), f"{where}.{name}")
        for name in ("fx", "fy", "cx", "cy", "width", "height")
    )
    K = lens_matrix((fx, fy, cx, cy), where=where, centred=True)
    return Lens(K=K, size=(int(width), int(height)))


def _up(document: dict[str, Any]) -> tuple[float, float, float] | None:
    if document.get("up") is None:
        return None
    x, y, z = need_numbers(document["up"], (3,), f"{INDEX}: up").tolist()
    return CaptureOptions(up=(x, y, z)).up_or(None)


def _scale(document: dict[str, Any]) -> Scale:
    stated = document.get("scale", "metric")
    if stated == "metric":
        return "metric"
    if stated == "relative":
        return "relative"
    raise InputError(f"{INDEX}: scale: expected 'metric' or 'relative', got {shown(stated)}")


def _noise(document: dict[str, Any]) -> DepthNoise | None:
    if document.get("depth_noise") is None:
        return None
    where = f"{INDEX}: depth_noise"
    fields = need_object(document["depth_noise"], where)
    numbers = {
        name: need_number(fields.get(name, 0), f"{where}.{name}")
        for name in ("base", "linear", "quadratic", "common")
    }
    return DepthNoise(**numbers)

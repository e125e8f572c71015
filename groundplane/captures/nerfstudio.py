"""The layout of nerfstudio: `transforms.json`.

https://docs.nerf.studio/quickstart/data_conventions.html: poses are camera to world with the
axes of OpenGL (x right, y up, z backwards); intrinsics stand at the top or in a frame, and the
middle of the top-left pixel is at (0.5, 0.5), as here. Depth files hold 1000 a metre, NPY too,
unless `depth_unit_scale_factor` says otherwise. `applied_transform` is in the poses already.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.poses import rigid
from groundplane.captures.shots import Shot, ShotSource
from groundplane.captures.texts import (
    natural,
    need_number,
    need_numbers,
    need_object,
    need_positive,
    read_json,
    shown,
    within,
)
from groundplane.core.camera import DepthNoise
from groundplane.core.errors import InputError
from groundplane.core.geometry import Known

__all__ = ["INDEX", "open_nerfstudio"]

INDEX = "transforms.json"
_FPS = 30.0
_NOISE = DepthNoise(linear=0.01)
_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
# From our camera axes to OpenGL's.
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def open_nerfstudio(folder: Path, options: CaptureOptions) -> Capture:
    """Open a folder with `transforms.json`; frames are put in the order of their names.

    Lengths are taken as metric where the file names depths, else as relative.

    Raises:
        InputError: If the file is malformed, or of a camera that is no pinhole.
    """
    document = read_json(folder / INDEX)
    rows = document.get("frames")
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{INDEX}: frames: expected a list of frames, got {shown(rows)}")
    entries = [need_object(row, f"{INDEX}: frames[{at}]") for at, row in enumerate(rows)]
    order = sorted(range(len(rows)), key=lambda at: natural(str(entries[at].get("file_path"))))
    poses, known = _poses(entries)
    shots = _Shots(
        folder=folder,
        document=document,
        entries=entries,
        order=order,
        poses=poses,
        known=known,
        fps=options.fps or _FPS,
        reads_lens=options.intrinsics is None,
    )
    shots.shot(0)  # a camera that is not read is told at once
    deep = any(entry.get("depth_file_path") is not None for entry in entries)
    gives: set[Known] = {"intrinsics", "depth"} if deep else {"intrinsics"}
    gives |= {"pose"} if known.any() else set()
    factor = need_positive(
        document.get("depth_unit_scale_factor", 0.001), f"{INDEX}: depth_unit_scale_factor"
    )
    return Capture(
        name=folder.name,
        layout="nerfstudio",
        up=options.up_or(None),
        length=len(rows),
        gives=frozenset(gives),
        notes=_capture_notes(options, deep=deep),
        source=ShotSource(
            shots=shots,
            options=options,
            depth_scale=1 / factor,
            noise=_NOISE,
            scale=options.scale or ("metric" if deep else "relative"),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shots:
    folder: Path
    document: dict[str, Any]
    entries: list[dict[str, Any]]
    order: list[int]
    poses: Float[np.ndarray, "n 4 4"]
    known: Bool[np.ndarray, " n"]
    fps: float
    reads_lens: bool

    def __len__(self) -> int:
        return len(self.order)

    def place(self, index: int) -> tuple[Path, float]:
        row = self.order[index]
        where = f"{INDEX}: frames[{row}].file_path"
        return within(self.folder, self.entries[row].get("file_path"), where), index / self.fps

    def shot(self, index: int) -> Shot:
        row = self.order[index]
        entry, where = self.entries[row], f"{INDEX}: frames[{row}]"
        picture, time = self.place(index)
        depth = entry.get("depth_file_path")
        return Shot(
            picture=picture,
            time=time,
            depth=None if depth is None else within(self.folder, depth, f"{where}.depth_file_path"),
            lens=_lens({**self.document, **entry}, where) if self.reads_lens else None,
            pose=self.poses[row] if self.known[row] else None,
        )


def _capture_notes(options: CaptureOptions, *, deep: bool) -> tuple[str, ...]:
    notes = []
    if options.scale is None and not deep:
        notes.append("transforms.json names no depth, so its unit is not known: relative lengths")
    if options.noise is None and deep:
        notes.append("the depth is taken to be off by 1 %")
    if options.fps is None:
        notes.append(f"the pictures state no times: {_FPS:g} a second are assumed")
    return tuple(notes)


def _poses(
    entries: list[dict[str, Any]],
) -> tuple[Float[np.ndarray, "n 4 4"], Bool[np.ndarray, " n"]]:
    unknown = np.full((4, 4), np.nan)
    stated = [
        unknown
        if entry.get("transform_matrix") is None
        else need_numbers(
            entry["transform_matrix"], (4, 4), f"{INDEX}: frames[{at}].transform_matrix"
        )
        for at, entry in enumerate(entries)
    ]
    poses, known = rigid(np.stack(stated), lambda row: f"{INDEX}: frames[{row}].transform_matrix")
    return poses @ _FLIP, known


def _lens(fields: dict[str, Any], where: str) -> Lens:
    model = fields.get("camera_model", "OPENCV")
    if model not in _MODELS:
        raise InputError(
            f"{INDEX}: camera_model {shown(model)} is not read; expected one of "
            f"{', '.join(_MODELS)}: straighten the pictures first"
        )
    numbers = {
        name: need_number(fields.get(name, 0.0), f"{where}.{name}")
        for name in ("k1", "k2", "p1", "p2", "k3", "k4")
    }
    if numbers["k4"]:
        raise InputError(f"{where}: distortion k4 is not read; straighten the pictures first")
    fx = need_number(fields.get("fl_x"), f"{where}.fl_x")
    fy = need_number(fields.get("fl_y", fx), f"{where}.fl_y")
    cx, cy = (need_number(fields.get(name), f"{where}.{name}") for name in ("cx", "cy"))
    size = None
    if "w" in fields and "h" in fields:
        size = tuple(int(need_number(fields[name], f"{where}.{name}")) for name in ("w", "h"))
    return Lens(
        K=lens_matrix((fx, fy, cx, cy), where=where),
        size=(size[0], size[1]) if size else None,
        distortion=(
            numbers["k1"], numbers["k2"], numbers["p1"], numbers["p2"], numbers["k3"],
        ),
    )  # fmt: skip

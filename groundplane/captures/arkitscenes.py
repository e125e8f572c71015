"""The layout of ARKitScenes: `lowres_wide/`, `lowres_depth/`, `lowres_wide.traj`, intrinsics.

Baruch et al., ARKitScenes, 2021; https://github.com/apple/ARKitScenes/blob/main/DATA.md: depth
is in millimetres; a row of the trajectory is `time rx ry rz tx ty tz`, an axis whose length is
the angle; a `.pincam` holds `width height fx fy cx cy`. The trajectory maps the world to the
camera: the publishers' own loader (threedod/benchmark_scripts) inverts it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.pairing import Trajectory, pair
from groundplane.captures.poses import from_axis_angles, inverted, rigid
from groundplane.captures.shots import ShotSource
from groundplane.captures.texts import listed, need_number, pictures_in, table
from groundplane.captures.timed import Stream, TimedShots, timed_rows, together
from groundplane.core.camera import DepthNoise
from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.core.geometry import Known

__all__ = ["PICTURES", "home_of", "open_arkitscenes"]

PICTURES = "lowres_wide"
_DEPTH = "lowres_depth"
_TRAJECTORY = "lowres_wide.traj"
_LENSES = "lowres_wide_intrinsics"
# Radians; what is more is no angle that anybody wrote.
_TURNS = 1e3
# Luetzenburg, Kroon & Bjork, Evaluation of the Apple iPhone 12 Pro LiDAR for an application in
# geosciences, Scientific Reports 11, 2021: about 1 cm on things of more than 10 cm.
_LIDAR = DepthNoise(base=0.01)


def home_of(folder: Path) -> Path | None:
    """The folder that holds the streams: this one, or `<video id>_frames` in it, as downloaded."""
    frames = folder / f"{folder.absolute().name}_frames"
    return next((home for home in (folder, frames) if (home / PICTURES).is_dir()), None)


def open_arkitscenes(folder: Path, options: CaptureOptions) -> Capture:
    """Open a folder with `lowres_wide/`.

    Raises:
        InputError: If a file is malformed, or its times have nothing to do with the pictures'.
    """
    home = home_of(folder)
    if home is None:
        raise InputError(f"folder {one_line(folder.name)!r}: expected a folder {PICTURES}/ in it")
    pictures = _stream(home / PICTURES)
    if not pictures.files:
        raise InputError(f"{PICTURES}: expected pictures, got none")
    depths = _stream(home / _DEPTH) if (home / _DEPTH).is_dir() else None
    trajectory = _trajectory(home / _TRAJECTORY) if (home / _TRAJECTORY).exists() else None
    shots = together(pictures, depths, trajectory, tolerance=options.tolerance, where=folder.name)
    shots = _with_lenses(shots, home / _LENSES, pictures.times[0], options)
    gives: set[Known] = {"intrinsics"} if (home / _LENSES).is_dir() or options.intrinsics else set()
    gives |= {"depth"} if depths is not None else set()
    gives |= {"pose"} if shots.known.any() else set()
    return Capture(
        name=folder.name,
        layout="arkitscenes",
        up=options.up_or((0.0, 0.0, 1.0)),
        length=len(shots),
        gives=frozenset(gives),
        notes=shots.notes,
        source=ShotSource(shots=shots, options=options, noise=_LIDAR),
    )


def _with_lenses(
    shots: TimedShots, folder: Path, begin: float, options: CaptureOptions
) -> TimedShots:
    """Each picture with the intrinsics that were written at its time."""
    if options.intrinsics or not folder.is_dir():
        return shots
    lenses = _stream(folder)
    chosen = pair(shots.times + begin, lenses.times, options.tolerance)
    lost = np.flatnonzero(chosen < 0)
    if len(lost):
        name = one_line(shots.pictures[lost[0]].name)
        raise InputError(
            f"{_LENSES}: no intrinsics within {options.tolerance:g} s of {len(lost)} of "
            f"{len(shots)} pictures, such as {name!r}"
        )
    files = [lenses.files[at] for at in chosen.tolist()]
    return replace(shots, lens_of=lambda index: _lens(files[index]))


def _stream(folder: Path) -> Stream:
    names = listed(folder) if folder.name == _LENSES else [p.name for p in pictures_in(folder)]
    rows = []
    for name in names:
        # <video id>_<seconds>.png
        stem = name.rpartition(".")[0].rpartition("_")[2]
        rows.append((need_number(stem, f"{folder.name}/{one_line(name)}"), folder / name))
    return Stream.of(rows)


def _trajectory(path: Path) -> Trajectory:
    values, where_of = timed_rows(path, 7)
    for row in np.flatnonzero(np.abs(values[:, 1:4]).max(axis=1, initial=0) > _TURNS)[:1]:
        angles = values[row, 1:4].tolist()
        raise InputError(f"{where_of(int(row))}: expected a turn in radians, got {angles}")
    finite: Bool[np.ndarray, " n"] = np.isfinite(values).all(axis=1)
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = from_axis_angles(np.where(finite[:, None], values[:, 1:4], 0.0))
    poses[:, :3, 3] = values[:, 4:7]
    poses, known = rigid(poses, where_of)
    return Trajectory(times=values[:, 0], poses=inverted(poses), known=known & finite)


def _lens(path: Path) -> Lens:
    for number, words in table(path, 6):
        where = f"{one_line(path.name)}, line {number}"
        width, height, fx, fy, cx, cy = (need_number(word, where) for word in words)
        K = lens_matrix((fx, fy, cx, cy), where=where, centred=True)
        return Lens(K=K, size=(int(width), int(height)))
    raise InputError(f"{one_line(path.name)}: expected width height fx fy cx cy, got no row")

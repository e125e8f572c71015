"""The layout of the TUM RGB-D benchmark: `rgb.txt`, `depth.txt`, `groundtruth.txt`.

Sturm et al., A benchmark for the evaluation of RGB-D SLAM systems, 2012, and the page on file
formats, https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats: rows of `time file` and
of `time tx ty tz qx qy qz qw`, camera to world; depth is 5000 a metre, registered to the colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.pairing import Trajectory
from groundplane.captures.poses import from_quaternions, rigid
from groundplane.captures.shots import ShotSource
from groundplane.captures.texts import need_number, table, within
from groundplane.captures.timed import KINECT, Stream, timed_rows, together
from groundplane.core.errors import InputError
from groundplane.core.geometry import Known

__all__ = ["open_tum", "read_trajectory"]

_SCALE = 5000.0
_CAMERA = "camera.txt"
_Row = tuple[float, ...]
# fx, fy, cx, cy, then k1, k2, p1, p2, k3 of the colour camera, from the page on file formats.
# Its pictures of freiburg3 are straight already.
_KNOWN: Mapping[str, _Row] = MappingProxyType(
    {
        "freiburg1": (517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
        "freiburg2": (520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
        "freiburg3": (535.4, 539.2, 320.1, 247.6, 0.0, 0.0, 0.0, 0.0, 0.0),
    }
)
_DEFAULT: _Row = (525.0, 525.0, 319.5, 239.5, 0.0, 0.0, 0.0, 0.0, 0.0)
_SIZE = (640, 480)


def open_tum(folder: Path, options: CaptureOptions) -> Capture:
    """Open a folder with `rgb.txt`.

    Intrinsics are those of `camera.txt` (a row of fx fy cx cy, or with k1 k2 p1 p2 k3 too), or of
    the camera that the folder's name says: freiburg1, 2 or 3.

    Raises:
        InputError: If a file is malformed, or its times have nothing to do with the pictures'.
    """
    pictures = _stream(folder / "rgb.txt")
    if not pictures.files:
        raise InputError("rgb.txt: expected rows of a time and a picture, got none")
    depths = _stream(folder / "depth.txt") if (folder / "depth.txt").exists() else None
    truth = folder / "groundtruth.txt"
    trajectory = read_trajectory(truth) if truth.exists() else None
    shots = together(pictures, depths, trajectory, tolerance=options.tolerance, where=folder.name)
    lens, note = _lens(folder)
    if options.intrinsics:
        note = ""
    gives: set[Known] = {"intrinsics"}
    gives |= {"depth"} if depths is not None else set()
    gives |= {"pose"} if shots.known.any() else set()
    measured = any(name in folder.absolute().name for name in _KNOWN)
    return Capture(
        name=folder.name,
        layout="tum",
        # The world of its motion capture has z up; others who write this layout have their own.
        up=options.up_or((0.0, 0.0, 1.0) if measured else None),
        length=len(shots),
        gives=frozenset(gives),
        notes=shots.notes + ((note,) if note else ()),
        source=ShotSource(
            shots=replace(shots, lens_of=lambda index: lens),
            options=options,
            depth_scale=_SCALE,
            noise=KINECT,
        ),
    )


def read_trajectory(path: Path) -> Trajectory:
    """Read rows of `time tx ty tz qx qy qz qw`, camera to world, in any order.

    Raises:
        InputError: If a row is malformed; the message names it.
    """
    values, where_of = timed_rows(path, 8)
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = from_quaternions(values[:, [7, 4, 5, 6]], where_of)
    poses[:, :3, 3] = values[:, 1:4]
    poses, known = rigid(poses, where_of)
    return Trajectory(times=values[:, 0], poses=poses, known=known)


def _stream(path: Path) -> Stream:
    rows = []
    for number, words in table(path, 2):
        where = f"{path.name}, line {number}"
        rows.append((need_number(words[0], where), within(path.parent, words[1], where)))
    return Stream.of(rows)


def _lens(folder: Path) -> tuple[Lens, str]:
    """The colour camera's lens, and what is to be said of it."""
    own = folder / _CAMERA
    if own.exists():
        return _from_row(_camera_row(own), _CAMERA, None), ""
    for name, row in _KNOWN.items():
        if name in folder.absolute().name:
            return _from_row(row, name, _SIZE), ""
    return _from_row(_DEFAULT, "default", _SIZE), (
        "neither camera.txt nor the folder's name tells the camera: the default of the TUM "
        "benchmark is assumed, fx = fy = 525"
    )


def _camera_row(path: Path) -> _Row:
    for number, words in table(path, 4):
        row = [*words[:3], *words[3].split()]
        if len(row) not in (4, 9):
            raise InputError(
                f"{path.name}, line {number}: expected fx fy cx cy, or with k1 k2 p1 p2 k3, got "
                f"{len(row)} numbers"
            )
        return tuple(need_number(word, f"{path.name}, line {number}") for word in row)
    raise InputError(f"{path.name}: expected a row of fx fy cx cy, got none")


def _from_row(row: _Row, where: str, size: tuple[int, int] | None) -> Lens:
    fx, fy, cx, cy = row[:4]
    k1, k2, p1, p2, k3 = row[4:] or (0.0,) * 5
    K = lens_matrix((fx, fy, cx, cy), where=where, centred=True)
    return Lens(K=K, size=size, distortion=(k1, k2, p1, p2, k3))

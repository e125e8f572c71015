"""The layout of ScanNet as its own exporter writes it: `color/`, `depth/`, `pose/`, `intrinsic/`.

Dai et al., ScanNet: richly-annotated 3D reconstructions of indoor scenes, 2017;
https://github.com/ScanNet/ScanNet/tree/master/SensReader/python: depth is in millimetres and of
another size than the colour, poses are 4 by 4, camera to world, of -inf where the camera was
lost. `<scene>.txt` beside them turns the world so that walls run along its axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.poses import rigid
from groundplane.captures.shots import Shot, ShotSource
from groundplane.captures.texts import (
    listed,
    need_number,
    need_numbers,
    pictures_in,
    read_lines,
    table,
)
from groundplane.captures.timed import KINECT
from groundplane.core.errors import InputError, MediaError
from groundplane.core.files import one_line
from groundplane.core.geometry import Known

__all__ = ["open_scannet"]

# Of the sensor; what is shown of ScanNet elsewhere may be slower.
_FPS = 30.0
_IDENTITY = np.eye(4)


def open_scannet(folder: Path, options: CaptureOptions) -> Capture:
    """Open a folder with `color/` and `pose/`. Poses are read frame by frame.

    Raises:
        InputError: If it holds no picture, or its intrinsics are malformed or for other pictures.
    """
    pictures = pictures_in(folder / "color")
    if not pictures:
        raise InputError("color: expected pictures, got none")
    align = _alignment(folder / f"{folder.absolute().name}.txt")
    lens = _lens(folder / "intrinsic" / "intrinsic_color.txt")
    if lens is not None:
        _check_lens(lens, pictures[0])
    shots = _Shots(
        pictures=pictures,
        depths=_by_stem(folder / "depth"),
        poses=_by_stem(folder / "pose"),
        lens=lens,
        depth_lens=_lens(folder / "intrinsic" / "intrinsic_depth.txt"),
        align=align if align is not None else _IDENTITY,
        fps=options.fps or _FPS,
    )
    gives: set[Known] = {"depth"} if shots.depths else set()
    gives |= {"pose"} if shots.poses else set()
    gives |= {"intrinsics"} if lens is not None or options.intrinsics else set()
    return Capture(
        name=folder.name,
        layout="scannet",
        up=options.up_or((0.0, 0.0, 1.0)),
        length=len(pictures),
        gives=frozenset(gives),
        notes=("the world was turned by the scene's axisAlignment",) if align is not None else (),
        source=ShotSource(shots=shots, options=options, noise=KINECT),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shots:
    pictures: list[Path]
    depths: dict[str, Path]
    poses: dict[str, Path]
    lens: Lens | None
    depth_lens: Lens | None
    align: Float[np.ndarray, "4 4"]
    fps: float

    def __len__(self) -> int:
        return len(self.pictures)

    def place(self, index: int) -> tuple[Path, float]:
        stem = self.pictures[index].stem
        digits = stem.isascii() and stem.isdigit() and len(stem) < 10
        return self.pictures[index], (int(stem) if digits else index) / self.fps

    def shot(self, index: int) -> Shot:
        picture, time = self.place(index)
        stem = picture.stem
        pose = _pose(self.poses[stem]) if stem in self.poses else None
        lost = ("the camera's pose is not known",) if pose is None and self.poses else ()
        return Shot(
            picture=picture,
            time=time,
            depth=self.depths.get(stem),
            lens=self.lens,
            depth_lens=self.depth_lens,
            pose=self.align @ pose if pose is not None else None,
            notes=lost,
        )


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {name.rpartition(".")[0]: folder / name for name in listed(folder)}


def _matrix(path: Path) -> Float[np.ndarray, "4 4"]:
    rows = [words for _, words in table(path, 4)]
    return need_numbers(rows, (4, 4), f"{one_line(path.parent.name)}/{one_line(path.name)}")


def _pose(path: Path) -> Float[np.ndarray, "4 4"] | None:
    poses, known = rigid(_matrix(path)[None], lambda row: f"pose/{one_line(path.name)}")
    return poses[0] if known[0] else None


def _lens(path: Path) -> Lens | None:
    if not path.exists():
        return None
    K = _matrix(path)
    where = f"intrinsic/{path.name}"
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    return Lens(K=lens_matrix((fx, fy, cx, cy), where=where, centred=True))


def _check_lens(lens: Lens, picture: Path) -> None:
    """Exports shrink pictures and leave the intrinsics; then the middle lies far off."""
    try:
        with PILImage.open(picture) as opened:
            width, height = opened.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MediaError(
            f"cannot read picture {one_line(picture.name)!r}: its header is broken"
        ) from error
    x, y = lens.K[0, 2] / width, lens.K[1, 2] / height
    if not (0.25 < x < 0.75 and 0.25 < y < 0.75):
        raise InputError(
            f"intrinsic/intrinsic_color.txt: the middle of the lens, {lens.K[0, 2]:.1f}, "
            f"{lens.K[1, 2]:.1f}, is far from that of the pictures of {width} x {height}; the "
            "pictures were resized. Try: option intrinsics, or the pictures as exported"
        )


def _alignment(path: Path) -> Float[np.ndarray, "4 4"] | None:
    """The turn of the world that the scene's own file states, if it is there."""
    if not path.exists():
        return None
    for number, line in read_lines(path):
        key, _, value = line.partition("=")
        if key.strip() != "axisAlignment":
            continue
        where = f"{one_line(path.name)}, line {number}"
        words = [need_number(word, where) for word in value.split()]
        stated = need_numbers(words, (16,), where).reshape(1, 4, 4)
        poses, known = rigid(stated, [where].__getitem__)
        return poses[0] if known[0] else None
    return None

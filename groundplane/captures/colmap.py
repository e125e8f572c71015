"""Sparse models of COLMAP as text: `cameras.txt` and `images.txt`.

https://colmap.github.io/format.html and https://colmap.github.io/cameras.html: poses are
quaternions qw qx qy qz and translations, world to camera; the middle of the top-left pixel is at
(0.5, 0.5), as here. The unit of a reconstruction from pictures alone is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from groundplane.captures.capture import Capture
from groundplane.captures.lenses import Lens, lens_matrix
from groundplane.captures.options import CaptureOptions
from groundplane.captures.poses import from_quaternions, inverted, rigid
from groundplane.captures.shots import Shot, ShotSource
from groundplane.captures.texts import (
    listed,
    natural,
    need_number,
    need_numbers,
    read_lines,
    shown,
    table,
    within,
)
from groundplane.core.camera import DepthNoise
from groundplane.core.errors import InputError, listing
from groundplane.core.files import one_line
from groundplane.core.geometry import Known

__all__ = ["model_of", "open_colmap"]

_FPS = 30.0
_NOISE = DepthNoise(linear=0.01)
# Which numbers of a row are fx, fy, cx, cy, k1, k2, p1, p2; None is 0.
_PLACES: Mapping[str, tuple[int | None, ...]] = MappingProxyType(
    {
        "SIMPLE_PINHOLE": (0, 0, 1, 2, None, None, None, None),
        "PINHOLE": (0, 1, 2, 3, None, None, None, None),
        "SIMPLE_RADIAL": (0, 0, 1, 2, 3, None, None, None),
        "RADIAL": (0, 0, 1, 2, 3, 4, None, None),
        "OPENCV": (0, 1, 2, 3, 4, 5, 6, 7),
    }
)


def model_of(folder: Path) -> Path | None:
    """The folder of the model: this one, or the place where COLMAP puts its first one."""
    places = (folder, folder / "sparse" / "0", folder / "sparse")
    for ending in (".txt", ".bin"):
        for place in places:
            if all((place / f"{name}{ending}").exists() for name in ("cameras", "images")):
                return place
    return None


def open_colmap(folder: Path, options: CaptureOptions) -> Capture:
    """Open a model. Its pictures lie in `images/` beside it or where option `pictures` says.

    A folder `depth/` or `depths/` beside the pictures gives depth, of the model's own unit.

    Raises:
        InputError: If the model is binary, malformed, or of a camera that no pinhole with Brown's
            distortion describes; or the pictures are not there.
    """
    model = model_of(folder)
    if model is None:
        raise InputError(f"folder {one_line(folder.name)!r}: expected cameras.txt and images.txt")
    if not (model / "images.txt").exists():
        raise InputError(
            f"folder {one_line(folder.name)!r} holds a binary model; only text is read. Try: "
            "colmap model_converter --output_type TXT"
        )
    home = _pictures_of(folder, options)
    shots = _shots(model, home, options)
    gives: set[Known] = {"intrinsics", "pose"}
    gives |= {"depth"} if any(row.depth for row in shots.rows) else set()
    return Capture(
        name=folder.name,
        layout="colmap",
        up=options.up_or(None),
        length=len(shots),
        gives=frozenset(gives),
        notes=_capture_notes(options, deep="depth" in gives),
        source=ShotSource(
            shots=shots, options=options, noise=_NOISE, scale=options.scale or "relative"
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shots:
    rows: list[Shot]

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, index: int) -> tuple[Path, float]:
        return self.rows[index].picture, self.rows[index].time

    def shot(self, index: int) -> Shot:
        return self.rows[index]


def _capture_notes(options: CaptureOptions, *, deep: bool) -> tuple[str, ...]:
    unit = "the unit of a COLMAP model is not known: lengths are relative"
    times = f"the pictures state no times: {options.fps or _FPS:g} a second are assumed"
    stated = (
        (unit, options.scale is None),
        (times, options.fps is None),
        ("the depth is taken to be off by 1 %", deep and options.noise is None),
    )
    return tuple(note for note, said in stated if said)


def _pictures_of(folder: Path, options: CaptureOptions) -> Path:
    if options.pictures is not None:
        return options.pictures
    places = [folder, *folder.absolute().parents[:2]]
    found = next((place / "images" for place in places if (place / "images").is_dir()), None)
    if found is None:
        raise InputError(
            f"folder {one_line(folder.name)!r}: expected the pictures in a folder images/ in it "
            "or beside it. Try: option pictures"
        )
    return found


def _shots(model: Path, home: Path, options: CaptureOptions) -> _Shots:
    lenses = _lenses(model / "cameras.txt")
    names, places, numbers, cameras = [], [], [], []
    for number, words in _image_rows(model / "images.txt"):
        where = f"images.txt, line {number}"
        if words[8] not in lenses:
            raise InputError(f"{where}: there is no camera {shown(words[8])} in cameras.txt")
        names.append(words[9])
        cameras.append(words[8])
        places.append(where)
        numbers.append(need_numbers(words[1:8], (7,), where))
    if not numbers:
        raise InputError("images.txt: expected rows of pictures, got none")
    values = np.stack(numbers)
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = from_quaternions(values[:, :4], places.__getitem__)
    poses[:, :3, 3] = values[:, 4:]
    poses, known = rigid(poses, places.__getitem__)
    poses = inverted(poses)
    pictures = [within(home, name, place) for name, place in zip(names, places, strict=True)]
    depths = _depths(home, names)
    order = sorted(range(len(names)), key=lambda row: natural(names[row]))
    return _Shots(
        rows=[
            Shot(
                picture=pictures[row],
                time=at / (options.fps or _FPS),
                depth=depths.get(names[row]),
                lens=lenses[cameras[row]],
                pose=poses[row] if known[row] else None,
            )
            for at, row in enumerate(order)
        ]
    )


def _image_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Every second row: those between hold the points that a picture shows, or nothing."""
    rows: list[tuple[int, list[str]]] = []
    points = False
    for number, line in read_lines(path, max_bytes=2**34):
        if line.startswith("#") or (not line and not points):
            continue
        if not points:
            words = line.split(None, 9)
            if len(words) < 10:
                raise InputError(
                    f"images.txt, line {number}: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID "
                    f"NAME, got {shown(line)}"
                )
            rows.append((number, words))
        points = not points
    return rows


def _lenses(path: Path) -> dict[str, Lens]:
    lenses = {}
    for number, words in table(path, 5):
        where = f"cameras.txt, line {number}"
        key, model, width, height = words[:4]
        if model not in _PLACES:
            raise InputError(
                f"{where}: camera model {shown(model)} is not read; expected one of "
                f"{listing(_PLACES)}. Try: colmap image_undistorter"
            )
        numbers = [need_number(word, where) for word in words[4].split()]
        needed = max(place for place in _PLACES[model] if place is not None) + 1
        if len(numbers) != needed:
            raise InputError(f"{where}: expected {needed} numbers of {model}, got {len(numbers)}")
        fx, fy, cx, cy, k1, k2, p1, p2 = (
            0.0 if place is None else numbers[place] for place in _PLACES[model]
        )
        lenses[key] = Lens(
            K=lens_matrix((fx, fy, cx, cy), where=where),
            size=(int(need_number(width, where)), int(need_number(height, where))),
            distortion=(k1, k2, p1, p2, 0.0),
        )
    return lenses


def _depths(home: Path, names: Sequence[str]) -> dict[str, Path]:
    """The depth of each picture that has one: in the same folder below `depth`, or right in it.

    Pictures of several cameras may be called alike in folders of their own; what lies in no folder
    is then nobody's.
    """
    root = next((r for r in (home.parent / "depth", home.parent / "depths") if r.is_dir()), None)
    if root is None:
        return {}
    stems = Counter(Path(name).stem for name in names)
    found: dict[str, Path] = {}
    held: dict[Path, dict[str, Path]] = {}
    for name in names:
        stem, own = Path(name).stem, root / Path(name).parent
        for folder in (own, root) if stems[stem] == 1 else (own,):
            if folder not in held:
                held[folder] = _by_stem(folder)
            if stem in held[folder]:
                found[name] = held[folder][stem]
                break
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {entry.rpartition(".")[0]: folder / entry for entry in listed(folder)}

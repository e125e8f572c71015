"""Folders of pictures of which nothing else is known, and single pictures in a row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groundplane.captures.capture import Capture
from groundplane.captures.options import CaptureOptions
from groundplane.captures.shots import Shot, ShotSource
from groundplane.captures.texts import pictures_in
from groundplane.core.errors import InputError
from groundplane.core.files import one_line

__all__ = ["open_pictures"]

_FPS = 30.0


def open_pictures(path: Path, options: CaptureOptions) -> Capture:
    """Open a folder of pictures, in natural order of their names, or one picture.

    Raises:
        InputError: If the folder holds none.
    """
    pictures = pictures_in(path) if path.is_dir() else [path]
    if not pictures:
        raise InputError(
            f"folder {one_line(path.name)!r} holds no picture; expected files ending in .jpg, "
            ".png, .webp, .bmp, .tif or .gif, not in folders below it"
        )
    fps = options.fps or _FPS
    guessed = f"the pictures state no times: {fps:g} a second are assumed"
    return Capture(
        name=path.name,
        layout="frames",
        up=options.up_or(None),
        length=len(pictures),
        gives=frozenset({"intrinsics"} if options.intrinsics else ()),
        notes=() if options.fps or len(pictures) == 1 else (guessed,),
        source=ShotSource(
            shots=_Shots(pictures=pictures, fps=fps),
            options=options,
            scale=options.scale or "metric",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shots:
    pictures: list[Path]
    fps: float

    def __len__(self) -> int:
        return len(self.pictures)

    def place(self, index: int) -> tuple[Path, float]:
        return self.pictures[index], index / self.fps

    def shot(self, index: int) -> Shot:
        picture, time = self.place(index)
        return Shot(picture=picture, time=time)

"""Opening a capture: which layout it has, told by its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from groundplane.captures import (
    arkitscenes,
    colmap,
    nerfstudio,
    pictures,
    rgbd,
    scannet,
    tum,
    videos,
)
from groundplane.captures.capture import Capture
from groundplane.captures.layouts import LAYOUTS, Layout
from groundplane.captures.options import CaptureOptions
from groundplane.captures.texts import pictures_in
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.files import one_line
from groundplane.core.media import is_picture_name
from groundplane.core.video import is_video_name

__all__ = ["layout_of", "open_capture"]

_DEFAULT = CaptureOptions()

_OPENERS: Mapping[Layout, Callable[[Path, CaptureOptions], Capture]] = MappingProxyType(
    {
        "rgbd": rgbd.open_rgbd,
        "tum": tum.open_tum,
        "scannet": scannet.open_scannet,
        "arkitscenes": arkitscenes.open_arkitscenes,
        "colmap": colmap.open_colmap,
        "nerfstudio": nerfstudio.open_nerfstudio,
        "frames": pictures.open_pictures,
        "video": videos.open_video,
    }
)
# What of each layout is looked for in a folder, in words.
_SIGNS: Mapping[Layout, str] = MappingProxyType(
    {
        "rgbd": "poses.json",
        "tum": "rgb.txt",
        "scannet": "color/ and pose/",
        "arkitscenes": "lowres_wide/",
        "colmap": "cameras.txt and images.txt, also in sparse/0/",
        "nerfstudio": "transforms.json",
        "frames": "pictures",
    }
)


def open_capture(
    path: str | Path, *, layout: str | None = None, options: CaptureOptions = _DEFAULT
) -> Capture:
    """Open a video, a picture or a folder of them, or posed RGB-D in the layout of a dataset.

    No picture is read until frames are asked for, and never more than one is held.

    Args:
        path: A video, a picture, a folder, or the index file of a layout that has one
            (`poses.json`, `transforms.json`).
        layout: One of `LAYOUTS`; None finds out by the files that are there.
        options: What is said of the capture beside its files.

    Raises:
        InputError: If there is no such thing, no layout or more than one fits, or an index file
            is malformed.

    Examples:
        >>> open_capture("/nowhere/walk.mp4")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: there is no 'walk.mp4'; expected a video, a folder of \
pictures, or a folder of posed RGB-D
    """
    where = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise InputError(
            f"unknown layout {layout!r}; the layouts: {listing(LAYOUTS)}."
            f"{did_you_mean(layout, LAYOUTS)}"
        )
    if not str(path) or "\0" in str(path) or not where.exists():
        raise InputError(
            f"there is no {one_line(where.name or str(path))!r}; expected a video, a folder of "
            "pictures, or a folder of posed RGB-D"
        )
    where = _unwrapped(where.resolve() if where.name in {"", ".."} else where)
    chosen = next((one for one in LAYOUTS if one == layout), None) or _told(where)
    single = chosen == "frames" and is_picture_name(where.name)
    if (chosen == "video") == where.is_dir() and not single:
        raise InputError(
            f"layout {chosen!r} is {'a file' if chosen == 'video' else 'a folder'}, but "
            f"{one_line(where.name)!r} is {'a folder' if where.is_dir() else 'a file'}"
        )
    if chosen == "video" and not where.is_file():
        raise InputError(f"{one_line(where.name)!r} is no file: a pipe or device is not read")
    return _OPENERS[chosen](where, options)


def layout_of(path: Path) -> Layout | None:
    """The layout that the files of a path speak for; None where it is no capture.

    Of several the first; `open_capture` refuses to choose.

    Examples:
        >>> layout_of(Path("walk.mp4")), layout_of(Path("photo.jpg"))
        ('video', None)
    """
    path = _unwrapped(path)
    if not path.is_dir():
        return "video" if is_video_name(path) else None
    found = next((layout for layout, has in _PROOFS.items() if has(path)), None)
    return found or ("frames" if pictures_in(path) else None)


def _unwrapped(path: Path) -> Path:
    """The folder of an index file that was named itself."""
    is_index = path.name in (rgbd.INDEX, nerfstudio.INDEX) and path.is_file()
    return path.absolute().parent if is_index else path


def _told(path: Path) -> Layout:
    """Which layout the files of a path speak for."""
    if path.is_file():
        if is_video_name(path):
            return "video"
        if is_picture_name(path.name):
            return "frames"
        raise InputError(
            f"{one_line(path.name)!r} has no name of a video; expected one such as walk.mp4, or "
            "a folder. Try: layout 'video' if it is one"
        )
    found = [layout for layout, has in _PROOFS.items() if has(path)]
    if len(found) == 1:
        return found[0]
    name = one_line(path.absolute().name)
    if found:
        raise InputError(
            f"folder {name!r} may be of layout {' or '.join(map(repr, found))}; say which: layout"
        )
    if pictures_in(path):
        return "frames"
    signs = "; ".join(f"{sign} ({layout})" for layout, sign in _SIGNS.items())
    raise InputError(f"folder {name!r} is no capture that is known; looked for: {signs}")


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda folder: all(os.path.exists(folder / name) for name in names)


_PROOFS: Mapping[Layout, Callable[[Path], bool]] = MappingProxyType(
    {
        "rgbd": _has(rgbd.INDEX),
        "tum": _has("rgb.txt"),
        "scannet": _has("color", "pose"),
        "arkitscenes": lambda folder: arkitscenes.home_of(folder) is not None,
        "colmap": lambda folder: colmap.model_of(folder) is not None,
        "nerfstudio": _has(nerfstudio.INDEX),
    }
)

"""A photo with what was found in it, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groundplane.core.errors import OutputError
from groundplane.core.files import write_whole
from groundplane.core.image import Image
from groundplane.spatial.marking import Mark, marks_of, picture_of_marks

__all__ = ["Mark", "draw_marks", "marks_of"]


def draw_marks(image: Image, marks: Sequence[Mark], path: str | Path, *, title: str = "") -> None:
    """Draw a photo with marks; what lies beyond its edges is cut there.

    Args:
        image: The photo.
        marks: What to draw, from below to above.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        title: A heading, or nothing.

    Raises:
        InputError: If a mask is of another size than the photo.
        OutputError: If the picture cannot be written, or the ending is another one.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind == "svg":
        write_whole(path, picture_of_marks(image, marks, kind="svg", title=title))
    elif kind == "png":
        write_whole(path, picture_of_marks(image, marks, kind="png", title=title))
    else:
        raise OutputError(f"{path}: expected a picture's name ending in .svg or .png")

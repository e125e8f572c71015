"""Pairs of pictures side by side, with what two encoders say of them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image as PILImage

from groundplane.core.files import write_whole
from groundplane.core.media import read_image
from groundplane.spatial.labels import Style, drawable, make_font, quiet_fonts, text_size

__all__ = ["draw_pairs"]

_INK, _FAINT = "#10161c", "#5b6670"
# Points (1/72 inch): side of a picture, gaps within and between pairs, height of the text below.
_SIDE, _NEAR, _FAR, _TEXT = 150.0, 4.0, 26.0, 44.0
# Pixels a point of the sheet.
_DPI = 144
_SETTINGS: Any = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "text.usetex": False}


def draw_pairs(
    pairs: Sequence[tuple[Path, Path, float, float]], path: Path, *, names: tuple[str, str]
) -> None:
    """Draw pairs on a sheet, three a row.

    Args:
        pairs: Two files and their cosines by the first and the second encoder.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        names: Of the encoders.

    Raises:
        MediaError: If a picture cannot be read.
        OutputError: If the sheet cannot be written.
    """
    columns = max(1, min(3, len(pairs)))
    rows = max(1, math.ceil(len(pairs) / columns))
    across = columns * (2 * _SIDE + _NEAR) + (columns + 1) * _FAR
    down = rows * (_SIDE + _TEXT) + (rows + 1) * _FAR / 2
    with mpl.rc_context(_SETTINGS), quiet_fonts():
        figure = Figure(figsize=(across / 72, down / 72), dpi=_DPI, facecolor="white")
        sheet = (across, down)
        if not pairs:
            _write(figure, "No pairs", (_FAR, down / 2), sheet)
        for number, pair in enumerate(pairs):
            row, column = divmod(number, columns)
            left = _FAR + column * (2 * _SIDE + _NEAR + _FAR)
            top = _FAR / 2 + row * (_SIDE + _TEXT + _FAR / 2)
            _draw_pair(figure, pair, (left, top), sheet, names=names)
        buffer = io.BytesIO()
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, metadata=metadata)
    write_whole(path, buffer.getvalue())


def _draw_pair(
    figure: Figure, pair: tuple[Path, Path, float, float], corner: tuple[float, float],
    sheet: tuple[float, float], *, names: tuple[str, str],
) -> None:  # fmt: skip
    left, top = corner
    for place, file in enumerate(pair[:2]):
        x = left + place * (_SIDE + _NEAR)
        frame = (x / sheet[0], 1 - (top + _SIDE) / sheet[1], _SIDE / sheet[0], _SIDE / sheet[1])
        axes = figure.add_axes(frame)
        axes.set_axis_off()
        axes.set_facecolor("none")
        axes.imshow(_small(file), interpolation="antialiased")
        name = _cut(file.name, _SIDE, size=8.0)
        _write(figure, name, (x, top + _SIDE + 13), sheet, size=8.0, color=_FAINT)
    said = f"{names[0]} {pair[2]:.3f}   {names[1]} {pair[3]:.3f}"
    _write(figure, said, (left, top + _SIDE + 30), sheet, size=10.0)


def _small(file: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A picture, its longer side as many pixels as it takes on the sheet."""
    picture = PILImage.fromarray(read_image(file).pixels)
    longest = round(_SIDE / 72 * _DPI)
    picture.thumbnail((longest, longest), PILImage.Resampling.LANCZOS)
    return np.asarray(picture)


def _cut(name: str, width: float, *, size: float) -> str:
    """A name that fits, its end kept: that is what tells files of a row apart."""
    style = Style(font=make_font(size), color=_INK)
    shown = name
    while len(shown) > 4 and text_size(shown, style)[0] > width:
        shown = "..." + shown.removeprefix("...")[1:]
    return shown


def _write(
    figure: Figure, text: str, at: tuple[float, float], sheet: tuple[float, float], *,
    size: float = 10.0, color: str = _INK,
) -> None:  # fmt: skip
    look: dict[str, Any] = {"fontproperties": make_font(size), "color": color}
    x, y = at[0] / sheet[0], 1 - at[1] / sheet[1]
    figure.text(x, y, drawable(text), parse_math=False, **look)

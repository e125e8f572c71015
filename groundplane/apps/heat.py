"""A photo with a number for each cell of a grid, as colours over its grey, with their scale."""

from __future__ import annotations

import io
import math
import threading
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from groundplane.core.errors import OutputError, ShapeError
from groundplane.core.files import write_whole
from groundplane.core.frames import Frame
from groundplane.core.image import Image
from groundplane.spatial.labels import (
    Style,
    drawable,
    make_font,
    quiet_fonts,
    text_size,
    wrap_lines,
)

__all__ = ["draw_heat"]

_INK = "#10161c"
# Longer side of the photo, least width of a photo beside a title, points (1/72 inch).
_LONGER, _NARROWEST = 720.0, 300.0
# Margin, width of the bar of colours, room for its numbers.
_EDGE, _BAR, _NUMBERS = 14.0, 14.0, 34.0
_LEADING = 17.0
# How much of the photo's grey the colours leave.
_COVER = 0.6
_COLOURS = "inferno"
_DRAWING = threading.Lock()
_SETTINGS: Any = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "text.usetex": False}


def draw_heat(
    image: Image,
    values: Float[np.ndarray, "rows columns"],
    frame: Frame,
    path: str | Path,
    *,
    title: str = "",
) -> None:
    """Draw numbers over a photo, each over the part of it that it is about.

    The scale begins at 0 and ends at 1, or above where a number is greater. What has no number
    stays grey.

    Args:
        image: The photo.
        values: One a cell, 0 or more; NaN where there is none.
        frame: What of the photo the grid covers.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        title: A heading, or nothing.

    Raises:
        ShapeError: If the frame is of another photo.
        OutputError: If the picture cannot be written, or the ending is another one.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise OutputError(f"{path}: expected a picture's name ending in .svg or .png")
    if frame.image_size != image.size:
        raise ShapeError(
            f"heat: expected a frame of {image.source.name!r}, {image.size} pixels, got one of "
            f"{frame.image_size}"
        )
    finite = values[np.isfinite(values)]
    most = max(1.0, math.ceil(10 * float(finite.max())) / 10) if finite.size else 1.0
    with _DRAWING, mpl.rc_context(_SETTINGS), quiet_fonts():
        figure, photo, bar = _sheet(image.size, title)
        _draw_photo(photo, image)
        _draw_cells(photo, values, frame, most=most)
        _draw_bar(bar, most)
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, metadata=metadata)
    write_whole(path, buffer.getvalue())


def _sheet(size: tuple[int, int], title: str) -> tuple[Figure, Axes, Axes]:
    """A figure, with room for the photo, beside it for the bar and above them for the title."""
    width, height = size
    scale = _LONGER / max(width, height)
    wide, high = width * scale, height * scale
    across = max(wide, _NARROWEST) + 2 * _EDGE + _BAR + _NUMBERS
    style = Style(font=make_font(12.0, bold=True), color=_INK)

    def measure(text: str) -> float:
        return float(text_size(text, style)[0])

    lines = wrap_lines(title, across - 2 * _EDGE, measure=measure)
    top = _LEADING * len(lines) + _EDGE
    # A bar of a very flat photo is higher than the photo.
    down = max(high, 120.0) + top + _EDGE
    figure = Figure(figsize=(across / 72, down / 72), dpi=144, facecolor="white")
    for number, line in enumerate(lines):
        look: dict[str, Any] = {"fontproperties": style.font, "color": _INK, "parse_math": False}
        y = 1 - (_EDGE + 6 + _LEADING * number) / down
        figure.text(_EDGE / across, y, drawable(line), **look)
    bottom = down - top - high
    left = _EDGE + (max(wide, _NARROWEST) - wide) / 2
    photo = figure.add_axes((left / across, bottom / down, wide / across, high / down))
    beside, tall = left + wide + _EDGE, max(high, 100.0)
    low = max(_EDGE / 2, bottom + high - tall)
    bar = figure.add_axes((beside / across, low / down, _BAR / across, tall / down))
    photo.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    photo.set_axis_off()
    return figure, photo, bar


def _draw_photo(axes: Axes, image: Image) -> None:
    width, height = image.size
    extent = (0, width, height, 0)
    axes.imshow(_grey(image), extent=extent, interpolation="antialiased", aspect="auto")


def _grey(image: Image) -> UInt8[np.ndarray, "h w 3"]:
    """The photo without its colours and flatter, so that colours mean numbers alone."""
    light = image.pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    flat = np.rint(38 + 0.7 * light).astype(np.uint8)
    return np.repeat(flat[:, :, None], 3, axis=2)


def _draw_cells(
    axes: Axes, values: Float[np.ndarray, "rows columns"], frame: Frame, *, most: float
) -> None:
    width, height = frame.canvas
    left, top, right, bottom = frame.to_image(np.array([[0.0, 0.0, width, height]]))[0].tolist()
    axes.imshow(
        np.ma.masked_invalid(values), extent=(left, right, bottom, top), interpolation="nearest",
        cmap=_COLOURS, vmin=0.0, vmax=most, alpha=_COVER, aspect="auto",
    )  # fmt: skip
    axes.set(xlim=(0, frame.image_size[0]), ylim=(frame.image_size[1], 0))


def _draw_bar(axes: Axes, most: float) -> None:
    steps = np.linspace(0, most, 256)[:, None]
    # Over the same middle grey as on the photo, so that the bar shows the colours that are seen.
    axes.imshow(np.full((1, 1, 3), 128, np.uint8), extent=(0, 1, 0, most), aspect="auto")
    axes.imshow(
        steps, extent=(0, 1, 0, most), origin="lower", cmap=_COLOURS, vmin=0.0, vmax=most,
        alpha=_COVER, aspect="auto",
    )  # fmt: skip
    ticks = np.arange(0, most + 1e-9, 0.25)
    axes.set(xticks=[], xlim=(0, 1), ylim=(0, most), yticks=ticks)
    axes.set_yticklabels([f"{tick:.2f}" for tick in ticks])
    axes.yaxis.tick_right()
    axes.tick_params(length=2, pad=3)
    for label in axes.get_yticklabels():
        label.set_fontproperties(make_font(8.5))

"""A photo with what was found in it: boxes, masks, points and outlines, each with its label.

Labels stand at a corner of their box, as people read them, or are large numbers, as models do.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.masks import RleMask, bounding_box, decode
from groundplane.core.regions import Regions
from groundplane.spatial.labels import (
    Style,
    drawable,
    make_font,
    place_label,
    place_tag,
    quiet_fonts,
    short,
    text_size,
    wrap_lines,
)

__all__ = ["Mark", "marks_of", "picture_of_marks"]

_Shape = Float[np.ndarray, "_ 2"]
_Look = dict[str, Any]  # keyword arguments of matplotlib

# Bright enough for dark ink on them, and apart in hue from each other.
_COLORS = (
    "#ffb000", "#4cc9f0", "#ff6f91", "#90e05a", "#c79bff", "#ff8c42", "#2ee6c5", "#f5e663",
    "#ff9de2", "#8fb4ff", "#d4c2a0", "#a8e6cf",
)  # fmt: skip
_INK, _SHADE = "#10161c", "#10161c"
# Longer side of the photo on the sheet, least width of a sheet with a title, points (1/72 inch).
_LONGER, _NARROWEST = 900.0, 300.0
_LEADING = 17.0
# How much of a mask's colour covers the photo.
_FILL = 0.34
# Numbers for a model: the size of few, the least, points, and how many make a crowd.
_NUMBER_SIZES, _CROWD = (30.0, 14.0), 60
# Beyond these nobody can read a label any more.
_MOST_TAGS = 250
_DRAWING = threading.Lock()
_SETTINGS: Any = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "text.usetex": False}


def _none(columns: int) -> Any:
    return lambda: np.zeros((0, columns))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mark:
    """What is drawn in one colour; pixels of the photo.

    Attributes:
        label: What it is called; the same label has the same colour.
        boxes: `xyxy`.
        points: x and y.
        polygons: Outlines.
        masks: At the photo's size.
        scores: One a box, shown behind its label; or empty.
    """

    label: str
    boxes: Float[np.ndarray, "n 4"] = field(default_factory=_none(4))
    points: Float[np.ndarray, "m 2"] = field(default_factory=_none(2))
    polygons: tuple[Float[np.ndarray, "_ 2"], ...] = ()
    masks: tuple[RleMask, ...] = ()
    scores: tuple[float, ...] = ()


def marks_of(regions: Regions) -> list[Mark]:
    """The regions of an expert as marks, one a region, weak ones first."""
    boxes = regions.boxes.detach().double().cpu().numpy()
    scores: list[float] = regions.scores.tolist()
    labels = regions.labels(unmapped="region")
    return [
        Mark(
            label=labels[i],
            boxes=boxes[i : i + 1],
            masks=(regions.masks[i],) if regions.masks is not None else (),
            scores=(scores[i],),
        )
        for i in sorted(range(len(regions)), key=scores.__getitem__)
    ]


def picture_of_marks(
    image: Image,
    marks: Sequence[Mark],
    *,
    kind: Literal["png", "svg"] = "png",
    title: str = "",
    numbers: bool = False,
) -> bytes:
    """Draw a photo with marks; what lies beyond its edges is cut there.

    Args:
        image: The photo.
        marks: What to draw, from below to above.
        kind: Of the picture. The same input gives the same bytes.
        title: A heading, or nothing.
        numbers: Labels are short and large, stay readable where a model shrinks the picture, and
            stand where they hide no small thing; else they are for people.

    Returns:
        The picture as a file holds it, 1,800 pixels wide or high.

    Raises:
        InputError: If a mask is of another size than the photo.
    """
    for mark in marks:
        for mask in mark.masks:
            if mask.size != image.pixels.shape[:2]:
                raise InputError(
                    f"mask of {mark.label!r}: expected {image.pixels.shape[:2]} (h, w), "
                    f"got {mask.size}"
                )
    with _DRAWING, mpl.rc_context(_SETTINGS), quiet_fonts():
        sheet = _Sheet.of(image.size, title)
        colors = _colors(mark.label for mark in marks)
        # A model is asked for colours too: where it looks, areas keep theirs.
        fill, rim = 0.0 if numbers else _FILL, max(1, round(1.6 / sheet.scale))
        _draw_photo(sheet, _painted(image, marks, colors, rim=rim, fill=fill))
        for mark in marks:
            _draw_areas(sheet, mark, colors[mark.label])
        for mark in marks:
            _draw_lines(sheet, mark, colors[mark.label])
        # Strong ones last in the list are labelled first, so that they get the better places.
        tags = [tag for mark in reversed(marks) for tag in _tags(mark, sheet.size)]
        if numbers:
            _draw_numbers(sheet, tags, colors)
        else:
            for text, label, frame in tags[:_MOST_TAGS]:
                sheet.tag(text, frame, color=colors[label])
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        sheet.figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """A figure with room for the photo and above it for the title.

    Attributes:
        size: Width and height of the photo, pixels.
        scale: Points a pixel.
        taken: Where labels stand already, points from the photo's lower left corner.
    """

    figure: Figure
    axes: Axes
    size: tuple[int, int]
    scale: float
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    @classmethod
    def of(cls, size: tuple[int, int], title: str) -> _Sheet:
        width, height = size
        scale = _LONGER / max(width, height)
        across = max(width * scale, _NARROWEST)
        style = Style(font=make_font(12.0, bold=True), color=_INK)

        def measure(text: str) -> float:
            return float(text_size(text, style)[0])

        lines = wrap_lines(title, across - 28, measure=measure)
        top = _LEADING * len(lines) + 14 if lines else 0.0
        down = height * scale + top
        figure = Figure(figsize=(across / 72, down / 72), dpi=144, facecolor="white")
        left = (across - width * scale) / 2 / across
        axes = figure.add_axes((left, 0, width * scale / across, height * scale / down))
        axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        axes.set_axis_off()
        for number, line in enumerate(lines):
            place: _Look = {"x": 14 / across, "y": 1 - (20 + _LEADING * number) / down}
            look: _Look = {"fontproperties": style.font, "color": _INK, "parse_math": False}
            figure.text(s=drawable(line), **place, **look)
        return cls(figure=figure, axes=axes, size=size, scale=scale)

    def tag(self, text: str, frame: Float[np.ndarray, " 4"], *, color: str) -> None:
        """Write a label at a corner of a box, within the photo, where no other stands."""
        style = _tag_style(9.0, color)
        size = text_size(text, style)
        at = place_tag(self.upright(frame), size, taken=self.taken, extent=self.extent)
        self.write(text, at, style)

    @property
    def extent(self) -> Float[np.ndarray, " 2"]:
        """Width and height of the photo, points."""
        return np.array(self.size) * self.scale

    def upright(self, frame: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 4"]:
        """A box of the photo in points from its lower left corner."""
        x0, y0, x1, y1 = frame
        height = self.size[1]
        return np.array([x0, height - y1, x1, height - y0]) * self.scale

    def write(self, text: str, at: Float[np.ndarray, " 2"], style: Style) -> None:
        """Write a label with its middle at a place, points."""
        size, height = text_size(text, style), self.size[1]
        self.taken.append((*(at - size / 2), *(at + size / 2)))
        look: _Look = {"fontproperties": style.font, "color": _INK, "zorder": style.zorder}
        look |= {"ha": "center", "va": "center_baseline", "parse_math": False}
        look["bbox"] = {"fc": style.ground, "ec": "none", "pad": 1.5}
        self.axes.text(at[0] / self.scale, height - at[1] / self.scale, drawable(text), **look)


def _tag_style(size: float, color: str) -> Style:
    return Style(font=make_font(size, bold=True), color=_INK, zorder=8.0, ground=color)


def _draw_numbers(
    sheet: _Sheet,
    tags: Sequence[tuple[str, str, Float[np.ndarray, " 4"]]],
    colors: Mapping[str, str],
) -> None:
    """Labels for a model: those of small things first, which have the fewest places."""
    if not tags:
        return
    large, least = _NUMBER_SIZES
    size = max(least, large - (large - least) * len(tags) / _CROWD)
    frames = np.stack([sheet.upright(frame) for _, _, frame in tags])
    areas = (frames[:, 2:] - frames[:, :2]).prod(axis=1)
    for i in np.argsort(areas, kind="stable").tolist():
        text, label, _ = tags[i]
        style = _tag_style(size, colors[label])
        extent = text_size(text, style)
        at = place_label(i, frames, extent, taken=sheet.taken, extent=sheet.extent)
        at = np.clip(at, extent / 2, np.maximum(sheet.extent - extent / 2, extent / 2))
        sheet.write(text, at, style)


def _colors(labels: Iterable[str]) -> dict[str, str]:
    """A colour a label, whatever the order in which they come."""
    return {label: _COLORS[i % len(_COLORS)] for i, label in enumerate(sorted(set(labels)))}


def _painted(
    image: Image, marks: Iterable[Mark], colors: Mapping[str, str], *, rim: int, fill: float
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with all masks on it, each filled so that the photo shows through.

    They are painted into one copy of the photo: a layer a mask would take the memory of as many
    photos as there are masks.
    """
    layers = [(mask, colors[mark.label]) for mark in marks for mask in mark.masks]
    painted = image.pixels.copy() if layers else image.pixels
    for mask, color in layers:
        left, top, right, bottom = bounding_box(mask)
        if right <= left or bottom <= top:
            continue
        filled = decode(mask)[top:bottom, left:right]
        ink = 255.0 * np.array(to_rgb(color))
        place = painted[top:bottom, left:right]
        place[filled] = np.rint((1 - fill) * place[filled] + fill * ink).astype(np.uint8)
        # A rim as broad as a line of the boxes, so that the mask ends where it is seen to end.
        place[_rim(filled, rim)] = np.rint(ink).astype(np.uint8)
    return painted


def _draw_photo(sheet: _Sheet, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    width, height = sheet.size
    sheet.axes.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased")


def _draw_areas(sheet: _Sheet, mark: Mark, color: str) -> None:
    """Outlines, filled so that the photo shows through."""
    shapes = [shape for shape in mark.polygons if len(shape) and bool(np.isfinite(shape).all())]
    _outline(sheet, shapes, color, fill=0.25)


def _rim(filled: Bool[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """What of a shape lies within so many pixels of its edge."""
    inner = np.pad(filled, 1)
    for _ in range(width):
        inner[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return np.asarray(filled & ~inner[1:-1, 1:-1])


def _draw_lines(sheet: _Sheet, mark: Mark, color: str) -> None:
    """Boxes and points, bright on dark, which is seen on any photo."""
    boxes = _within(mark.boxes, sheet.size)
    _outline(sheet, [box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2) for box in boxes], color, fill=0)
    points = mark.points[np.isfinite(mark.points).all(axis=1)]
    cross: _Look = {"linestyle": "", "marker": "+", "zorder": 5}
    for size, width, shade in ((15.0, 5.0, _SHADE), (14.0, 2.2, color)):
        if len(points):
            look = cross | {"markersize": size, "markeredgewidth": width, "color": shade}
            sheet.axes.plot(points[:, 0], points[:, 1], **look)
    for x, y in points * sheet.scale:
        up = sheet.size[1] * sheet.scale - y
        sheet.taken.append((x - 7, up - 7, x + 7, up + 7))  # no label on a cross


def _outline(sheet: _Sheet, shapes: Sequence[_Shape], color: str, *, fill: float) -> None:
    if not shapes:
        return
    for width, shade, order in ((3.4, _SHADE, 3), (1.8, color, 4)):
        look: _Look = {"facecolors": "none", "edgecolors": shade, "linewidths": width}
        sheet.axes.add_collection(PolyCollection(shapes, zorder=order, **look))
    if fill:
        look = {"facecolors": color, "edgecolors": "none", "alpha": fill}
        sheet.axes.add_collection(PolyCollection(shapes, zorder=2, **look))


def _tags(mark: Mark, size: tuple[int, int]) -> list[tuple[str, str, Float[np.ndarray, " 4"]]]:
    """The labels of a mark with the box that each belongs to."""
    name = short(" ".join(mark.label.split()))
    frames = [
        (box, f"{name} {mark.scores[i]:.2f}" if mark.scores else name)
        for i, box in enumerate(mark.boxes)
    ]
    # A point's label stands off by a little more than the cross is wide.
    off = 0.012 * max(size)
    frames += [(np.array([x - off, y - off, x + off, y + off]), name) for x, y in mark.points]
    frames += [(np.concatenate([p.min(axis=0), p.max(axis=0)]), name) for p in mark.polygons]
    if not frames:
        frames = [(np.array(bounding_box(mask), dtype=float), name) for mask in mark.masks]
    return [
        (text, mark.label, inside[0])
        for frame, text in frames
        if text.strip() and len(inside := _within(frame[None], size))
    ]


def _within(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float[np.ndarray, "m 4"]:
    """Boxes cut at the photo's edges; those wholly outside or not finite are left out."""
    whole = boxes[np.isfinite(boxes).all(axis=1)]
    cut = np.clip(whole, 0, np.array(size * 2, dtype=float))
    # A box that only touches the photo is kept, so that one without area is seen as a line.
    meets = (whole[:, :2] <= np.array(size)).all(axis=1) & (whole[:, 2:] >= 0).all(axis=1)
    return np.asarray(cut[meets])

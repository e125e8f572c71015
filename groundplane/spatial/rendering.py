"""Pictures of an answer: a scene from above, or a photo, with the evidence picked out."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import shapely
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle, Wedge
from matplotlib.patches import Polygon as PolygonPatch
from matplotlib.patheffects import Stroke

from groundplane.core.errors import InputError, OutputError, did_you_mean, listing
from groundplane.core.files import write_whole
from groundplane.core.image import Image
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
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.palette import label_colors
from groundplane.spatial.routes.way_drawing import draw_way

__all__ = ["draw_map", "draw_photo"]

Point = tuple[float, float, float]
Look = dict[str, Any]  # keyword arguments of matplotlib
Shape = Float[np.ndarray, "_ 2"]

EVIDENCE, INK, QUIET, SIGHT = "#d1240f", "#26323d", "#8a949e", "#1f5fbf"
# Beyond these a label cannot be read any more; the legend says how many are shown.
LABEL_LIMIT = 250
# The heading: how its lines look, how far they stand apart, and off the sheet's sides; points.
TITLE = Style(font=make_font(12.0, bold=True), color=INK)
NOTE = Style(font=make_font(8.0), color=QUIET)
LEADING, MARGIN = 16.0, 14.0
# The settings of matplotlib are global: they are changed for one drawing at a time.
_DRAWING = threading.Lock()
SETTINGS: Any = {
    "svg.hashsalt": "groundplane",
    "svg.fonttype": "path",
    "text.usetex": False,
    "savefig.bbox": None,
}


def draw_map(
    scene: CognitiveMap,
    path: str | Path,
    *,
    evidence: Sequence[str] = (),
    viewpoint: tuple[Point, Point] | None = None,
    line: tuple[Point, Point] | None = None,
    way: Sequence[tuple[float, float]] = (),
    title: str | None = None,
) -> None:
    """Draw a scene from above, x to the right and y up.

    Args:
        scene: The scene.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        evidence: Ids of the objects to pick out.
        viewpoint: Where somebody stands, and a point that they look at; world frame.
        line: Two points whose distance is shown; world frame.
        way: A polyline that is walked, from its start to its goal; x and y in the world frame.
        title: The heading; the scene's name where there is none.

    Raises:
        InputError: If an evidence id is not in the scene.
        OutputError: If the picture cannot be written, or the ending is another one.
    """
    kind = _kind(path)
    _check_evidence(evidence, scene.ids, what="object")
    points = [point[:2] for pair in (viewpoint, line) if pair for point in pair] + [*way]
    unit = "m" if scene.scale == "metric" else "units"
    with _DRAWING, mpl.rc_context(SETTINGS), quiet_fonts():
        low_x, low_y, high_x, high_y = _bounds(scene, points)
        pad = 0.06 * max(high_x - low_x, high_y - low_y)
        bounds = (low_x - pad, low_y - 1.6 * pad, high_x + pad, high_y + pad)
        head = (title or scene.name or "scene", _note(scene, unit=unit))
        sheet = _Sheet.around(bounds, longer=720.0, head=head, below=46.0)
        _draw_ground(sheet, scene)
        shapes = _footprints(scene)
        _draw_objects(sheet, scene, shapes, evidence)
        if viewpoint:
            _draw_viewpoint(sheet, viewpoint)
        if line:
            _draw_distance(sheet, line, unit=unit)
        sheet.legend += draw_way(sheet.axes, way)
        _draw_scale_bar(sheet, unit=unit)
        _draw_labels(sheet, scene, shapes, evidence)
        legend: Look = {"loc": "lower center", "ncols": 3, "frameon": False, "labelcolor": INK}
        sheet.figure.legend(handles=sheet.legend, prop=make_font(8.0), **legend)
        data = _encode(sheet.figure, kind)
    write_whole(path, data)


def draw_photo(
    image: Image,
    regions: Regions,
    path: str | Path,
    *,
    evidence: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """Draw a photo with its regions as boxes, each with its label and score.

    Args:
        image: The photo.
        regions: The regions, in the photo's upright pixels; a score of NaN is not written.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        evidence: Ids of the regions to pick out.
        title: The heading, if any.

    Raises:
        InputError: If an evidence id is no region, or the regions are of another image size.
        OutputError: If the picture cannot be written, or the ending is another one.
    """
    kind = _kind(path)
    _check_evidence(evidence, regions.ids, what="region")
    if tuple(regions.image_size) != image.size:
        raise InputError(
            f"draw_photo: expected regions of an image of {image.size} pixels, "
            f"got regions of {tuple(regions.image_size)}"
        )
    with _DRAWING, mpl.rc_context(SETTINGS), quiet_fonts():
        width, height = image.size
        frame = (0.0, -float(height), float(width), 0.0)
        sheet = _Sheet.around(frame, longer=900.0, head=(title or "", ""))
        sheet.axes.imshow(image.pixels, extent=(0, width, -height, 0), interpolation="antialiased")
        _draw_regions(sheet, regions, evidence)
        data = _encode(sheet.figure, kind)
    write_whole(path, data)


def _note(scene: CognitiveMap, *, unit: str) -> str:
    count = f"{len(scene)} object{'' if len(scene) == 1 else 's'}"
    return count if scene.room_area is None else f"{count}, {scene.room_area:.1f} {unit}\u00b2"


def _kind(path: str | Path) -> str:
    ending = Path(path).suffix.lower()
    if ending not in (".svg", ".png"):
        raise OutputError(f"{path}: expected a picture's name ending in .svg or .png")
    return ending[1:]


def _check_evidence(evidence: Sequence[str], ids: Sequence[str], *, what: str) -> None:
    for key in evidence:
        if key not in ids:
            raise InputError(
                f"evidence {key!r} is no {what} of the picture; there are: "
                f"{listing(ids, limit=6)}.{did_you_mean(key, ids)}"
            )


def _encode(figure: Figure, kind: str) -> bytes:
    """The picture's bytes, without the time or the program's version of the day."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """A figure with one drawing area whose scale is known before anything is drawn.

    Attributes:
        scale: Points (1/72 inch) a unit of the drawing.
        bounds: Least x, least y, greatest x, greatest y of the drawing area, units.
        taken: Where labels stand already; same corners, points.
        legend: What the marks mean.
    """

    figure: Figure
    axes: Axes
    scale: float
    bounds: tuple[float, float, float, float]
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    legend: list[Line2D | Patch] = field(default_factory=list)

    @classmethod
    def around(
        cls,
        bounds: Sequence[float],
        *,
        longer: float,
        head: tuple[str, str],
        below: float = 0.0,
    ) -> _Sheet:
        """A drawing area of which the longer side has so many points, and room for text.

        The head is a title above, in up to three lines, and a quiet note to the right of it.
        """
        low_x, low_y, high_x, high_y = bounds
        scale = longer / max(high_x - low_x, high_y - low_y)
        inner = (high_x - low_x) * scale, (high_y - low_y) * scale
        # A narrow scene stands in the middle of a sheet that is wide enough for its texts.
        width = max(inner[0], 460 if below else 300 if head[0] else 0)
        lines = _title_lines(*head, width=width)
        top = LEADING * len(lines) + 20 if any(head) else 0.0
        height = inner[1] + top + below
        figure = Figure(figsize=(width / 72, height / 72), dpi=144, facecolor="white")
        left = (width - inner[0]) / 2 / width
        axes = figure.add_axes((left, below / height, inner[0] / width, inner[1] / height))
        axes.set(xlim=(low_x, high_x), ylim=(low_y, high_y), autoscale_on=False)
        axes.set_axis_off()
        sheet = cls(figure=figure, axes=axes, scale=scale, bounds=(low_x, low_y, high_x, high_y))
        for number, line in enumerate(lines):
            sheet.head(line, 24 + LEADING * number, style=TITLE, side="left")
        sheet.head(head[1], 24, style=NOTE, side="right")
        return sheet

    def head(self, text: str, down: float, *, style: Style, side: str) -> None:
        """Write above the drawing area, with the line so many points below the sheet's top."""
        width, height = self.figure.get_size_inches() * 72
        x = MARGIN if side == "left" else width - MARGIN
        place: Look = {"x": x / width, "y": 1 - down / height, "ha": side, "va": "baseline"}
        look: Look = {"fontproperties": style.font, "color": style.color, "parse_math": False}
        self.figure.text(s=drawable(text), **place, **look)

    @property
    def extent(self) -> Float[np.ndarray, " 2"]:
        """Width and height of the drawing area, points."""
        return self.points(np.array(self.bounds[2:]))

    def points(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """From the drawing's units to points from its lower left corner."""
        return np.asarray((xy - np.array(self.bounds[:2])) * self.scale)

    def units(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """From points from the lower left corner to the drawing's units."""
        return np.asarray(xy / self.scale + np.array(self.bounds[:2]))

    def write(self, text: str, at: Float[np.ndarray, " 2"], *, style: Style) -> None:
        """Write text centred on a place in points, and keep other text off it."""
        half = text_size(text, style) / 2
        self.taken.append((*(at - half), *(at + half)))
        x, y = self.units(at)
        look: Look = {"fontproperties": style.font, "color": style.color, "zorder": style.zorder}
        if style.ground:
            look["bbox"] = {"fc": style.ground, "ec": "none", "pad": 1.5}
        look |= {"ha": "center", "va": "center_baseline", "parse_math": False}
        if not style.ground:
            # Apart from the text itself, of which an SVG then says in a comment what it reads.
            halo = self.axes.text(x, y, drawable(text), **look)
            halo.set_path_effects([Stroke(linewidth=2.2, foreground="white", alpha=0.85)])
        self.axes.text(x, y, drawable(text), **look)

    def arrow(self, ends: Float[np.ndarray, "2 2"], *, color: str, width: float) -> None:
        """Draw an arrow between two places, units."""
        start, end = map(tuple, ends)
        head: Look = {
            "arrowstyle": "-|>",
            "mutation_scale": 4 + 6 * width,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        self.axes.add_patch(FancyArrowPatch(start, end, color=color, lw=width, zorder=6, **head))


def _title_lines(title: str, note: str, *, width: float) -> list[str]:
    """The title's lines, left of the note."""
    aside = text_size(note, NOTE)[0] + MARGIN if note else 0.0

    def measure(text: str) -> float:
        return float(text_size(text, TITLE)[0])

    return wrap_lines(title, width - 2 * MARGIN - aside, measure=measure)


def _bounds(
    scene: CognitiveMap, points: Sequence[tuple[float, float]]
) -> tuple[float, float, float, float]:
    """What the plan must show: room, boxes and the points that are asked for."""
    corners = [np.array(points).reshape(-1, 2)]
    if scene.room is not None:
        corners.append(np.array(scene.room.exterior.coords)[:, :2])
    if len(scene):
        corners.append(scene.objects.corners().detach().cpu().numpy().reshape(-1, 3)[:, :2])
    every = np.concatenate(corners)
    if not len(every):
        return (0.0, 0.0, 1.0, 1.0)
    low, high = every.min(axis=0), every.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _footprints(scene: CognitiveMap) -> list[Shape]:
    """The outline of each box seen from above."""
    corners = scene.objects.corners().detach().cpu().numpy()[:, :, :2]
    hulls = shapely.convex_hull(shapely.multipoints(list(corners))) if len(scene) else []
    return [np.array(hull.exterior.coords) for hull in hulls]


def _step(span: float, *, most: int) -> float:
    """A round length, 1, 2 or 5 times a power of ten, that fits `most` times into the span."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(power * k for k in (1, 2, 5, 10) if power * k * most >= span * (1 - 1e-9))


def _draw_ground(sheet: _Sheet, scene: CognitiveMap) -> None:
    """A light grid, and the room."""
    low_x, low_y, high_x, high_y = sheet.bounds
    step = _step(max(high_x - low_x, high_y - low_y), most=24)
    for x in np.arange(math.ceil(low_x / step), math.floor(high_x / step) + 1) * step:
        sheet.axes.axvline(x, color="#eef1f4", linewidth=0.6, zorder=0)
    for y in np.arange(math.ceil(low_y / step), math.floor(high_y / step) + 1) * step:
        sheet.axes.axhline(y, color="#eef1f4", linewidth=0.6, zorder=0)
    if scene.room is not None:
        outline = np.array(scene.room.exterior.coords)[:, :2]
        style: Look = {"facecolor": "#fbf9f5", "edgecolor": INK, "linewidth": 2.2}
        sheet.axes.add_patch(PolygonPatch(outline, zorder=1, joinstyle="miter", **style))
        sheet.legend.append(Patch(label="room", **style))


def _draw_objects(
    sheet: _Sheet, scene: CognitiveMap, shapes: Sequence[Shape], evidence: Sequence[str]
) -> None:
    """Footprints from low to high, so that what stands on a table is seen; fronts; evidence."""
    if not len(scene):
        return
    order = scene.objects.hull()[1][:, 2].argsort(stable=True).tolist()
    hues = label_colors(scene.labels)
    chosen = [shapes[i] for i in order if scene.ids[i] in evidence]
    fill = ["#e9ecef" if chosen else hues[scene.labels[i]] for i in order]
    edge = "#aab3bb" if chosen else "#5f6b76"
    every = [shapes[i] for i in order]
    sheet.axes.add_collection(
        PolyCollection(every, facecolors=fill, edgecolors=edge, lw=0.8, zorder=2)
    )
    # Drawn once more, so that what lies beneath another object is not lost.
    hidden: Look = {"edgecolors": edge, "linewidths": 0.6, "linestyles": (0, (3, 2))}
    sheet.axes.add_collection(PolyCollection(every, facecolors="none", zorder=2.5, **hidden))
    sheet.legend.append(Patch(fc=fill[0], ec=edge, label="object (dashed: beneath another)"))
    if chosen:
        style: Look = {"facecolor": "#f3a99b99", "edgecolor": EVIDENCE, "linewidth": 2.2}
        sheet.axes.add_collection(PolyCollection(chosen, zorder=3, **style))
        sheet.legend.append(Patch(label="evidence", **style))
    _draw_fronts(sheet, scene, shapes, color=QUIET if chosen else INK)


def _draw_fronts(
    sheet: _Sheet, scene: CognitiveMap, shapes: Sequence[Shape], *, color: str
) -> None:
    """A small arrow head where each known front meets the footprint's edge."""
    fronts = scene.fronts.detach().cpu().numpy()[:, :2]
    length = np.linalg.norm(fronts, axis=1)
    known = np.flatnonzero(length > 1e-3)  # NaN is not; nor is a front that looks straight up
    middles = scene.objects.centers[:, :2].detach().cpu().numpy()
    heads = []
    for i in known.tolist():
        ahead = fronts[i] / length[i]
        edge = middles[i] + ahead * ((shapes[i] - middles[i]) @ ahead).max()
        side = np.array([-ahead[1], ahead[0]])
        heads.append(np.array([ahead * 5, side * 3.2, -side * 3.2]) / sheet.scale + edge)
    if heads:
        sheet.axes.add_collection(PolyCollection(heads, facecolors=color, lw=0, zorder=4))
        mark: Look = {"linestyle": "", "marker": "^", "markersize": 5, "color": color}
        sheet.legend.append(Line2D([], [], label="front of the object", **mark))


def _draw_viewpoint(sheet: _Sheet, viewpoint: tuple[Point, Point]) -> None:
    """A dot where somebody stands, and an arrow along which they look."""
    origin, target = (np.array(point[:2]) for point in viewpoint)
    if np.linalg.norm(target - origin) * sheet.scale < 1:
        raise InputError("viewpoint: expected two points apart as seen from above, got one place")
    sheet.arrow(np.array([origin, target]), color=SIGHT, width=2.0)
    turn = math.degrees(math.atan2(*(target - origin)[::-1]))
    cone: Look = {"color": SIGHT, "alpha": 0.18, "zorder": 5, "lw": 0}
    sheet.axes.add_patch(Wedge(tuple(origin), 44 / sheet.scale, turn - 35, turn + 35, **cone))
    style: Look = {"marker": "o", "color": SIGHT, "markeredgecolor": "white", "markersize": 9}
    sheet.axes.plot(*origin, zorder=7, **style)
    sheet.legend.append(Line2D([], [], linewidth=2, label="viewpoint, looking along", **style))
    place = sheet.points(origin)
    sheet.taken.append((*(place - 7), *(place + 7)))


def _draw_distance(sheet: _Sheet, line: tuple[Point, Point], *, unit: str) -> None:
    """A dashed line with the distance of its ends in space."""
    ends = np.array(line)
    style: Look = {"color": EVIDENCE, "linewidth": 1.6, "linestyle": (0, (4, 2)), "markersize": 4}
    sheet.axes.plot(*ends[:, :2].T, marker="o", zorder=6, **style)
    sheet.legend.append(Line2D([], [], marker="o", label="distance", **style))
    x, y = ends[1, :2] - ends[0, :2]
    aside = np.array([-y, x]) * (1 if x >= 0 else -1)  # above the line
    place = sheet.points(ends[:, :2].mean(axis=0))
    place = place + 10 * aside / max(float(np.hypot(x, y)), 1e-9)
    bold = Style(font=make_font(9.0, bold=True), color=EVIDENCE)
    sheet.write(f"{np.linalg.norm(ends[1] - ends[0]):.2f} {unit}", place, style=bold)


def _draw_scale_bar(sheet: _Sheet, *, unit: str) -> None:
    """How long a metre is, and which way x and y go."""
    length = _step(sheet.bounds[2] - sheet.bounds[0], most=6)
    start = np.array([14.0, 10.0])
    bar = sheet.units(np.array([start, start + np.array([length * sheet.scale, 0])]))
    sheet.axes.plot(*bar.T, color=INK, linewidth=2, zorder=8, solid_capstyle="butt")
    ink = Style(font=make_font(8.0), color=INK)
    sheet.write(f"{length:g} {unit}", sheet.points(bar.mean(axis=0)) + np.array([0, 9]), style=ink)
    corner = sheet.points(np.array([sheet.bounds[2], sheet.bounds[1]])) + np.array([-40.0, 10.0])
    for name, way in (("x", np.array([18.0, 0.0])), ("y", np.array([0.0, 18.0]))):
        sheet.arrow(sheet.units(np.array([corner, corner + way])), color=INK, width=1.0)
        sheet.write(name, corner + way * 1.45, style=ink)


def _draw_labels(
    sheet: _Sheet, scene: CognitiveMap, shapes: Sequence[Shape], evidence: Sequence[str]
) -> None:
    """Ids on or beside the objects: evidence first, then from large to small."""
    if not len(scene):
        return
    corners = np.array([[shape.min(axis=0), shape.max(axis=0)] for shape in shapes])
    frames = sheet.points(corners).reshape(-1, 4)
    picked = np.array([key in evidence for key in scene.ids])
    quiet = Style(font=make_font(7.5), color="#77828b" if picked.any() else INK)
    strong = Style(font=make_font(9.5, bold=True), color=EVIDENCE, zorder=11.0)
    order = np.lexsort((-(frames[:, 2:] - frames[:, :2]).prod(axis=1), ~picked))
    for i in order[:LABEL_LIMIT].tolist():
        style = strong if picked[i] else quiet
        text = short(scene.ids[i])
        size = text_size(text, style)
        place = place_label(i, frames, size, taken=sheet.taken, extent=sheet.extent)
        _draw_leader(sheet, frames[i], place, color=style.color)
        sheet.write(text, place, style=style)
    if len(scene) > LABEL_LIMIT:
        note = f"{LABEL_LIMIT} of {len(scene)} objects have a label"
        sheet.legend.append(Line2D([], [], linestyle="", label=note))


def _draw_leader(
    sheet: _Sheet, frame: Float[np.ndarray, " 4"], place: Float[np.ndarray, " 2"], *, color: str
) -> None:
    """A thin line from a label that stands apart to its object."""
    nearest = np.clip(place, frame[:2], frame[2:])
    if np.abs(place - nearest).max() < 1:
        return
    middle = (frame[:2] + frame[2:]) / 2
    end = nearest + np.clip(middle - nearest, -4, 4)
    sheet.axes.plot(*sheet.units(np.array([place, end])).T, color=color, lw=0.6, zorder=9)


def _draw_regions(sheet: _Sheet, regions: Regions, evidence: Sequence[str]) -> None:
    """Boxes from weak to strong; with evidence the others stand back."""
    scores = regions.scores.detach().cpu().numpy()
    # The sheet's y goes up, the photo's goes down.
    left, top, right, bottom = regions.boxes.detach().cpu().numpy().astype(np.float64).T
    low, high = np.stack([left, -bottom], axis=1), np.stack([right, -top], axis=1)
    labels = regions.labels(unmapped="region")
    hues = label_colors(labels)
    picked = np.array([key in evidence for key in regions.ids], dtype=bool)
    colors = [EVIDENCE if p else hues[label] for p, label in zip(picked, labels, strict=True)]
    for i in np.lexsort((scores, picked)).tolist():
        look: Look = {"fill": False, "alpha": 0.6 if picked.any() and not picked[i] else 1}
        # A dark line beneath the bright one is seen on any photo.
        for width, shade in ((1.4, "#10161c"), (0, colors[i])):
            line = width + (3.4 if picked[i] else 1.7)
            frame = Rectangle(tuple(low[i]), *(high[i] - low[i]), lw=line, ec=shade, **look)
            sheet.axes.add_patch(frame).set_zorder(3 + int(picked[i]))
    for i in np.lexsort((-scores, ~picked)).tolist():
        font = make_font(9.5 if picked[i] else 8.0, bold=True)
        ink, level = ("white", 7.0) if picked[i] else (INK, 6.0)
        tag = Style(font=font, color=ink, zorder=level, ground=colors[i])
        corners = sheet.points(np.array([low[i], high[i]])).reshape(4)
        score = "" if np.isnan(scores[i]) else f" {scores[i]:.2f}"
        _write_tag(sheet, corners, short(labels[i]) + score, style=tag)


def _write_tag(sheet: _Sheet, frame: Float[np.ndarray, " 4"], text: str, *, style: Style) -> None:
    """Write a label at a corner of its box where no other stands, if there is one."""
    place = place_tag(frame, text_size(text, style), taken=sheet.taken, extent=sheet.extent)
    sheet.write(text, place, style=style)

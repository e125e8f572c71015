"""Pictures of an answer: a scene from above, or a photo, with the evidence picked out."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import shapely
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle, Wedge
from matplotlib.patches import Polygon as PolygonPatch
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextToPath

from groundplane.core.errors import InputError, OutputError, did_you_mean, listing
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene_files import write_whole

__all__ = ["draw_map", "draw_photo"]

Point = tuple[float, float, float]

EVIDENCE, INK, QUIET, SIGHT = "#d1240f", "#26323d", "#8a949e", "#1f5fbf"
PALETTE = (
    "#8fb8de", "#f2c38f", "#a8d5a2", "#d9b3e0", "#f0b5b0", "#a5d8d8",
    "#e3d58a", "#c2c8e8", "#d8bfa2", "#b8d98a", "#e8b0cf", "#b5c4cc",
)  # fmt: skip
FONT = FontProperties(family="DejaVu Sans")
# Beyond these a label cannot be read any more; the legend says how many are shown.
LABEL_LIMIT = 250
# The settings of matplotlib are global: they are changed for one drawing at a time.
_DRAWING = threading.Lock()
SETTINGS = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "path.simplify": False}


def draw_map(
    scene: CognitiveMap,
    path: str | Path,
    *,
    evidence: Sequence[str] = (),
    viewpoint: tuple[Point, Point] | None = None,
    line: tuple[Point, Point] | None = None,
    title: str | None = None,
) -> None:
    """Draw a scene from above, x to the right and y up.

    Args:
        scene: The scene.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        evidence: Ids of the objects to pick out.
        viewpoint: Where somebody stands, and a point that they look at; world frame.
        line: Two points whose distance is shown; world frame.
        title: The heading; the scene's name where there is none.

    Raises:
        InputError: If an evidence id is not in the scene.
        OutputError: If the picture cannot be written, or the ending is another one.
    """
    kind = _kind(path)
    _check_evidence(evidence, scene.ids, what="object")
    points = [point[:2] for pair in (viewpoint, line) if pair for point in pair]
    with _DRAWING, mpl.rc_context(SETTINGS):
        sheet = _Sheet.around(_bounds(scene, points), title=title or scene.name or "scene")
        _draw_ground(sheet, scene)
        shapes = _footprints(scene)
        _draw_objects(sheet, scene, shapes, evidence)
        if viewpoint:
            _draw_viewpoint(sheet, viewpoint)
        if line:
            _draw_distance(sheet, line, unit="m" if scene.scale == "metric" else "units")
        _draw_labels(sheet, scene, shapes, evidence)
        _draw_scale_bar(sheet, unit="m" if scene.scale == "metric" else "units")
        sheet.draw_legend()
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
        regions: The regions, in the photo's upright pixels.
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
    with _DRAWING, mpl.rc_context(SETTINGS):
        sheet = _Sheet.over_photo(image, title=title)
        _draw_regions(sheet, regions, evidence)
        data = _encode(sheet.figure, kind)
    write_whole(path, data)


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
    def around(cls, bounds: tuple[float, float, float, float], *, title: str) -> _Sheet:
        """A plan, with room for labels round the scene, a heading and a legend."""
        span = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
        pad = 0.07 * span
        bounds = (bounds[0] - pad, bounds[1] - 1.6 * pad, bounds[2] + pad, bounds[3] + pad)
        width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
        scale = 720 / max(width, height)
        sheet = cls._of(bounds, scale=scale, margins=(16, 62, 16, 40), least_width=480)
        sheet.heading(title)
        return sheet

    @classmethod
    def over_photo(cls, image: Image, *, title: str | None) -> _Sheet:
        """A photo without margins, save for a heading."""
        width, height = image.size
        scale = 900 / max(width, height)
        bounds = (0.0, 0.0, float(width), float(height))
        sheet = cls._of(bounds, scale=scale, margins=(0, 0, 0, 34 if title else 0), least_width=0)
        sheet.axes.imshow(image.pixels, extent=(0, width, 0, height), interpolation="antialiased")
        if title:
            sheet.heading(title)
        return sheet

    @classmethod
    def _of(
        cls,
        bounds: tuple[float, float, float, float],
        *,
        scale: float,
        margins: tuple[float, float, float, float],
        least_width: float,
    ) -> _Sheet:
        """A figure for the bounds, with margins left, below, right and above in points."""
        inner = (bounds[2] - bounds[0]) * scale, (bounds[3] - bounds[1]) * scale
        # A narrow scene stands in the middle of a sheet that is wide enough for the legend.
        extra = max(0.0, least_width - inner[0]) / 2
        left, below, right, above = margins
        width, height = inner[0] + left + right + 2 * extra, inner[1] + below + above
        figure = Figure(figsize=(width / 72, height / 72), dpi=144, facecolor="white")
        axes = figure.add_axes(
            ((left + extra) / width, below / height, inner[0] / width, inner[1] / height)
        )
        axes.set(xlim=(bounds[0], bounds[2]), ylim=(bounds[1], bounds[3]), autoscale_on=False)
        axes.set_axis_off()
        return cls(figure=figure, axes=axes, scale=scale, bounds=bounds)

    def heading(self, title: str) -> None:
        """Write the title above the drawing area."""
        height = self.figure.get_figheight() * 72
        self.figure.text(
            16 / (self.figure.get_figwidth() * 72),
            1 - 14 / height,
            _drawable(title if len(title) <= 90 else f"{title[:87]}..."),
            va="top",
            fontproperties=_font(12, bold=True),
            color=INK,
            parse_math=False,
        )

    def draw_legend(self) -> None:
        """Say below the drawing area what the marks mean."""
        self.figure.legend(
            handles=self.legend,
            loc="lower center",
            ncols=4,
            frameon=False,
            prop=_font(8),
            labelcolor=INK,
        )

    def points(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """From the drawing's units to points from its lower left corner."""
        return np.asarray((xy - np.array(self.bounds[:2])) * self.scale)

    def units(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """From points from the lower left corner to the drawing's units."""
        return np.asarray(xy / self.scale + np.array(self.bounds[:2]))

    def write(self, text: str, at: Float[np.ndarray, " 2"], *, style: _Style) -> None:
        """Write text centred on a place in points, and keep others off it."""
        size = _text_size(text, style.font)
        self.taken.append((*(at - size / 2), *(at + size / 2)))
        x, y = self.units(at)
        drawn = self.axes.text(
            x,
            y,
            _drawable(text),
            ha="center",
            va="center",
            fontproperties=style.font,
            color=style.color,
            zorder=style.zorder,
            parse_math=False,
        )
        drawn.set_path_effects([withStroke(linewidth=2.2, foreground="white", alpha=0.85)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    font: FontProperties
    color: str
    zorder: float


def _font(size: float, *, bold: bool = False) -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")


def _drawable(text: str) -> str:
    """The text with a box for each character that the font has not."""
    known = get_font(findfont(_font(8))).get_charmap()
    return "".join(char if ord(char) in known else "\u25a1" for char in text)


def _text_size(text: str, font: FontProperties) -> Float[np.ndarray, " 2"]:
    """Width and height that a line of text takes, with a little air, points."""
    width, _, _ = TextToPath().get_text_width_height_descent(_drawable(text), font, False)
    return np.array([width + 3, font.get_size_in_points() * 1.25])


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


def _footprints(scene: CognitiveMap) -> list[Float[np.ndarray, "k 2"]]:
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
        style = {"facecolor": "#fbf9f5", "edgecolor": INK, "linewidth": 2.2}
        sheet.axes.add_patch(PolygonPatch(outline, zorder=1, joinstyle="miter", **style))
        sheet.legend.append(Patch(label="room", **style))


def _draw_objects(
    sheet: _Sheet,
    scene: CognitiveMap,
    shapes: Sequence[Float[np.ndarray, "k 2"]],
    evidence: Sequence[str],
) -> None:
    """Footprints from low to high, so that what stands on a table is seen; fronts; evidence."""
    if not len(scene):
        return
    tops = scene.objects.hull()[1][:, 2]
    order = tops.argsort(stable=True).tolist()
    hues = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(sorted(set(scene.labels)))}
    chosen = [i for i in order if scene.ids[i] in evidence]
    fill = ["#e9ecef" if chosen else hues[scene.labels[i]] for i in order]
    edge = "#b3bbc2" if chosen else "#5f6b76"
    sheet.axes.add_collection(
        PolyCollection(
            [shapes[i] for i in order], facecolors=fill, edgecolors=edge, lw=0.8, zorder=2
        ),
        autolim=False,
    )
    sheet.legend.append(Patch(facecolor=fill[0], edgecolor=edge, label="object, from above"))
    if chosen:
        style = {"facecolor": "#f7b6aa", "edgecolor": EVIDENCE, "linewidth": 2.2}
        marks = [shapes[i] for i in chosen]
        sheet.axes.add_collection(
            PolyCollection(marks, alpha=0.55, zorder=3, **style), autolim=False
        )
        sheet.legend.append(Patch(label="evidence", **style))
    _draw_fronts(sheet, scene, shapes)


def _draw_fronts(
    sheet: _Sheet, scene: CognitiveMap, shapes: Sequence[Float[np.ndarray, "k 2"]]
) -> None:
    """A small arrow head where each known front meets the footprint's edge."""
    fronts = scene.fronts.detach().cpu().numpy()[:, :2]
    length = np.linalg.norm(fronts, axis=1)
    known = np.flatnonzero(length > 1e-3)  # NaN is not; nor is a front that looks straight up
    for i in known.tolist():
        ahead = fronts[i] / length[i]
        middle = scene.objects.centers[i, :2].detach().cpu().numpy()
        edge = middle + ahead * ((shapes[i] - middle) @ ahead).max()
        side = np.array([-ahead[1], ahead[0]])
        tip = np.array([ahead * 5, side * 3.2, -side * 3.2]) / sheet.scale + edge
        sheet.axes.add_patch(PolygonPatch(tip, facecolor=INK, linewidth=0, zorder=4))
    if len(known):
        sheet.legend.append(
            Line2D([], [], linestyle="", marker="^", color=INK, markersize=5, label="front")
        )


def _draw_viewpoint(sheet: _Sheet, viewpoint: tuple[Point, Point]) -> None:
    """A dot where somebody stands, and an arrow along which they look."""
    origin, target = (np.array(point[:2]) for point in viewpoint)
    if np.linalg.norm(target - origin) * sheet.scale < 1:
        raise InputError("viewpoint: expected two points apart as seen from above, got one place")
    sheet.axes.add_patch(
        FancyArrowPatch(
            tuple(origin),
            tuple(target),
            arrowstyle="-|>",
            mutation_scale=16,
            color=SIGHT,
            linewidth=2,
            shrinkA=0,
            shrinkB=0,
            zorder=6,
        )  # fmt: skip
    )
    turn = math.degrees(math.atan2(*(target - origin)[::-1]))
    reach = 44 / sheet.scale
    sheet.axes.add_patch(
        Wedge(tuple(origin), reach, turn - 35, turn + 35, color=SIGHT, alpha=0.18, zorder=5, lw=0)
    )
    style = {"marker": "o", "color": SIGHT, "markeredgecolor": "white", "markersize": 9}
    sheet.axes.plot(*origin, zorder=7, **style)
    sheet.legend.append(Line2D([], [], linewidth=2, label="viewpoint, looking along", **style))
    _keep_clear(sheet, origin, 7)


def _draw_distance(sheet: _Sheet, line: tuple[Point, Point], *, unit: str) -> None:
    """A dashed line with the distance of its ends in space."""
    ends = np.array(line)
    sheet.axes.plot(
        *ends[:, :2].T, color=EVIDENCE, lw=1.6, ls=(0, (4, 2)), marker="o", ms=4, zorder=6
    )
    metres = float(np.linalg.norm(ends[1] - ends[0]))
    style = _Style(font=_font(9, bold=True), color=EVIDENCE, zorder=9)
    sheet.write(f"{metres:.2f} {unit}", sheet.points(ends[:, :2].mean(axis=0)), style=style)
    sheet.legend.append(
        Line2D([], [], color=EVIDENCE, lw=1.6, ls=(0, (4, 2)), marker="o", ms=4, label="distance")
    )


def _keep_clear(sheet: _Sheet, xy: Float[np.ndarray, " 2"], radius: float) -> None:
    place = sheet.points(xy)
    sheet.taken.append((*(place - radius), *(place + radius)))


def _draw_scale_bar(sheet: _Sheet, *, unit: str) -> None:
    """How long a metre is, and which way x and y go."""
    low_x, low_y, high_x, _ = sheet.bounds
    length = _step(high_x - low_x, most=6)
    start = sheet.units(np.array([8.0, 10.0]))
    style = {"color": INK, "linewidth": 2, "zorder": 8, "solid_capstyle": "butt"}
    sheet.axes.plot([start[0], start[0] + length], [start[1]] * 2, **style)
    middle = sheet.points(start + np.array([length / 2, 0])) + np.array([0, 8])
    ink = _Style(font=_font(8), color=INK, zorder=8)
    sheet.write(f"{length:g} {unit}", middle, style=ink)
    corner = sheet.points(np.array([high_x, low_y])) + np.array([-34.0, 10.0])
    for name, way in (("x", np.array([18.0, 0.0])), ("y", np.array([0.0, 18.0]))):
        ends = sheet.units(np.array([corner, corner + way]))
        sheet.axes.add_patch(
            FancyArrowPatch(
                *map(tuple, ends),
                arrowstyle="-|>",
                mutation_scale=7,
                color=INK,
                linewidth=1,
                shrinkA=0,
                shrinkB=0,
                zorder=8,
            )  # fmt: skip
        )
        sheet.write(name, corner + way * 1.4, style=ink)


def _draw_labels(
    sheet: _Sheet,
    scene: CognitiveMap,
    shapes: Sequence[Float[np.ndarray, "k 2"]],
    evidence: Sequence[str],
) -> None:
    """Ids on or beside the objects: evidence first, then from large to small."""
    if not len(scene):
        return
    frames = np.array([[shape.min(axis=0), shape.max(axis=0)] for shape in shapes])
    frames = sheet.points(frames).reshape(-1, 4)
    size = (frames[:, 2:] - frames[:, :2]).prod(axis=1)
    picked = np.array([key in evidence for key in scene.ids])
    order = np.lexsort((-size, ~picked))
    for i in order[:LABEL_LIMIT].tolist():
        style = _Style(font=_font(7.5), color="#7b858e" if picked.any() else INK, zorder=10)
        if picked[i]:
            style = _Style(font=_font(9.5, bold=True), color=EVIDENCE, zorder=11)
        text = scene.ids[i] if len(scene.ids[i]) <= 40 else f"{scene.ids[i][:37]}..."
        place = _place(sheet, frames[i], frames, _text_size(text, style.font))
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


def _place(
    sheet: _Sheet,
    frame: Float[np.ndarray, " 4"],
    frames: Float[np.ndarray, "n 4"],
    size: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """The best middle for a label of that size near a frame; everything in points."""
    spots = np.array(list(_spots(frame, size)))
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    extent = (np.array(sheet.bounds[2:]) - np.array(sheet.bounds[:2])) * sheet.scale
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > extent).any(axis=1)
    taken = np.array(sheet.taken).reshape(-1, 4)
    over_labels = _overlap(boxes, taken).sum(axis=1) / size.prod()
    # Hiding a small object wholly is bad; writing across a part of a rug is not.
    others = frames[(frames != frame).any(axis=1)]
    area = (others[:, 2:] - others[:, :2]).prod(axis=1).clip(min=1)
    shared = _overlap(boxes, others)
    hidden = (shared / area).sum(axis=1) + 0.4 * shared.sum(axis=1) / size.prod()
    apart = np.linalg.norm(spots - np.clip(spots, frame[:2], frame[2:]), axis=1)
    cost = 1000 * outside + 60 * over_labels + 2 * hidden + apart / 14
    return np.asarray(spots[cost.argmin()])


def _spots(
    frame: Float[np.ndarray, " 4"], size: Float[np.ndarray, " 2"]
) -> Iterator[Float[np.ndarray, " 2"]]:
    """Where a label might go: the middle, elsewhere inside, then round about, ever further."""
    middle, half = (frame[:2] + frame[2:]) / 2, (frame[2:] - frame[:2]) / 2
    yield middle
    free = half - size / 2
    if (free > 0).all():
        for x in np.linspace(-1, 1, 5):
            for y in np.linspace(-1, 1, 7):
                yield middle + free * np.array([x, y])
    for gap in (1, 6, 14, 24, 38, 56, 80, 110):
        for angle in np.linspace(0, 2 * math.pi, 24, endpoint=False):
            way = np.array([math.cos(angle), math.sin(angle)])
            reach = (half + size / 2 + gap) / np.abs(way).clip(min=1e-9)
            yield middle + way * reach.min()


def _overlap(
    boxes: Float[np.ndarray, "n 4"], others: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Shared area of each pair of boxes."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=2))


def _draw_regions(sheet: _Sheet, regions: Regions, evidence: Sequence[str]) -> None:
    """Boxes from weak to strong; with evidence the others stand back."""
    boxes = regions.boxes.detach().cpu().numpy().astype(np.float64)
    # The sheet's y goes up, the photo's goes down.
    height = regions.image_size[1]
    frames = np.stack(
        [boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1
    )
    frames = sheet.points(frames.reshape(-1, 2, 2)).reshape(-1, 4)
    labels = regions.labels(unmapped="region")
    hues = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(sorted(set(labels)))}
    picked = np.array([key in evidence for key in regions.ids], dtype=bool)
    scores = regions.scores.tolist()
    for i in np.lexsort((regions.scores.cpu().numpy(), picked)).tolist():
        strong = bool(picked[i]) or not picked.any()
        color = EVIDENCE if picked[i] else hues[labels[i]]
        low, high = sheet.units(frames[i].reshape(2, 2))
        for lw, shade in ((4.5 if picked[i] else 3.2, "#10161c"), (3 if picked[i] else 1.8, color)):
            sheet.axes.add_patch(
                Rectangle(
                    tuple(low),
                    *(high - low),
                    fill=False,
                    lw=lw,
                    ec=shade,
                    alpha=1 if strong else 0.55,
                    zorder=3 + bool(picked[i]),
                )  # fmt: skip
            )
        _write_tag(sheet, frames[i], f"{labels[i]} {scores[i]:.2f}", color=color)


def _write_tag(sheet: _Sheet, frame: Float[np.ndarray, " 4"], text: str, *, color: str) -> None:
    """A label on its own colour at a corner of the box where no other tag stands."""
    font = _font(9, bold=True)
    text = text if len(text) <= 40 else f"{text[:37]}..."
    size = _text_size(text, font) + np.array([3, 2])
    (x0, y0, x1, y1), (w, h) = frame, size / 2
    spots = np.array(
        [(x0 + w, y1 + h), (x0 + w, y1 - h), (x1 - w, y1 + h), (x1 - w, y1 - h),
         (x0 + w, y0 - h), (x0 + w, y0 + h), (x1 - w, y0 - h), (x1 - w, y0 + h)]
    )  # fmt: skip
    extent = (np.array(sheet.bounds[2:]) - np.array(sheet.bounds[:2])) * sheet.scale
    spots = np.clip(spots, size / 2, extent - size / 2)
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    taken = np.array(sheet.taken).reshape(-1, 4)
    # Ties go to the first spot: above the upper left corner.
    spot = spots[_overlap(boxes, taken).sum(axis=1).argmin()]
    sheet.taken.append((*(spot - size / 2), *(spot + size / 2)))
    low, high = sheet.units(np.array([spot - size / 2, spot + size / 2]))
    sheet.axes.add_patch(Rectangle(tuple(low), *(high - low), fc=color, ec="none", zorder=5))
    x, y = sheet.units(spot)
    ink = "white" if color == EVIDENCE else INK
    sheet.axes.text(x, y, _drawable(text), ha="center", va="center_baseline", color=ink,
                    fontproperties=font, zorder=6, parse_math=False)  # fmt: skip

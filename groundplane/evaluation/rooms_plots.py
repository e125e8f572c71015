"""Pictures of an evaluation on rooms: tasks, noise, distances, and the plan of a room."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import shapely
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from groundplane.evaluation.rooms_records import CLEAN, TRUE_BOXES, Condition
from groundplane.evaluation.rooms_result import Summary
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.grid_score import BIN_EDGES

__all__ = ["draw_bins", "draw_noise", "draw_plan", "draw_tasks"]

Summaries = Mapping[Condition, Summary]

_INK, _QUIET, _TRUE, _BUILT = "#26323d", "#8a949e", "#b8c2cc", "#d1240f"
_LINES = ("#1f4e8c", "#d1240f", "#2e8540", "#8e5ea2", "#c77700", "#0b8a8a")
_PANELS: tuple[tuple[str, Mapping[str, Callable[[Summary], float | None]]], ...] = (
    (
        "score",
        {
            "mean of tasks": lambda s: s.answers.mean() if s.answers.items else None,
            "counts exact": lambda s: s.counted,
        },
    ),
    ("objects", {"precision": lambda s: s.precision, "recall": lambda s: s.recall}),
    (
        "errors",
        {
            "position, m": lambda s: s.position,
            "longest side, share": lambda s: s.size,
            "area, share": lambda s: s.area,
        },
    ),
    (
        "truth within 90 % bars",
        {"numbers": lambda s: s.numbers.share, "boxes": lambda s: s.boxes.share},
    ),
)


def draw_tasks(summaries: Summaries) -> bytes:
    """Scores by task, a bar for the true boxes and one for the map without noise.

    Returns:
        SVG, as all pictures here.
    """
    shown = [summaries[c] for c in (TRUE_BOXES, CLEAN) if c in summaries] or [*summaries.values()]
    tasks = list(dict.fromkeys(task for each in shown for task in each.answers.tasks()))
    figure, axes = _figure(1, width=8.0, height=0.34 * len(tasks) + 1.1)
    thick = 0.8 / len(shown)
    for place, each in enumerate(shown):
        rows = each.answers.tasks()
        scores = [float(rows[task]["score"] or 0.0) if task in rows else 0.0 for task in tasks]
        at = [row + (place - (len(shown) - 1) / 2) * thick for row in range(len(tasks))]
        axes[0].barh(at, scores, height=thick, color=_LINES[place], label=_called(each.condition))
    axes[0].axvline(0.95, color=_QUIET, linewidth=1, linestyle=":")
    axes[0].set_yticks(range(len(tasks)), [task.replace("_", " ") for task in tasks])
    axes[0].set(xlim=(0, 1), xlabel="score")
    axes[0].invert_yaxis()
    figure.legend(loc="outside upper right", ncols=len(shown), frameon=False)
    return _svg(figure)


def draw_noise(summaries: Summaries, noise: str) -> bytes:
    """What grows and falls with the level of one noise, from none on."""
    own = sorted(c for c in summaries if c.noise == noise)
    shown = [*([CLEAN] if CLEAN in summaries else []), *own]
    figure, panels = _figure(len(_PANELS), width=11.0, height=2.7)
    for axes, (title, lines) in zip(panels, _PANELS, strict=True):
        for color, (name, value) in zip(_LINES, lines.items(), strict=False):
            points = [(c.level, value(summaries[c])) for c in shown]
            known = [(level, number) for level, number in points if number is not None]
            if known:
                axes.plot(*zip(*known, strict=True), marker="o", color=color, label=name)
                axes.legend(frameon=False, fontsize=7)
        axes.set(title=title, xlabel=noise)
        axes.set_ylim(bottom=0, top=None if title == "errors" else 1.03)
    return _svg(figure)


def draw_bins(summaries: Summaries) -> bytes:
    """Share of pairs of categories within a grid unit, by their true distance."""
    figure, axes = _figure(1, width=8.0, height=2.8)
    strongest = {condition.noise: condition for condition in sorted(summaries)}
    names = [f"{low:g}-{high:g}" for low, high in pairwise(BIN_EDGES)]
    for place, condition in enumerate(c for c in strongest.values() if c != TRUE_BOXES):
        bins = summaries[condition].bins
        known = [(bin, share) for bin, share in enumerate(bins) if share is not None]
        if known:
            color = _LINES[place % len(_LINES)]
            dashes = ("-", "--", ":")[place // len(_LINES) % 3]
            at, right = zip(*known, strict=True)
            axes[0].plot(at, right, dashes, marker="o", color=color, label=str(condition))
    axes[0].set_xticks(range(len(names)), names)
    axes[0].set(ylim=(0, 1.03), xlabel="true distance, tenths of the room", ylabel="right")
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(frameon=False, fontsize=7, ncols=2)
    return _svg(figure)


def draw_plan(true: CognitiveMap, built: CognitiveMap) -> bytes:
    """A room from above: the true boxes filled, those of the map outlined."""
    figure, axes = _figure(1, width=5.2, height=5.2)
    for scene, fill in ((true, True), (built, False)):
        look: dict[str, Any] = {"color": _TRUE if fill else _BUILT, "linewidth": 1.2}
        if scene.room is not None:
            axes[0].plot(*scene.room.exterior.xy, **look | {"linewidth": 2 if fill else 1})
        for label, shape in zip(scene.labels, scene.objects.footprints(), strict=True):
            _draw_box(axes[0], shape, label, fill=fill)
    axes[0].set_aspect("equal")
    axes[0].set_xlabel("metres; grey: true, red: the map")
    return _svg(figure)


def _draw_box(axes: Axes, shape: shapely.Polygon, label: str, *, fill: bool) -> None:
    if fill:
        axes.fill(*shape.exterior.xy, color=_TRUE, alpha=0.6, linewidth=0)
        at = shape.centroid
        axes.annotate(
            label, (at.x, at.y), fontsize=6, color=_INK, ha="center", va="center",
            parse_math=False,
        )  # fmt: skip
    else:
        axes.plot(*shape.exterior.xy, color=_BUILT, linewidth=1)


def _called(condition: Condition) -> str:
    return {TRUE_BOXES: "true boxes", CLEAN: "map, no noise"}.get(condition, str(condition))


def _figure(panels: int, *, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = [figure.add_subplot(1, panels, place + 1) for place in range(panels)]
    for each in axes:
        each.grid(alpha=0.3)
        each.tick_params(labelsize=8)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Words stay words, so that who shows them finds letters of any script: matplotlib's own font
    # lacks many, which it need not tell. Without the date and with a fixed salt of its ids, the
    # same result gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rooms"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()

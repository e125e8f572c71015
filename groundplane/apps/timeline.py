"""The picture of a run: the photo with what was found, and when everything happened."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image as PILImage

from groundplane.apps.timeline_bars import Bar, Chart, chart_of, marks_in
from groundplane.core.files import write_whole
from groundplane.core.image import Image
from groundplane.core.record import Record
from groundplane.spatial.labels import (
    Style,
    drawable,
    make_font,
    quiet_fonts,
    text_size,
    wrap_lines,
)
from groundplane.spatial.marking import picture_of_marks

__all__ = ["draw_timeline"]

_SETTINGS: Any = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "text.usetex": False}
_INK, _FAINT, _TEXT, _FOUND, _FAILED, _GIVEN, _WAITS = (
    "#10161c", "#5b6670", "#2f6fb3", "#2f8f5b", "#c0392b", "#e0a100", "#d5dde5",
)  # fmt: skip
# Inches: the whole width, the margin, a line of the chart and of text, the photo's greatest height.
_WIDE, _EDGE, _ROW, _LINE, _TALL = 9.0, 0.3, 0.26, 0.2, 5.2
# Inches over the chart, where the signs are told, and under it, where its axis is.
_OVER, _UNDER = 0.46, 0.62
# More lines than this nobody reads; the text form tells the rest.
_MOST = 40
_POINTS = 72


def draw_timeline(record: Record, sequence: int, path: Path, *, photo: Image | None = None) -> None:
    """Draw what happened in one sequence of a record.

    Args:
        record: The record.
        sequence: Index of the prompt.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        photo: A picture that was asked about, to be shown with what was found in it.

    Raises:
        OutputError: If the picture cannot be written.
    """
    pixels = None if photo is None else _marked(record, sequence, photo)
    with mpl.rc_context(_SETTINGS), quiet_fonts():
        _save(_figure(record, sequence, pixels), path)


def _figure(record: Record, sequence: int, pixels: np.ndarray | None) -> Figure:
    """Question and answer, then the photo, then the chart."""
    chart, head = chart_of(record, sequence), _heading(record, sequence)
    shown = chart.bars[:_MOST]
    wide, tall = (0.0, 0.0) if pixels is None else _fitted(pixels)
    below = _OVER + _ROW * (len(shown) + 1) + _UNDER
    high = _EDGE + _LINE * len(head) + 0.1 + tall + below
    figure = Figure(figsize=(_WIDE, high), dpi=120, facecolor="white")
    for number, (line, style) in enumerate(head):
        at = 1 - (_EDGE + _LINE * number) / high
        _write(figure, (_EDGE / _WIDE, at), line, style)
    if pixels is not None:
        left = (_WIDE - wide) / 2 / _WIDE
        axes = figure.add_axes((left, below / high, wide / _WIDE, tall / high))
        axes.imshow(pixels, aspect="auto", interpolation="antialiased")
        axes.set_axis_off()
    names = [_cut_to(f"{bar.request}: {bar.what}", 2.6) for bar in shown]
    room = _EDGE + 0.12 + max([0.4, *(_inches(name, _SMALL) for name in names)])
    low = _UNDER / high
    place = (room / _WIDE, low, (_WIDE - room - _EDGE) / _WIDE, _ROW * (len(shown) + 1) / high)
    axes = figure.add_axes(place)
    _draw_chart(axes, chart, shown, names)
    figure.legend(
        handles=_legend(chart, shown), loc="lower left", ncols=8, frameon=False, prop=_QUIET.font,
        bbox_to_anchor=(_EDGE / _WIDE, (below - _OVER + 0.1) / high), borderaxespad=0, borderpad=0,
        handlelength=1.2, handletextpad=0.5, columnspacing=1.4, labelcolor=_FAINT,
    )  # fmt: skip
    if len(chart.bars) > _MOST:
        more = f"and {len(chart.bars) - _MOST} more requests, which the text form tells"
        _write(figure, (_EDGE / _WIDE, 0.16 / high), more, _SMALL)
    return figure


_BIG = Style(font=make_font(11, bold=True), color=_INK)
_BODY = Style(font=make_font(9.5), color=_INK)
_SMALL = Style(font=make_font(8), color=_INK)
_QUIET = Style(font=make_font(8), color=_FAINT)


def _inches(text: str, style: Style) -> float:
    return float(text_size(text, style)[0]) / _POINTS


def _cut_to(text: str, most: float) -> str:
    """As much of a text as is so many inches wide."""
    lines = wrap_lines(text, most, measure=lambda part: _inches(part, _SMALL), most=1)
    return lines[0] if lines else ""


def _heading(record: Record, sequence: int) -> list[tuple[str, Style]]:
    """The question, who answered, and the answer; a line each, or a few."""
    result = record.results.get(sequence)
    said = "It never finished." if result is None else result.text.strip() or "It said nothing."
    ended = "" if result is None or result.finish == "complete" else f" (ended: {result.finish})"
    who = f"{record.model}{f', with {record.experts}' if record.experts else ''}{ended}:"
    lines: list[tuple[str, Style]] = []
    for text, style, most in (
        (record.prompts[sequence].text, _BIG, 2), (who, _QUIET, 1), (said, _BODY, 4),
    ):  # fmt: skip
        measure = partial(_inches, style=style)
        wrapped = wrap_lines(text, _WIDE - 2 * _EDGE, measure=measure, most=most)
        lines += [(line, style) for line in wrapped]
    return lines


def _write(figure: Figure, at: tuple[float, float], text: str, style: Style) -> None:
    look: Any = {"fontproperties": style.font, "color": style.color, "parse_math": False}
    figure.text(*at, drawable(text), va="center", **look)


def _marked(record: Record, sequence: int, photo: Image) -> np.ndarray:
    """The photo with what was found in it."""
    data = picture_of_marks(photo, marks_in(record, sequence, photo), kind="png")
    return np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))


def _fitted(pixels: np.ndarray) -> tuple[float, float]:
    """Inches across and down in which a picture stands."""
    down, across = pixels.shape[:2]
    scale = min((_WIDE - 2 * _EDGE) / across, _TALL / down)
    return across * scale, down * scale


def _draw_chart(axes: Axes, chart: Chart, shown: Sequence[Bar], names: Sequence[str]) -> None:
    end = chart.end
    unit, name = (1000.0, "milliseconds") if end < 1 else (1.0, "seconds")
    last = end * unit * 1.01
    axes.set_xlim(0, last)
    axes.set_ylim(len(shown) + 0.5, -0.5)
    for begun, ended in chart.waits:
        axes.axvspan(begun * unit, ended * unit, color=_WAITS, lw=0, zorder=0)
    if chart.spoken:
        times = [at * unit for at in chart.spoken]
        axes.eventplot([times], lineoffsets=0, linelengths=0.6, linewidths=1.3, colors=_TEXT)
    if chart.placed:
        own: Any = {"ls": "", "marker": "s", "ms": 5, "color": _INK, "mec": "white", "zorder": 5}
        axes.plot([at * unit for at in chart.placed], [0] * len(chart.placed), **own)
    for row, bar in enumerate(shown, start=1):
        _draw_bar(axes, row, bar, unit=unit, last=last, end=end)
    axes.set_yticks(range(len(shown) + 1), ["text", *map(drawable, names)])
    for label in axes.get_yticklabels():
        label.set(fontproperties=_SMALL.font, color=_INK, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=_FAINT)
    axes.set_xlabel(f"{name} since the run began", fontproperties=_SMALL.font, color=_FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)


def _draw_bar(axes: Axes, row: int, bar: Bar, *, unit: float, last: float, end: float) -> None:
    """From when a request was made, over when an expert took it up, to its outcome."""
    begun, ended = bar.begun * unit, (end if bar.ended is None else bar.ended) * unit
    open_ = bar.ended is None
    took_up = bar.sent * unit if bar.sent is not None else begun if open_ else ended
    sent = min(max(begun, took_up), ended)
    color = _FAILED if bar.failed else _FOUND
    hatch = "////" if open_ else None
    look: Any = {"height": 0.56, "edgecolor": color, "lw": 0.8, "zorder": 3}
    axes.barh(row, sent - begun, left=begun, facecolor="white", **look)
    axes.barh(row, max(ended - sent, last / 500), left=sent, **look, hatch=hatch,
              facecolor="white" if hatch else color)  # fmt: skip
    if bar.given is not None:
        mark: Any = {"marker": "D", "ms": 5.5, "color": _GIVEN, "mec": "white", "zorder": 6}
        axes.plot([bar.given * unit], [row], **mark)
    right = max(ended, 0.0 if bar.given is None else bar.given * unit)
    # Behind the bar where there is room, else before it, else across its middle.
    x, side = (right, "left") if right < 0.62 * last else (begun, "right")
    text: Any = {"fontproperties": _SMALL.font, "color": _FAINT, "va": "center", "zorder": 7}
    if side == "right" and begun < 0.38 * last:
        x, side = (begun + ended) / 2, "center"
        text |= {"bbox": {"fc": "white", "ec": "none", "pad": 0.8}, "color": _INK}
    off = {"left": 7, "right": -7, "center": 0}[side]
    axes.annotate(
        drawable(_cut_to(bar.outcome, 2.4)), (x, row), xytext=(off, 0), ha=side,
        textcoords="offset points", parse_math=False, **text,
    )  # fmt: skip


def _legend(chart: Chart, shown: Sequence[Bar]) -> list[Any]:
    """What the signs mean, of those that are there."""

    def sign(marker: str, color: str, label: str) -> Line2D:
        return Line2D([], [], ls="", marker=marker, color=color, mec=color, ms=6, label=label)

    found = [bar for bar in shown if bar.ended is not None and not bar.failed]
    open_ = Patch(fc="white", ec=_FOUND, hatch="////", label="no outcome")
    signs = [
        (chart.spoken, sign("|", _TEXT, "text")),
        (chart.placed, sign("s", _INK, "place of the model's own")),
        (chart.waits, Patch(fc=_WAITS, ec="none", label="the model waits")),
        (found, Patch(fc=_FOUND, ec="none", label="answered")),
        ([bar for bar in shown if bar.failed], Patch(fc=_FAILED, ec="none", label="failed")),
        ([bar for bar in shown if bar.ended is None], open_),
        ([bar for bar in shown if bar.given is not None], sign("D", _GIVEN, "told to the model")),
    ]
    return [handle for there, handle in signs if there]


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    write_whole(path, buffer.getvalue())

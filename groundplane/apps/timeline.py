"""The picture of a run: the photo with what was found, and when everything happened."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as PILImage

from groundplane.core.answer import GroundedText
from groundplane.core.files import write_whole
from groundplane.core.image import Image
from groundplane.core.record import Record
from groundplane.core.session import Failed, Ground, Query, Resolved, Text
from groundplane.core.session_notes import Injected
from groundplane.spatial.labels import drawable, quiet_fonts, wrap_lines
from groundplane.spatial.marking import Mark, marks_of, picture_of_marks

__all__ = ["draw_timeline"]

_SETTINGS: Any = {"svg.hashsalt": "groundplane", "svg.fonttype": "path", "text.usetex": False}
_INK, _FAINT, _TEXT, _FOUND, _FAILED, _GIVEN = (
    "#10161c", "#5b6670", "#3a6ea5", "#2f8f5b", "#c0392b", "#b8860b",
)  # fmt: skip
_WIDE, _ROW, _MOST = 9.0, 0.34, 24


@dataclass(slots=True, eq=False, kw_only=True)
class _Bar:
    """One request: when it went out and when it was settled."""

    name: str
    begun: float
    ended: float | None = None
    failed: bool = False
    given: float | None = None


def draw_timeline(record: Record, sequence: int, path: Path, *, photo: Image | None = None) -> None:
    """Draw what happened in one sequence of a record.

    Args:
        record: The record.
        sequence: Index of the prompt.
        path: The picture: `.svg` or `.png`. The same input gives the same bytes.
        photo: The picture that was asked about, to be shown with what was found in it.

    Raises:
        OutputError: If the picture cannot be written.
    """
    bars, spoken, end = _read(record, sequence)
    shown = bars[:_MOST]
    result = record.results.get(sequence)
    photo_high = 0.0 if photo is None else min(_WIDE * photo.size[1] / photo.size[0], 6.5)
    chart_high = 1.3 + _ROW * (len(shown) + 1)
    with mpl.rc_context(_SETTINGS), quiet_fonts():
        figure = Figure(figsize=(_WIDE, photo_high + chart_high + 0.7), dpi=120, facecolor="white")
        rows = [chart_high] if photo is None else [photo_high, chart_high]
        top = 1 - 0.6 / (photo_high + chart_high + 0.7)
        grid = figure.add_gridspec(
            len(rows), 1, height_ratios=rows, left=0.24, right=0.97, top=top, hspace=0.06,
            bottom=0.75 / (photo_high + chart_high + 0.7),
        )  # fmt: skip
        if photo is not None:
            _draw_photo(figure.add_subplot(grid[0]), photo, result)
        _draw_chart(figure.add_subplot(grid[len(rows) - 1]), shown, spoken, end)
        title = drawable(record.prompts[sequence].text)
        figure.text(
            0.03, 1 - 0.18 / (photo_high + chart_high + 0.7),
            "\n".join(wrap_lines(title, 100, measure=len, most=2)), va="top", fontsize=10, color=_INK,
        )  # fmt: skip
        if len(bars) > _MOST:
            figure.text(0.97, 0.01, f"{len(bars) - _MOST} more requests", ha="right", fontsize=8)
        _write(figure, path)


def _read(record: Record, sequence: int) -> tuple[list[_Bar], list[tuple[float, int]], float]:
    """The requests, the pieces of text (seconds, characters) and the last second."""
    bars: dict[str, _Bar] = {}
    spoken: list[tuple[float, int]] = []
    end = 0.0
    for entry in record.entries:
        update, at = entry.update, entry.seconds
        if update.sequence != sequence:
            continue
        end = max(end, at)
        if isinstance(update, Text):
            spoken.append((at, len(update.text)))
        elif isinstance(update, Ground | Query):
            words = ", ".join(update.phrases) if isinstance(update, Ground) else "query"
            bars[update.request] = _Bar(name=f"{update.request}: {words}", begun=at)
        elif isinstance(update, Resolved | Failed) and update.request in bars:
            bars[update.request].ended = at
            bars[update.request].failed = isinstance(update, Failed)
        elif isinstance(update, Injected) and update.request in bars:
            bars[update.request].given = at
    return list(bars.values()), spoken, max(end, 1e-6)


def _draw_photo(axes: Axes, photo: Image, result: GroundedText | None) -> None:
    marks: list[Mark] = []
    for regions in () if result is None else result.regions:
        marks += [] if regions is None else marks_of(regions)
    for mention in () if result is None else result.mentions:
        if mention.located is not None and len(mention.located.boxes):
            marks.append(Mark(label=mention.phrase or "place", boxes=mention.located.boxes))
    data = picture_of_marks(photo, marks, kind="png")
    axes.imshow(np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB")))
    axes.set_axis_off()


def _draw_chart(axes: Axes, bars: list[_Bar], spoken: list[tuple[float, int]], end: float) -> None:
    unit, name = (1000.0, "milliseconds") if end < 1 else (1.0, "seconds")
    times = [at * unit for at, letters in spoken if letters]
    axes.eventplot([times or [-1.0]], lineoffsets=0, linelengths=0.6, colors=_TEXT)
    for row, bar in enumerate(bars, start=1):
        ended = end if bar.ended is None else bar.ended
        color = _FAILED if bar.failed else _FOUND
        width = max((ended - bar.begun) * unit, end * unit / 400)
        axes.barh(row, width, left=bar.begun * unit, height=0.55, color=color)
        if bar.given is not None:
            axes.plot([bar.given * unit], [row], marker="D", color=_GIVEN, ms=6, mec="white")
    labels = ["text", *(_name(bar.name) for bar in bars)]
    axes.set_yticks(range(len(labels)), labels, fontsize=8, color=_INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, end * unit * 1.02)
    axes.set_xlabel(f"{name} since the run began", fontsize=8, color=_FAINT)
    axes.tick_params(axis="x", labelsize=8, colors=_FAINT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    said = "blue: text · green: looked for or computed · red: failed · diamond: told to the model"
    axes.set_title(said, fontsize=8, color=_FAINT, loc="left")


def _name(text: str) -> str:
    plain = drawable(text)
    return plain if len(plain) <= 30 else plain[:29] + "…"


def _write(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    write_whole(path, buffer.getvalue())

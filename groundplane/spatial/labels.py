"""The texts of a picture: how they look, how large they are, and where they stand."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import TextToPath

__all__ = [
    "Style",
    "drawable",
    "make_font",
    "overlap",
    "place_label",
    "place_tag",
    "quiet_fonts",
    "short",
    "text_size",
    "wrap_lines",
]

Box = tuple[float, float, float, float]

# Where labels are tried: inside, as parts of the free way; outside, so many points off.
INSIDE = np.linspace(-1, 1, 7)
GAPS = np.array([1, 6, 14, 24, 38, 56, 80, 110])
TURNS = np.linspace(0, 2 * math.pi, 24, endpoint=False)
# No line holds more characters than this, and measuring takes time.
LINE_LIMIT = 400
# Fonts with Chinese characters that systems commonly have.
_WIDER = (
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a text looks; `ground` is the colour behind it, white round the letters if None."""

    font: FontProperties
    color: str
    zorder: float = 10.0
    ground: str | None = None


@functools.cache
def _families() -> tuple[str, ...]:
    """The font of all pictures, and for letters that it has not the first that is installed."""
    installed = {entry.name for entry in fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in _WIDER if name in installed][:1])


def make_font(size: float, *, bold: bool = False) -> FontProperties:
    """The one font of all pictures; size in points."""
    weight = "bold" if bold else "normal"
    return FontProperties(family=list(_families()), size=size, weight=weight)


@contextlib.contextmanager
def quiet_fonts() -> Iterator[None]:
    """While it draws, matplotlib does not tell that the wider font has no bold face."""
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@functools.cache
def _letters() -> frozenset[int]:
    """Every character that the fonts can draw."""
    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in _families()))


def drawable(text: str) -> str:
    """The text with a box for each character that no font here has.

    Signs that are not seen but steer the others, such as an override of the direction, are left
    out.

    Examples:
        >>> drawable("a\\u202ecat")
        'acat'
        >>> drawable("")
        ''
    """
    seen = (char for char in text if unicodedata.category(char) != "Cf")
    return "".join(char if ord(char) in _letters() else "\u25a1" for char in seen)


def text_size(text: str, style: Style) -> Float[np.ndarray, " 2"]:
    """Width and height that a line of text takes, with a little air, points."""
    width, _, _ = TextToPath().get_text_width_height_descent(drawable(text), style.font, False)
    return np.array([width + 3, style.font.get_size_in_points() * 1.25]) + 3 * bool(style.ground)


def short(text: str) -> str:
    """A label of at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def place_label(
    i: int,
    frames: Float[np.ndarray, "n 4"],
    size: Float[np.ndarray, " 2"],
    *,
    taken: Sequence[Box],
    extent: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """The best middle for the label of a footprint on a plan; everything in points.

    Args:
        i: Which of the frames the label is for.
        frames: Bounds of all footprints, least x and y, greatest x and y.
        size: Width and height of the label.
        taken: Bounds of the labels that stand already.
        extent: Width and height of the plan, whose lower left corner is the origin.
    """
    frame = frames[i]
    spots = _spots(frame, size)
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > extent).any(axis=1)
    over_text = overlap(boxes, np.array(taken).reshape(-1, 4)).sum(axis=1) / size.prod()
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    near = ((frames[:, :2] < high) & (frames[:, 2:] > low)).all(axis=1)
    # A label may stand on its own object, unless it hides it.
    near[i] = (frame[2:] - frame[:2] < size).any()
    others = frames[near]
    shared = overlap(boxes, others)
    # Hiding a small object wholly is bad; writing across a part of a rug is not.
    hidden = (shared / (others[:, 2:] - others[:, :2]).prod(axis=1).clip(min=1)).sum(axis=1)
    apart = np.linalg.norm(spots - np.clip(spots, frame[:2], frame[2:]), axis=1)
    across = shared.sum(axis=1) / size.prod()
    cost = 1000 * outside + 60 * over_text + 2 * hidden + 0.6 * across + apart / 14
    return np.asarray(spots[cost.argmin()])


def _spots(
    frame: Float[np.ndarray, " 4"], size: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "n 2"]:
    """Where a label might go: the middle, elsewhere inside, then round about, ever further."""
    middle, half = (frame[:2] + frame[2:]) / 2, (frame[2:] - frame[:2]) / 2
    spots = [middle[None]]
    free = half - size / 2
    if (free > 0).all():
        spots.append(middle + free * np.array([(x, y) for x in INSIDE for y in INSIDE]))
    for turn in TURNS:
        way = np.array([math.cos(turn), math.sin(turn)])
        reach = (half + size / 2 + GAPS[:, None]) / np.abs(way).clip(min=1e-9)
        spots.append(middle + way * reach.min(axis=1, keepdims=True))
    return np.concatenate(spots)


def place_tag(
    frame: Float[np.ndarray, " 4"],
    size: Float[np.ndarray, " 2"],
    *,
    taken: Sequence[Box],
    extent: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """The middle for the tag of a box: a corner where no other text stands, if there is one.

    Args:
        frame: The box, least x and y, greatest x and y, points; y goes up.
        size: Width and height of the tag.
        taken: Bounds of the texts that stand already.
        extent: Width and height of the picture, whose lower left corner is the origin.
    """
    width, height = size / 2
    sides = (frame[0] + width, frame[2] - width)
    levels = (frame[3] + height, frame[3] - height, frame[1] - height, frame[1] + height)
    spots = np.array([(x, y) for y in levels for x in sides])
    spots = np.clip(spots, size / 2, np.maximum(extent - size / 2, size / 2))
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    # Ties go to the first spot: above the upper left corner.
    shared = overlap(boxes, np.array(taken).reshape(-1, 4)).sum(axis=1)
    return np.asarray(spots[shared.argmin()])


def wrap_lines(
    text: str, room: float, *, measure: Callable[[str], float], most: int = 3
) -> list[str]:
    """Break a text into lines that fit; what is too much for the last ends in `...`.

    Args:
        text: The text; its own line breaks count as blanks.
        room: The greatest width of a line.
        measure: Gives the width of a line, in the same unit.
        most: How many lines there may be.

    Examples:
        >>> wrap_lines("the sofa is to your left", 12, measure=len)
        ['the sofa is', 'to your left']
        >>> wrap_lines("the sofa is to your left", 9, measure=len, most=2)
        ['the sofa', 'is to...']
        >>> wrap_lines("", 9, measure=len)
        []
    """
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) < most:
        fits = _fitting(rest, room, measure)
        if fits < len(rest):
            # A word that is longer than a line is cut where the line ends.
            fits = rest.rfind(" ", 0, fits + 1) if " " in rest[: fits + 1] else fits
        lines.append(rest[:fits])
        rest = rest[fits:].lstrip()
    if rest:
        last = f"{lines[-1]} {rest}"
        lines[-1] = last[: _fitting(last, room - measure("..."), measure)].rstrip() + "..."
    return lines


def _fitting(text: str, room: float, measure: Callable[[str], float]) -> int:
    """How many characters fit, one at least: a narrower room has no line at all."""
    counts = range(1, min(len(text), LINE_LIMIT) + 1)
    return max(1, bisect_right(counts, room, key=lambda count: measure(text[:count])))


def overlap(
    boxes: Float[np.ndarray, "n 4"], others: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Shared area of each pair of boxes (least x and y, greatest x and y)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=2))

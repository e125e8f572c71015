"""Molmo and Molmo2: points as XML elements.

Molmo writes percent of the image's sides, numbered attributes for several points; a number may
occur twice, so points are paired in the order in which they stand. Molmo2 writes one attribute:
the index of the image or frame, then triplets of a point's id, x and y on a scale of 1000; a
semicolon begins the next image. Sources: outputs printed in public repositories that read them
(allenai's playground among them), which agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Reading,
    Shape,
    Syntax,
)
from groundplane.grounding.dialects.payloads import malformed, number

__all__ = ["DIALECTS"]

# Attributes are at most a payload long, so this looks at few characters.
_ATTRIBUTE = re.compile(r"([A-Za-z]+)(\d{0,6})\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>/]+)")

_LABELS = ("alt", "label")


def _attributes(payload: str) -> list[tuple[str, str]]:
    return [(match[1].lower(), match[3].strip("\"'")) for match in _ATTRIBUTE.finditer(payload)]


def _read(payload: str) -> Reading | None:
    found = _attributes(payload)
    xs = [number(value.strip()) for name, value in found if name == "x"]
    ys = [number(value.strip()) for name, value in found if name == "y"]
    if not xs and not ys:
        return None
    label = next((value for name, value in found if name in _LABELS), None)
    pairs = [(x, y) for x, y in zip(xs, ys, strict=False) if x is not None and y is not None]
    broken = len(pairs) < max(len(xs), len(ys))
    return Reading(
        shapes=tuple(Shape(kind="point", numbers=pair) for pair in pairs),
        label=label,
        problems=(malformed("a point without one of its two numbers"),) if broken else (),
    )


def _read_coords(payload: str) -> Reading | None:
    found = _attributes(payload)
    coords = next((value for name, value in found if name == "coords"), None)
    if coords is None:
        return _read(payload)
    label = next((value for name, value in found if name in _LABELS), None)
    shapes, problems = [], []
    first = None
    for group in coords.replace("\t", ";").split(";"):
        values = [number(word) for word in group.replace(":", " ").split()]
        if not values:
            continue
        first = values[0] if first is None else first
        if values[0] != first:
            what = f"points of image {group.split()[0]}, which is another one; left out"
            problems.append((ProblemKind.OUT_OF_IMAGE, what))
            continue
        rest = values[1:]
        rows = [rest[k : k + 3] for k in range(0, len(rest), 3)]
        for row in rows:
            if len(row) == 3 and row[1] is not None and row[2] is not None:
                shapes.append(Shape(kind="point", numbers=(row[1], row[2])))
            else:
                problems.append(malformed("a point that is not an id, x and y"))
    return Reading(shapes=tuple(shapes), label=label, problems=tuple(problems))


def _middles(boxes: Sequence[tuple[float, ...]]) -> list[tuple[float, float]]:
    return [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in boxes]


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    name = phrase or ""
    middles = _middles(boxes)
    if len(middles) == 1:
        x, y = middles[0]
        return f'<point x="{x:.1f}" y="{y:.1f}" alt="{name}">{name}</point>'
    places = " ".join(f'x{k}="{x:.1f}" y{k}="{y:.1f}"' for k, (x, y) in enumerate(middles, 1))
    return f'<points {places} alt="{name}">{name}</points>'


def _write_coords(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = " ".join(f"{k} {x:03.0f} {y:03.0f}" for k, (x, y) in enumerate(_middles(boxes), 1))
    return f'<points coords="1 {places}">{phrase or ""}</points>'


_SYNTAX = Syntax(
    phrases=(("<point>", "</point>"), ("<points>", "</points>")),
    enclosed=(
        Enclosed(open="<points ", close=">", attributes=True, phrase_after=True),
        Enclosed(open="<point ", close=">", attributes=True, phrase_after=True),
    ),
    ignored=("<|endoftext|>", "<|im_end|>"),
)

DIALECTS = (
    Dialect(
        name="molmo",
        convention=Convention(divisor=100, decimals=1, phrase="wrapped"),
        syntax=_SYNTAX,
        read=_read,
        write=_write,
        note="It writes points: of a box the middle is written.",
    ),
    Dialect(
        name="molmo2",
        convention=Convention(divisor=1000, phrase="wrapped"),
        syntax=_SYNTAX,
        read=_read_coords,
        write=_write_coords,
        note="It writes points: of a box the middle is written.",
    ),
)

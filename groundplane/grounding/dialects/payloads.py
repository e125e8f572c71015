"""Readers of payloads: text between two signs to numbers, strictly.

Each is a pure function. Numbers are plain decimals; `nan`, `inf` and anything longer than a
coordinate can be are refused, so no payload can bring a value that is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import Reading, Shape

__all__ = [
    "any_object",
    "bracketed",
    "finite",
    "label_of",
    "malformed",
    "number",
    "numbers",
    "read_rows",
    "shapes_of",
    "tagged",
    "without_numbers",
]

_DIGITS = "0123456789.-+"
_NOTHING = frozenset({"none", "null", "n/a", "not found"})
# No coordinate needs more characters.
_LONGEST = 24


def number(text: str) -> float | None:
    """A plain decimal number, or None.

    Examples:
        >>> number("086"), number("-0.5"), number("1e5"), number("nan"), number("")
        (86.0, -0.5, None, None, None)
    """
    if len(text) > _LONGEST or text.strip(_DIGITS):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def numbers(text: str, *, between: str = ",") -> tuple[float, ...] | None:
    """Numbers with one sign between two of them, or None where any is none.

    Examples:
        >>> numbers("1, 2.5,3"), numbers("1,,2"), numbers("")
        ((1.0, 2.5, 3.0), None, None)
    """
    values = []
    for part in text.split(between):
        value = number(part.strip())
        if value is None:
            return None
        values.append(value)
    return tuple(values)


def bracketed(text: str) -> list[tuple[float, ...]] | None:
    """Rows of numbers in round, square or no brackets, with `,` or `;` between the rows.

    Returns:
        The rows as far as they can be read; a row that cannot is empty. None where there is no
        digit at all.

    Examples:
        >>> bracketed("[[580, 270, 999, 900], [1, 2, 3, 4]]")
        [(580.0, 270.0, 999.0, 900.0), (1.0, 2.0, 3.0, 4.0)]
        >>> bracketed("0.1,0.2,0.3,0.4;0.5,0.2,0.7,0.4")
        [(0.1, 0.2, 0.3, 0.4), (0.5, 0.2, 0.7, 0.4)]
        >>> bracketed("[[1, 2], [3, x]]"), bracketed("none")
        ([(1.0, 2.0), ()], None)
    """
    if not any(char.isdigit() for char in text):
        return None
    rows = []
    for part in text.replace("(", "[").replace(")", "]").replace("]", ";").split(";"):
        inner = part.replace("[", " ").strip().strip(",").strip()
        if inner:
            rows.append(numbers(inner) or ())
    return rows


def tagged(text: str, *, prefix: str = "<") -> list[tuple[float, ...]] | None:
    """Rows of numbers in tags of their own, with a comma between the rows.

    Examples:
        >>> tagged("<0><35><980><987>, <646><0><999><940>")
        [(0.0, 35.0, 980.0, 987.0), (646.0, 0.0, 999.0, 940.0)]
        >>> tagged("<loc_1><loc_2>", prefix="<loc_"), tagged("none")
        ([(1.0, 2.0)], None)
    """
    if prefix not in text:
        return None
    rows = []
    for part in text.split(","):
        cells = part.strip().split(prefix)
        whole = cells[0] == "" and all(cell.rstrip().endswith(">") for cell in cells[1:])
        read = [number(cell.rstrip()[:-1]) for cell in cells[1:]] if whole else []
        rows.append(tuple(value for value in read if value is not None) if None not in read else ())
    return rows


def finite(values: Iterable[object]) -> tuple[float, ...] | None:
    """Numbers of a JSON list as floats, or None where any is no finite number.

    Examples:
        >>> finite([1, 2.5]), finite(["1"]), finite([True]), finite([10**400])
        ((1.0, 2.5), None, None, None)
    """
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # Beyond this no coordinate makes sense, and a whole number may not fit into a float.
        if not -1e12 < value < 1e12 or not math.isfinite(value):
            return None
        found.append(float(value))
    return tuple(found)


def without_numbers(payload: str) -> Reading:
    """A payload without numbers: a word that says the thing is not there, or broken.

    Examples:
        >>> without_numbers(" None ").absent, without_numbers("null").absent
        (True, True)
        >>> without_numbers("x").problems[0][1]
        "a place without numbers, 'x'; dropped"
    """
    if payload.strip().lower() in _NOTHING:
        return Reading(absent=True)
    return Reading(problems=(malformed(f"a place without numbers, {payload[:40]!r}"),))


def malformed(what: str) -> tuple[ProblemKind, str]:
    """The problem of a location that cannot be read."""
    return ProblemKind.MALFORMED, f"{what}; dropped"


def shapes_of(rows: Sequence[tuple[float, ...]], *, polygons: bool = False) -> Reading:
    """Boxes of four numbers, points of two and, where the dialect has them, polygons of more.

    Examples:
        >>> [shape.kind for shape in shapes_of([(1.0, 2.0, 3.0, 4.0), (1.0, 2.0)]).shapes]
        ['box', 'point']
        >>> shapes_of([(1.0,)]).problems[0][1]
        'a location of 1 numbers; dropped'
        >>> shapes_of([]).shapes
        ()
    """
    shapes: list[Shape] = []
    problems = []
    for row in rows:
        if len(row) == 4:
            shapes.append(Shape(kind="box", numbers=row))
        elif len(row) == 2:
            shapes.append(Shape(kind="point", numbers=row))
        elif polygons and len(row) >= 6 and len(row) % 2 == 0:
            shapes.append(Shape(kind="polygon", numbers=row))
        elif row:
            problems.append(malformed(f"a location of {len(row)} numbers"))
        else:
            problems.append(malformed("a location that is no row of numbers"))
    return Reading(shapes=tuple(shapes), problems=tuple(problems))


def read_rows(written: Iterable[object]) -> Reading:
    """Places of JSON values, each a row of numbers or a list of rows.

    Null and an empty list say that the thing is not there.

    Examples:
        >>> [shape.kind for shape in read_rows([[1, 2, 3, 4], [[5, 6], [7, 8]]]).shapes]
        ['box', 'point', 'point']
        >>> read_rows([None]).absent, read_rows(["x"]).problems[0][1]
        (True, 'a location that is no row of numbers; dropped')
        >>> read_rows([]).shapes
        ()
    """
    rows: list[tuple[float, ...]] = []
    absent = False
    for value in written:
        if value is None or value == []:
            absent = True
        elif isinstance(value, list) and isinstance(value[0], list):
            rows += [finite(row) or () if isinstance(row, list) else () for row in value]
        else:
            rows.append(finite(value) or () if isinstance(value, list) else ())
    return replace(shapes_of(rows), absent=absent)


_BOX_KEYS = ("bbox_2d", "bbox", "box", "bounding_box", "boundingBox", "boxes", "coordinates")
_POINT_KEYS = ("point_2d", "point", "coordinate")
_CORNER_KEYS = (
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
_SIZE_KEYS = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
_LABEL_KEYS = (
    *("label", "name", "class", "category", "object", "phrase", "description", "text"),
    "text_content",
)


def label_of(value: Mapping[str, Any]) -> str | None:
    """The phrase of a JSON object, under any of the names that models give it.

    Examples:
        >>> label_of({"label": "cat", "name": "Tom"}), label_of({"label": 3})
        ('cat', None)
    """
    for key in _LABEL_KEYS:
        if isinstance(value.get(key), str):
            return str(value[key])
    return None


def any_object(value: Mapping[str, Any]) -> Reading | None:
    """The corners of a JSON object, under any of the names that models give them; x before y.

    Examples:
        >>> any_object({"label": "cat", "bbox": [1, 2, 3, 4]}).shapes[0].numbers
        (1.0, 2.0, 3.0, 4.0)
        >>> any_object({"box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}).shapes[0].numbers
        (1.0, 2.0, 3.0, 4.0)
        >>> any_object({"label": "cat"}) is None
        True
    """
    named = _named_corners(value)
    rows = [] if named is None else [named]
    for key in (*_BOX_KEYS, *_POINT_KEYS):
        inner = value.get(key)
        if isinstance(inner, Mapping):
            rows.append(_named_corners(inner) or ())
        elif isinstance(inner, list) and inner and all(isinstance(row, list) for row in inner):
            rows += [finite(row) or () for row in inner]
        elif isinstance(inner, list):
            rows.append(finite(inner) or ())
    if not rows:
        return None
    reading = shapes_of(rows)
    return Reading(shapes=reading.shapes, label=label_of(value), problems=reading.problems)


def _named_corners(value: Mapping[str, Any]) -> tuple[float, ...] | None:
    for keys in _CORNER_KEYS:
        if all(key in value for key in keys):
            return finite([value[key] for key in keys])
    for keys in _SIZE_KEYS:
        if all(key in value for key in keys):
            x, y, width, height = finite([value[key] for key in keys]) or (math.nan,) * 4
            return finite((x, y, x + width, y + height))
    return None

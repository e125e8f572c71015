"""Florence-2: labels followed by bins of a 1000 by 1000 grid, and what its processor makes of them.

Source: `post_process_generation` of the Florence-2 processor in transformers: the middle of a bin
in pixels, cut to a whole number. Four bins are a box. Of text in the picture they are corners, four
to a place, and of a segmentation the corners of one outline; the tokens alone do not tell which,
so these have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Numbered,
    Processed,
    Reading,
    Shape,
    Syntax,
)
from groundplane.grounding.dialects.payloads import finite, malformed, numbers, tagged
from groundplane.grounding.dialects.rendering import bins

__all__ = ["DIALECTS"]

_PREFIX = "<loc_"
_BINS = 1000
_TASKS = (
    "<OD>",
    "<CAPTION>",
    "<DETAILED_CAPTION>",
    "<MORE_DETAILED_CAPTION>",
    "<CAPTION_TO_PHRASE_GROUNDING>",
    "<OPEN_VOCABULARY_DETECTION>",
    "<DENSE_REGION_CAPTION>",
    "<REGION_PROPOSAL>",
    "<REFERRING_EXPRESSION_SEGMENTATION>",
    "<REGION_TO_SEGMENTATION>",
    "<REGION_TO_CATEGORY>",
    "<REGION_TO_DESCRIPTION>",
    "<REGION_TO_OCR>",
    "<OCR>",
    "<OCR_WITH_REGION>",
)
# Tasks whose bins are not boxes.
_OTHER_TASKS = {
    "<OCR_WITH_REGION>": "florence-2-ocr",
    "<REFERRING_EXPRESSION_SEGMENTATION>": "florence-2-outlines",
    "<REGION_TO_SEGMENTATION>": "florence-2-outlines",
}
# Lists of places in a processor's result, each with the lists that may hold their labels.
_LISTS = (
    ("bboxes", ("labels", "bboxes_labels")),
    ("quad_boxes", ("labels",)),
    ("polygons", ("polygons_labels", "labels")),
)


def _rows(payload: str, each: int) -> Reading:
    """Bins of a run, so many to a place; or of an outline, whose parts are set apart."""
    if _PREFIX in payload:
        parts = [tagged(part, prefix=_PREFIX) or [()] for part in payload.split("<sep>")]
        flat = [row for part in parts for row in part]
        return _outlines(flat)
    values = numbers(payload) or ()
    rows = [values[k : k + each] for k in range(0, len(values), each)]
    whole = [row for row in rows if len(row) == each]
    kind = "box" if each == 4 else "polygon"
    shapes = tuple(
        Shape(kind="box" if kind == "box" else "polygon", numbers=row)
        for row in whole
        if max(row) < _BINS
    )
    problems = [malformed(f"{len(row)} bins where a place has {each}") for row in rows[-1:]]
    problems = problems if len(whole) < len(rows) else []
    if len(shapes) < len(whole):
        problems.append(malformed(f"a bin beyond {_BINS - 1}"))
    return Reading(shapes=shapes, problems=tuple(problems))


def _outlines(rows: Sequence[tuple[float, ...]]) -> Reading:
    good = [row for row in rows if len(row) >= 6 and len(row) % 2 == 0 and max(row) < _BINS]
    problems = [malformed("an outline of less than three corners")] * (len(rows) > len(good))
    shapes = tuple(Shape(kind="polygon", numbers=row) for row in good)
    return Reading(shapes=shapes, problems=tuple(problems))


def _read(payload: str) -> Reading:
    return _rows(payload, 4)


def _read_quads(payload: str) -> Reading:
    return _rows(payload, 8)


def _read_outlines(payload: str) -> Reading:
    if _PREFIX in payload:
        return _rows(payload, 4)
    return _outlines([numbers(payload) or ()])


def _processed(value: Mapping[str, Any]) -> Processed | None:
    tasks = [task for task in value if task in _TASKS]
    if not tasks:
        return None
    made = value[tasks[0]]
    if isinstance(made, str):
        name = _OTHER_TASKS.get(tasks[0], "florence-2")
        language = next(language for language in DIALECTS if language.name == name)
        return Processed(text=made, dialect=language)
    readings: list[Reading] = []
    for places, labels in _LISTS:
        rows = made.get(places) if isinstance(made, dict) else None
        if isinstance(rows, list):
            found = [made[name] for name in labels if isinstance(made.get(name), list)]
            names: list[Any] = found[0] if found else []
            readings += (_reading(row, k, names) for k, row in enumerate(rows))
    return Processed(readings=tuple(readings))


def _reading(row: Any, k: int, names: list[Any]) -> Reading:
    """One place of a processor's list: a row of numbers, or the parts of an outline."""
    name = names[k] if k < len(names) else None
    label = name.replace("</s>", "") if isinstance(name, str) else None
    parts = row if isinstance(row, list) and row and isinstance(row[0], list) else [row]
    shapes = []
    for part in parts:
        values = finite(part) if isinstance(part, list) else None
        if values is not None and len(values) == 4:
            shapes.append(Shape(kind="box", numbers=values))
        elif values is not None and len(values) >= 6 and len(values) % 2 == 0:
            shapes.append(Shape(kind="polygon", numbers=values))
    problems = () if shapes else (malformed("a place that is no box and no outline"),)
    return Reading(shapes=tuple(shapes), label=label, problems=problems)


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = (f"{_PREFIX}{value}>" for box in boxes for value in bins(box, count=_BINS))
    return (phrase or "") + "".join(places)


def _write_quads(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    corners = [(a, b, c, b, c, d, a, d) for a, b, c, d in boxes]
    return _write(phrase, corners)


def _write_outlines(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = (_write_quads(None, [box]) for box in boxes)
    return (phrase or "") + "".join(f"<poly>{place}</poly>" for place in places)


_CONVENTION = Convention(
    divisor=_BINS, bin_centre=True, truncate=True, phrase="line", tokens_are_special=True
)
_SYNTAX = Syntax(
    enclosed=(Enclosed(open="<poly>", close="</poly>"),),
    numbered=(Numbered(prefix=_PREFIX),),
    within=("<sep>",),
    ignored=("<s>", "</s>", "<pad>", *_TASKS),
)

DIALECTS = (
    Dialect(
        name="florence-2",
        convention=_CONVENTION,
        syntax=_SYNTAX,
        read=_read,
        processed=_processed,
        write=_write,
        joint="",
    ),
    Dialect(
        name="florence-2-ocr",
        convention=_CONVENTION,
        syntax=_SYNTAX,
        read=_read_quads,
        processed=_processed,
        write=_write_quads,
        joint="",
        note="Eight bins a place, the corners of a line of text.",
    ),
    Dialect(
        name="florence-2-outlines",
        convention=_CONVENTION,
        syntax=_SYNTAX,
        read=_read_outlines,
        processed=_processed,
        write=_write_outlines,
        joint="",
        note="All bins of a run are one outline, as the two tasks of segmentation write it.",
    ),
)

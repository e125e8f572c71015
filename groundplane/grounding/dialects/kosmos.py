"""Kosmos-2: phrases and cells of a 32 by 32 grid.

Source: Peng et al., Kosmos-2, 2023; decoding as in transformers' `Kosmos2Processor`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Numbered,
    Reading,
    Shape,
    Syntax,
)
from groundplane.grounding.dialects.payloads import malformed, numbers

__all__ = ["DIALECTS"]

_SIDE = 32
_PREFIX = "<patch_index_"
_DELIMITER = "</delimiter_of_multi_objects/>"


def _read(payload: str) -> Reading:
    shapes, problems = [], []
    # A run of cells without the tags around it comes as its numbers.
    bare = numbers(payload)
    for part in payload.split(_DELIMITER) if bare is None else [""]:
        cells = [cell.strip().rstrip(">") for cell in part.split(_PREFIX)]
        cells = cells if bare is None else ["", *(str(int(value)) for value in bare)]
        indices = [int(cell) for cell in cells[1:] if cell.isdigit() and cell.isascii()]
        broken = bool(cells[0]) or len(indices) != len(cells) - 1
        if broken or len(indices) != 2 or max(indices) >= _SIDE * _SIDE:
            problems.append(malformed("a place that is not two cells of the grid"))
        else:
            shapes.append(Shape(kind="box", numbers=_corners(*indices)))
    return Reading(shapes=tuple(shapes), problems=tuple(problems))


def _corners(first: int, last: int) -> tuple[float, float, float, float]:
    """Middles of the two cells; their outer edges where they share a row or a column."""
    (y0, x0), (y1, x1) = divmod(first, _SIDE), divmod(last, _SIDE)
    if x0 == x1 or y0 == y1:
        return min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1
    return x0 + 0.5, y0 + 0.5, x1 + 0.5, y1 + 0.5


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = _DELIMITER.join(map(_cells, boxes))
    before = "" if phrase is None else f"<phrase>{phrase}</phrase>"
    return f"{before}<object>{places}</object>"


def _cells(box: tuple[float, ...]) -> str:
    # The top-left cell is cut, the bottom-right one the last that the box reaches into.
    x0, y0 = (min(max(math.floor(value), 0), _SIDE - 1) for value in box[:2])
    x1, y1 = (min(max(math.ceil(value - 1), 0), _SIDE - 1) for value in box[2:])
    first, last = y0 * _SIDE + x0, max(y0, y1) * _SIDE + max(x0, x1)
    return f"{_PREFIX}{first:04d}>{_PREFIX}{last:04d}>"


DIALECTS = (
    Dialect(
        name="kosmos-2",
        convention=Convention(divisor=_SIDE, phrase="wrapped", tokens_are_special=True),
        syntax=Syntax(
            phrases=(("<phrase>", "</phrase>"),),
            enclosed=(
                Enclosed(open="<object>", close="</object>"),
                Enclosed(open="<image>", close="</image>", role="nothing"),
            ),
            numbered=(Numbered(prefix=_PREFIX),),
            within=(_DELIMITER,),
            ignored=("<grounding>", "<s>", "</s>", "<pad>"),
        ),
        read=_read,
        write=_write,
        around=("<grounding>", ""),
    ),
)

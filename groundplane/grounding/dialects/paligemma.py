"""PaliGemma: four bins, y first, then the label; a semicolon between two of them.

Source: the tokens of the PaliGemma processor. Sixteen `<seg>` codes after a box stand for a mask
that a decoder of its own draws: they are handed on as a request for an expert.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Numbered,
    Reading,
    Shape,
    Syntax,
)
from groundplane.grounding.dialects.payloads import malformed, numbers
from groundplane.grounding.dialects.rendering import bins

__all__ = ["DIALECTS"]

_BINS = 1024


def _read(payload: str) -> Reading:
    values = numbers(payload) or ()
    # Of five bins nobody knows which is one too many.
    rows = [values] if len(values) % 4 else [values[k : k + 4] for k in range(0, len(values), 4)]
    good = [row for row in rows if len(row) == 4 and max(row) < _BINS]
    what = f"{len(values)} bins that are not four a box, each below {_BINS}"
    return Reading(
        shapes=tuple(Shape(kind="box", numbers=row) for row in good),
        problems=(malformed(what),) if len(good) < len(rows) else (),
    )


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = ("".join(f"<loc{bin:04d}>" for bin in bins(box, count=_BINS)) for box in boxes)
    return " ; ".join(place if phrase is None else f"{place} {phrase}" for place in places)


DIALECTS = (
    Dialect(
        name="paligemma",
        convention=Convention(order="yxyx", divisor=_BINS, phrase="after", phrase_need="dropped"),
        syntax=Syntax(
            numbered=(Numbered(prefix="<loc"), Numbered(prefix="<seg", role="state")),
            ignored=("<bos>", "<eos>", "<pad>", "<image>"),
            ends=";\n",
        ),
        read=_read,
        write=_write,
        joint=" ; ",
    ),
)

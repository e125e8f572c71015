"""Boxes in brackets right after the phrase, with nothing to mark where the phrase starts: Shikra.

Source: Chen et al., Shikra, 2023, and its repository (`box_process_function.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Reading,
    Syntax,
)
from groundplane.grounding.dialects.payloads import numbers, shapes_of
from groundplane.grounding.dialects.rendering import fixed

__all__ = ["DIALECTS"]

_CHARS = "0123456789.,;- "


def _read(payload: str) -> Reading | None:
    rows = [numbers(part) or () for part in payload.split(";")]
    if all(len(row) < 2 for row in rows):
        # `[3]` or `[ ]`: a footnote or a mark, and no location.
        return None
    return shapes_of(rows)


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = ";".join(",".join(fixed(box, decimals=3)) for box in boxes)
    return f"[{places}]" if phrase is None else f"{phrase} [{places}]"


DIALECTS = (
    Dialect(
        name="shikra",
        convention=Convention(divisor=1, decimals=3, frame="padded", phrase="before"),
        syntax=Syntax(
            enclosed=(Enclosed(open="[", close="]", chars=_CHARS),),
            ignored=("<s>", "</s>"),
        ),
        read=_read,
        write=_write,
        joint=", ",
    ),
)

"""Boxes in brackets right after the phrase, with nothing to mark where the phrase starts.

Sources: Shikra (Chen et al., 2023, and `box_process_function.py`), CogVLM and CogAgent
(`grounding_parser.py`, README), Ferret (`eval_refexp.py`); LLaVA-1.5 as public evaluations of its
referring expressions read it. Shikra and LLaVA-1.5 see the image padded to a square.
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
from groundplane.grounding.dialects.rendering import fixed, whole

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


def _read_boxes(payload: str) -> Reading | None:
    rows = [numbers(part) or () for part in payload.strip("[] ").split(";")]
    # Rows that are not four numbers are a footnote or a list of the text.
    return shapes_of(rows) if any(len(row) == 4 for row in rows) else None


def _read_places(payload: str) -> Reading | None:
    rows = [numbers(part) or () for part in payload.strip("[] ").split(";")]
    # CogAgent taps: `tap [[681,808]]`.
    return shapes_of(rows) if any(len(row) in (2, 4) for row in rows) else None


def _write_llava(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = " ".join(f"[{', '.join(fixed(box, decimals=2))}]" for box in boxes)
    return places if phrase is None else f"{phrase} {places}"


def _write_cogvlm(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = ";".join(",".join(f"{v:03d}" for v in whole(box, most=999)) for box in boxes)
    return f"[[{places}]]" if phrase is None else f"{phrase} [[{places}]]"


def _write_ferret(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    places = " ".join(f"[{', '.join(map(str, whole(box, most=1000)))}]" for box in boxes)
    return places if phrase is None else f"{phrase} {places}"


DIALECTS = (
    Dialect(
        name="llava-1.5",
        convention=Convention(divisor=1, decimals=2, frame="padded", phrase="before"),
        syntax=Syntax(
            enclosed=(Enclosed(open="[", close="]", chars=_CHARS),),
            ignored=("<s>", "</s>"),
        ),
        read=_read_boxes,
        write=_write_llava,
        joint=", ",
    ),
    Dialect(
        name="cogvlm",
        convention=Convention(divisor=1000, phrase="before"),
        syntax=Syntax(
            enclosed=(Enclosed(open="[[", close="]]", chars=_CHARS),),
            ignored=("<s>", "</s>", "<EOI>"),
        ),
        read=_read_places,
        write=_write_cogvlm,
        joint=", ",
    ),
    Dialect(
        name="ferret",
        convention=Convention(divisor=1000, phrase="before"),
        syntax=Syntax(
            enclosed=(Enclosed(open="[", close="]", chars=_CHARS),),
            ignored=("<region_fea>", "<s>", "</s>"),
        ),
        read=_read_boxes,
        write=_write_ferret,
        joint=", ",
    ),
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

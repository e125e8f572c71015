"""Qwen-VL and Qwen2-VL: tags around a phrase and around pairs of corners, whole numbers to 1000.

Sources: the README and TUTORIAL of Qwen-VL; for Qwen2-VL its maintainers' answers. Trained
numbers run from 0 to 999 and stand for shares of 1000; the official evaluation divides by 999.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Reading,
    Syntax,
    Writer,
)
from groundplane.grounding.dialects.payloads import bracketed, shapes_of, without_numbers
from groundplane.grounding.dialects.rendering import whole

__all__ = ["DIALECTS"]

_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _read(payload: str) -> Reading:
    rows = bracketed(payload)
    if rows is None:
        return without_numbers(payload)
    if all(len(row) == 2 for row in rows) and len(rows) > 1:
        # Corners stand in brackets of their own: `(x1,y1),(x2,y2)`, four of them for a quad.
        return shapes_of([tuple(value for row in rows for value in row)], polygons=len(rows) == 4)
    return shapes_of(rows)


def _writer(phrase_tags: tuple[str, str], place_tags: tuple[str, str]) -> Writer:
    def write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
        before = "" if phrase is None else phrase.join(phrase_tags)
        corners = (whole(box, most=999) for box in boxes)
        return before + "".join(f"({a},{b}),({c},{d})".join(place_tags) for a, b, c, d in corners)

    return write


_QWEN_VL = ("<ref>", "</ref>"), ("<box>", "</box>")
_QWEN2_VL = (
    ("<|object_ref_start|>", "<|object_ref_end|>"),
    ("<|box_start|>", "<|box_end|>"),
)
_CONVENTION = Convention(divisor=1000, phrase="wrapped", tokens_are_special=True)

DIALECTS = (
    Dialect(
        name="qwen-vl",
        convention=_CONVENTION,
        syntax=Syntax(
            phrases=(_QWEN_VL[0],),
            enclosed=(
                Enclosed(open="<box>", close="</box>"),
                Enclosed(open="<quad>", close="</quad>", undivided=True),
                Enclosed(open="<img>", close="</img>", role="nothing"),
            ),
            ignored=_CONTROL,
        ),
        read=_read,
        write=_writer(*_QWEN_VL),
    ),
    Dialect(
        name="qwen2-vl",
        convention=_CONVENTION,
        syntax=Syntax(
            phrases=(_QWEN2_VL[0],),
            enclosed=(
                Enclosed(open="<|box_start|>", close="<|box_end|>"),
                Enclosed(open="<|quad_start|>", close="<|quad_end|>", undivided=True),
            ),
            ignored=(*_CONTROL, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
        ),
        read=_read,
        write=_writer(*_QWEN2_VL),
    ),
)

"""Dialects that pick regions of a list by their index, and so write no coordinates.

The list is the one that the model was given in that very pass; without it an index means nothing.
Sources: Groma (`constants.py`, `eval/run_groma.py`), RexSeek (README, `inference_utils.py`: from
0), SpatialRGPT (`eval_spatial.py`), Set-of-Mark prompting (Yang et al., 2023; drawn from 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Numbered,
    Reading,
    Syntax,
)
from groundplane.grounding.dialects.payloads import malformed, numbers, shapes_of, tagged

__all__ = ["DIALECTS"]

_Rows = Sequence[tuple[float, ...]]
_DIGITS = "0123456789, "
_MOST = 1_000_000


def _picked(values: Sequence[float] | None, first: int = 0) -> Reading | None:
    if not values or any(value != int(value) or not 0 <= value < _MOST for value in values):
        return None
    return Reading(indices=tuple(int(value) - first for value in values))


def _read_tags(payload: str, prefix: str) -> Reading | None:
    rows = tagged(payload, prefix=prefix) if prefix in payload else [numbers(payload) or ()]
    reading = _picked([value for row in rows or [] for value in row])
    if reading is None:
        return Reading(problems=(malformed(f"no index in {payload[:40]!r}"),))
    return reading


def _read_groma(payload: str) -> Reading | None:
    if "." in payload:
        # A box that a user draws: centre, width and height as shares of the image.
        return shapes_of([numbers(payload) or ()])
    return _read_tags(payload, "<r")


def _read_rexseek(payload: str) -> Reading | None:
    return _read_tags(payload, "<obj")


def _read_region(payload: str) -> Reading | None:
    return _picked(numbers(payload))


def _read_mark(payload: str) -> Reading | None:
    return _picked(numbers(payload), first=1)


def _tags(prefix: str, rows: _Rows) -> str:
    return "".join(f"{prefix}{int(row[0])}>" for row in rows)


def _write_groma(phrase: str | None, rows: _Rows) -> str:
    before = "" if phrase is None else f"<p>{phrase}</p>"
    return f"{before}<roi>{_tags('<r', rows)}</roi>"


def _write_rexseek(phrase: str | None, rows: _Rows) -> str:
    before = "" if phrase is None else f"<ground>{phrase}</ground>"
    return f"{before}<objects>{_tags('<obj', rows)}</objects>"


def _write_region(phrase: str | None, rows: _Rows) -> str:
    before = "" if phrase is None else f"{phrase}: "
    return before + " and ".join(f"Region [{int(row[0])}]" for row in rows)


def _write_mark(phrase: str | None, rows: _Rows) -> str:
    before = "" if phrase is None else f"{phrase} "
    return f"{before}[{', '.join(str(int(row[0]) + 1) for row in rows)}]"


DIALECTS = (
    Dialect(
        name="groma",
        kind="indices",
        convention=Convention(
            order="cxcywh", divisor=1, decimals=4, phrase="wrapped", tokens_are_special=True
        ),
        syntax=Syntax(
            phrases=(("<p>", "</p>"),),
            enclosed=(
                Enclosed(open="<roi>", close="</roi>"),
                Enclosed(open="[", close="]", chars="0123456789., "),
            ),
            numbered=(Numbered(prefix="<r"),),
            ignored=("[grounding]", "<refer_box>", "<refer_feat>", "<s>", "</s>"),
        ),
        read=_read_groma,
        write=_write_groma,
        joint=", ",
    ),
    Dialect(
        name="rexseek",
        kind="indices",
        convention=Convention(phrase="wrapped"),
        syntax=Syntax(
            phrases=(("<ground>", "</ground>"),),
            enclosed=(Enclosed(open="<objects>", close="</objects>"),),
            numbered=(Numbered(prefix="<obj"),),
            ignored=("<objfeat>", "<|im_end|>"),
        ),
        read=_read_rexseek,
        write=_write_rexseek,
        joint=", ",
    ),
    Dialect(
        name="spatialrgpt",
        kind="indices",
        convention=Convention(phrase="before"),
        syntax=Syntax(
            enclosed=(Enclosed(open="[", close="]", chars=_DIGITS),),
            numbered=(Numbered(prefix="<region"),),
            ignored=("<mask>", "<depth>", "</s>"),
        ),
        read=_read_region,
        write=_write_region,
        joint=", ",
    ),
    Dialect(
        name="gpt-4o",
        kind="indices",
        convention=Convention(phrase="before"),
        syntax=Syntax(enclosed=(Enclosed(open="[", close="]", chars=_DIGITS),)),
        read=_read_mark,
        write=_write_mark,
        joint=", ",
        note="It has no coordinates of its own: draw marks, it answers with their numbers.",
    ),
)

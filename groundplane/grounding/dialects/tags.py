"""Dialects with tags around the phrase and around its places, numbers within.

Sources, each the model's own repository: InternVL (`evaluate_grounding.py`), MiniGPT-4
(`demo_v2.py`, `eval_ref.py`), DeepSeek-VL2 (README), Rex-Omni (`parser.py`, `tasks.py`),
LocateAnything in NVlabs/Eagle (`Embodied/README.md`), GLM-V (README).
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
from groundplane.grounding.dialects.payloads import (
    bracketed,
    numbers,
    shapes_of,
    tagged,
    without_numbers,
)
from groundplane.grounding.dialects.rendering import whole

__all__ = ["DIALECTS"]

_Boxes = Sequence[tuple[float, ...]]

# Coordinates of InternVL that sum to less are shares of the image: its own evaluation's rule.
_UNIT_SUM = 4
_LIKE_BRACKETS = str.maketrans("<{>}", "[[]]")


def _read_brackets(payload: str) -> Reading:
    rows = bracketed(payload)
    if rows is None:
        return without_numbers(payload)
    return shapes_of(rows)


def _read_internvl(payload: str) -> Reading | None:
    rows = bracketed(payload)
    if rows is None:
        return without_numbers(payload)
    scaled = [
        tuple(1000 * value for value in row) if row and sum(row) < _UNIT_SUM else row
        for row in rows
    ]
    return shapes_of(scaled)


def _read_bins(payload: str) -> Reading:
    # A run of bins without the tags around it comes as its numbers.
    bare = numbers(payload)
    rows = tagged(payload) if bare is None else [bare]
    if rows is None:
        return without_numbers(payload)
    return shapes_of(rows, polygons=True)


def _read_minigpt(payload: str) -> Reading | None:
    rows = tagged(payload)
    return None if rows is None else shapes_of(rows)


def _read_glm(payload: str) -> Reading | None:
    # The same tokens stand around any final answer: without rows of four it is no place, and
    # the model's authors say that the kind of brackets varies.
    rows = bracketed(payload.translate(_LIKE_BRACKETS))
    if rows is None or not any(len(row) == 4 for row in rows):
        return None
    return shapes_of(rows)


def _list(box: tuple[float, ...], most: int) -> str:
    return f"[{', '.join(map(str, whole(box, most=most)))}]"


def _angled(box: tuple[float, ...], most: int) -> str:
    return "".join(f"<{value}>" for value in whole(box, most=most))


def _write_internvl(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"<ref>{phrase}</ref>"
    return f"{before}<box>[{', '.join(_list(box, 1000) for box in boxes)}]</box>"


def _write_deepseek(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"<|ref|>{phrase}<|/ref|>"
    return f"{before}<|det|>[{', '.join(_list(box, 999) for box in boxes)}]<|/det|>"


def _write_glm(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"{phrase} "
    places = ",".join(_list(box, 1000).replace(" ", "") for box in boxes)
    return f"{before}<|begin_of_box|>[{places}]<|end_of_box|>"


def _write_minigpt(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"<p>{phrase}</p> "
    return before + "<delim>".join(f"{{{_angled(box, 100)}}}" for box in boxes)


def _write_rex(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"<|object_ref_start|>{phrase}<|object_ref_end|>"
    places = ",".join(_angled(box, 999) for box in boxes)
    return f"{before}<|box_start|>{places}<|box_end|>"


def _write_locate(phrase: str | None, boxes: _Boxes) -> str:
    before = "" if phrase is None else f"<ref>{phrase}</ref>"
    return before + "".join(f"<box>{_angled(box, 1000)}</box>" for box in boxes)


_QWEN_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_ANGLED = (Numbered(prefix="<"),)

DIALECTS = (
    Dialect(
        name="internvl",
        convention=Convention(divisor=1000, phrase="wrapped", tokens_are_special=True),
        syntax=Syntax(
            phrases=(("<ref>", "</ref>"),),
            enclosed=(
                Enclosed(open="<box>", close="</box>"),
                # Some checkpoints leave the tags out.
                Enclosed(open="[[", close="]]", chars="0123456789.,- []"),
                Enclosed(open="<think>", close="</think>", role="nothing"),
            ),
            ignored=(*_QWEN_CONTROL, "<s>", "</s>"),
        ),
        read=_read_internvl,
        write=_write_internvl,
    ),
    Dialect(
        name="minigpt-v2",
        convention=Convention(divisor=100, phrase="wrapped"),
        syntax=Syntax(
            phrases=(("<p>", "</p>"),),
            # A bar and an angle are GeoChat's, which turns its boxes: no box of this dialect.
            enclosed=(Enclosed(open="{", close="}", chars="<>0123456789 |"),),
            joins=("<delim>",),
            ignored=(
                *("[grounding]", "[refer]", "[detection]", "[identify]", "[vqa]", "[caption]"),
                *("<s>", "</s>"),
            ),
        ),
        read=_read_minigpt,
        write=_write_minigpt,
    ),
    Dialect(
        name="deepseek-vl2",
        convention=Convention(
            divisor=999, phrase="wrapped", phrase_need="dropped", tokens_are_special=True
        ),
        syntax=Syntax(
            phrases=(("<|ref|>", "<|/ref|>"),),
            enclosed=(Enclosed(open="<|det|>", close="<|/det|>"),),
            ignored=(
                "<|grounding|>",
                "<|User|>",
                "<|Assistant|>",
                "<image>",
                "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
                "<\uff5cend\u2581of\u2581sentence\uff5c>",
            ),
        ),
        read=_read_brackets,
        write=_write_deepseek,
        joint="",
    ),
    Dialect(
        name="rex-omni",
        convention=Convention(divisor=999, phrase="wrapped", tokens_are_special=True),
        syntax=Syntax(
            phrases=(("<|object_ref_start|>", "<|object_ref_end|>"),),
            enclosed=(Enclosed(open="<|box_start|>", close="<|box_end|>"),),
            numbered=_ANGLED,
            ignored=_QWEN_CONTROL,
        ),
        read=_read_bins,
        write=_write_rex,
        joint=", ",
    ),
    Dialect(
        name="locateanything",
        convention=Convention(divisor=1000, phrase="wrapped"),
        syntax=Syntax(
            phrases=(("<ref>", "</ref>"),),
            enclosed=(Enclosed(open="<box>", close="</box>"),),
            numbered=_ANGLED,
            ignored=_QWEN_CONTROL,
        ),
        read=_read_bins,
        write=_write_locate,
        joint="",
    ),
    Dialect(
        name="glm-4.5v",
        convention=Convention(divisor=1000, phrase="before", tokens_are_special=True),
        syntax=Syntax(
            enclosed=(
                Enclosed(open="<|begin_of_box|>", close="<|end_of_box|>"),
                Enclosed(open="<think>", close="</think>", role="nothing"),
            ),
            ignored=("<|endoftext|>", "<|user|>", "<|assistant|>"),
        ),
        read=_read_glm,
        write=_write_glm,
        joint=", ",
    ),
)

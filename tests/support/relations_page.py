"""Writes docs/relations.md from the tables: `python tests/support/relations_page.py`."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

from groundplane.spatial.relations import THRESHOLDS
from groundplane.spatial.relations.definitions import DEFINITIONS, Definition
from groundplane.spatial.relations.vsr import VSR_WORDS, VsrWord

__all__ = ["PAGE", "relations_page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "relations.md"
_HEAD = """# Relations

This page is written from the tables of `groundplane.spatial.relations.definitions` and
`groundplane.spatial.relations.vsr` by `python tests/support/relations_page.py`; a test checks that
it is current.

Each relation is a function of n subjects and m anchors in `groundplane.spatial.relations` and
gives n by m truths, on the device of the boxes. Frames: `world` needs only which way is up;
`viewer` takes where somebody looks, one view for all or one an anchor (for somebody who stands
before each anchor and faces it, the opposite of its front); `object` takes the fronts of the
things, and where a front is not known the relation does not hold, `orientation.has_front` tells
that it could not, and a question about it is answered with "cannot be told". `parallel` and
`perpendicular` need a side that is clearly the longer one (`orientation.has_long_side`). A
relation that reads NaN does not hold. Centres at one place give no direction: neither left nor
right, facing nothing.

Of a thing and itself hold `touches`, `near`, `within`, `same_size`, `aligned_with` and `parallel`.

## Definitions

`inverse` is what then holds of anchor and subject.

"""
_NUMBERS = """
## Numbers

The fields of `Thresholds`, whose reasons stand beside them in
`groundplane/spatial/thresholds.py`. Give your own to any relation with
`thresholds=Thresholds(near_gap=2.0)`, or to a scene with `MapScene(scene, thresholds=...)`.

"""
_VSR = """
## The relation words of VSR

Visual Spatial Reasoning (Liu, Emerson and Collier, TACL 2023) lists 70 words, of which 66 are
left in its validated data (the others are marked *). A word that boxes do not tell says why.

"""


def _table(head: str, rows: list[str]) -> str:
    rule = "|".join("---" for _ in head.strip("| ").split("|"))
    return "\n".join([head, f"|{rule}|", *rows]) + "\n"


def _defined(row: Definition) -> str:
    numbers = ", ".join(f"`{name}`" for name in row.thresholds)
    inverse = "symmetric" if row.symmetric else (row.inverse or "")
    name = f"`{row.name}`" + (" (of three)" if row.arity == 3 else "")
    return f"| {name} | {row.frame} | {inverse} | {row.meaning} | {numbers} | {row.source} |"


def _number(name: str) -> str:
    value = getattr(THRESHOLDS, name)
    if name.endswith("_angle"):
        return f"| `{name}` | {math.degrees(value):g} degrees (radians in code) |"
    unit = "" if name.endswith(("_share", "_width")) else " m"
    return f"| `{name}` | {value:g}{unit} |"


def _word(row: VsrWord) -> str:
    told = " and ".join(f"`{name}`" for name in row.relations)
    ours = ("not " if row.negated else "") + told if row.relations else "not told"
    mark = "" if row.validated else " *"
    return f"| {row.word}{mark} | {row.category} | {ours} | {row.reason} |"


def relations_page() -> str:
    """The whole page."""
    head = "| relation | frame | inverse | holds where | numbers | source |"
    words = [_word(row) for row in VSR_WORDS.values()]
    return (
        _HEAD
        + _table(head, [_defined(row) for row in DEFINITIONS.values()])
        + _NUMBERS
        + _table("| number | value |", [_number(field.name) for field in fields(THRESHOLDS)])
        + _VSR
        + _table("| word | class | relation | note |", words)
    )


if __name__ == "__main__":
    PAGE.write_text(relations_page(), encoding="utf-8")

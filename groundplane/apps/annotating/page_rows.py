"""Records as rows of a page's data: JSON in scripts, since a page of a folder may fetch nothing.

A row of the index is what the sheet of all pictures needs; the rest of a record stands in files
of a few pictures each, which are loaded when one of them is opened. `core.js` names the places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groundplane.core.annotation import AnnotationRecord

__all__ = ["detail_row", "index_row", "readable", "script"]

# Joiners make one sign of several letters; what else is not printable would mislead.
_JOINERS = "\u200c\u200d"


def readable(text: str) -> str:
    """Somebody's text as a person can read it: controls, reversals and halves of letters escaped.

    Examples:
        >>> readable("a/1.jpg"), readable("two\\nlines\\u202e")
        ('a/1.jpg', 'two\\\\nlines\\\\u202e')
        >>> readable("")
        ''
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in _JOINERS else _escaped(sign) for sign in text
    )


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")


def script(kind: str, number: int, rows: object) -> bytes:
    """A file of data that hands itself to the page.

    Examples:
        >>> script("index", 0, [["</script>"]])
        b'groundplane.take("index",0,[["\\\\u003c/script>"]]);\\n'
        >>> script("index", 1, [])
        b'groundplane.take("index",1,[]);\\n'
    """
    text = json.dumps(rows, separators=(",", ":"), allow_nan=False)
    # The signs of a tag: nobody needs to know that a script of its own file may hold them.
    return f'groundplane.take("{kind}",{number},{text});\n'.replace("<", "\\u003c").encode("ascii")


def index_row(record: AnnotationRecord, *, file: str) -> list[Any]:
    """What the sheet shows of a record.

    Args:
        record: As a view gives it.
        file: The picture's file, without ending, in the page's folders; empty if there is none.
    """
    regions = record.regions
    flat: list[float] = []
    columns = (regions.class_ids.tolist(), regions.scores.tolist(), regions.boxes.tolist())
    for class_id, score, box in zip(*columns, strict=True):
        flat += (class_id, round(score * 1e4), *(_short(edge) for edge in box))
    width, height = record.size or (0, 0)
    failed = record.failure
    why = "" if failed is None else f"{failed.stage}: {readable(failed.message)}"
    return [readable(record.path), int(failed is not None), width, height, file, flat, why]


def detail_row(record: AnnotationRecord) -> list[Any]:
    """What the page shows of a record once it is opened."""
    regions = record.regions
    masks = regions.masks
    cannot = [i for i, outcome in enumerate(record.outcomes) if outcome == "cannot"]
    return [
        [readable(name) for name in regions.ids],
        regions.prompt_ids.tolist(),
        regions.track_ids.tolist() if regions.track_ids is not None else 0,
        [readable(name) for name in regions.sources] or 0,
        [m.counts.decode("ascii") if m is not None else 0 for m in masks] if masks else 0,
        [_pairs(facts) for facts in regions.attributes] or 0,
        [
            readable(record.caption),
            readable(record.note),
            record.content_hash,
            None if record.frame is None else _short(round(record.frame.time, 6)),
            cannot,
        ],
    ]


def _pairs(facts: Mapping[str, object]) -> list[list[str]]:
    told = {True: "yes", False: "no"}
    return [
        [readable(name), told[value] if isinstance(value, bool) else readable(str(value))]
        for name, value in sorted(facts.items())
    ]


def _short(number: float) -> float:
    return int(number) if number == int(number) else number

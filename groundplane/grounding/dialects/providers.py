"""Claude and Moondream: JSON of models behind a provider's door.

Claude writes pixels of the image as its provider resized it (`core.frames.provider_size`), as JSON
on request, else in brackets within prose. Source: the provider's page on coordinates as quoted in
public. Models of 2024 predate that page: check what they say with a detector.

Moondream's `detect` and `point` give shares of the image. Source: moondream.ai, API reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groundplane.grounding.dialects.grammar import Convention, Dialect, Reading, Shape, Syntax
from groundplane.grounding.dialects.payloads import any_object, finite, label_of, malformed

__all__ = ["DIALECTS"]

_CORNERS = ("x_min", "y_min", "x_max", "y_max")


def _read_moondream(value: Mapping[str, Any]) -> Reading | None:
    keys = _CORNERS if any(key in value for key in _CORNERS) else ("x", "y")
    if not any(key in value for key in keys):
        return None
    numbers = finite([value.get(key) for key in keys])
    if numbers is None:
        return Reading(problems=(malformed(f"an object without all of {', '.join(keys)}"),))
    shape = Shape(kind="box" if len(numbers) == 4 else "point", numbers=numbers)
    return Reading(shapes=(shape,), label=label_of(value))


def _write_moondream(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    objects = []
    for box in boxes:
        value: dict[str, Any] = dict(zip(_CORNERS, (round(v, 6) for v in box), strict=True))
        if phrase is not None:
            value["label"] = phrase
        objects.append(json.dumps(value, ensure_ascii=False))
    return ", ".join(objects)


def _write_claude(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    objects = []
    for box in boxes:
        value: dict[str, Any] = {} if phrase is None else {"label": phrase}
        value["bbox"] = [round(number) for number in box]
        objects.append(json.dumps(value, ensure_ascii=False))
    return ",\n".join(objects)


DIALECTS = (
    Dialect(
        name="claude",
        convention=Convention(frame="provider", phrase="label"),
        syntax=Syntax(objects=True),
        read_object=any_object,
        write=_write_claude,
        joint=",\n",
        around=("[\n", "\n]"),
    ),
    Dialect(
        name="moondream",
        convention=Convention(divisor=1, decimals=6, phrase="label"),
        syntax=Syntax(objects=True, containers=("objects", "points")),
        read_object=_read_moondream,
        write=_write_moondream,
        joint=", ",
        around=('{"objects": [', "]}"),
    ),
)

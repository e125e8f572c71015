"""Qwen2.5-VL: JSON objects with pixels of the image as the processor resized it.

Source: the maintainers' answers in the issues of the Qwen repository. Behind a server the size
that the model sees is known only to one who resizes beforehand to a fixed point of `smart_size`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Reading,
    Syntax,
)
from groundplane.grounding.dialects.payloads import finite, shapes_of

__all__ = ["DIALECTS"]


def _read(value: Mapping[str, Any]) -> Reading | None:
    rows = [value[key] for key in ("bbox_2d", "point_2d") if key in value]
    if not rows:
        return None
    label = value.get("label")
    numbers = [finite(row) if isinstance(row, list) else None for row in rows]
    reading = shapes_of([row or () for row in numbers])
    return Reading(
        shapes=reading.shapes,
        problems=reading.problems,
        label=label if isinstance(label, str) else None,
    )


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    objects = []
    for box in boxes:
        value: dict[str, Any] = {"bbox_2d": [round(number) for number in box]}
        if phrase is not None:
            value["label"] = phrase
        objects.append(json.dumps(value, ensure_ascii=False))
    return ",\n".join(objects)


DIALECTS = (
    Dialect(
        name="qwen2.5-vl",
        convention=Convention(frame="smart", phrase="label"),
        syntax=Syntax(objects=True, ignored=("<|im_end|>", "<|endoftext|>")),
        read_object=_read,
        write=_write,
        joint=",\n",
        around=("```json\n[\n", "\n]\n```"),
    ),
)

"""Qwen2.5-VL and Qwen3-VL: JSON objects.

Qwen2.5-VL writes pixels of the image as the processor resized it. Source: the maintainers' answers
in the issues of the Qwen repository. Behind a server the size that the model sees is known only to
one who resizes beforehand to a fixed point of `smart_size`. Qwen3-VL writes shares of 1000 again.

3-D boxes of Qwen3-VL are centre, size and three angles in the camera's frame, metres. The text of
the `3d_grounding` cookbook calls the angles roll, pitch and yaw in radians; its own drawing code
turns them by 180 degrees a unit and takes them as pitch, yaw and roll. The code is followed here,
and the numbers as written are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from groundplane.core.locations import ModelBox3D, ProblemKind
from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Reading,
    Syntax,
    Writer,
)
from groundplane.grounding.dialects.payloads import finite, label_of, malformed, read_rows
from groundplane.grounding.dialects.rendering import whole

__all__ = ["DIALECTS"]

_SCALE = 1000
# The last is what tools of their agents take: `{"action": "click", "coordinate": [508, 412]}`.
_KEYS = ("bbox_2d", "point_2d", "coordinate")


def _read(value: Mapping[str, Any]) -> Reading | None:
    rows = [value[key] for key in _KEYS if key in value]
    return replace(read_rows(rows), label=label_of(value)) if rows else None


def _read_deep(value: Mapping[str, Any]) -> Reading | None:
    if "bbox_3d" not in value:
        return _read(value)
    flat = _read(value) or Reading(label=label_of(value))
    box, problem = _box_3d(value["bbox_3d"])
    return Reading(
        shapes=flat.shapes,
        label=flat.label,
        boxes_3d=() if box is None else (box,),
        problems=flat.problems if problem is None else (*flat.problems, problem),
    )


def _box_3d(written: Any) -> tuple[ModelBox3D | None, tuple[ProblemKind, str] | None]:
    numbers = finite(written) if isinstance(written, list) else None
    if numbers is None or len(numbers) != 9:
        return None, malformed("a bbox_3d that is not nine numbers")
    x, y, z, width, height, depth, pitch, yaw, roll = numbers
    if min(width, height, depth) < 0:
        return None, malformed(f"a bbox_3d of the size {width:g}, {height:g}, {depth:g}")
    box = ModelBox3D(
        center=(x, y, z),
        size=(width, height, depth),
        angles=(math.pi * pitch, math.pi * yaw, math.pi * roll),
        raw=numbers,
    )
    return box, None


def _writer(most: int | None) -> Writer:
    def write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
        objects = []
        for box in boxes:
            corners = [round(v) for v in box] if most is None else whole(box, most=most)
            value: dict[str, Any] = {"bbox_2d": corners}
            if phrase is not None:
                value["label"] = phrase
            objects.append(json.dumps(value, ensure_ascii=False))
        return ",\n".join(objects)

    return write


_SYNTAX = Syntax(
    objects=True,
    enclosed=(Enclosed(open="<think>", close="</think>", role="nothing"),),
    ignored=(
        *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "</think>"),
        *("<answer>", "</answer>", "<tool_call>", "</tool_call>"),
    ),
)
_FENCE = ("```json\n[\n", "\n]\n```")

DIALECTS = (
    Dialect(
        name="qwen2.5-vl",
        convention=Convention(frame="smart", phrase="label"),
        syntax=_SYNTAX,
        read_object=_read,
        write=_writer(None),
        joint=",\n",
        around=_FENCE,
    ),
    Dialect(
        name="qwen3-vl",
        convention=Convention(divisor=_SCALE, phrase="label"),
        syntax=_SYNTAX,
        read_object=_read_deep,
        write=_writer(_SCALE),
        joint=",\n",
        around=_FENCE,
    ),
)

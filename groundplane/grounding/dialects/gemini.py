"""Gemini: JSON objects on a scale of 1000, y before x.

Sources: google-gemini/cookbook, `Spatial_understanding.ipynb` (boxes, points, and masks of 2.5 as
pictures of the box's area, a probability from 0 to 255 that counts above 127); supervision 0.31
for 3.6 and 3.7, whose masks are outlines over the whole image with x first.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image as PILImage

from groundplane.core.errors import InputError
from groundplane.core.masks import RleMask, encode
from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Painter,
    Reading,
    Shape,
    Syntax,
)
from groundplane.grounding.dialects.payloads import finite, label_of, malformed
from groundplane.grounding.dialects.rendering import whole
from groundplane.grounding.scanning.painting import outlined

__all__ = ["DIALECTS"]

_SCALE = 1000
_PICTURE = "data:image/png;base64,"
_THRESHOLD = 127
# A mask of 256 by 256 needs some ten thousand characters; a hostile one may not fill the memory.
_OBJECT_LIMIT = 400_000
_PICTURE_SIDE = 4096

_UNREADABLE = (
    binascii.Error,
    ValueError,
    OSError,
    SyntaxError,
    PILImage.DecompressionBombError,
    PILImage.DecompressionBombWarning,
)

_Box = tuple[float, float, float, float]
_Size = tuple[int, int]


def _read(value: Mapping[str, Any]) -> Reading | None:
    rows = [(key, value[key]) for key in ("box_2d", "point") if key in value]
    if not rows:
        return None
    score = finite([value.get("confidence")])
    kept = score[0] if score is not None and 0 <= score[0] <= 1 else None
    shapes, problems = [], []
    absent = any(row is None or row == [] for _, row in rows)
    for key, row in rows:
        if row is None or row == []:
            continue
        numbers = finite(row) if isinstance(row, list) else None
        if numbers is not None and len(numbers) == 4:
            painter = _painter(value["mask"]) if "mask" in value else None
            shapes.append(Shape(kind="box", numbers=numbers, score=kept, painter=painter))
        elif numbers is not None and len(numbers) == 2:
            shapes.append(Shape(kind="point", numbers=numbers))
        else:
            problems.append(malformed(f"a {key} that is no row of numbers"))
    return Reading(
        shapes=tuple(shapes), label=label_of(value), absent=absent, problems=tuple(problems)
    )


def _painter(written: Any) -> Painter:
    if isinstance(written, str):
        return lambda box, size: _pictured(written, box, size)
    return lambda box, size: _polygon(written, size)


def _polygon(written: Any, size: _Size) -> RleMask:
    """An outline over the whole image, x first."""
    rows = written if isinstance(written, list) else []
    corners = [finite(pair) if isinstance(pair, list) else None for pair in rows]
    good = [pair for pair in corners if pair is not None and len(pair) == 2]
    if len(good) < 3 or len(good) != len(rows):
        raise InputError("a mask that is no outline of three corners or more")
    across, down = size[0] / _SCALE, size[1] / _SCALE
    return outlined([(pair[0] * across, pair[1] * down) for pair in good], size)


def _pictured(written: str, box: _Box, size: _Size) -> RleMask:
    """A picture of the box's area: a probability from 0 to 255."""
    x0, y0, x1, y1 = (int(value) for value in box)
    width, height = size
    mask = np.zeros((height, width), dtype=bool)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    picture = _decoded(written)
    if left < right and top < bottom:
        across, down = picture.width / (x1 - x0), picture.height / (y1 - y0)
        part = ((left - x0) * across, (top - y0) * down)
        end = ((right - x0) * across, (bottom - y0) * down)
        resized = picture.resize(
            (right - left, bottom - top), PILImage.Resampling.BILINEAR, box=(*part, *end)
        )
        mask[top:bottom, left:right] = np.asarray(resized) > _THRESHOLD
    return encode(mask)


def _decoded(written: str) -> PILImage.Image:
    if not written.startswith(_PICTURE):
        raise InputError("a mask that is no PNG in base64")
    try:
        data = base64.b64decode(written[len(_PICTURE) :])
        with PILImage.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if max(picture.size) > _PICTURE_SIDE:
                raise InputError(f"a mask of {picture.width} x {picture.height} pixels")
            return picture.convert("L")
    except _UNREADABLE as error:
        raise InputError("a mask that cannot be decoded") from error


def _write(phrase: str | None, boxes: Sequence[tuple[float, ...]]) -> str:
    objects = []
    for box in boxes:
        value: dict[str, Any] = {"box_2d": whole(box, most=_SCALE)}
        if phrase is not None:
            value["label"] = phrase
        objects.append(json.dumps(value, ensure_ascii=False))
    return ",\n".join(objects)


DIALECTS = (
    Dialect(
        name="gemini",
        convention=Convention(order="yxyx", point_order="yx", divisor=_SCALE, phrase="label"),
        syntax=Syntax(objects=True, containers=("boxes", "points"), object_limit=_OBJECT_LIMIT),
        read_object=_read,
        write=_write,
        joint=",\n",
        around=("```json\n[\n", "\n]\n```"),
    ),
)

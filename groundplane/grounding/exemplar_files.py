"""Exemplars of phrases from a file: JSON lines of a phrase, a picture and boxes in it.

    {"phrase": "cup", "image": "kitchen.jpg", "boxes": [[10, 20, 60, 90]], "negative": []}

`boxes` are around such things, `negative` ones around things that are taken for them, both `xyxy`
pixels of the upright picture; either may be left out. A picture is named from the file's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, MediaError, listing
from groundplane.core.files import one_line
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.grounding.region_verifier import Exemplars, RegionVerifier

__all__ = ["learn_file"]

_MAX_BYTES = 2**24
_KEYS = ("phrase", "image", "boxes", "negative")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """A line of the file."""

    phrase: str
    image: Path
    boxes: Float[Tensor, "p 4"]
    negative: Float[Tensor, "q 4"]
    where: str


def learn_file(path: Path, verifier: RegionVerifier) -> dict[str, Exemplars]:
    """Look at the exemplars that a file names.

    Lines of one phrase belong together; capitals and spaces do not matter, and the phrase is
    spelt as it stands first. The pictures of one phrase are held at a time.

    Args:
        path: JSON lines, UTF-8, at most 16 MiB; see the top of this module.
        verifier: Looks at them.

    Raises:
        InputError: If the file cannot be read, a line is malformed, a phrase has no positive box,
            or the encoder sees less than half of a box; the line or the phrase is named.
        MediaError: If a picture cannot be read.
    """
    rows: dict[str, list[_Row]] = {}
    for row in _rows(path):
        rows.setdefault(row.phrase.casefold(), []).append(row)
    if not rows:
        raise InputError(f"{one_line(str(path))}: expected one line or more, got none")
    return {mine[0].phrase: _learn(mine, verifier) for mine in rows.values()}


def _learn(rows: list[_Row], verifier: RegionVerifier) -> Exemplars:
    images = [_picture(row) for row in rows]
    pairs = list(zip(images, rows, strict=True))
    try:
        return verifier.learn(
            [(image, row.boxes) for image, row in pairs if len(row.boxes)],
            [(image, row.negative) for image, row in pairs if len(row.negative)],
        )
    except InputError as error:
        raise InputError(f"{rows[0].where}: {rows[0].phrase!r}: {error}") from error


def _picture(row: _Row) -> Image:
    try:
        return read_image(row.image)
    except MediaError as error:
        raise MediaError(f"{row.where}: {error}") from error


def _rows(path: Path) -> Iterator[_Row]:
    name = one_line(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: expected UTF-8, got other bytes") from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{name}: expected at most {_MAX_BYTES} bytes")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _row(line, folder=path.parent, where=f"{name}, line {number}")


def _row(line: str, *, folder: Path, where: str) -> _Row:
    try:
        document: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected JSON, got: {str(error) or 'too deep'}") from error
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with {listing(_KEYS)}")
    strange = [key for key in document if key not in _KEYS]
    if strange:
        raise InputError(f"{where}: unknown {strange[0]!r}; expected {listing(_KEYS)}")
    phrase, image = (_text(document.get(key), f"{where}: {key}") for key in _KEYS[:2])
    boxes, negative = (_boxes(document.get(key, []), f"{where}: {key}") for key in _KEYS[2:])
    if not len(boxes) and not len(negative):
        raise InputError(f"{where}: expected a box, in boxes or in negative")
    return _Row(
        phrase=" ".join(phrase.split()), image=folder / image, boxes=boxes, negative=negative,
        where=where,
    )  # fmt: skip


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InputError(f"{where}: expected a text, got {value!r:.80}")
    return value


def _boxes(value: object, where: str) -> Float[Tensor, "n 4"]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list of boxes, got {value!r:.80}")
    return torch.tensor([_box(box, where) for box in value]).float().view(-1, 4)


def _box(value: object, where: str) -> list[float]:
    numbers = [v for v in value if _is_number(v)] if isinstance(value, list) else []
    if len(numbers) != 4 or value != numbers or not (
        numbers[0] < numbers[2] and numbers[1] < numbers[3]
    ):  # fmt: skip
        raise InputError(
            f"{where}: expected boxes [x0, y0, x1, y1] in pixels, x0 < x1 and y0 < y1, got "
            f"{value!r:.80}"
        )
    return [float(number) for number in numbers]


def _is_number(value: object) -> bool:
    # Beyond a hundred million no picture has pixels, and float32 could not hold the larger ones.
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= 1e8  # NaN is not either

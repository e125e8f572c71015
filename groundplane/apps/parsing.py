"""`groundplane parse`: what a model's text says of places, in pixels of the picture."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.apps.given import check_picture
from groundplane.apps.told import dump, one_line
from groundplane.core.answer import GroundedText, Mention
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.locations import Located
from groundplane.core.media import read_image
from groundplane.grounding.parsing import parse

__all__ = ["ParseJob", "parse_record", "run"]

_MAX_BYTES = 64 * 2**20
_MAX_SIDE = 1_000_000
_SIZE = re.compile(r"\s*(\d{1,7})\s*[xX\u00d7]\s*(\d{1,7})\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseJob:
    """What the command line asks for.

    Attributes:
        source: A file, or `-` for stdin.
        size: Width and height of the picture, `WxH`; None where `photo` says it.
        seen: Of what the model saw, or None.
        photo: The picture, to draw on.
        out: The drawing.
    """

    source: str
    dialect: str
    size: str | None
    seen: str | None
    classes: str | None
    as_json: bool
    photo: Path | None
    out: Path | None


def run(job: ParseJob) -> int:
    """Read, print, draw. What is wrong with the text is part of the result.

    Raises:
        InputError, MediaError, OutputError: One line for stderr.
    """
    if (job.photo is None) != (job.out is None):
        raise InputError("--on PHOTO and --out FILE belong together; one is missing")
    if job.out is not None:
        check_picture("--out", job.out)
    image = None if job.photo is None else read_image(job.photo)
    size = _size_of(job, image)
    seen = None if job.seen is None else _size("--seen", job.seen)
    classes = None if job.classes is None else _classes(job.classes)
    found = parse(_text(job.source), dialect=job.dialect, size=size, seen=seen, classes=classes)
    if image is not None and job.out is not None:
        _draw(image, found, job.out)
    if job.as_json:
        sys.stdout.write(dump(parse_record(found, dialect=job.dialect, size=size), indent=2) + "\n")
        return 0
    sys.stdout.write("\n".join(_told(found)) + "\n")
    for problem in found.problems:
        start, end = problem.span
        sys.stderr.write(
            f"groundplane: {problem.kind.value} at {start}-{end}: {one_line(problem.message)}\n"
        )
    return 0


def parse_record(found: GroundedText, *, dialect: str, size: tuple[int, int]) -> dict[str, Any]:
    """A parsed text as plain JSON values; boxes are `xyxy`, pixels of the picture."""
    return {
        "text": found.text,
        "dialect": dialect,
        "size": list(size),
        "mentions": [_mention(mention) for mention in found.mentions],
        "problems": [
            {"kind": p.kind.value, "message": p.message, "span": list(p.span)}
            for p in found.problems
        ],
    }


def _mention(mention: Mention) -> dict[str, Any]:
    located = mention.located or Located()
    return {
        "phrase": mention.phrase,
        "span": list(mention.span),
        "boxes": _rounded(located.boxes),
        "points": _rounded(located.points),
        "polygons": [_rounded(polygon) for polygon in located.polygons],
        "masks": [
            {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
            for mask in located.masks
        ],
        "boxes_3d": [
            {"center": list(box.center), "size": list(box.size), "angles": list(box.angles)}
            for box in located.boxes_3d
        ],
        "scores": list(located.scores),
        "region_ids": list(located.region_ids),
        "states": [list(state) for state in located.states],
        "rung": located.rung,
        "source": list(located.source),
    }


def _rounded(rows: Any) -> list[list[float]]:
    """Millionths of a pixel are noise of the arithmetic."""
    numbers: list[list[float]] = rows.round(6).tolist()
    return numbers


def _told(found: GroundedText) -> Iterable[str]:
    """The text, and a line for each place."""
    yield found.text
    for mention in found.mentions:
        name = one_line(mention.phrase) or "(no phrase)"
        located = mention.located
        if located is None:
            continue
        places = [f"box {_numbers(box)}" for box in located.boxes.tolist()]
        places += [f"point {_numbers(point)}" for point in located.points.tolist()]
        places += [f"outline of {len(polygon)} points" for polygon in located.polygons]
        places += ["mask" for _ in located.masks]
        places += [f"3-D box at {_numbers(b.center, 2)} m" for b in located.boxes_3d]
        places += [f"region {name}" for name in located.region_ids]
        places += [f"hidden state of {one_line(token)}" for token, _ in located.states]
        start, end = mention.span
        for place in places or ["nowhere"]:
            yield f"  {name} ({start}-{end}): {place}"


def _numbers(values: Iterable[float], digits: int = 1) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _draw(image: Image, found: GroundedText, path: Path) -> None:
    from groundplane.apps.marking import Mark, draw_marks

    marks = [
        Mark(
            label=one_line(mention.phrase) or "(no phrase)",
            boxes=mention.located.boxes,
            points=mention.located.points,
            polygons=mention.located.polygons,
            masks=mention.located.masks,
            scores=mention.located.scores,
        )
        for mention in found.mentions
        if mention.located is not None
    ]
    draw_marks(image, marks, path)
    spatial = sum(len(m.located.boxes_3d) for m in found.mentions if m.located is not None)
    if spatial:
        sys.stderr.write(f"groundplane: {spatial} 3-D boxes are not drawn: that needs a camera\n")


def _text(source: str) -> str:
    """The text of a file or of stdin; a line end at its very end is the file's, not the text's."""
    name = "stdin" if source == "-" else repr(Path(source).name)
    try:
        if source == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with open(source, "rb") as file:
                data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: cannot be read: {reason}") from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{name}: more than {_MAX_BYTES // 2**20} MB")
    try:
        return data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}") from error


def _size_of(job: ParseJob, image: Image | None) -> tuple[int, int]:
    if job.size is None:
        if image is None:
            raise InputError("--size WxH: the picture's width and height are needed, or --on PHOTO")
        return image.size
    size = _size("--size", job.size)
    if image is not None and size != image.size:
        raise InputError(
            f"--size {job.size}: {image.source.name!r} has {image.size[0]} x {image.size[1]} "
            "pixels; leave --size out, or give the picture that the model was given"
        )
    return size


def _size(flag: str, text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise InputError(f"{flag} {text!r}: expected WxH in pixels, such as 640x480")
    return width, height


def _classes(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError("--classes: expected names with commas between them")
    return names

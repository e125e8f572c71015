"""`groundplane explain`: a record as text and as a picture, replayed to see that it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundplane.apps.given import check_picture
from groundplane.core.answer import GroundedText, Step
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.core.record import Asked, Record, replay

__all__ = ["ExplainJob", "explained", "run"]

# Longest piece of text, and of a phrase, that a line shows.
_LONG, _SHORT = 160, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainJob:
    """What the command line asks for."""

    record: Path
    photo: Path | None = None
    out: Path | None = None
    sequence: int | None = None


def run(job: ExplainJob) -> int:
    """Tell what happened; draw it where a picture is asked for.

    Returns:
        0; 1 if the replay did not give what the record says.

    Raises:
        InputError, MediaError, OutputError: One line for stderr.
    """
    if job.out is not None:
        check_picture("--out", job.out)
    record = Record.load(job.record)
    chosen = _chosen(record, job.sequence)
    photo = None if job.photo is None else read_image(job.photo)
    if photo is not None and job.out is None:
        raise InputError("--photo is drawn with --out FILE")
    sys.stdout.write("\n".join(explained(record, chosen)) + "\n")
    same = [_same(record.results.get(i), text) for i, text in enumerate(replay(record))]
    sys.stdout.write(_verdict([same[i] for i in chosen]) + "\n")
    if job.out is not None:
        from groundplane.apps.timeline import draw_timeline

        first = chosen[0]
        if photo is not None:
            _check_photo(photo, record.prompts[first])
        draw_timeline(record, first, job.out, photo=photo)
    return 0 if all(same[i] for i in chosen) else 1


def _chosen(record: Record, sequence: int | None) -> list[int]:
    count = len(record.prompts)
    if sequence is None:
        if not count:
            raise InputError("the record holds no question")
        return list(range(count))
    if not 1 <= sequence <= count:
        raise InputError(f"--question {sequence}: the record holds {count}")
    return [sequence - 1]


def _check_photo(photo: Image, asked: Asked) -> None:
    """The photo is the one that was asked about: marks on another one would mislead."""
    if not any(digest == photo.source.content_hash for _, digest, _ in asked.images):
        names = ", ".join(name for name, _, _ in asked.images) or "none"
        raise InputError(
            f"--photo {photo.source.name!r} is not the picture of the record ({names}): its bytes "
            "differ"
        )


def _verdict(same: Sequence[bool]) -> str:
    if all(same):
        return "replayed: the same text, mentions and answers"
    numbers = ", ".join(str(i + 1) for i, ok in enumerate(same) if not ok)
    return f"replayed: NOT the same (question {numbers})"


def _same(told: GroundedText | None, again: GroundedText) -> bool:
    if told is None:
        return True  # it never finished, so there is nothing to hold it against
    first, second = (
        (t.text, t.finish, t.answers, [(m.span, m.ids) for m in t.mentions]) for t in (told, again)
    )
    return first == second


def explained(record: Record, chosen: Sequence[int]) -> Iterator[str]:
    """The lines that tell what happened in some sequences of a record."""
    yield f"model: {record.model}" + (f"; experts: {record.experts}" if record.experts else "")
    for number in chosen:
        asked, result = record.prompts[number], record.results.get(number)
        yield ""
        yield f"question {number + 1}: {_shown(asked.text, _LONG)}"
        for name, digest, (width, height) in asked.images:
            yield f"  picture {_shown(name, _SHORT)}, {width} x {height}, sha256 {digest[:12]}"
        if result is None:
            yield "  it never finished"
            continue
        yield from map(_line, _merged(result.trace))
        yield from _answer(result)


def _merged(trace: Sequence[Step]) -> Iterator[Step]:
    """Steps, pieces of text that follow each other as one."""
    held: list[Step] = []
    for step in (*trace, None):
        if step is not None and step.name == "text":
            held.append(step)
            continue
        if held:
            count = "" if len(held) == 1 else f" ({len(held)} pieces)"
            detail = "".join(_bare(piece.detail) for piece in held)
            yield Step(name="text", detail=f"{detail!r}{count}", seconds=held[0].seconds)
            held = []
        if step is not None:
            yield step


def _bare(detail: str) -> str:
    """The text that a step of the trace quotes."""
    quote = detail[:1]
    end = detail.rfind(quote) if quote in ("'", '"') else -1
    return detail[1:end] if end > 0 else detail


def _line(step: Step) -> str:
    at = "         " if step.seconds is None else f"{step.seconds:8.3f}s"
    return f"  {at}  {step.name:<9} {_shown(step.detail, _LONG)}"


def _answer(result: GroundedText) -> Iterator[str]:
    yield f"  answer ({result.finish}): {_shown(result.text, _LONG)}"
    boxes = {
        name: box
        for regions in result.regions
        if regions is not None
        for name, box in zip(regions.ids, regions.boxes.tolist(), strict=True)
    }
    for mention in result.mentions:
        if mention.located is not None:
            boxes |= dict(zip(mention.ids, mention.located.boxes.tolist(), strict=False))
        start, stop = mention.span
        where = [f"{name}{_box(boxes.get(name))}" for name in mention.ids]
        yield f"    {_shown(result.text[start:stop], _SHORT)!r} -> {', '.join(where)}"
    for answer in result.answers:
        unit = f" {answer.unit}" if answer.unit else ""
        rests = f", rests on {', '.join(answer.evidence)}" if answer.evidence else ""
        yield f"    computed: {answer.value!r}{unit} ({answer.status}{rests})"
    for problem in result.problems:
        yield f"    problem: {_shown(problem.message, _LONG)}"


def _box(box: Sequence[float] | None) -> str:
    return "" if box is None else " at [" + ", ".join(f"{edge:.1f}" for edge in box) + "]"


def _shown(text: str, most: int) -> str:
    """Text on one line, without the signs that steer a terminal."""
    line = " ".join(text.split())
    plain = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return plain if len(plain) <= most else plain[: most - 1] + "…"

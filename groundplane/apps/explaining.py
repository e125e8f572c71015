"""`groundplane explain`: a record as text and as a picture, replayed to see that it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from groundplane.apps.given import check_apart, check_picture
from groundplane.core.answer import GroundedText, Mention, Step
from groundplane.core.errors import InputError
from groundplane.core.progress import Update, summary
from groundplane.core.queries import describe
from groundplane.core.record import Asked, Entry, Record, replay
from groundplane.core.session import Failed, Ground, Locate, Need, Query, Resolved, Text
from groundplane.core.session_notes import Injected, Note

if TYPE_CHECKING:  # what is told as text needs no pictures
    from groundplane.core.image import Image

__all__ = ["ExplainJob", "explained", "run"]

# Longest line of what happened, answer, and phrase or name that is shown.
_LONG, _ANSWER, _SHORT = 400, 4000, 80
# Mentions of one answer, and places of one mention.
_MENTIONS, _PLACES = 200, 20


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
        check_apart("--out", job.out, (job.record, job.photo))
    elif job.photo is not None:
        raise InputError("--photo is drawn with --out FILE; give both, or neither")
    record = Record.load(job.record)
    chosen = _chosen(record, job.sequence)
    if job.out is not None and len(chosen) > 1:
        raise InputError(
            f"--out draws one question and the record holds {len(chosen)}; say which with "
            "--question NUMBER"
        )
    photo = None if job.photo is None else _photo(job.photo, record.prompts[chosen[0]])
    try:
        sys.stdout.write("\n".join(explained(record, chosen)) + "\n")
        verdict, same = _verdict(record, chosen)
        sys.stdout.write(verdict + "\n")
        if job.out is not None:
            from groundplane.apps.timeline import draw_timeline

            draw_timeline(record, chosen[0], job.out, photo=photo)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        if isinstance(error, InputError):
            raise
        # What a file says has the right names, and may yet have values of another kind.
        raise InputError(f"record {job.record.name!r}: damaged: {error}") from error
    return 0 if same else 1


def _chosen(record: Record, sequence: int | None) -> list[int]:
    count = len(record.prompts)
    if not count:
        raise InputError("the record holds no question: the run ended before the first")
    if sequence is None:
        return list(range(count))
    if not 1 <= sequence <= count:
        raise InputError(f"--question {sequence}: expected 1 to {count}, which the record holds")
    return [sequence - 1]


def _photo(path: Path, asked: Asked) -> Image:
    """The photo that was asked about: marks on another one would mislead."""
    from groundplane.core.media import read_image

    photo = read_image(path)
    if not any(digest == photo.source.content_hash for _, digest, _ in asked.images):
        names = ", ".join(_shown(name, _SHORT) for name, _, _ in asked.images) or "none"
        raise InputError(
            f"--photo {photo.source.name!r} is not the picture of the record ({names}): its bytes "
            "differ"
        )
    return photo


def _verdict(record: Record, chosen: Sequence[int]) -> tuple[str, bool]:
    """Whether the questions, run again on what was answered then, come to the same."""
    texts, results = replay(record), record.results
    ended = [i for i in chosen if i in results]
    wrong = [i for i in ended if not _same(results[i], texts[i])]
    if wrong:
        numbers = ", ".join(str(i + 1) for i in wrong)
        return f"replayed: NOT the same (question {numbers})", False
    if not ended:
        return "replayed: nothing finished that it could be held against", True
    return "replayed: the same text, mentions, regions and answers", True


def _same(told: GroundedText, again: GroundedText) -> bool:
    first, second = (
        (t.text, t.answers, t.problems, [(m.span, m.ids) for m in t.mentions], _boxes(t))
        for t in (told, again)
    )
    return first == second


def _boxes(result: GroundedText) -> dict[str, list[float]]:
    """Every box of a text, by the name that it has there."""
    boxes: dict[str, list[float]] = {}
    for regions in result.regions:
        if regions is not None:
            boxes |= dict(zip(regions.ids, regions.boxes.tolist(), strict=True))
    for mention in result.mentions:
        if mention.located is not None:
            boxes |= dict(zip(mention.ids, mention.located.boxes.tolist(), strict=True))
    return boxes


def explained(record: Record, chosen: Sequence[int]) -> Iterator[str]:
    """The lines that tell what happened in some sequences of a record; nothing in them steers a
    terminal."""
    yield from map(_plain, _lines(record, chosen))


def _lines(record: Record, chosen: Sequence[int]) -> Iterator[str]:
    yield f"model: {record.model}" + (f"; experts: {record.experts}" if record.experts else "")
    results, happened = record.results, _by_question(record)
    for number in chosen:
        asked, result, entries = record.prompts[number], results.get(number), happened[number]
        yield ""
        yield f"question {number + 1}: {_shown(asked.text, _LONG)}"
        if asked.choices:
            yield f"  choices: {_shown(', '.join(asked.choices), _LONG)}"
        if asked.system:
            yield f"  told before: {_shown(asked.system, _LONG)}"
        if asked.scene:
            yield f"  scene {_shown(asked.scene, _SHORT)}"
        for name, digest, (width, height) in asked.images:
            yield f"  picture {_shown(name, _SHORT)}, {width} x {height}, sha256 {digest[:12]}"
        trace = list(_events(entries)) if result is None else result.trace
        # The text in the pieces in which it came: a trace holds their beginnings.
        pieces = (e.update.text for e in entries if isinstance(e.update, Text))
        yield from map(_line, _merged(trace, pieces))
        if result is None:
            yield "  it never finished"
        else:
            yield from _answer(result)


def _by_question(record: Record) -> list[list[Entry]]:
    """What happened in each sequence."""
    happened: list[list[Entry]] = [[] for _ in record.prompts]
    for entry in record.entries:
        happened[entry.update.sequence].append(entry)
    return happened


def _events(entries: Sequence[Entry]) -> Iterator[Step]:
    """What is known of a run that was cut short, which has no trace."""
    for entry in entries:
        update = entry.update
        name = update.name if isinstance(update, Note) else type(update).__name__.lower()
        yield Step(name=name, detail=_told(update), seconds=entry.seconds)


def _told(update: Update) -> str:
    if isinstance(update, Ground):
        return f"{update.request!r}: {', '.join(update.phrases)} in image {update.image}"
    if isinstance(update, Query):
        return f"{update.request!r}: {describe(update.expression)}"
    if isinstance(update, Need):
        return ", ".join(map(repr, update.requests))
    if isinstance(update, Injected):
        return f"{update.request!r}: {update.text!r}"
    if isinstance(update, Failed):
        return f"{update.request!r}, {update.kind}: {update.message}"
    if isinstance(update, Resolved):
        return f"{update.request!r}: {summary(update.value)}"
    if isinstance(update, Locate):
        return f"image {update.image}: {update.frame_map.boxes(update.boxes).round(1).tolist()}"
    return str(getattr(update, "detail", getattr(update, "finish", "")))


def _merged(trace: Sequence[Step], pieces: Iterator[str]) -> Iterator[Step]:
    """Steps, pieces of text that follow each other as one."""
    held: list[str] = []
    since: float | None = None
    for step in (*trace, None):
        if step is not None and step.name == "text":
            since = since if held else step.seconds
            held.append(next(pieces, ""))
            continue
        if text := "".join(held):
            count = "" if len(held) == 1 else f" ({len(held)} pieces)"
            yield Step(name="text", detail=f"{_cut(text)!r}{count}", seconds=since)
        held = []
        if step is not None:
            yield step


def _line(step: Step) -> str:
    at = "         " if step.seconds is None else f"{step.seconds:8.3f}s"
    return f"  {at}  {_shown(step.name, _SHORT):<9} {_shown(step.detail, _LONG)}"


def _answer(result: GroundedText) -> Iterator[str]:
    yield f"  answer ({result.finish}): {_shown(result.text, _ANSWER)}"
    boxes = _boxes(result)
    for mention in result.mentions[:_MENTIONS]:
        yield _mentioned(result.text, mention, boxes)
    if len(result.mentions) > _MENTIONS:
        yield f"    and {len(result.mentions) - _MENTIONS} more mentions"
    for answer in result.answers:
        unit = f" {answer.unit}" if answer.unit else ""
        rests = f", rests on {', '.join(answer.evidence)}" if answer.evidence else ""
        value = f"{answer.value:.6g}" if isinstance(answer.value, float) else repr(answer.value)
        yield f"    computed: {_shown(f'{value}{unit} ({answer.status}{rests})', _LONG)}"
    for problem in result.problems:
        yield f"    problem: {_shown(problem.message, _LONG)}"


def _mentioned(text: str, mention: Mention, boxes: Mapping[str, Sequence[float]]) -> str:
    where = [_shown(name, _SHORT) + _box(boxes.get(name)) for name in mention.ids[:_PLACES]]
    more = len(mention.ids) - _PLACES
    where += [f"and {more} more"] if more > 0 else []
    return f"    {_shown(text[slice(*mention.span)], _SHORT)!r} -> {', '.join(where)}"


def _box(box: Sequence[float] | None) -> str:
    return "" if box is None else f" at {np.round(box, 1).tolist()}"


def _shown(text: str, most: int) -> str:
    """Text on one line, of so many characters at most."""
    return _cut(" ".join(text.split()), most)


def _cut(text: str, most: int = _LONG) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(line: str) -> str:
    """A line without the signs that steer a terminal, or turn the way in which it is written."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)

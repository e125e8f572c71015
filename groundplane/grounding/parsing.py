"""The door to the dialects: a model's text in, text with mentions in pixels of the image out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from groundplane.core.answer import GroundedText, Mention, Step
from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.locations import Located, Problem, ProblemKind, Rung
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect as named
from groundplane.grounding.dialects.grammar import Convention, Dialect
from groundplane.grounding.dialects.ladder import ANY_NUMBERS, BRACKETS, OBJECTS, STEPS
from groundplane.grounding.dialects.ladder import Step as Rise
from groundplane.grounding.scanner import Event, Scanner
from groundplane.grounding.scanning.assembling import Assembler
from groundplane.grounding.scanning.literals import read_value

__all__ = ["parse"]

_Size = tuple[int, int]
# An answer that begins with a JSON object or a list of them, in a fence or not.
_OBJECT = re.compile(r"\s{0,64}(?:```\w{0,8}\s{0,64})?\[?\s{0,64}\{\s{0,64}[\"']")
_THINK, _THOUGHT = "<think>", "</think>"
# Problems of locations that could be read.
_READ = frozenset(
    {
        ProblemKind.ABSENT,
        ProblemKind.INVERTED,
        ProblemKind.NO_PHRASE,
        ProblemKind.OUT_OF_IMAGE,
        ProblemKind.OUT_OF_RANGE,
        ProblemKind.ZERO_AREA,
    }
)


def parse(
    text: str | Mapping[str, Any],
    *,
    dialect: str | Dialect,
    size: _Size,
    seen: _Size | None = None,
    frame: Frame | None = None,
    classes: Sequence[str] | None = None,
    regions: Regions | None = None,
    any_numbers: bool = False,
) -> GroundedText:
    """Read what a model's text says, and where.

    Args:
        text: What the model wrote, special tokens included; or the mapping that a processor made
            of it, or that as JSON.
        dialect: The model's location language, or its name (`groundplane.grounding.dialects`).
        size: Width and height of the original image, pixels.
        seen: Width and height that the model saw, pixels; None: what the model's own processor
            makes of the image by default.
        frame: The frame of the model's coordinates, where more was done than a resize.
        classes: Mentions of a phrase that is none of these are dropped; exact, then without
            regard to capitals and outer blanks.
        regions: What indices pick from, in the order in which the model was given them.
        any_numbers: Where nothing else is found, take any four numbers in a row for a box. This
            turns "3 of the 4 chairs, 2 tables, 1 lamp" into one, so nobody does it unasked.

    Returns:
        The text as it is to be shown, one mention a phrase with its places (boxes `xyxy`, pixels
        of the original image), and what is wrong with any of them. No text raises.

    Raises:
        InputError: If a size is not two whole numbers above 0, the dialect is not known, or the
            frame is of another image.

    Examples:
        >>> found = parse("<ref>a dog</ref><box>(100,100),(500,500)</box> sleeps",
        ...     dialect="qwen-vl", size=(640, 480))
        >>> found.text, found.mentions[0].phrase, found.mentions[0].located.boxes.tolist()
        ('a dog sleeps', 'a dog', [[64.0, 48.0, 320.0, 240.0]])
        >>> parse("", dialect="qwen-vl", size=(640, 480)).mentions
        ()
    """
    language = named(dialect) if isinstance(dialect, str) else dialect
    original = Frame.original(size)
    if frame is not None and (seen is not None or frame.image_size != size):
        raise InputError(
            f"parse: a frame of an image of {frame.image_size}, size {size} and size seen {seen} "
            "do not go together. Try: give a frame of this image alone"
        )
    where = frame or language.default_frame(size, seen)
    if not isinstance(text, str):
        text = json.dumps(_plain(text), ensure_ascii=False)
    added = _unwritten(text, language)
    text = added + text
    scan = (
        _processed(text, language, original, where)
        or _as_json(text, language, where)
        or _scan(text, language, where, regions)
    )
    if not scan.mentions and language.kind == "coordinates" and not _was_read(scan):
        steps = (*STEPS, ANY_NUMBERS) if any_numbers else STEPS
        if language.syntax.objects and _has(scan, ProblemKind.TRUNCATED):
            # The numbers of an object that is cut off are no brackets of prose.
            steps = tuple(step for step in steps if step not in (BRACKETS, ANY_NUMBERS))
        scan = _climb(text, language, where, scan, steps)
    if added:
        scan = _moved(scan, -len(added), len(text) - len(added))
    return _listed(scan, classes)


def _unwritten(text: str, language: Dialect) -> str:
    """The sign that opens what a model thinks, where its prompt had it and so its text has not."""
    if not any(pair.open == _THINK for pair in language.syntax.enclosed):
        return ""
    before, end, _ = text.partition(_THOUGHT)
    return _THINK if end and _THINK not in before else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """What one reading of a text found."""

    text: str
    mentions: tuple[Mention, ...]
    problems: tuple[Problem, ...]
    steps: tuple[Step, ...]


def _scan(
    text: str,
    language: Dialect,
    frame: Frame,
    regions: Regions | None = None,
    rung: Rung | None = None,
) -> _Scan:
    scanner = Scanner(language, frame, regions, rung=rung)
    events = scanner.feed(text) + scanner.close()
    scan = _gathered(events, language.name)
    if scanner.labelled:
        scan = _only_labelled(scan, text)
    if scanner.cut:
        scan = replace(scan, mentions=tuple(map(_salvaged, scan.mentions)))
    return scan


def _gathered(events: Sequence[Event], how: str) -> _Scan:
    return _Scan(
        text="".join(event for event in events if isinstance(event, str)),
        mentions=tuple(event for event in events if isinstance(event, Mention)),
        problems=tuple(event for event in events if isinstance(event, Problem)),
        steps=(Step(name="parse", detail=f"as {how}"),),
    )


def _only_labelled(scan: _Scan, text: str) -> _Scan:
    """Without the JSON objects that lack the label which others of the text have."""
    kept, problems = [], list(scan.problems)
    for mention in scan.mentions:
        source = (mention.located or Located()).source
        if mention.phrase or source is None or not text.startswith("{", source[0]):
            kept.append(mention)
            continue
        what = "an object without a label, where others have one; dropped"
        problems.append(Problem(kind=ProblemKind.NO_PHRASE, message=what, span=source))
    return replace(scan, mentions=tuple(kept), problems=tuple(problems))


def _salvaged(mention: Mention) -> Mention:
    """What was read from JSON that is cut off was saved from it."""
    located = mention.located
    if located is None or located.rung != "json":
        return mention
    return replace(mention, located=replace(located, rung="salvage"))


def _processed(text: str, language: Dialect, original: Frame, frame: Frame) -> _Scan | None:
    """What a processor made of the text, where it is that."""
    if language.processed is None or text.lstrip()[:1] != "{":
        return None
    value = read_value(text.strip())
    if value is None or not isinstance(value[0], dict):
        return None
    found = language.processed(value[0])
    if found is None:
        return None
    if found.dialect is not None:
        return _scan(found.text, found.dialect, frame)
    # The processor has brought its numbers to pixels of the image already.
    pixels = replace(language, convention=Convention(phrase="label"))
    assembler = Assembler(pixels, original, rung="json")
    for reading in found.readings:
        assembler.object(reading, (0, len(text)), text, rung=None)
    assembler.close(len(text))
    return _gathered(assembler.take(), f"what a processor of {language.name} made")


def _as_json(text: str, language: Dialect, frame: Frame) -> _Scan | None:
    """JSON from a model of brackets: its brackets would be read as the dialect's own."""
    own = language.kind != "coordinates" or language.convention.phrase != "before"
    if own or language.syntax.objects or not _OBJECT.match(text):
        return None
    nothing = _Scan(text=text, mentions=(), problems=(), steps=())
    scan = _climb(text, language, frame, nothing, (OBJECTS,))
    return scan if scan.mentions else None


def _climb(
    text: str, language: Dialect, frame: Frame, scan: _Scan, ladder: Sequence[Rise]
) -> _Scan:
    """Try what else the text could be, where nothing was found in its own dialect."""
    whole = (0, len(text))
    for rise in ladder:
        attempt = rise(text, language)
        if attempt is None:
            continue
        again = _scan(attempt.text, attempt.dialect, frame, rung=attempt.rung)
        if any(_has_place(mention) for mention in again.mentions):
            again = _moved(again, -attempt.added, len(text)) if attempt.added else again
            problems = again.problems
            if attempt.kind is not None:
                said = Problem(kind=attempt.kind, message=attempt.message, span=whole)
                problems = (said, *problems)
            tried = Step(name="parse", detail=f"nothing found; {attempt.message}")
            return replace(again, problems=problems, steps=(*scan.steps, tried, *again.steps))
    if not scan.problems:
        what = f"no location in the language of {language.name}"
        if language.convention.tokens_are_special:
            what += "; its tags are special tokens: decode with skip_special_tokens=False"
        nothing = Problem(kind=ProblemKind.NOTHING, message=what, span=whole)
        return replace(scan, problems=(nothing,))
    return scan


def _was_read(scan: _Scan) -> bool:
    """Whether locations were read, though none is left."""
    return _has(scan, *_READ)


def _has(scan: _Scan, *kinds: ProblemKind) -> bool:
    return any(problem.kind in kinds for problem in scan.problems)


def _moved(scan: _Scan, by: int, length: int) -> _Scan:
    """A scan of a text that had characters added, with places in the raw text as they were."""

    def moved(span: tuple[int, int]) -> tuple[int, int]:
        start, end = (min(max(place + by, 0), length) for place in span)
        return start, end

    blank = len(scan.text) - len(scan.text.removeprefix(" "))
    text = scan.text[blank:].removesuffix(" ")
    mentions = []
    for mention in scan.mentions:
        located = mention.located or Located()
        phrase = located.phrase_source and moved(located.phrase_source)
        located = replace(located, source=moved(located.source), phrase_source=phrase)
        span = (max(mention.span[0] - blank, 0), max(mention.span[1] - blank, 0))
        mentions.append(replace(mention, span=span, located=located))
    problems = tuple(replace(problem, span=moved(problem.span)) for problem in scan.problems)
    return replace(scan, text=text, mentions=tuple(mentions), problems=problems)


def _has_place(mention: Mention) -> bool:
    located = mention.located or Located()
    return bool(len(located.boxes) or len(located.points) or located.polygons or located.boxes_3d)


def _listed(scan: _Scan, classes: Sequence[str] | None) -> GroundedText:
    """The result, without mentions of what was not asked for."""
    mentions, problems = scan.mentions, list(scan.problems)
    if classes is not None:
        exact = set(classes)
        loose = {name.strip().casefold() for name in classes}
        kept = []
        for mention in mentions:
            if mention.phrase in exact or mention.phrase.strip().casefold() in loose:
                kept.append(mention)
                continue
            source = (mention.located or Located()).source
            what = f"{mention.phrase!r} is none of the classes asked for; dropped"
            problems.append(Problem(kind=ProblemKind.UNLISTED_CLASS, message=what, span=source))
        mentions = tuple(kept)
    return GroundedText(
        text=scan.text, mentions=mentions, problems=tuple(problems), trace=scan.steps
    )


def _plain(value: Any) -> Any:
    """A processor's mapping as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)

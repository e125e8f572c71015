"""What a dialect's signs ask for: a phrase in tags is looked for, and its place told in them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from groundplane.core.detection import DetectResult
from groundplane.core.regions import Regions
from groundplane.core.session import Failed, Ground
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.triggers import Asked, Told, Trigger

__all__ = ["NOT_FOUND", "dialect_tags", "dialect_triggers", "place_signs", "places_text"]

# What a model reads where its dialect has no way to say that a thing is not there.
NOT_FOUND = " (not found)"
# What dialects with a place in tags write in it instead of numbers.
_NONE = "none"
# Places of one phrase that are told at most, the best first: more would drown the sentence.
_MOST_PLACES = 16


def dialect_triggers(dialect: Dialect) -> tuple[Trigger, ...]:
    """The triggers of a dialect's phrases: one a pair of tags around a phrase.

    A dialect has none where its phrases stand in no tags, where nothing can be written for the
    model to read, or where the model picks from a list that it was given.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> [(t.open, t.close) for t in dialect_triggers(dialect("qwen-vl"))]
        [('<ref>', '</ref>')]
        >>> dialect_triggers(dialect("janus"))
        ()
    """
    wrapped = dialect.convention.phrase == "wrapped" and dialect.kind == "coordinates"
    if not wrapped or dialect.write is None:
        return ()

    def tell(told: Told) -> str:
        return places_text(dialect, told)

    return tuple(
        Trigger(open=start, close=end, ask=_ask, tell=tell) for start, end in dialect.syntax.phrases
    )


def _ask(asked: Asked) -> Ground | None:
    phrase = " ".join(asked.payload.split())
    if not phrase or not asked.prompt.images:
        return None
    return Ground(
        sequence=asked.sequence, request=asked.request, phrases=(phrase,), span=asked.span
    )


def places_text(dialect: Dialect, told: Told) -> str:
    """The places of a phrase as the model reads them right behind it.

    Where nothing was found, or the request failed, it is the dialect's own word for that, such as
    `<box>none</box>`, or plain words where it has none. Never the expert's own words.

    Args:
        dialect: The model's.
        told: What became of the request for one phrase.
    """
    regions = _found(told)
    write, image = dialect.write, getattr(told.event, "image", 0)
    if regions is None or write is None or image >= len(told.frames):
        return _nothing(dialect)
    best = sorted(range(len(regions)), key=lambda row: -float(regions.scores[row]))[:_MOST_PLACES]
    boxes = regions.boxes.tolist()
    frame = told.frames[image]
    return write(None, [dialect.numbers(tuple(boxes[row]), frame) for row in sorted(best)])


def place_signs(dialect: Dialect) -> tuple[tuple[str, str], ...]:
    """The signs before and after a place of the model's own, behind a phrase."""
    kinds = dialect.syntax.enclosed
    return tuple((kind.open, kind.close) for kind in kinds if kind.role == "place")


def dialect_tags(dialect: Dialect, vocabulary: Collection[str] = ()) -> frozenset[str]:
    """Every tag of a dialect that can be one token.

    Args:
        dialect: Which.
        vocabulary: Added tokens of a tokenizer; those of them that are a numbered tag count.
    """
    syntax = dialect.syntax
    tags = {tag for pair in syntax.phrases for tag in pair}
    tags |= {sign for kind in syntax.enclosed for sign in (kind.open, kind.close)}
    tags |= {*syntax.states, *syntax.within, *syntax.joins, *syntax.ignored}
    for kind in syntax.numbered:
        for word in vocabulary:
            inside = word.removeprefix(kind.prefix).removesuffix(kind.suffix)
            if word.startswith(kind.prefix) and inside.isdigit() and inside.isascii():
                tags.add(word)
    return frozenset(tags)


def _found(told: Told) -> Regions | None:
    """The regions of the phrase, or None where there are none."""
    if isinstance(told.outcome, Failed) or not isinstance(told.outcome.value, DetectResult):
        return None
    regions: Any = told.outcome.value.regions
    return regions if len(regions) else None


def _nothing(dialect: Dialect) -> str:
    for kind in dialect.syntax.enclosed:
        if kind.role == "place" and not kind.chars and dialect.read is not None:
            reading = dialect.read(_NONE)
            if reading is not None and reading.absent:
                return f"{kind.open}{_NONE}{kind.close}"
    return NOT_FOUND

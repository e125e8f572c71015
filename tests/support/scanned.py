"""What a scanner found, as plain values that can be compared, and texts to feed it with."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from groundplane.core.answer import Mention
from groundplane.core.frames import Frame
from groundplane.core.locations import Problem
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Event, Scanner

__all__ = ["Found", "cut", "found", "mutated", "noise", "proposals", "scan"]

_CHARS = "<>[](){}`\"'\\,;:. \n\t012349abc|/_-=\u72d7\U0001f600\u0301\uff0c\ufffd\u3000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a text says."""

    text: str
    mentions: tuple[Any, ...]
    problems: tuple[Any, ...]


def found(events: Iterable[Event]) -> Found:
    """Events as plain values, text joined."""
    events = list(events)
    return Found(
        text="".join(event for event in events if isinstance(event, str)),
        mentions=tuple(_plain(event) for event in events if isinstance(event, Mention)),
        problems=tuple(
            (event.kind, event.message, event.span)
            for event in events
            if isinstance(event, Problem)
        ),
    )


def _plain(mention: Mention) -> tuple[Any, ...]:
    located = mention.located
    assert located is not None
    return (
        mention.phrase,
        mention.span,
        mention.ids,
        located.boxes.tolist(),
        located.points.tolist(),
        [outline.tolist() for outline in located.polygons],
        located.masks,
        located.boxes_3d,
        located.scores,
        located.region_ids,
        located.states,
        located.rung,
        located.source,
        located.phrase_source,
    )


def scan(
    name: str,
    pieces: Sequence[str],
    *,
    size: tuple[int, int] = (640, 480),
    frame: Frame | None = None,
    regions: Regions | None = None,
) -> Found:
    """What a scanner finds in a text fed in these pieces."""
    language = dialect(name)
    scanner = Scanner(language, frame or language.default_frame(size), regions)
    events: list[Event] = []
    for piece in pieces:
        events += scanner.feed(piece)
    return found(events + scanner.close())


def cut(text: str, at: Iterable[int]) -> list[str]:
    """The text in pieces, cut at these offsets."""
    places = sorted(min(place, len(text)) for place in at)
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def proposals(count: int = 8, size: tuple[int, int] = (640, 480)) -> Regions:
    """A list of regions to pick from."""
    corners = torch.arange(count, dtype=torch.float32)
    boxes = torch.stack([corners, corners, corners + 50, corners + 40], dim=1)
    return Regions(
        ids=tuple(f"r{k}" for k in range(count)),
        boxes=boxes,
        scores=torch.ones(count),
        phrases=(),
        phrase_ids=torch.full((count,), -1),
        image_size=size,
    )


def noise(chance: random.Random, *, most: int = 60) -> str:
    """Characters that mean something to one dialect or another, in any order."""
    return "".join(chance.choice(_CHARS) for _ in range(chance.randint(0, most)))


def mutated(chance: random.Random, text: str, others: Sequence[str]) -> str:
    """A text as a model might garble it: cut, repeated, spliced with another, signs changed."""
    for _ in range(chance.randint(0, 5)):
        a, b = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        kind = chance.randrange(7)
        if kind == 0:
            text = text[:a] + text[b:]
        elif kind == 1:
            text = text[:b] + text[a:b] + text[b:]
        elif kind == 2:
            text = text[:b]
        elif kind == 3:
            text = text[:a] + chance.choice(_CHARS) + text[a + 1 :]
        elif kind == 4:
            text = text[:a] + noise(chance, most=8) + text[a:]
        elif kind == 5:
            other = chance.choice(others)
            c = chance.randint(0, len(other))
            text = text[:a] + other[c : c + 40] + text[a:]
        else:
            text = text[:a] + text[a:b] * chance.randint(0, 3) + text[b:]
    return text[:2000]

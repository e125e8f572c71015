"""What one sequence of a run has said and asked, and the text that comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from groundplane.core.answer import Answer, GroundedText, Mention, Step
from groundplane.core.dispatch import Request
from groundplane.core.locations import Located, Problem
from groundplane.core.session import (
    Event,
    Failed,
    Ground,
    Locate,
    Prompt,
    Query,
    Resolved,
)
from groundplane.core.session_notes import Injected, Note

if TYPE_CHECKING:  # they load torch, which whoever answers a `Ground` has loaded already
    from groundplane.core.detection import DetectResult
    from groundplane.core.regions import Regions

__all__ = ["Finished", "OwnPlaces", "Progress", "Update", "cut", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """A sequence has ended and all its requests are settled."""

    sequence: int
    result: GroundedText


Update = Event | Resolved | Failed | Finished


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnPlaces:
    """Boxes that the model gave itself, pixels of the image, with the ids that they got."""

    ids: tuple[str, ...]
    boxes: Float[np.ndarray, "n 4"]


@dataclass(slots=True, eq=False, kw_only=True)
class Progress:
    """What one sequence has said and asked so far."""

    index: int
    prompt: Prompt
    begun: float
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    requests: dict[str, Request] = field(default_factory=dict)
    results: list[DetectResult] = field(default_factory=list)
    looks: dict[tuple[tuple[str, ...], int], Request] = field(default_factory=dict)
    followers: dict[Request, list[Request]] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    marks: list[tuple[tuple[int, int], tuple[str, ...] | OwnPlaces | Request]] = field(
        default_factory=list
    )
    problems: list[Problem] = field(default_factory=list)
    tokens: int = 0
    calls: int = 0
    reach: int = 0
    located: int = 0
    events: int = 0
    trace: list[Step] = field(default_factory=list)
    finish: str | None = None

    def alike(self, request: Request) -> Request | None:
        """An earlier request for the same phrases in the same image, unless that failed."""
        event = request.event
        if not isinstance(event, Ground) or event.embedding is not None:
            return None
        key = (event.phrases, event.image)
        earlier = self.looks.get(key)
        if earlier is not None and not isinstance(earlier.outcome, Failed):
            return earlier
        self.looks[key] = request
        return None

    def took(self, request: Request, result: DetectResult) -> DetectResult:
        """A result with ids that no other result of the sequence has."""
        if any(result is known for known in self.results):
            return result  # of an earlier request for the same
        taken = {name for known in self.results for name in known.regions.ids}
        if not taken.isdisjoint(result.regions.ids):
            result = _renamed(result, f"{request.event.request}/")
        self.results.append(result)
        return result

    def note(self, name: str, detail: str) -> None:
        self.trace.append(Step(name=name, detail=detail, seconds=time.monotonic() - self.begun))

    def unsettled(self) -> list[Request]:
        return [request for request in self.requests.values() if request.outcome is None]

    def say(self, text: str, refers: tuple[str, ...]) -> None:
        start, self.length = self.length, self.length + len(text)
        self.pieces.append(text)
        if refers:
            self.marks.append(((start, self.length), refers))
        self.note("text", cut(repr(text) + (f" of {', '.join(refers)}" if refers else "")))

    def locate(self, event: Locate) -> None:
        """Take in boxes of the model's own, or of regions that it picked."""
        boxes, ids = event.frame_map.boxes(event.boxes), event.ids
        if not ids:
            first = self.located + 1
            self.located += len(event.boxes)
            ids = tuple(f"located-{number}" for number in range(first, self.located + 1))
        self.marks.append((event.span, event.ids or OwnPlaces(ids=ids, boxes=boxes)))
        pairs = zip(ids, np.round(boxes, 1).tolist(), strict=True)
        shown = "; ".join(f"{name} at {box}" for name, box in pairs)
        self.note("locate", cut(f"image {event.image}: {shown or 'no box'}"))

    def inject(self, event: Injected) -> None:
        """Note what the model was given."""
        parts = [f"{event.request!r}: {event.text!r}"]
        if event.tokens:
            parts.append(f"{len(event.tokens)} tokens")
        if event.cut:
            parts.append(f"in place of {event.cut} of its own")
        if event.before is not None and event.after is not None:
            parts.append(f"cache {event.before} to {event.after}")
        self.note("injected", cut(", ".join(parts), limit=400))

    def remark(self, event: Note) -> None:
        """Note what the model has to say of its text."""
        if event.problem is not None:
            self.problems.append(event.problem)
        self.note(event.name, cut(" ".join(event.detail.split()), limit=400))

    def result(self) -> GroundedText:
        """The finished text.

        Mentions follow the text; mentions that a budget cut off are shortened or left out.
        """
        text = "".join(self.pieces)
        mentions = []
        for (start, stop), source in self.marks:
            ids = _ids_of(source)
            cut_off = stop > start >= len(text)
            if ids and not cut_off:
                span = (min(start, len(text)), min(stop, len(text)))
                own = source if isinstance(source, OwnPlaces) else None
                mentions.append(
                    Mention(
                        span=span,
                        ids=ids,
                        phrase="" if own is None else text[slice(*span)].strip(),
                        located=None if own is None else Located(boxes=own.boxes),
                    )
                )
        mentions.sort(key=lambda mention: mention.span)
        queries = [r.outcome for r in self.requests.values() if isinstance(r.event, Query)]
        return GroundedText(
            text=text,
            mentions=tuple(mentions),
            answers=tuple(cast(Answer, q.value) for q in queries if isinstance(q, Resolved)),
            trace=tuple(self.trace),
            finish=self.finish or "complete",
            problems=tuple(self.problems),
            regions=self._regions(),
        )

    def _regions(self) -> tuple[Regions | None, ...]:
        """What the experts found, one table an image; None where nobody looked."""
        tables: list[list[Regions]] = [[] for _ in self.prompt.images]
        for request in self.requests.values():
            outcome = request.outcome
            if isinstance(request.event, Ground) and isinstance(outcome, Resolved):
                regions = cast("DetectResult", outcome.value).regions
                if all(known is not regions for known in tables[request.event.image]):
                    tables[request.event.image].append(regions)
        return tuple(_joined(parts) for parts in tables)


def _ids_of(source: tuple[str, ...] | OwnPlaces | Request) -> tuple[str, ...]:
    if isinstance(source, tuple):
        return source
    if isinstance(source, OwnPlaces):
        return source.ids
    if not isinstance(source.outcome, Resolved):
        return ()
    return cast("DetectResult", source.outcome.value).regions.ids


def _renamed(result: DetectResult, prefix: str) -> DetectResult:
    def named(regions: Regions) -> Regions:
        return replace(regions, ids=tuple(f"{prefix}{name}" for name in regions.ids))

    candidates = None if result.candidates is None else named(result.candidates)
    return replace(result, regions=named(result.regions), candidates=candidates)


def _joined(parts: Sequence[Regions]) -> Regions | None:
    """Tables of one image as one table."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    import torch

    phrases = tuple(dict.fromkeys(phrase for part in parts for phrase in part.phrases))
    rows = []
    for part in parts:
        moved = torch.tensor([*map(phrases.index, part.phrases), -1])
        rows.append(moved.to(part.phrase_ids.device)[part.phrase_ids])
    device = parts[0].boxes.device
    masks = [part.masks for part in parts]
    sources = [part.sources or ("",) * len(part) for part in parts]
    return replace(
        parts[0],
        ids=tuple(name for part in parts for name in part.ids),
        boxes=torch.cat([part.boxes.to(device) for part in parts]),
        scores=torch.cat([part.scores.to(device) for part in parts]),
        phrases=phrases,
        phrase_ids=torch.cat([row.to(device) for row in rows]),
        masks=None if None in masks else tuple(m for some in masks for m in some or ()),
        track_ids=None,
        sources=tuple(name for names in sources for name in names),
    )


def summary(value: object) -> str:
    if isinstance(value, Answer):
        return f"{value.value!r}{f' {value.unit}' if value.unit else ''}, {value.status}"
    result = cast("DetectResult", value)
    boxes = np.round(result.regions.boxes.tolist(), 1).tolist()
    pairs = zip(result.regions.ids, boxes, strict=True)
    shown = "; ".join(f"{name} at {box}" for name, box in list(pairs)[:3])
    return f"{len(boxes)} regions" + (f": {shown}" if shown else "")


def cut(text: str, *, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

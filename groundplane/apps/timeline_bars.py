"""What the picture of a run shows: its requests as bars, and what was found as marks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from groundplane.core.answer import Answer
from groundplane.core.image import Image
from groundplane.core.queries import describe
from groundplane.core.record import Entry, Record
from groundplane.core.session import Failed, Ground, Locate, Need, Query, Resolved, Text
from groundplane.core.session_notes import Injected
from groundplane.spatial.marking import Mark, marks_of

__all__ = ["Bar", "Chart", "chart_of", "marks_in"]


@dataclass(slots=True, eq=False, kw_only=True)
class Bar:
    """One request; seconds since the run began.

    Attributes:
        request: Its name.
        what: What was asked, in words.
        begun: When the model asked.
        sent: When an expert or the solver took it up; None if nobody did.
        ended: When it was settled; None if it never was.
        failed: Whether it got no result.
        given: When the model was told the result, in mid-sentence; None if it was not.
        outcome: What came back, in words.
    """

    request: str
    what: str
    begun: float
    sent: float | None = None
    ended: float | None = None
    failed: bool = False
    given: float | None = None
    outcome: str = ""


@dataclass(slots=True, eq=False, kw_only=True)
class Chart:
    """When everything happened in one sequence, seconds since the run began.

    Attributes:
        bars: The requests, in the order in which they were made.
        spoken: The pieces of text.
        placed: Boxes of the model's own.
        waits: From when the model needed results until it had them.
        end: The last moment, above 0.
    """

    bars: list[Bar] = field(default_factory=list)
    spoken: list[float] = field(default_factory=list)
    placed: list[float] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    end: float = 1e-6


def chart_of(record: Record, sequence: int) -> Chart:
    """When everything happened in one sequence of a record."""
    chart, bars = Chart(), dict[str, Bar]()
    needs, since = set[str](), 0.0
    for entry in _entries(record, sequence):
        update, at = entry.update, entry.seconds
        chart.end = max(chart.end, at)
        if isinstance(update, Text) and update.text:
            chart.spoken.append(at)
        elif isinstance(update, Locate):
            chart.placed.append(at)
        elif isinstance(update, Ground | Query):
            bars[update.request] = Bar(request=update.request, what=_asked(update), begun=at)
        elif isinstance(update, Injected) and update.request in bars:
            bars[update.request].given = at
        elif isinstance(update, Need):
            needs, since = {n for n in update.requests if n in bars and bars[n].ended is None}, at
        elif isinstance(update, Resolved | Failed) and update.request in bars:
            _settle(bars[update.request], update, at)
            if update.request in needs and not (needs := needs - {update.request}):
                chart.waits.append((since, at))
    if needs and since < chart.end:
        chart.waits.append((since, chart.end))
    for bar in bars.values():
        bar.sent = _sent(record, sequence, bar.request)
        bar.outcome = bar.outcome or "no outcome"
    chart.bars = list(bars.values())
    return chart


def _entries(record: Record, sequence: int) -> Iterator[Entry]:
    return (entry for entry in record.entries if entry.update.sequence == sequence)


def _asked(event: Ground | Query) -> str:
    if isinstance(event, Query):
        return describe(event.expression)
    return ", ".join(event.phrases) or "a hidden state"


def _settle(bar: Bar, outcome: Resolved | Failed, at: float) -> None:
    bar.ended, took = at, _duration(at - bar.begun)
    if isinstance(outcome, Failed):
        run = outcome.kind not in ("budget", "unsupported")
        bar.failed, bar.outcome = True, f"{outcome.kind}, {took}" if run else outcome.kind
    elif isinstance(outcome.value, Answer):
        unit = f" {outcome.value.unit}" if outcome.value.unit else ""
        shown = outcome.value.status if outcome.value.value is None else outcome.value.value
        bar.outcome = f"{shown}{unit}, {took}"
    else:
        count = len(getattr(outcome.value, "regions", ()))
        bar.outcome = f"{count} region{'' if count == 1 else 's'}, {took}"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _sent(record: Record, sequence: int, request: str) -> float | None:
    """When the trace says that a request went to somebody."""
    result = record.results.get(sequence)
    for step in () if result is None else result.trace:
        if step.name == "dispatch" and step.detail.startswith(f"{request!r} "):
            return step.seconds
    return None


def marks_in(record: Record, sequence: int, photo: Image) -> list[Mark]:
    """What was found in one of the pictures of a sequence, and where the model itself said.

    Args:
        record: The record.
        sequence: Index of the prompt.
        photo: One of the prompt's pictures, told by its content hash.
    """
    asked, result = record.prompts[sequence], record.results.get(sequence)
    hashes = [digest for _, digest, _ in asked.images]
    wanted = {i for i, digest in enumerate(hashes) if digest == photo.source.content_hash}
    looks: set[str] = set()
    marks: dict[object, list[Mark]] = {}
    own: list[Mark] = []
    for entry in _entries(record, sequence):
        update = entry.update
        if isinstance(update, Ground) and update.image in wanted:
            looks.add(update.request)
        elif isinstance(update, Resolved) and update.request in looks:
            regions = getattr(update.value, "regions", None)
            if regions is not None:
                marks[regions.ids] = marks_of(regions)  # once, however often it was asked for
        elif isinstance(update, Locate) and update.image in wanted and not update.ids:
            said = "" if result is None else result.text[slice(*update.span)].strip()
            boxes = update.frame_map.boxes(update.boxes)
            own.append(Mark(label=said or "the model's own", boxes=boxes))
    return [mark for some in marks.values() for mark in some] + own

"""All that came of rooms, summed up for each condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from groundplane.evaluation.metrics import wilson
from groundplane.evaluation.rooms_maps import MapScore
from groundplane.evaluation.rooms_records import CLEAN, VIDEOS, Answered, Condition, RoomRecord
from groundplane.evaluation.vsibench import Result
from groundplane.spatial.maps.grid_score import BIN_EDGES

__all__ = ["Bars", "RoomsResult", "Summary", "summarise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """How often the truth lies within error bars of 90 %.

    Attributes:
        inside: How often it does.
        of: How many error bars there are.
    """

    inside: int
    of: int

    @property
    def share(self) -> float | None:
        """None where there are no error bars."""
        return self.inside / self.of if self.of else None

    def record(self) -> dict[str, Any]:
        """The share with the interval that it may be off by, 95 %."""
        low, high = wilson(self.inside, self.of)
        return {"inside": self.inside, "of": self.of, "share": self.share, "low": low, "high": high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One condition over all rooms.

    Attributes:
        condition: Under what the rooms were looked at.
        rooms: How many.
        answers: Scored, with the benchmark's table.
        counted: Share of rooms in which each category has its true count.
        precision: Share of the maps' objects that are things of their rooms.
        recall: Share of the rooms' things that are on their maps.
        position: Median distance of middles, metres.
        size: Median error of the longest side, share of it.
        area: Mean error of the room's area, share of it.
        bins: Share of pairs of categories within a grid unit, by VSI-Bench's bins of distance.
        numbers: Error bars of numeric answers.
        boxes: Error bars of the middles of boxes, coordinate by coordinate.
        seconds: Mean time for a room.
    """

    condition: Condition
    rooms: int
    answers: Result
    counted: float | None
    precision: float | None
    recall: float | None
    position: float | None
    size: float | None
    area: float | None
    bins: tuple[float | None, ...]
    numbers: Bars
    boxes: Bars
    seconds: float

    def record(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {
            "condition": str(self.condition),
            "rooms": self.rooms,
            "questions": len(self.answers.items),
            "mean": self.answers.mean() if self.answers.items else None,
            "tasks": {
                task: {"n": row["n"], "score": row["score"]}
                for task, row in self.answers.tasks().items()
            },
            "counted": self.counted,
            "precision": self.precision,
            "recall": self.recall,
            "position": self.position,
            "size": self.size,
            "area": self.area,
            "bins": [
                {"low": low, "high": high, "right": right}
                for low, high, right in zip(BIN_EDGES, BIN_EDGES[1:], self.bins, strict=False)
            ],
            "bars": {"numbers": self.numbers.record(), "boxes": self.boxes.record()},
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomsResult:
    """All records, and what they sum up to.

    Attributes:
        records: One a room and condition.
    """

    records: tuple[RoomRecord, ...]

    def conditions(self) -> tuple[Condition, ...]:
        """Those that there are records of, in their order."""
        return tuple(dict.fromkeys(record.condition for record in self.records))

    def summaries(self) -> dict[Condition, Summary]:
        """One a condition."""
        return {
            condition: summarise([r for r in self.records if r.condition == condition])
            for condition in self.conditions()
        }

    def looked(self) -> Condition | None:
        """The condition whose misses are told: maps without noise, or the first there is."""
        own = self.conditions()
        return next((c for c in (CLEAN, VIDEOS) if c in own), own[0] if own else None)

    def worst(self, condition: Condition, most: int) -> tuple[RoomRecord, ...]:
        """The rooms with the least scores under a condition, those without a miss left out."""
        own = [r for r in self.records if r.condition == condition and (r.score or 0.0) < 1]
        return tuple(sorted(own, key=lambda record: (record.score or 0.0, record.seed))[:most])

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "conditions": [summary.record() for summary in self.summaries().values()],
            "rooms": [record.record() for record in self.records],
        }


def summarise(records: Sequence[RoomRecord]) -> Summary:
    """Sum up the records of one condition; at least one.

    Examples:
        >>> record = RoomRecord(
        ...     room="r", seed=0, condition=Condition("none"), answers=(),
        ...     map=MapScore(things=2, found=4, matched=2, counts={"cup": (4, 2)}),
        ... )
        >>> made = summarise([record])
        >>> made.precision, made.recall, made.counted, made.position
        (0.5, 1.0, 0.0, None)
    """
    maps = [record.map for record in records if record.map is not None]
    answers = [answer for record in records for answer in record.answers]
    matched = sum(each.matched for each in maps)
    return Summary(
        condition=records[0].condition,
        rooms=len(records),
        answers=Result(items=tuple(answer.item for answer in answers)),
        counted=fmean(each.counted for each in maps) if maps else None,
        precision=_share(matched, sum(each.found for each in maps)),
        recall=_share(matched, sum(each.things for each in maps)),
        position=_median([off for each in maps for off in each.position]),
        size=_median([off for each in maps for off in each.size]),
        area=_area(maps),
        bins=_bins(maps),
        numbers=_numbers(answers),
        boxes=Bars(
            inside=sum(each.inside[0] for each in maps), of=sum(each.inside[1] for each in maps)
        ),
        seconds=fmean(record.seconds for record in records),
    )


def _share(part: int, of: int) -> float | None:
    return part / of if of else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _area(maps: Sequence[MapScore]) -> float | None:
    """Mean error of areas; a room without one is off by all of it."""
    errors = [
        1.0 if own is None else abs(own - true) / true
        for own, true in (each.area for each in maps)
        if true is not None
    ]
    return fmean(errors) if errors else None


def _bins(maps: Sequence[MapScore]) -> tuple[float | None, ...]:
    """Share of all true pairs that are right, bin by bin: a category that is missing is wrong."""
    pairs, right = Counter[int](), Counter[int]()
    for each in maps:
        for place, (all_pairs, _, correct) in enumerate(each.bins):
            pairs[place] += all_pairs
            right[place] += correct
    return tuple(_share(right[place], pairs[place]) for place in range(len(BIN_EDGES) - 1))


def _numbers(answers: Sequence[Answered]) -> Bars:
    """Error bars of numbers; counts are left out, which have none of a width."""
    bars = [
        (answer.interval, answer.value)
        for answer in answers
        if answer.interval is not None and answer.value is not None
    ]
    return Bars(inside=sum(low <= value <= high for (low, high), value in bars), of=len(bars))

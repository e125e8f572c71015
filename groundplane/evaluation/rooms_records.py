"""What came of the questions on rooms: answers and maps, for each room and each noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from groundplane.core.answer import Status
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.evaluation.rooms_maps import MapScore
from groundplane.evaluation.vsibench import Item

__all__ = [
    "CLEAN",
    "NOISES",
    "TRUE_BOXES",
    "VIDEOS",
    "Answered",
    "Condition",
    "RoomRecord",
    "read_noise",
]

# Each noise: what its level is, and the greatest that means anything.
NOISES: Final[Mapping[str, tuple[str, float]]] = {
    "misses": ("share of sights of a thing that the detector misses", 1.0),
    "lost": ("share of things that the detector never finds", 1.0),
    "false-alarms": ("number of things a picture that are not there", 20.0),
    "bleed": ("number of pixels by which masks are too wide or too narrow", 50.0),
    "confusion": ("share of things that are always called by another word", 1.0),
    "flicker": ("share of sights of a thing that are called by another word", 1.0),
    "depth": ("standard deviation of each depth, a share of it", 1.0),
    "scale": ("standard deviation of the scale of all depths of a walk", 1.0),
    "holes": ("share of pixels without depth, and of edges that have a wrong one", 1.0),
    "pose": ("metres by which each camera is off; and half a degree a centimetre", 1.0),
    "drift": ("metres by which cameras have wandered off after a second", 1.0),
}


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """Under what the questions are answered.

    Attributes:
        noise: One of `NOISES`; `none` for a map from true depth, poses and things; `boxes` for the
            true boxes themselves, without any looking; `videos` for maps of real videos.
        level: How much of it; see `NOISES`.

    Raises:
        InputError: If the noise is unknown, or the level is none of its own.
    """

    noise: str
    level: float = 0.0

    def __post_init__(self) -> None:
        if self.noise in ("none", "boxes", "videos"):
            if self.level:
                raise InputError(f"rooms: {self.noise!r} has no level, got {self.level}")
            return
        if self.noise not in NOISES:
            raise InputError(
                f"rooms: unknown noise {self.noise!r}; known: {listing(NOISES)}."
                f"{did_you_mean(self.noise, NOISES)}"
            )
        what, most = NOISES[self.noise]
        if not 0 <= self.level <= most:  # NaN is not either
            raise InputError(
                f"rooms: noise {self.noise!r}: expected the {what}, 0 to {most:g}, got {self.level}"
            )

    def __str__(self) -> str:
        return f"{self.noise}={self.level:g}" if self.level else self.noise

    @classmethod
    def of(cls, text: str) -> Condition:
        """The condition that a text of `str` names.

        Examples:
            >>> Condition.of("depth=0.02"), str(Condition("none"))
            (Condition(noise='depth', level=0.02), 'none')
        """
        noise, _, level = text.partition("=")
        return cls(noise, float(level or 0))


TRUE_BOXES: Final = Condition("boxes")
CLEAN: Final = Condition("none")
VIDEOS: Final = Condition("videos")


def read_noise(texts: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions that a command line names; level 0 is `CLEAN`, and each is there once.

    Args:
        texts: Such as `depth=0,0.01,0.02`.

    Raises:
        InputError: If a text is malformed, or names no noise or no level of it.

    Examples:
        >>> [str(condition) for condition in read_noise(["depth=0,0.01", "misses=0.2"])]
        ['depth=0.01', 'misses=0.2']
        >>> read_noise([])
        ()
    """
    found: dict[Condition, None] = {}
    for text in texts:
        noise, given, levels = text.partition("=")
        for level in levels.split(","):
            try:
                number = float(level)
            except ValueError:
                number = math.nan
            if not given or math.isnan(number):
                raise InputError(
                    f"--noise {text!r}: expected a noise and its levels, such as "
                    f"depth=0.01,0.02; noises: {listing(NOISES)}"
                )
            condition = Condition(noise.strip(), number)
            if number:
                found[condition] = None
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question, answered and scored.

    Attributes:
        item: Its answer and score.
        text: The question.
        truth: The official answer.
        value: The true number before rounding; None where an option was asked for.
        interval: Where the answer lies with 90 % probability, or None.
    """

    item: Item
    text: str
    truth: str
    value: float | None = None
    interval: tuple[float, float] | None = None

    def record(self) -> dict[str, Any]:
        """The answer as plain JSON values."""
        return {
            "id": self.item.id,
            "task": self.item.task,
            "question": self.text,
            "answer": self.item.answer,
            "truth": self.truth,
            "score": self.item.score,
            "status": self.item.status.value,
            "reason": self.item.reason,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Answered:
        """The answer that a record holds."""
        item = Item(
            id=record["id"],
            task=record["task"],
            answer=record["answer"],
            score=record["score"],
            status=Status(record["status"]),
            covered=True,
            reason=record["reason"],
        )
        bars = record["interval"]
        return cls(
            item=item,
            text=record["question"],
            truth=record["truth"],
            value=record["value"],
            interval=None if bars is None else (bars[0], bars[1]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomRecord:
    """One room under one condition.

    Attributes:
        room: Its name.
        seed: What it was made from.
        condition: Under what it was looked at.
        answers: To all its questions.
        map: How its map compares; None where there is no true one.
        seconds: It took so long.
    """

    room: str
    seed: int
    condition: Condition
    answers: tuple[Answered, ...]
    map: MapScore | None
    seconds: float = 0.0

    @property
    def score(self) -> float | None:
        """Mean over its questions; None where there are none."""
        scores = [answer.item.score for answer in self.answers]
        return sum(scores) / len(scores) if scores else None

    def record(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {
            "room": self.room,
            "seed": self.seed,
            "condition": str(self.condition),
            "answers": [answer.record() for answer in self.answers],
            "map": None if self.map is None else self.map.record(),
            "seconds": round(self.seconds, 3),
        }

    def rounded(self) -> RoomRecord:
        """The record as it is read back: a run that goes on must sum up the same numbers."""
        return RoomRecord.of(self.record())

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> RoomRecord:
        """The record that plain values hold."""
        return cls(
            room=record["room"],
            seed=record["seed"],
            condition=Condition.of(record["condition"]),
            answers=tuple(map(Answered.of, record["answers"])),
            map=None if record["map"] is None else MapScore.of(record["map"]),
            seconds=record["seconds"],
        )

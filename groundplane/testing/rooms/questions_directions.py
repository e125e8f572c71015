"""Questions of direction: standing by one thing and facing another, where is a third?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

from groundplane.testing.rooms.question import Draft, Facts, lettered
from groundplane.testing.rooms.truth import bearing

__all__ = ["ask_direction"]

# Boxes of the three things are at least and at most so far apart, metres (VSI-Bench, appendix).
_NEAR, _FAR = 0.30, 5.0
# Turns within so many degrees of a border between two answers are not asked about. The benchmark
# tests one side of some borders; here it is both sides of all.
_CLOSE = 10.0
# More corners of the box than so many in other sectors than its middle: not asked.
_STRAY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """How a difficulty asks.

    Attributes:
        borders: Where sectors begin, degrees counter-clockwise from straight ahead.
        names: Of the sectors; None where it is not asked about.
        question: The second half of the question.
        rule: What the question explains.
    """

    borders: tuple[float, ...]
    names: tuple[str | None, ...]
    question: str
    rule: str = ""

    @property
    def answers(self) -> list[str]:
        """What can be answered."""
        return sorted({name for name in self.names if name is not None})

    def sector(self, turn: Float[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
        """Which sector each turn falls in."""
        return np.asarray(np.searchsorted(self.borders, turn, side="right") - 1)


_LEVELS = {
    "object_rel_direction_easy": _Level(
        borders=(0.0, 135.0, 225.0),
        names=("left", None, "right"),
        question="is the {q} to the left or the right of the {o}?",
    ),
    "object_rel_direction_medium": _Level(
        borders=(0.0, 135.0, 225.0),
        names=("left", "back", "right"),
        question="is the {q} to my left, right, or back?",
        rule="An object is to my back if I would have to turn at least 135 degrees in order to "
        "face it.",
    ),
    "object_rel_direction_hard": _Level(
        borders=(0.0, 90.0, 180.0, 270.0),
        names=("front-left", "back-left", "back-right", "front-right"),
        question="is the {q} to my front-left, front-right, back-left, or back-right?",
        rule="The directions refer to the quadrants of a Cartesian plane (if I am standing at the "
        "origin and facing along the positive y-axis).",
    ),
}


def ask_direction(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """Where a third thing is, all three the only ones of their categories."""
    level = _LEVELS[task]
    triples = [rows for rows in permutations(facts.unique, 3) if _spaced(facts, rows)]
    for index in chance.permutation(len(triples)):
        p, o, q = (facts.solids[row] for row in triples[index])
        if (name := _direction(facts, triples[index], level)) is None:
            continue
        choices, letter = lettered([str(x) for x in chance.permutation(level.answers)], name)
        asked = level.question.format(q=q.label, o=o.label)
        text = f"If I am standing by the {p.label} and facing the {o.label}, {asked}"
        yield Draft(
            text=f"{text}\n{level.rule}" if level.rule else text,
            answer=letter,
            choices=choices,
            about=(p.id, o.id, q.id),
        )


def _spaced(facts: Facts, rows: tuple[int, ...]) -> bool:
    """Whether no two are too near to each other, or too far."""
    a, b, c = rows
    apart = (facts.gaps[a, b], facts.gaps[b, c], facts.gaps[a, c])
    return bool(min(apart) >= _NEAR and max(apart) <= _FAR)


def _direction(facts: Facts, rows: tuple[int, ...], level: _Level) -> str | None:
    """The sector that the third thing is in; None where that is a close call."""
    p, o, q = (facts.solids[row] for row in rows)
    places = np.concatenate([q.center[None, :2], q.footprint, q.footprint])
    turns = bearing(p.center[None, :2], o.center[None, :2], places)
    off = np.abs(turns[0] - np.array([*level.borders, 360.0])).min()
    sectors = level.sector(turns)
    if off <= _CLOSE or (sectors[1:] != sectors[0]).sum() > _STRAY:
        return None
    return level.names[int(sectors[0])]

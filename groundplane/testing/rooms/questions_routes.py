"""Questions of routes with turns left out.

VSI-Bench's routes were written by people. Ours go straight from the middle of one thing to the
middle of the next, all of them the only ones of their categories:

- one begins at a thing, faces another, and either goes there first or turns before the first step;
- what is higher than a step and lower than a door stands in the way, but for the two things that a
  stretch leads between, what they stand on and what stands on them; who walks keeps 20 cm off it;
- a stretch stays within the room, but for its ends, which may lie in or on a wall;
- a turn of 135 degrees and more is a turn back, else it is to the left or right; turns of less than
  35 degrees and turns within 10 degrees of a border between two words are not asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from groundplane.testing.rooms.question import Draft, Facts, lettered
from groundplane.testing.rooms.truth import (
    Solid,
    bearing,
    holds,
    outline_distances,
    outline_gap,
)

__all__ = ["ask_route", "walkable"]

# Who walks is so wide to either side; what is lower is stepped over, what is higher is walked
# under; metres.
_SIDE, _STEP, _HEADROOM = 0.2, 0.05, 2.0
# Stretches are at least so long between the things' sides, seen from above, metres: nobody walks
# from a stool to the window above it.
_LEAST = 0.4
# What one walks through, not around.
_OPENINGS = frozenset({"door", "doorway", "curtain", "rug", "carpet"})
# Degrees.
_BACK, _STRAIGHT, _CLOSE = 135.0, 35.0, 10.0
# Points of a stretch that are looked up in the outline, metres apart; and how near to its two ends
# the outline does not matter.
_EVERY, _AT = 0.05, 0.3
# Ways that are drawn by chance.
_TRIES = 300
_MOST = 3

_STEM = (
    "You are a robot beginning at the {start} and facing the {face}. You want to navigate to the "
    "{goal}. You will perform the following actions (Note: for each [please fill in], choose "
    "either 'turn back,' 'turn left,' or 'turn right.'): {steps}. You have reached the final "
    "destination."
)


def ask_route(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """Which turns a walk takes from one thing to another."""
    rows = facts.unique
    ways = _Ways(facts)
    asked = set()
    for _ in range(_TRIES if len(rows) >= 3 else 0):
        way, turn_first = _draw(ways, chance), bool(chance.integers(2))
        if len(way) < 3 or (way, turn_first) in asked:
            continue
        asked.add((way, turn_first))
        route = [facts.solids[row] for row in way]
        face = route[1]
        if turn_first:  # one faces the second thing, and goes to the third
            route = [route[0], *route[2:]]
            if way[2] not in ways.onward(way[0]):
                continue
        turns = _turns(route, face)
        if all(turns) and turns:
            yield _draft(route, face, [str(turn) for turn in turns], chance)


class _Ways:
    """Which things can be reached from which, looked at when it is asked for."""

    def __init__(self, facts: Facts) -> None:
        self.rows = facts.unique
        self._facts = facts
        self._onward: dict[int, tuple[int, ...]] = {}

    def onward(self, row: int) -> tuple[int, ...]:
        """Rows of the things that one can walk to straight from a thing."""
        if row not in self._onward:
            found = (other for other in self.rows if walkable(self._facts, row, other))
            self._onward[row] = tuple(found)
        return self._onward[row]


def _draw(ways: _Ways, chance: np.random.Generator) -> tuple[int, ...]:
    """A way by chance along stretches that can be walked, no thing twice."""
    way = [int(chance.choice(ways.rows))]
    for _ in range(int(chance.integers(2, _MOST + 2))):
        onward = [row for row in ways.onward(way[-1]) if row not in way]
        if not onward:
            break
        way.append(int(chance.choice(onward)))
    return tuple(way)


def _turns(route: list[Solid], face: Solid) -> list[str | None]:
    """The turn before each stretch but a first that goes straight ahead; None for a close call."""
    spots = np.stack([solid.center[:2] for solid in route])
    # Who arrives looks on in the direction of the stretch that ends there.
    fronts = np.stack([face.center[:2], *(2 * spots[1:-1] - spots[:-2])])
    words = [_word(turn) for turn in bearing(spots[:-1], fronts, spots[1:]).tolist()]
    return words[1:] if face is route[1] else words


def _word(turn: float) -> str | None:
    """Left, right or back; None where it is a close call or straight on."""
    size = min(turn, 360 - turn)
    if size < _STRAIGHT or abs(size - _BACK) <= _CLOSE:
        return None
    return "Back" if size >= _BACK else "Left" if turn < 180 else "Right"


def _draft(route: list[Solid], face: Solid, turns: list[str], chance: np.random.Generator) -> Draft:
    onward = [f"Go forward until the {solid.label}" for solid in route[1:]]
    steps = [step for stretch in onward for step in ("[please fill in]", stretch)]
    if face is route[1]:
        steps = steps[1:]
    right = _told(turns)
    every = [_told(words) for words in product(("Left", "Right", "Back"), repeat=len(turns))]
    wrong = [words for words in every if words != right]
    kept = [wrong[index] for index in chance.choice(len(wrong), min(3, len(wrong)), replace=False)]
    choices, letter = lettered([str(x) for x in chance.permutation([right, *kept])], right)
    text = _STEM.format(
        start=route[0].label,
        face=face.label,
        goal=route[-1].label,
        steps=" ".join(f"{number}. {step}" for number, step in enumerate(steps, start=1)),
    )
    about = tuple(dict.fromkeys((*(solid.id for solid in route), face.id)))
    return Draft(text=text, answer=letter, choices=choices, about=about)


def _told(turns: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"Turn {turn}" for turn in turns)


def walkable(facts: Facts, start: int, goal: int) -> bool:
    """Whether one can walk straight from the middle of one thing to that of another.

    Args:
        facts: Of the room.
        start: Row of a thing.
        goal: Row of another.
    """
    a, b = facts.solids[start], facts.solids[goal]
    if start == goal or outline_gap(a.footprint, b.footprint) < _LEAST:
        return False
    line = np.stack([a.center[:2], b.center[:2]])
    own = facts.supports.get(a.id, frozenset()) | facts.supports.get(b.id, frozenset())
    for solid in facts.solids:
        if solid.id in own or own & facts.supports.get(solid.id, frozenset()) & {a.id, b.id}:
            continue
        # A circle round it tells of most things that they are nowhere near.
        round_it = float(np.hypot(*solid.sizes[:2])) / 2
        if outline_distances(solid.center[None, :2], line)[0] - round_it >= _SIDE:
            continue
        if _blocks(solid, facts.room.floor) and outline_gap(solid.footprint, line) < _SIDE:
            return False
    return _within(facts, a, b)


def _blocks(solid: Solid, floor: float) -> bool:
    """Whether one must walk around a thing."""
    low, high = solid.low - floor, solid.high - floor
    return high > _STEP and low < _HEADROOM and solid.label not in _OPENINGS


def _within(facts: Facts, a: Solid, b: Solid) -> bool:
    """Whether the stretch between two things stays within the room."""
    start, end = a.center[:2], b.center[:2]
    shares = np.arange(0, 1, _EVERY / max(float(np.linalg.norm(end - start)), _EVERY))
    points = start + shares[:, None] * (end - start)
    near = [outline_distances(points, solid.footprint) <= _AT for solid in (a, b)]
    return bool(holds(facts.room.outline, points[~(near[0] | near[1])]).all())

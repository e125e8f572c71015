"""Questions of counting, sizes and distances.

Each maker takes the facts of a room, a source of chance and the name of the task, and gives
questions in an order by chance, until there are no more good ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from groundplane.testing.rooms.question import Draft, Facts, lettered
from groundplane.testing.rooms.truth import area_of, grid_gap

__all__ = ["ask_count", "ask_distance", "ask_nearest", "ask_room_size", "ask_size"]

# Nearer things are not measured between, metres (VSI-Bench, appendix).
_LEAST = 0.2
# The benchmark writes decimetres. What that puts off by a larger share is not asked: the metric
# would grade the rounding.
_ROUNDED = 0.05
# The nearest option is at least so far, and options differ by more than the other two, metres: the
# second is for rooms over 40 square metres (VSI-Bench, appendix).
_NEAREST, _APART, _APART_LARGE, _LARGE = 0.15, 0.15, 0.30, 40.0
# Sets of options that are tried for one thing.
_TRIES = 20


def ask_count(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """How many there are, of what there is more than one."""
    counts = facts.counts
    several = sorted(label for label, count in counts.items() if count > 1)
    for label in chance.permutation(np.array(several, dtype=object)):
        about = tuple(solid.id for solid in facts.solids if solid.label == label)
        yield Draft(
            text=f"How many {label}(s) are in this room?",
            answer=str(counts[label]),
            value=float(counts[label]),
            about=about,
        )


def ask_size(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """How long the longest side of a thing is that is the only one of its category."""
    for row in chance.permutation(facts.unique):
        solid = facts.solids[int(row)]
        longest = 100 * float(solid.sizes.max())
        yield Draft(
            text="What is the length of the longest dimension (length, width, or height) of the "
            f"{solid.label}, measured in centimeters?",
            answer=str(round(longest)),
            value=longest,
            about=(solid.id,),
        )


def ask_room_size(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """How large the room is: what its outline holds."""
    area = area_of(facts.room.outline)
    yield Draft(
        text="What is the size of this room (in square meters)? \n"
        "If multiple rooms are shown, estimate the size of the combined space.",
        answer=f"{area:.1f}",
        value=area,
    )


def ask_distance(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """How far two things are apart, each the only one of its category."""
    pairs = list(combinations(facts.unique, 2))
    for index in chance.permutation(len(pairs)):
        a, b = (facts.solids[row] for row in pairs[index])
        if facts.gaps[pairs[index]] < _LEAST / 2:
            continue
        gap = grid_gap(a, b)
        if round(gap, 1) < _LEAST or abs(gap / round(gap, 1) - 1) > _ROUNDED:
            continue
        yield Draft(
            text="Measuring from the closest point of each object, what is the distance between "
            f"the {a.label} and the {b.label} (in meters)?",
            answer=f"{gap:.1f}",
            value=gap,
            about=(a.id, b.id),
        )


def ask_nearest(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """Which of four categories comes nearest to a thing."""
    for row in chance.permutation(facts.unique):
        solid = facts.solids[int(row)]
        near = _by_category(facts, int(row))
        for _ in range(_TRIES if len(near) >= 4 else 0):
            labels = [str(label) for label in chance.choice(sorted(near), size=4, replace=False)]
            if (best := _clear(facts, [near[label] for label in labels])) is None:
                continue
            choices, letter = lettered(labels, labels[best])
            yield Draft(
                text="Measuring from the closest point of each object, which of these objects "
                f"({', '.join(labels)}) is the closest to the {solid.label}?",
                answer=letter,
                choices=choices,
                about=(solid.id,),
            )
            break


def _by_category(facts: Facts, row: int) -> dict[str, float]:
    """How far the nearest of each other category is from a thing, metres."""
    found: dict[str, float] = {}
    for other, solid in enumerate(facts.solids):
        if other != row:
            gap = float(facts.gaps[row, other])
            found[solid.label] = min(gap, found.get(solid.label, np.inf))
    return found


def _clear(facts: Facts, distances: list[float]) -> int | None:
    """Which is the least, where no two are about as far; else None."""
    apart = _APART_LARGE if area_of(facts.room.outline) > _LARGE else _APART
    ordered = np.sort(distances)
    if ordered[0] < _NEAREST or np.diff(ordered).min() <= apart:
        return None
    return int(np.argmin(distances))

"""Questions of the order in which things are first seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

import numpy as np

from groundplane.core.errors import InputError
from groundplane.testing.rooms.question import Draft, Facts, lettered
from groundplane.testing.rooms.room import RenderedFrame

__all__ = ["LEAST_SHARE", "ask_order", "first_seen"]

# A thing is seen in a picture of which it covers so much. The benchmark does not publish its own
# number.
LEAST_SHARE = 0.001
# So many categories are asked about, which appear more than so many seconds apart (VSI-Bench,
# appendix).
_MANY, _APART = 4, 1.0
# Sets of categories that are tried.
_TRIES = 200


def first_seen(shots: Iterable[RenderedFrame], *, least: float = LEAST_SHARE) -> dict[int, float]:
    """When each thing is first seen, seconds, by its id; what is never seen is not in it.

    Args:
        shots: What the camera saw, in order.
        least: Share of the picture that a thing must cover.

    Raises:
        InputError: If `least` is not in (0, 1].

    Examples:
        >>> first_seen([])
        {}
    """
    if not 0 < least <= 1:
        raise InputError(f"first seen: expected a share of the picture in (0, 1], got {least}")
    found: dict[int, float] = {}
    for shot in shots:
        ids, pixels = np.unique(shot.ids, return_counts=True)
        for key in ids[pixels >= least * shot.ids.size].tolist():
            if key > 0:
                found.setdefault(key, shot.time)
    return found


def ask_order(facts: Facts, chance: np.random.Generator, task: str) -> Iterator[Draft]:
    """In which order four categories appear; nothing where nobody looked."""
    times = _by_category(facts)
    asked = set()
    for _ in range(_TRIES):
        order = _draw(times, chance)
        if len(order) < _MANY or tuple(order) in asked:
            continue
        asked.add(tuple(order))
        choices, letter = _options(order, chance)
        yield Draft(
            text="What will be the first-time appearance order of the following categories in the "
            f"video: {', '.join(str(label) for label in chance.permutation(order))}?",
            answer=letter,
            choices=choices,
        )


def _draw(times: Mapping[str, float], chance: np.random.Generator) -> list[str]:
    """Some categories that appear far enough apart, by chance, in order."""
    kept: list[str] = []
    for label in chance.permutation(np.array(sorted(times), dtype=object)):
        if len(kept) < _MANY and all(abs(times[label] - times[own]) > _APART for own in kept):
            kept.append(str(label))
    return sorted(kept, key=times.__getitem__)


def _by_category(facts: Facts) -> dict[str, float]:
    """When the first thing of each category appears, seconds."""
    times: dict[str, float] = {}
    for solid in facts.solids:
        if solid.id in facts.appeared:
            seen = facts.appeared[solid.id]
            times[solid.label] = min(seen, times.get(solid.label, np.inf))
    return times


def _options(order: list[str], chance: np.random.Generator) -> tuple[tuple[str, ...], str]:
    """The right order and three others, mixed."""
    right = ", ".join(order)
    others = [", ".join(other) for other in permutations(order) if list(other) != order]
    wrong = [others[index] for index in chance.choice(len(others), size=3, replace=False)]
    return lettered([str(x) for x in chance.permutation([right, *wrong])], right)

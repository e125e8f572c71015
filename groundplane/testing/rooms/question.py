"""A question about a room with its answer, and what questions are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from groundplane.testing.rooms.room import Room
from groundplane.testing.rooms.truth import Solid, gaps, solid_of

__all__ = ["Draft", "Facts", "RoomQuestion", "facts_of", "lettered"]

_LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a maker of questions gives: the words and the truth.

    Attributes:
        text: The question.
        answer: As the benchmark writes it: a number, or the letter of an option.
        choices: The options, each with its letter; none where a number is asked for.
        value: The number before rounding; None where an option is asked for.
        about: Ids of the things that it is about.
    """

    text: str
    answer: str
    choices: tuple[str, ...] = ()
    value: float | None = None
    about: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomQuestion:
    """A question about a room.

    Attributes:
        id: Unique over rooms of different names.
        room: Name of the room.
        task: VSI-Bench's name of its type.
        draft: Its words and its truth.
    """

    id: str
    room: str
    task: str
    draft: Draft

    def record(self) -> dict[str, Any]:
        """The question as a line of VSI-Bench's files holds it."""
        return {
            "id": self.id,
            "scene": self.room,
            "question_type": self.task,
            "question": self.draft.text,
            "options": list(self.draft.choices) or None,
            "answer": self.draft.answer,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What is true of a room.

    Attributes:
        room: The room.
        solids: The boxes of its things that can be seen.
        gaps: How far each two are apart, metres.
        appeared: When each thing appears, seconds, by its id; empty where nobody looked.
        supports: Ids of the things that each thing stands on, down to the floor, and its own.
    """

    room: Room
    solids: tuple[Solid, ...]
    gaps: Float[np.ndarray, "n n"]
    appeared: Mapping[int, float] = field(default_factory=dict)
    supports: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """How many there are of each category."""
        return Counter(solid.label for solid in self.solids)

    @property
    def unique(self) -> tuple[int, ...]:
        """Rows of the things that are the only one of their category."""
        counts = self.counts
        return tuple(row for row, solid in enumerate(self.solids) if counts[solid.label] == 1)


def facts_of(room: Room, appeared: Mapping[int, float] | None = None) -> Facts:
    """Work out the boxes of a room's things and how far they are apart.

    Args:
        room: The room.
        appeared: When each thing appears, seconds, by its id; what is not in it is never seen, and
            nobody asks about it or counts it. None where nobody looked.
    """
    seen = [thing for thing in room.objects if appeared is None or thing.id in appeared]
    solids = tuple(solid_of(thing.id, thing.label, thing.mesh.vertices) for thing in seen)
    below = {thing.id: thing.support for thing in room.objects}
    return Facts(
        room=room,
        solids=solids,
        gaps=gaps(solids),
        appeared=appeared or {},
        supports={key: _chain(key, below) for key in below},
    )


def _chain(key: int, below: Mapping[int, int]) -> frozenset[int]:
    """A thing and what it stands on; the floor and walls are no things."""
    found = set()
    while key in below and key not in found:
        found.add(key)
        key = below[key]
    return frozenset(found)


def lettered(options: Sequence[str], right: str) -> tuple[tuple[str, ...], str]:
    """Options with their letters, and the letter of the right one.

    Examples:
        >>> lettered(["left", "right"], "right")
        (('A. left', 'B. right'), 'B')
    """
    named = tuple(f"{letter}. {text}" for letter, text in zip(_LETTERS, options, strict=False))
    return named, _LETTERS[list(options).index(right)]

"""Questions about a room, with answers from its meshes: all tasks of VSI-Bench.

Wordings are the benchmark's own; which questions are asked, and what their answers are, follows its
published definitions (Yang et al., Thinking in Space, CVPR 2025, appendix). Where those are silent:

- things are boxes: upright, with the least footprint round the mesh;
- a thing appears in the first picture of which it covers a thousandth;
- a route goes straight from the middle of one thing to that of the next, see `questions_routes`;
- a question whose answer would turn on a few degrees or centimetres is not asked.

Nothing here imports `groundplane.spatial`: what answers cannot share a mistake with what asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.testing.rooms.question import Draft, Facts, RoomQuestion, facts_of
from groundplane.testing.rooms.questions_directions import ask_direction
from groundplane.testing.rooms.questions_measures import (
    ask_count,
    ask_distance,
    ask_nearest,
    ask_room_size,
    ask_size,
)
from groundplane.testing.rooms.questions_order import ask_order
from groundplane.testing.rooms.questions_routes import ask_route
from groundplane.testing.rooms.room import Room

__all__ = ["TASKS", "make_questions"]

_ASK: Mapping[str, Callable[[Facts, np.random.Generator, str], Iterator[Draft]]] = {
    "object_counting": ask_count,
    "object_abs_distance": ask_distance,
    "object_size_estimation": ask_size,
    "room_size_estimation": ask_room_size,
    "object_rel_distance": ask_nearest,
    "object_rel_direction_easy": ask_direction,
    "object_rel_direction_medium": ask_direction,
    "object_rel_direction_hard": ask_direction,
    "route_planning": ask_route,
    "obj_appearance_order": ask_order,
}
TASKS = tuple(_ASK)


def make_questions(
    room: Room,
    *,
    seed: int = 0,
    per_task: int = 1,
    appeared: Mapping[int, float] | None = None,
    tasks: Sequence[str] = TASKS,
) -> tuple[RoomQuestion, ...]:
    """Ask about a room, and answer from its meshes.

    Args:
        room: The room.
        seed: The same seed asks the same questions.
        per_task: Questions of each task at most; a room may not have as many good ones.
        appeared: When each thing is first seen on the walk, seconds, by its id, as `first_seen`
            tells. Without it no question of order is asked, and all things count as seen.
        tasks: Which tasks.

    Raises:
        InputError: If a task is unknown, or `per_task` is negative.

    Examples:
        >>> from groundplane.testing.rooms.making import make_room
        >>> room = make_room(3)
        >>> (question,) = make_questions(room, tasks=["room_size_estimation"])
        >>> question.draft.answer == f"{room.area:.1f}"
        True
        >>> make_questions(room, per_task=0)
        ()
    """
    if unknown := [task for task in tasks if task not in _ASK]:
        raise InputError(
            f"questions: unknown task {unknown[0]!r}; known: {listing(TASKS)}."
            f"{did_you_mean(unknown[0], TASKS)}"
        )
    if per_task < 0:
        raise InputError(f"questions: expected at least 0 of a task, got {per_task}")
    facts = facts_of(room, appeared)
    return tuple(
        RoomQuestion(id=f"{room.name}-{task}-{number}", room=room.name, task=task, draft=draft)
        for task in tasks
        for number, draft in enumerate(islice(_drafts(facts, task, seed), per_task))
    )


def _drafts(facts: Facts, task: str, seed: int) -> Iterator[Draft]:
    """Questions of one task; those of another do not change them."""
    chance = np.random.default_rng([seed, facts.room.seed, TASKS.index(task)])
    return _ASK[task](facts, chance, task)

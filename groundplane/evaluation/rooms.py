"""Rooms whose truth is known: VSI-Bench's eight tasks, and the map, under each noise.

A room is made and walked through; its questions come from its meshes. They are answered on the true
boxes (the engine alone), on a map built with true depth, poses and things (lifting and association
alone), and on maps built with each noise. So errors of perception and of reasoning are told apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from groundplane.asking import Asker
from groundplane.core.errors import InputError
from groundplane.evaluation.rooms_maps import compare, true_map
from groundplane.evaluation.rooms_records import (
    CLEAN,
    TRUE_BOXES,
    Answered,
    Condition,
    RoomRecord,
)
from groundplane.evaluation.vsibench import UNHURRIED, Question, score_reply
from groundplane.spatial.map import CognitiveMap
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.question import RoomQuestion, facts_of
from groundplane.testing.rooms.questions import TASKS, make_questions
from groundplane.testing.rooms.questions_order import first_seen

__all__ = ["RoomsJob", "answer_questions", "evaluate_room", "plan_of_room"]

# Poses a walk has in a second.
_RATE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomsJob:
    """What is evaluated.

    Attributes:
        rooms: How many rooms.
        seed: Of the first; the next has the next.
        per_task: Questions of each task that are asked of a room, at most.
        tasks: How many tasks a room is asked questions of; the next room goes on with the next.
        step: Every so many poses of a walk are looked at; there are 30 a second.
        size: Width and height of the pictures, pixels.
        noises: Beside the true boxes and a map without noise.

    Raises:
        InputError: If a number is out of range.
    """

    rooms: int = 50
    seed: int = 0
    per_task: int = 1
    tasks: int = len(TASKS)
    step: int = 10
    size: tuple[int, int] = (320, 240)
    noises: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        limits = {"rooms": (1, 1_000_000), "seed": (0, 2**31), "per_task": (1, 1000)}
        limits |= {"tasks": (1, len(TASKS)), "step": (1, 10 * _RATE)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(
                    f"rooms: expected {name.replace('_', ' ')} from {least} to {most}, got "
                    f"{getattr(self, name)}"
                )
        if not all(16 <= side <= 4096 for side in self.size):
            raise InputError(f"rooms: expected pictures of 16 to 4096 pixels, got {self.size}")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All under which questions are answered."""
        return (TRUE_BOXES, CLEAN, *self.noises)

    def record(self) -> dict[str, Any]:
        """What must be the same for results to stand beside one another."""
        return {
            "seed": self.seed,
            "per_task": self.per_task,
            "tasks": self.tasks,
            "step": self.step,
            "size": list(self.size),
            "conditions": list(map(str, self.conditions)),
        }


def evaluate_room(job: RoomsJob, number: int) -> list[RoomRecord]:
    """Make a room, walk through it, ask, and answer under each condition.

    Args:
        job: What is evaluated.
        number: Of the room, from 0.

    Raises:
        PluginBrokenError: If the extra `render` or EGL is missing.
    """
    from groundplane.evaluation.rooms_mapping import map_room

    room = make_room(job.seed + number)
    shots = list(room.shots(step=job.step, size=job.size))
    facts = facts_of(room, first_seen(shots))
    asked = [TASKS[(number * job.tasks + place) % len(TASKS)] for place in range(job.tasks)]
    questions = make_questions(
        room, seed=job.seed, per_task=job.per_task, appeared=facts.appeared, tasks=asked
    )
    truth = true_map(facts)
    records = []
    for condition in job.conditions:
        begun = time.perf_counter()
        built = truth if condition == TRUE_BOXES else map_room(room, shots, condition)
        records.append(
            RoomRecord(
                room=room.name,
                seed=room.seed,
                condition=condition,
                answers=tuple(answer_questions(built, questions)),
                map=compare(built, truth),
                seconds=time.perf_counter() - begun,
            )
        )
    return [record.rounded() for record in records]


def plan_of_room(job: RoomsJob, number: int, condition: Condition) -> bytes:
    """A room from above with the map that is built under a condition, SVG.

    Args:
        job: What is evaluated.
        number: Of the room, from 0.
        condition: Under what it is looked at.
    """
    from groundplane.evaluation.rooms_mapping import map_room
    from groundplane.evaluation.rooms_plots import draw_plan

    room = make_room(job.seed + number)
    shots = list(room.shots(step=job.step, size=job.size))
    truth = true_map(facts_of(room, first_seen(shots)))
    return draw_plan(truth, truth if condition == TRUE_BOXES else map_room(room, shots, condition))


def answer_questions(scene: CognitiveMap, questions: Sequence[RoomQuestion]) -> Iterator[Answered]:
    """Answer questions on a map and score them with the benchmark's metrics.

    Args:
        scene: The map.
        questions: Their truths reach the scorer only.
    """
    asker = Asker(scene, distance="sampled", budget=UNHURRIED)
    asked = [(question.draft.text, question.draft.choices) for question in questions]
    for question, reply in zip(questions, asker.ask_many(asked), strict=True):
        draft = question.draft
        official = Question(
            id=question.id,
            scene=question.room,
            task=question.task,
            text=draft.text,
            choices=draft.choices,
        )
        yield Answered(
            item=score_reply(official, reply, truth=draft.answer, scene=scene),
            text=draft.text,
            truth=draft.answer,
            value=draft.value,
            interval=reply.answer.interval,
        )

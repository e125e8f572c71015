"""VSI-Bench: the eight spatial tasks, from its scenes and questions to its table.

Source: Yang et al., Thinking in Space, CVPR 2025; metrics as its evaluation code computes them.
The official answers are read into the scorer only: the solver is given question and options.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.budget import Budget
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.lexicon import match_phrase
from groundplane.core.queries import phrases_of
from groundplane.evaluation.metrics import accuracy, mean_relative_accuracy
from groundplane.evaluation.vsi_files import open_metas, question_lines
from groundplane.replies import Reply
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
from groundplane.spatial.scene import DistanceMethod

__all__ = [
    "TASKS",
    "UNHURRIED",
    "Item",
    "Question",
    "Result",
    "evaluate",
    "read_questions",
    "score_reply",
]

TASKS = (
    "object_counting",
    "object_abs_distance",
    "object_size_estimation",
    "room_size_estimation",
    "object_rel_distance",
    "object_rel_direction_easy",
    "object_rel_direction_medium",
    "object_rel_direction_hard",
    "route_planning",
    "obj_appearance_order",
)
# What is measured does not turn on how busy the machine is.
UNHURRIED = Budget(seconds=86_400.0, deadline=3_600.0)
_NUMERIC = frozenset(TASKS[:4])
_DIRECTIONS = frozenset(TASKS[5:8])
# Tasks whose definition wants exactly one object of each category (VSI-Bench, appendix).
_UNIQUE = frozenset(
    {"object_abs_distance", "object_size_estimation", "route_planning"} | _DIRECTIONS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; the official answer is kept apart from it."""

    id: str
    scene: str
    task: str
    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One scored question.

    Attributes:
        answer: What was answered: a number, a letter, or None.
        score: In [0, 1].
        status: How the question ended.
        covered: Whether the scene's boxes determine the answer.
        reason: Why the score is below 1; empty where it is 1.
    """

    id: str
    task: str
    answer: float | str | None
    score: float
    status: Status
    covered: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All scored questions; the table is computed from them."""

    items: tuple[Item, ...]

    def tasks(self) -> dict[str, dict[str, float | int | None]]:
        """Number of items, score, covered items and their score, by question type."""
        groups: dict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            groups[item.task].append(item)
        return {task: _summary(groups[task]) for task in TASKS if task in groups}

    def mean(self) -> float:
        """Mean over the eight tasks; relative direction is the mean of its three levels."""
        scores = {task: row["score"] or 0.0 for task, row in self.tasks().items()}
        levels = [scores.pop(task) for task in _DIRECTIONS & scores.keys()]
        values = [*scores.values(), *([sum(levels) / len(levels)] if levels else [])]
        return sum(values) / len(values)

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "tasks": self.tasks(),
            "mean": self.mean(),
            "items": [
                {
                    "id": int(item.id) if item.id.isdigit() else item.id,
                    "answer": item.answer,
                    "score": item.score,
                    "status": item.status.value,
                }
                for item in self.items
            ],
        }


def _summary(items: Sequence[Item]) -> dict[str, float | int | None]:
    covered = [item.score for item in items if item.covered]
    return {
        "n": len(items),
        "score": sum(item.score for item in items) / len(items),
        "covered": len(covered),
        "covered_score": sum(covered) / len(covered) if covered else None,
    }


def read_questions(path: str | Path) -> tuple[list[Question], dict[str, str]]:
    """Read questions and, apart from them, the official answers by question id.

    Args:
        path: JSON lines, or a Parquet file (extra `parquet`), with `scene` (or `scene_name`),
            `question_type`, `question`, `options` and `answer` (or `ground_truth`); `id` is the
            line's number if it is missing.

    Raises:
        InputError: If the file cannot be read, or a line is malformed; it names the line.
        PluginBrokenError: If a Parquet file is given and the extra is missing.
    """
    lines = question_lines(Path(path))
    questions: list[Question] = []
    answers: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question, answer = _read_line(line, f"questions {Path(path).name!r}, line {number}", number)
        if question.id in answers:
            raise InputError(
                f"questions {Path(path).name!r}, line {number}: id {question.id!r} is used twice"
            )
        questions.append(question)
        answers[question.id] = answer
    if not questions:
        raise InputError(f"questions {Path(path).name!r}: there are none in it")
    return questions, answers


def _read_line(line: str, where: str, number: int) -> tuple[Question, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object, got {type(row).__name__}")
    values = {
        "id": row.get("id", number),
        "scene": row.get("scene", row.get("scene_name")),
        "question_type": row.get("question_type"),
        "question": row.get("question"),
        "answer": row.get("answer", row.get("ground_truth")),
    }
    for key, value in values.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise InputError(f"{where}: {key!r} is missing or no text")
    task, answer = str(values["question_type"]), str(values["answer"])
    if task not in TASKS:
        raise InputError(
            f"{where}: unknown question type {task!r}; known: {listing(TASKS)}."
            f"{did_you_mean(task, TASKS)}"
        )
    question = Question(
        id=str(values["id"]),
        scene=str(values["scene"]),
        task=task,
        text=str(values["question"]),
        choices=_options(row.get("options"), where),
    )
    _check_answer(question, answer, where)
    return question, answer


def _options(value: object, where: str) -> tuple[str, ...]:
    options = [] if value is None else value
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InputError(f"{where}: 'options' must be a list of texts")
    return tuple(options)


def _check_answer(question: Question, answer: str, where: str) -> None:
    """The official answer is one that can be given."""
    if question.task in _NUMERIC:
        _truth(answer, where)
        return
    if len(question.choices) < 2:
        raise InputError(f"{where}: {question.task} needs 'options', at least two")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(question.choices)]
    if answer.strip().upper() not in tuple(letters):
        raise InputError(f"{where}: the answer {answer!r} is none of {listing(letters)}")


def _truth(text: str, where: str) -> float:
    try:
        truth = float(text)
    except ValueError:
        truth = 0.0
    if not 0 < truth < float("inf"):
        raise InputError(f"{where}: the answer {text!r} is no number above 0")
    return truth


def evaluate(
    scenes: str | Path | Sequence[str | Path],
    questions: str | Path,
    *,
    distance: DistanceMethod = "sampled",
) -> Result:
    """Answer all questions on their scenes and score them.

    Args:
        scenes: Scene file that holds every scene that a question names, or several that do.
        questions: See `read_questions`.
        distance: `sampled` measures between 5 cm grids as the benchmark does, `exact` between
            the boxes.

    Raises:
        InputError: If a file is malformed, or a question names a scene that is not there.
    """
    asked, answers = read_questions(questions)
    by_scene: dict[str, list[Question]] = defaultdict(list)
    for question in asked:
        by_scene[question.scene].append(question)
    files = [scenes] if isinstance(scenes, str | Path) else scenes
    known = open_metas(files)
    if missing := [scene for scene in by_scene if scene not in known]:
        raise InputError(
            f"{listing(repr(Path(file).name) for file in files)} "
            f"{'lacks' if len(files) == 1 else 'lack'} {len(missing)} scenes that questions name: "
            f"{listing(missing, limit=5)}"
        )
    done: dict[str, Item] = {}
    for name, group in by_scene.items():
        scene = known[name]()
        for question, reply in _answers(scene, group, distance):
            done[question.id] = score_reply(
                question, reply, truth=answers[question.id], scene=scene
            )
    return Result(items=tuple(done[question.id] for question in asked))


def _answers(
    scene: CognitiveMap, questions: Sequence[Question], distance: DistanceMethod
) -> Iterator[tuple[Question, Reply]]:
    asker = Asker(scene, distance=distance, budget=UNHURRIED)
    replies = asker.ask_many([(question.text, question.choices) for question in questions])
    return zip(questions, replies, strict=True)


def score_reply(question: Question, reply: Reply, *, truth: str, scene: CognitiveMap) -> Item:
    """Score one reply with the metric of its task.

    Args:
        question: As it was asked.
        reply: To it.
        truth: The official answer.
        scene: What it was asked of; it tells whether boxes determine the answer.

    Raises:
        InputError: If a number was asked for and the official answer is none above 0.
    """
    answer: float | str | None
    if question.task in _NUMERIC:
        value = reply.value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        answer = float(value) if number else None  # type: ignore[arg-type]
        score = mean_relative_accuracy(answer, _truth(truth, f"question {question.id}"))
    else:
        answer = reply.choice
        score = accuracy(answer, truth)
    return Item(
        id=question.id,
        task=question.task,
        answer=answer,
        score=score,
        status=reply.status,
        covered=_is_covered(question, scene),
        reason="" if score == 1 else _reason(reply, answer, truth),
    )


def _reason(reply: Reply, answer: float | str | None, truth: str) -> str:
    if reply.status in (Status.ANSWERED, Status.AMBIGUOUS) and answer is not None:
        shown = f"{answer:.3g}" if isinstance(answer, float) else answer
        open_note = f" ({reply.answer.note})" if reply.answer.note else ""
        return f"answered {shown}, official {truth}{open_note}"
    return f"{reply.status.value}: {reply.text}"


def _is_covered(question: Question, scene: CognitiveMap) -> bool:
    """Whether boxes determine the answer: known categories, one box each where one is meant."""
    if question.task == "obj_appearance_order":
        return not bool(scene.first_seen.isnan().any())
    if question.task == "room_size_estimation":
        return scene.room_area is not None
    try:
        phrases = phrases_of(parse_question(question.text, choices=question.choices).expression)
    except NotUnderstoodError:
        return False
    boxes = _boxes_of(phrases, scene)
    if question.task in _UNIQUE:
        return all(number == 1 for number in boxes.values())
    return all(number > 0 for number in boxes.values())


def _boxes_of(phrases: Sequence[str], scene: CognitiveMap) -> Mapping[str, int]:
    labels = tuple(dict.fromkeys(scene.labels))
    found = {phrase: match_phrase(phrase, labels) for phrase in phrases}
    return {
        phrase: sum(scene.labels.count(label) for label in match.labels)
        if match is not None and not match.modifiers
        else 0
        for phrase, match in found.items()
    }

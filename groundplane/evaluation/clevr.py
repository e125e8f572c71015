"""CLEVR: compositional questions, from its programs step by step or from the English alone.

A relation holds where the offset along its direction exceeds 0.2 of the scene's units, as the
generator of the data set has it; `relationships` of a scene are not read. From the text, the
program of a question is not read either.

Source: Johnson et al., CLEVR, CVPR 2017.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.errors import InputError, listing
from groundplane.replies import Reply
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.programs import (
    Output,
    ProgramError,
    ProgramStep,
    read_program,
    run_program,
)
from groundplane.spatial.relations import Thresholds
from groundplane.spatial.scene import MapScene
from groundplane.spatial.scenes.files import open_scenes

__all__ = [
    "ClevrItem",
    "ClevrQuestion",
    "ClevrResult",
    "Reading",
    "evaluate_clevr",
    "read_clevr",
]

Reading = Literal["text", "program"]

# The generator asks for more than this along a direction before a relation holds.
_THRESHOLDS = Thresholds(side_offset=0.2)
_YES, _NO = frozenset({"yes", "true"}), frozenset({"no", "false"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClevrQuestion:
    """One question with its program and, where the file has them, the outputs of its steps.

    Attributes:
        id: Its `question_index`, else its place in the file.
        scene: Id of its scene.
        family: Which templates it was made from.
        text: The question.
        answer: The official answer in one spelling: a number, `yes`, `no` or a word.
        program: The steps; None where it was not read.
        outputs: What each step gives, None where the file does not say.
    """

    id: str
    scene: str
    family: str
    text: str
    answer: str
    program: tuple[ProgramStep, ...] | None = None
    outputs: tuple[Output | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClevrItem:
    """One scored question.

    Attributes:
        answer: What was answered, or None.
        score: 1 or 0.
        steps: How many outputs were compared.
        wrong: The steps whose output differs, in words.
        reason: Why the score is 0; empty where it is 1.
    """

    id: str
    family: str
    answer: str | None
    score: int
    status: Status
    steps: int = 0
    wrong: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClevrResult:
    """All scored questions.

    Attributes:
        reading: What they were read from.
        items: In the order of the file.
    """

    reading: Reading
    items: tuple[ClevrItem, ...]

    @property
    def score(self) -> float:
        """Share of right answers."""
        return sum(item.score for item in self.items) / len(self.items)

    @property
    def steps(self) -> tuple[int, int]:
        """How many outputs of steps were compared, and how many were right."""
        checked = sum(item.steps for item in self.items)
        return checked, checked - sum(len(item.wrong) for item in self.items)

    def families(self) -> dict[str, dict[str, float | int]]:
        """Number of questions, score and steps by family."""
        groups: dict[str, list[ClevrItem]] = defaultdict(list)
        for item in self.items:
            groups[item.family].append(item)
        return {
            family: {
                "n": len(items),
                "score": sum(item.score for item in items) / len(items),
                "steps": sum(item.steps for item in items),
                "steps_right": sum(item.steps - len(item.wrong) for item in items),
            }
            for family, items in sorted(groups.items())
        }

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        checked, right = self.steps
        return {
            "benchmark": "clevr",
            "from": self.reading,
            "n": len(self.items),
            "score": self.score,
            "steps": {"checked": checked, "right": right},
            "families": self.families(),
            "items": [
                {
                    "id": int(item.id) if item.id.isdigit() else item.id,
                    "family": item.family,
                    "answer": item.answer,
                    "score": item.score,
                    "status": item.status.value,
                    "steps": item.steps,
                    "wrong_steps": list(item.wrong),
                    "reason": item.reason,
                }
                for item in self.items
            ],
        }


def read_clevr(path: str | Path, *, programs: bool) -> tuple[ClevrQuestion, ...]:
    """Read a file of questions.

    Args:
        path: JSON, `{"questions": [...]}`, as generated or as released.
        programs: Read the programs and the outputs of their steps as well.

    Raises:
        InputError: If the file is malformed; the message names the question and the step.
    """
    name = Path(path).name
    rows = _load(path, name)
    questions = tuple(
        _question(row, f"questions {name!r}, question {place}", place, programs=programs)
        for place, row in enumerate(rows)
    )
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise InputError(f"questions {name!r}: question_index {question.id} is used twice")
        seen.add(question.id)
    return questions


def _load(path: str | Path, name: str) -> Sequence[object]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"questions {name!r}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"questions {name!r}: not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"questions {name!r}: not JSON: {error}") from error
    rows = document.get("questions") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"questions {name!r}: expected an object with a list of 'questions'")
    return rows


def _question(row: object, where: str, place: int, *, programs: bool) -> ClevrQuestion:
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: expected an object, got {type(row).__name__}")
    text, scene = row.get("question"), row.get("image_index")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: 'question' is missing or no text")
    if isinstance(scene, bool) or not isinstance(scene, int | str):
        raise InputError(f"{where}: 'image_index' is missing or no number")
    answer = row.get("answer")
    if not isinstance(answer, bool | int | str):
        raise InputError(f"{where}: 'answer' is missing or no number, word or truth value")
    family = row.get("template_filename", "all")
    if not isinstance(family, str):
        raise InputError(f"{where}: 'template_filename' must be a text")
    made = ClevrQuestion(
        id=str(row.get("question_index", place)),
        scene=str(scene),
        family=Path(family).stem,
        text=text,
        answer=_spelt(answer),
    )
    return _with_program(made, row, where) if programs else made


def _with_program(question: ClevrQuestion, row: Mapping[str, Any], where: str) -> ClevrQuestion:
    if "program" not in row:
        raise InputError(f"{where}: there is no 'program'; read it from the text")
    steps = read_program(row["program"], where=where)
    outputs = tuple(
        _stored(step.get("_output"), f"{where}, step {k}") for k, step in enumerate(row["program"])
    )
    return ClevrQuestion(
        id=question.id, scene=question.scene, family=question.family, text=question.text,
        answer=question.answer, program=steps, outputs=outputs,
    )  # fmt: skip


def _stored(value: object, where: str) -> Output | None:
    """An output as a file holds it: a list of positions, or one value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(sorted(value))
    raise InputError(f"{where}: expected '_output' to be positions, a number, a word or a truth")


def _spelt(value: object) -> str:
    """One spelling of an answer: `True` and `yes` are the same."""
    text = str(value).strip().lower()
    return "yes" if text in _YES else "no" if text in _NO else text


def evaluate_clevr(
    scenes: str | Path, questions: str | Path, *, reading: Reading = "text"
) -> ClevrResult:
    """Answer all questions on their scenes and score them.

    Args:
        scenes: File that holds every scene that a question names.
        questions: See `read_clevr`.
        reading: `text` reads the English and nothing else; `program` runs the programs and
            compares the output of every step.

    Raises:
        InputError: If a file is malformed, or a question names a scene that is not there.
    """
    if reading not in ("text", "program"):
        raise InputError(f"expected to read from 'text' or 'program', got {reading!r}")
    asked = read_clevr(questions, programs=reading == "program")
    known = open_scenes(scenes)
    by_scene: dict[str, list[ClevrQuestion]] = defaultdict(list)
    for question in asked:
        by_scene[question.scene].append(question)
    if missing := [name for name in by_scene if name not in known]:
        first = by_scene[missing[0]][0].id
        raise InputError(
            f"{Path(scenes).name!r} lacks {len(missing)} scenes that questions name: "
            f"{listing(missing, limit=5)} (question {first} is the first)"
        )
    solve = _from_text if reading == "text" else _from_programs
    done = {
        item.id: item for name, group in by_scene.items() for item in solve(known[name](), group)
    }
    return ClevrResult(reading=reading, items=tuple(done[question.id] for question in asked))


def _from_text(scene: CognitiveMap, questions: Sequence[ClevrQuestion]) -> Iterator[ClevrItem]:
    asker = Asker(scene, thresholds=_THRESHOLDS)
    replies = asker.ask_many([question.text for question in questions])
    for question, reply in zip(questions, replies, strict=True):
        answer = None if reply.value is None else _spelt(reply.value)
        right = answer == question.answer
        yield ClevrItem(
            id=question.id, family=question.family, answer=answer, score=int(right),
            status=reply.status, reason="" if right else _reason(question, reply, answer),
        )  # fmt: skip


def _reason(question: ClevrQuestion, reply: Reply, answer: str | None) -> str:
    if answer is None:
        return f"{reply.status.value}: {reply.text}"
    return f"answered {answer}, official {question.answer}: {question.text}"


def _from_programs(scene: CognitiveMap, questions: Sequence[ClevrQuestion]) -> Iterator[ClevrItem]:
    ground = MapScene(scene, thresholds=_THRESHOLDS)
    for question in questions:
        yield _run(ground, question)


def _run(scene: MapScene, question: ClevrQuestion) -> ClevrItem:
    steps = question.program or ()
    try:
        outputs = run_program(scene, steps, where=f"question {question.id}")
    except ProgramError as error:
        return ClevrItem(
            id=question.id, family=question.family, answer=None, score=0,
            status=Status.CANNOT_DETECT, reason=str(error),
        )  # fmt: skip
    pairs = list(zip(steps, outputs, question.outputs, strict=True))
    wrong = tuple(
        f"step {k} ({step}): {_shown(got)}, stored {_shown(stored)}"
        for k, (step, got, stored) in enumerate(pairs)
        if stored is not None and not _agrees(got, stored)
    )
    answer = _spelt(outputs[-1])
    right = answer == question.answer
    reason = "" if right else f"answered {answer}, official {question.answer}"
    return ClevrItem(
        id=question.id, family=question.family, answer=answer, score=int(right),
        status=Status.ANSWERED, wrong=wrong, reason=reason,
        steps=sum(stored is not None for _, _, stored in pairs),
    )  # fmt: skip


def _agrees(got: Output, stored: Output) -> bool:
    """Equal and of one kind: a count of 1 is not a yes."""
    return type(got) is type(stored) and got == stored


def _shown(output: Output | None) -> str:
    return json.dumps(list(output) if isinstance(output, tuple) else output)

"""POPE: is a thing in the picture? Yes or no, from a model's answers or from an expert's look.

Answers are read as the benchmark's script reads them: of the first sentence, one of the words
`No`, `no` and `not` makes a no, and all else is a yes, an answer that says neither too. How many
say neither is told beside the numbers.

Source: Li et al., Evaluating Object Hallucination in Large Vision-Language Models, EMNLP 2023,
and its evaluate.py. We differ where it divides by zero: such a number is None here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundplane.core.detection import Detector, Outcome
from groundplane.core.errors import InputError
from groundplane.evaluation.documents import Row, read_json, rows_of
from groundplane.evaluation.looking import Look, Pictures, look_at

__all__ = [
    "PopeItem",
    "PopeQuestion",
    "PopeResult",
    "Verdict",
    "detect_pope",
    "evaluate_pope",
    "pope_verdict",
    "read_answers",
    "read_pope",
]

Verdict = Literal["yes", "no"]

_NO = frozenset({"No", "no", "not"})
_SAYS = re.compile(r"\b(?:yes|no|not|yeah|yep|nope)\b|n't\b", re.IGNORECASE)
# `imange` stands in the released files.
_ASKED = re.compile(
    r"(?:is|are) there (?:(?:an?|any|some) )?(?P<thing>[^?]+?) in (?:the|this) "
    r"(?:image|imange|picture|photo)\s*\??",
    re.IGNORECASE,
)
# No question about one thing is longer; it bounds the matching.
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PopeQuestion:
    """One question.

    Attributes:
        id: Its `question_id`, else its place in the file.
        image: File name of the picture.
        text: The question.
        label: The truth.
    """

    id: str
    image: str
    text: str
    label: Verdict

    @property
    def thing(self) -> str:
        """What it asks for.

        Raises:
            InputError: If the question has another form than the benchmark's.

        Examples:
            >>> PopeQuestion(
            ...     id="1", image="a.jpg", text="Is there a car in the image?", label="no"
            ... ).thing
            'car'
        """
        match = _ASKED.fullmatch(self.text.strip()) if len(self.text) < _LONGEST else None
        if match is None:
            raise InputError(
                f"question {self.id}: expected 'Is there a THING in the image?', "
                f"got {self.text[:_LONGEST]!r}"
            )
        return match["thing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PopeItem:
    """One answered question.

    Attributes:
        verdict: What the answer was counted as.
        unclear: Whether the answer says neither yes nor no, or the expert cannot look for it.
        said: The answer, or what the expert said.
    """

    question: PopeQuestion
    verdict: Verdict
    unclear: bool
    said: str

    @property
    def right(self) -> bool:
        """Whether it agrees with the label."""
        return self.verdict == self.question.label


@dataclass(frozen=True, slots=True, kw_only=True)
class PopeResult:
    """All answered questions; `yes` is what is looked for, and None is a number of nothing."""

    items: tuple[PopeItem, ...]

    def count(self, verdict: Verdict, label: Verdict) -> int:
        """How many were answered so where the truth is so."""
        return sum(i.verdict == verdict and i.question.label == label for i in self.items)

    @property
    def accuracy(self) -> float | None:
        """Share of right answers."""
        return _share(sum(item.right for item in self.items), len(self.items))

    @property
    def precision(self) -> float | None:
        """Share of the answers `yes` that are right."""
        found = self.count("yes", "yes")
        return _share(found, found + self.count("yes", "no"))

    @property
    def recall(self) -> float | None:
        """Share of the things there that were answered `yes`."""
        found = self.count("yes", "yes")
        return _share(found, found + self.count("no", "yes"))

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        found = self.count("yes", "yes")
        wrong = self.count("yes", "no") + self.count("no", "yes")
        return _share(2 * found, 2 * found + wrong)

    @property
    def yes_ratio(self) -> float | None:
        """Share of the answers that are `yes`."""
        return _share(sum(item.verdict == "yes" for item in self.items), len(self.items))

    @property
    def unclear(self) -> int:
        """How many answers say neither yes nor no."""
        return sum(item.unclear for item in self.items)

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "benchmark": "pope",
            "n": len(self.items),
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "yes_ratio": self.yes_ratio,
            "unclear": self.unclear,
            "items": [
                {
                    "id": item.question.id,
                    "image": item.question.image,
                    "question": item.question.text,
                    "label": item.question.label,
                    "verdict": item.verdict,
                    "unclear": item.unclear,
                    "said": item.said,
                }
                for item in self.items
            ],
        }


def pope_verdict(answer: str) -> Verdict:
    """Read an answer as the benchmark's script does.

    Examples:
        >>> pope_verdict("No, there is no car. Yes."), pope_verdict("Yes. It is not big.")
        ('no', 'yes')
        >>> pope_verdict("")
        'yes'
    """
    first = answer.split(".", 1)[0].replace(",", "")
    return "no" if _NO & set(first.split(" ")) else "yes"


def read_pope(path: str | Path) -> tuple[PopeQuestion, ...]:
    """Read questions: JSON lines or a list, with `image`, `text` and `label` (`yes` or `no`).

    Raises:
        InputError: If the file is malformed; the message names the field.
    """
    rows = rows_of(read_json(path, what="questions"), path=path, what="questions")
    if not rows:
        raise InputError(f"questions {Path(path).name!r}: there are none in it")
    questions = tuple(_question(row, place) for place, row in enumerate(rows, start=1))
    seen: set[str] = set()
    for row, question in zip(rows, questions, strict=True):
        if question.id in seen:
            raise row.error("question_id", "an id that is not used twice", question.id)
        seen.add(question.id)
    return questions


def read_answers(path: str | Path, questions: Sequence[PopeQuestion]) -> tuple[str, ...]:
    """Read the answers to questions, in their order.

    Args:
        path: JSON lines or a list. The answer stands in `answer`, else in `text`. Where every
            line has a `question_id` it says which question is meant, else the order does.
        questions: See `read_pope`.

    Raises:
        InputError: If the file is malformed, an answer is missing, or one repeats another
            question than the one that stands at its place.
    """
    rows = rows_of(read_json(path, what="answers"), path=path, what="answers")
    by_id = bool(rows) and all("question_id" in row for row in rows)
    if by_id:
        return _matched(rows, questions, Path(path).name)
    if len(rows) != len(questions):
        raise InputError(
            f"answers {Path(path).name!r}: expected one for each of {len(questions)} questions, "
            f"got {len(rows)}; give each its question_id if some are left out"
        )
    for row, question in zip(rows, questions, strict=True):
        if "question" in row and question.text.strip() not in row.text("question"):
            raise row.error("question", f"question {question.id} here", row.values["question"])
    return tuple(_answer(row) for row in rows)


def evaluate_pope(questions: Sequence[PopeQuestion], answers: Sequence[str]) -> PopeResult:
    """Score a model's answers.

    Raises:
        InputError: If there is not one answer a question.

    Examples:
        >>> asked = PopeQuestion(id="1", image="a.jpg", text="Is there a car?", label="no")
        >>> evaluate_pope([asked], ["No."]).accuracy
        1.0
        >>> evaluate_pope([], []).accuracy is None
        True
    """
    if len(questions) != len(answers):
        raise InputError(f"pope: {len(questions)} questions but {len(answers)} answers")
    return PopeResult(
        items=tuple(
            PopeItem(
                question=question,
                verdict=pope_verdict(answer),
                unclear=_SAYS.search(answer.split(".", 1)[0]) is None,
                said=answer,
            )
            for question, answer in zip(questions, answers, strict=True)
        )
    )


def detect_pope(
    questions: Sequence[PopeQuestion], folder: str | Path, expert: Detector, *, name: str
) -> PopeResult:
    """Let an expert look for each thing that is asked for: found is yes, not found is no.

    What it cannot look for is counted as no, and as unclear.

    Raises:
        InputError: If a picture is missing, or a question has another form.
        DetectorError: If the expert fails.
    """
    wanted: dict[str, dict[str, None]] = {}
    for question in questions:
        wanted.setdefault(question.image, {})[question.thing] = None
    looks = [Look(picture=image, phrases=tuple(things)) for image, things in wanted.items()]
    outcomes: dict[tuple[str, str], tuple[Outcome, str]] = {}
    for look, (_, result) in zip(
        looks, look_at(expert, looks, Pictures(folder), name=name), strict=True
    ):
        for phrase, outcome in zip(look.phrases, result.outcomes, strict=True):
            outcomes[look.picture, phrase] = (outcome, result.note)
    return PopeResult(
        items=tuple(
            _looked(question, *outcomes[question.image, question.thing]) for question in questions
        )
    )


def _looked(question: PopeQuestion, outcome: Outcome, note: str) -> PopeItem:
    cannot = outcome is Outcome.CANNOT
    return PopeItem(
        question=question,
        verdict="yes" if outcome is Outcome.FOUND else "no",
        unclear=cannot,
        said=f"{outcome.value}: {note}" if cannot and note else outcome.value,
    )


def _question(row: Row, place: int) -> PopeQuestion:
    label = row.text("label").strip().lower()
    if label not in ("yes", "no"):
        raise row.error("label", "'yes' or 'no'", row.values["label"])
    return PopeQuestion(
        id=row.name("question_id") if "question_id" in row else str(place),
        image=row.text("image"),
        text=row.text("text"),
        label="yes" if label == "yes" else "no",
    )


def _answer(row: Row) -> str:
    # The benchmark's own files have `answer`; those of LLaVA's script have `text`.
    return row.text(row.first("answer", "text"), empty=True)


def _matched(rows: Sequence[Row], questions: Sequence[PopeQuestion], name: str) -> tuple[str, ...]:
    answers: dict[str, str] = {}
    for row in rows:
        key = row.name("question_id")
        if key in answers:
            raise row.error("question_id", "an id that is not used twice", key)
        answers[key] = _answer(row)
    missing = [question.id for question in questions if question.id not in answers]
    if missing:
        raise InputError(
            f"answers {name!r}: question {missing[0]} has none"
            + (f", nor have {len(missing) - 1} others" if missing[1:] else "")
        )
    return tuple(answers[question.id] for question in questions)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None

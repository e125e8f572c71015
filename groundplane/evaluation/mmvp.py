"""MMVP: pairs of pictures that CLIP takes for one; both questions of a pair must be right.

Read are the benchmark's `Questions.csv` (`Index`, `Question`, `Options`, `Correct Answer`) and the
answers that its script `evaluate_mllm.py` writes (JSON lines of `question_id`, `prompt`, `answer`,
which is the truth, and `response`). Questions 1 and 2 are a pair, 3 and 4 the next; picture 1 is
`1.jpg`. Answers are read by letter or text where the benchmark's script asks GPT-4; what cannot be
read counts as wrong and is told.

Source: Tong et al., Eyes Wide Shut? Exploring the Visual Shortcomings of Multimodal LLMs, CVPR
2024, and the scripts of its repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.evaluation.documents import Row, read_csv, read_json, rows_of
from groundplane.evaluation.looking import Pictures
from groundplane.evaluation.metrics import wilson
from groundplane.evaluation.mmvp_answers import read_choice, read_options

__all__ = [
    "MmvpItem",
    "MmvpQuestion",
    "MmvpResult",
    "answer_mmvp",
    "evaluate_mmvp",
    "read_mmvp",
    "read_patterns",
    "read_responses",
]

# The published file is said to spell the first one with a small L.
_INDEX = ("index", "lndex", "question id", "question_id", "id")
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MmvpQuestion:
    """One question about one picture.

    Attributes:
        index: Its number, from 1; an odd one and the next make a pair.
        text: The question.
        options: By letter.
        options_text: The options as written.
        truth: Letter of the right option.
    """

    index: int
    text: str
    options: dict[str, str]
    options_text: str
    truth: str

    @property
    def prompt(self) -> str:
        """What a model is asked: the question, a space, the options, as the script has it."""
        return f"{self.text} {self.options_text}"

    @property
    def picture(self) -> str:
        """File name of its picture."""
        return f"{self.index}.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class MmvpItem:
    """One answered question.

    Attributes:
        choice: Letter that the answer chooses; None where it cannot be read.
        said: The answer.
    """

    question: MmvpQuestion
    choice: str | None
    said: str

    @property
    def right(self) -> bool:
        """Whether the answer is read and right."""
        return self.choice == self.question.truth


@dataclass(frozen=True, slots=True, kw_only=True)
class MmvpResult:
    """All answered questions, those of a pair next to each other.

    Attributes:
        items: In the order of their numbers.
        patterns: The visual pattern of each pair, in order; None where none were given.
    """

    items: tuple[MmvpItem, ...]
    patterns: tuple[str, ...] | None = None

    @property
    def pairs(self) -> tuple[bool, ...]:
        """For each pair whether both answers are right."""
        return tuple(
            first.right and second.right
            for first, second in zip(self.items[::2], self.items[1::2], strict=True)
        )

    @property
    def pair_accuracy(self) -> float:
        """Share of pairs with both answers right: the benchmark's number."""
        return sum(self.pairs) / len(self.pairs)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the pair accuracy."""
        return wilson(sum(self.pairs), len(self.pairs))

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(item.right for item in self.items) / len(self.items)

    @property
    def chance(self) -> float:
        """The pair accuracy of guessing, each answer for itself."""
        shares = [1 / len(item.question.options) for item in self.items]
        return sum(a * b for a, b in zip(shares[::2], shares[1::2], strict=True)) / len(self.pairs)

    @property
    def unreadable(self) -> int:
        """How many answers choose no option."""
        return sum(item.choice is None for item in self.items)

    def by_pattern(self) -> dict[str, tuple[int, int]]:
        """For each pattern, in order of appearance: pairs that are right, and all."""
        table: dict[str, tuple[int, int]] = {}
        for pattern, right in zip(self.patterns or (), self.pairs, strict=bool(self.patterns)):
            good, every = table.get(pattern, (0, 0))
            table[pattern] = (good + right, every + 1)
        return table

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "benchmark": "mmvp",
            "pairs": len(self.pairs),
            "pairs_right": sum(self.pairs),
            "pair_accuracy": self.pair_accuracy,
            "interval_95": list(self.interval),
            "accuracy": self.accuracy,
            "chance": self.chance,
            "unreadable": self.unreadable,
            "patterns": {
                name: {"right": right, "n": n} for name, (right, n) in self.by_pattern().items()
            },
            "items": [
                {
                    "index": item.question.index,
                    "question": item.question.text,
                    "options": item.question.options_text,
                    "truth": item.question.truth,
                    "choice": item.choice,
                    "right": item.right,
                    "response": item.said,
                }
                for item in self.items
            ],
        }


def read_mmvp(path: str | Path) -> tuple[MmvpQuestion, ...]:
    """Read questions, in the order of their numbers.

    Args:
        path: `Questions.csv`.

    Raises:
        InputError: If the file is malformed, a number is used twice, or a question has no
            partner; the message names the line.
    """
    columns = {
        "Index": _INDEX,
        "Question": ("question",),
        "Options": ("options",),
        "Correct Answer": ("correct answer", "answer"),
    }
    rows = read_csv(path, what="questions", columns=columns)
    named = f"questions {Path(path).name!r}"
    if not rows:
        raise InputError(f"{named}: there are none in it")
    questions: dict[int, MmvpQuestion] = {}
    for row in rows:
        question = _question(row)
        if question.index in questions:
            raise row.error("Index", "a number that is not used twice", question.index)
        questions[question.index] = question
    for index in questions:
        partner = index + 1 if index % 2 else index - 1
        if partner not in questions:
            raise InputError(f"{named}: question {index} has no partner: {partner} is not there")
    return tuple(questions[index] for index in sorted(questions))


def read_responses(
    path: str | Path, questions: Sequence[MmvpQuestion]
) -> tuple[tuple[str, ...], int]:
    """Read the answers to questions, in their order.

    Args:
        path: JSON lines or a list. What was said stands in `response`, else in `text`; `answer`
            is the truth, as the benchmark's script writes it. `question_id` says which question
            is meant; where no line has it, the order does.
        questions: See `read_mmvp`.

    Returns:
        What was said, and of how many questions the file has another truth than `questions`: it
        was made with another version of them.

    Raises:
        InputError: If the file is malformed, or a question has no answer or two.
    """
    rows = rows_of(read_json(path, what="answers"), path=path, what="answers")
    named = f"answers {Path(path).name!r}"
    if not any("question_id" in row for row in rows):
        if len(rows) != len(questions):
            raise InputError(
                f"{named}: expected one for each of {len(questions)} questions, got {len(rows)}; "
                "give each its question_id"
            )
        given = {question.index: row for question, row in zip(questions, rows, strict=True)}
    else:
        given = {}
        for row in rows:
            key = row.ordinal("question_id")
            if key in given:
                raise row.error("question_id", "a number that is not used twice", key)
            given[key] = row
    missing = [question.index for question in questions if question.index not in given]
    if missing:
        more = f", nor have {len(missing) - 1} others" if missing[1:] else ""
        raise InputError(f"{named}: question {missing[0]} has none{more}")
    mine = [given[question.index] for question in questions]
    said = tuple(row.text(row.first("response", "text"), empty=True) for row in mine)
    pairs = zip(questions, mine, strict=True)
    return said, sum(_truth_of(row) not in (None, question.truth) for question, row in pairs)


def read_patterns(path: str | Path, questions: Sequence[MmvpQuestion]) -> tuple[str, ...]:
    """Read the visual pattern of each pair.

    Args:
        path: CSV of `index` (a question's number) and `pattern`; one of a pair is enough. The
            benchmark itself publishes no such file for its 150 pairs.
        questions: See `read_mmvp`.

    Raises:
        InputError: If the file is malformed, or a pair has no pattern or two.
    """
    columns = {"index": _INDEX, "pattern": ("pattern", "type", "category")}
    given: dict[int, str] = {}
    for row in read_csv(path, what="patterns", columns=columns):
        pair, pattern = (row.ordinal("index") + 1) // 2, row.text("pattern")
        if given.setdefault(pair, pattern) != pattern:
            raise row.error("pattern", f"{given[pair]!r}, which the pair has already", pattern)
    pairs = [question.index // 2 + 1 for question in questions[::2]]
    for pair in pairs:
        if pair not in given:
            raise InputError(
                f"patterns {Path(path).name!r}: questions {2 * pair - 1} and {2 * pair} have none"
            )
    return tuple(given[pair] for pair in pairs)


def answer_mmvp(
    questions: Sequence[MmvpQuestion],
    folder: str | Path,
    model: Callable[[Sequence[Image], Sequence[str]], Sequence[str]],
) -> tuple[str, ...]:
    """Let a model answer, a few questions at a time.

    Args:
        questions: See `read_mmvp`.
        folder: Holds the pictures, `1.jpg` and so on, there or below.
        model: From pictures and as many prompts to what it says of each.

    Raises:
        InputError, MediaError: If a picture is missing or cannot be read, or the model gives
            another number of answers. What the model raises passes through.
    """
    pictures, said = Pictures(folder), []
    for question in questions:  # a picture that is missing is told before hours of work
        pictures.find(question.picture)
    for start in range(0, len(questions), _BATCH):
        group = questions[start : start + _BATCH]
        images = [pictures.read(question.picture) for question in group]
        answers = list(model(images, [question.prompt for question in group]))
        if len(answers) != len(group):
            raise InputError(f"mmvp: {len(group)} questions but {len(answers)} answers")
        said += answers
    return tuple(said)


def evaluate_mmvp(
    questions: Sequence[MmvpQuestion],
    answers: Sequence[str],
    *,
    patterns: Sequence[str] | None = None,
) -> MmvpResult:
    """Score a model's answers.

    Args:
        questions: Pairs next to each other, as `read_mmvp` gives them.
        answers: What was said to each.
        patterns: See `read_patterns`.

    Raises:
        InputError: If there is not one answer a question, one pattern a pair, or no question.

    Examples:
        >>> asked = [
        ...     MmvpQuestion(
        ...         index=i, text="Open?", options={"a": "Yes", "b": "No"},
        ...         options_text="(a) Yes (b) No", truth=truth,
        ...     )
        ...     for i, truth in ((1, "a"), (2, "b"))
        ... ]
        >>> evaluate_mmvp(asked, ["Yes.", "(b)"]).pair_accuracy
        1.0
        >>> result = evaluate_mmvp(asked, ["Yes.", "hm"])
        >>> result.pair_accuracy, result.accuracy, result.unreadable
        (0.0, 0.5, 1)
    """
    if not questions or len(questions) % 2 or len(questions) != len(answers):
        raise InputError(
            f"mmvp: expected pairs of questions and an answer to each, got {len(questions)} "
            f"questions and {len(answers)} answers"
        )
    if patterns is not None and 2 * len(patterns) != len(questions):
        raise InputError(f"mmvp: {len(questions) // 2} pairs but {len(patterns)} patterns")
    return MmvpResult(
        items=tuple(
            MmvpItem(question=question, choice=read_choice(said, question.options), said=said)
            for question, said in zip(questions, answers, strict=True)
        ),
        patterns=None if patterns is None else tuple(patterns),
    )


def _question(row: Row) -> MmvpQuestion:
    text = row.text("Options")
    try:
        options = read_options(text)
    except InputError as error:
        raise row.error("Options", "'(a) ... (b) ...'", text) from error
    truth = row.text("Correct Answer").strip("() .").lower()
    if truth not in options:
        raise row.error("Correct Answer", f"one of {sorted(options)}", row.values["Correct Answer"])
    return MmvpQuestion(
        index=row.ordinal("Index"),
        text=row.text("Question"),
        options=options,
        options_text=text,
        truth=truth,
    )


def _truth_of(row: Row) -> str | None:
    """The truth that a line repeats, if it does."""
    value: Mapping[str, Any] = row.values
    stated = value.get("answer")
    return stated.strip("() .").lower() if isinstance(stated, str) else None

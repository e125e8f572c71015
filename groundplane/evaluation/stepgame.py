"""StepGame: relations of two agents from a story of stated places.

Source: Shi, Zhang and Lipani, StepGame: A New Benchmark for Robust Multi-Hop Spatial Reasoning in
Texts, AAAI 2022. Its labels come from the generator's coordinates; some of its sentences say
something else than they were made for (docs/stories.md). We read every sentence as plain English
and list the stories where the label is not what they say. The label is read into the scorer only.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.core.answer import Answer, Status
from groundplane.core.errors import InputError, listing
from groundplane.spatial.stories.story import Story

__all__ = ["RELATIONS", "Pattern", "StepGameItem", "StepGameResult", "evaluate_stepgame"]

RELATIONS = (
    "left", "right", "above", "below", "upper-left", "upper-right", "lower-left", "lower-right",
    "overlap",
)  # fmt: skip
_MAX_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGameItem:
    """One scored story.

    Attributes:
        id: The story's own, or its line.
        family: Group of the file (`clean`, `noise`); empty where it names none.
        hops: How many steps the question takes.
        label: The file's answer.
        answer: Ours; None where the story gives none.
        score: 1 where they are the same.
        status: How the question ended; `ambiguous` where chains of statements disagree.
        derivation: The sentences used and how they add up.
        sentences: The sentences used, as written.
        note: What contradicts or could not be used.
        contradicts: Whether the story contradicts itself.
    """

    id: str
    family: str
    hops: int
    label: str
    answer: str | None
    score: float
    status: Status
    derivation: tuple[str, ...]
    sentences: tuple[str, ...]
    note: str
    contradicts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A way to write a sentence, and how often the stories that rest on it miss their label."""

    text: str
    used: int
    missed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGameResult:
    """All scored stories; the tables are computed from them."""

    items: tuple[StepGameItem, ...]

    @property
    def score(self) -> float:
        """Share of the stories whose answer is the label."""
        return sum(item.score for item in self.items) / len(self.items)

    @property
    def disagreements(self) -> tuple[StepGameItem, ...]:
        """The stories whose answer is another than the label, or none."""
        return tuple(item for item in self.items if item.score < 1)

    def hops(self) -> dict[str, dict[str, float | int]]:
        """Number of stories, score, and contradictory ones, by family and hops."""
        groups: dict[str, list[StepGameItem]] = defaultdict(list)
        for item in sorted(self.items, key=lambda item: (item.family, item.hops)):
            groups[f"{item.family} {item.hops}".strip()].append(item)
        return {
            name: {
                "n": len(items),
                "score": sum(item.score for item in items) / len(items),
                "contradict": sum(item.contradicts for item in items),
            }
            for name, items in groups.items()
        }

    def patterns(self) -> tuple[Pattern, ...]:
        """The sentences that the answers rest on, by how often the label says otherwise."""
        used: dict[str, list[bool]] = defaultdict(list)
        for item in self.items:
            for pattern in {_pattern(sentence) for sentence in item.sentences}:
                used[pattern].append(item.score < 1)
        found = [
            Pattern(text=text, used=len(missed), missed=sum(missed))
            for text, missed in used.items()
        ]
        found.sort(key=lambda pattern: (-pattern.missed / pattern.used, pattern.text))
        return tuple(found)

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "n": len(self.items),
            "score": self.score,
            "agree": len(self.items) - len(self.disagreements),
            "hops": self.hops(),
            "items": [
                {"id": i.id, "answer": i.answer, "label": i.label, "score": i.score,
                 "status": i.status.value}
                for i in self.items
            ],
            "disagreements": [
                {"id": i.id, "answer": i.answer, "label": i.label, "status": i.status.value,
                 "derivation": list(i.derivation), "note": i.note}
                for i in self.disagreements
            ],
            "patterns": [
                {"sentence": p.text, "used": p.used, "missed": p.missed}
                for p in self.patterns() if p.missed
            ],
        }  # fmt: skip


def _pattern(sentence: str) -> str:
    """The sentence with its agents as X and Y, in the order in which they come."""
    names: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        return names.setdefault(found[0], "XYZ"[min(len(names), 2)])

    return re.sub(r"(?<![\w'\u2019])[A-Z](?!\w)", rename, sentence)


def evaluate_stepgame(questions: str | Path) -> StepGameResult:
    """Answer the questions of a file of stories and score them.

    Args:
        questions: JSON lines with `story` (sentences, or one text), `question`, `label` (one of
            `RELATIONS`), and where known `id`, `family` and `hops` (or `k_hop`); or the
            benchmark's own file, one JSON object of such stories.

    Raises:
        InputError: If the file cannot be read or a line is malformed; it names the line.
    """
    path = Path(questions)
    rows = [_row(value, where, name) for value, where, name in _values(path)]
    if not rows:
        raise InputError(f"questions {path.name!r}: there are none in it")
    return StepGameResult(items=tuple(_item(row) for row in rows))


def _values(path: Path) -> Iterator[tuple[object, str, str]]:
    """Each story with where it stands and its name there: a line, or a key of the one object."""
    where = f"questions {path.name!r}"
    text = _text(path)
    whole = _json(text, where) if text.lstrip()[:1] == "{" and "\n" not in text.strip() else None
    if isinstance(whole, dict) and whole and "story" not in whole:
        yield from ((value, f"{where}, key {key!r}", key) for key, value in whole.items())
        return
    # Not splitlines, which also parts lines at marks that JSON texts may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            at = f"{where}, line {number}"
            yield _json(line, at), at, str(number)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"questions {path.name!r}: more than {_MAX_BYTES // 2**30} GB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"questions {path.name!r}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"questions {path.name!r}: not UTF-8 at byte {error.start}") from error


def _json(text: str, where: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from error
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    id: str
    family: str
    hops: int
    story: list[str]
    question: str
    label: str


def _row(row: object, where: str, name: str) -> _Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object, got {type(row).__name__}")
    story = row.get("story")
    sentences: list[Any] = story if isinstance(story, list) else [story]
    if not sentences or not all(isinstance(part, str) and part.strip() for part in sentences):
        raise InputError(f"{where}: 'story' must be a text or a list of sentences")
    for key in ("question", "label"):
        if not isinstance(row.get(key), str):
            raise InputError(f"{where}: {key!r} is missing or no text")
    label = row["label"].strip().lower()
    if label not in RELATIONS:
        raise InputError(f"{where}: unknown label {label!r}; known: {listing(RELATIONS)}")
    hops: Any = row.get("hops", row.get("k_hop", 0))
    if isinstance(hops, bool) or not str(hops).isdecimal():
        raise InputError(f"{where}: 'hops' must be a whole number, got {hops!r}")
    return _Row(
        id=str(row.get("id", name)), family=str(row.get("family", "")), hops=int(hops),
        story=sentences, question=row["question"], label=label,
    )  # fmt: skip


def _item(row: _Row) -> StepGameItem:
    story = Story.read(row.story)
    answer: Answer = story.ask(row.question)
    value = answer.value if isinstance(answer.value, str) else None
    said = dict.fromkeys(s.text for s in story.statements if s.id in answer.evidence)
    return StepGameItem(
        id=row.id,
        family=row.family,
        hops=row.hops,
        label=row.label,
        answer=value,
        score=float(value == row.label),
        status=answer.status,
        derivation=tuple(step.detail for step in answer.steps),
        sentences=tuple(said),
        note=answer.note,
        contradicts=bool(story.contradictions()),
    )

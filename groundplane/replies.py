"""Replies: what came of a question, from a model's text or from a story."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groundplane.core.answer import Answer, GroundedText, Mention, Status, Step, Value, plain
from groundplane.core.regions import Regions
from groundplane.spatial.chances.what_if import Flip
from groundplane.spatial.choices import choose, offered
from groundplane.spatial.questions.text import split_options, strip_letter
from groundplane.spatial.stories import Story

__all__ = ["Reply", "reply_from_story", "reply_of"]

# An option's letter, alone or before its text.
_LETTER = re.compile(r"\(?([A-Z])(?:[).:]+\s*(.*))?", re.DOTALL)
# Steps of a trace that say why a text broke off.
_REASONS = ("broken", "full", "budget", "refused", "failed", "error")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reply:
    """What came of one question; `record()` is its JSON form (docs/schemas/record.schema.json).

    Attributes:
        question: As asked.
        source: Name of the scene or photo.
        text: The answer in plain words.
        answer: The value with its evidence.
        choice: Letter of the option that the answer is, where options were given.
        mentions: Which stretch of the text speaks of which objects.
        trace: Every step, from the question to the sentence.
        regions: For a photo: the regions that the expert found; None for a scene.
        what_if: What changes of the evidence do to the answer; None where nobody asked.
        notes: What a reader must know of how the map came about that was asked.
    """

    question: str
    source: str
    text: str
    answer: Answer
    choice: str | None = None
    mentions: tuple[Mention, ...] = ()
    trace: tuple[Step, ...] = ()
    regions: Regions | None = None
    what_if: tuple[Flip, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """How the question ended."""
        return self.answer.status

    @property
    def value(self) -> Value:
        """Number, string, truth value or list; None where there is no answer."""
        return self.answer.value

    @property
    def unit(self) -> str | None:
        """Unit of a numeric value."""
        return self.answer.unit

    @property
    def evidence(self) -> tuple[str, ...]:
        """Ids of the objects or regions that the answer rests on."""
        return self.answer.evidence

    @property
    def frame(self) -> str | None:
        """The frame of reference in words."""
        return self.answer.frame.text if self.answer.frame is not None else None

    @property
    def failed(self) -> bool:
        """Whether the question could not be answered for a fault in it or of the expert."""
        return self.status in (Status.UNKNOWN_OBJECT, Status.NOT_UNDERSTOOD, Status.CANNOT_DETECT)

    def record(self) -> dict[str, Any]:
        """The reply as plain JSON values."""
        answer = self.answer
        return {
            "question": self.question,
            "source": self.source,
            "status": answer.status.value,
            "text": self.text,
            "value": plain(answer.value),
            "unit": answer.unit,
            "choice": self.choice,
            "interval": list(answer.interval) if answer.interval is not None else None,
            "probability": answer.probability,
            "runner_up": answer.runner_up and answer.runner_up.record(),
            "frame": self.frame,
            "measure": answer.measure,
            "evidence": list(answer.evidence),
            "path": [list(point) for point in answer.path] or None,
            "regions": self._region_records(),
            "notes": list(self.notes),
            "what_if": None if self.what_if is None else [flip.record() for flip in self.what_if],
            "trace": [
                {"name": s.name, "detail": s.detail, "seconds": s.seconds} for s in self.trace
            ],
        }

    def _region_records(self) -> list[dict[str, Any]] | None:
        """The regions that the answer rests on: id, phrase, box and score."""
        own = self._own_records()
        if self.regions is None:
            return own or None
        rows = [i for i, name in enumerate(self.regions.ids) if name in self.answer.evidence]
        boxes, scores = self.regions.boxes.tolist(), self.regions.scores.tolist()
        labels = self.regions.labels()
        return [
            {
                "id": self.regions.ids[i],
                "label": labels[i],
                "box": [round(edge, 2) for edge in boxes[i]],
                "score": round(scores[i], 4),
            }
            for i in rows
        ] + own

    def _own_records(self) -> list[dict[str, Any]]:
        """Places that the model gave itself: they have no score."""
        return [
            {
                "id": name,
                "label": mention.phrase,
                "box": [max(0.0, round(edge, 2)) for edge in box],
                "score": None,
            }
            for mention in self.mentions
            if mention.located is not None
            for name, box in zip(mention.ids, mention.located.boxes.tolist(), strict=True)
            if name in self.answer.evidence
        ]


def reply_of(source: str, question: str, choices: tuple[str, ...], result: GroundedText) -> Reply:
    """What a language model said, as a reply."""
    answer = result.answers[-1] if result.answers else _no_answer(result)
    options = offered(question, choices)
    spoken = answer.status is Status.ANSWERED and answer.value is None
    return Reply(
        question=question,
        source=source,
        text=result.text if result.text.strip() else _silence(result),
        answer=answer,
        choice=_picked(result.text, options) if spoken else choose(answer, options),
        mentions=result.mentions,
        trace=_woven(result.trace, answer.steps),
    )


def _silence(result: GroundedText) -> str:
    """Why there is no text."""
    if result.finish == "complete":
        return "The model ended its answer without a word."
    why = [step for step in result.trace if step.name in _REASONS]
    return f"The model gave no answer: {why[-1].detail if why else result.finish}"


def _picked(text: str, options: Sequence[str]) -> str | None:
    """The option that a model names in its own words: by its letter, its text, or both alike."""
    told = _LETTER.fullmatch(text.strip())
    rest = text.strip() if told is None else (told[2] or "").strip()
    named = choose(Answer(value=rest.rstrip(".")), options) if rest else None
    if told is None or ord(told[1]) - ord("A") >= len(options):
        return named
    return told[1] if not rest or named == told[1] else None


def reply_from_story(source: str, story: Story, question: str, choices: tuple[str, ...]) -> Reply:
    """A story is text: no model and no expert is needed to compose what it says."""
    stem, found = split_options(question)
    answer, text = story.tell(stem)
    options = tuple(strip_letter(choice) for choice in choices) or found
    return Reply(
        question=question, source=source, text=text, answer=answer,
        choice=choose(answer, options), trace=answer.steps,
    )  # fmt: skip


def _no_answer(result: GroundedText) -> Answer:
    """A model that asked nothing gives its text alone, and the regions that it speaks of."""
    if result.finish in ("complete", "length") and result.text.strip():
        ids = dict.fromkeys(name for mention in result.mentions for name in mention.ids)
        note = "in the model's own words; nothing was computed"
        if result.finish == "length":
            note += "; cut off at its longest"
        return Answer(value=None, evidence=tuple(ids), note=note)
    status = Status.NOT_UNDERSTOOD if result.finish == "not_understood" else Status.CANNOT_DETECT
    return Answer(value=None, status=status, note=result.text)


def _woven(trace: Sequence[Step], steps: Sequence[Step]) -> tuple[Step, ...]:
    """The solver's steps, put where the query was resolved."""
    at = max((i for i, step in enumerate(trace) if step.name == "resolved"), default=len(trace) - 1)
    return (*trace[: at + 1], *steps, *trace[at + 1 :])

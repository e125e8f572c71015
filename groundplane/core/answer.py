"""Answers: a value with what it rests on, and the sentence that carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from groundplane.core.locations import Located, Problem

__all__ = [
    "Answer",
    "FrameOfReference",
    "GroundedText",
    "Mention",
    "RunnerUp",
    "Status",
    "Step",
    "Value",
    "plain",
]

Value = float | int | str | bool | tuple[str, ...] | None


class Status(StrEnum):
    """How a question ended."""

    ANSWERED = "answered"
    AMBIGUOUS = "ambiguous"
    TOO_CLOSE = "too_close"
    UNKNOWN_OBJECT = "unknown_object"
    NOT_UNDERSTOOD = "not_understood"
    NEEDS_VIDEO = "needs_video"
    CANNOT_DETECT = "cannot_detect"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOfReference:
    """What left, right, in front, behind and metres refer to.

    Attributes:
        kind: `world` (z up), `viewpoint` (somebody stands and looks), `camera` (the scene's own
            camera looks), `object` (an object's own front) or `image` (the image plane: the
            photographer's left and right, pixels).
        origin: Id of the object stood at; None for the middle of the scene.
        facing: Id of the object looked at.
        text: The frame in words.
        turn: Counter-clockwise turn from the object looked at, radians (pi: the back to it).
    """

    kind: Literal["world", "viewpoint", "camera", "object", "image"]
    text: str
    origin: str | None = None
    facing: str | None = None
    turn: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a trace.

    Attributes:
        name: What was done (`select`, `relate`, `ground`, ...).
        detail: With what, and what came out, in words.
        seconds: Since the run began; None for a step without a time of its own.
    """

    name: str
    detail: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """The most probable other value of an uncertain answer.

    Attributes:
        value: None where there is then no answer at all.
        probability: In [0, 1].
    """

    value: Value
    probability: float

    def record(self) -> dict[str, Any]:
        """The runner-up as plain JSON values."""
        return {"value": plain(self.value), "probability": self.probability}


def plain(value: Value) -> Any:
    """A value as JSON holds it: a list of names for a tuple."""
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The value of a query on a scene.

    Attributes:
        value: Number, string, truth value or list of names; None where there is none.
        status: How it ended.
        unit: Unit of a numeric value (`m`, `cm`, `m2`, `px`, `count`), or None.
        interval: Where the value lies with 90 % probability, or None where the scene states no
            uncertainty.
        probability: How probable the value is, in [0, 1]; of a measured number, that it was
            measured of the right objects. None where the scene states no uncertainty, or the
            answer does not turn on it.
        runner_up: The most probable other value, or None where there is none.
        evidence: Ids of the objects or regions that it rests on.
        frame: The frame of reference used, or None where the answer needs none.
        measure: What was measured and how, in words.
        note: What the reader must know: which of several objects was taken and why, what is
            missing, what to ask instead. One line.
        steps: How the value came about.
        path: For a way: the polyline of the walker's centre, x and y, metres; else empty.
    """

    value: Value
    status: Status = Status.ANSWERED
    unit: str | None = None
    interval: tuple[float, float] | None = None
    probability: float | None = None
    runner_up: RunnerUp | None = None
    evidence: tuple[str, ...] = ()
    frame: FrameOfReference | None = None
    measure: str = ""
    note: str = ""
    steps: tuple[Step, ...] = field(default=())
    path: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A stretch of text that speaks of objects or regions.

    Attributes:
        span: First character and one past the last, of the text that is shown.
        ids: The objects or regions.
        phrase: The phrase as the model wrote it, without the blanks around it.
        located: Where the model itself says that it is; None where it does not.
    """

    span: tuple[int, int]
    ids: tuple[str, ...]
    phrase: str = ""
    located: Located | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedText:
    """What a language model said, tied to what it rests on.

    Attributes:
        text: The whole text of one sequence.
        mentions: Which stretch of the text speaks of which objects or regions.
        answers: The answers to the queries that the model made, in order.
        trace: Every event, request and resolution.
        finish: Why the text ended: `complete`, `not_understood`, `length`, `broken` or `budget`.
        problems: What is wrong with the locations that the model wrote.
        regions: What the experts found: one `Regions` an image, None where nobody looked.
    """

    text: str
    mentions: tuple[Mention, ...] = ()
    answers: tuple[Answer, ...] = ()
    trace: tuple[Step, ...] = ()
    finish: str = "complete"
    problems: tuple[Problem, ...] = ()
    # Tensors have no truth value; two texts of unlike regions differ in their mentions.
    regions: tuple[Any, ...] = field(default=(), compare=False)

"""The session protocol between a language model and the orchestrator.

A model opens a session over a batch of prompts. `step` takes what was resolved since the last
step and gives events. Requests are named by the model and run while it goes on; a sequence
waits only once it says `Need`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from groundplane.core.image import FrameMap, Image
from groundplane.core.queries import Expression
from groundplane.core.session_notes import Injected, Note

__all__ = [
    "Done",
    "Event",
    "Failed",
    "Ground",
    "LanguageModel",
    "Locate",
    "Need",
    "Prompt",
    "Query",
    "Resolved",
    "Session",
    "Text",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """What one sequence is asked.

    Attributes:
        text: The question.
        images: The pictures it is about; empty when it is about a scene.
        choices: The options of a multiple-choice question, as written.
        scene: What queries are solved on; opaque to the model, handed to the resolvers.
        vocabulary: The names of things that may be asked for: the words that the experts can look
            for, or the labels of the scene; None if any text will do.
        system: What the model is told before the question; most are told nothing.
        regions: One an image, or none at all: regions that the text may pick by index.
    """

    text: str
    images: tuple[Image, ...] = ()
    choices: tuple[str, ...] = ()
    scene: object | None = None
    vocabulary: tuple[str, ...] | None = None
    system: str = ""
    regions: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A piece of the sequence's text.

    Attributes:
        sequence: Index of the prompt.
        text: What is shown.
        refers: Ids of objects or regions it speaks of.
        tokens: How many tokens the model spent on it, where it counts them; tokens that show
            nothing come with an empty text.
    """

    sequence: int
    text: str
    refers: tuple[str, ...] = ()
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Find what the phrases name in an image.

    Attributes:
        sequence: Index of the prompt.
        request: The model's name for the request, unique within the sequence.
        phrases: What to find.
        image: Index into the prompt's images.
        span: Characters of the sequence's text that speak of it, or None.
        embedding: The model's hidden state that locates the one phrase (a tensor of shape (d,)),
            for an expert that is asked with it; None where words alone are asked.
    """

    sequence: int
    request: str
    phrases: tuple[str, ...]
    image: int = 0
    span: tuple[int, int] | None = None
    embedding: object | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Locate:
    """Boxes that the model gave itself, in its own frame.

    Attributes:
        boxes: `xyxy` in the model's frame.
        frame_map: From the model's frame to the image's pixels.
        span: Characters of the sequence's text that speak of them.
        ids: Of regions that are known already and that the model picked, one a box; empty where
            the boxes are the model's own.
    """

    sequence: int
    boxes: Float[np.ndarray, "n 4"]
    frame_map: FrameMap
    span: tuple[int, int]
    image: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Ask the solver; `on` names the earlier `Ground` requests whose regions it is about."""

    sequence: int
    request: str
    expression: Expression
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The sequence cannot go on without these requests."""

    sequence: int
    requests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The sequence has ended.

    Attributes:
        sequence: Index of the prompt.
        finish: Why: the model ended it, it did not understand, it reached its longest text, or
            it broke off (a server that is gone; a `Note` says what happened).
    """

    sequence: int
    finish: Literal["complete", "not_understood", "length", "broken"] = "complete"


Event = Text | Ground | Locate | Query | Need | Injected | Note | Done


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """The result of a request: a `DetectResult` for `Ground`, an `Answer` for `Query`."""

    sequence: int
    request: str
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A request that got no result; the sequence goes on without it.

    Attributes:
        kind: `error` (the resolver failed), `deadline` (too late), `budget` (not run),
            `unsupported` (there is no resolver for it).
        message: What went wrong, one line, naming the resolver or expert.
    """

    sequence: int
    request: str
    kind: Literal["error", "deadline", "budget", "unsupported"]
    message: str


@runtime_checkable
class Session(Protocol):
    """A running batch of sequences.

    A session may also have `stop(sequence)`, called once a sequence was ended from outside: it
    says nothing more; and `close()`, called when the run is over, whatever ended it.
    """

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Take what was resolved since the last step and go on as far as is useful."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """A language model plugin."""

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        ...

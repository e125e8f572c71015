"""What a session over a chat interface is told: how models are asked there, and its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.image import Image
from groundplane.core.session import Failed, Ground, Prompt, Query, Resolved
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.triggers import Trigger

__all__ = ["Called", "ChatTerms", "Fit", "How", "Tool", "Ways"]

# How what an expert found gets into the answer: as the result of a tool call, in the next turn;
# behind the phrase in mid-sentence, by stopping there and continuing; or not at all.
How = Literal["tools", "continue", "text"]

# The frame in which the model gets to see a picture: it is sent at the size of the canvas.
Fit = Callable[[Image], Frame]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Called:
    """A tool call of the model; its arguments are a JSON object, not yet checked.

    Attributes:
        sequence: Index of the prompt.
        request: The name that its request gets.
        arguments: As the model wrote them.
        prompt: What the sequence was asked.
        grounds: Requests for regions that the answer made before.
    """

    sequence: int
    request: str
    arguments: Mapping[str, Any]
    prompt: Prompt
    grounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tool:
    """A tool that the model may call.

    Attributes:
        name: Letters, digits, `_` and `-`.
        description: What it is for, for the model.
        parameters: JSON schema of its arguments.
        ask: From a call to its request. Raises `InputError` where the arguments are wrong; the
            model is told the message.
        tell: From what became of the request to the JSON that the model reads.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    ask: Callable[[Called], Ground | Query]
    tell: Callable[[Ground | Query, Resolved | Failed, Frame | None], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ways:
    """What an interface honours, and so how it is asked.

    Attributes:
        how: See `How`.
        dialect: The language that places in the text are read by; None: it has none.
        instruction: Told to the model before all else, such as how to write places.
        triggers: Of `continue`: what is stopped at.
        tools: Of `tools`.
        extras: Fields that every request carries besides OpenAI's own.
        resumes: Whether an unfinished answer is gone on with where it ends.
        notes: What a reader must know of the choice; told once a sequence as `fallback`.
    """

    how: How = "text"
    dialect: Dialect | None = None
    instruction: str = ""
    triggers: tuple[Trigger, ...] = ()
    tools: tuple[Tool, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    resumes: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChatTerms:
    """Limits of a session, and what all its requests have in common.

    Attributes:
        fit: From a picture to the frame it is sent in; its canvas has the size that is sent.
        fields: Of every request: `temperature`, `top_p`, `seed`, ...
        max_tokens: Most tokens of an answer over all its requests.
        rounds: Most requests of one answer that an expert's result goes into; what the model
            asks for after them is text.
        retries: How often a request is made again where the other side is busy.
        deadline: Seconds for a request with its retries.
        streams: Most requests under way at a time.
        list_regions: Whether `Prompt.regions` are listed in words; not where they are drawn.

    Raises:
        InputError: If a limit is out of range.
    """

    fit: Fit
    fields: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 512
    rounds: int = 16
    retries: int = 3
    deadline: float = 120.0
    streams: int = 8
    list_regions: bool = True

    def __post_init__(self) -> None:
        limits = {
            "max_tokens": (1, 1_000_000),
            "rounds": (0, 1000),
            "retries": (0, 100),
            "deadline": (0.001, 86_400.0),
            "streams": (1, 256),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"chat: {name}: expected {least} to {most}, got {value}")

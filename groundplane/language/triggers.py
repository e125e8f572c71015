"""Stretches of a text that ask for something: what opens and closes one, and what is told back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from groundplane.core.frames import Frame
from groundplane.core.session import Failed, Ground, Prompt, Query, Resolved

__all__ = ["Asked", "Told", "Trigger"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What a closed stretch of text holds.

    Attributes:
        sequence: Index of the prompt.
        request: The name that its request gets.
        payload: The text between the two signs.
        span: Characters of the shown text that speak of it.
        prompt: What the sequence was asked.
    """

    sequence: int
    request: str
    payload: str
    span: tuple[int, int]
    prompt: Prompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What became of a request, to be put into words for the model.

    Attributes:
        event: The request.
        outcome: What became of it.
        prompt: What the sequence was asked.
        frames: One an image: the canvases that the model writes places on.
    """

    event: Ground | Query
    outcome: Resolved | Failed
    prompt: Prompt
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trigger:
    """A kind of stretch that asks for something.

    Attributes:
        open: The sign before the payload.
        close: The sign after it; there the request goes out.
        ask: From the stretch to its request; None where it holds none and is text; an
            `InputError` where it is malformed, whose message is told to the model instead.
        tell: From the outcome to what the model reads right behind the closing sign; empty:
            nothing. The expert's words in it are data: signs of the dialect are escaped.
        shown: Whether the payload is part of the text that is shown; the signs never are.
        waits: Whether the model waits for the outcome before it goes on.
    """

    open: str
    close: str
    ask: Callable[[Asked], Ground | Query | None]
    tell: Callable[[Told], str]
    shown: bool = True
    waits: bool = True

"""Events of a session that ask for nothing: they tell how its text came about."""

from __future__ import annotations

from dataclasses import dataclass

from groundplane.core.locations import Problem

__all__ = ["Injected", "Note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """What the model was given in mid-sentence, so that a run can be explained and replayed.

    Attributes:
        sequence: Index of the prompt.
        request: The request whose outcome it tells.
        text: As the model reads it.
        tokens: The ids that were fed, where the model's are known; else empty.
        before: Entries of the sequence's key-value cache before it, or None where it has none.
        after: Entries after it.
        cut: Tokens of the model's own that it replaced.
    """

    sequence: int
    request: str
    text: str
    tokens: tuple[int, ...] = ()
    before: int | None = None
    after: int | None = None
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that the reader must know of how the text came about.

    Attributes:
        sequence: Index of the prompt.
        name: What it is, one word: `dropped`, `fallback`, `retry`, `marks`, ...
        detail: In words, one line.
        problem: What is wrong with a location that the model wrote; it joins the text's
            problems.
    """

    sequence: int
    name: str
    detail: str
    problem: Problem | None = None

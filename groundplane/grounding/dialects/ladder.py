"""What is tried where a text holds nothing in its own dialect.

Each step says how else the text could be read: as which dialect, with which characters changed
for which (never added or taken away, so that offsets stay those of the text), and what is said
about it. The text is then scanned again, once a step, until something is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from groundplane.core.locations import ProblemKind, Rung
from groundplane.grounding.dialects.grammar import Dialect

__all__ = ["STEPS", "Attempt", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """Another way to read a text.

    Attributes:
        dialect: The language to read it in.
        text: The text, of the same length.
        rung: What its locations state of how they were read.
        kind: The problem that is said where something is found so.
        message: The same in words.
    """

    dialect: Dialect
    text: str
    rung: Rung
    kind: ProblemKind
    message: str


Step = Callable[[str, Dialect], Attempt | None]

STEPS: tuple[Step, ...] = ()

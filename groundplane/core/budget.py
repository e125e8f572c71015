"""What a run of the orchestrator may use."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from groundplane.core.errors import InputError

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may use.

    Attributes:
        calls: Requests of one sequence; those after it fail as `budget`.
        boxes: Regions of one result; a result with more fails as `budget`.
        tokens: Tokens of one sequence, where the model counts them.
        seconds: Wall-clock seconds of the whole run, the reader's of `stream` among them.
        deadline: Seconds that a resolver may take for a batch, once a worker runs it.
        events: Events of one sequence.
        text: Characters of one sequence's text.
    """

    calls: int = 16
    boxes: int = 1000
    tokens: int = 100_000
    seconds: float = 120.0
    deadline: float = 60.0
    events: int = 100_000
    text: int = 1_000_000

    def __post_init__(self) -> None:
        for name, least in (("calls", 0), ("boxes", 0), ("tokens", 1), ("events", 1), ("text", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"budget: expected {name} of at least {least}, got {value}")
        for name in ("seconds", "deadline"):
            value = getattr(self, name)
            if not 0 < value <= threading.TIMEOUT_MAX:
                raise InputError(
                    f"budget: expected {name} above 0 and at most {threading.TIMEOUT_MAX:g}, "
                    f"got {value}"
                )

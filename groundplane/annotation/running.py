"""How a job runs: what may differ from call to call, since it changes nothing that comes out."""

from __future__ import annotations

import os
from dataclasses import dataclass

from groundplane.core.errors import InputError

__all__ = ["Running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How fast a job runs and when it gives up.

    Attributes:
        device: Where the experts run.
        batch: The most pictures that they get at a time.
        workers: Processes that decode; None for one a core, but at most eight.
        apart: Whether experts that are named run in a process of their own, so that a crash of
            one fails a picture and not the job. One that is handed over runs in this process.
        deadline: Seconds that a stage of the experts may take for a batch.
        decode_seconds: Seconds that reading and decoding a picture may take.
        memory: Most bytes that the experts' own process may hold; None for no limit.
        max_failures: More failed pictures end the job; None goes on whatever fails.
        retry_failed: Whether pictures that failed before are tried again.
        limit: So many items of the source at most; None for all.
        candidates: Whether the records that are handed out hold candidates under the thresholds
            too. The run keeps them in any case.

    Raises:
        InputError: If a number is out of range.
    """

    device: str = "auto"
    batch: int = 16
    workers: int | None = None
    apart: bool = True
    deadline: float | None = 120.0
    decode_seconds: float = 30.0
    memory: int | None = None
    max_failures: int | None = None
    retry_failed: bool = False
    limit: int | None = None
    candidates: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("batch", 1), ("workers", 1), ("max_failures", 0), ("limit", 0),
        ):  # fmt: skip
            number = getattr(self, name)
            if number is not None and number < least:
                raise InputError(f"annotation: expected {name} of {least} or more, got {number}")
        if not self.decode_seconds > 0:
            raise InputError(
                f"annotation: expected decode_seconds above 0, got {self.decode_seconds}"
            )

    @property
    def num_workers(self) -> int:
        """Processes that decode.

        Examples:
            >>> Running(workers=3).num_workers
            3
        """
        if self.workers is not None:
            return self.workers
        return min(8, len(os.sched_getaffinity(0)))

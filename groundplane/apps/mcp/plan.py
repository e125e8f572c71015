"""What whoever starts the server decides; no client can change any of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from groundplane.core.errors import InputError

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a server serves.

    Attributes:
        roots: Folders that files may be read from; none, no files.
        out: Folder that masks and drawings are written to, or None.
        detector: The experts that look, with commas between them; None for all.
        segmenter: Likewise, who makes masks.
        options: Options of the experts, `key=value`.
        device: Where the experts run.
        seconds: What a call may take.
        calls: Calls that are worked on at a time; further ones wait.
        max_pixels: Width times height of the largest picture.
        max_bytes: Size of the largest file.

    Raises:
        InputError: If a number is out of range.
    """

    roots: tuple[str, ...] = ()
    out: str | None = None
    detector: str | None = None
    segmenter: str | None = None
    options: tuple[str, ...] = ()
    device: str = "auto"
    seconds: float = 60.0
    calls: int = 4
    max_pixels: int = 40_000_000
    max_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 86_400 or not math.isfinite(self.seconds):
            raise InputError(f"--seconds: expected a number above 0, got {self.seconds}")
        if not 1 <= self.calls <= 64:
            raise InputError(f"--calls: expected a number from 1 to 64, got {self.calls}")

    def record(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Plan:
        """The plan of a record.

        Examples:
            >>> Plan.of(Plan(roots=("photos",)).record()).roots
            ('photos',)
        """
        lists = {name: tuple(record[name]) for name in ("roots", "options")}
        return cls(**record | lists)

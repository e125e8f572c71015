"""What detectors are asked and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.image import Image
from groundplane.core.regions import Regions

__all__ = ["DetectRequest", "DetectResult", "Detector", "Outcome"]


class Outcome(StrEnum):
    """How a phrase ended.

    `cannot` means that the expert cannot look for it, not that it is absent.
    """

    FOUND = "found"
    NONE = "none"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectRequest:
    """Find phrases in an image.

    Attributes:
        image: Where to look.
        phrases: What to find; an empty tuple gives empty regions.
        thresholds: The least score for each phrase, in [0, 1], or None for the expert's own.

    Raises:
        ShapeError: If there is not one threshold a phrase.
        InputError: If a threshold is not in [0, 1].
    """

    image: Image
    phrases: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.thresholds is None:
            return
        if len(self.thresholds) != len(self.phrases):
            raise ShapeError(
                f"detect request: {len(self.phrases)} phrases but {len(self.thresholds)} thresholds"
            )
        for phrase, threshold in zip(self.phrases, self.thresholds, strict=True):
            if not 0 <= threshold <= 1:  # NaN is not either
                raise InputError(
                    f"detect request: expected a threshold from 0 to 1 for {phrase!r}, "
                    f"got {threshold}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectResult:
    """What an expert found.

    Attributes:
        regions: All regions; `regions.phrases` is the request's table.
        outcomes: One a phrase.
        note: What a user must know, such as the words that the expert can look for.
    """

    regions: Regions
    outcomes: tuple[Outcome, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.outcomes) != len(self.regions.phrases):
            raise ShapeError(
                f"detect result: {len(self.regions.phrases)} phrases but "
                f"{len(self.outcomes)} outcomes"
            )


@runtime_checkable
class Detector(Protocol):
    """An expert that finds phrases in images."""

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words it can look for; None if it takes any text."""
        ...

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        ...

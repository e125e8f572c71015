"""What detectors are asked and what they answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from groundplane.core.answer import Step
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
        exemplars: For each phrase a box in the image (`xyxy` pixels) around one such thing, or
            None; None where no phrase has one.
        embeddings: For each phrase the hidden state of a language model that locates it, of shape
            (d,), or None; None where no phrase has one. An expert that takes no embeddings looks
            for the phrase by its words.

    Raises:
        ShapeError: If there is not one threshold, or not one exemplar, embedding or None, a
            phrase, or an embedding is no row of numbers.
        InputError: If a threshold is not in [0, 1], an embedding holds a number that is not
            finite, or a phrase holds half a surrogate pair, which no expert can read.
    """

    image: Image
    phrases: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None
    exemplars: tuple[tuple[float, float, float, float] | None, ...] | None = None
    embeddings: tuple[Tensor | None, ...] | None = None

    def __post_init__(self) -> None:
        for phrase in self.phrases:
            if not _is_text(phrase):
                raise InputError(
                    f"detect request: {phrase[:80]!r} holds half a surrogate pair, which is no "
                    "text. Try: give phrases in valid UTF-8"
                )
        if self.exemplars is not None and len(self.exemplars) != len(self.phrases):
            raise ShapeError(
                f"detect request: {len(self.phrases)} phrases but {len(self.exemplars)} exemplars"
            )
        if self.embeddings is not None:
            _check_embeddings(self.embeddings, self.phrases)
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


def _check_embeddings(states: Sequence[object], phrases: Sequence[str]) -> None:
    if len(states) != len(phrases):
        raise ShapeError(f"detect request: {len(phrases)} phrases but {len(states)} embeddings")
    for state, phrase in zip(states, phrases, strict=True):
        if state is None:
            continue
        if not isinstance(state, Tensor) or state.dim() != 1 or not len(state):
            got = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise ShapeError(
                f"detect request: embedding of {phrase[:80]!r}: expected a tensor of shape (d,), "
                f"got {got}"
            )
        if not state.is_floating_point() or not bool(state.isfinite().all()):
            raise InputError(
                f"detect request: embedding of {phrase[:80]!r}: expected finite floating-point "
                f"numbers, got {state.dtype} of which some may be infinite or no number"
            )


def _is_text(phrase: str) -> bool:
    return phrase.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in phrase)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectResult:
    """What an expert found.

    Attributes:
        regions: All regions; `regions.phrases` is the request's table.
        outcomes: One a phrase.
        note: What a user must know, such as the words that the expert can look for.
        candidates: All that the expert scored, best first, the low ones too, with the phrases of
            `regions`; None where it keeps none. See `at`.
        presence: How probable it is that each phrase is in the image at all, in [0, 1], where
            the expert or a gate says so; else None.
        uncounted: Indices of the phrases of which there are more things than regions, because a
            region stands for a crowd.
        steps: How it came about, for the trace: which expert was asked for what, and why.
    """

    regions: Regions
    outcomes: tuple[Outcome, ...]
    note: str = ""
    candidates: Regions | None = None
    presence: tuple[float, ...] | None = None
    uncounted: tuple[int, ...] = ()
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if self.presence is not None and len(self.presence) != len(self.regions.phrases):
            raise ShapeError(
                f"detect result: {len(self.regions.phrases)} phrases but "
                f"{len(self.presence)} presences"
            )
        if len(self.outcomes) != len(self.regions.phrases):
            raise ShapeError(
                f"detect result: {len(self.regions.phrases)} phrases but "
                f"{len(self.outcomes)} outcomes"
            )

    def at(self, thresholds: Sequence[float]) -> DetectResult:
        """The same look with other thresholds, without looking again.

        Args:
            thresholds: The least score for each phrase, in [0, 1].

        Returns:
            The candidates that reach them. What the expert cannot look for stays `cannot`.

        Raises:
            InputError: If the expert kept no candidates.
            ShapeError: If there is not one threshold a phrase.
        """
        if self.candidates is None:
            raise InputError("detect result: this expert keeps no candidates; detect again")
        if len(thresholds) != len(self.outcomes):
            raise ShapeError(
                f"detect result: {len(self.outcomes)} phrases but {len(thresholds)} thresholds"
            )
        ids = self.candidates.phrase_ids
        least = torch.tensor([*thresholds, math.inf], device=ids.device)[ids]
        regions = self.candidates.select(self.candidates.scores >= least)
        found = set(regions.phrase_ids.tolist())
        outcomes = tuple(
            before
            if before is Outcome.CANNOT
            else (Outcome.FOUND if index in found else Outcome.NONE)
            for index, before in enumerate(self.outcomes)
        )
        return replace(self, regions=regions, outcomes=outcomes)


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

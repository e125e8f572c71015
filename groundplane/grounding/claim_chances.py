"""How many things there are, given how many an expert found, and what that says of a claim.

An expert misses things and sees things that are not there. Of what it found, each is real with the
probability `precision`; of what is there, each was found with the probability `recall`. A claim is
right with the probability `prior` before anybody looks, and numbers that make it right, and those
that make it wrong, are weighed among each other by a geometric distribution. Bayes' rule does the
rest. With recall and precision at 1, which is the default, the finds are the things.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from groundplane.core.claims import Number, Verdict
from groundplane.core.errors import InputError

__all__ = ["Trust", "judge_number"]

# More finds than this are counted as they are: nobody claims so many to one.
_MOST_FINDS = 30
# Of the things missed, so many are thought of at most.
_MOST_MISSED = 60
# Each further thing of a kind is so much less probable: two of a kind are expected.
_FURTHER = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far an expert is believed.

    Attributes:
        high: A find with this score is taken to be there; None for the expert's own threshold.
        low: A find below `high` with this score may be there: neither is claimed.
        recall: How many of the things that are there it finds, in (0, 1].
        precision: How many of its finds are there, in (0, 1].
        prior: How probable a claim is before anybody looks, in (0, 1). It counts only where
            something may be missed.
        confidence: A claim is supported or contradicted when that is at least so probable.

    Raises:
        InputError: If one is out of its range, or `low` is above `high`.
    """

    high: float | None = None
    low: float = 0.2
    recall: float = 1.0
    precision: float = 1.0
    prior: float = 0.5
    confidence: float = 0.9

    def __post_init__(self) -> None:
        for name in ("recall", "precision"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"trust: expected {name} above 0 and up to 1, got {getattr(self, name)}"
                )
        if not 0 < self.prior < 1:
            raise InputError(f"trust: expected a prior between 0 and 1, got {self.prior}")
        if not 0.5 < self.confidence < 1:
            raise InputError(
                f"trust: expected a confidence between 0.5 and 1, got {self.confidence}"
            )
        if not 0 <= self.low <= 1 or not (self.high is None or self.low <= self.high <= 1):
            raise InputError(
                f"trust: expected 0 <= low <= high <= 1, got low {self.low} and high {self.high}"
            )

    def of_pairs(self) -> Trust:
        """The same of two things together: both must be there, and both be found."""
        return replace(self, recall=self.recall**2, precision=self.precision**2)


def judge_number(
    number: Number, sure: int, possible: int = 0, *, trust: Trust, more: bool = False
) -> Verdict:
    """Whether a claimed number holds.

    Args:
        number: What is claimed.
        sure: Finds that are taken to be there.
        possible: Finds that may be there.
        trust: How far the expert is believed.
        more: There may be any number more than were found.

    Examples:
        >>> two = Number(least=2, most=2)
        >>> judge_number(two, 2, trust=Trust()).value, judge_number(two, 3, trust=Trust()).value
        ('supported', 'contradicted')
        >>> judge_number(two, 1, 1, trust=Trust()).value
        'cannot_tell'
        >>> judge_number(two, 1, trust=Trust(recall=0.6)).value
        'cannot_tell'
    """
    reach = possible
    if more:
        # From here on nothing changes: the number is either open above or long exceeded.
        top = number.ceiling or number.most or number.least
        reach = possible + max(top, number.least) + 1
    chances = [_chances(number, sure, extra, trust) for extra in range(min(reach, 10_000) + 1)]
    if all(right >= trust.confidence for right, _ in chances):
        return Verdict.SUPPORTED
    if all(wrong >= trust.confidence for _, wrong in chances):
        return Verdict.CONTRADICTED
    return Verdict.CANNOT_TELL


def _chances(number: Number, sure: int, extra: int, trust: Trust) -> tuple[float, float]:
    """How probable it is that the claim is right, and that it is wrong."""
    right = wrong = 0.0
    for real, chance in _real(sure, trust):
        for count, share in _counts(number, real, extra, trust):
            fits = number.fits(count)
            if fits is not None:
                right, wrong = right + chance * share * fits, wrong + chance * share * (not fits)
    return right, wrong


def _real(sure: int, trust: Trust) -> list[tuple[int, float]]:
    """How probable each number of real finds is."""
    p = trust.precision
    if sure > _MOST_FINDS or p == 1:
        return [(sure, 1.0)]
    return [(k, math.comb(sure, k) * p**k * (1 - p) ** (sure - k)) for k in range(sure + 1)]


def _counts(number: Number, real: int, extra: int, trust: Trust) -> list[tuple[int, float]]:
    """How probable each number of things is, if so many finds are real and `extra` more are."""
    r = trust.recall
    if real > _MOST_FINDS or r == 1:
        return [(real + extra, 1.0)]
    before = [_FURTHER**count for count in range(real + extra + _MOST_MISSED)]
    right = sum(w for count, w in enumerate(before) if number.fits(count))
    wrong = sum(before) - right
    told: list[tuple[int, float]] = []
    for missed in range(_MOST_MISSED):
        count = real + extra + missed
        if number.fits(count):
            weight = trust.prior * before[count] / right
        else:
            weight = (1 - trust.prior) * before[count] / wrong
        told.append((count, weight * math.comb(real + missed, real) * (1 - r) ** missed))
    whole = sum(chance for _, chance in told)
    return [(count, chance / whole) for count, chance in told]

"""How many things there are, given how many an expert found, and what that says of a claim.

An expert misses things and sees things that are not there. Of what it found, each is real with the
probability `precision`; of what is there, each was found with the probability `recall`. With every
number of things equally likely beforehand, r real finds leave the number missed distributed as a
negative binomial: P(m) = C(r + m, m) recall^(r + 1) (1 - recall)^m. With both at 1, which is the
default, the finds are the things.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from groundplane.core.claims import Number, Verdict
from groundplane.core.errors import InputError

__all__ = ["Trust", "judge_number"]

# More finds than this are counted as they are: what is a few off in so many is the same claim.
_MOST_FINDS = 60
# The part of the distribution of what was missed that is left out, at most.
_TAIL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far an expert is believed.

    Attributes:
        high: A find with this score is taken to be there; None for the expert's own threshold.
        low: A find below `high` with this score may be there: neither is claimed.
        recall: How many of the things that are there it finds, in (0, 1].
        precision: How many of its finds are there, in (0, 1].
        confidence: A claim is supported or contradicted when that is at least so probable.

    Raises:
        InputError: If one is out of its range, or `low` is above `high`.
    """

    high: float | None = None
    low: float = 0.2
    recall: float = 1.0
    precision: float = 1.0
    confidence: float = 0.9

    def __post_init__(self) -> None:
        for name in ("recall", "precision"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"trust: expected {name} above 0 and up to 1, got {getattr(self, name)}"
                )
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
        return Trust(
            high=self.high, low=self.low, recall=self.recall**2, precision=self.precision**2,
            confidence=self.confidence,
        )  # fmt: skip


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
        >>> judge_number(Number(least=0, most=0), 0, trust=Trust(recall=0.8)).value
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
    for count, chance in _counts(sure, trust):
        fits = number.fits(count + extra)
        if fits is not None:
            right, wrong = right + chance * fits, wrong + chance * (not fits)
    return right, wrong


def _counts(sure: int, trust: Trust) -> list[tuple[int, float]]:
    """How probable each number of things is."""
    if sure > _MOST_FINDS or (trust.recall == 1 and trust.precision == 1):
        return [(sure, 1.0)]
    p, r = trust.precision, trust.recall
    chances: dict[int, float] = {}
    for real in range(sure + 1):
        here = math.comb(sure, real) * p**real * (1 - p) ** (sure - real)
        missed, chance, told = 0, r ** (real + 1), 0.0
        while here * chance > 0 and told < 1 - _TAIL and missed < 1000:
            chances[real + missed] = chances.get(real + missed, 0.0) + here * chance
            told += chance
            missed += 1
            chance *= (real + missed) / missed * (1 - r)
    return list(chances.items())

"""Scores of benchmarks."""

from __future__ import annotations

import math

import numpy as np

from groundplane.core.errors import InputError

__all__ = ["accuracy", "mean_relative_accuracy", "wilson"]

# Thresholds 0.50, 0.55, ..., 0.95 (VSI-Bench, section 3.3).
_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def mean_relative_accuracy(predicted: float | None, truth: float) -> float:
    """Share of the ten thresholds t for which |predicted - truth| / truth <= 1 - t.

    VSI-Bench's paper writes `<`, its code `<=`; this is the code's.

    Args:
        predicted: None scores 0.
        truth: Not 0.

    Examples:
        >>> [mean_relative_accuracy(p, 1.0) for p in (1.0, 1.05, 1.10, 1.25, 1.5, 0.5, 0.0)]
        [1.0, 1.0, 0.9, 0.6, 0.1, 0.1, 0.0]
        >>> mean_relative_accuracy(None, 1.0)
        0.0
    """
    if predicted is None or not np.isfinite(predicted):
        return 0.0
    error = abs(predicted - truth) / truth
    return float(np.mean(error <= 1 - _THRESHOLDS))


def accuracy(predicted: str | None, truth: str) -> float:
    """1 where the letters are the same, whatever their case.

    Examples:
        >>> accuracy("a", "A"), accuracy(None, "A")
        (1.0, 0.0)
    """
    return float(predicted is not None and predicted.strip().lower() == truth.strip().lower())


def wilson(right: int, of: int, *, z: float = 1.959964) -> tuple[float, float]:
    """The interval in which a share lies, of so many right of so many independent trials.

    Args:
        right: Successes.
        of: Trials; 0 tells nothing, so the interval is all of it.
        z: Standard normal quantile; the default is of 95 %.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        InputError: If there are more successes than trials, or less than none.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA
        1927. Unlike the normal interval it holds for few trials and for shares of 0 and 1.

    Examples:
        >>> [round(end, 4) for end in wilson(42, 150)]
        [0.2143, 0.3567]
        >>> wilson(0, 0)
        (0.0, 1.0)
    """
    if not 0 <= right <= of:
        raise InputError(f"interval: expected 0 to {of} of {of}, got {right}")
    if not of:
        return 0.0, 1.0
    share, square = right / of, z * z
    middle = share + square / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    whole = 1 + square / of
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)

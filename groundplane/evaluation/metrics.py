"""Scores of benchmarks."""

from __future__ import annotations

import numpy as np

__all__ = ["accuracy", "mean_relative_accuracy"]

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

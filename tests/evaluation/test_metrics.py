"""Scores: the two metrics of VSI-Bench, against a plain version."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.evaluation.metrics import accuracy, mean_relative_accuracy

LENGTHS = st.floats(min_value=1e-3, max_value=1e6)


def plain(predicted, truth):
    """The metric in whole percents, one threshold after the other: 50, 55, ..., 95."""
    error = abs(predicted - truth) / truth
    return sum(error <= 1 - percent / 100 for percent in range(50, 100, 5)) / 10


@given(LENGTHS, LENGTHS)
def test_the_mean_relative_accuracy_is_the_share_of_thresholds_met(predicted, truth):
    error = abs(predicted - truth) / truth
    # At a threshold itself the two ways to compute it may differ in the last bit.
    near = any(abs(error - k * 0.05) < 1e-9 for k in range(1, 11))
    if not near:
        assert mean_relative_accuracy(predicted, truth) == pytest.approx(plain(predicted, truth))


@given(LENGTHS, st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_a_greater_error_never_scores_more(truth, a, b):
    small, great = sorted((a, b))
    for sign in (1, -1):
        near = mean_relative_accuracy(truth * (1 + sign * small), truth)
        far = mean_relative_accuracy(truth * (1 + sign * great), truth)
        assert far <= near


@given(LENGTHS, LENGTHS, st.integers(min_value=-8, max_value=8))
def test_the_unit_does_not_matter(predicted, truth, power):
    # Powers of two scale without rounding.
    scale = 2.0**power
    assert mean_relative_accuracy(predicted * scale, truth * scale) == mean_relative_accuracy(
        predicted, truth
    )


@pytest.mark.parametrize(
    ("predicted", "truth", "score"),
    [(4, 4, 1.0), (5, 4, 0.6), (3, 4, 0.6), (6, 4, 0.1), (7, 4, 0.0), (0, 4, 0.0), (-4, 4, 0.0)],
)
def test_counts_score_as_in_the_paper(predicted, truth, score):
    assert mean_relative_accuracy(predicted, truth) == pytest.approx(score)


@pytest.mark.parametrize("predicted", [None, math.nan, math.inf, -math.inf])
def test_no_number_scores_nothing(predicted):
    assert mean_relative_accuracy(predicted, 2.0) == 0


@pytest.mark.parametrize(
    ("predicted", "truth", "score"),
    [("A", "A", 1.0), ("a", "A", 1.0), (" A ", "A", 1.0), ("B", "A", 0.0), (None, "A", 0.0),
     ("", "A", 0.0), ("AB", "A", 0.0)],
)  # fmt: skip
def test_letters_are_right_or_wrong(predicted, truth, score):
    assert accuracy(predicted, truth) == score

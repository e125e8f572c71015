import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.training.forgetting import measure_forgetting

_SQUARES = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=n, max_size=n)
)


def test_three_tasks_by_hand():
    got = measure_forgetting([[0.8, 0.1, 0.0], [0.9, 0.7, 0.2], [0.5, 0.6, 0.9]])
    assert got.average == pytest.approx((0.5 + 0.6 + 0.9) / 3)
    assert got.backward_transfer == pytest.approx(((0.5 - 0.8) + (0.6 - 0.7)) / 2)
    assert got.forgetting == pytest.approx((0.9 - 0.5, 0.7 - 0.6))
    assert got.mean_forgetting == pytest.approx(0.25)


@given(_SQUARES)
def test_the_formulas_of_the_papers(scores):
    got = measure_forgetting(scores)
    R, T = np.array(scores), len(scores)
    assert got.average == pytest.approx(R[-1].mean())
    if T == 1:
        assert (got.backward_transfer, got.mean_forgetting, got.forgetting) == (None, None, ())
    else:
        transfer = (R[-1, : T - 1] - R.diagonal()[: T - 1]).sum() / (T - 1)
        assert got.backward_transfer == pytest.approx(transfer)
        lost = [max(R[t, i] for t in range(T - 1)) - R[T - 1, i] for i in range(T - 1)]
        assert got.forgetting == pytest.approx(lost)
        assert got.mean_forgetting >= -got.backward_transfer - 1e-12


def test_nothing_forgotten_is_nothing_lost():
    got = measure_forgetting([[0.5, 0.1], [0.5, 0.9]], ["first", "second"])
    assert (got.backward_transfer, got.mean_forgetting) == (0, 0)
    assert got.lines() == [
        "average score of 2 tasks at the end: 0.7000",
        "backward transfer: +0.0000",
        "forgetting of first: +0.0000",
    ]


@pytest.mark.parametrize(
    ("scores", "tasks", "error", "expected"),
    [
        ([], None, InputError, "at least one task"),
        ([[1.0, 2.0]], None, ShapeError, "one row and one column of scores a task"),
        ([[1.0], [1.0]], None, ShapeError, "one row and one column"),
        ([[1.0]], ["a", "b"], ShapeError, "2 tasks"),
        ([[math.nan]], None, InputError, "finite"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(scores, tasks, error, expected):
    with pytest.raises(error, match=expected):
        measure_forgetting(scores, tasks)

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.grounding import near_pairs
from groundplane.grounding.near_pairs import BoxIndex, areas, shared_areas

CASES = int(os.environ.get("GROUNDPLANE_CASES", "100"))


def scattered(count, *, seed, side, spread):
    numbers = np.random.default_rng(seed)
    corner = numbers.uniform(-spread, spread, (count, 2))
    return np.concatenate([corner, corner + numbers.random((count, 2)) ** 4 * side], axis=1)


def overlapping(a, b, groups_a, groups_b, least):
    """All pairs by comparing all."""
    first, second = (grid.ravel() for grid in np.indices((len(a), len(b))))
    shared = shared_areas(a[first], b[second])
    over = shared > least * (areas(a)[first] + areas(b)[second] - shared)
    over &= groups_a[first] == groups_b[second]
    return set(zip(first[over].tolist(), second[over].tolist(), strict=True))


def found(index, boxes, groups, least):
    pieces = list(index.pairs(boxes, groups, least=least))
    pairs = [p for a, b in pieces for p in zip(a.tolist(), b.tolist(), strict=True)]
    assert len(set(pairs)) == len(pairs)
    assert index.count(boxes, groups, least=least) == len(pairs)
    return set(pairs)


@settings(max_examples=CASES, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 10**6),
    st.sampled_from([0.5, 30.0, 3000.0, 1e9]),
    st.sampled_from([0.0, 10.0, 500.0, 1e7]),
    st.sampled_from([0.0, 5e-324, 1e-5, 0.05, 0.5, 0.9, 1.0]),
)
def test_no_pair_is_missing_and_none_comes_twice(n, m, seed, side, spread, least):
    a = scattered(n, seed=seed, side=side, spread=spread)
    b = scattered(m, seed=seed + 1, side=side, spread=spread)
    b[: min(n, m) // 2] = a[: min(n, m) // 2]  # some are the very same
    numbers = np.random.default_rng(seed)
    groups_a, groups_b = numbers.integers(-2, 2, n), numbers.integers(-2, 2, m)
    given_ = found(BoxIndex(b, groups_b), a, groups_a, least)
    assert overlapping(a, b, groups_a, groups_b, least) <= given_
    assert all(groups_a[i] == groups_b[j] for i, j in given_)


def test_far_boxes_are_not_compared():
    boxes = scattered(20_000, seed=0, side=20.0, spread=3000.0)
    groups = np.zeros(20_000, dtype=np.int64)
    count = BoxIndex(boxes, groups).count(boxes, groups, least=0.5)
    assert count < 20 * len(boxes)  # of 20,000 each


def test_pairs_come_in_bounded_pieces(monkeypatch):
    monkeypatch.setattr(near_pairs, "_PIECE", 100)
    boxes = np.tile([[0.0, 0, 9, 9]], (50, 1))
    groups = np.zeros(50, dtype=np.int64)
    pieces = list(BoxIndex(boxes, groups).pairs(boxes, groups, least=0.5))
    assert max(len(a) for a, _ in pieces) == 100
    assert sum(len(a) for a, _ in pieces) == 2500


@pytest.mark.parametrize("box", [[5.0, 5, 5, 9], [9.0, 9, 3, 3]])
def test_empty_boxes_share_nothing(box):
    one, around = np.array([box]), np.array([[0.0, 0, 20, 20]])
    assert areas(one).tolist() == [0.0]
    assert shared_areas(one, around).tolist() == [0.0]

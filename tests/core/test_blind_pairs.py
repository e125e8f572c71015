"""Blind pairs: every pair is looked at, and the tiles change nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from groundplane.core.blind_pairs import PairRule, find_blind_pairs
from groundplane.core.errors import InputError, ShapeError


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _clustered(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings of which many pairs are alike to one or to the other."""
    pick = torch.Generator().manual_seed(seed)
    kinds = [torch.randint(0, 3, (n,), generator=pick) for _ in range(2)]
    first, second = (
        _noise(3, 8, seed=seed + k)[kind] + 0.3 * _noise(n, 8, seed=seed + 5 + k)
        for k, kind in enumerate(kinds)
    )
    return first, second


def _reference(
    first: Tensor, second: Tensor, rule: PairRule
) -> list[tuple[float, float, int, int]]:
    """All pairs in float64, one by one, sorted as it is said."""
    kept = [functional.normalize(e.double(), dim=1).float() for e in (first, second)]
    units = [functional.normalize(e.double(), dim=1) for e in kept]
    found = []
    for a in range(len(first)):
        for b in range(a + 1, len(first)):
            one, other = (float(u[a] @ u[b]) for u in units)
            if one >= rule.min_first and other <= rule.max_second:
                found.append((one, other, a, b))
    return sorted(found, key=lambda p: (round(p[1] - p[0], 12), -round(p[0], 12), p[2], p[3]))


@given(
    n=st.integers(0, 30),
    tile=st.integers(1, 40),
    most=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_equals_looking_at_every_pair(n: int, tile: int, most: int, seed: int) -> None:
    first, second = _clustered(n, seed)
    rule = PairRule(min_first=0.8, max_second=0.5, most=most)
    expected = _reference(first, second, rule)
    found = find_blind_pairs(first, second, rule, tile=tile)
    assert found.num_found == len(expected)
    assert found.pairs.tolist() == [[a, b] for _, _, a, b in expected[:most]]
    for column, place in ((found.first, 0), (found.second, 1)):
        truth = torch.tensor([pair[place] for pair in expected[:most]], dtype=torch.float64)
        torch.testing.assert_close(column, truth, atol=1e-9, rtol=0)


def test_a_wrong_pair_is_seen_by_the_reference() -> None:
    first, second = _clustered(20, 3)
    rule = PairRule(min_first=0.8, max_second=0.5)
    assert _reference(first, second, rule)
    assert _reference(first, second, rule) != _reference(second, first, rule)


def test_pairs_of_equal_gap_come_in_the_order_of_their_rows() -> None:
    first, second = torch.ones(4, 3), torch.eye(4)
    found = find_blind_pairs(first, second, tile=1)
    assert found.pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


def test_a_picture_is_no_pair_with_itself_and_copies_are_none() -> None:
    first = _noise(5, 8).repeat(2, 1)
    second = _noise(5, 8, seed=1).repeat(2, 1)
    assert len(find_blind_pairs(first, second)) == 0


def test_a_cosine_at_the_threshold_is_in() -> None:
    ends, alike = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert len(find_blind_pairs(ends, ends, PairRule(min_first=0.0, max_second=0.0))) == 1
    assert len(find_blind_pairs(alike, ends, PairRule(min_first=1.0, max_second=0.0))) == 1


def test_rough_products_change_nothing() -> None:
    first, second = _clustered(64, 7)
    rule = PairRule(min_first=0.9, max_second=0.5)
    before, exact = torch.get_float32_matmul_precision(), find_blind_pairs(first, second, rule)
    torch.set_float32_matmul_precision("medium")
    try:
        rough = find_blind_pairs(first, second, rule)
    finally:
        torch.set_float32_matmul_precision(before)
    assert rough.pairs.tolist() == exact.pairs.tolist()
    assert rough.num_found == exact.num_found


def test_memory_is_bounded_where_all_pairs_are_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundplane.core.blind_pairs._GATHERED", 256)
    n = 60
    first = torch.ones(n, 4) + 1e-3 * _noise(n, 4)
    found = find_blind_pairs(first, torch.eye(n), PairRule(most=5), tile=16)
    assert found.num_found == n * (n - 1) // 2
    assert len(found) == 5


def test_half_embeddings_are_taken() -> None:
    found = find_blind_pairs(torch.ones(2, 4).bfloat16(), torch.eye(2).half())
    assert found.pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_an_embedding_without_direction_is_named(value: float) -> None:
    second = torch.ones(3, 2)
    second[1] = value
    with pytest.raises(InputError, match="second encoder's embedding of picture 1"):
        find_blind_pairs(torch.ones(3, 2), second)


@pytest.mark.parametrize(
    "wrong", [{"min_first": 1.1}, {"max_second": float("nan")}, {"most": 0}, {"min_first": -2.0}]
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        PairRule(**wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_other_numbers_of_pictures_are_refused() -> None:
    with pytest.raises(ShapeError, match="got 2 of the first encoder and 3"):
        find_blind_pairs(torch.ones(2, 2), torch.ones(3, 2))


def test_equal_embeddings_have_a_cosine_of_1():
    rows = torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    first = torch.cat([rows, 3 * rows])
    found = find_blind_pairs(first, torch.eye(80), PairRule(min_first=1.0))
    assert found.pairs.tolist() == [[i, i + 40] for i in range(40)]

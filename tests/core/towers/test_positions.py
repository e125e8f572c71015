"""Position embeddings on another grid: against sampling written out, and what others do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from groundplane.core.errors import ShapeError
from groundplane.core.towers.positions import PositionRule, position_rule, resample_positions

_FAMILIES = ("clip", "siglip", "eva-clip", "dinov2", "radio")


def cubic(x: float, a: float) -> float:
    """Keys' kernel."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def rows_of(side: int, length: int, rule: PositionRule) -> np.ndarray:
    """How much each old cell of a line gives to each new one."""
    shrink = side / (length + rule.offset)
    widen = max(shrink, 1.0) if rule.antialias else 1.0
    weights = np.zeros((length, side))
    for new in range(length):
        centre = (new + 0.5) * shrink - 0.5
        reach = int(np.ceil(2 * widen)) + 1
        for old in range(int(np.floor(centre)) - reach, int(np.floor(centre)) + reach + 1):
            if rule.filter == "bilinear":
                weight = max(0.0, 1 - abs(old - centre))
            else:
                weight = cubic((old - centre) / widen, -0.5 if rule.antialias else -0.75)
            # Beyond the edge torch repeats the edge, and leaves it out where it antialiases.
            if rule.antialias and not 0 <= old < side:
                continue
            weights[new, min(max(old, 0), side - 1)] += weight
    return weights / weights.sum(1, keepdims=True)


def plain(table: Tensor, grid: tuple[int, int], rule: PositionRule) -> Tensor:
    side = round(table.shape[0] ** 0.5)
    cells = table.double().numpy().reshape(side, side, -1)
    down, across = (rows_of(side, length, rule) for length in grid)
    return torch.from_numpy(np.einsum("ij,jkd,lk->ild", down, cells, across)).flatten(0, 1)


def tables(side: int) -> Tensor:
    return torch.randn(side * side, 3, generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize(("side", "grid"), [(7, (4, 4)), (5, (9, 9)), (6, (3, 8)), (37, (24, 24))])
def test_is_what_the_sampling_says(
    family: str, registers: bool, side: int, grid: tuple[int, int]
) -> None:
    rule = position_rule(family, registers=registers)
    got = resample_positions(tables(side), grid, rule=rule)
    # In float32 a scale rounded differently shifts a sample by about 1e-6 of a cell.
    assert torch.allclose(got.double(), plain(tables(side), grid, rule), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(1, 9),
    grid=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    num_prefix=st.integers(0, 5),
    family=st.sampled_from(_FAMILIES),
)
def test_keeps_the_prefix_and_constant_tables(
    side: int, grid: tuple[int, int], num_prefix: int, family: str
) -> None:
    table = torch.cat([torch.arange(num_prefix * 2.0).view(-1, 2), torch.ones(side * side, 2)])
    got = resample_positions(table, grid, rule=position_rule(family), num_prefix=num_prefix)
    assert got.shape == (num_prefix + grid[0] * grid[1], 2)
    assert torch.equal(got[:num_prefix], table[:num_prefix])
    assert torch.allclose(got[num_prefix:], torch.ones(1), atol=1e-5)


def test_the_number_type_is_kept_and_the_sum_is_made_in_float32() -> None:
    table = tables(7)
    rule = position_rule("dinov2")
    got = resample_positions(table.to(torch.bfloat16), (4, 4), rule=rule)
    exact = resample_positions(table.to(torch.bfloat16).float(), (4, 4), rule=rule)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, exact.to(torch.bfloat16))


@pytest.mark.parametrize("rows", [0, 2, 3, 5])
def test_cells_that_fill_no_square_are_refused(rows: int) -> None:
    with pytest.raises(ShapeError, match="square number"):
        resample_positions(torch.zeros(rows, 2), (2, 2), rule=PositionRule())


def test_what_the_ports_of_dinov2_do_is_not_what_its_authors_do() -> None:
    """From 37 cells a side to 24, over a table that changes slowly, as a trained one does."""
    coarse = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    table = interpolate(coarse, size=(37, 37), mode="bicubic")
    rows = table.flatten(2)[0].T.contiguous()
    authors = resample_positions(rows, (24, 24), rule=position_rule("dinov2"))
    for rule, at_least, at_most in (
        (PositionRule(), 0.03, 0.06),  # transformers: no offset
        (PositionRule(antialias=True), 0.03, 0.06),  # timm: no offset, antialiased
    ):
        port = resample_positions(rows, (24, 24), rule=rule)
        assert at_least < float((port - authors).norm() / authors.norm()) < at_most

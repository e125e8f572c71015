"""Features on another grid, against bilinear interpolation cell by cell."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.resampling import resample

_grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


def plain(tokens, source, target):
    """Each cell's middle, and the four cells around it."""
    rows = []
    for y in range(target[0]):
        for x in range(target[1]):
            down, across = taps(y, source[0], target[0]), taps(x, source[1], target[1])
            rows.append(
                sum(tokens[:, i * source[1] + j] * (p * q) for i, p in down for j, q in across)
            )
    return torch.stack(rows, dim=1)


def taps(index, source, target):
    """Which two cells of a line, and the share of each."""
    place = min(max((index + 0.5) * source / target - 0.5, 0), source - 1)
    low = math.floor(place)
    return [(low, 1 - (place - low)), (min(low + 1, source - 1), place - low)]


@given(_grids, _grids, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_it_is_bilinear(source, target, batch):
    tokens = torch.randn(batch, source[0] * source[1], 3, dtype=torch.float64)
    found = resample(tokens, source, target)
    torch.testing.assert_close(found, plain(tokens, source, target), rtol=0, atol=1e-12)


@given(_grids, _grids)
@settings(max_examples=30, deadline=None)
def test_a_map_of_one_value_keeps_it(source, target):
    tokens = torch.full((1, source[0] * source[1], 2), 0.3, dtype=torch.float64)
    torch.testing.assert_close(
        resample(tokens, source, target),
        torch.full((1, target[0] * target[1], 2), 0.3, dtype=torch.float64),
    )


@given(st.integers(2, 12), st.integers(1, 24))
@settings(max_examples=30, deadline=None)
def test_a_ramp_stays_one_between_the_outermost_middles(source, target):
    middles = ((torch.arange(source, dtype=torch.float64) + 0.5) / source).view(1, -1, 1)
    found = resample(middles, (1, source), (1, target)).flatten()
    wanted = (torch.arange(target, dtype=torch.float64) + 0.5) / target
    torch.testing.assert_close(found, wanted.clamp(0.5 / source, 1 - 0.5 / source))


def test_equal_grids_give_the_very_tokens():
    tokens = torch.randn(1, 6, 2)
    assert resample(tokens, (2, 3), (2, 3)) is tokens


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_is_kept(dtype):
    tokens = torch.randn(2, 6, 5).to(dtype)
    assert resample(tokens, (2, 3), (4, 4)).dtype == dtype


def test_tokens_that_are_no_block_of_memory_are_taken():
    tokens = torch.randn(2, 7, 4)[:, 1:]  # as of a tower whose class token is cut off
    found = resample(tokens, (2, 3), (4, 4))
    assert torch.equal(found, resample(tokens.clone(), (2, 3), (4, 4)))


def test_a_grid_that_the_tokens_do_not_fill_is_refused():
    with pytest.raises(ShapeError, match="expected 6 cells for a grid of 2 by 3, got 5"):
        resample(torch.zeros(1, 5, 2), (2, 3), (2, 2))
    with pytest.raises(InputError, match="grids with cells"):
        resample(torch.zeros(1, 0, 2), (0, 3), (2, 2))

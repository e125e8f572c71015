"""How differently two encoders see each cell."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from groundplane.core.disagreement import disagreement
from groundplane.core.errors import ShapeError

_SEEDS = st.integers(0, 10_000)


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _reference(first: Tensor, second: Tensor) -> Float[np.ndarray, " n"]:
    """One picture, cell by cell, as the definition says it."""
    rows = []
    for features in (first.double().numpy(), second.double().numpy()):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        cosines = unit @ unit.T
        n = len(cosines)
        centred = np.zeros((n, n))
        total = sum(cosines[i, j] for i in range(n) for j in range(n) if i != j)
        for i in range(n):
            for j in range(n):
                if i != j:
                    row = sum(cosines[i, k] for k in range(n) if k != i)
                    column = sum(cosines[k, j] for k in range(n) if k != j)
                    centred[i, j] = (
                        cosines[i, j] - (row + column) / (n - 2) + total / ((n - 1) * (n - 2))
                    )
        rows.append(centred)
    a, b = rows
    return np.array(
        [1 - a[i] @ b[i] / np.linalg.norm(a[i]) / np.linalg.norm(b[i]) for i in range(len(a))]
    )


@given(cells=st.integers(4, 12), seed=_SEEDS)
@settings(max_examples=30, deadline=None)
def test_equals_the_definition_cell_by_cell(cells: int, seed: int) -> None:
    first, second = _noise(1, cells, 5, seed=seed), _noise(1, cells, 8, seed=seed + 1)
    found = disagreement(first, second)[0].numpy()
    # Rounding of float32 cosines, made larger where a row is small: four cells have few numbers.
    np.testing.assert_allclose(found, _reference(first[0], second[0]), atol=2e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1e20, 1e30])
def test_features_however_large_or_small_are_compared(scale: float) -> None:
    first, second = _noise(1, 9, 6), _noise(1, 9, 6, seed=1)
    plain = disagreement(first, second)
    torch.testing.assert_close(disagreement(first * scale, second), plain, atol=1e-5, rtol=0)
    assert plain.min() > 0.1


@given(seed=_SEEDS, scale=st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None)
def test_a_turned_mirrored_and_scaled_encoder_agrees(seed: int, scale: float) -> None:
    first = _noise(2, 16, 6, seed=seed)
    turn, _ = torch.linalg.qr(_noise(6, 6, seed=seed + 1))
    assert disagreement(first, scale * first @ turn).max() < 1e-3


@given(seed=_SEEDS)
@settings(max_examples=20, deadline=None)
def test_is_between_0_and_2_and_the_same_both_ways(seed: int) -> None:
    first, second = _noise(2, 9, 3, seed=seed), _noise(2, 9, 4, seed=seed + 1)
    there, back = disagreement(first, second), disagreement(second, first)
    assert bool(((there >= 0) & (there <= 2)).all())
    torch.testing.assert_close(there, back)


def test_unrelated_encoders_disagree_by_1_in_the_mean() -> None:
    found = disagreement(_noise(20, 64, 32), _noise(20, 64, 48, seed=1))
    # 1,280 cells, each spread by about 1/8 around 1.
    assert abs(float(found.mean()) - 1) < 0.02


def test_with_the_likeness_to_itself_unrelated_encoders_would_seem_to_agree() -> None:
    first, second = _noise(1, 64, 32), _noise(1, 64, 48, seed=1)
    grams = [torch.nn.functional.normalize(f, dim=2)[0] for f in (first, second)]
    rows = [g @ g.T - (g @ g.T).mean(1, keepdim=True) for g in grams]
    naive = 1 - torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=1)
    assert naive.mean() < 0.7 < disagreement(first, second).mean()


def test_the_one_cell_that_an_encoder_sees_otherwise_stands_out() -> None:
    kinds = torch.tensor([0] * 12 + [1] * 12)
    first = torch.eye(2)[kinds] + 0.05 * _noise(24, 2)
    second = first.clone()
    second[5] = torch.tensor([0.0, 1.0])
    found = disagreement(first[None], second[None])[0]
    assert int(found.argmax()) == 5
    assert found[5] > 1.5
    assert found[torch.arange(24) != 5].max() < 0.5


def test_a_picture_of_one_colour_to_both_gives_0_and_to_one_gives_1() -> None:
    flat, busy = torch.ones(1, 9, 4) * 0.3, _noise(1, 9, 4)
    assert disagreement(flat, 2 * flat).tolist() == [[0.0] * 9]
    assert disagreement(flat, busy).tolist() == [[1.0] * 9]


def test_features_of_0_are_no_division_by_0() -> None:
    found = disagreement(torch.zeros(1, 6, 3), _noise(1, 6, 3))
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("cells", [0, 1, 2, 3])
def test_too_few_cells_to_compare_give_0(cells: int) -> None:
    found = disagreement(_noise(2, cells, 3), _noise(2, cells, 5, seed=1))
    assert found.tolist() == [[0.0] * cells] * 2


def test_no_pictures_give_no_rows() -> None:
    assert disagreement(torch.zeros(0, 9, 3), torch.zeros(0, 9, 5)).shape == (0, 9)


@pytest.mark.parametrize("cells", [2, 9])
def test_nan_is_passed_on_and_harms_no_other_picture(cells: int) -> None:
    first = _noise(2, cells, 3)
    first[1, 0, 0] = float("nan")
    found = disagreement(first, _noise(2, cells, 3, seed=1))
    assert bool(found[0].isfinite().all())
    assert bool(found[1, 0].isnan())


def test_half_numbers_are_compared_in_float32() -> None:
    first, second = _noise(1, 16, 8), _noise(1, 16, 8, seed=1)
    half = disagreement(first.bfloat16(), second.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, disagreement(first, second), atol=0.03, rtol=0)


def test_gradients_are_finite_where_a_picture_is_flat() -> None:
    first = torch.ones(1, 9, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(disagreement(first, _noise(1, 9, 4)).sum(), first)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("shape", [(1, 8, 4), (2, 9, 4)])
@pytest.mark.usefixtures("unchecked")
def test_other_cells_or_pictures_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ShapeError, match="resample one"):
        disagreement(torch.zeros(1, 9, 4), torch.zeros(shape))


def test_it_compiles_in_one_piece() -> None:
    # In a process of its own, without the checks of the tests, which torch cannot compile.
    program = (
        "import torch; from groundplane.core.disagreement import disagreement as plain\n"
        "whole = torch.compile(plain, fullgraph=True, backend='eager')\n"
        "a, b = torch.randn(2, 9, 4), torch.randn(2, 9, 5)\n"
        "torch.testing.assert_close(whole(a, b), plain(a, b))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_huge_features_of_few_cells_are_no_trouble() -> None:
    huge = torch.full((1, 3, 4), 3e38)
    assert disagreement(huge, huge).tolist() == [[0.0, 0.0, 0.0]]

"""Ridge calibration: planted maps come back, streams equal memory, bad input is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from groundplane.core.calibrated_fusion import CalibratedAdditive
from groundplane.core.calibrating import (
    LinearMap,
    TokenSums,
    calibrate,
    explained,
    fit_ridge,
)
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.operator import FusionOperator
from groundplane.core.towers.tower import TowerShape


def _noise(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


def _sums(source: Tensor, target: Tensor, step: int = 10_000) -> TokenSums:
    sums = TokenSums(source.shape[1], target.shape[1])
    for start in range(0, len(source), step):
        sums.add(source[start : start + step], target[start : start + step])
    return sums


def _plain(source: Tensor, target: Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge as it is written down: (X^T X + l I)^-1 X^T Y about the means."""
    x, y = source.numpy(), target.numpy()
    a, b = x - x.mean(0), y - y.mean(0)
    inner = a.T @ a
    unit = np.trace(inner) / len(inner)
    weight = np.linalg.solve(inner + penalty * unit * np.eye(len(inner)), a.T @ b)
    return weight.T, y.mean(0) - x.mean(0) @ weight


def _planted(seed: int = 0, pictures: int = 20, noise: float = 0.0) -> list[tuple[Tensor, Tensor]]:
    """Tokens of pictures and what a known map makes of them."""
    weight, bias = _noise(5, 8, seed=99), _noise(5, seed=98)
    found = []
    for number in range(pictures):
        x = _noise(30, 8, seed=seed + number) + _noise(8, seed=97)
        found.append((x, x @ weight.T + bias + noise * _noise(30, 5, seed=500 + number)))
    return found


@given(seed=st.integers(0, 1000), power=st.integers(-6, 2), step=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_equals_the_closed_form_however_it_is_streamed(seed: int, power: int, step: int) -> None:
    x, y = _noise(50, 6, seed=seed) + 100, _noise(50, 3, seed=seed + 1) - 7
    fitted, penalty = fit_ridge(_sums(x, y, step), penalties=(10.0**power,))
    weight, bias = _plain(x, y, penalty)
    np.testing.assert_allclose(fitted.weight.numpy(), weight, atol=1e-8)
    np.testing.assert_allclose(fitted.bias.numpy(), bias, atol=1e-6)


def test_a_planted_map_comes_back() -> None:
    found = calibrate(_planted())
    torch.testing.assert_close(found.map.weight, _noise(5, 8, seed=99), atol=1e-5, rtol=0)
    assert found.explained > 1 - 1e-9
    assert found.num_tokens == 12 * 30


def test_noise_is_not_explained_on_pictures_that_were_not_fitted() -> None:
    pictures = [(x, _noise(30, 5, seed=700 + i)) for i, (x, _) in enumerate(_planted())]
    assert abs(calibrate(pictures).explained) < 0.1


def test_a_wrong_map_explains_less() -> None:
    x, y = _planted(pictures=1)[0]
    sums = _sums(x, y)
    right, _ = fit_ridge(sums)
    wrong = LinearMap(weight=-right.weight, bias=right.bias)
    assert explained(wrong, sums) < 0 < explained(right, sums)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_explained_equals_the_plain_r2(seed: int) -> None:
    x, y = _noise(40, 4, seed=seed) + 3, _noise(40, 3, seed=seed + 1) * 2 + 50
    fitted = LinearMap(weight=_noise(3, 4, seed=seed + 2), bias=_noise(3, seed=seed + 3) + 50)
    error = (y - x @ fitted.weight.T - fitted.bias).square().sum()
    plain = 1 - float(error / (y - y.mean(0)).square().sum())
    assert explained(fitted, _sums(x, y, 7)) == pytest.approx(plain, abs=1e-9)


def test_the_held_out_pictures_choose_the_penalty() -> None:
    x, y = _noise(12, 10), _noise(12, 2, seed=1)
    # Fitted tokens are noise: the best map for others is the one that says least.
    _, penalty = fit_ridge(_sums(x, y), _sums(_noise(200, 10, seed=2), _noise(200, 2, seed=3)))
    assert penalty == 100.0
    clean = _noise(60, 10, seed=4)
    _, penalty = fit_ridge(_sums(clean, clean[:, :2]), _sums(x, x[:, :2]))
    assert penalty == 1e-8


def test_cross_validation_is_that_of_the_definition() -> None:
    x, y = _noise(30, 6), _noise(30, 2, seed=1) + _noise(30, 6)[:, :2]
    tried = (1e-3, 1e-1, 1.0, 10.0)

    def criterion(penalty: float) -> float:
        a = (x - x.mean(0)).numpy()
        inner = a.T @ a
        ridge = penalty * np.trace(inner) / len(inner) * np.eye(6)
        hat = a @ np.linalg.solve(inner + ridge, a.T) + 1 / 30
        error = np.square(y.numpy() - hat @ y.numpy()).sum()
        return error / (30 - np.trace(hat)) ** 2

    assert fit_ridge(_sums(x, y), penalties=tried)[1] == min(tried, key=criterion)


def test_features_that_repeat_each_other_are_no_trouble() -> None:
    pictures = [(torch.cat([x, x, torch.zeros(30, 3)], dim=1), y) for x, y in _planted()]
    found = calibrate(pictures)
    assert bool(found.map.weight.isfinite().all())
    assert found.explained > 1 - 1e-6


def test_fewer_tokens_than_features_are_no_trouble() -> None:
    x, y = _noise(5, 40), _noise(5, 2, seed=1)
    fitted, _ = fit_ridge(_sums(x, y))
    assert bool(fitted.weight.isfinite().all())


def test_a_source_or_target_that_never_changes_explains_nothing() -> None:
    same = [(torch.ones(30, 8), y) for _, y in _planted()]
    assert calibrate(same).explained <= 0.05
    flat = [(x, torch.full((30, 5), 3.0)) for x, _ in _planted()]
    found = calibrate(flat)
    assert found.explained == 0.0
    torch.testing.assert_close(found.map.bias, torch.full((5,), 3.0).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_and_nothing_is_added(value: float) -> None:
    sums = _sums(_noise(4, 3), _noise(4, 2))
    bad = _noise(4, 3)
    bad[1, 1] = value
    before = sums.mean().clone()
    with pytest.raises(InputError, match="NaN"):
        sums.add(bad, _noise(4, 2))
    assert (sums.count, sums.mean().tolist()) == (4, before.tolist())


@pytest.mark.usefixtures("unchecked")
def test_tokens_that_do_not_match_are_refused() -> None:
    sums = TokenSums(3, 2)
    for source, target in [((4, 3), (5, 2)), ((4, 2), (4, 2)), ((4, 3), (4, 3))]:
        with pytest.raises(ShapeError, match="rows of 3 and of 2"):
            sums.add(torch.zeros(source), torch.zeros(target))
    with pytest.raises(ShapeError, match="expected a map"):
        explained(LinearMap(weight=torch.zeros(3, 3), bias=torch.zeros(3)), sums)


def test_too_little_is_refused() -> None:
    with pytest.raises(InputError, match="5 pictures or more, got 4"):
        calibrate(_planted(pictures=4))
    with pytest.raises(InputError, match="got 0"):
        calibrate([])
    with pytest.raises(InputError, match="to fit"):
        fit_ridge(TokenSums(3, 2))
    with pytest.raises(InputError, match="penalties"):
        fit_ridge(_sums(_noise(4, 3), _noise(4, 2)), penalties=(0.0,))


def test_pictures_without_tokens_are_taken() -> None:
    empty = (torch.zeros(0, 8, dtype=torch.float64), torch.zeros(0, 5, dtype=torch.float64))
    assert calibrate([*_planted(), empty]).explained > 1 - 1e-9


class TestFusion:
    towers = (
        TowerShape(name="clip", grid=(2, 2), width=4),
        TowerShape(name="dinov2", grid=(2, 2), width=3),
    )
    fitted = LinearMap(weight=_noise(6, 3), bias=_noise(6, seed=1))

    def test_it_is_the_formula(self) -> None:
        adapter = nn.Linear(4, 6)
        fusion = CalibratedAdditive(self.towers, adapter, self.fitted, share=0.25)
        first, second = _noise(2, 4, 4).float(), _noise(2, 4, 3, seed=2).float()
        mapped = second.double() @ self.fitted.weight.T + self.fitted.bias
        truth = 0.25 * adapter(first).double() + 0.75 * mapped
        fused = fusion([first, second])
        torch.testing.assert_close(fused.tokens.double(), truth, atol=1e-5, rtol=0)
        assert fused.cells.tolist() == [[0, 1, 2, 3]] * 2
        assert isinstance(fusion, FusionOperator)

    def test_nothing_is_trained(self) -> None:
        report = CalibratedAdditive(self.towers, nn.Linear(4, 6), self.fitted).report()
        assert (report.parameters, report.tokens, report.width) == (0, 4, 6)
        assert report.flops == 2 * 4 * (4 * 6 + 3 * 6)

    @pytest.mark.usefixtures("unchecked")
    def test_what_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ShapeError, match="two towers"):
            CalibratedAdditive(self.towers[:1], nn.Linear(4, 6), self.fitted)
        with pytest.raises(ShapeError, match="'clip', got one of 3"):
            CalibratedAdditive(self.towers[::-1], nn.Linear(3, 6), self.fitted)
        with pytest.raises(InputError, match="share"):
            CalibratedAdditive(self.towers, nn.Linear(4, 6), self.fitted, share=1.5)

    @pytest.mark.parametrize("width", [1, 5])
    def test_a_map_of_another_width_than_the_adapter_s_is_refused(self, width: int) -> None:
        # Width 1 would be spread over the other's without a word.
        fusion = CalibratedAdditive(self.towers, nn.Linear(4, width), self.fitted)
        with pytest.raises(ShapeError, match="behind this adapter"):
            fusion([torch.ones(2, 4, 4), torch.ones(2, 4, 3)])


@pytest.mark.parametrize(("empty", "said"), [(3, "got 12 and 0"), (4, "which measures")])
def test_pictures_that_choose_or_measure_without_tokens_are_refused(empty: int, said: str) -> None:
    counts = [0 if i == empty else 4 for i in range(5)]
    with pytest.raises(InputError, match=said):
        calibrate((_noise(n, 3, seed=i), _noise(n, 2, seed=i)) for i, n in enumerate(counts))

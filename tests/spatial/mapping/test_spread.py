"""How sure lifted boxes are: covariances from faces, and the simulation behind the fit of noise."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.spatial.mapping.spread import (
    covariance_of_faces,
    extreme_of_noise,
    hidden_variance,
)

SIDES = np.array([[-1.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, -1]])


def excess(points: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """The outermost noisy point beyond the end at 0, and how many lie near it and less near."""
    noisy = points + rng.normal(size=points.size)
    most = noisy.max()
    return most, (noisy >= most - 1).sum(), (noisy >= most - 3).sum()


@pytest.mark.parametrize("kind", ["wall", "edge"])
@pytest.mark.parametrize("count", [4, 12, 60, 400, 2000])
def test_noise_is_taken_back_from_ends_of_both_kinds(kind, count):
    rng = np.random.default_rng(count)
    # A wall that is looked at lies at its end; a surface that runs up to one is spread over some
    # standard deviations.
    spread = 0.0 if kind == "wall" else min(20.0, count / 4)
    drawn = [excess(-spread * rng.random(count), rng) for _ in range(300)]
    most, near, wide = (np.array(column, dtype=float) for column in zip(*drawn, strict=True))
    mean, sigma = extreme_of_noise(near, wide)
    # An edge of few points ends before its end: that is the grid's, not the noise's.
    missing = 0.0 if kind == "wall" else spread / (count + 1)
    assert abs((most - mean).mean() + missing) < 0.6
    assert 0.5 < sigma.mean() / (most - mean).std() < 2.5


def test_faces_that_are_independent_give_the_covariance_of_simulated_boxes():
    rng = np.random.default_rng(0)
    low, high = np.array([0.1, 0.02, 0.3]) ** 2, np.array([0.05, 0.2, 0.1]) ** 2
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1.0]])
    ends = rng.normal(size=(2, 40_000, 3)) * np.sqrt(np.stack([low, high]))[:, None]
    boxes = np.concatenate([(ends[0] + ends[1]) / 2 @ turn, ends[1] - ends[0]], axis=1)
    stated = covariance_of_faces(low[None], high[None], turn[None])[0]
    assert np.abs(np.cov(boxes.T) - stated).max() < 0.002


def test_a_common_scale_moves_centre_and_size_together():
    none = np.zeros((1, 3))
    common = np.array([[0.0, 0.1, 0, 0.02, 0, 0]])
    found = covariance_of_faces(none, none, np.eye(3)[None], common=common)[0]
    assert found[1, 3] == pytest.approx(0.002)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_only_the_side_that_is_hidden_gets_less_sure():
    beyond = np.array([[0.0, 0, 0.4, 0]])
    low, high = hidden_variance(beyond, SIDES, np.eye(3)[None], np.array([[2.0, 1, 1]]))
    assert (low == 0).all()
    assert high[0] == pytest.approx([0.16, 0, 0])
    turned = np.diag([-1.0, -1, 1])[None]
    low, high = hidden_variance(beyond, SIDES, turned, np.array([[2.0, 1, 1]]))
    assert low[0] == pytest.approx([0.16, 0, 0])
    assert (high == 0).all()

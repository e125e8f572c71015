"""One box from many views: noise averages out, parts add up, one wrong view does not count."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.spatial.mapping.fusing import MOST_BOXES, fuse, thinned

SIZE = np.array([2.0, 1.0, 0.8])
# A centimetre off at each face, and nothing that two of them share.
SURE = [1e-4] * 6 + [0.0] * 3
CORNERS = np.array([[x, y, z] for x in (-1.0, 1) for y in (-0.5, 0.5) for z in (0, 0.8)])


def view(
    *,
    low: tuple = (-1.0, -0.5, 0.0),
    high: tuple = (1.0, 0.5, 0.8),
    turn: float = 0.0,
    whole: int = 1,
) -> list[float]:
    """A view whose box spans from one corner to the other, turned about its own middle."""
    center, size = (np.add(low, high) / 2).tolist(), np.subtract(high, low).tolist()
    return [*center, *size, float(np.cos(turn)), float(np.sin(turn)), whole, *SURE]


def noisy(count: int, sigma: float, *, seed: int = 0) -> list[list[float]]:
    """Whole views with noise on each side."""
    draw = np.random.default_rng(seed)
    return [
        view(
            low=tuple(draw.normal((-1, -0.5, 0), sigma)),
            high=tuple(draw.normal((1, 0.5, 0.8), sigma)),
        )
        for _ in range(count)
    ]


def wide(points: np.ndarray = CORNERS, by: float = 0.3) -> np.ndarray:
    """Points with a few outliers so far beyond the thing."""
    return np.concatenate([np.tile(points, (100, 1)), points * (1 + by)])


def test_views_that_agree_give_their_box() -> None:
    box, _ = fuse([view()] * 4, CORNERS)
    assert np.allclose(box.sizes, [SIZE])
    assert np.allclose(box.centers, [[0, 0, 0.4]])


@pytest.mark.parametrize("count", [3, 10, 32])
def test_noise_does_not_make_a_box_grow_with_the_number_of_views(count: int) -> None:
    sizes = np.array([fuse(noisy(count, 0.02, seed=k), wide())[0].sizes[0] for k in range(20)])
    assert np.abs(sizes.mean(axis=0) - SIZE).max() < 0.04


def test_parts_add_up_to_the_whole() -> None:
    left, right = view(high=(0.2, 0.5, 0.8), whole=0), view(low=(-0.2, -0.5, 0.0), whole=0)
    assert np.allclose(fuse([left, right, left, right], CORNERS)[0].sizes, [SIZE])


def test_one_view_that_is_far_out_does_not_count_among_many() -> None:
    out = view(high=(1.6, 0.5, 0.8))
    assert np.allclose(fuse([view()] * 5 + [out], wide(by=1))[0].sizes, [SIZE])
    assert fuse([view()] * 5 + [out] * 2, wide(by=1))[0].sizes[0, 0] == pytest.approx(2.6)


def test_a_view_that_stands_askew_is_put_aside() -> None:
    askew = view(low=(-1.4, -1.2, 0.0), high=(1.4, 1.2, 0.8), turn=0.7)
    assert np.allclose(fuse([view()] * 4 + [askew], wide(by=1))[0].sizes, [SIZE])


def test_what_only_askew_views_saw_is_told_by_the_points() -> None:
    thin = view(low=(-1.0, -0.5, 0.0), high=(1.0, -0.46, 0.8))
    assert np.allclose(fuse([thin] * 5, CORNERS)[0].sizes, [SIZE], atol=0.05)


def test_a_quarter_turn_is_no_turn() -> None:
    turned = view(low=(-0.5, -1.0, 0.0), high=(0.5, 1.0, 0.8), turn=np.pi / 2)
    assert np.allclose(fuse([view(), turned, turned], CORNERS)[0].sizes, [SIZE])


def test_a_box_goes_hardly_beyond_the_points() -> None:
    large = view(low=(-3.0, -3, -3), high=(3.0, 3, 3))
    assert np.allclose(fuse([large], CORNERS)[0].sizes, [SIZE + 0.04])


def test_a_turned_scene_gives_the_turned_box() -> None:
    turn = 0.4
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    box, _ = fuse([view(turn=turn)] * 3, CORNERS @ matrix.T)
    assert np.allclose(box.sizes, [SIZE])
    assert np.allclose(box.directions, [[cos, sin]])


def test_few_views_are_kept_and_whole_ones_longest() -> None:
    views = [view(whole=k % 4 == 0) for k in range(100)]
    kept: list[list[float]] = []
    for each in views:
        kept = thinned([*kept, each])
    assert len(kept) <= MOST_BOXES
    assert sum(each[8] for each in kept) >= 20

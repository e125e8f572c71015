"""One box from many views: noise averages out, parts add up, one wrong view does not count."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.spatial.mapping.fusing import MOST_BOXES, face_columns, fuse, thinned
from groundplane.spatial.mapping.spread import covariance_of_faces

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


def test_error_bars_follow_from_how_well_views_agree() -> None:
    truth, points = np.concatenate([[0, 0, 0.4], SIZE]), wide(by=0.1)
    off, bars = {}, {}
    for sigma in (0.01, 0.05):
        made = [fuse(noisy(12, sigma, seed=seed), points) for seed in range(15)]
        boxes = [np.concatenate([box.centers[0], box.sizes[0]]) for box, _ in made]
        off[sigma] = np.array(boxes) - truth
        bars[sigma] = np.sqrt([covariance.diagonal() for _, covariance in made])
        assert (np.abs(off[sigma]) < 1.645 * bars[sigma]).mean() > 0.85
    assert 2.5 < bars[0.05].mean() / bars[0.01].mean() < 5.5
    # Bars of views that agree well do not hold the truth of views that do not.
    assert (np.abs(off[0.05]) < 1.645 * bars[0.01]).mean() < 0.85


def test_poses_that_shift_every_view_do_not_make_a_box_grow() -> None:
    draw = np.random.default_rng(0)
    shifts = draw.normal(0, 0.05, (20, 3))
    views = [
        view(low=tuple(np.add((-1, -0.5, 0), off)), high=tuple(np.add((1, 0.5, 0.8), off)))
        for off in shifts
    ]
    box, covariance = fuse(views, wide(by=0.1))
    assert np.abs(box.sizes[0] - SIZE).max() < 0.05
    assert np.sqrt(covariance.diagonal()).min() > 0.01


def test_a_slow_drift_does_not_make_a_box_grow() -> None:
    views = [
        view(low=(-1 + off, -0.5 + off, off), high=(1 + off, 0.5 + off, 0.8 + off))
        for off in np.linspace(-0.15, 0.15, 20)
    ]
    assert np.abs(fuse(views, wide(by=0.1))[0].sizes[0] - SIZE).max() < 0.1


def test_what_all_views_share_does_not_average_out() -> None:
    shared = [1.01e-2] * 6 + [1e-2] * 3
    views = [[*view()[:9], *shared]] * 30
    spread = np.sqrt(fuse(views, CORNERS)[1].diagonal())
    assert spread[:3] == pytest.approx([0.1] * 3, rel=0.1)
    assert spread[3:].max() < 0.03


def test_views_that_turn_make_sides_less_sure() -> None:
    straight = fuse([view()] * 8, CORNERS)[1].diagonal()
    turned = fuse([view(turn=0.1 * (-1) ** k) for k in range(8)], CORNERS)[1].diagonal()
    assert (turned[3:5] > straight[3:5]).all()
    assert turned[5] == pytest.approx(straight[5])


def test_faces_have_the_variances_that_they_were_made_from() -> None:
    low, high = np.array([[0.01, 0.02, 0.03]]), np.array([[0.04, 0.01, 0.02]])
    axes = np.array([[[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1.0]]])
    found = face_columns(covariance_of_faces(low, high, axes)[0], axes[0])
    assert found == pytest.approx([*low[0], *high[0], 0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("turn", [0.0, np.pi / 2, np.pi, -np.pi / 2])
def test_a_side_that_is_less_sure_stays_on_its_side_however_a_view_is_turned(turn: float) -> None:
    # The face at x = 1 is hidden; in the view's own axes that is another one for each turn.
    own = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ [1.0, 0]
    low, high = np.full(3, 1e-4), np.full(3, 1e-4)
    axis = int(np.abs(own).argmax())
    (high if own[axis] > 0 else low)[axis] = 1.0
    size = (2.0, 1.0) if axis == 0 else (1.0, 2.0)
    one = [0, 0, 0.4, *size, 0.8, np.cos(turn), np.sin(turn), 0, *low, *high, 0, 0, 0]
    box, covariance = fuse([one] * 2, CORNERS)
    assert box.sizes[0] == pytest.approx(SIZE)
    # What goes on to the right moves the middle to the right.
    assert covariance[0, 3] > 0.1
    assert np.sqrt(covariance[4, 4]) < 0.1

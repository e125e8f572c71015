"""Intervals of measures: closed forms, edge cases, and how often they hold the truth."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.uncertainty import (
    bearing_interval,
    center_distance_interval,
    distance_interval,
    paired_distance_interval,
    quantile,
    signed_gap,
    size_interval,
)
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import UnsupportedError

Z = 1.6448536269514722


def boxes(centers, sizes=None, *, sigma=0.1, yaw=0.0):
    n = len(centers)
    cos, sin = math.cos(yaw), math.sin(yaw)
    axes = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return Boxes3D(
        centers=torch.tensor(centers, dtype=torch.float64).view(n, 3),
        sizes=torch.tensor(sizes or [[1.0, 1.0, 1.0]] * n, dtype=torch.float64).view(n, 3),
        axes=axes.expand(n, 3, 3).clone(),
        covariance=(sigma**2 * torch.eye(6, dtype=torch.float64)).expand(n, 6, 6).clone(),
    )


def random_boxes(n, seed, *, sigma=0.1):
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator, dtype=torch.float64))
    spread = torch.rand(n, 6, 6, generator=generator, dtype=torch.float64) * sigma
    return Boxes3D(
        centers=torch.rand(n, 3, generator=generator, dtype=torch.float64) * 5,
        sizes=torch.rand(n, 3, generator=generator, dtype=torch.float64) + 0.2,
        axes=axes,
        covariance=spread @ spread.transpose(1, 2),
    )


class TestDistance:
    def test_faces_that_look_at_each_other_have_a_known_error(self):
        a, b = boxes([[0, 0, 0]]), boxes([[3, 0.2, 0.1]])

        found = paired_distance_interval(a, b)

        # The gap along x moves with both centres, and by half with each of two sides.
        reach = Z * 0.1 * math.sqrt(2 + 2 / 4)
        assert float(found.value) == pytest.approx(2.0)
        assert float(found.low) == pytest.approx(2.0 - reach)
        assert float(found.high) == pytest.approx(2.0 + reach)

    def test_a_corner_moves_the_gap_by_its_direction(self):
        a, b = boxes([[0, 0, 0]]), boxes([[2, 2, 0]])

        found = paired_distance_interval(a, b)

        # Two sides of each box reach toward the other, each by half of the cosine of 45 degrees.
        reach = Z * 0.1 * math.sqrt(2 + 4 * (math.sqrt(0.5) / 2) ** 2)
        assert float(found.high - found.value) == pytest.approx(reach)

    @given(st.integers(0, 10_000))
    @settings(max_examples=40, deadline=None)
    def test_the_gradient_is_that_of_the_gap(self, seed):
        a, b = random_boxes(1, seed), random_boxes(1, seed + 20_000)
        gap, deviation = signed_gap(a, b)
        if float(gap) < 0.05:
            return

        slopes = [quotient(a, b, column) for column in range(6)]
        others = [quotient(b, a, column) for column in range(6)]

        variance = sum(
            float(torch.tensor(s, dtype=torch.float64) @ box.covariance[0]
                  @ torch.tensor(s, dtype=torch.float64))
            for s, box in ((slopes, a), (others, b))
        )  # fmt: skip
        assert float(deviation) == pytest.approx(math.sqrt(variance), rel=1e-3, abs=1e-6)

    def test_all_pairs_equal_one_pair_at_a_time(self):
        a, b = random_boxes(4, 1), random_boxes(3, 2)

        table = distance_interval(a, b)

        for i in range(4):
            for j in range(3):
                one = paired_distance_interval(a[torch.tensor([i])], b[torch.tensor([j])])
                assert float(table.low[i, j]) == pytest.approx(float(one.low), abs=1e-9)
                assert float(table.high[i, j]) == pytest.approx(float(one.high), abs=1e-9)
        assert torch.allclose(table.value, box_gaps(a, b))

    def test_boxes_that_meet_may_be_apart(self):
        resting = paired_distance_interval(boxes([[0, 0, 0]]), boxes([[0, 0, 1.0]]))
        deep = paired_distance_interval(boxes([[0, 0, 0]]), boxes([[0, 0, 0.1]]))

        assert float(resting.value) == float(resting.low) == 0
        assert float(resting.high) == pytest.approx(Z * 0.1 * math.sqrt(2.5))
        assert float(deep.high) == 0

    @given(st.floats(0.01, 0.3), st.integers(0, 1000))
    @settings(max_examples=30, deadline=None)
    def test_less_noise_gives_a_shorter_interval(self, sigma, seed):
        a, b = random_boxes(3, seed, sigma=0.0), random_boxes(3, seed + 1, sigma=0.0)
        eye = torch.eye(6, dtype=torch.float64).expand(3, 6, 6)

        wide, narrow = (
            paired_distance_interval(replace(a, covariance=s**2 * eye), b)
            for s in (sigma, sigma / 2)
        )

        assert bool((wide.low <= narrow.low + 1e-12).all())
        assert bool((wide.high >= narrow.high - 1e-12).all())

    def test_exact_boxes_have_an_interval_without_width(self):
        a = replace(random_boxes(5, 3), covariance=None)

        found = distance_interval(a, a)

        assert torch.equal(found.low, found.high)
        assert torch.allclose(found.low, box_gaps(a, a), atol=1e-12)

    @pytest.mark.parametrize("sizes", [[[0, 0, 0]], [[1, 1, 0]], [[1e-9, 2, 1]]])
    def test_flat_boxes_have_finite_ends(self, sizes):
        found = distance_interval(boxes([[0, 0, 0]], sizes), boxes([[0, 0, 0], [3, 0, 0]]))

        assert bool(found.low.isfinite().all() & found.high.isfinite().all())

    def test_a_box_that_holds_nan_gives_nan_and_harms_no_other(self):
        found = distance_interval(boxes([[math.nan, 0, 0], [0, 0, 0]]), boxes([[3, 0, 0]]))

        assert found.high.isnan().flatten().tolist() == [True, False]

    def test_no_boxes_give_no_intervals(self):
        none = boxes([])

        assert distance_interval(none, boxes([[0, 0, 0]])).value.shape == (0, 1)

    def test_pairs_of_unequal_numbers_are_refused(self):
        with pytest.raises(ShapeError, match="got 1 and 2"):
            paired_distance_interval(boxes([[0, 0, 0]]), boxes([[0, 0, 0], [1, 0, 0]]))

    def test_a_table_that_does_not_fit_is_refused_with_its_numbers(self):
        many = boxes([[0, 0, 0]])[torch.zeros(5000, dtype=torch.long)]

        with pytest.raises(UnsupportedError, match=r"5,000 by 5,000"):
            distance_interval(many, many)

    @pytest.mark.parametrize("level", [0.0, 1.0, -1.0, math.nan])
    def test_a_level_that_is_no_probability_is_refused(self, level):
        with pytest.raises(InputError, match="between 0 and 1"):
            distance_interval(boxes([[0, 0, 0]]), boxes([[3, 0, 0]]), level=level)


def quotient(box, other, column):
    """How the gap changes as one number of a box does."""
    values = []
    for step in (-1e-6, 1e-6):
        centers, sizes = box.centers.clone(), box.sizes.clone()
        (centers if column < 3 else sizes)[0, column % 3] += step
        values.append(float(box_gaps(replace(box, centers=centers, sizes=sizes), other)))
    return (values[1] - values[0]) / 2e-6


class TestCenters:
    def test_the_error_is_that_along_the_line(self):
        found = center_distance_interval(boxes([[0, 0, 0]]), boxes([[3, 4, 0]]))

        assert float(found.value) == pytest.approx(5.0)
        assert float(found.high) == pytest.approx(5.0 + Z * 0.1 * math.sqrt(2))

    def test_centres_that_coincide_take_the_widest_spread(self):
        found = center_distance_interval(boxes([[1, 1, 1]]), boxes([[1, 1, 1]]))

        assert float(found.low) == 0
        assert float(found.high) == pytest.approx(Z * 0.1 * math.sqrt(2))

    def test_unequal_numbers_are_refused(self):
        with pytest.raises(ShapeError, match="got 1 and 0"):
            center_distance_interval(boxes([[1, 1, 1]]), boxes([]))


class TestSizes:
    def test_the_longest_side_has_the_error_of_a_side(self):
        found = size_interval(boxes([[0, 0, 0]], [[1.0, 3.0, 2.0]]))

        assert float(found.low) == pytest.approx(3 - Z * 0.1)
        assert float(found.high) == pytest.approx(3 + Z * 0.1)

    def test_a_size_is_never_negative(self):
        assert float(size_interval(boxes([[0, 0, 0]], [[0.05] * 3])).low) == 0


class TestBearings:
    def test_the_error_grows_as_the_target_comes_near(self):
        here, ahead = boxes([[0, 0, 0]] * 2), boxes([[0, 9, 0]] * 2)

        found = bearing_interval(here, ahead, boxes([[-2, 0, 0], [-1, 0, 0]]))

        assert found.value.tolist() == pytest.approx([90.0, 90.0])
        width = (found.high - found.low).tolist()
        assert width[1] > width[0] > 0

    def test_a_fixed_viewer_sees_the_error_of_the_target_alone(self):
        exact = boxes([[0, 0, 0]], sigma=0.0)

        found = bearing_interval(exact, boxes([[0, 9, 0]], sigma=0.0), boxes([[-2, 0, 0]]))

        assert float(found.high - found.value) == pytest.approx(math.degrees(Z * 0.1 / 2))

    def test_no_interval_is_wider_than_the_circle(self):
        near = bearing_interval(boxes([[0, 0, 0]]), boxes([[0, 1e-3, 0]]), boxes([[1, 0, 0]]))

        assert float(near.high - near.low) == pytest.approx(360.0)

    def test_a_target_at_the_viewers_place_has_no_bearing(self):
        found = bearing_interval(boxes([[0, 0, 0]]), boxes([[0, 9, 0]]), boxes([[0, 0, 5]]))

        assert math.isnan(float(found.value))
        assert math.isnan(float(found.high))


def test_quantile_is_that_of_the_normal_distribution():
    assert quantile(0.9) == pytest.approx(Z)


class TestCoverage:
    """A short form of benchmarks/calibration.py: bounds that a broken interval fails."""

    @staticmethod
    def coverage(data_dir, sigma, *, told=1.0):
        path = data_dir / "vsi" / "scenes.json"
        hits, sizes = [], []
        for number, name in enumerate(CognitiveMap.scenes(path)[::12]):
            truth = CognitiveMap.load(path, scene=name).objects
            generator = torch.Generator().manual_seed(number)
            noise = torch.randn(len(truth), 6, generator=generator, dtype=torch.float64) * sigma
            variance = (told * sigma) ** 2 * torch.eye(6, dtype=torch.float64)
            seen = Boxes3D(
                centers=truth.centers + noise[:, :3],
                sizes=(truth.sizes + noise[:, 3:]).clamp(min=1e-3),
                axes=truth.axes,
                covariance=variance.expand(len(truth), 6, 6),
            )
            pairs = torch.ones(len(truth), len(truth), dtype=torch.bool).triu(1)
            gaps = box_gaps(truth, truth)
            hits.append(distance_interval(seen, seen).holds(gaps)[pairs & (gaps > 0)])
            sizes.append(size_interval(seen).holds(truth.sizes.amax(dim=1)))
        return (float(torch.cat(part).double().mean()) for part in (hits, sizes))

    @pytest.mark.parametrize("sigma", [0.02, 0.1, 0.2])
    def test_nine_of_ten_intervals_hold_the_truth(self, data_dir, sigma):
        distance, size = self.coverage(data_dir, sigma)

        # About 100 objects, whose errors many pairs share.
        assert 0.82 < distance < 0.97
        assert 0.82 < size < 0.97

    @pytest.mark.parametrize(("told", "low", "high"), [(0.5, 0.0, 0.75), (2.0, 0.97, 1.0)])
    def test_a_wrong_sigma_is_seen(self, data_dir, told, low, high):
        distance, size = self.coverage(data_dir, 0.1, told=told)

        assert low <= distance <= high
        assert low <= size <= high

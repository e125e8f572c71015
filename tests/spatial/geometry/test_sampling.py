"""VSI-Bench's sampled distance against all pairs of points, and against the benchmark's answers."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry import sampling
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.geometry.sampling import sampled_gap

VSI = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "vsi"


def random_boxes(count, *, seed, spread, largest):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    return Boxes3D(
        centers=torch.rand(count, 3, **options) * spread,
        sizes=torch.rand(count, 3, **options) * largest,
        axes=axes,
    )


def lattice_points(boxes, i, *, step):
    """Every sample point of one box, world frame."""
    size = boxes.sizes[i].numpy()
    sides = [np.arange(-s / 2, s / 2, step) if s > 0 else np.zeros(1) for s in size]
    local = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    hollow = (np.abs(local) < size / 4).all(axis=1)
    return boxes.centers[i].numpy() + local[~hollow] @ boxes.axes[i].numpy()


def reference_gap(a, b, *, step):
    """The least distance between all points of one box and all of the other."""
    gaps = []
    for i in range(len(a)):
        tree = cKDTree(lattice_points(a, i, step=step))
        gaps.append(tree.query(lattice_points(b, i, step=step))[0].min())
    return torch.tensor(gaps, dtype=torch.float64)


def assert_equal(gaps, want):
    torch.testing.assert_close(gaps, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("spread", "largest", "step"),
    [
        pytest.param(2.0, 0.8, 0.05, id="apart"),
        pytest.param(0.4, 0.8, 0.05, id="overlapping"),
        pytest.param(0.0, 1.0, 0.05, id="one centre"),
        pytest.param(0.3, 0.3, 0.11, id="a few points each"),
        pytest.param(0.05, 0.08, 0.05, id="tiny"),
    ],
)
def test_equals_all_pairs_of_points(spread, largest, step):
    a = random_boxes(150, seed=1, spread=spread, largest=largest)
    b = random_boxes(150, seed=2, spread=spread, largest=largest)

    assert_equal(sampled_gap(a, b, step=step), reference_gap(a, b, step=step))


def test_equals_all_pairs_for_a_small_box_in_a_large_one():
    a = random_boxes(100, seed=3, spread=0.3, largest=0.15)
    b = random_boxes(100, seed=4, spread=0.3, largest=0.15)
    large = Boxes3D(centers=b.centers, sizes=b.sizes + 1.0, axes=b.axes)

    gaps = sampled_gap(a, large)

    want = reference_gap(a, large, step=0.05)
    assert_equal(gaps, want)
    assert gaps.max() > 0.1  # the hollow of the large box is seen
    with pytest.raises(AssertionError, match="not close"):
        assert_equal(closest_points(a, large)[2], want)


def test_equals_all_pairs_for_flat_boxes_and_round_sizes():
    a = random_boxes(100, seed=5, spread=1.0, largest=1.0)
    sizes = (a.sizes * 5).round() / 5  # 0, 0.2, ..: sides of no length and of whole steps
    b = random_boxes(100, seed=6, spread=1.0, largest=0.6)
    flat = Boxes3D(centers=a.centers, sizes=sizes, axes=a.axes)

    assert (sizes == 0).any()
    assert_equal(sampled_gap(flat, b), reference_gap(flat, b, step=0.05))


@pytest.mark.parametrize(("step", "end"), [(0.03, 1), (0.03, -1), (0.05, -1), (0.1, -1)])
def test_points_at_the_very_rim_of_the_hollow_are_kept_as_by_numpy(step, end):
    # Bars of 1 cm to 5 m: for some, a point falls on a quarter of the length up to rounding.
    lengths = torch.arange(1, 500, dtype=torch.float64) * 0.01
    sizes = torch.full((len(lengths), 3), 4 * step, dtype=torch.float64) * 0.9
    sizes[:, 0] = lengths
    axes = torch.eye(3, dtype=torch.float64).expand(len(lengths), 3, 3)
    bars = Boxes3D(centers=torch.zeros_like(sizes), sizes=sizes, axes=axes)
    rims = torch.zeros_like(sizes)
    rims[:, 0] = end * lengths / 4
    dots = Boxes3D(centers=rims, sizes=torch.zeros_like(sizes), axes=axes)

    assert_equal(sampled_gap(bars, dots, step=step), reference_gap(bars, dots, step=step))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), step=st.floats(0.03, 0.4), spread=st.floats(0, 2))
def test_equals_all_pairs_whatever_the_step(seed, step, spread):
    a = random_boxes(8, seed=seed, spread=spread, largest=0.7)
    b = random_boxes(8, seed=seed + 1, spread=spread, largest=0.7)

    assert_equal(sampled_gap(a, b, step=step), reference_gap(a, b, step=step))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_is_symmetric_and_never_below_the_exact_gap(seed):
    a = random_boxes(10, seed=seed, spread=1.5, largest=0.9)
    b = random_boxes(10, seed=seed + 1, spread=1.5, largest=0.9)

    gaps = sampled_gap(a, b)

    assert_equal(gaps, sampled_gap(b, a))
    assert (gaps >= closest_points(a, b)[2] - 1e-9).all()


def test_result_does_not_depend_on_the_chunk(monkeypatch):
    a = random_boxes(20, seed=7, spread=1.0, largest=0.8)
    b = random_boxes(20, seed=8, spread=1.0, largest=0.8)
    whole = sampled_gap(a, b)

    monkeypatch.setattr(sampling, "_CHUNK", 97)

    assert torch.equal(sampled_gap(a, b), whole)


def test_float32_boxes_give_float32():
    a = random_boxes(20, seed=7, spread=1.0, largest=0.8)
    single = Boxes3D(centers=a.centers.float(), sizes=a.sizes.float(), axes=a.axes.float())

    assert sampled_gap(single, single).dtype == torch.float32


@pytest.mark.parametrize("step", [0.0, -0.1, math.nan, math.inf])
def test_step_that_is_no_length_is_refused(step):
    a = random_boxes(1, seed=0, spread=1.0, largest=1.0)

    with pytest.raises(InputError, match="positive number of metres"):
        sampled_gap(a, a, step=step)


@pytest.mark.parametrize("size", [1e5, math.nan, math.inf])
def test_lattice_without_end_is_refused(size):
    a = random_boxes(1, seed=0, spread=1.0, largest=1.0)
    huge = Boxes3D(centers=a.centers, sizes=torch.full_like(a.sizes, size), axes=a.axes)

    with pytest.raises(InputError, match="sample points, expected at most 1e\\+09"):
        sampled_gap(huge, huge)


def test_unpaired_boxes_are_refused():
    a = random_boxes(2, seed=0, spread=1.0, largest=1.0)

    with pytest.raises(ShapeError, match="got 2 and 1 boxes"):
        sampled_gap(a, a[torch.tensor([0])])


def vsi_boxes(records):
    columns = [
        torch.tensor([record[name] for record in records], dtype=torch.float64)
        for name in ("centroid", "axesLengths", "normalizedAxes")
    ]
    return Boxes3D(centers=columns[0], sizes=columns[1], axes=columns[2].reshape(-1, 3, 3))


def vsi_distances():
    """The benchmark's distances between categories of one box each: boxes, boxes, answers."""
    scenes = json.loads((VSI / "scenes.json").read_text())
    pattern = re.compile(r"distance between the (.+) and the (.+) \(in meters\)")
    first, second, answers = [], [], []
    for line in (VSI / "qa.jsonl").read_text().splitlines():
        item = json.loads(line)
        if item["question_type"] != "object_abs_distance":
            continue
        boxes = scenes[item["scene"]]["object_bbox"]
        found = [boxes.get(name, []) for name in pattern.search(item["question"]).groups()]
        if all(len(some) == 1 for some in found):
            first.append(found[0][0])
            second.append(found[1][0])
            answers.append(float(item["answer"]))
    return vsi_boxes(first), vsi_boxes(second), np.array(answers)


def mean_relative_accuracy(got, want):
    error = np.abs(got - want) / want
    return (error[:, None] <= 1 - np.linspace(0.5, 0.95, 10)).mean()


@pytest.mark.skipif(not VSI.exists(), reason="needs ../shared/data/vsi")
def test_vsi_distances_are_the_benchmarks_own():
    a, b, answers = vsi_distances()
    assert len(answers) == 240

    accuracy = mean_relative_accuracy(sampled_gap(a, b).numpy(), answers)

    assert accuracy >= 0.975
    assert accuracy > mean_relative_accuracy(closest_points(a, b)[2].numpy(), answers)
    # The referee tells a wrong measure: centres, or axes read by columns.
    centers = (a.centers - b.centers).norm(dim=1).numpy()
    assert mean_relative_accuracy(centers, answers) < 0.8
    by_columns = [
        Boxes3D(centers=x.centers, sizes=x.sizes, axes=x.axes.transpose(1, 2)) for x in (a, b)
    ]
    assert mean_relative_accuracy(sampled_gap(*by_columns).numpy(), answers) < 0.965

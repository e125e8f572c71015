"""Neighbours against all pairs in float64, in rooms and in heaps, rows, spheres and far corners."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.scale import neighbour_search
from groundplane.spatial.scale.neighbours import (
    Edges,
    Neighbours,
    count_within,
    gaps_within,
    nearest,
    pairs_within,
)

DOUBLE = torch.float64
SEEDS = st.integers(0, 2**31)
METRICS = st.sampled_from(["centers", "hulls"])


def boxes(centers, *, sizes=None, seed=0, dtype=DOUBLE):
    """Turned boxes of the size of furniture."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.as_tensor(centers, dtype=dtype).reshape(-1, 3)
    n = len(centers)
    axes, _ = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator, dtype=dtype))
    if sizes is None:
        sizes = torch.rand(n, 3, generator=generator, dtype=dtype) + 0.05
    return Boxes3D(centers=centers, sizes=sizes, axes=axes)


def scatter(shape, n, seed):
    """Centres that are hard on a grid: all in one cell, on few places, far apart, on a line."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(n, 3, generator=generator, dtype=DOUBLE)
    match shape:
        case "room":
            return (spread - 0.5) * torch.tensor([9.0, 7.0, 3.0])
        case "heap":
            return torch.full((n, 3), -3.25, dtype=DOUBLE)
        case "few places":
            return torch.floor(spread * 3) - 1
        case "outliers":
            return spread * 10.0 ** torch.randint(-3, 9, (n, 1), generator=generator) - 5
        case "line":
            return torch.floor(spread[:, :1] * 20) * torch.tensor([1.0, 0.0, 0.0], dtype=DOUBLE)
        case _:
            return torch.nn.functional.normalize(spread - 0.5, dim=1)


SHAPES = st.sampled_from(["room", "heap", "few places", "outliers", "line", "sphere"])


def all_squares(a, b, metric):
    """Every pair in float64, with no tree: the plain version."""
    if metric == "centers":
        low_a = high_a = a.centers.numpy()
        low_b = high_b = b.centers.numpy()
    else:
        low_a, high_a = (side.numpy() for side in a.hull())
        low_b, high_b = (side.numpy() for side in b.hull())
    before = low_b[None] - high_a[:, None]
    after = low_a[:, None] - high_b[None]
    gap = np.maximum(before, after).clip(min=0) ** 2
    return gap[..., 0] + gap[..., 1] + gap[..., 2]


def plain_nearest(squares, k, *, itself):
    """Row by row: sorted by distance, then by index."""
    indices = np.full((len(squares), k), -1)
    distances = np.full((len(squares), k), np.inf)
    for i, row in enumerate(squares):
        order = [j for j in np.argsort(row, kind="stable") if itself or j != i][:k]
        indices[i, : len(order)] = order
        distances[i, : len(order)] = np.sqrt(row[order])
    return indices, distances


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 150), st.integers(1, 40), METRICS, SEEDS)
def test_nearest_are_those_of_all_pairs_and_equals_come_by_index(shape, n, k, metric, seed):
    a = boxes(scatter(shape, n, seed), seed=seed)
    found = nearest(a, k=k, metric=metric)
    indices, distances = plain_nearest(all_squares(a, a, metric), k, itself=False)
    assert found.indices.tolist() == indices.tolist()
    np.testing.assert_array_equal(found.distances, distances)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SHAPES, st.integers(0, 90), st.integers(0, 150), METRICS, SEEDS)
def test_nearest_of_two_sets_are_those_of_all_pairs(shape, other, n, m, metric, seed):
    a, b = boxes(scatter(shape, n, seed), seed=seed), boxes(scatter(other, m, seed + 1), seed=1)
    found = nearest(a, b, k=5, metric=metric)
    indices, distances = plain_nearest(all_squares(a, b, metric), 5, itself=True)
    assert found.indices.tolist() == indices.tolist()
    np.testing.assert_array_equal(found.distances, distances)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(0, 150), st.floats(0, 12), METRICS, SEEDS)
def test_counts_and_pairs_are_those_of_all_pairs(shape, n, radius, metric, seed):
    a = boxes(scatter(shape, n, seed), seed=seed)
    near = np.sqrt(all_squares(a, a, metric)) <= radius
    np.fill_diagonal(near, False)
    edges = pairs_within(a, radius=radius, metric=metric)
    first, second = np.nonzero(near)
    assert count_within(a, radius=radius, metric=metric).tolist() == near.sum(axis=1).tolist()
    assert edges.first.tolist() == first.tolist()
    assert edges.second.tolist() == second.tolist()
    distances = np.sqrt(all_squares(a, a, metric))[first, second]
    np.testing.assert_array_equal(edges.distances, distances)
    assert (edges.distances <= radius).all()


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(0, 60), st.integers(0, 90), METRICS, SEEDS)
def test_counts_and_pairs_of_two_sets_are_those_of_all_pairs(shape, n, m, metric, seed):
    a, b = boxes(scatter(shape, n, seed), seed=seed), boxes(scatter("room", m, seed), seed=1)
    near = np.sqrt(all_squares(a, b, metric)) <= 1.5
    edges = pairs_within(a, b, radius=1.5, metric=metric)
    assert count_within(a, b, radius=1.5, metric=metric).tolist() == near.sum(axis=1).tolist()
    assert [edges.first.tolist(), edges.second.tolist()] == [x.tolist() for x in np.nonzero(near)]


@pytest.mark.parametrize("shape", ["heap", "few places", "room", "sphere"])
def test_many_leaves_that_ask_for_more_than_is_held_at_once(shape, monkeypatch):
    # Sizes so small that askers are halved, tiles are cut, and rounds are many.
    sizes = neighbour_search._Sizes(asking=16, walk=8, tile=600, results=2_000)
    monkeypatch.setattr(neighbour_search, "_CPU", sizes)
    a = boxes(scatter(shape, 400, 3), seed=3)
    squares = all_squares(a, a, "hulls")
    indices, _ = plain_nearest(squares, 30, itself=False)
    assert nearest(a, k=30, metric="hulls").indices.tolist() == indices.tolist()
    near = np.sqrt(squares) <= 0.2
    assert count_within(a, radius=0.2, metric="hulls").tolist() == (near.sum(axis=1) - 1).tolist()
    assert len(pairs_within(a, radius=0.2, metric="hulls")) == near.sum() - 400


@settings(max_examples=20, deadline=None)
@given(SHAPES, st.integers(0, 40), st.integers(0, 60), st.floats(0, 3), SEEDS)
def test_exact_gaps_within_are_those_of_all_pairs(shape, n, m, radius, seed):
    a, b = boxes(scatter(shape, n, seed), seed=seed), boxes(scatter("room", m, seed), seed=1)
    gaps = box_gaps(a, b)
    edges = gaps_within(a, b, radius=radius)
    # Twice the same gap may differ by rounding: pairs that near to the radius may fall either way.
    found = torch.full_like(gaps, math.inf)
    found[edges.first, edges.second] = edges.distances
    clear = (gaps - radius).abs() > 1e-9 * (1 + gaps)
    assert torch.equal((found <= radius)[clear], (gaps <= radius)[clear])
    torch.testing.assert_close(
        edges.distances, gaps[edges.first, edges.second], rtol=1e-9, atol=1e-9
    )


def test_exact_gaps_among_themselves_are_given_both_ways_and_in_order():
    a = boxes(scatter("room", 60, 5), seed=5)
    edges = gaps_within(a, radius=0.5)
    pairs = list(zip(edges.first.tolist(), edges.second.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert set(pairs) == {(j, i) for i, j in pairs}
    assert all(i != j for i, j in pairs)
    assert 0 < len(pairs) < len(pairs_within(a, radius=0.5, metric="hulls"))


def test_a_face_that_lies_on_the_radius_is_within():
    a = boxes([[0.0, 0, 0], [3.3, 0, 0]], sizes=torch.ones(2, 3, dtype=DOUBLE))
    a = Boxes3D(centers=a.centers, sizes=a.sizes, axes=torch.eye(3, dtype=DOUBLE).repeat(2, 1, 1))
    assert gaps_within(a, radius=float(box_gaps(a, a)[0, 1])).first.tolist() == [0, 1]


def test_the_plain_version_tells_a_swapped_tie():
    a = boxes(scatter("heap", 20, 0), sizes=torch.ones(20, 3, dtype=DOUBLE))
    found = nearest(a, k=3).indices
    indices, _ = plain_nearest(all_squares(a, a, "centers"), 3, itself=False)
    assert found.flip(1).tolist() != indices.tolist()


def test_a_heap_of_many_is_done_without_looking_at_all_pairs():
    heap = boxes(torch.zeros(60_000, 3, dtype=DOUBLE))
    found = nearest(heap, k=2)
    assert found.indices[:3].tolist() == [[1, 2], [0, 2], [0, 1]]
    assert (found.indices[3:] == torch.tensor([0, 1])).all()
    assert (count_within(heap, radius=0.0) == 59_999).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_found_at_a_distance_is_within_it(dtype):
    a = boxes(scatter("room", 400, 5), seed=5, dtype=dtype)
    found = nearest(a, k=1).distances[:, 0].tolist()
    for row, distance in enumerate(found):
        one = a[torch.tensor([row])]
        # Itself and the nearest.
        assert count_within(one, a, radius=distance).tolist() == [2]


def test_the_radius_counts_itself_in():
    a = boxes([[0.0, 0, 0], [0.1, 0, 0], [0.3, 0, 0]])
    # 0.3 - 0.1 is a little less than 0.2 in binary, and the square of 0.1 is rounded.
    assert count_within(a, radius=0.1).tolist() == [1, 1, 0]
    assert count_within(a, radius=math.nextafter(0.1, 0)).tolist() == [0, 0, 0]
    assert count_within(a, radius=1e300).tolist() == [2, 2, 2]


@pytest.mark.parametrize("metric", ["centers", "hulls"])
def test_no_objects_and_one_object(metric):
    none, one = boxes([]), boxes([[1.0, 2.0, 3.0]])
    assert nearest(none, k=3, metric=metric).indices.shape == (0, 3)
    assert nearest(one, k=2, metric=metric).indices.tolist() == [[-1, -1]]
    assert nearest(one, k=2, metric=metric).distances.tolist() == [[math.inf, math.inf]]
    assert nearest(one, one, k=1, metric=metric).indices.tolist() == [[0]]
    assert count_within(one, none, radius=1.0, metric=metric).tolist() == [0]
    assert count_within(one, radius=1.0, metric=metric).tolist() == [0]
    assert len(pairs_within(none, one, radius=1.0, metric=metric)) == 0


def test_boxes_that_are_not_known_are_nobodys_neighbours():
    centers = [[0.0, 0, 0], [math.nan, 0, 0], [1.0, 0, 0], [math.inf, 0, 0], [1e300, 0, 0]]
    a = boxes(centers)
    found = nearest(a, k=2)
    assert found.indices.tolist() == [[2, -1], [-1, -1], [0, -1], [-1, -1], [-1, -1]]
    assert found.distances[1].isnan().all()
    assert found.distances[0].tolist() == [1.0, math.inf]
    assert count_within(a, radius=5.0).tolist() == [1, 0, 1, 0, 0]
    assert pairs_within(a, radius=5.0).first.tolist() == [0, 2]


def test_an_inside_out_box_has_a_centre_but_no_hull():
    sizes = torch.ones(3, 3, dtype=DOUBLE)
    sizes[1, 2] = -1
    a = boxes([[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]], sizes=sizes)
    assert nearest(a, k=1).indices.tolist() == [[1], [0], [1]]
    assert nearest(a, k=1, metric="hulls").indices.tolist() == [[2], [-1], [0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, DOUBLE])
def test_results_have_the_precision_of_the_boxes_and_at_least_float32(dtype):
    centers = torch.tensor([[0.0, 0, 0], [300.0, 400.0, 0]], dtype=dtype)
    a = Boxes3D(
        centers=centers,
        sizes=torch.ones_like(centers),
        axes=torch.eye(3, dtype=dtype).repeat(2, 1, 1),
    )
    found = nearest(a, k=1)
    assert found.distances.tolist() == [[500.0], [500.0]]
    assert found.distances.dtype == (DOUBLE if dtype == DOUBLE else torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_neighbours_are_the_same_on_a_graphics_card():
    a = boxes(scatter("few places", 2_000, 0))
    here, there = nearest(a, metric="hulls"), nearest(a.to("cuda"), metric="hulls")
    assert there.indices.is_cuda
    assert torch.equal(here.indices, there.indices.cpu())
    assert torch.equal(count_within(a, radius=1.0), count_within(a.to("cuda"), radius=1.0).cpu())


def test_values_out_of_range_are_refused_with_their_names():
    one = boxes([[0.0, 0, 0]])
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        nearest(one, k=0)
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="at least 0 metres"):
            count_within(one, radius=radius)


def test_too_many_pairs_are_refused_with_their_number_before_they_are_collected():
    heap = boxes(torch.zeros(3_000, 3, dtype=DOUBLE))
    with pytest.raises(InputError, match=r"8997000 within 1.0 m .* 215.9 MB; allowed are 1.0 MB"):
        pairs_within(heap, radius=1.0, limit=10**6)
    with pytest.raises(InputError, match=r"neighbours: .* smaller k"):
        nearest(heap, k=10**6)


def test_columns_of_different_length_are_refused(unchecked):
    index = torch.zeros(2, 1, dtype=torch.long)
    with pytest.raises(ShapeError, match="distances"):
        Neighbours(indices=index, distances=torch.zeros(2, 2))
    with pytest.raises(ShapeError, match="same length"):
        Edges(first=index[:, 0], second=index[:1, 0], distances=torch.zeros(2))

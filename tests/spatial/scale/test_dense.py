"""The table of all pairs against a loop in plain numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations import in_front_of, left_of
from groundplane.spatial.scale import dense
from groundplane.spatial.scale.dense import PairTable, Topology, seen_along, tabulate

DOUBLE = torch.float64
SEEDS = st.integers(0, 2**31)
TOLERANCE = 0.02


def upright(low, high):
    """Boxes along the axes, by their corners."""
    low, high = (torch.as_tensor(side, dtype=DOUBLE).reshape(-1, 3) for side in (low, high))
    axes = torch.eye(3, dtype=DOUBLE).repeat(len(low), 1, 1)
    return Boxes3D(centers=(low + high) / 2, sizes=high - low, axes=axes)


def blocks(n, seed, *, grid=True, scale=1.0):
    """Boxes with corners on a grid, so that faces meet and boxes coincide, or turned ones."""
    generator = torch.Generator().manual_seed(seed)
    if grid:
        corners = torch.randint(-3, 4, (2, n, 3), generator=generator).double() * scale / 2
        return upright(corners.amin(dim=0), corners.amax(dim=0))
    options = {"generator": generator, "dtype": DOUBLE}
    axes, _ = torch.linalg.qr(torch.randn(n, 3, 3, **options))
    return Boxes3D(
        centers=(torch.rand(n, 3, **options) * 6 - 2) * scale,
        sizes=torch.rand(n, 3, **options) * 2 * scale,
        axes=axes,
    )


def plain_topology(a, b):
    """Interval by interval, with words for the cases."""
    (low_a, high_a), (low_b, high_b) = a, b
    axes = range(3)
    gap = max(max(low_b[k] - high_a[k], low_a[k] - high_b[k]) for k in axes)
    inside = all(
        low_b[k] - low_a[k] <= TOLERANCE and high_a[k] - high_b[k] <= TOLERANCE for k in axes
    )
    contains = all(
        low_a[k] - low_b[k] <= TOLERANCE and high_b[k] - high_a[k] <= TOLERANCE for k in axes
    )
    if gap > TOLERANCE:
        return Topology.DISJOINT
    if inside and contains:
        return Topology.EQUAL
    if gap >= -TOLERANCE:
        return Topology.TOUCHING
    if inside:
        return Topology.INSIDE
    return Topology.CONTAINS if contains else Topology.OVERLAPPING


def hulls(boxes):
    low, high = boxes.hull()
    return list(zip(low.tolist(), high.tolist(), strict=True))


def assert_equals_plain(table, a, b):
    """Every field of every pair; lengths to within float32 over the scene."""
    rounding = 1e-6 * max([1.0, *b.centers.abs().flatten().tolist()])
    for i, (p, hull) in enumerate(zip(a.centers.tolist(), hulls(a), strict=True)):
        for j, (q, other) in enumerate(zip(b.centers.tolist(), hulls(b), strict=True)):
            length = math.dist(p, q)
            assert float(table.distances[i, j]) == pytest.approx(length, abs=rounding)
            if length > rounding * 100:
                unit = [(v - u) / length for u, v in zip(p, q, strict=True)]
                assert table.directions[i, j].tolist() == pytest.approx(unit, abs=1e-3)
            assert Topology(int(table.topology[i, j])) is plain_topology(hull, other)
            for axis in range(3):
                before = other[0][axis] - hull[1][axis] > TOLERANCE
                after = hull[0][axis] - other[1][axis] > TOLERANCE
                assert bool(table.before(axis)[i, j]) is before
                assert bool(table.after(axis)[i, j]) is after


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.booleans(), SEEDS)
def test_every_pair_is_that_of_the_plain_loop(n, m, grid, seed):
    a, b = blocks(n, seed, grid=grid), blocks(m, seed + 1, grid=grid)
    assert_equals_plain(tabulate(a, b), a, b)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), SEEDS)
def test_a_scene_far_from_the_origin_keeps_its_precision(n, seed):
    a = blocks(n, seed)
    shift = torch.tensor([4e6, -5e6, 300.0], dtype=DOUBLE)
    far = Boxes3D(centers=a.centers + shift, sizes=a.sizes, axes=a.axes)
    near, there = tabulate(a), tabulate(far)
    assert torch.equal(near.topology, there.topology)
    torch.testing.assert_close(near.distances, there.distances, rtol=0, atol=1e-5)


def test_tiles_that_cut_rows_and_columns_leave_no_seam(monkeypatch):
    monkeypatch.setattr(dense, "_TILE", {"cpu": 7})
    a, b = blocks(5, 1), blocks(17, 2)
    assert_equals_plain(tabulate(a, b), a, b)


def test_the_plain_loop_tells_a_wrong_field():
    a = blocks(6, 1, grid=False)
    for name, wrong in (
        ("distances", lambda value: value + 1),
        ("topology", lambda value: value % 6 + 1),
        ("orders", lambda value: value ^ 1),
    ):
        table = tabulate(a)
        column = getattr(table, name)
        column[2, 3] = wrong(column[2, 3])
        with pytest.raises(AssertionError):
            assert_equals_plain(table, a, a)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.booleans(), SEEDS)
def test_seen_from_the_other_side_everything_is_reversed(n, grid, seed):
    table = tabulate(blocks(n, seed, grid=grid))
    assert torch.equal(table.distances, table.distances.T)
    torch.testing.assert_close(
        table.directions, -table.directions.transpose(0, 1), rtol=0, atol=0, equal_nan=True
    )
    assert torch.equal(table.holds(Topology.INSIDE), table.holds(Topology.CONTAINS).T)
    for code in (Topology.DISJOINT, Topology.TOUCHING, Topology.EQUAL, Topology.OVERLAPPING):
        assert torch.equal(table.holds(code), table.holds(code).T)
    for axis in range(3):
        assert torch.equal(table.before(axis), table.after(axis).T)


@pytest.mark.parametrize(
    ("low", "high", "topology"),
    [
        ((2.0, 0, 0), (3, 1, 1), "DISJOINT"),
        ((1.01, 0, 0), (2, 1, 1), "TOUCHING"),
        ((1.0, 1, 1), (2, 2, 2), "TOUCHING"),  # at one corner
        ((0.5, 0.5, 0.5), (2, 2, 2), "OVERLAPPING"),
        ((-1.0, -1, -1), (2, 2, 2), "INSIDE"),
        ((0.0, 0, 0), (2, 1, 1), "INSIDE"),  # up to its faces
        ((0.2, 0.2, 0.2), (0.8, 0.8, 0.8), "CONTAINS"),
        ((0.5, 0.2, 0.2), (0.5, 0.8, 0.8), "CONTAINS"),  # a flat one
        ((1.0, 0, 0), (1, 1, 1), "TOUCHING"),  # a picture on its side
        ((0.01, 0, 0), (1.01, 1, 1), "EQUAL"),
    ],
)
def test_topology_of_a_unit_block_to_another(low, high, topology):
    table = tabulate(upright([(0, 0, 0)], [(1, 1, 1)]), upright([low], [high]))
    assert Topology(int(table.topology)).name == topology


def test_a_thing_is_equal_to_itself_and_has_no_direction():
    table = tabulate(upright([(0, 0, 0), (5, 5, 5)], [(1, 1, 1), (5, 5, 5)]))
    assert table.holds(Topology.EQUAL).tolist() == [[True, False], [False, True]]
    assert table.distances.diagonal().tolist() == [0.0, 0.0]
    assert table.directions[0, 0].isnan().all()
    assert table.azimuths().isnan().tolist() == [[True, False], [False, True]]


def test_boxes_that_are_not_known_have_no_topology():
    boxes = upright([(0.0, 0, 0)] * 4, [(1.0, 1, 1)] * 4)
    boxes.centers[1, 0], boxes.sizes[2, 1], boxes.centers[3, 2] = math.nan, -1.0, math.inf
    table = tabulate(boxes)
    known = torch.tensor([True, False, False, False])
    assert torch.equal(table.topology > 0, known[:, None] & known)
    assert (table.orders == 0).all()
    # The centre of an inside-out box is known all the same.
    assert table.distances[0].isnan().tolist() == [False, True, False, True]
    between = tabulate(boxes, metric="hulls").distances
    assert between[0].isnan().tolist() == [False, True, True, True]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), SEEDS)
def test_the_distance_of_hulls_is_that_of_their_nearest_points(n, seed):
    a = blocks(n, seed, grid=False)
    table = tabulate(a, metric="hulls")
    for i, (low_a, high_a) in enumerate(hulls(a)):
        for j, (low_b, high_b) in enumerate(hulls(a)):
            sides = [max(low_b[k] - high_a[k], low_a[k] - high_b[k], 0.0) for k in range(3)]
            assert float(table.distances[i, j]) == pytest.approx(math.hypot(*sides), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(-math.pi, math.pi), SEEDS)
def test_in_the_axes_of_a_viewer_directions_are_those_of_the_relations(angle, seed):
    view = torch.tensor([math.cos(angle), math.sin(angle), 0.3], dtype=DOUBLE)
    flat = view * torch.tensor([1.0, 1.0, 0.0], dtype=DOUBLE)
    boxes = blocks(8, seed, grid=False)
    table = tabulate(seen_along(boxes, view))
    offset = table.directions.float() * table.distances[..., None]
    # Left and right have a margin: what lies within 1 cm of it may be rounded to either side.
    aside = (offset[..., 0].abs() - 0.1).abs() > 0.01
    left = left_of(boxes, boxes, flat)
    assert torch.equal(left[aside], (offset[..., 0] > 0.1)[aside])
    ahead = (offset[..., 1].abs() - 0.1).abs() > 0.01
    front = in_front_of(boxes, boxes, flat)
    assert torch.equal(front[ahead], (offset[..., 1] > 0.1)[ahead])


def test_azimuths_go_from_the_first_axis_to_the_second():
    table = tabulate(
        upright([(0, 0, 0)] * 4, [(0, 0, 0)] * 4), upright(*[[(0, 2, 0), (-1, 0, 0)]] * 2)
    )
    assert table.azimuths()[0].tolist() == pytest.approx([math.pi / 2, math.pi], abs=1e-3)
    above = tabulate(upright([(0, 0, 0)], [(0, 0, 0)]), upright([(0, 0, 3)], [(0, 0, 3)]))
    assert above.azimuths().isnan().all()


def test_a_viewer_who_looks_straight_down_is_refused():
    with pytest.raises(InputError, match="no left or right"):
        seen_along(blocks(1, 0), torch.tensor([0.0, 0.0, -1.0]))


def test_seen_along_turns_the_covariance_of_the_centre():
    covariance = torch.diag(torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=DOUBLE))[None]
    box = upright([(0, 0, 0)], [(1, 2, 3)])
    box = Boxes3D(centers=box.centers, sizes=box.sizes, axes=box.axes, covariance=covariance)
    turned = seen_along(box, torch.tensor([1.0, 0, 0])).covariance
    assert turned is not None
    assert turned[0].diagonal().tolist() == [2.0, 1.0, 3.0, 4.0, 5.0, 6.0]


def test_nothing_is_copied_to_the_host_and_the_device_is_kept():
    # A meta tensor has no values: whatever looked at one would fail.
    table = tabulate(blocks(300, 0).to("meta"), blocks(200, 1).to("meta"), metric="hulls")
    assert table.distances.is_meta
    assert table.orders.shape == (300, 200)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_table_is_the_same_on_a_graphics_card():
    boxes = blocks(300, 0)
    here, there = tabulate(boxes), tabulate(boxes.to("cuda"))
    assert torch.equal(here.topology, there.topology.cpu())
    torch.testing.assert_close(here.distances, there.distances.cpu(), rtol=1e-6, atol=1e-6)


def test_a_kept_table_is_written_again():
    kept = PairTable.empty(3, 3)
    for seed in range(3):
        boxes = blocks(3, seed)
        assert tabulate(boxes, out=kept) is kept
        assert_equals_plain(kept, boxes, boxes)
    with pytest.raises(ShapeError, match=r"\(4, 4\), got \(3, 3\)"):
        tabulate(blocks(4, 0), out=kept)


def test_a_table_has_twelve_bytes_a_pair():
    table = PairTable.empty(30, 20)
    fields = (table.distances, table.directions, table.topology, table.orders)
    assert sum(field.numel() * field.itemsize for field in fields) == 30 * 20 * dense.BYTES_A_PAIR


def test_gradients_are_not_kept():
    boxes = blocks(3, 0)
    boxes.centers.requires_grad_()
    assert not tabulate(boxes).distances.requires_grad


def test_a_table_that_does_not_fit_is_refused_with_its_size_and_a_way_out():
    with pytest.raises(InputError, match=r"100000 x 100000 .* take 120.0 GB.*nearest\(boxes, k\)"):
        PairTable.empty(100_000, 100_000)
    with pytest.raises(InputError, match="allowed are 100 bytes"):
        PairTable.empty(3, 3, limit=100)


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(InputError, match="tolerance must be at least 0 metres"):
        tabulate(blocks(2, 0), tolerance=tolerance)


def test_tables_of_different_shape_are_refused(unchecked):
    table = PairTable.empty(2, 3)
    with pytest.raises(ShapeError, match="orders"):
        PairTable(
            distances=table.distances,
            directions=table.directions,
            topology=table.topology,
            orders=table.orders[:1],
        )

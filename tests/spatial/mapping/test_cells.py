"""Voxels and cells against plain loops over sets and dictionaries."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.cells import VOXELS_A_CELL, Cells, meet
from groundplane.spatial.mapping.voxels import Voxels, coordinates, packed, union

VOXEL = 0.025
WHOLE = st.lists(st.integers(0, 40), max_size=20)


@st.composite
def clouds(draw: st.DrawFn, *, owners: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A few points of a few owners, near to each other, on both sides of the origin."""
    n = draw(st.integers(0, 40))
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    points = torch.tensor(random.uniform(-0.3, 0.3, (n, 3)), dtype=torch.float32)
    return points, torch.tensor(random.integers(0, owners, n), dtype=torch.long)


def plain_voxels(points: torch.Tensor, owners: torch.Tensor) -> dict[tuple, list[np.ndarray]]:
    """The points in each voxel of each owner."""
    found: dict[tuple, list[np.ndarray]] = {}
    cells = torch.floor(points / VOXEL).long().tolist()
    for cell, owner, point in zip(cells, owners.tolist(), points.numpy(), strict=True):
        found.setdefault((owner, *cell), []).append(point)
    return found


def plain_cells(voxels: Voxels, owner: int, *, moved: bool) -> set[tuple[int, ...]]:
    """The cells of one owner, by dividing coordinates."""
    means = voxels.means[voxels.owners == owner]
    shift = VOXELS_A_CELL // 2 if moved else 0
    cells = (np.floor(means.numpy() / np.float32(VOXEL)).astype(int) - shift) // VOXELS_A_CELL
    return {tuple(cell) for cell in cells.tolist()}


@settings(max_examples=40, deadline=None)
@given(clouds())
def test_voxels_are_those_of_a_dictionary(cloud: tuple[torch.Tensor, torch.Tensor]) -> None:
    voxels = Voxels.of(cloud[0], owners=cloud[1], size=VOXEL)
    plain = plain_voxels(*cloud)

    keys = [
        (owner, *cell)
        for owner, cell in zip(
            voxels.owners.tolist(), coordinates(voxels.keys).tolist(), strict=True
        )
    ]
    assert keys == sorted(plain)
    assert voxels.counts.tolist() == [len(plain[key]) for key in keys]
    means = np.array([np.mean(plain[key], axis=0) for key in keys]).reshape(-1, 3)
    # Both are means in double precision, rounded to single.
    assert np.allclose(voxels.means.numpy(), means, rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(clouds(), clouds())
def test_joined_voxels_are_those_of_all_points(first: tuple, second: tuple) -> None:
    parts = [Voxels.of(points, owners=owners, size=VOXEL) for points, owners in (first, second)]
    joined = parts[0].joined(parts[1])
    points, owners = (torch.cat(pair) for pair in zip(first, second, strict=True))
    whole = Voxels.of(points, owners=owners, size=VOXEL)

    assert torch.equal(joined.keys, whole.keys)
    assert torch.equal(joined.counts, whole.counts)
    assert torch.allclose(joined.means, whole.means, rtol=0, atol=1e-6)
    assert set(joined.seen.tolist()) <= {1, 2}


@settings(max_examples=40, deadline=None)
@given(WHOLE, WHOLE)
def test_union_is_that_of_sets(first: list[int], second: list[int]) -> None:
    old, new = (torch.tensor(sorted(set(part)), dtype=torch.long) for part in (first, second))
    keys, own, others = union(old, new)

    assert keys.tolist() == sorted({*first, *second})
    assert torch.equal(keys[own], old)
    assert torch.equal(keys[others], new)


@settings(max_examples=40, deadline=None)
@given(clouds(), clouds(owners=4))
def test_shares_are_those_of_a_loop_over_pairs_of_sets(first: tuple, second: tuple) -> None:
    seen, known = (Voxels.of(points, owners=of, size=VOXEL) for points, of in (first, second))
    found = meet(
        Cells.of(seen, voxel=VOXEL, moved=True),
        Cells.of(known, voxel=VOXEL),
        num_seen=3,
        num_known=4,
    )

    for i, j in product(range(3), range(4)):
        moved, cells = plain_cells(seen, i, moved=True), plain_cells(known, j, moved=False)
        pairs = [
            (a, b) for a, b in product(moved, cells) if all(b[k] - a[k] in (0, 1) for k in range(3))
        ]
        of_seen = len({a for a, _ in pairs}) / max(1, len(moved))
        of_known = len({b for _, b in pairs}) / max(1, len(cells))
        assert float(found.of_seen[i, j]) == pytest.approx(of_seen)
        assert float(found.of_known[i, j]) == pytest.approx(of_known)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.floats(0, 0.045), st.floats(0.1501, 1))
def test_near_points_meet_and_far_ones_do_not(seed: int, near: float, far: float) -> None:
    random = np.random.default_rng(seed)
    point = torch.tensor(random.uniform(-2, 2, (1, 3)), dtype=torch.float32)
    own = torch.zeros(1, dtype=torch.long)
    known = Cells.of(Voxels.of(point, owners=own, size=VOXEL), voxel=VOXEL)
    sign = torch.tensor(random.choice([-1.0, 1.0], (1, 3)), dtype=torch.float32)
    axis = torch.eye(3)[[int(random.integers(3))]]
    shares = []
    for other in (point + near * sign, point + far * sign * axis):
        seen = Cells.of(Voxels.of(other, owners=own, size=VOXEL), voxel=VOXEL, moved=True)
        shares.append(float(meet(seen, known, num_seen=1, num_known=1).of_seen))

    assert shares == [1.0, 0.0]


def test_coarser_voxels_hold_the_same_points() -> None:
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    own = torch.zeros(200, dtype=torch.long)
    fine = Voxels.of(points, owners=own, size=VOXEL)
    coarse = fine.moved(fine.owners + 5, levels=torch.full_like(fine.keys, 2))
    direct = Voxels.of(points, owners=own + 5, size=4 * VOXEL)

    assert torch.equal(coarse.keys, direct.keys)
    assert torch.equal(coarse.counts, direct.counts)
    assert torch.allclose(coarse.means, direct.means, rtol=0, atol=1e-6)


def test_cells_are_renamed_and_those_of_nobody_go() -> None:
    cells = Cells(keys=(packed(torch.tensor([[0, 0, 0], [1, 0, 0]])) << 15) | torch.tensor([0, 1]))
    assert cells.renamed(torch.tensor([3, -1])).owners.tolist() == [3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_points_that_are_no_places_are_refused(bad: float) -> None:
    points = torch.tensor([[0.0, bad, 0.0]])
    with pytest.raises(InputError, match="finite coordinates within"):
        Voxels.of(points, owners=torch.zeros(1, dtype=torch.long), size=VOXEL)


def test_too_many_owners_are_refused() -> None:
    with pytest.raises(InputError, match="at most"):
        Voxels.of(torch.zeros(1, 3), owners=torch.tensor([1 << 15]), size=VOXEL)


@pytest.mark.usefixtures("unchecked")
def test_columns_of_different_lengths_are_refused() -> None:
    whole = torch.zeros(2, dtype=torch.long)
    with pytest.raises(ShapeError):
        Voxels(keys=whole, means=torch.zeros(1, 3), counts=whole, seen=whole)

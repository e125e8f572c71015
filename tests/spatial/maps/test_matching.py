"""One-to-one pairs, and boxes with their axes in another order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.maps import matching
from groundplane.spatial.maps.matching import (
    center_distances,
    common_labels,
    nearest_first,
    reordered,
)
from groundplane.testing.scenes import SceneBuilder


def plain_nearest_first(distances, allowed):
    left, pairs = allowed.copy(), []
    while left.any():
        i, j = np.unravel_index(np.argmin(np.where(left, distances, np.inf)), left.shape)
        pairs.append([int(i), int(j)])
        left[i, :] = left[:, j] = False
    return sorted(pairs)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_of_the_plain_version(n, m, seed):
    draw = np.random.default_rng(seed)
    distances, allowed = draw.random((n, m)), draw.random((n, m)) < 0.6

    assert nearest_first(distances, allowed=allowed).tolist() == plain_nearest_first(
        distances, allowed
    )


def turned_axes(seed):
    matrix = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )[0]
    return matrix * torch.linalg.det(matrix)


@given(st.integers(0, 1000), st.integers(0, 23))
@settings(max_examples=60, deadline=None)
def test_a_box_with_its_axes_renamed_is_told_to_stand_alike(seed, turn):
    axes, sizes = turned_axes(seed), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][turn % 6]
    signs = torch.tensor([(-1.0) ** (turn // 6), (-1.0) ** (turn // 12), 1], dtype=torch.float64)
    renamed = axes[order] * signs[:, None]
    renamed = torch.cat([renamed[:2], renamed[2:] * torch.linalg.det(renamed)])
    noise = torch.diag(torch.tensor([9.0, 9, 9, 1, 2, 3], dtype=torch.float64))
    index = [0, 1, 2, *(3 + k for k in order)]
    like = Boxes3D(
        centers=torch.zeros(1, 3, dtype=torch.float64), sizes=sizes[None], axes=axes[None],
        covariance=noise[None],
    )  # fmt: skip
    boxes = Boxes3D(
        centers=like.centers, sizes=sizes[order][None], axes=renamed[None],
        covariance=noise[index][:, index][None],
    )  # fmt: skip
    made, cosines = reordered(boxes, like)

    assert torch.allclose(made.axes, like.axes)
    assert torch.allclose(made.sizes, like.sizes)
    assert torch.allclose(made.covariance, like.covariance)
    assert cosines[0] == pytest.approx(1)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_reordered_boxes_cover_what_they_covered(seed, other):
    boxes, like = (
        Boxes3D(
            centers=torch.ones(1, 3, dtype=torch.float64),
            sizes=torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64),
            axes=turned_axes(part)[None],
        )
        for part in (seed, other)
    )
    made, cosines = reordered(boxes, like)
    own, theirs = (
        {tuple(c) for c in b.corners()[0].mul(1e6).round().tolist()} for b in (made, boxes)
    )

    assert own == theirs
    assert torch.linalg.det(made.axes)[0] == pytest.approx(1)
    assert 0 < cosines[0] <= 1 + 1e-9


def test_no_boxes_are_reordered_to_none():
    none = SceneBuilder().build().objects

    assert len(reordered(none, none)[0]) == 0


def test_labels_are_common_without_case_and_underscores():
    a = SceneBuilder().add("Coffee_Table", at=(0, 0, 0)).add("tv", at=(1, 0, 0)).build()
    b = SceneBuilder().add("coffee table", at=(0, 3, 4)).build()

    assert common_labels(a, b).tolist() == [[True], [False]]
    assert center_distances(a, b)[0].tolist() == [5.0]


def test_too_many_pairs_are_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(matching, "PAIR_LIMIT", 3)
    scene = SceneBuilder().add("a", at=(0, 0, 0)).add("b", at=(1, 0, 0)).build()

    with pytest.raises(InputError, match="at most 3 pairs of objects, got 2 x 2"):
        common_labels(scene, scene)

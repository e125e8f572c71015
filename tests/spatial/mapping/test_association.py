"""Which sighting is of which object: chosen one to one, by place, word and looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.mapping.association import (
    Evidence,
    assign,
    common_shares,
    duplicates,
    likeness,
    misnamed,
)
from groundplane.spatial.mapping.tallies import BuilderOptions
from groundplane.spatial.mapping.voxels import Voxels


def evidence(**columns: list[list[float]]) -> Evidence:
    """Evidence of which some columns are given; labels agree, nothing else does."""
    shape = np.array(next(iter(columns.values()))).shape
    usual = {"of_seen": 0.0, "of_known": 0.0, "inside": 0.0, "agreement": 1.0, "looks": np.nan}
    return Evidence(
        **{
            name: np.array(columns.get(name, np.full(shape, value)))
            for name, value in usual.items()
        }
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**16))
def test_each_object_gets_one_sighting_and_the_best_pair_is_kept(n: int, m: int, seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-0.5, 1, (n, m)).clip(0)
    chosen = assign(scores)
    given_ = chosen[chosen >= 0].tolist()

    assert len(given_) == len(set(given_))
    assert all(scores[i, j] > 0 for i, j in enumerate(chosen.tolist()) if j >= 0)
    # Nothing is left over on both sides that would fit.
    free = sorted(set(range(m)) - set(given_))
    assert not (scores[chosen < 0][:, free] > 0).any()
    if scores.size and scores.max() > 0:
        i, j = np.unravel_index(scores.argmax(), scores.shape)
        assert chosen[i] == j


def test_of_two_objects_in_one_place_the_one_of_that_name_is_chosen() -> None:
    scores = likeness(evidence(of_seen=[[0.8, 0.8]], agreement=[[0.4, 1.0]]), BuilderOptions())
    assert scores[0, 1] > scores[0, 0] > 0


def test_looks_break_a_tie_and_do_not_exclude() -> None:
    scores = likeness(
        evidence(of_seen=[[0.8, 0.8]], looks=[[-1.0, 0.9]]), BuilderOptions(looks=0.5)
    )
    assert scores[0, 1] > scores[0, 0] > 0


def test_without_features_looks_do_not_count() -> None:
    one = evidence(of_seen=[[0.8]])
    assert likeness(one, BuilderOptions(looks=1.0)) == likeness(one, BuilderOptions(looks=0.0))


def test_too_little_in_common_is_no_match() -> None:
    assert not likeness(evidence(of_seen=[[0.2]], inside=[[0.4]]), BuilderOptions()).any()
    assert likeness(evidence(of_seen=[[0.2]]), BuilderOptions(least_overlap=0.1)).all()


def test_another_word_never_counts_as_the_same() -> None:
    other = evidence(of_seen=[[1.0]], of_known=[[1.0]], agreement=[[0.0]])
    assert not likeness(other, BuilderOptions()).any()
    assert misnamed(other, BuilderOptions()).all()


def test_the_same_word_is_never_misnamed() -> None:
    same = evidence(of_seen=[[1.0]], of_known=[[1.0]])
    assert not misnamed(same, BuilderOptions()).any()


@pytest.mark.parametrize(("same", "expected"), [(True, True), (False, False)])
def test_a_part_is_a_duplicate_only_under_the_same_word(same: bool, expected: bool) -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 0]])
    voxels = Voxels.of(points, owners=torch.tensor([0, 0, 0, 1]), size=0.1)
    shares = common_shares(voxels, 2)

    assert shares.tolist() == [[1.0, pytest.approx(1 / 3)], [1.0, 1.0]]
    assert duplicates(shares, np.full((2, 2), same))[0, 1] == expected

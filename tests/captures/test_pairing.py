"""Times: what belongs together, against the plain way of looking at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.captures.pairing import Trajectory, median_gap, pair
from groundplane.core.errors import InputError

# No stream records twice at a time.
once = st.sets(st.integers(0, 60), max_size=12).map(lambda s: np.array(sorted(s)) / 30.0)
stamps = st.lists(st.integers(0, 60), max_size=12).map(lambda s: np.array(sorted(s)) / 30.0)


def plain_pairs(times, others, tolerance):
    """Each time wants its nearest; of those that want the same the nearest, then the first."""
    wants = {}
    for row, time in enumerate(times):
        gaps = [abs(other - time) for other in others]
        if gaps and min(gaps) <= tolerance:
            wants.setdefault(gaps.index(min(gaps)), []).append((min(gaps), row))
    chosen = [-1] * len(times)
    for other, rows in wants.items():
        chosen[min(rows)[1]] = other
    return chosen


@given(stamps, once, st.sampled_from([0.01, 0.05, 1.0]))
def test_pairs_are_those_of_the_plain_way(times, others, tolerance):
    told = pair(times, others, tolerance).tolist()
    plain = plain_pairs(times, others, tolerance)
    assert told == plain


@given(stamps, stamps)
def test_none_is_taken_twice(times, others):
    told = pair(times, others, 10.0)
    assert len(set(told[told >= 0].tolist())) == np.count_nonzero(told >= 0)


def moving(times, known=None):
    """A camera that moves along x as fast as time."""
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, 0, 3] = times
    return Trajectory(
        times=np.array(times, dtype=float),
        poses=poses,
        known=np.ones(len(times), dtype=bool) if known is None else np.array(known),
    )


def test_poses_lie_on_the_way():
    poses, known = moving([0.0, 0.01, 0.02]).at(np.array([0.0, 0.004, 0.02]), 0.02)
    assert known.all()
    assert poses[:, 0, 3] == pytest.approx([0, 0.004, 0.02])


def test_across_a_gap_the_nearer_one_is_taken_within_the_tolerance():
    poses, known = moving([0.0, 1.0]).at(np.array([0.015, 0.5, 0.99, -0.01, 1.03]), 0.02)
    assert known.tolist() == [True, False, True, True, False]
    assert poses[known][:, 0, 3].tolist() == [0.0, 1.0, 0.0]


def test_a_pose_that_is_not_known_serves_nobody():
    path = moving([0.0, 0.01, 0.02], known=[True, False, True])
    poses, known = path.at(np.array([0.009, 0.011]), 0.02)
    assert known.all()
    assert poses[:, 0, 3].tolist() == [0.0, 0.02]
    assert not path.at(np.array([0.01]), 0.001)[1].any()


def test_two_rows_of_one_time_are_no_fault():
    poses, known = moving([0.5, 0.5]).at(np.array([0.5]), 0.02)
    assert known.all()
    assert np.isfinite(poses).all()


def test_no_rows_know_nothing():
    poses, known = moving([]).at(np.array([0.0, 1.0]), 0.02)
    assert (poses.shape, known.any()) == ((2, 4, 4), False)


def test_median_gap_needs_both_sides():
    assert median_gap(np.array([0.0, 1.0, 2.0]), np.array([0.25])) == 0.75
    with pytest.raises(InputError, match="got none"):
        median_gap(np.array([0.0]), np.zeros(0))

"""Poses: checked by name, made exactly rigid, and found between two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groundplane.captures.poses import (
    between,
    from_axis_angles,
    from_quaternions,
    inverted,
    rigid,
)
from groundplane.core.errors import InputError

turns = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3)


def pose_of(turn, move=(1.0, -2.0, 0.5)):
    pose = np.eye(4)
    pose[:3, :3] = from_axis_angles(np.array([turn]))[0]
    pose[:3, 3] = move
    return pose


def series(matrix, terms=60):
    """The matrix exponential by its series, the plain way."""
    out, power = np.eye(3), np.eye(3)
    for k in range(1, terms):
        power = power @ matrix / k
        out = out + power
    return out


@given(turns)
def test_axis_angles_are_the_exponential(turn):
    x, y, z = turn
    plain = series(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
    assert np.abs(from_axis_angles(np.array([turn]))[0] - plain).max() < 1e-9


@given(turns)
def test_a_quaternion_and_its_negative_turn_alike(turn):
    angle = np.sqrt(np.square(turn).sum())
    axis = np.array(turn) / max(angle, 1e-300)
    q = np.array([[np.cos(angle / 2), *(np.sin(angle / 2) * axis)]])
    plain = from_axis_angles(np.array([turn]))
    assert np.allclose(from_quaternions(q, str), plain, atol=1e-9)
    assert np.allclose(from_quaternions(-q, str), plain, atol=1e-9)


@given(turns, turns)
def test_the_ends_of_the_way_are_the_poses(one, other):
    a, b = pose_of(one)[None], pose_of(other, (0.0, 3.0, 1.0))[None]
    turn = a[0, :3, :3].T @ b[0, :3, :3]
    assume(np.trace(turn) > -0.999)  # half a turn has no one axis
    assert np.allclose(between(a, b, np.array([0.0])), a, atol=1e-6)
    assert np.allclose(between(a, b, np.array([1.0])), b, atol=1e-4)


@given(turns, st.floats(0, 1))
def test_on_the_way_the_turn_is_about_one_axis(turn, share):
    assume(np.sqrt(np.square(turn).sum()) < 3.0)
    end = pose_of(turn)[None]
    way = between(np.eye(4)[None], end, np.array([share]))[0]
    assert np.allclose(way[:3, :3], from_axis_angles(np.array([turn]) * share)[0], atol=1e-6)
    assert np.allclose(way[:3, 3], end[0, :3, 3] * share)


@given(turns)
def test_inverted_undoes(turn):
    pose = pose_of(turn)[None]
    assert np.allclose(inverted(pose) @ pose, np.eye(4))


@settings(max_examples=50)
@given(turns, st.floats(-1e-3, 1e-3))
def test_rounded_poses_become_exactly_rigid(turn, noise):
    rough = pose_of(turn)
    rough[:3, :3] += noise * np.array([[1, -1, 0.5], [0, 1, -0.3], [0.2, 0, 1]])
    poses, known = rigid(rough[None], str)
    assert known.all()
    assert np.abs(poses[0, :3, :3] @ poses[0, :3, :3].T - np.eye(3)).max() < 1e-12
    assert np.abs(poses[0] - rough).max() < 3e-3


def test_no_poses_are_no_poses():
    poses, known = rigid(np.zeros((0, 4, 4)), str)
    assert (poses.shape, known.shape) == ((0, 4, 4), (0,))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_makes_a_pose_unknown(bad):
    pose = np.eye(4)
    pose[1, 2] = bad
    poses, known = rigid(np.stack([np.eye(4), pose]), str)
    assert known.tolist() == [True, False]
    assert np.array_equal(poses[1], np.eye(4))


@pytest.mark.parametrize(
    ("pose", "what"),
    [
        (np.diag([2.0, 2, 2, 1]), "its axes are of length about 2 "),
        (np.diag([1.0, 1, 0, 1]), "turns and moves only"),
        (np.diag([1.0, 1, 1, 2]), "last row 0 0 0 1"),
        (np.diag([1.0, -1, 1, 1]), "left-handed"),
        (np.diag([-1.0, -1, -1, 1]), "left-handed"),
        (np.eye(4) + 5 * np.eye(4)[:, [1, 2, 3, 0]].T * np.eye(4)[3:].T, "looks transposed"),
        (np.diag([1e200, 1e200, 1e200, 1]), "of length about"),
        (np.zeros((4, 4)), "last row"),
    ],
)
def test_what_is_no_pose_is_named_with_its_place(pose, what):
    with pytest.raises(InputError, match=f"row 1: .*{what}"):
        rigid(np.stack([np.eye(4), pose]), "row {}".format)


@pytest.mark.parametrize("q", [[0.0, 0, 0, 0], [2.0, 0, 0, 0], [1e200, 0, 0, 0]])
def test_quaternions_of_another_length_are_refused(q):
    with pytest.raises(InputError, match="row 0: expected a quaternion of length 1"):
        from_quaternions(np.array([q]), "row {}".format)

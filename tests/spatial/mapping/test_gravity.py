"""Which way is up: rooms tilted by hand, a real capture, and what shows no floor."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from box_scenes import frame_of, look, round_walk
from hypothesis import given, settings
from hypothesis import strategies as st
from living_room import living_room

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.gravity import aligned, estimate_up, turn_to_up

WALK = [frame_of(pose, index=k) for k, pose in enumerate(round_walk(8))]


def degrees(one, other):
    cosine = np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other)
    return math.degrees(math.acos(np.clip(cosine, -1, 1)))


def tilt(frames, axis, angle):
    """The same frames in a world turned about an axis; and where its up is."""
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.asarray(axis, float) / np.linalg.norm(axis) * angle)[0]
    turned = [
        replace(f, camera=replace(f.camera, T_world_cam=turn @ f.camera.T_world_cam))
        for f in frames
    ]
    return turned, turn[:3, 2]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), angle=st.floats(0, math.pi))
def test_up_of_tilted_rooms_is_found(seed, angle):
    frames, up = tilt(WALK, np.random.default_rng(seed).normal(size=3), angle)
    found = estimate_up(frames)
    assert found.how == "floor and walls"
    assert degrees(found.up, up) < 0.2
    assert found.notes == ()


def test_noise_of_depth_is_averaged():
    chance = torch.Generator().manual_seed(0)
    noisy = [
        replace(f, depth=f.depth * (1 + 0.02 * torch.randn(f.depth.shape, generator=chance)))
        for f in WALK
    ]
    found = estimate_up(noisy)
    assert found.how == "floor and walls"
    assert degrees(found.up, (0, 0, 1)) < 1


def test_a_camera_that_looks_steeply_down_does_not_take_a_wall_for_the_floor():
    eye = np.array([2.0, 1.5, 1.6])
    poses = [
        look(eye, eye + np.array([math.cos(a), math.sin(a), -0.9]), roll=0.1)
        for a in np.arange(0, 6, 0.7)
    ]
    found = estimate_up([frame_of(pose, index=k) for k, pose in enumerate(poses)])
    assert degrees(found.up, (0, 0, 1)) < 0.5


def test_up_of_a_real_capture_agrees_over_its_parts(data_dir):
    frames = living_room(data_dir)
    whole = estimate_up(frames)
    assert whole.how == "floor and walls"
    # Its first camera looked level.
    assert degrees(whole.up, (0, -1, 0)) < 3
    for part in (frames[:5], frames[5:10], frames[10:]):
        assert degrees(estimate_up(part).up, whole.up) < 0.6


def test_the_floor_of_a_real_capture_is_level_after_turning(data_dir):
    frames = living_room(data_dir)
    up = estimate_up(frames)
    heights = []
    for frame in frames:
        pose = aligned(frame, up).camera.T_world_cam
        rows, columns = np.mgrid[300:480:4, 0:640:4]
        z = frame.depth.numpy()[rows, columns].ravel()
        ray = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5, np.ones(z.size)], axis=1)
        points = ray @ np.linalg.inv(frame.camera.K).T * z[:, None] @ pose[:3, :3].T + pose[:3, 3]
        heights.append(points[z > 0, 2])
    heights = np.concatenate(heights)
    floor = np.median(heights[heights < np.quantile(heights, 0.3)])
    layer = heights[np.abs(heights - floor) < 0.05]
    # A quarter of these pixels and more lie in one layer a few millimetres thick.
    assert len(layer) > 0.25 * len(heights)
    assert np.median(np.abs(layer - floor)) < 0.008


def test_a_bare_wall_leaves_the_camera_to_say():
    pose = look((2.0, 0.5, 1.2), (2.0, 3.0, 1.2))
    wall = frame_of(pose, size=(64, 48), room=((-9, -9, -9), (9, 3, 9)), things=())
    found = estimate_up([wall])
    assert found.how == "camera"
    assert found.sigma > math.radians(10)
    assert "guessed" in found.notes[0]
    assert degrees(found.up, (0, 0, 1)) < 1


def test_frames_without_depth_leave_the_camera_to_say():
    found = estimate_up([replace(frame, depth=None) for frame in WALK])
    assert found.how == "camera"


def test_one_frame_without_a_pose_is_its_own_world():
    pose = look((2.0, 0.5, 1.6), (2.6, 2.9, 0.9))
    found = estimate_up([frame_of(pose, known=False)])
    assert degrees(found.up, pose[:3, :3].T @ (0, 0, 1)) < 0.2


def test_what_is_stated_is_believed():
    found = estimate_up(WALK, stated=(0, -3, 0))
    assert (found.up, found.sigma, found.how) == ((0.0, -1.0, 0.0), 0.0, "stated")


@pytest.mark.parametrize("up", [(0, 0, 0), (0, 1), (float("nan"), 0, 0), (float("inf"), 0, 0)])
def test_no_direction_is_refused(up):
    with pytest.raises(InputError, match="three finite numbers"):
        estimate_up([], stated=up)
    with pytest.raises(InputError, match="three finite numbers"):
        turn_to_up(up)


def test_no_frames_are_refused():
    with pytest.raises(InputError, match="at least one frame"):
        estimate_up([])


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_turning_makes_up_z_and_nothing_more(up):
    turn = turn_to_up(up)
    unit = np.asarray(up) / np.linalg.norm(up)
    np.testing.assert_allclose(turn[:3, :3] @ unit, (0, 0, 1), atol=1e-6)
    np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn[:3, :3]) == pytest.approx(1)
    # No turn is smaller: its angle is that between up and z.
    cosine = (np.trace(turn[:3, :3]) - 1) / 2
    assert cosine == pytest.approx(unit[2], abs=1e-6)


def test_a_frame_without_a_pose_stays_as_it_is():
    frame = frame_of(look((2, 0.5, 1.6), (2.6, 2.9, 0.9)), known=False)
    assert aligned(frame, (0, -1, 0)) is frame

"""Depth and poses are off by as much as told, whatever frames are left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.errors import InputError
from groundplane.testing.detectors import make_image
from groundplane.testing.rooms.noise import DepthErrors, PoseErrors, worse_depth, worse_pose


def frame(index=0, *, depth=2.0, size=(120, 160)):
    image = make_image(np.zeros((*size, 3), dtype=np.uint8), name=str(index))
    K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
    return Frame(
        image=image,
        index=index,
        time=index / 30,
        camera=Camera(K=K, T_world_cam=np.eye(4)),
        depth=torch.full(size, depth),
    )


def test_without_errors_depth_and_pose_stay_as_they_are():
    plain = frame()
    assert torch.equal(worse_depth(plain, DepthErrors()).depth, plain.depth)
    moved = worse_pose(plain, PoseErrors()).camera.T_world_cam
    assert np.array_equal(moved, np.eye(4))


def test_noise_has_the_standard_deviation_that_the_frame_then_tells():
    noise = DepthNoise(base=0.01, quadratic=0.005)
    worse = worse_depth(frame(), DepthErrors(noise=noise))
    assert worse.noise == noise
    assert float(worse.depth.std()) == pytest.approx(0.03, rel=0.03)
    assert float(worse.depth.mean()) == pytest.approx(2.0, abs=0.002)


def test_a_common_error_scales_all_frames_alike():
    errors = DepthErrors(noise=DepthNoise(common=0.05), seed=4)
    one, two = (worse_depth(frame(i), errors).depth for i in (0, 7))
    assert torch.equal(one, two)
    assert float(one.std()) < 1e-6
    assert abs(float(one[0, 0]) - 2.0) > 1e-3


def test_holes_and_what_is_too_far_have_no_depth():
    holed = worse_depth(frame(), DepthErrors(holes=0.3)).depth
    assert float((holed == 0).float().mean()) == pytest.approx(0.3, abs=0.08)
    assert not worse_depth(frame(), DepthErrors(farthest=1.5)).depth.any()


def test_unknown_depth_stays_unknown():
    worse = worse_depth(frame(depth=0.0), DepthErrors(noise=DepthNoise(base=0.5)))
    assert not worse.depth.any()


def test_flying_pixels_lie_between_the_two_sides_of_an_edge_and_nowhere_else():
    depth = torch.full((40, 60), 1.0)
    depth[:, 30:] = 3.0
    edge = Frame(image=make_image(np.zeros((40, 60, 3), dtype=np.uint8)), depth=depth)
    worse = worse_depth(edge, DepthErrors(flying=0.5)).depth
    off = (worse != depth).nonzero()
    assert 8 <= len(off) <= 32
    assert set(off[:, 1].tolist()) == {30}
    assert bool(((worse >= 1) & (worse <= 3)).all())


def test_rounding_is_told_as_noise():
    worse = worse_depth(frame(depth=2.013), DepthErrors(step=0.01))
    assert float(worse.depth[0, 0]) == pytest.approx(2.01)
    assert worse.noise.base == pytest.approx(0.01 / math.sqrt(12))


def test_poses_are_off_by_as_much_as_told():
    errors = PoseErrors(shift=0.02, turn=1.0)
    poses = np.stack([worse_pose(frame(i), errors).camera.T_world_cam for i in range(400)])
    assert poses[:, :3, 3].std() == pytest.approx(0.02, rel=0.1)
    angles = np.degrees(np.arccos((np.trace(poses[:, :3, :3], axis1=1, axis2=2) - 1) / 2))
    # Three turns of one degree about the axes together: root of three, in the mean of squares.
    assert np.sqrt((angles**2).mean()) == pytest.approx(math.sqrt(3), rel=0.1)


def test_drift_grows_with_the_root_of_time():
    def after(seconds):
        ends = [
            worse_pose(frame(round(seconds * 30)), PoseErrors(drift=0.1, seed=seed))
            for seed in range(150)
        ]
        return np.stack([end.camera.T_world_cam[:3, 3] for end in ends]).std()

    assert after(0) == 0
    assert after(1) == pytest.approx(0.1, rel=0.2)
    assert after(4) == pytest.approx(0.2, rel=0.2)


def test_neighbouring_frames_drift_together():
    drift = PoseErrors(drift=0.1)
    one, two = (worse_pose(frame(i), drift).camera.T_world_cam[:3, 3] for i in (300, 301))
    assert np.abs(one - two).max() < 0.1 * 4 * math.sqrt(1 / 30)


@settings(max_examples=20, deadline=None)
@given(index=st.integers(0, 10**5), seed=st.integers(0, 10**6))
def test_the_same_frame_gets_the_same_errors_and_a_rigid_pose(index, seed):
    depth = DepthErrors(noise=DepthNoise(base=0.1), holes=0.2, flying=0.1, seed=seed)
    pose = PoseErrors(shift=0.1, turn=5, drift=0.1, drift_turn=1, seed=seed)
    small = frame(index, size=(8, 10))
    assert torch.equal(worse_depth(small, depth).depth, worse_depth(small, depth).depth)
    turn = worse_pose(small, pose).camera.T_world_cam[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (DepthErrors, "holes", 1.5),
        (DepthErrors, "flying", -0.1),
        (DepthErrors, "step", float("nan")),
        (PoseErrors, "turn", float("inf")),
        (PoseErrors, "drift", -1),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(kind, name, value):
    with pytest.raises(InputError, match=name):
        kind(**{name: value})


def test_frames_without_depth_or_pose_are_refused():
    bare = Frame(image=make_image(np.zeros((4, 4, 3), dtype=np.uint8)))
    with pytest.raises(InputError, match="no depth"):
        worse_depth(bare, DepthErrors())
    with pytest.raises(InputError, match="no pose"):
        worse_pose(bare, PoseErrors())

"""Poses broken in every way, on a real capture and on cast views: each is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from box_scenes import frame_of, round_walk
from living_room import living_room

from groundplane.core.camera import DepthNoise
from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.mapping.pose_checks import check_poses, read_as
from groundplane.spatial.mapping.pose_readings import READINGS, scaled_moves

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
BODY = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def flip(axis):
    return np.diag([-1.0 if k == axis else 1.0 for k in range(4)])


def transposed(poses):
    turned = poses.copy()
    turned[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    return turned


# How files break good poses; each undoes its reading.
BROKEN = {
    "inverted": np.linalg.inv,
    "opengl": lambda poses: poses @ OPENGL,
    "inverted opengl": lambda poses: np.linalg.inv(poses @ OPENGL),
    "body axes": lambda poses: poses @ BODY.T,
    "transposed": transposed,
    "mirrored x": lambda poses: flip(0) @ poses @ flip(0),
    "mirrored y": lambda poses: flip(1) @ poses @ flip(1),
    "mirrored z": lambda poses: flip(2) @ poses @ flip(2),
    "world mirrored": lambda poses: flip(2) @ poses,
    "camera mirrored x": lambda poses: poses @ flip(0),
    "camera mirrored y": lambda poses: poses @ flip(1),
    "camera mirrored z": lambda poses: poses @ flip(2),
}


@pytest.fixture(scope="module")
def whole(data_dir):
    return living_room(data_dir)


@pytest.fixture(scope="module")
def living(whole):
    """A few of the frames tell as well, and faster."""
    return whole[:6]


def poses_of(frames):
    return np.array([frame.camera.T_world_cam for frame in frames])


def test_good_poses_fit_with_a_clear_margin(whole):
    report = check_poses(whole)
    assert report.ok
    assert report.reading == "as given"
    assert report.agreement["as given"] > 0.9
    others = [share for name, share in report.agreement.items() if name != "as given"]
    assert max(others) < 0.6


def test_every_reading_has_a_way_to_break_it():
    assert {"as given", *BROKEN} == set(READINGS)


@pytest.mark.parametrize("how", BROKEN)
def test_broken_poses_are_named(living, how):
    broken = BROKEN[how](poses_of(living))
    report = check_poses(living, poses=broken)
    assert report.ok is False
    assert report.reading == how
    assert report.agreement[how] > 0.9
    assert READINGS[how].cure in report.message


@pytest.mark.parametrize("how", BROKEN)
def test_the_reading_undoes_what_broke_the_poses(how):
    poses = poses_of([frame_of(pose) for pose in round_walk(4)])
    read = READINGS[how].change(BROKEN[how](poses))
    # A world may come out turned, for which no camera differs.
    one, other = (np.linalg.inv(stack[0]) @ stack for stack in (read, poses))
    np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize(("factor", "named"), [(1000.0, 0.001), (100.0, 0.01), (0.001, 1000.0)])
def test_translations_in_another_unit_are_named(living, factor, named):
    report = check_poses(living, poses=scaled_moves(poses_of(living), factor))
    assert (report.ok, report.reading) == (False, "pose units")
    assert report.factor == pytest.approx(named)


@pytest.mark.parametrize("factor", [1000.0, 5.0, 0.2, 0.001, 0.1])
def test_depth_in_another_scale_is_named(living, factor):
    frames = [replace(frame, depth=frame.depth * factor) for frame in living]
    report = check_poses(frames)
    assert (report.ok, report.reading) == (False, "depth scale")
    assert report.factor == pytest.approx(1 / factor)


@pytest.mark.parametrize("shift", [1, -1, 2, -3])
def test_poses_of_other_frames_are_named(living, shift):
    report = check_poses(living, poses=np.roll(poses_of(living), shift, axis=0))
    assert (report.ok, report.reading, report.shift) == (False, "unsynchronised", shift)
    assert "later" in report.message or "earlier" in report.message


def test_poses_of_another_capture_fit_in_no_way(whole):
    order = np.random.default_rng(0).permutation(len(whole))
    report = check_poses(whole, poses=poses_of(whole)[order])
    assert (report.ok, report.reading) == (False, "none")
    assert "nor does any other reading" in report.message


def test_walks_through_cast_rooms_fit():
    frames = [frame_of(pose, index=k) for k, pose in enumerate(round_walk(16, turn=4.0))]
    assert check_poses(frames).ok
    broken = check_poses(frames, poses=np.linalg.inv(poses_of(frames)))
    assert broken.reading == "inverted"


def test_a_camera_that_stands_still_fits(living):
    assert check_poses([living[3]] * 6).ok


def test_noisy_depth_still_fits(living):
    chance = torch.Generator().manual_seed(0)
    noisy = [
        replace(f, depth=f.depth * (1 + 0.02 * torch.randn(f.depth.shape, generator=chance)))
        for f in living
    ]
    assert check_poses(noisy).ok


def test_depth_that_is_known_to_be_rough_is_not_held_against_poses(living):
    chance = np.random.default_rng(0)
    rough = [
        replace(f, depth=f.depth * float(chance.normal(1, 0.06)), noise=DepthNoise(common=0.06))
        for f in living
    ]
    assert check_poses(rough).ok
    assert check_poses(rough, poses=np.linalg.inv(poses_of(rough))).reading == "inverted"


def test_rough_poses_are_not_called_wrong(living):
    chance = np.random.default_rng(0)
    poses = poses_of(living)
    poses[:, :3, 3] += chance.normal(0, 0.08, size=(len(poses), 3))
    report = check_poses(living, poses=poses)
    assert report.ok is not False


def test_frames_as_read_fit(living):
    for change in (
        lambda f, pose: (f, np.linalg.inv(pose)),
        lambda f, pose: (f, scaled_moves(pose[None], 1000.0)[0]),
        lambda f, pose: (replace(f, depth=f.depth * 5), pose),
    ):
        broken = []
        for frame in living:
            changed, pose = change(frame, frame.camera.T_world_cam)
            camera = replace(changed.camera, T_world_cam=pose)
            broken.append(replace(changed, camera=camera))
        report = check_poses(broken)
        assert report.ok is False
        for frame, was in zip((read_as(f, report) for f in broken), living, strict=True):
            np.testing.assert_allclose(frame.camera.T_world_cam, was.camera.T_world_cam, atol=1e-9)
            assert torch.allclose(frame.depth, was.depth)


def test_what_no_frame_can_be_read_as_is_refused(living):
    report = check_poses(living, poses=np.roll(poses_of(living), 1, axis=0))
    with pytest.raises(InputError, match="cannot be read as 'unsynchronised'"):
        read_as(living[0], report)


def test_a_frame_without_a_pose_is_read_as_it_is(living):
    report = check_poses(living, poses=np.linalg.inv(poses_of(living)))
    frame = replace(living[0], camera=replace(living[0].camera, T_world_cam=None))
    assert read_as(frame, report) is frame


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_cannot_tell(living, count):
    report = check_poses(living[:count])
    assert (report.ok, report.reading) == (None, "cannot tell")


def test_frames_that_show_different_places_cannot_tell(living):
    away = poses_of(living[:2])
    away[1, :3, 3] += 1e6
    assert check_poses(living[:2], poses=away).ok is not True
    dark = [replace(frame, depth=torch.zeros_like(frame.depth)) for frame in living]
    assert check_poses(dark).ok is None


def test_frames_that_lack_something_are_passed_over(living):
    mixed = [
        replace(living[0], depth=None),
        replace(living[1], camera=None),
        replace(living[2], scale="relative"),
        replace(living[3], camera=replace(living[3].camera, T_world_cam=None)),
    ]
    assert check_poses(mixed).ok is None
    assert check_poses([*mixed, *living]).ok


def test_matrices_that_are_no_motion_are_passed_over(living):
    poses = poses_of(living)
    poses[0], poses[1], poses[2, 0, 3] = 0.0, 2 * poses[1], np.nan
    assert check_poses(living, poses=poses).ok


def test_another_number_of_poses_is_refused(living):
    with pytest.raises(ShapeError, match="6 frames but 5 poses"):
        check_poses(living, poses=poses_of(living)[:-1])


def test_frames_of_several_sizes_are_compared():
    poses = round_walk(12, turn=3.0)
    sizes = [(160, 120), (80, 60), (120, 160)]
    frames = [frame_of(pose, index=k, size=sizes[k % 3]) for k, pose in enumerate(poses)]
    assert check_poses(frames).ok

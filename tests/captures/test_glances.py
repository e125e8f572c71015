"""What is known of frames before they are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from walks import walk

from groundplane.captures.capture import Glance
from groundplane.captures.opening import open_capture
from groundplane.core.errors import InputError, MediaError
from groundplane.testing.captures import write_capture


@pytest.mark.parametrize(
    "layout", ["rgbd", "tum", "scannet", "nerfstudio", "colmap", "arkitscenes"]
)
def test_a_glance_tells_what_the_frame_tells_and_reads_no_picture(tmp_path, layout):
    folder = write_capture(tmp_path / "walk", walk(3), layout=layout)
    capture = open_capture(folder)
    for glance, frame in zip(capture.glances(), capture.frames(), strict=True):
        read = glance.read()
        assert (glance.index, glance.time, glance.scale) == (frame.index, frame.time, frame.scale)
        assert np.array_equal(glance.pose, frame.camera.T_world_cam)
        assert np.array_equal(read.image.pixels, frame.image.pixels)
        assert torch.equal(read.depth, frame.depth)
    pictures = [path for path in folder.rglob("*.png") if "depth" not in path.parent.name]
    for path in pictures:
        path.write_bytes(b"")
    glances = list(capture.glances(1, 2))
    assert [glance.index for glance in glances] == [1]
    with pytest.raises(MediaError):
        glances[0].read()


def test_a_pose_without_intrinsics_is_none_at_a_glance_too(tmp_path):
    folder = write_capture(tmp_path / "walk", walk(1), layout="scannet")
    for path in (folder / "intrinsic").iterdir():
        path.unlink()
    [glance], [frame] = open_capture(folder).glances(), open_capture(folder).frames()
    assert (glance.pose, glance.notes) == (None, frame.notes)


def test_frames_that_are_there_already_are_their_own_glances():
    frame = walk(1)[0]
    glance = Glance.of(frame)
    assert glance.read() is frame
    assert np.array_equal(glance.pose, frame.camera.T_world_cam)


def test_glances_of_a_negative_start_are_refused(tmp_path):
    capture = open_capture(write_capture(tmp_path / "walk", walk(1)))
    with pytest.raises(InputError, match="expected start"):
        capture.glances(-1)

"""The expert that plays back what was recorded, found by name and by time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from walks import K, seen, walk

from groundplane.captures.opening import open_capture
from groundplane.core.camera import Camera, DepthNoise
from groundplane.core.errors import InputError
from groundplane.core.host import load
from groundplane.plugins.recorded import RecordedGeometry, RecordedOptions
from groundplane.testing.captures import write_capture
from groundplane.testing.detectors import unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame


def _bare(frame):
    return replace(frame, camera=None, depth=None, noise=DepthNoise())


def _expert(path, **options) -> RecordedGeometry:
    return RecordedGeometry(RecordedOptions(path=path, **options))


class TestContract(GeometryContract):
    """Pictures of a capture, of one size; those of others are told to be unknown."""

    @pytest.fixture
    def geometry(self, tmp_path):
        return _expert(write_capture(tmp_path / "walk", walk(4), layout="nerfstudio"))

    @pytest.fixture
    def frames(self, geometry, tmp_path):
        return [_bare(frame) for frame in open_capture(tmp_path / "walk").frames()]


class TestContractOfRows(GeometryContract):
    """Rows of poses alone."""

    @pytest.fixture
    def geometry(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(4), layout="tum")
        return _expert(folder / "groundtruth.txt")


class TestContractOfStrangers(GeometryContract):
    """Pictures that nobody recorded."""

    @pytest.fixture
    def geometry(self, tmp_path):
        return _expert(write_capture(tmp_path / "walk", walk(4)))

    @pytest.fixture
    def frames(self):
        return [make_frame(image, index=i) for i, image in enumerate(unlike_images())]


def test_the_host_loads_it(tmp_path):
    path = write_capture(tmp_path / "walk", walk())
    expert = load("geometry", "recorded", path=str(path), match="time", tolerance="0.05")
    assert expert.capabilities.gives == {"depth", "intrinsics", "pose"}


def test_pictures_get_what_the_capture_holds(tmp_path):
    path = write_capture(tmp_path / "walk", walk(), layout="scannet")
    whole = list(open_capture(path).frames())
    for frame, filled in zip(whole, _expert(path).estimate([_bare(f) for f in whole]), strict=True):
        assert torch.equal(filled.depth, frame.depth)
        assert np.allclose(seen(filled.camera), seen(frame.camera))
        assert filled.noise == frame.noise


def test_frames_are_found_by_time(tmp_path):
    frames = walk(6)
    path = write_capture(tmp_path / "walk", frames)
    expert = _expert(path, match="time", offset=0.1)
    late = replace(_bare(frames[2]), time=0.205)
    filled = expert.estimate([late])[0]
    assert np.allclose(filled.camera.T_world_cam, frames[3].camera.T_world_cam)
    lost = expert.estimate([replace(late, time=0.24)])[0]
    assert lost.camera is None
    assert lost.notes == ("nothing was recorded within 0.02 s of 0.340 s",)


def test_rows_of_poses_serve_a_video(tmp_path):
    frames = walk(3)
    folder = write_capture(tmp_path / "walk", frames, layout="tum")
    expert = _expert(folder / "groundtruth.txt", intrinsics=tuple(K[[0, 1, 0, 1], [0, 1, 2, 2]]))
    assert expert.capabilities.gives == {"intrinsics", "pose"}
    for before, after in zip(frames, expert.estimate([_bare(f) for f in frames]), strict=True):
        assert np.abs(seen(after.camera) - seen(before.camera)).max() < 1e-3


def test_rows_of_poses_need_intrinsics(tmp_path):
    folder = write_capture(tmp_path / "walk", walk(), layout="tum")
    with pytest.raises(InputError, match="option intrinsics=FX,FY,CX,CY"):
        _expert(folder / "groundtruth.txt").estimate([_bare(walk()[0])])


def test_a_smaller_picture_gets_depth_and_intrinsics_of_its_size(tmp_path):
    frame = walk(1)[0]
    path = write_capture(tmp_path / "walk", [frame], layout="colmap")
    half = replace(frame.image, pixels=frame.image.pixels[::2, ::2].copy())
    half = replace(half, source=replace(half.source, name="0.png"))
    filled = _expert(path).estimate([replace(_bare(frame), image=half)])[0]
    assert np.allclose(seen(filled.camera) * 2, seen(frame.camera))
    assert torch.allclose(filled.depth, frame.depth[1::2, 1::2], atol=6e-4)
    assert filled.scale == "relative"


def test_a_cut_picture_is_refused(tmp_path):
    frame = walk(1)[0]
    path = write_capture(tmp_path / "walk", [frame])
    cut = replace(frame.image, pixels=frame.image.pixels[:20].copy())
    cut = replace(cut, source=replace(cut.source, name="00000.png"))
    with pytest.raises(InputError, match=r"48 x 20 pixels, but .* 48 x 36; give the pictures"):
        _expert(path).estimate([replace(_bare(frame), image=cut)])


def test_a_name_that_is_near_is_hinted_at(tmp_path):
    frame = walk(1)[0]
    path = write_capture(tmp_path / "walk", [frame])
    stray = replace(frame.image, source=replace(frame.image.source, name="0000.png"))
    note = _expert(path).estimate([replace(_bare(frame), image=stray)])[0].notes[-1]
    assert note == "picture '0000.png' is not among those of 'walk'. Did you mean '00000.png'?"


def test_what_a_frame_knows_is_kept_where_nothing_was_recorded(tmp_path):
    frames = walk(2)
    bare = [replace(f, depth=None, camera=Camera(K=f.camera.K)) for f in frames]
    path = write_capture(tmp_path / "walk", [bare[0], frames[1]])
    named = replace(frames[0].image, source=replace(frames[0].image.source, name="00000.png"))
    asked = replace(frames[0], image=named)
    filled = _expert(path).estimate([asked])[0]
    assert np.array_equal(filled.camera.T_world_cam, frames[0].camera.T_world_cam)
    assert filled.depth is asked.depth


@pytest.mark.parametrize("layout", ["frames", "video"])
def test_a_capture_without_geometry_is_refused(tmp_path, layout):
    path = write_capture(tmp_path / "walk", walk(), layout=layout)
    with pytest.raises(InputError, match="holds neither depth nor poses"):
        _expert(path)


def test_options_out_of_range_are_refused(tmp_path):
    with pytest.raises(InputError, match="option offset"):
        RecordedOptions(path=tmp_path, offset=float("nan"))
    with pytest.raises(InputError, match="option tolerance"):
        RecordedOptions(path=tmp_path, tolerance=0.0)


def test_rows_that_know_nothing_are_refused(tmp_path):
    path = tmp_path / "poses.txt"
    path.write_text("0 nan nan nan nan nan nan nan\n")
    with pytest.raises(InputError, match="expected rows of poses"):
        _expert(path)

"""Each layout there and back: pictures, intrinsics, poses, depth, and what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from walks import POINTS, seen, walk

from groundplane.captures.opening import open_capture
from groundplane.captures.options import CaptureOptions
from groundplane.core.camera import Camera
from groundplane.testing.captures import write_capture

POSED = ("rgbd", "tum", "scannet", "arkitscenes", "colmap", "nerfstudio")


@pytest.fixture(params=POSED)
def layout(request):
    return request.param


def _written(tmp_path, frames, layout):
    return open_capture(write_capture(tmp_path / "walk", frames, layout=layout))


def test_layout_is_told_by_its_files(tmp_path, layout):
    capture = _written(tmp_path, walk(), layout)
    assert (capture.layout, capture.length, capture.name) == (layout, 3, "walk")
    assert capture.gives == {"depth", "intrinsics", "pose"}


def test_points_are_seen_where_they_were(tmp_path, layout):
    frames = walk(5)
    for before, after in zip(frames, _written(tmp_path, frames, layout).frames(), strict=True):
        assert np.abs(seen(after.camera) - seen(before.camera)).max() < 1e-3
        assert np.abs(after.camera.T_world_cam - before.camera.T_world_cam).max() < 1e-6


def test_pictures_and_depth_come_back(tmp_path, layout):
    frames = walk()
    for before, after in zip(frames, _written(tmp_path, frames, layout).frames(), strict=True):
        assert np.array_equal(after.image.pixels, before.image.pixels)
        assert torch.allclose(after.depth, before.depth, atol=6e-4)
        assert torch.equal(after.depth == 0, before.depth == 0)


def test_steps_keep_the_place_in_the_capture(tmp_path, layout):
    capture = _written(tmp_path, walk(6), layout)
    assert [frame.index for frame in capture.frames(start=1, step=2)] == [1, 3, 5]
    assert list(capture.frames(start=6)) == []
    whole = [frame.time for frame in capture.frames()]
    assert [frame.time for frame in capture.frames(start=1, step=2)] == whole[1::2]


def test_no_depth_is_told(tmp_path, layout):
    frames = [replace(frame, depth=None) for frame in walk()]
    capture = _written(tmp_path, frames, layout)
    assert "depth" not in capture.gives
    assert all(frame.depth is None for frame in capture.frames())


@pytest.mark.parametrize("layout", [one for one in POSED if one != "colmap"])
def test_a_missing_pose_leaves_the_intrinsics(tmp_path, layout):
    frames = walk()
    lost = replace(frames[1], camera=Camera(K=frames[1].camera.K))
    capture = _written(tmp_path, [frames[0], lost, frames[2]], layout)
    known = [frame.camera.T_world_cam is not None for frame in capture.frames()]
    assert known == [True, False, True]
    assert all(frame.camera.K is not None for frame in capture.frames())


def test_colmap_leaves_out_what_it_could_not_register(tmp_path):
    frames = walk()
    lost = replace(frames[1], camera=Camera(K=frames[1].camera.K))
    capture = _written(tmp_path, [frames[0], lost, frames[2]], "colmap")
    assert [frame.image.source.name for frame in capture.frames()] == ["0.png", "2.png"]


@pytest.mark.parametrize("apart", [True, False])
def test_pictures_of_two_cameras_that_are_called_alike_keep_their_own_depth(tmp_path, apart):
    folder = write_capture(tmp_path / "walk", walk(2), layout="colmap")
    table = folder / "sparse" / "0" / "images.txt"
    for at in (0, 1):
        table.write_text(table.read_text().replace(f" {at}.png", f" cam{at}/7.png"))
        for kind in ("images", "depth") if apart else ("images",):
            (folder / kind / f"cam{at}").mkdir()
            (folder / kind / f"{at}.png").rename(folder / kind / f"cam{at}" / "7.png")
    if not apart:
        (folder / "depth" / "0.png").rename(folder / "depth" / "7.png")

    made = list(open_capture(folder).frames())

    if apart:
        assert all(
            torch.allclose(frame.depth, true.depth, atol=1e-3)
            for frame, true in zip(made, walk(2), strict=True)
        )
    else:
        # Which of the two it is of is not known.
        assert [frame.depth for frame in made] == [None, None]


def test_shrunk_pictures_show_points_at_their_share(tmp_path, layout):
    folder = write_capture(tmp_path / "walk", walk(), layout=layout)
    small = open_capture(folder, options=CaptureOptions(longest=24))
    for large, frame in zip(open_capture(folder).frames(), small.frames(), strict=True):
        assert frame.image.size == (24, 18)
        assert np.allclose(seen(frame.camera) * 2, seen(large.camera))
        assert np.allclose(frame.image.frame_map.points(np.array([[24.0, 18.0]])), [[48, 36]])
        # Each takes the depth that its middle falls on, here the lower right of four.
        assert torch.equal(frame.depth, large.depth[1::2, 1::2])
        assert frame.image.source.content_hash != large.image.source.content_hash


# ScanNet has intrinsics for its depth: tests of published formats.
@pytest.mark.parametrize("layout", [one for one in POSED if one != "scannet"])
def test_depth_of_half_the_size_is_taken_pixel_by_pixel(tmp_path, layout):
    frames = walk()
    folder = write_capture(tmp_path / "walk", frames, layout=layout)
    halves = write_capture(
        tmp_path / "halves",
        [
            replace(
                frame,
                image=replace(frame.image, pixels=frame.image.pixels[::2, ::2].copy()),
                depth=frame.depth[::2, ::2].contiguous(),
            )
            for frame in frames
        ],
        layout=layout,
    )
    for path in halves.rglob("*.png"):
        if "depth" in path.parent.name:
            path.replace(folder / path.relative_to(halves))
    for before, after in zip(frames, open_capture(folder).frames(), strict=True):
        plain = before.depth[::2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1)
        assert torch.allclose(after.depth, plain, atol=6e-4)


def test_a_user_may_say_what_files_do_not(tmp_path, layout):
    folder = write_capture(tmp_path / "walk", walk(), layout=layout)
    options = CaptureOptions(
        intrinsics=(50.0, 51.0, 24.0, 18.0), scale="relative", up=(0.0, -2.0, 0.0), depth_scale=100
    )
    capture = open_capture(folder, options=options)
    frame = next(capture.frames())
    assert capture.up == (0.0, -1.0, 0.0)
    assert frame.scale == "relative"
    assert frame.camera.K.tolist() == [[50, 0, 24], [0, 51, 18], [0, 0, 1]]
    plain = next(open_capture(folder).frames())
    ratio = frame.depth.max() / plain.depth.max()
    assert ratio == pytest.approx(50 if layout == "tum" else 10, rel=1e-5)


def test_up_and_noise_and_times_of_rgbd_come_back(tmp_path):
    capture = open_capture(write_capture(tmp_path / "walk", walk(), up=(0.0, 0.0, 1.0)))
    assert capture.up == (0.0, 0.0, 1.0)
    assert [frame.time for frame in capture.frames()] == [0.0, 0.1, 0.2]
    assert next(capture.frames()).noise.sigma(torch.ones(1)).item() == 0


def test_checkers_of_points_see_half_a_pixel():
    frame = walk(1)[0]
    K = frame.camera.K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    off = seen(Camera(K=K, T_world_cam=frame.camera.T_world_cam), POINTS) - seen(frame.camera)
    assert np.abs(off).min() > 0.4


def test_a_turned_photo_stands_upright_unless_files_speak_of_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    options = CaptureOptions(intrinsics=(40.0, 40.0, 18.0, 24.0))
    alone = next(open_capture(tmp_path, options=options).frames())
    assert alone.image.size == (36, 48)
    folder = write_capture(tmp_path / "walk", walk(1))
    (tmp_path / "a.png").replace(folder / "image" / "00000.png")
    posed = next(open_capture(folder).frames())
    assert np.array_equal(posed.image.pixels, pixels)
    assert posed.depth.shape == (36, 48)

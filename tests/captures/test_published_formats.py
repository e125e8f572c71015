"""Files as their publishers describe them, written by hand: each number is theirs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as PILImage
from walks import seen, walk

from groundplane.captures.opening import open_capture
from groundplane.captures.options import CaptureOptions
from groundplane.core.camera import Camera
from groundplane.core.errors import InputError
from groundplane.testing.captures import write_capture

QUARTER = 0.7071067811865476


def picture(path, size=(64, 48), value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", size, (value, value, value)).save(path)


def depth(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.array(rows, dtype=np.uint16)).save(path)


def tum(folder, *, size=(640, 480)):
    for stamp in ("1305031102.175304", "1305031102.211214"):
        picture(folder / "rgb" / f"{stamp}.png", size)
        depth(folder / "depth" / f"{stamp}.png", np.full(size[::-1], 10000))
    (folder / "rgb.txt").write_text(
        "# color images\n# file: 'rgbd_dataset.bag'\n# timestamp filename\n"
        "1305031102.175304 rgb/1305031102.175304.png\n"
        "1305031102.211214 rgb/1305031102.211214.png\n"
    )
    (folder / "depth.txt").write_text(
        "1305031102.160407 depth/1305031102.175304.png\n"
        "1305031102.226738 depth/1305031102.211214.png\n"
    )
    (folder / "groundtruth.txt").write_text(
        "# timestamp tx ty tz qx qy qz qw\n"
        f"1305031102.1653 0 2 3 0 0 {QUARTER} {QUARTER}\n"
        f"1305031102.1853 2 2 3 0 0 {QUARTER} {QUARTER}\n"
    )


class TestTum:
    @pytest.mark.parametrize(
        ("name", "centre"),
        [
            ("rgbd_dataset_freiburg1_xyz", [319.1, 255.8]),
            ("rgbd_dataset_freiburg2_desk", [325.6, 250.2]),
            ("rgbd_dataset_freiburg3_long_office", [320.6, 248.1]),
            ("mine", [320.0, 240.0]),
        ],
    )
    def test_camera_is_that_of_the_folders_name(self, tmp_path, name, centre):
        tum(tmp_path / name)
        capture = open_capture(tmp_path / name)
        frame = next(capture.frames())
        assert frame.camera.K[:2, 2] == pytest.approx(centre)
        assert capture.up == (None if name == "mine" else (0.0, 0.0, 1.0))
        assumed = [note for note in capture.notes if "assumed" in note]
        assert len(assumed) == (name == "mine")

    def test_depth_is_5000_a_metre_and_the_pose_lies_between_two(self, tmp_path):
        tum(tmp_path / "freiburg3")
        first, second = open_capture(tmp_path / "freiburg3").frames()
        assert first.depth.unique().tolist() == [2.0]
        x, y, z = first.camera.T_world_cam[:3, 3]
        assert (x, y, z) == pytest.approx((2 * (0.175304 - 0.1653) / 0.02, 2, 3), abs=1e-4)
        # A quarter turn about z: what was x is y.
        assert np.allclose(first.camera.T_world_cam[:3, 0], [0, 1, 0])
        assert second.camera.T_world_cam is None
        assert (first.time, second.time) == pytest.approx((0, 0.03591), abs=1e-6)
        # 1.2 mm and 1.9 mm times the square of two metres.
        assert float(first.noise.sigma(first.depth)[0, 0]) == pytest.approx(0.0088)

    def test_bent_pictures_are_straightened(self, tmp_path):
        folder = tmp_path / "freiburg1"
        tum(folder)
        lines = np.zeros((480, 640, 3), dtype=np.uint8)
        lines[255] = 255  # through the middle of the lens: straight already
        lines[:, 40] = 255
        PILImage.fromarray(lines).save(folder / "rgb" / "1305031102.175304.png")
        pixels = next(open_capture(folder).frames()).image.pixels[..., 0]
        # The corners of a lens that bends outwards come from farther in.
        top, middle = pixels[30].argmax(), pixels[200].argmax()
        assert top != middle

    def test_other_pictures_than_the_cameras_are_refused(self, tmp_path):
        tum(tmp_path / "freiburg1", size=(320, 240))
        with pytest.raises(InputError, match=r"frame 0, .*expected 640 x 480 pixels .* 320 x 240"):
            next(open_capture(tmp_path / "freiburg1").frames())

    def test_camera_file_counts_from_the_middle_of_a_pixel(self, tmp_path):
        tum(tmp_path / "mine", size=(64, 48))
        (tmp_path / "mine" / "camera.txt").write_text("# own\n50 51 31.5 23.5\n")
        frame = next(open_capture(tmp_path / "mine").frames())
        assert frame.camera.K.tolist() == [[50, 0, 32], [0, 51, 24], [0, 0, 1]]

    @pytest.mark.parametrize("row", ["50 51 31.5", "50 51 31.5 23.5 0.1", "50 x 1 1", "0 1 1 1"])
    def test_a_malformed_camera_file_is_named(self, tmp_path, row):
        tum(tmp_path / "mine")
        (tmp_path / "mine" / "camera.txt").write_text(row)
        with pytest.raises(InputError, match=r"camera\.txt"):
            open_capture(tmp_path / "mine")


class TestScanNet:
    def make(self, folder, *, color=(96, 72), colour_lens="48 0 47.5 0"):
        picture(folder / "color" / "0.jpg", color)
        picture(folder / "color" / "10.jpg", color)
        depth(folder / "depth" / "0.png", np.arange(48 * 64).reshape(48, 64))
        depth(folder / "depth" / "10.png", np.full((48, 64), 1500))
        (folder / "pose").mkdir()
        (folder / "pose" / "0.txt").write_text("-inf -inf -inf -inf\n" * 4)
        (folder / "pose" / "10.txt").write_text("0 -1.00001 0 1\n0.99999 0 0 2\n0 0 1 3\n0 0 0 1\n")
        (folder / "intrinsic").mkdir()
        rest = "0 0 1 0\n0 0 0 1\n"
        (folder / "intrinsic" / "intrinsic_color.txt").write_text(
            f"{colour_lens}\n0 48 35.5 0\n{rest}"
        )
        (folder / "intrinsic" / "intrinsic_depth.txt").write_text(
            f"30 0 31.5 0\n0 30 23.5 0\n{rest}"
        )
        return folder

    def test_lost_cameras_have_intrinsics_but_no_pose(self, tmp_path):
        lost, known = open_capture(self.make(tmp_path / "scene0000_00")).frames()
        assert lost.camera.K[:2, 2].tolist() == [48.0, 36.0]
        assert lost.camera.T_world_cam is None
        assert lost.notes == ("the camera's pose is not known",)
        assert known.camera.T_world_cam[:3, 3].tolist() == [1, 2, 3]
        assert np.allclose(known.camera.T_world_cam[:3, :3], [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        assert [lost.time, known.time] == pytest.approx([0, 1 / 3])

    def test_depth_is_brought_to_the_colour_by_both_lenses(self, tmp_path):
        frame = next(open_capture(self.make(tmp_path / "scene0000_00")).frames())
        assert frame.depth.shape == (72, 96)
        for row, column in [(0, 0), (35, 47), (36, 48), (71, 95), (10, 80)]:
            x = (column + 0.5 - 48) / 48 * 30 + 32
            y = (row + 0.5 - 36) / 48 * 30 + 24
            inside = 0 <= x < 64 and 0 <= y < 48
            told = (int(y) * 64 + int(x)) / 1000 if inside else 0
            assert float(frame.depth[row, column]) == pytest.approx(told)

    def test_world_is_turned_as_the_scene_says(self, tmp_path):
        folder = self.make(tmp_path / "scene0000_00")
        (folder / "scene0000_00.txt").write_text(
            "appVersion = 1\naxisAlignment = 0 1 0 5 -1 0 0 6 0 0 1 7 0 0 0 1 \nfx_color = 1\n"
        )
        capture = open_capture(folder)
        assert capture.notes == ("the world was turned by the scene's axisAlignment",)
        pose = list(capture.frames())[1].camera.T_world_cam
        assert np.allclose(pose[:3, 3], [7, 5, 10])

    def test_resized_exports_are_told(self, tmp_path):
        folder = self.make(tmp_path / "scene0000_00", color=(48, 36))
        with pytest.raises(InputError, match="the pictures were resized"):
            open_capture(folder)


class TestArkitScenes:
    def make(self, folder, *, stamp="3366.157"):
        home = folder / f"{folder.name}_frames"
        for at in ("3366.057", stamp):
            picture(home / "lowres_wide" / f"47333462_{at}.png", (256, 192))
            depth(home / "lowres_depth" / f"47333462_{at}.png", np.full((192, 256), 2500))
            (home / "lowres_wide_intrinsics").mkdir(exist_ok=True)
            (home / "lowres_wide_intrinsics" / f"47333462_{at}.pincam").write_text(
                "256 192 211.949 211.949 127.933 95.9333\n"
            )
        (home / "lowres_wide.traj").write_text(
            "3366.0572 0 0 1.5707963267948966 1 2 3\n3366.1571 0 0 0 0 0 0\n"
        )
        return folder

    def test_trajectory_maps_the_world_to_the_camera(self, tmp_path):
        capture = open_capture(self.make(tmp_path / "47333462"))
        assert (capture.layout, capture.up) == ("arkitscenes", (0.0, 0.0, 1.0))
        first, second = capture.frames()
        assert np.allclose(first.camera.T_world_cam[:3, 3], [-2, 1, -3], atol=1e-3)
        assert np.allclose(first.camera.T_world_cam[:3, 0], [0, -1, 0], atol=1e-3)
        assert first.camera.K[:2, 2] == pytest.approx([128.433, 96.4333])
        assert first.depth.unique().tolist() == [2.5]
        assert second.time == pytest.approx(0.1)

    def test_pictures_without_depth_in_time_are_left_out_and_counted(self, tmp_path):
        folder = self.make(tmp_path / "47333462")
        home = folder / "47333462_frames" / "lowres_depth"
        (home / "47333462_3366.157.png").rename(home / "47333462_3366.257.png")
        capture = open_capture(folder)
        assert capture.length == 1
        assert capture.notes[0].startswith("1 of 2 pictures have no depth within 0.02 s")

    def test_missing_intrinsics_are_named(self, tmp_path):
        folder = self.make(tmp_path / "47333462")
        (folder / "47333462_frames/lowres_wide_intrinsics/47333462_3366.157.pincam").unlink()
        with pytest.raises(InputError, match=r"1 of 2 pictures, such as '47333462_3366\.157\.png'"):
            open_capture(folder)
        options = CaptureOptions(intrinsics=(212, 212, 128, 96))
        assert open_capture(folder, options=options).length == 2


class TestColmap:
    def make(self, folder, *, camera="1 PINHOLE 64 48 50 51 32.5 24.25"):
        picture(folder / "images" / "a 2.png")
        picture(folder / "images" / "a 10.png")
        model = folder / "sparse" / "0"
        model.mkdir(parents=True)
        (model / "cameras.txt").write_text(f"# Camera list\n{camera}\n")
        (model / "images.txt").write_text(
            "# Image list with two lines of data per image:\n"
            f"7 {QUARTER} 0 0 {QUARTER} 1 2 3 1 a 10.png\n"
            "362.5 10.5 -1 21.25 3.5 12\n"
            "3 1 0 0 0 0 0 0 1 a 2.png\n"
            "\n"
        )
        (model / "points3D.txt").write_text("")
        return folder

    def test_poses_map_the_world_to_the_camera_and_names_may_hold_spaces(self, tmp_path):
        capture = open_capture(self.make(tmp_path / "church"))
        assert (capture.layout, capture.up, capture.gives) == (
            "colmap",
            None,
            {"intrinsics", "pose"},
        )
        first, second = capture.frames()
        assert [first.image.source.name, second.image.source.name] == ["a 2.png", "a 10.png"]
        assert first.camera.T_world_cam.tolist() == np.eye(4).tolist()
        assert np.allclose(second.camera.T_world_cam[:3, 3], [-2, 1, -3])
        assert second.camera.K[:2, 2].tolist() == [32.5, 24.25]
        assert first.scale == "relative"

    def test_the_model_itself_may_be_opened(self, tmp_path):
        folder = self.make(tmp_path / "church")
        assert open_capture(folder / "sparse" / "0").length == 2

    @pytest.mark.parametrize(
        ("camera", "numbers"),
        [
            ("1 SIMPLE_PINHOLE 64 48 50 32 24", (0, 0, 0, 0)),
            ("1 SIMPLE_RADIAL 64 48 50 32 24 0.1", (0.1, 0, 0, 0)),
            ("1 RADIAL 64 48 50 32 24 0.1 -0.2", (0.1, -0.2, 0, 0)),
            ("1 OPENCV 64 48 50 50 32 24 0.1 -0.2 0.01 0.02", (0.1, -0.2, 0.01, 0.02)),
        ],
    )
    def test_camera_models_are_read(self, tmp_path, camera, numbers):
        capture = open_capture(self.make(tmp_path / "church", camera=camera))
        assert capture.source.shots.shot(0).lens.distortion == (*numbers, 0.0)
        frame = next(capture.frames())
        assert frame.camera.K.tolist() == [[50, 0, 32], [0, 50, 24], [0, 0, 1]]

    @pytest.mark.parametrize(
        ("camera", "what"),
        [
            ("1 OPENCV_FISHEYE 64 48 50 50 32 24 0 0 0 0", "'OPENCV_FISHEYE' is not read"),
            ("1 PINHOLE 64 48 50 50 32", "expected 4 numbers of PINHOLE, got 3"),
            ("2 PINHOLE 64 48 50 50 32 24", r"images\.txt, line 2: there is no camera '1'"),
            ("1 PINHOLE 64 48 -50 50 32 24", r"cameras\.txt, line 2: expected finite intrinsics"),
        ],
    )
    def test_other_cameras_are_refused_by_name(self, tmp_path, camera, what):
        with pytest.raises(InputError, match=what):
            open_capture(self.make(tmp_path / "church", camera=camera))

    def test_binary_models_are_told_what_to_do(self, tmp_path):
        for name in ("cameras", "images"):
            (tmp_path / f"{name}.bin").write_bytes(b"\1\0\0\0")
        with pytest.raises(InputError, match="model_converter"):
            open_capture(tmp_path)


class TestNerfstudio:
    def make(self, folder, **changes):
        picture(folder / "images" / "1.png")
        document = {
            "fl_x": 50.0,
            "fl_y": 51,
            "cx": 32.25,
            "cy": 24.5,
            "w": 64,
            "h": 48,
            "frames": [{"file_path": "./images/1.png", "transform_matrix": np.eye(4).tolist()}],
        }
        (folder / "transforms.json").write_text(json.dumps(document | changes))
        return folder

    def test_cameras_look_along_minus_z_with_y_up(self, tmp_path):
        capture = open_capture(self.make(tmp_path / "poster"))
        frame = next(capture.frames())
        assert frame.camera.T_world_cam.tolist() == np.diag([1.0, -1, -1, 1]).tolist()
        assert frame.camera.K.tolist() == [[50, 0, 32.25], [0, 51, 24.5], [0, 0, 1]]
        assert frame.scale == "relative"

    def test_numbers_of_a_frame_go_before_those_of_all(self, tmp_path):
        row = {"file_path": "images/1.png", "transform_matrix": np.eye(4).tolist(), "fl_x": 70}
        frame = next(open_capture(self.make(tmp_path / "poster", frames=[row])).frames())
        assert frame.camera.K[0, 0] == 70

    def test_depth_has_the_unit_that_the_file_states(self, tmp_path):
        depth(tmp_path / "poster" / "depths" / "1.png", np.full((48, 64), 300))
        row = {
            "file_path": "images/1.png",
            "depth_file_path": "depths/1.png",
            "transform_matrix": np.eye(4).tolist(),
        }
        self.make(tmp_path / "poster", frames=[row], depth_unit_scale_factor=0.01)
        frame = next(open_capture(tmp_path / "poster").frames())
        assert (frame.depth.unique().tolist(), frame.scale) == ([3.0], "metric")

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"camera_model": "OPENCV_FISHEYE"}, "'OPENCV_FISHEYE' is not read"),
            ({"fl_x": None}, r"fl_x: expected a finite number, got None"),
            ({"k4": 0.1}, "distortion k4 is not read"),
            ({"depth_unit_scale_factor": 0}, "depth_unit_scale_factor: expected a number above 0"),
            ({"frames": []}, "frames: expected a list of frames"),
            ({"frames": [3]}, r"frames\[0\]: expected an object, got 3"),
            ({"frames": [{"file_path": "../x.png"}]}, "within the folder of the capture"),
            ({"frames": [{"file_path": "/etc/passwd"}]}, "within the folder of the capture"),
            ({"frames": [{"file_path": 5}]}, "within the folder of the capture, got 5"),
            (
                {"frames": [{"file_path": "images/1.png", "transform_matrix": [[1, 0], [0, 1]]}]},
                r"frames\[0\]\.transform_matrix: expected 4 by 4 numbers",
            ),
        ],
    )
    def test_what_is_malformed_is_named(self, tmp_path, changes, what):
        with pytest.raises(InputError, match=what):
            open_capture(self.make(tmp_path / "poster", **changes))


def test_half_a_pixel_would_be_seen(tmp_path):
    """Two layouts that count pixels otherwise tell the same of the same camera."""
    frame = walk(1)[0]
    cameras = []
    for layout in ("tum", "scannet", "arkitscenes", "rgbd", "colmap", "nerfstudio"):
        folder = write_capture(tmp_path / layout, [frame], layout=layout)
        cameras.append(next(open_capture(folder).frames()).camera)
    told = np.stack([seen(camera) for camera in cameras])
    assert np.abs(told - told[0]).max() < 1e-3
    stated = (tmp_path / "tum" / "camera.txt").read_text().split()
    read_as_it_stands = np.array(stated[-2:], dtype=float)
    assert np.allclose(frame.camera.K[:2, 2] - read_as_it_stands, 0.5)
    shifted = frame.camera.K.copy()
    shifted[:2, 2] = read_as_it_stands
    wrong = Camera(K=shifted, T_world_cam=frame.camera.T_world_cam)
    assert np.abs(seen(wrong) - told[0]).min() > 0.4

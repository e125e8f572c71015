"""What captures on disk may be: cut, empty, hostile, huge; and what is said of it."""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import noise, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from walks import walk

from groundplane.captures.depth_files import read_depth
from groundplane.captures.opening import open_capture
from groundplane.captures.options import CaptureOptions
from groundplane.captures.texts import listed, pictures_in, read_json, read_lines, within
from groundplane.core.camera import Camera
from groundplane.core.errors import GroundplaneError, InputError, MediaError
from groundplane.core.media import MediaLimits
from groundplane.testing.captures import write_capture

LIMITS = MediaLimits()
FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "60"))
START = 1305031102.1753


def read(path, scale=1.0, limits=LIMITS):
    return read_depth(path, scale=scale, limits=limits)


class TestDepthFiles:
    def test_what_is_no_depth_is_unknown_and_counted(self, tmp_path):
        values = np.array([[1.5, np.nan, -2.0], [np.inf, -np.inf, 0.0]])
        np.save(tmp_path / "d.npy", values)
        depth, num_bad = read(tmp_path / "d.npy")
        assert (depth.tolist(), num_bad) == ([[1.5, 0, 0], [0, 0, 0]], 4)
        assert depth.dtype == np.float32

    @pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<u2", ">i4", "u1"])
    def test_numbers_of_any_kind_are_read(self, tmp_path, dtype):
        np.save(tmp_path / "d.npy", np.array([[[3], [0]]], dtype=dtype))
        assert read(tmp_path / "d.npy", scale=2.0)[0].tolist() == [[1.5, 0.0]]

    def test_numbers_too_large_for_float32_are_unknown(self, tmp_path):
        np.save(tmp_path / "d.npy", np.array([[1e300, 2.0]]))
        depth, num_bad = read(tmp_path / "d.npy")
        assert (depth.tolist(), num_bad) == ([[0, 2]], 1)

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("d.exr", "OpenEXR is not read"),
            ("d.jpg", "a JPEG changes depths"),
            ("d.tiff", "expected a PNG of 16 bits or an NPY file"),
        ],
    )
    def test_other_formats_are_refused_by_name(self, tmp_path, name, what):
        (tmp_path / name).write_bytes(b"v/1\1")
        with pytest.raises(MediaError, match=f"{name}.*{what}"):
            read(tmp_path / name)

    @pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "LA"])
    def test_png_of_8_bits_is_refused(self, tmp_path, mode):
        PILImage.new(mode, (4, 3)).save(tmp_path / "d.png")
        with pytest.raises(MediaError, match="expected grey of 16 bits, got a PNG of mode"):
            read(tmp_path / "d.png")

    def test_missing_files_and_folders_are_named(self, tmp_path):
        (tmp_path / "d.npy").mkdir()
        for name in ("none.png", "none.npy", "d.npy"):
            with pytest.raises(MediaError, match=name):
                read(tmp_path / name)

    def test_a_cut_png_is_told(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 65536, (60, 80), dtype=np.uint16)
        PILImage.fromarray(noise).save(tmp_path / "d.png")
        data = (tmp_path / "d.png").read_bytes()
        for part in (0, 8, 40, len(data) // 2):
            (tmp_path / "d.png").write_bytes(data[:part])
            with pytest.raises(MediaError, match=r"d\.png"):
                read(tmp_path / "d.png")

    @pytest.mark.parametrize(
        "value",
        [np.zeros(5), np.zeros((2, 2, 2)), np.zeros((2, 2), dtype=complex), np.zeros((0, 4))],
    )
    def test_arrays_that_are_no_map_are_refused(self, tmp_path, value):
        np.save(tmp_path / "d.npy", value)
        with pytest.raises(MediaError, match=r"d\.npy"):
            read(tmp_path / "d.npy")

    def test_pickles_are_not_opened(self, tmp_path):
        np.save(tmp_path / "d.npy", np.array([[{"a": 1}]]), allow_pickle=True)
        with pytest.raises(MediaError, match="no NPY file of numbers"):
            read(tmp_path / "d.npy")

    def test_a_header_of_terabytes_is_refused_before_anything_is_read(self, tmp_path):
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
        head += b" " * (117 - len(head)) + b"\n"
        (tmp_path / "d.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)
        with pytest.raises(MediaError, match=r"d\.npy"):
            read(tmp_path / "d.npy")

    def test_bombs_are_refused_by_their_header(self, tmp_path):
        def chunk(kind, data):
            whole = kind + data
            return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

        head = struct.pack(">IIBBBBB", 20000, 20000, 16, 0, 0, 0, 0)
        rows = zlib.compress(bytes(1000))
        (tmp_path / "d.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows)
        )
        with pytest.raises(MediaError, match=r"d\.png"):
            read(tmp_path / "d.png")

    def test_files_over_the_limit_are_refused(self, tmp_path):
        np.save(tmp_path / "d.npy", np.zeros((10, 10)))
        with pytest.raises(MediaError, match="10 x 10 pixels are more than 50"):
            read(tmp_path / "d.npy", limits=MediaLimits(max_pixels=50))

    def test_holes_are_told_of_the_frame(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(2))
        (folder / "depth" / "00001.png").unlink()
        np.save(folder / "depth" / "00001.npy", np.full((36, 48), -1000.0))
        first, second = open_capture(folder).frames()
        assert first.notes == ()
        assert second.notes == (f"{36 * 48} depths were negative or no numbers",)
        assert not second.depth.any()

    def test_depth_that_is_named_and_missing_is_an_error(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(2), layout="tum")
        next((folder / "depth").iterdir()).unlink()
        with pytest.raises(MediaError):
            list(open_capture(folder).frames())


class TestStreams:
    def test_clocks_that_have_nothing_to_do_with_each_other(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3), layout="tum")
        rows = [line.split() for line in (folder / "depth.txt").read_text().splitlines()[1:]]
        moved = "\n".join(f"{float(time) + 55.05:.6f} {name}" for time, name in rows)
        (folder / "depth.txt").write_text(moved)
        with pytest.raises(InputError, match=r"depth: .*median gap is 55 s; .*not synchronised"):
            open_capture(folder)

    def test_poses_of_another_clock(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3), layout="tum")
        (folder / "groundtruth.txt").write_text("5 0 0 0 0 0 0 1\n")
        with pytest.raises(InputError, match="poses: nothing within"):
            open_capture(folder)

    def test_a_file_of_poses_without_rows(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3), layout="tum")
        (folder / "groundtruth.txt").write_text(f"# nothing\n{START} 0 0 0 nan 0 0 1\n")
        with pytest.raises(InputError, match="poses: the file has no row that is known"):
            open_capture(folder)

    def test_a_few_lost_depths_are_left_out_and_counted(self, tmp_path):
        frames = walk(5)
        frames[2] = replace(frames[2], depth=None)
        capture = open_capture(write_capture(tmp_path / "walk", frames, layout="tum"))
        assert capture.length == 4
        assert capture.notes[0].startswith("1 of 5 pictures have no depth within 0.02 s")
        assert [frame.time for frame in capture.frames()] == pytest.approx(
            [0, 0.1, 0.3, 0.4], abs=1e-6
        )

    def test_a_larger_tolerance_finds_more(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3), layout="tum")
        rows = [line.split() for line in (folder / "depth.txt").read_text().splitlines()[1:]]
        moved = "\n".join(f"{float(time) + 0.04:.6f} {name}" for time, name in rows)
        (folder / "depth.txt").write_text(moved)
        with pytest.raises(InputError, match=r"Try: .*tolerance"):
            open_capture(folder)
        assert open_capture(folder, options=CaptureOptions(tolerance=0.045)).length == 3


class TestPoses:
    def test_a_left_handed_pose_is_named_with_its_row(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3))
        document = json.loads((folder / "poses.json").read_text())
        pose = document["frames"][2]["camera_to_world"]
        document["frames"][2]["camera_to_world"] = [[-x for x in row[:3]] + row[3:] for row in pose]
        (folder / "poses.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"frames\[2\]\.camera_to_world: .*last row|left-hand"):
            open_capture(folder)

    def test_scannet_names_the_file_when_it_comes_to_it(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(3), layout="scannet")
        (folder / "pose" / "1.txt").write_text("2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n")
        frames = open_capture(folder).frames()
        next(frames)
        with pytest.raises(InputError, match=r"pose/1\.txt: .*of length about 2"):
            next(frames)

    def test_a_pose_file_with_too_few_rows(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(1), layout="scannet")
        (folder / "pose" / "0.txt").write_text("1 0 0 0\n")
        with pytest.raises(InputError, match=r"pose/0\.txt: expected 4 by 4 numbers"):
            next(open_capture(folder).frames())

    def test_poses_without_intrinsics_are_told_to_be_left_out(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(1), layout="scannet")
        for path in (folder / "intrinsic").iterdir():
            path.unlink()
        frame = next(open_capture(folder).frames())
        assert frame.camera is None
        assert frame.notes == ("the pose was left out, since the intrinsics are not known",)


class TestSizes:
    def test_a_picture_of_another_size_is_named(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(2))
        PILImage.new("RGB", (20, 20)).save(folder / "image" / "00001.png")
        frames = open_capture(folder).frames()
        next(frames)
        with pytest.raises(InputError, match=r"frame 1, picture '?00001\.png.* got 20 x 20"):
            next(frames)

    @pytest.mark.parametrize("layout", ["nerfstudio", "colmap", "arkitscenes"])
    def test_where_each_picture_has_its_own_intrinsics_sizes_may_differ(self, tmp_path, layout):
        small = replace(walk(1, size=(24, 18))[0], index=1, time=0.1)
        capture = open_capture(write_capture(tmp_path / "walk", [walk(1)[0], small], layout=layout))
        first, second = capture.frames()
        assert (first.image.size, second.image.size) == ((48, 36), (24, 18))
        assert np.allclose(first.camera.K[:2], second.camera.K[:2] * 2)

    def test_pictures_alone_may_have_any_size(self, tmp_path):
        small = replace(walk(1, size=(1, 1))[0], index=1)
        frames = open_capture(
            write_capture(tmp_path / "walk", [walk(1)[0], small], layout="frames")
        ).frames()
        assert [frame.image.size for frame in frames] == [(48, 36), (1, 1)]


class TestFolders:
    def test_names_are_sorted_as_people_count(self, tmp_path):
        for name in ("10.png", "9.png", "2.png", ".hidden.png", "a.txt", "間2.png", "間10.png"):
            (tmp_path / name).touch()
        assert [path.name for path in pictures_in(tmp_path)] == [
            "2.png",
            "9.png",
            "10.png",
            "間2.png",
            "間10.png",
        ]

    def test_rings_of_links_and_links_to_nothing_are_passed_over(self, tmp_path):
        (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
        (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
        (tmp_path / "c.png").symlink_to(tmp_path / "none.png")
        (tmp_path / "up").symlink_to(tmp_path)
        assert listed(tmp_path) == []

    def test_two_layouts_in_one_folder_are_both_named(self, tmp_path):
        write_capture(tmp_path / "walk", walk(1))
        write_capture(tmp_path / "walk", walk(1), layout="tum")
        with pytest.raises(InputError, match=r"'rgbd' or 'tum'; say which"):
            open_capture(tmp_path / "walk")
        assert open_capture(tmp_path / "walk", layout="tum").layout == "tum"

    @pytest.mark.parametrize(
        "layout", ["rgbd", "tum", "scannet", "arkitscenes", "colmap", "nerfstudio", "frames"]
    )
    def test_an_empty_folder_is_no_capture_of_any_layout(self, tmp_path, layout):
        with pytest.raises(InputError):
            open_capture(tmp_path, layout=layout)

    def test_opening_many_frames_reads_no_picture(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(1), layout="scannet")
        for kind in ("color", "depth"):
            for index in range(1, 500):
                (folder / kind / f"{index}.png").touch()
        capture = open_capture(folder)
        assert capture.length == 500
        assert next(capture.frames()).index == 0
        with pytest.raises(MediaError, match=r"499\.png.*empty"):
            next(capture.frames(start=499))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Captures of all layouts with text."""
    top = tmp_path_factory.mktemp("layouts")
    for layout in ("rgbd", "nerfstudio", "tum", "colmap", "arkitscenes", "scannet"):
        write_capture(top / layout, walk(2), layout=layout)
    return top


class TestText:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[]",
            b"null",
            b'{"frames": ',
            b"\xff\xfe{",
            b"[" * 100_000,
            b'{"frames": ' + b"9" * 5000 + b"}",
            b'{"frames": NaN}',
        ],
    )
    def test_json_that_is_none_is_told_in_one_line(self, tmp_path, data):
        (tmp_path / "poses.json").write_bytes(data)
        with pytest.raises(InputError) as told:
            open_capture(tmp_path)
        assert "poses.json" in str(told.value)
        assert len(str(told.value).splitlines()) == 1
        assert len(str(told.value)) < 400

    def test_lines_over_the_limit_are_refused(self, tmp_path):
        (tmp_path / "rgb.txt").write_bytes(b"x" * 300)
        with pytest.raises(InputError, match=r"rgb\.txt, line 1: expected lines of at most"):
            list(read_lines(tmp_path / "rgb.txt", max_bytes=200))

    def test_text_that_is_none_is_told(self, tmp_path):
        (tmp_path / "rgb.txt").write_bytes(b"# a\n1 \xff.png\n")
        with pytest.raises(InputError, match=r"rgb\.txt, line 2: expected text in UTF-8"):
            open_capture(tmp_path)

    @pytest.mark.parametrize(
        "name",
        ["", ".", "./", "/a", "..", "a/../../b", "..\\b", "\\b", "a\0b", None, 3, ["a"], "//"],
    )
    def test_names_that_lead_elsewhere_are_refused(self, name):
        with pytest.raises(InputError, match="here: expected a name within the folder"):
            within(Path("walk"), name, "here")

    def test_names_of_any_script_are_taken(self):
        assert within(Path("walk"), "./图片\\椅子 1.png", "here") == Path("walk/图片/椅子 1.png")

    def test_a_folder_is_no_file(self, tmp_path):
        (tmp_path / "poses.json").mkdir()
        with pytest.raises(InputError, match=r"poses\.json"):
            read_json(tmp_path / "poses.json")

    @pytest.mark.parametrize("row", ["x rgb/1.png", "nan rgb/1.png", "1", "1 /etc/passwd"])
    def test_rows_that_are_malformed_are_named(self, tmp_path, row):
        (tmp_path / "rgb.txt").write_text(f"# a\n\n{row}\n")
        with pytest.raises(InputError, match=r"rgb\.txt, line 3"):
            open_capture(tmp_path)

    def test_two_frames_of_one_number_are_refused_by_place(self, tmp_path):
        folder = write_capture(tmp_path, walk(3), layout="rgbd")
        document = json.loads((folder / "poses.json").read_text())
        document["frames"][2]["index"] = document["frames"][0]["index"] = 1
        (folder / "poses.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"frames\[1\].index: 1 is the index of frames\[0\]"):
            open_capture(folder)

    def test_times_before_the_beginning_are_refused_by_place(self, tmp_path):
        folder = write_capture(tmp_path, walk(3), layout="rgbd")
        document = json.loads((folder / "poses.json").read_text())
        document["frames"][1]["time"] = -2.0
        (folder / "poses.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"frames\[1\].time: expected seconds of 0 or more"):
            list(open_capture(folder).frames())

    def test_a_path_without_a_letter_is_none(self):
        with pytest.raises(InputError, match="there is no"):
            open_capture("")

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("convention",), "world-to-camera"),
            (("depth_scale",), 0),
            (("depth_scale",), "many"),
            (("intrinsics",), []),
            (("intrinsics", "fx"), -1),
            (("intrinsics", "width"), None),
            (("frames",), {}),
            (("frames", 0), None),
            (("frames", 0, "index"), -1),
            (("frames", 0, "index"), True),
            (("frames", 0, "index"), 7),
            (("frames", 0, "time"), "soon"),
            (("frames", 0, "image"), "../../x.png"),
            (("frames", 0, "camera_to_world"), [1, 2]),
            (("frames", 0, "camera_to_world"), [[True] * 4] * 4),
            (("up",), [0, 0, 0]),
            (("up",), [0, 1]),
            (("scale",), "feet"),
            (("depth_noise",), {"base": -1}),
            (("fps",), 0),
        ],
    )
    def test_each_field_of_poses_json_is_checked(self, tmp_path, place, value):
        folder = write_capture(tmp_path / "walk", walk(1))
        document = json.loads((folder / "poses.json").read_text())
        document["frames"][0].pop("time")
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        (folder / "poses.json").write_text(json.dumps(document))
        with pytest.raises(InputError):
            list(open_capture(folder).frames())

    @settings(
        max_examples=FUZZ,
        deadline=None,
    )
    @given(
        st.sampled_from(
            ["rgbd/poses.json", "nerfstudio/transforms.json", "tum/rgb.txt", "tum/groundtruth.txt",
             "tum/camera.txt", "colmap/sparse/0/images.txt", "colmap/sparse/0/cameras.txt",
             "arkitscenes/lowres_wide.traj", "scannet/pose/0.txt",
             "scannet/intrinsic/intrinsic_color.txt"]
        ),
        st.lists(st.tuples(st.floats(0, 1), st.sampled_from(list("0-9.eE+{}[],\"\n \0n\xff"))),
                 min_size=1, max_size=6),
    )  # fmt: skip
    def test_changed_files_are_read_or_refused(self, whole, name, changes):
        path = whole / name
        told = ""
        before = path.read_bytes()
        data = bytearray(before)
        for at, value in changes:
            data[int(at * (len(data) - 1))] = ord(value)
        try:
            path.write_bytes(data)
            for frame in open_capture(whole / name.partition("/")[0]).frames():
                assert isinstance(frame.depth, torch.Tensor) or frame.depth is None
        except GroundplaneError as error:
            told = str(error)
        finally:
            path.write_bytes(before)
        assert len(told.splitlines()) <= 1


class TestVideos:
    @pytest.fixture
    def clip(self, tmp_path):
        frames = (replace(walk(1)[0], index=at) for at in range(40))
        return write_capture(tmp_path / "walk", frames, layout="video")

    def test_frames_have_the_times_of_the_file(self, clip):
        frames = list(open_capture(clip).frames(start=3, step=10))
        assert [frame.index for frame in frames] == [3, 13, 23, 33]
        assert [frame.time for frame in frames] == pytest.approx([0.1, 13 / 30, 23 / 30, 1.1])

    def test_intrinsics_of_the_user_are_shrunk_with_the_picture(self, clip):
        options = CaptureOptions(intrinsics=(40, 40, 24, 18), longest=24)
        frame = next(open_capture(clip, options=options).frames())
        assert frame.image.size == (24, 18)
        assert frame.camera.K.tolist() == [[20, 0, 12], [0, 20, 9], [0, 0, 1]]
        assert frame.camera.T_world_cam is None

    def test_a_cut_video_gives_what_it_has_and_then_an_error(self, tmp_path):
        seen, fault = [], ""
        try:
            for frame in open_capture(self._cut(tmp_path)).frames():
                seen.append(frame)
        except MediaError as error:
            fault = str(error)
        assert "cut off" in fault
        assert 5 < len(seen) < 30

    def test_a_cut_video_may_end_with_a_note(self, tmp_path):
        options = CaptureOptions(whole=False)
        frames = list(open_capture(self._cut(tmp_path), options=options).frames())
        assert 5 < len(frames) < 30
        assert "the video ends early" in frames[-1].notes[-1]
        assert all(frame.notes == () for frame in frames[:-1])

    def test_a_video_without_a_frame_is_an_error_all_the_same(self, tmp_path):
        (tmp_path / "walk.mp4").write_bytes(b"no video")
        capture = open_capture(tmp_path / "walk.mp4", options=CaptureOptions(whole=False))
        with pytest.raises(MediaError, match=r"walk\.mp4"):
            list(capture.frames())

    def _cut(self, tmp_path):
        path = write_clip(tmp_path / "cut.mkv", noise(30))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path


class TestWriting:
    def test_no_frame_is_refused(self, tmp_path):
        for layout in ("rgbd", "video"):
            with pytest.raises(InputError, match="expected at least one frame"):
                write_capture(tmp_path / layout, [], layout=layout)

    def test_a_frame_without_a_camera_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="frame 0 has no camera"):
            write_capture(tmp_path, [replace(walk(1)[0], camera=None)], layout="tum")

    def test_an_unknown_layout_is_refused(self, tmp_path, unchecked):
        with pytest.raises(InputError, match="unknown layout 'kitti'"):
            write_capture(tmp_path, walk(1), layout="kitti")

    def test_poses_all_lost_leave_no_file(self, tmp_path):
        lost = [replace(f, camera=Camera(K=f.camera.K)) for f in walk(2)]
        for layout in ("tum", "arkitscenes"):
            capture = open_capture(write_capture(tmp_path / layout, lost, layout=layout))
            assert capture.gives == {"depth", "intrinsics"}


class TestNumbersBeyondAllBounds:
    def test_turns_of_a_trajectory(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(2), layout="arkitscenes")
        (folder / "lowres_wide.traj").write_text("1000 1e200 0 0 0 0 0\n")
        with pytest.raises(InputError, match=r"lowres_wide\.traj, line 1: expected a turn"):
            open_capture(folder)

    def test_rows_that_are_no_numbers_are_not_known(self, tmp_path):
        for layout, name, row in [
            ("arkitscenes", "lowres_wide.traj", "1000 nan 0 0 0 0 0\n1000.1 0 0 0 0 0 0\n"),
            ("tum", "groundtruth.txt", f"{START} 0 0 0 nan 0 0 1\n{START + 0.1} 0 0 0 0 0 0 1\n"),
        ]:
            folder = write_capture(tmp_path / layout, walk(2), layout=layout)
            (folder / name).write_text(row)
            first, second = open_capture(folder).frames()
            assert first.camera.T_world_cam is None
            assert np.allclose(second.camera.T_world_cam, np.eye(4))

    def test_moves(self, tmp_path):
        folder = write_capture(tmp_path / "walk", walk(1), layout="scannet")
        (folder / "pose" / "0.txt").write_text("1 0 0 1e300\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
        with pytest.raises(InputError, match=r"pose/0\.txt: the camera is more than 1e\+09"):
            next(open_capture(folder).frames())

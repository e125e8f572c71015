"""Which layout a path has, and what is said where none or several fit."""

from __future__ import annotations

import pytest

from groundplane.captures.opening import layout_of, open_capture
from groundplane.captures.options import CaptureOptions
from groundplane.core.errors import InputError


def test_a_sample_opens_as_posed_rgbd(data_dir):
    capture = open_capture(data_dir / "rgbd" / "livingroom1")
    assert (capture.layout, capture.length, capture.up) == ("rgbd", 15, None)
    assert capture.gives == {"depth", "intrinsics", "pose"}
    frame = next(capture.frames(start=3))
    assert (frame.index, frame.time, frame.image.source.name) == (3, 1.5, "00045.jpg")
    # The file puts the principal point at 319.5, 239.5, counted from the middle of a pixel.
    assert frame.camera.K[:2, 2].tolist() == [320.0, 240.0]


def test_index_file_opens_its_folder(data_dir):
    capture = open_capture(data_dir / "rgbd" / "livingroom1" / "poses.json")
    assert (capture.name, capture.layout) == ("livingroom1", "rgbd")


def test_video_and_pictures_are_told_by_their_names(data_dir):
    assert open_capture(data_dir / "video" / "04_coffee.mp4").layout == "video"
    assert open_capture(data_dir / "rgbd" / "livingroom1" / "image").layout == "frames"


def test_one_picture_is_a_capture_of_one_frame(data_dir):
    path = data_dir / "rgbd" / "livingroom1" / "image" / "00045.jpg"
    options = CaptureOptions(intrinsics=(500.0, 500.0, 320.0, 240.0))
    for layout in (None, "frames"):
        capture = open_capture(path, layout=layout, options=options)
        assert (capture.name, capture.layout, capture.length) == ("00045.jpg", "frames", 1)
        assert (capture.gives, capture.notes) == ({"intrinsics"}, ())
        [frame] = capture.frames()
        assert frame.image.source.name == "00045.jpg"
    assert layout_of(path) is None


def test_unknown_layout_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'scannet'"):
        open_capture(tmp_path, layout="scanet")


def test_empty_folder_lists_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"looked for: .*poses\.json"):
        open_capture(tmp_path)


def test_another_file_is_no_capture(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"expected one such as walk\.mp4"):
        open_capture(tmp_path / "notes.txt")


def test_layout_of_a_folder_is_none_of_a_file(data_dir):
    with pytest.raises(InputError, match=r"is a folder, but '04_coffee\.mp4' is a file"):
        open_capture(data_dir / "video" / "04_coffee.mp4", layout="frames")
    with pytest.raises(InputError, match="is a file, but 'video' is a folder"):
        open_capture(data_dir / "video", layout="video")


@pytest.mark.parametrize(("start", "step"), [(-1, 1), (0, 0)])
def test_frames_need_a_start_and_a_step(data_dir, start, step):
    with pytest.raises(InputError, match="expected start >= 0 and step >= 1"):
        open_capture(data_dir / "rgbd" / "livingroom1").frames(start, step)


@pytest.mark.parametrize(
    "options",
    [
        {"fps": 0.0},
        {"longest": -1},
        {"depth_scale": float("nan")},
        {"tolerance": float("inf")},
        {"intrinsics": (0.0, 1.0, 1.0, 1.0)},
        {"intrinsics": (1.0, 1.0, float("nan"), 1.0)},
        {"up": (0.0, 0.0, 0.0)},
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(InputError, match=f"option {next(iter(options))}"):
        CaptureOptions(**options)

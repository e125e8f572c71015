"""Keyframes by motion, by time, and not while the picture is blurred."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.spatial.mapping.keyframes import KeyframeChooser, KeyframeOptions, sharpness

K = np.array([[50.0, 0, 16], [0, 50, 12], [0, 0, 1]])
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def frame(
    index: int,
    *,
    x: float | None = None,
    turn: float = 0.0,
    pixels: np.ndarray = NOISE,
    time: float | None = None,
    scale: str = "metric",
) -> Frame:
    """A frame at x metres, turned about its y axis; without a pose where x is None."""
    pose = None
    if x is not None:
        pose = np.eye(4)
        pose[0, 3] = x
        pose[:3, :3] = [
            [math.cos(turn), 0, math.sin(turn)],
            [0, 1, 0],
            [-math.sin(turn), 0, math.cos(turn)],
        ]
    return Frame(
        image=Image(
            pixels=pixels, source=Source(name="", content_hash=""), frame_map=FrameMap.identity()
        ),
        index=index,
        time=index / 30 if time is None else time,
        camera=Camera(K=K, T_world_cam=pose),
        scale=scale,
    )


def chosen(frames: list[Frame], **options: float) -> list[int]:
    """The indices of the keyframes."""
    chooser = KeyframeChooser(KeyframeOptions(**options))
    return [each.index for each in frames if chooser.wants(each)]


def test_a_camera_that_moves_gives_a_keyframe_each_so_many_metres() -> None:
    assert chosen([frame(i, x=0.05 * i) for i in range(13)], least_move=0.2) == [0, 4, 8, 12]


def test_a_camera_that_turns_gives_a_keyframe_each_so_many_degrees() -> None:
    frames = [frame(i, x=0.0, turn=math.radians(5 * i)) for i in range(7)]
    assert chosen(frames, least_turn=math.radians(14)) == [0, 3, 6]


def test_a_camera_that_stands_still_gives_one_keyframe_until_much_time_has_passed() -> None:
    frames = [frame(i, x=0.0, time=float(i)) for i in range(12)]
    assert chosen(frames, most_seconds=5) == [0, 5, 10]


def test_without_a_pose_time_decides() -> None:
    frames = [frame(i, time=i / 4) for i in range(9)]
    assert chosen(frames, least_seconds=0.5) == [0, 2, 4, 6, 8]


def test_a_pose_that_is_missing_for_a_while_falls_back_on_time() -> None:
    frames = [frame(i, x=None if i in (2, 3) else 0.0, time=i / 4) for i in range(6)]
    assert chosen(frames, least_seconds=0.5) == [0, 2, 4]


def test_poses_of_unknown_scale_are_measured_by_turn_and_time() -> None:
    frames = [frame(i, x=10.0 * i, time=i / 4, scale="relative") for i in range(5)]
    assert chosen(frames, least_seconds=0.5) == [0, 2, 4]


def test_times_that_do_not_go_on_hide_no_frame() -> None:
    assert chosen([frame(i, time=0.0) for i in range(3)]) == [0, 1, 2]


def test_a_blurred_frame_waits_for_a_sharp_one() -> None:
    grey = np.full_like(NOISE, 127)
    frames = [frame(i, x=0.5 * i, pixels=grey if i in (2, 3) else NOISE) for i in range(6)]
    assert chosen(frames) == [0, 1, 4, 5]
    assert chosen(frames, blur=0.0) == [0, 1, 2, 3, 4, 5]


def test_blur_that_lasts_is_put_up_with() -> None:
    grey = np.full_like(NOISE, 127)
    frames = [frame(i, x=0.5 * i, pixels=grey if i else NOISE) for i in range(6)]
    assert 3 in chosen(frames, patience=2)


def test_a_picture_of_one_pixel_has_no_sharpness() -> None:
    assert sharpness(np.zeros((1, 1, 3), dtype=np.uint8)) == 0.0


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="least_move"):
        KeyframeOptions(least_move=float("nan"))
    with pytest.raises(InputError, match="blur"):
        KeyframeOptions(blur=1.0)


def test_what_is_not_wanted_without_its_picture_is_not_wanted_with_it() -> None:
    rng = np.random.default_rng(5)
    chooser, kept = KeyframeChooser(), 0
    for i in range(200):
        x = None if rng.random() < 0.1 else float(rng.normal(0, 0.2))
        one = frame(
            i, x=x, turn=float(rng.normal(0, 0.2)), scale=str(rng.choice(["metric", "relative"]))
        )
        maybe = chooser.may_want(one.time, one.camera.T_world_cam, one.scale)
        wanted = chooser.wants(one)
        assert maybe or not wanted
        kept += wanted
    assert 20 < kept < 180


def test_frames_between_say_nothing_of_blur() -> None:
    grey = np.full_like(NOISE, 127)
    frames = [frame(i, x=0.01 * i, pixels=grey if i in range(1, 20) else NOISE) for i in range(21)]
    assert chosen(frames) == [0, 20]

"""Objects that a frame should show and does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from seen import Crate, sighting

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.media import read_image
from groundplane.spatial.mapping.builder import MapBuilder

BOX = Crate(label="box", center=(0, 0, 0.5), size=(0.6, 0.6, 0.8))
EYE = (0.0, -3.0, 0.5)
PICTURE = read_image(np.zeros((240, 320, 3), dtype=np.uint8))
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
# Looks along the world's y axis: the picture's right is x, its down is -z.
ALONG_Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
AGAINST_Y = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])


def frame(depth: float, *, eye: tuple = EYE, turn: np.ndarray = ALONG_Y, index: int = 0) -> Frame:
    """A picture of a wall at some depth."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, eye
    return Frame(
        image=PICTURE,
        index=index,
        camera=Camera(K=K, T_world_cam=pose),
        depth=torch.full((240, 320), depth),
    )


def existence_after(*frames: Frame) -> float:
    """How likely the box is after frames without it; 0 where it is left out of the map."""
    builder = MapBuilder()
    builder.add(sighting([BOX], EYE))
    for each in frames:
        builder.add(sighting([]), frame=each)
    scores = builder.freeze(name="room").scores.tolist()
    return scores[0] if scores else 0.0


def test_a_false_alarm_fades_as_frames_look_through_it() -> None:
    assert existence_after() > 0.7
    assert existence_after(*[frame(6.0)] * 3) == 0.0


def test_a_thing_in_view_that_was_not_detected_becomes_less_likely() -> None:
    assert 0.5 < existence_after(frame(2.7)) < existence_after()


def test_a_thing_behind_something_is_not_missed() -> None:
    assert existence_after(*[frame(1.0)] * 5) == existence_after()


def test_a_thing_out_of_view_is_not_missed() -> None:
    away = frame(6.0, turn=AGAINST_Y)
    beside = frame(6.0, eye=(3.0, -3.0, 0.5))
    assert existence_after(away, beside) == existence_after()


def test_a_thing_where_depth_is_unknown_is_not_missed() -> None:
    assert existence_after(*[frame(0.0)] * 5) == existence_after()


def test_a_thing_too_small_in_the_picture_is_not_missed() -> None:
    assert existence_after(*[frame(60.0, eye=(0.0, -40.0, 0.5))] * 5) == existence_after()


def test_the_front_of_a_thing_seen_from_behind_is_not_missed() -> None:
    assert existence_after(*[frame(2.7, eye=(0, 3, 0.5), turn=AGAINST_Y)] * 5) == existence_after()


def test_what_is_seen_is_not_missed() -> None:
    builder = MapBuilder()
    for index in range(5):
        builder.add(sighting([BOX], EYE, frame=index), frame=frame(2.7, index=index))
    assert builder.freeze(name="room").scores[0] > 0.99


def test_hopeless_objects_are_forgotten() -> None:
    builder = MapBuilder()
    builder.add(sighting([BOX], EYE))
    for index in range(12):
        builder.add(sighting([]), frame=frame(6.0, index=index))
    assert len(builder) == 0


def test_a_frame_without_depth_or_pose_is_refused() -> None:
    bare = Frame(image=PICTURE)
    with pytest.raises(InputError, match="no depth or no pose"):
        MapBuilder().add(sighting([]), frame=bare)

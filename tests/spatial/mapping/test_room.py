"""Rooms from points: scenes worked out by hand, noise, little seen, bounded memory."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from box_scenes import frame_of, look, round_walk
from living_room import living_room

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.gravity import aligned, estimate_up
from groundplane.spatial.mapping.room import Room, RoomBuilder, RoomOptions

# The room of `box_scenes` is 4 m by 3 m.
AREA = 12.0


def looks_round(num=16, **scene):
    """Views from the middle, level and down, so that walls and floor are seen."""
    poses = []
    for angle in np.arange(num) / num * 2 * np.pi:
        ahead = np.array([np.cos(angle), np.sin(angle), 0])
        for down, roll in ((0.1, 0.0), (1.4, 0.05)):
            eye = np.array([2.0, 0.8, 1.7])
            poses.append(look(eye, eye + ahead - np.array([0, 0, down]), roll=roll))
    return [frame_of(pose, index=k, **scene) for k, pose in enumerate(poses)]


EMPTY, FURNISHED = looks_round(things=()), looks_round()


def built(frames, **options):
    builder = RoomBuilder(RoomOptions(**options))
    for frame in frames:
        builder.add(frame)
    return builder


def test_an_empty_room_is_measured():
    room = built(EMPTY).room()
    assert room.area == pytest.approx(AREA, rel=0.01)
    assert room.outline.bounds == pytest.approx((0, 0, 4, 3), abs=0.03)
    assert room.floor == pytest.approx(0, abs=0.01)
    assert room.closed > 0.95
    assert room.notes == ()


def test_furniture_that_hides_the_floor_does_not_cut_the_area():
    room = built(FURNISHED).room()
    # The wardrobe fills a corner, and nobody sees over it: 0.6 of the 12 square metres.
    assert AREA - 0.75 < room.area < AREA + 0.1
    assert room.outline.contains(shapely.Point(2.0, 1.5))


def test_the_floor_need_not_be_at_zero():
    low, high = np.array([1.0, -2, -1.3]), np.array([4.0, 2, 1.2])
    poses = [
        look((2.5, 0, 0.3), np.array([2.5 + np.cos(a), np.sin(a), 0.3 - 0.5]))
        for a in np.arange(0, 6.2, 0.4)
    ]
    frames = [frame_of(pose, room=(low, high), things=(), index=k) for k, pose in enumerate(poses)]
    room = built(frames).room()
    assert room.floor == pytest.approx(-1.3, abs=0.01)
    assert room.area == pytest.approx(12.0, rel=0.01)


def test_a_ceiling_that_is_seen_is_told():
    up = [
        look((2, 0.8, 1.2), np.array([2 + np.cos(a), 0.8 + np.sin(a), 1.2 + 0.8]))
        for a in np.arange(0, 6.2, 0.4)
    ]
    room = built([*FURNISHED, *(frame_of(pose) for pose in up)]).room()
    assert room.ceiling == pytest.approx(2.5, abs=0.01)
    assert built(FURNISHED).room().ceiling is None


def test_noise_and_stray_depth_move_neither_floor_nor_area():
    chance = torch.Generator().manual_seed(1)
    frames = []
    for frame in EMPTY:
        depth = frame.depth * (1 + 0.01 * torch.randn(frame.depth.shape, generator=chance))
        stray = torch.rand(depth.shape, generator=chance) < 0.005
        frames.append(replace(frame, depth=torch.where(stray, depth * 1.5, depth)))
    room = built(frames).room()
    assert room.floor == pytest.approx(0, abs=0.03)
    assert room.area == pytest.approx(AREA, rel=0.05)


def test_a_room_barely_seen_says_so():
    room = built([frame_of(look((2, 0.5, 1.5), (2.6, 2.9, 0.9)))]).room()
    assert 0 < room.area < AREA
    assert room.closed < 0.9
    assert "walls were seen along" in room.notes[0]


def test_the_real_capture_shows_a_corner_of_a_room(data_dir):
    frames = living_room(data_dir)
    up = estimate_up(frames)
    room = built([aligned(frame, up) for frame in frames]).room()
    # The first camera stood 0.45 m over the floor; the corner seen is some square metres.
    assert room.floor == pytest.approx(-0.45, abs=0.02)
    assert 3 < room.seen_area <= room.area < 8
    assert room.notes


def test_two_rooms_count_together():
    frames = EMPTY
    shift = np.eye(4)
    shift[0, 3] = 20.0
    moved = [
        replace(f, camera=replace(f.camera, T_world_cam=shift @ f.camera.T_world_cam))
        for f in frames
    ]
    room = built([*frames, *moved]).room()
    assert room.area == pytest.approx(2 * AREA, rel=0.02)
    assert room.outline.area == pytest.approx(AREA, rel=0.02)


def test_the_same_frames_give_the_same_room():
    one, other = (built(FURNISHED, samples=3000).room() for _ in range(2))
    assert one.area == other.area
    assert one.outline.equals(other.outline)


def test_memory_is_bounded_by_larger_cells():
    builder = built(FURNISHED, most_cells=1000)
    assert len(builder) < 10_000
    room = builder.room()
    assert len(builder) <= 1000
    assert "cells of" in room.notes[-1]
    assert room.area == pytest.approx(AREA, rel=0.25)


def test_more_frames_of_the_same_room_need_no_more_cells():
    frames = FURNISHED[::4]
    once, often = built(frames), built(frames * 5)
    once.room(), often.room()
    assert len(often) == len(once)
    assert often.frames == 5 * once.frames


def test_nothing_seen_is_no_room():
    frame = frame_of(look((2, 0.5, 1.5), (2.6, 2.9, 0.9)))
    dark = replace(frame, depth=torch.zeros_like(frame.depth))
    for builder in (RoomBuilder(), built([dark])):
        room = builder.room()
        assert (room.outline, room.area, room.floor) == (None, None, None)
        assert "nothing was seen" in room.notes[0]


def test_a_few_points_are_no_room():
    frame = frame_of(look((2, 0.5, 1.5), (2.6, 2.9, 0.9)), size=(1, 1))
    room = built([frame]).room()
    assert isinstance(room, Room)
    assert room.area is None
    assert any("too little" in note for note in room.notes)


def test_infinite_and_unknown_depth_is_left_out():
    frames = EMPTY
    broken = []
    for frame in frames:
        depth = frame.depth.clone()
        depth[::7], depth[:, ::11] = float("nan"), float("inf")
        broken.append(replace(frame, depth=depth))
    assert built(broken).room().area == pytest.approx(AREA, rel=0.02)


def test_a_frame_without_a_pose_is_refused():
    frame = frame_of(round_walk(1)[0], known=False)
    with pytest.raises(InputError, match="the pose is not known"):
        RoomBuilder().add(frame)


@pytest.mark.parametrize(
    "options", [{"cell": 0.0}, {"alpha": float("nan")}, {"samples": 2}, {"most_cells": 1}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="room: option"):
        RoomOptions(**options)

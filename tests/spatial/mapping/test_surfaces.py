"""Points and pieces of surface against views whose rays were cast one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from box_scenes import THINGS, cast, frame_of, look

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.surfaces import frame_pose, grid_points, patches

EYE, AT = (2.0, 0.5, 1.4), (2.6, 2.9, 0.9)


def world(points, pose):
    return points @ pose[:3, :3].T + pose[:3, 3]


def test_points_lie_where_the_rays_ended():
    pose = look(EYE, AT)
    frame = frame_of(pose, size=(64, 48))
    _, ends = cast(pose, size=(64, 48))
    points = world(grid_points(frame, most=64 * 48).numpy(), pose)
    np.testing.assert_allclose(points, ends.reshape(-1, 3), atol=1e-5)


def test_a_grid_takes_every_so_many_pixels():
    pose = look(EYE, AT)
    frame = frame_of(pose, size=(64, 48))
    _, ends = cast(pose, size=(64, 48))
    points = world(grid_points(frame, most=64 * 48 // 16).numpy(), pose)
    np.testing.assert_allclose(points, ends[2::4, 2::4].reshape(-1, 3), atol=1e-5)


def test_unknown_far_and_infinite_depth_is_left_out():
    frame = frame_of(look(EYE, AT), size=(64, 48))
    depth = frame.depth.clone()
    depth[:, :20], depth[:, 20:30], depth[:, 30:40] = 0.0, float("inf"), float("nan")
    depth[:, 40:50] = 50.0
    points = grid_points(replace(frame, depth=depth), most=64 * 48, limit=10.0)
    assert len(points) == 14 * 48
    pieces = patches(replace(frame, depth=depth), across=32, limit=10.0)
    assert torch.isfinite(pieces.normals).all()
    assert torch.isfinite(pieces.areas).all()
    assert (pieces.points[:, 2] < 10).all()


def test_pieces_face_the_camera_along_the_walls_they_lie_on():
    pose = look(EYE, AT)
    pieces = patches(frame_of(pose), across=48)
    normals = pieces.normals.numpy() @ pose[:3, :3].T
    off = 1 - np.abs(normals).max(axis=1)
    # All walls of the scene are along the axes; a few pieces lie over the edge between two.
    assert (off < 1e-3).mean() > 0.93
    towards = (pieces.normals * pieces.points).sum(dim=1)
    assert (towards < 0).all()


def test_areas_add_up_to_the_wall():
    # Straight at a bare wall, all of the view is on it.
    pose = look((2.0, 0.5, 1.2), (2.0, 3.0, 1.2))
    frame = frame_of(pose, size=(320, 240), things=())
    pieces = patches(frame, across=40, limit=2.6)
    wall = np.abs(pieces.normals.numpy() @ pose[:3, :3].T @ np.array([0, 1.0, 0])) > 0.99
    seen = 2.5 * 320 / 256 * min(2.5, 2.5 * 240 / 256)
    # The rim of the grid has no neighbours.
    assert float(pieces.areas[torch.from_numpy(wall)].sum()) == pytest.approx(seen, rel=0.15)


def test_edges_between_things_have_no_pieces():
    pose = look((2.0, 0.2, 1.5), (2.0, 1.5, 0.7))
    pieces = patches(frame_of(pose, size=(320, 240), things=THINGS), across=80)
    normals = np.abs(pieces.normals.numpy() @ pose[:3, :3].T)
    assert (normals.max(axis=1) > 0.99).mean() > 0.92


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
def test_pictures_without_neighbours_have_no_pieces(size):
    frame = frame_of(look(EYE, AT), size=size)
    assert len(patches(frame)) == 0
    assert len(grid_points(frame)) == size[0] * size[1]


def test_missing_geometry_is_named():
    frame = frame_of(look(EYE, AT), known=False)
    with pytest.raises(InputError, match="the pose is not known"):
        frame_pose(frame)
    with pytest.raises(InputError, match="the depth of the frame must be known"):
        grid_points(replace(frame, depth=None))
    with pytest.raises(InputError, match="the intrinsics of the frame must be known"):
        patches(replace(frame, camera=None))

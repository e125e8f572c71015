"""What could be seen from where, told from the plan, agrees with what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from groundplane.core.errors import InputError, ShapeError
from groundplane.testing.rooms.layout import furnish
from groundplane.testing.rooms.parts import assemble, block
from groundplane.testing.rooms.plan import FloorGrid, draw_outline
from groundplane.testing.rooms.room import Mesh, Room, RoomObject, Walk
from groundplane.testing.rooms.sights import HeightMap, sample_surface
from groundplane.testing.rooms.themes import THEMES
from groundplane.testing.rooms.walk import camera_walk


def square():
    return np.array([[0.0, 0], [5, 0], [5, 5], [0, 5]])


def furnished(seed=0, things=(("closet", 1, 1), ("crate", 2, 2))):
    return furnish(things, square(), height=2.6, rng=np.random.default_rng(seed))


def test_points_lie_on_the_surface_and_stand_for_all_of_it_but_the_underside():
    mesh = assemble([block((0, 2), (0, 1), (0, 0.5), colour=(9, 9, 9))])
    points = sample_surface([mesh, mesh], rng=np.random.default_rng(0), each=600)
    assert (points.owners == np.repeat([0, 1], 600)).all()
    assert points.areas[:600].sum() == pytest.approx(2 + 2 * (1 + 0.5))
    on = (np.abs(points.at) < 1e-9) | (np.abs(points.at - [2, 1, 0.5]) < 1e-9)
    assert on.any(axis=1).all()
    assert not (points.normals[:, 2] < -0.5).any()
    np.testing.assert_allclose(np.linalg.norm(points.normals, axis=1), 1.0)


def test_a_closet_hides_what_is_behind_it_and_not_what_is_before_it():
    layout = furnished()
    closet = layout.placed[0]
    points = sample_surface([p.mesh for p in layout.placed], rng=np.random.default_rng(0))
    front = np.array([*closet.at[:2], 1.5]) - np.array([*closet.axes[1], 0.0]) * 1.5
    seen = HeightMap(layout).visible(front[None], points)[0]
    own = points.owners == 0
    faces = own & (points.normals[:, :2] @ closet.axes[1] < -0.9)
    back = own & (points.normals[:, :2] @ closet.axes[1] > 0.9)
    assert seen[faces].mean() > 0.9
    assert not seen[back].any()


def test_walls_hide_what_is_round_the_corner():
    corner = np.array([[0.0, 0], [6, 0], [6, 3], [3, 3], [3, 6], [0, 6]])
    layout = furnish((("crate", 6, 6),), corner, height=2.6, rng=np.random.default_rng(1))
    points = sample_surface([p.mesh for p in layout.placed], rng=np.random.default_rng(0))
    eye = np.array([[5.5, 0.5, 1.5], [1.5, 5.5, 1.5]])
    seen = HeightMap(layout).visible(eye, points)
    room = shapely.Polygon(corner)
    for which, at in enumerate(eye):
        lines = shapely.linestrings([[at[:2], point[:2]] for point in points.at])
        assert not seen[which][~room.buffer(0.1).covers(lines)].any()


def test_a_walk_stays_where_one_can_walk_and_sees_what_is_there():
    for seed, (kind, theme) in enumerate(THEMES.items()):
        rng = np.random.default_rng(seed)
        outline = draw_outline(rng, form="rectangle", area=theme.area[0] + 4)
        layout = furnish(theme.things, outline, height=2.6, rng=rng)
        tour = camera_walk(layout, rng=rng)
        assert tour.seen.mean() > 0.8, kind
        grid = FloorGrid(outline)
        rows, columns = grid.cells(tour.walk.poses[:, :2, 3])
        assert grid.inside[rows, columns].all()


def test_poses_are_upright_cameras():
    layout = furnished()
    poses = camera_walk(layout, rng=np.random.default_rng(0)).walk.poses
    turns = poses[:, :3, :3]
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.eye(3) + 0 * turns, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1.0)
    assert (turns[:, 2, 1] < -0.7).all()  # the camera's y looks down


# Types ----------------------------------------------------------------------------------------


def thing(**changes):
    mesh = assemble([block((-1, 1), (-0.5, 0.5), (0, 2), colour=(9, 9, 9))], at=(3, 4, 0), yaw=0.5)
    return RoomObject(**{"id": 1, "label": "sofa", "mesh": mesh, "yaw": 0.5, **changes})


def test_a_things_box_is_along_its_own_axes():
    center, size = thing().box
    np.testing.assert_allclose(center, [3, 4, 1])
    np.testing.assert_allclose(size, [2, 1, 2])
    assert shapely.Polygon(thing().footprint).area == pytest.approx(2.0)
    assert shapely.Polygon(thing().footprint).exterior.is_ccw


@pytest.mark.usefixtures("unchecked")
def test_ids_colours_faces_and_poses_are_checked():
    with pytest.raises(InputError, match="id"):
        thing(id=0)
    mesh = thing().mesh
    with pytest.raises(ShapeError, match="colours"):
        Mesh(vertices=mesh.vertices, faces=mesh.faces, colours=mesh.colours[:2])
    with pytest.raises(InputError, match="vertices"):
        Mesh(vertices=mesh.vertices[:3], faces=mesh.faces, colours=mesh.colours)
    with pytest.raises(ShapeError, match="poses"):
        Walk(times=np.zeros(2), poses=np.zeros((3, 4, 4)))


def test_the_area_of_a_room_is_that_of_its_outline():
    empty = Walk(times=np.zeros(0), poses=np.zeros((0, 4, 4)))
    room = Room(
        name="bare",
        seed=0,
        kind="test",
        objects=(),
        surfaces=(),
        outline=np.array([[1.0, 1], [4, 1], [4, 3], [1, 3]]),
        floor=0.0,
        height=2.5,
        walk=empty,
    )
    assert room.area == pytest.approx(6.0)


def test_furniture_of_no_parts_is_refused():
    with pytest.raises(InputError, match="one part"):
        assemble([])

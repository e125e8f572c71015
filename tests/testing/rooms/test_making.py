"""Rooms by number: the same each time, nothing within another, everything within the walls."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import shapely
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.testing.rooms.furniture import FURNITURE, LABELS, build
from groundplane.testing.rooms.making import RoomOptions, make_room
from groundplane.testing.rooms.parts import assemble
from groundplane.testing.rooms.plan import CELL, FloorGrid, draw_outline
from groundplane.testing.rooms.room import Mesh
from groundplane.testing.rooms.themes import THEMES

# A few rooms that all properties are tried on; GROUNDPLANE_ROOMS takes as many as it says.
ROOMS = int(os.environ.get("GROUNDPLANE_ROOMS", "8"))
SEEDS = st.integers(0, ROOMS - 1)
MANY = settings(max_examples=ROOMS, deadline=None)
make = functools.lru_cache(maxsize=64)(make_room)


def print_of(room):
    parts = [thing.mesh.vertices for thing in room.objects] + [room.walk.poses, room.outline]
    return (room.kind, [t.label for t in room.objects], [float(part.sum()) for part in parts])


def test_the_same_number_gives_the_same_room_in_another_process():
    code = (
        "from groundplane.testing.rooms.making import make_room; import hashlib;"
        "r = make_room(3); h = hashlib.sha256(r.walk.poses.tobytes());"
        "[h.update(t.mesh.vertices.tobytes()) for t in r.objects]; print(h.hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    room = make(3)
    here = hashlib.sha256(room.walk.poses.tobytes())
    for thing in room.objects:
        here.update(thing.mesh.vertices.tobytes())
    assert run.stdout.strip() == here.hexdigest()


def test_other_numbers_give_other_rooms():
    assert print_of(make(0)) == print_of(make_room(0)) != print_of(make(6))


@MANY
@given(seed=SEEDS)
def test_no_two_things_intersect(seed):
    room = make(seed)
    for one, other in itertools.combinations(room.objects, 2):
        (low, high), (low2, high2) = span(one.mesh), span(other.mesh)
        if (low > high2).any() or (low2 > high).any():
            continue
        rests = one.id == other.support or other.id == one.support
        bodies = [shapely.Polygon(thing.footprint) for thing in (one, other)]
        if not rests and not bodies[0].intersects(bodies[1]):
            continue
        # Boxes of what stands on a sofa reach into the sofa's own: the meshes may not.
        assert not pierces(one.mesh, other.mesh), (seed, one.label, other.label)
        assert not pierces(other.mesh, one.mesh), (seed, one.label, other.label)


def span(mesh):
    return mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)


def pierces(one: Mesh, other: Mesh) -> bool:
    """Whether an edge of one mesh goes through a triangle of the other."""
    corners = one.vertices[one.faces]
    starts = corners.reshape(-1, 3)
    ways = np.roll(corners, -1, axis=1).reshape(-1, 3) - starts
    hits = hit_shares(starts, ways, other.vertices[other.faces])
    return bool(((hits > 0) & (hits < 1)).any())


def hit_shares(starts, ways, triangles):
    """How far along each line meets each triangle (Moeller and Trumbore 1997); inf for not."""
    a, b, c = triangles.transpose(1, 0, 2)
    side, other = b - a, c - a
    h = np.cross(ways[:, None], other[None])
    det = (h * side).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        s = starts[:, None] - a[None]
        u = (h * s).sum(axis=2) / det
        q = np.cross(s, side[None])
        v = (q * ways[:, None]).sum(axis=2) / det
        t = (q * other[None]).sum(axis=2) / det
        inside = (u > 0) & (v > 0) & (u + v < 1) & (np.abs(det) > 1e-12)
    return np.where(inside, t, np.inf)


def test_the_check_for_intersections_sees_one():
    unit = np.random.default_rng(0)
    mesh = assemble(build("crate", unit).parts)
    moved = Mesh(vertices=mesh.vertices + 0.1, faces=mesh.faces, colours=mesh.colours)
    apart = Mesh(vertices=mesh.vertices + 5.0, faces=mesh.faces, colours=mesh.colours)
    assert pierces(mesh, moved)
    assert not pierces(mesh, apart)


@MANY
@given(seed=SEEDS)
def test_everything_is_within_the_walls_the_floor_and_the_ceiling(seed):
    room = make(seed)
    floor = shapely.Polygon(room.outline).buffer(1e-9)
    for thing in room.objects:
        assert floor.covers(shapely.MultiPoint(thing.mesh.vertices[:, :2])), thing.label
        low, high = span(thing.mesh)
        assert low[2] >= room.floor - 1e-9
        assert high[2] <= room.floor + room.height
    assert 8.0 <= room.area <= 60.0 + 1e-9


@MANY
@given(seed=SEEDS)
def test_what_stands_on_another_thing_touches_its_top(seed):
    room = make(seed)
    things = {thing.id: thing for thing in room.objects}
    for thing in room.objects:
        low = thing.mesh.vertices[:, 2].min()
        if thing.support == 0:
            assert low == pytest.approx(room.floor, abs=1e-9)
        elif thing.support > 0:
            under = things[thing.support]
            assert thing.id > under.id
            on = shapely.Polygon(under.footprint).buffer(1e-9)
            assert on.covers(shapely.MultiPoint(thing.mesh.vertices[:, :2]))
            heights = under.mesh.vertices[:, 2]
            assert np.abs(heights - low).min() < 0.0011


@MANY
@given(seed=SEEDS)
def test_the_walk_is_smooth_and_goes_through_nothing(seed):
    room = make(seed)
    solid = [
        shapely.convex_hull(shapely.MultiPoint(thing.mesh.vertices[:, :2]))
        for thing in room.objects
        if thing.label != "rug" and thing.mesh.vertices[:, 2].min() < room.floor + 1.0
    ]
    eyes = room.walk.poses[:, :3, 3]
    points = shapely.points(eyes[:, :2])
    gap = shapely.distance(np.array(solid)[:, None], points[None]).min()
    assert gap > 0.1
    assert shapely.Polygon(room.outline).buffer(-0.15).covers(shapely.MultiPoint(eyes[:, :2]))
    assert np.abs(eyes[:, 2] - room.floor - 1.5).max() < 0.05
    assert np.linalg.norm(np.diff(eyes, axis=0), axis=1).max() * 30 < 1.5
    turns = room.walk.poses[:-1, :3, :3].transpose(0, 2, 1) @ room.walk.poses[1:, :3, :3]
    angles = np.degrees(np.arccos(((np.trace(turns, axis1=1, axis2=2) - 1) / 2).clip(-1, 1)))
    assert angles.max() * 30 < 120
    assert 5 <= room.walk.times[-1] <= 90
    np.testing.assert_allclose(np.diff(room.walk.times), 1 / 30)


def test_there_is_every_sort_of_room_and_of_form():
    rooms = [make(seed) for seed in range(8)]
    assert {room.kind for room in rooms} == set(THEMES)
    assert {len(room.outline) for room in rooms} == {4, 6, 8}
    labels = [thing.label for room in rooms for thing in room.objects]
    assert len(set(labels)) >= 25
    assert any(labels_of(room).count("chair") > 2 for room in rooms)


def labels_of(room):
    return [thing.label for thing in room.objects]


def test_options_choose_kinds_forms_and_how_many():
    options = RoomOptions(kinds=("office",), forms=("rectangle",), most=5, turned=False)
    for seed in range(3):
        room = make_room(seed, options=options)
        assert room.kind == "office"
        assert len(room.outline) == 4
        assert len(room.objects) <= 5
        assert room.floor == 0.0
        assert np.abs(room.outline[0]).max() < 1e-9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kinds": ("kitchn",)}, "Did you mean 'kitchen'"),
        ({"forms": ()}, "forms"),
        ({"forms": ("round",)}, "forms"),
        ({"most": 0}, "most"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_options_are_told_by_name(options, said):
    with pytest.raises(InputError, match=said):
        RoomOptions(**options)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        make_room(-1)


# Furniture ------------------------------------------------------------------------------------


def test_there_are_many_words_and_each_kind_stands_where_something_is():
    assert len(LABELS) >= 40
    for kind in FURNITURE.values():
        assert (kind.stand == "on") == bool(kind.on)
        assert set(kind.on) <= set(FURNITURE)
    asked = {kind for theme in THEMES.values() for kind, _, _ in theme.things}
    assert asked == set(FURNITURE)


@pytest.mark.parametrize("kind", sorted(FURNITURE))
def test_each_kind_stands_on_its_foot_and_its_solids_are_closed(kind):
    sizes = set()
    for seed in range(3):
        piece = build(kind, np.random.default_rng(seed))
        assert 4 <= len(piece.parts) <= 40
        mesh = assemble(piece.parts)
        low, high = span(mesh)
        assert low[2] == pytest.approx(0.0, abs=1e-9)
        assert (high - low).min() > 0.005
        assert (high - low).max() < 2.7
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight
        assert solid.volume > 0  # faces look outward
        for top in piece.tops:
            assert np.isclose(mesh.vertices[:, 2], top.z).any()
        sizes.add(tuple(high - low))
    assert len(sizes) == 3


# Plans ----------------------------------------------------------------------------------------


@MANY
@given(seed=SEEDS, form=st.sampled_from(["rectangle", "L", "T"]), area=st.floats(7, 80))
def test_outlines_have_the_area_asked_for_and_go_counter_clockwise(seed, form, area):
    corners = draw_outline(np.random.default_rng(seed), form=form, area=area)
    polygon = shapely.Polygon(corners)
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert polygon.area == pytest.approx(area)
    grid = FloorGrid(corners)
    rim = polygon.length * CELL
    assert abs(grid.inside.sum() * CELL**2 - area) < rim


def test_an_area_too_small_to_stand_in_is_refused():
    with pytest.raises(InputError, match="area"):
        draw_outline(np.random.default_rng(0), form="L", area=2.0)


def test_a_wall_across_a_room_parts_where_one_can_walk():
    grid = FloorGrid(np.array([[0.0, 0.0], [6, 0], [6, 4], [0, 4]]))
    whole, share = grid.walkable(clearance=0.3)
    assert share == 1.0
    assert 5.4 * 3.4 < whole.sum() * CELL**2 < 5.6 * 3.6  # to within a cell
    grid.take(np.array([[3.9, 0.0], [4.1, 0.0], [4.1, 4.0], [3.9, 4.0]]))
    _, parted = grid.walkable(clearance=0.3)
    assert parted == pytest.approx(3.3 / 4.6, abs=0.03)

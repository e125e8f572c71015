"""Shortest walks against a fine grid search, by hand, and by their properties."""

import math
import os
import threading

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.routes.finding import (
    Blocked,
    RouteFinder,
    Walk,
    route_finder,
    shortest_walk,
)
from groundplane.spatial.routes.free_space import Walker, free_space
from groundplane.testing.scenes import SceneBuilder

ROOM = [(0, 0), (6, 0), (6, 4), (0, 4)]
# Rooms of the search against the grid; the environment asks for more.
ROOMS = int(os.environ.get("GROUNDPLANE_FUZZ", "8"))
CELL = 0.04
# Steps to up to three cells away, 32 directions: a straight line is at most this much longer.
STEPS = [(x, y) for x in range(4) for y in range(-3, 4) if math.gcd(x, y) == 1 and (x, y) > (0, 0)]
DETOUR = 1.014


# -- the reference: a raster searched with scipy -------------------------------------------------


def grid_length(region, starts, goals):
    """Shortest way on a raster of a region, from any cell at the starts to any at the goals.

    Steps go from free cell to free cell; what lies between is not looked at, so a step may cut a
    corner: the caller gives a region that is smaller, or larger, by more than that.
    """
    if region.is_empty:
        return math.inf
    low_x, low_y, high_x, high_y = region.bounds
    xs, ys = np.arange(low_x, high_x + CELL, CELL), np.arange(low_y, high_y + CELL, CELL)
    at = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1)
    shapely.prepare(region)
    free = shapely.intersects_xy(region, at[..., 0], at[..., 1])
    rows = np.arange(free.size).reshape(free.shape)
    edges = []
    for dx, dy in STEPS:
        width, height = free.shape
        here = np.s_[: width - dx, max(0, -dy) : height - max(0, dy)]
        there = np.s_[dx:, max(0, dy) : height - max(0, -dy)]
        both = free[here] & free[there]
        edges.append((rows[here][both], rows[there][both], CELL * math.hypot(dx, dy)))
    i, j = (np.concatenate([edge[k] for edge in edges]) for k in (0, 1))
    weights = np.concatenate([np.full(len(edge[0]), edge[2]) for edge in edges])
    graph = coo_matrix((weights, (i, j)), shape=(free.size, free.size)).tocsr()
    points = shapely.points(at.reshape(-1, 2))
    ends = [
        free.ravel() & np.any([shapely.dwithin(points, spot, CELL) for spot in spots], axis=0)
        for spots in (starts, goals)
    ]
    if not all(end.any() for end in ends):
        return math.inf
    found = dijkstra(graph, directed=False, indices=np.flatnonzero(ends[0]), min_only=True)
    return float(found[ends[1]].min())


def bounds_of(space, start, goal):
    """The least and greatest length that the grid allows for a walk.

    A step of three cells between free cells comes at most 9 mm nearer to a corner of the walker's
    radius; a path keeps within three quarters of a cell of free cells of a wider region.
    """
    starts = [*space.standing(start).values()]
    goals = [*space.standing(goal).values()]
    if not starts or not goals:
        return math.inf, math.inf
    tight = grid_length(space.with_radius(0.26).region, starts, goals)
    loose = grid_length(space.with_radius(0.25 - 0.75 * CELL).region, starts, goals)
    return (loose - 3 * CELL) / DETOUR, tight + 2 * CELL


def check_against_grid(space, start, goal, way):
    least, most = bounds_of(space, start, goal)
    length = way.length if isinstance(way, Walk) else math.inf
    assert least <= length <= most, (start, goal, least, length, most)


def random_room(seed, *, count=14, side=8.0):
    rng = np.random.default_rng(seed)
    scene = SceneBuilder().room([(0, 0), (side, 0), (side, side), (0, side)])
    for _ in range(count):
        x, y = rng.uniform(0.5, side - 0.5, 2).tolist()
        width, depth = rng.uniform(0.3, 1.6, 2).tolist()
        scene.add("box", at=(x, y, 0.5), size=(width, depth, 1), yaw=float(rng.uniform(0, 90)))
    return scene.build()


@pytest.mark.parametrize("seed", range(ROOMS))
def test_lengths_in_random_rooms_are_those_of_a_fine_grid(seed):
    finder = route_finder(random_room(seed), Walker())
    pairs = [(0, 1), (2, 3), ((0.3, 0.3), (7.7, 7.7))]

    for (start, goal), way in zip(pairs, finder.walks(pairs), strict=True):
        check_against_grid(finder.space, start, goal, way)


def test_lengths_in_the_benchmarks_scenes_are_those_of_a_fine_grid(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    names = CognitiveMap.scenes(path)
    checked = blocked = 0
    for name in names[:: max(1, len(names) // ROOMS)]:
        finder = route_finder(CognitiveMap.load(path, scene=name), Walker())
        count = len(finder.space.scene)
        pairs = [(0, count - 1), (count // 2, count - 1)]
        for (start, goal), way in zip(pairs, finder.walks(pairs), strict=True):
            check_against_grid(finder.space, start, goal, way)
            checked += 1
            blocked += isinstance(way, Blocked)
    assert checked >= 2 * min(ROOMS, len(names))
    assert blocked < checked / 2


def test_grid_search_sees_a_wrong_length():
    finder = route_finder(random_room(0), Walker())
    way = finder.walk((0.3, 0.3), (7.7, 7.7))

    for factor in (0.95, 1.05):
        wrong = Walk(
            start=way.start, goal=way.goal, points=way.points, length=way.length * factor,
            clearance=way.clearance,
        )  # fmt: skip
        with pytest.raises(AssertionError):
            check_against_grid(finder.space, way.start, way.goal, wrong)


# -- by hand -----------------------------------------------------------------------------------


def parlour():
    """A sofa in the west, a tv in the east, a table right between them."""
    return (
        SceneBuilder()
        .room(ROOM)
        .add("sofa", at=(0.5, 2, 0.4), size=(1, 1, 0.8))
        .add("tv", at=(5.5, 2, 0.4), size=(1, 1, 0.8))
        .add("table", at=(3, 2, 0.4), size=(1, 1.2, 0.8))
    )


def test_way_round_a_table_bends_at_its_corners():
    way = shortest_walk(parlour().build(), (1.5, 2.0), (4.5, 2.0), walker=Walker(radius=0.25))
    # Tangents from (1.5, 2) to the circle of radius 0.25 round (2.5, 2.6), an arc, and along the
    # top; the same on the other side.
    reach, angle = math.hypot(1, 0.6), math.atan2(0.6, 1)
    rise = angle + math.asin(0.25 / reach)
    expected = 2 * (math.sqrt(reach**2 - 0.25**2) + 0.25 * rise) + 1

    assert way.length == pytest.approx(expected, rel=1e-3)
    assert way.length <= expected + 1e-9
    assert way.points[0].tolist() == [1.5, 2.0]
    assert way.points[-1].tolist() == [4.5, 2.0]
    assert way.clearance == pytest.approx(0.25, abs=0.006)


def test_way_in_the_open_is_straight():
    way = shortest_walk(parlour().build(), (1.0, 3.5), (5.0, 3.5))

    assert way.points.tolist() == [[1.0, 3.5], [5.0, 3.5]]
    assert way.length == pytest.approx(4)
    assert way.clearance == pytest.approx(0.5)


def test_way_between_things_starts_and_ends_at_their_rims():
    scene = parlour().build()
    way = shortest_walk(scene, 0, 2)

    # From the sofa's rim to the table's, less what both may be away from it.
    assert way.length == pytest.approx(1.5 - 2 * 0.3, abs=4e-3)
    assert way.points[0][0] == pytest.approx(1.3, abs=2e-3)


def post_at_a_wall():
    """Where one stands at the post is a C round it, whose lower arm the wall hides."""
    scene = SceneBuilder().room([(0, 0), (4, 0), (4, 4), (0, 4)])
    scene.add("post", at=(1, 2, 0.5), size=(0.3, 0.8, 1))
    scene.add("wall", at=(1.7, 2, 0.5), size=(1.4, 0.1, 1), yaw=-25)
    return scene.build()


@pytest.mark.parametrize("start", [(2.5, 2.0), (2.6, 1.9)], ids=["straight", "bent"])
def test_way_ends_at_the_nearest_place_that_it_reaches(start):
    finder = route_finder(post_at_a_wall(), Walker())
    check_against_grid(finder.space, start, 0, finder.walk(start, 0))


def test_thing_that_is_walked_over_does_not_bend_the_way():
    rug = parlour().add("rug", at=(3, 3.4, 0.01), size=(4, 1, 0.02))

    assert shortest_walk(rug.build(), (1.0, 3.5), (5.0, 3.5)).length == pytest.approx(4)


def test_way_round_a_corner_of_the_room():
    corner = SceneBuilder().room([(0, 0), (6, 0), (6, 2), (2, 2), (2, 6), (0, 6)])
    way = shortest_walk(corner.build(), (1.7, 5.0), (5.0, 1.7))
    # Two tangents to the circle of radius 0.25 round the corner (2, 2), and the arc between them.
    reach = math.hypot(0.3, 3)
    turn = math.atan2(-0.3, 3) - math.atan2(3, -0.3) + 2 * math.pi
    arc = turn - 2 * math.acos(0.25 / reach)

    length = 2 * math.sqrt(reach**2 - 0.25**2) + 0.25 * arc
    assert length * (1 - 1e-3) <= way.length <= length


def test_same_place_is_no_way_at_all():
    way = shortest_walk(parlour().build(), 0, 0)

    assert way.length == 0
    assert way.points.shape == (2, 2)


def test_points_outside_or_inside_things_are_reached_at_their_rims():
    way = shortest_walk(parlour().build(), (-0.2, 3.0), (3.0, 2.0))

    assert isinstance(way, Walk)
    assert way.points[0][0] == pytest.approx(0.3, abs=1e-2)
    assert math.dist(way.points[-1], (3, 2)) == pytest.approx(0.8, abs=1e-2)


# -- no way ------------------------------------------------------------------------------------


def test_no_way_says_how_wide_the_ways_are_and_what_shuts_them():
    scene = parlour().add("crate", at=(3, 0.5, 0.5), size=(1, 1, 1))
    scene.add("crate", at=(3, 3.55, 0.5), size=(1, 0.9, 1))
    way = shortest_walk(scene.build(), 0, 1)

    assert isinstance(way, Blocked)
    assert way.width == pytest.approx(0.5, abs=0.011)
    assert shortest_walk(scene.build(), 0, 1, walker=Walker(radius=0.24)).length > 3.4


@pytest.mark.parametrize(("start", "goal"), [(0, 1), ((1.5, 2.0), (4.5, 2.0))])
def test_walker_larger_than_the_room_has_no_way(start, goal):
    way = shortest_walk(parlour().build(), start, goal, walker=Walker(radius=3))

    assert isinstance(way, Blocked)
    assert way.width > 1
    assert way.blockers == ()


def test_empty_map_and_one_object():
    nothing, one = SceneBuilder().build(), SceneBuilder().add("cup", at=(0, 0, 0.5)).build()

    assert isinstance(shortest_walk(nothing, (0.0, 0.0), (1.0, 0.0)), Blocked)
    assert shortest_walk(one, 0, 0).length == 0
    assert shortest_walk(one, 0, (0.0, 1.0)).length < 1
    with pytest.raises(InputError, match="expected an object from 0 to 0, got 1"):
        shortest_walk(one, 0, 1)


def test_objects_on_one_spot_share_where_one_stands():
    scene = SceneBuilder().add("vase", at=(0, 0, 0.5)).add("rose", at=(0, 0, 0.5)).build()

    assert shortest_walk(scene, 0, 1).length == 0


def test_maze_of_too_many_corners_is_refused(monkeypatch):
    monkeypatch.setattr("groundplane.spatial.routes.finding._MOST_CORNERS", 10)

    with pytest.raises(InputError, match=r"has 72 corners.*at most 10"):
        RouteFinder(free_space(parlour().build(), Walker())).walk((1.5, 2.0), (4.5, 2.0))


# -- properties --------------------------------------------------------------------------------

SPOTS = st.tuples(st.floats(0.3, 7.7), st.floats(0.3, 7.7))
CROWDED = random_room(3, count=9)


@settings(max_examples=60, deadline=None)
@given(SPOTS, SPOTS)
def test_way_back_is_as_long(start, goal):
    there, back = shortest_walk(CROWDED, start, goal), shortest_walk(CROWDED, goal, start)

    assert type(there) is type(back)
    if isinstance(there, Walk):
        assert there.length == pytest.approx(back.length, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SPOTS, SPOTS, SPOTS)
def test_no_way_is_longer_than_one_by_a_third_place(start, middle, goal):
    space = free_space(CROWDED, Walker())
    if not all(space.region.intersects(shapely.Point(p)) for p in (start, middle, goal)):
        return
    legs = [shortest_walk(CROWDED, *pair) for pair in ((start, middle), (middle, goal))]
    way = shortest_walk(CROWDED, start, goal)

    if all(isinstance(leg, Walk) for leg in legs):
        assert way.length <= sum(leg.length for leg in legs) + 1e-6
        assert way.length >= math.dist(start, goal) - 1e-9


@settings(max_examples=60, deadline=None)
@given(SPOTS, SPOTS)
def test_way_keeps_off_what_blocks_and_is_as_long_as_its_line(start, goal):
    way = shortest_walk(CROWDED, start, goal)
    if isinstance(way, Walk):
        space = free_space(CROWDED, Walker())
        assert way.clearance >= 0.25 - space.error - 1e-5
        assert way.length == pytest.approx(shapely.LineString(way.points).length)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 2 * math.pi), st.floats(-50, 50), st.floats(-50, 50))
def test_lengths_do_not_change_when_the_scene_is_turned_and_moved(turn, dx, dy):
    cos, sin = math.cos(turn), math.sin(turn)

    def moved(x, y):
        return cos * x - sin * y + dx, sin * x + cos * y + dy

    scene = SceneBuilder().room([moved(x, y) for x, y in ROOM])
    for label, x, size in (("sofa", 0.5, (1, 1, 0.8)), ("tv", 5.5, (1, 1, 0.8)),
                           ("table", 3, (1, 1.2, 0.8))):  # fmt: skip
        scene.add(label, at=(*moved(x, 2), 0.4), size=size, yaw=math.degrees(turn))
    still = shortest_walk(parlour().build(), 0, 1)

    # Chords of an arc may begin elsewhere.
    assert shortest_walk(scene.build(), 0, 1).length == pytest.approx(still.length, abs=3e-3)


def test_taking_a_thing_away_makes_no_way_longer():
    space = free_space(CROWDED, Walker())
    emptier = RouteFinder(space.without(space.blocking[:4]))
    pairs = [(a, b) for a in range(4, 9) for b in range(4, a)]

    assert any(isinstance(way, Walk) for way in RouteFinder(space).walks(pairs))
    for less, more in zip(emptier.walks(pairs), RouteFinder(space).walks(pairs), strict=True):
        if isinstance(more, Walk):
            assert less.length <= more.length + 1e-6


def test_many_ways_at_once_are_those_one_by_one():
    finder = RouteFinder(free_space(CROWDED, Walker()))
    pairs = [(a, b) for a in range(6) for b in range(6)]
    alone = [RouteFinder(free_space(CROWDED, Walker())).walk(a, b) for a, b in pairs]

    assert [type(way) for way in finder.walks(pairs)] == [type(way) for way in alone]
    for together, single in zip(finder.walks(pairs), alone, strict=True):
        if isinstance(single, Walk):
            assert together.length == pytest.approx(single.length, abs=1e-12)


def test_threads_may_share_a_finder():
    finder = RouteFinder(free_space(CROWDED, Walker()))
    plain = [RouteFinder(free_space(CROWDED, Walker())).walk(a, 8).length for a in range(6)]
    found = {}

    def work(a):
        found[a] = finder.walk(a, 8).length

    threads = [threading.Thread(target=work, args=(a,)) for a in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[a] for a in range(6)] == pytest.approx(plain)

"""Where a walker can stand and go: what blocks, how wide passages are, who shuts them."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.routes.free_space import FreeSpace, Walker, free_space
from groundplane.testing.scenes import SceneBuilder

ROOM = [(0, 0), (6, 0), (6, 4), (0, 4)]


def hall():
    return SceneBuilder().room(ROOM)


def ground(scene, **walker):
    return free_space(scene.build(), Walker(**walker))


def two_rooms(gap):
    """A room parted by two cupboards with a gap between them."""
    return (
        hall()
        .add("cupboard", at=(3, (2 - gap / 2) / 2, 1), size=(0.4, 2 - gap / 2, 2))
        .add("cupboard", at=(3, 4 - (2 - gap / 2) / 2, 1), size=(0.4, 2 - gap / 2, 2))
        .add("sofa", at=(1, 2, 0.4), size=(1, 1, 0.8))
        .add("tv", at=(5, 2, 0.4), size=(1, 1, 0.8))
    )


# -- what blocks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "bottom", "height", "blocks"),
    [
        ("table", 0, 0.7, True),
        ("rug", 0, 0.05, False),
        ("step", 0, 0.06, True),
        ("lamp", 2.0, 0.5, False),
        ("shelf", 1.9, 0.5, True),
        ("door", 0, 2, False),
        ("glass door", 0, 2, False),
        ("door frame", 0, 2, False),
        ("doormat rack", 0, 2, True),
    ],
)
def test_only_what_stands_in_the_way_of_a_walker_blocks(label, bottom, height, blocks):
    scene = hall().add(label, at=(3, 2, bottom + height / 2), size=(1, 1, height))

    assert ground(scene.add("mat", at=(1, 1, 0.01), size=(1, 1, 0.02))).blocking == (
        (0,) if blocks else ()
    )


def test_heights_count_from_the_floor_that_the_map_states():
    cellar = SceneBuilder(floor=-3).room(ROOM).add("pipe", at=(3, 2, -0.9), size=(1, 1, 0.1))

    assert ground(cellar).blocking == ()


def test_region_is_the_room_shrunk_less_what_blocks_grown():
    space = ground(hall().add("table", at=(3, 2, 0.4), size=(1, 1, 0.8)))
    grown = 1 + 4 * 0.25 + math.pi * 0.25**2

    assert space.region.area == pytest.approx(5.5 * 3.5 - grown, abs=4 * 0.25 * space.error)
    assert space.region.area >= 5.5 * 3.5 - grown


@given(st.floats(0.05, 1.0))
def test_walker_comes_no_nearer_than_its_radius_less_the_stated_error(radius):
    space = ground(hall().add("table", at=(3, 2, 0.4), size=(1, 1, 0.8), yaw=30), radius=radius)
    solid = shapely.union_all([space.footprints[0], space.outline.boundary])

    assert space.error <= 0.021 * radius
    assert radius - space.error - 1e-9 <= space.region.distance(solid) <= radius + 1e-9


def test_unknown_outline_is_the_hull_of_the_objects_with_a_margin():
    space = ground(SceneBuilder().add("bed", at=(0, 0, 0.5), size=(2, 1, 1)))

    assert not space.stated
    assert space.outline.bounds == pytest.approx((-2, -1.5, 2, 1.5))
    assert len(space.pieces) == 1


def test_map_without_metres_is_refused():
    with pytest.raises(InputError, match=r"has no scale.*0.5 m wide.*give a map in metres"):
        ground(SceneBuilder(scale="relative").add("bed", at=(0, 0, 0.5)))


@pytest.mark.parametrize("bad", [-1.0, 0.0, math.nan, math.inf, 0.009])
def test_walker_without_a_width_is_refused(bad):
    with pytest.raises(InputError, match="walker: radius must be a finite length"):
        Walker(radius=bad)


def test_map_with_nothing_in_it():
    assert len(ground(SceneBuilder()).pieces) == 0
    assert ground(SceneBuilder()).standing((0.0, 0.0)) == {}
    assert ground(SceneBuilder()).narrowest_passage((0.0, 0.0), (1.0, 0.0)) == 0
    assert len(ground(SceneBuilder().room(ROOM)).pieces) == 1


def test_flat_boxes_block_as_lines():
    board = hall().add("board", at=(3, 2, 1), size=(1e-12, 2, 2))

    assert ground(board).region.area < ground(hall()).region.area - 1


# -- standing ----------------------------------------------------------------------------------


def test_one_stands_round_a_thing_as_near_as_one_can():
    space = ground(two_rooms(1.0))
    (piece,) = space.pieces
    spot = space.standing(2)[0]

    assert spot.distance(space.footprints[2]) == pytest.approx(0.25, abs=2e-3)
    assert shapely.hausdorff_distance(spot, space.footprints[2]) < 0.25 + 0.05 + 0.5
    assert piece.covers(spot.buffer(-1e-6))


def test_free_point_is_stood_at_itself_and_another_beside_it():
    space = ground(two_rooms(1.0))

    assert space.standing((2.0, 3.0)) == {0: shapely.Point(2, 3)}
    assert space.standing((1.0, 2.0))[0].distance(shapely.Point(1, 2)) == pytest.approx(0.75)


def test_free_point_is_not_reached_from_beyond_a_wall():
    space = ground(two_rooms(0.3).add("wall", at=(3, 2, 1), size=(0.1, 4, 2)))

    assert space.standing((2.5, 2.0)).keys() != space.standing((3.5, 2.0)).keys()
    assert not space.connects((2.5, 2.0), (3.5, 2.0))
    # A thing in the wall is reached from both sides.
    assert len(space.standing(4)) == 2


@pytest.mark.parametrize(("height", "sides"), [(0.9, 2), (2.0, 1)])
def test_one_reaches_over_a_counter_and_not_through_a_wall(height, sides):
    parted = hall().add("counter", at=(3, 2, height / 2), size=(0.1, 4, height))
    space = ground(parted.add("sofa", at=(3.4, 2, 0.4), size=(0.6, 2, 0.8)))

    assert len(space.pieces) == 2
    assert len(space.standing(1)) == sides
    assert space.connects(1, (5.0, 2.0))
    assert space.connects(1, (1.0, 2.0)) == (sides == 2)


def test_one_does_not_reach_round_the_corner_of_a_room():
    horseshoe = SceneBuilder().room(
        [(0, 0), (4, 0), (4, 4), (2.1, 4), (2.1, 0.3), (1.9, 0.3), (1.9, 4), (0, 4)]
    )
    space = ground(horseshoe.add("lamp", at=(2.3, 3, 0.5), size=(0.2, 0.2, 1)))

    assert len(space.pieces) == 2
    assert len(space.standing(0)) == 1
    assert not space.connects(0, (1.0, 3.0))


def test_thing_deep_on_a_table_is_reached_from_the_rim():
    table = hall().add("table", at=(3, 2, 0.4), size=(3, 2.4, 0.8))
    space = ground(table.add("cup", at=(3, 2, 0.85), size=(0.1, 0.1, 0.1)))
    (spot,) = space.standing(1).values()

    assert spot.distance(space.footprints[1]) == pytest.approx(1.4, abs=0.01)


def test_nobody_stands_at_a_thing_that_is_walled_in():
    closet = hall()
    for x, y, size in ((2, 2, (0.2, 3, 2)), (5, 2, (0.2, 3, 2)), (3.5, 0.6, (3, 0.2, 2)),
                       (3.5, 3.4, (3, 0.2, 2))):  # fmt: skip
        closet.add("wall", at=(x, y, 1), size=size)
    space = ground(closet.add("safe", at=(3.5, 2, 0.2), size=(0.2, 0.2, 0.4)))

    assert len(space.pieces) == 3
    assert not space.connects(4, (0.5, 0.5))
    assert space.connects(4, (3.0, 2.5))


@pytest.mark.parametrize("place", [-1, 4, (math.nan, 0.0), (0.0, math.inf)])
def test_place_that_is_none_is_refused(place):
    with pytest.raises(InputError, match="place: expected"):
        ground(two_rooms(1.0)).standing(place)


# -- passages ----------------------------------------------------------------------------------


@given(st.floats(0.05, 1.5))
def test_narrowest_passage_is_the_gap_to_half_a_centimetre(gap):
    assert ground(two_rooms(gap)).narrowest_passage(2, 3) == pytest.approx(gap, abs=0.011)


def test_narrowest_passage_does_not_turn_on_who_asks():
    scene = two_rooms(0.6).build()

    assert free_space(scene, Walker(radius=0.1)).narrowest_passage(2, 3) == pytest.approx(
        free_space(scene, Walker(radius=0.5)).narrowest_passage(3, 2)
    )


def test_gap_that_is_too_narrow_parts_the_places():
    wide, narrow = ground(two_rooms(0.52)), ground(two_rooms(0.48))

    assert wide.connects(2, 3)
    assert not narrow.connects(2, 3)
    assert narrow.with_radius(0.2).connects(2, 3)


def test_blockers_are_the_fewest_objects_without_which_there_is_a_way():
    space = ground(two_rooms(0.4))

    (blocker,) = space.blockers(2, 3)
    assert blocker in (0, 1)
    assert space.without((blocker,)).connects(2, 3)
    assert not space.connects(2, 3)


def test_small_things_are_named_before_large_ones():
    scene = two_rooms(1.0).add("stool", at=(3, 2, 0.3), size=(0.4, 0.3, 0.6))

    assert ground(scene).blockers(2, 3) == (4,)


def test_row_of_things_is_named_together():
    scene = hall()
    for x in (2.0, 2.5):
        scene.add("wall", at=(x, 2, 1), size=(0.2, 4, 2))

    assert set(ground(scene).blockers((0.5, 2.0), (5.0, 2.0))) == {0, 1}


def test_nothing_is_named_where_there_is_a_way_or_walls_shut_it():
    pinched = [(0, 0), (3, 0), (3, 1.8), (3.2, 1.8), (3.2, 0), (6, 0), (6, 4), (3.2, 4),
               (3.2, 2.2), (3, 2.2), (3, 4), (0, 4)]  # fmt: skip
    walls = SceneBuilder().room(pinched).add("cup", at=(1, 1, 0.1), size=(0.1, 0.1, 0.2))

    assert ground(two_rooms(1.0)).blockers(2, 3) == ()
    assert ground(walls).blockers((1.0, 2.0), (5.0, 2.0)) == ()
    assert ground(walls).narrowest_passage((1.0, 2.0), (5.0, 2.0)) == pytest.approx(0.4, abs=0.01)


def test_walker_larger_than_the_room_stands_nowhere():
    space = ground(two_rooms(1.0), radius=2.5)

    assert len(space.pieces) == 0
    assert not space.connects(2, 3)
    assert space.blockers(2, 3) == ()


def test_free_space_is_made_once_for_a_map_and_walker():
    scene = two_rooms(1.0).build()

    assert free_space(scene, Walker()) is free_space(scene, Walker())
    assert free_space(scene, Walker()) is not free_space(scene, Walker(radius=0.3))


# -- scenes of the benchmark -------------------------------------------------------------------


def test_pieces_of_the_benchmarks_scenes_are_disjoint_and_clear_of_what_blocks(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    for name in CognitiveMap.scenes(path)[:20]:
        space: FreeSpace = free_space(CognitiveMap.load(path, scene=name), Walker())
        solid = shapely.union_all(space.footprints[list(space.blocking)])
        overlap = shapely.area(shapely.intersection(space.pieces, solid))

        assert np.all(overlap == 0)
        assert space.region.distance(solid) >= 0.25 - space.error - 1e-9

"""Walks told as steps: turns, stretches, landmarks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.spatial.routes.finding import RouteFinder
from groundplane.spatial.routes.free_space import Walker, free_space
from groundplane.spatial.routes.guidance import (
    directions_of,
    heading_words,
    passed_by,
    told,
    turn_word,
)
from groundplane.testing.scenes import SceneBuilder


def corridor():
    """An L of a room: south to north in the west, then east; a lamp stands at the bend."""
    return (
        SceneBuilder()
        .room([(0, 0), (2, 0), (2, 6), (8, 6), (8, 8), (0, 8)])
        .add("door", at=(1, 0.05, 1), size=(0.9, 0.1, 2))
        .add("lamp", at=(1.2, 7.4, 0.8), size=(0.3, 0.3, 1.6))
        .add("sofa", at=(7.5, 7, 0.4), size=(1, 1.8, 0.8))
        .add("picture", at=(0.1, 3, 1.6), size=(0.1, 0.8, 0.5))
        .add("ceiling light", at=(2.4, 6.4, 2.5), size=(0.4, 0.4, 0.2))
    )


def walked(scene, start, goal):
    space = free_space(scene.build(), Walker())
    return space, RouteFinder(space).walk(start, goal)


def steps(scene, start, goal):
    space, walk = walked(scene, start, goal)
    return told(space, walk, directions_of(space, walk))


@given(st.floats(0, 360, exclude_max=True))
def test_turn_back_begins_at_135_degrees(degrees):
    expected = "back" if 135 <= degrees <= 225 else "left" if degrees < 180 else "right"

    assert turn_word(degrees) == expected


def test_bend_to_the_right_is_told_with_what_stands_there():
    there = steps(corridor(), 0, 2)

    assert there[0].startswith("start at the door")
    assert there[1].endswith("until the lamp")
    assert there[2] == "turn right"
    assert there[3].endswith("until the sofa")
    assert len(there) == 4


def test_way_back_turns_the_other_way():
    back = steps(corridor(), 2, 0)

    assert back[0].startswith("start at the sofa")
    assert back[2] == "turn left"
    assert back[-1].endswith("until the door")


def test_wrong_bend_is_told_otherwise():
    mirrored = SceneBuilder().room([(0, 0), (-2, 0), (-2, 6), (-8, 6), (-8, 8), (0, 8)])
    for label, (x, y, z), size in (
        ("door", (-1, 0.05, 1), (0.9, 0.1, 2)), ("lamp", (-1.2, 7.4, 0.8), (0.3, 0.3, 1.6)),
        ("sofa", (-7.5, 7, 0.4), (1, 1.8, 0.8)),
    ):  # fmt: skip
        mirrored.add(label, at=(x, y, z), size=size)

    assert steps(mirrored, 0, 2)[2] == "turn left"


def test_stretches_add_up_to_the_length():
    space, walk = walked(corridor(), 0, 2)
    legs = directions_of(space, walk).legs

    assert sum(leg.length for leg in legs) == pytest.approx(walk.length)
    assert [leg.turn for leg in legs] == [None, "right"]
    assert [leg.until for leg in legs] == [1, 2]


def test_no_walk_has_no_steps():
    space, walk = walked(corridor(), 0, 0)
    directions = directions_of(space, walk)

    assert (directions.heading, directions.facing, directions.legs) == (None, None, ())
    assert told(space, walk, directions) == (
        "start at the door and stay: the door is within reach",
    )


def test_what_hangs_overhead_is_no_landmark():
    names = " ".join(steps(corridor(), 0, 2))

    assert "ceiling light" not in names
    assert "ceiling light" in corridor().build().ids


def test_where_nothing_is_ahead_the_heading_is_told_in_degrees():
    bare = SceneBuilder().room([(0, 0), (6, 0), (6, 4), (0, 4)])
    scene = bare.add("cup", at=(0.1, 3.9, 1), size=(0.1, 0.1, 0.1))

    assert steps(scene, (1.0, 1.0), (5.0, 1.0)) == (
        "start at (1, 1) heading 0 degrees counter-clockwise from the x axis",
        "go forward 4.00 m",
    )


@pytest.mark.parametrize(("heading", "degrees"), [(-0.001, 0), (3.2, 183), (-1.0, 303)])
def test_headings_are_whole_degrees_below_a_full_turn(heading, degrees):
    assert heading_words(heading).split()[1] == str(degrees)


def test_map_without_objects_has_no_landmarks():
    hall = SceneBuilder().room([(0, 0), (6, 0), (6, 4), (0, 4)])

    assert steps(hall, (1.0, 1.0), (1.0, 3.0))[0].endswith("heading 90 degrees counter-clockwise "
                                                           "from the x axis")  # fmt: skip


def test_sharp_bend_is_a_turn_back_round_what_stands_there():
    fence = (
        SceneBuilder()
        .room([(0, 0), (8, 0), (8, 4), (0, 4)])
        .add("fence", at=(3, 2, 0.5), size=(6, 0.1, 1))
        .add("hut", at=(0.4, 0.6, 0.5), size=(0.4, 0.4, 1))
        .add("well", at=(0.4, 3.4, 0.5), size=(0.4, 0.4, 1))
    )

    assert [step for step in steps(fence, 1, 2) if step.startswith("turn")] == [
        "turn back round the fence"
    ]


def test_small_bends_to_and_fro_are_no_turns():
    post = SceneBuilder().room([(0, 0), (8, 0), (8, 4), (0, 4)])
    post.add("post", at=(4, 1.9, 0.5), size=(0.3, 0.3, 1)).add("tv", at=(7.9, 2, 1))
    space, walk = walked(post, (0.5, 2.0), 1)

    assert len(walk.points) > 2
    assert [leg.turn for leg in directions_of(space, walk).legs] == [None]


def test_things_beside_the_way_are_passed_in_order():
    street = SceneBuilder().room([(0, 0), (12, 0), (12, 4), (0, 4)])
    for name, x, y in (("tree", 9, 1.2), ("bin", 3, 1.2), ("bench", 6, 2.8), ("shed", 6, 0.2)):
        street.add(name, at=(x, y, 0.5), size=(0.4, 0.4, 1))
    space, walk = walked(street, (0.5, 2.0), (11.5, 2.0))

    assert passed_by(space, walk) == (1, 2, 0)


@given(st.floats(0, 2 * math.pi))
def test_turns_do_not_change_when_the_scene_is_turned(turn):
    def moved(x, y):
        return (math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y)

    outline = [(0, 0), (2, 0), (2, 6), (8, 6), (8, 8), (0, 8)]
    scene = SceneBuilder().room([moved(x, y) for x, y in outline])
    scene.add("sofa", at=(*moved(7.5, 7), 0.4), size=(1, 1.8, 0.8), yaw=float(np.rad2deg(turn)))
    space, walk = walked(scene, moved(1.0, 0.5), 0)

    assert [leg.turn for leg in directions_of(space, walk).legs] == [None, "right"]

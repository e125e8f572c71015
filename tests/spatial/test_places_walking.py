"""Attributes, places and walks, on scenes whose answers are worked out by hand."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from groundplane.core.answer import Status
from groundplane.core.expressions import Extreme, Relate, Select, Unique
from groundplane.core.queries import Attribute, Order, Route
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def the(name):
    return Unique(Select(name))


def ask(scene, query):
    return Solver(MapScene(scene.build())).solve(query)


def place(scene, source):
    return ask(scene, Attribute(source=source, name="place"))


# -- attributes --------------------------------------------------------------------------------


def wardrobe():
    return (
        SceneBuilder()
        .add("coat", at=(0, 0, 1), attributes={"color": "red"})
        .add("coat", at=(1, 0, 1), attributes={"color": "blue"})
        .add("hat", at=(2, 0, 1), attributes={"color": "grey", "material": "felt"})
        .add("shoe", at=(3, 0, 1), attributes={"color": "black"})
        .add("shoe", at=(4, 0, 1), attributes={"color": "black"})
        .add("bag", at=(5, 0, 1))
    )


def color(source):
    return ask(wardrobe(), Attribute(source=source, name="color"))


def test_stated_attribute_with_its_object():
    answer = color(the("hat"))

    assert (answer.value, answer.status) == ("grey", Status.ANSWERED)
    assert answer.evidence == ("hat",)
    assert ask(wardrobe(), Attribute(source=the("hat"), name="material")).value == "felt"


def test_label_is_an_attribute():
    query = Attribute(source=Unique(Relate(source=Select("bag"), relation="near",
                                           anchor=the("shoe-2"))), name="label")  # fmt: skip

    assert ask(wardrobe(), query).value == "bag"


def test_attribute_that_is_not_stated_is_refused():
    answer = color(the("bag"))

    assert answer.status is Status.CANNOT_DETECT
    assert answer.value is None
    assert "does not state it" in answer.note


def test_attribute_of_one_of_several():
    differ, same = color(the("coat")), color(the("shoe"))

    assert differ.status is Status.AMBIGUOUS
    assert "coat-1: red, coat-2: blue" in differ.note
    assert (same.value, same.status) == ("black", Status.ANSWERED)
    assert "shoe-1, shoe-2; the same for each" in same.note


def test_attribute_of_all_of_them_is_listed():
    answer = color(Select("coats"))

    assert answer.value == ("coat-1: red", "coat-2: blue")
    assert answer.status is Status.ANSWERED


def test_attribute_of_an_unknown_object():
    assert color(the("scarf")).status is Status.UNKNOWN_OBJECT


# -- places ------------------------------------------------------------------------------------


def kitchen():
    return (
        SceneBuilder()
        .add("fridge", at=(0, 0, 0.9), size=(0.8, 0.8, 1.8))
        .add("milk", at=(0, 0, 1), size=(0.1, 0.1, 0.2))
        .add("table", at=(4, 0, 0.35), size=(1.6, 0.8, 0.7))
        .add("cup", at=(4, 0, 0.75), size=(0.1, 0.1, 0.1))
        .add("stool", at=(4, 0, 0.1), size=(0.3, 0.3, 0.2))
        .add("broom", at=(6, 0, 0.5), size=(0.2, 0.2, 1.0))
    )


@pytest.mark.parametrize(
    ("name", "words", "by"),
    [
        ("milk", "in the fridge", "fridge"),
        ("cup", "on the table", "table"),
        ("broom", "1.10 m from the table", "table"),
    ],
)
def test_place_is_what_it_is_on_or_in_or_else_nearest(name, words, by):
    answer = place(kitchen(), the(name))

    assert answer.value == words
    assert answer.evidence == (name, by)
    assert answer.frame.kind == "world"


def test_place_does_not_depend_on_the_order_of_the_objects():
    near = {"at": (0.1, 0, 0.25), "size": (1, 1, 0.5)}
    wide = {"at": (1.4, 0, 0.25), "size": (3, 3, 0.5)}
    for first, second in ((near, wide), (wide, near)):
        scene = SceneBuilder().add("cup", at=(0, 0, 0.55), size=(0.1, 0.1, 0.1))
        for box in (first, second):
            scene.add("board" if box is near else "deck", **box)
        assert place(scene, the("cup")).value == "on the board"


def test_of_several_that_touch_the_nearest_centre_is_told():
    for labels in (("near", "far"), ("far", "near")):
        scene = SceneBuilder().add("cup", at=(0, 0, 0))
        for label in labels:
            scene.add(f"{label} box", at=(0.3 if label == "near" else -0.4, 0, 0))
        assert place(scene, the("cup")).value == "0.00 m from the near box"


def test_places_of_several_are_told_of_each():
    scene = kitchen().add("cup", at=(7, 3, 0.05), size=(0.1, 0.1, 0.1))

    several = place(scene, Select("cups"))

    assert several.value[0] == "cup-1: on the table"
    assert several.value[1].startswith("cup-2: 2.97 m from the broom")
    assert set(several.evidence) == {"cup-1", "cup-2", "table", "broom"}


def test_place_of_one_of_several_is_asked_back():
    scene = kitchen().add("cup", at=(6, 3, 0.05), size=(0.1, 0.1, 0.1))

    answer = place(scene, the("cup"))

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None
    assert "cup-1, cup-2" in answer.note


def test_too_many_places_are_not_listed():
    scene = SceneBuilder()
    for i in range(21):
        scene.add("cup", at=(i, 0, 0))

    assert place(scene, Select("cups")).status is Status.AMBIGUOUS


def test_only_object_is_near_nothing():
    answer = place(SceneBuilder().add("cup", at=(0, 0, 0)), the("cup"))

    assert answer.status is Status.AMBIGUOUS
    assert "only object" in answer.note


def test_scene_without_scale_tells_its_own_units():
    scene = SceneBuilder(scale="relative").add("cup", at=(0, 0, 0)).add("jug", at=(3, 0, 0))

    assert place(scene, the("cup")).value == "2.50 map units from the jug"


# -- walks -------------------------------------------------------------------------------------


def yard():
    """Landmarks round a crossing at the origin."""
    return (
        SceneBuilder()
        .add("door", at=(0, -5, 0))
        .add("well", at=(0, 0, 0))
        .add("barn", at=(-5, 0, 0))
        .add("tree", at=(5, 0, 0))
        .add("gate", at=(0, 5, 0))
        .add("pump", at=(5, 4, 0))
        .add("hen", at=(1, 5, 0))
        .add("hen", at=(2, 5, 0))
    )


def walk(*stops, turns, start="door", facing="well"):
    query = Route(
        start=the(start), facing=the(facing), stops=tuple(the(s) for s in stops), turns=turns
    )
    return ask(yard(), query)


@pytest.mark.parametrize(
    ("goal", "turn"), [("barn", "turn left"), ("tree", "turn right"), ("door", "turn back")]
)
def test_turn_at_a_crossing(goal, turn):
    answer = walk("well", goal, turns=(None, "?"))

    assert answer.value == (turn,)
    assert answer.status is Status.ANSWERED
    assert set(answer.evidence) == {"door", "well", goal}
    assert answer.frame.kind == "viewpoint"
    assert (answer.frame.origin, answer.frame.facing) == ("door", "well")
    assert any(step.name == "turn" for step in answer.steps)


def test_wrong_walk_has_other_turns():
    assert (
        walk("well", "barn", turns=(None, "?")).value
        != walk("well", "tree", turns=(None, "?")).value
    )


def test_several_turns_in_order_with_some_given():
    answer = walk("well", "tree", "pump", turns=(None, "turn right", "?"))
    both = walk("well", "tree", "pump", turns=(None, "?", "?"))

    assert answer.value == ("turn left",)
    assert both.value == ("turn right", "turn left")


def test_turn_before_the_first_step_counts_from_what_is_faced():
    assert walk("barn", turns=("?",), start="well", facing="gate").value == ("turn left",)
    assert walk("barn", turns=("?",), start="well", facing="tree").value == ("turn back",)


def test_going_to_where_one_is_keeps_the_heading():
    answer = walk("well", "well", "barn", turns=(None, None, "?"))

    assert answer.value == ("turn left",)


@pytest.mark.parametrize(
    ("stops", "start", "facing"),
    [
        (("well", "unicorn"), "door", "well"),
        (("well", "barn"), "unicorn", "well"),
        (("well", "barn"), "door", "unicorn"),
        (("well", "the corner of the barn"), "door", "well"),
    ],
)
def test_landmark_that_is_no_object_needs_the_video(stops, start, facing):
    answer = walk(*stops, turns=(None, "?"), start=start, facing=facing)

    assert answer.status is Status.NEEDS_VIDEO
    assert answer.value is None
    assert "needs the video" in answer.note


def test_each_object_of_a_name_is_tried_and_the_same_turns_for_all_are_told():
    answer = walk("well", "hen", turns=(None, "?"))

    assert answer.value == ("turn right",)
    assert answer.status is Status.ANSWERED
    assert "'hen' may be hen-1, hen-2; each was tried; the same for all 2" in answer.note


def test_what_is_faced_does_not_matter_where_one_walks_on_first():
    assert walk("well", "barn", turns=(None, "?"), facing="hen").value == ("turn left",)


def farm():
    """A crossing with a shed on each side."""
    return (
        SceneBuilder()
        .add("door", at=(0, -5, 0))
        .add("well", at=(0, 0, 0))
        .add("shed", at=(-5, 0, 0))
        .add("shed", at=(5, 0, 0))
    )


def crossing(*options, goal="shed"):
    return ask(
        farm(),
        Route(
            start=the("door"), facing=the("well"), stops=(the("well"), the(goal)),
            turns=(None, "?"), options=options,
        ),
    )  # fmt: skip


def test_turns_that_differ_by_object_need_the_video_unless_one_option_is_left():
    open_, offered = crossing(), crossing(("turn left",), ("turn right",))
    settled = crossing(("turn back",), ("turn right",))

    assert open_.status is offered.status is Status.NEEDS_VIDEO
    assert "turn left or turn right" in open_.note
    assert (settled.value, settled.status) == (("turn right",), Status.ANSWERED)
    assert "shed-2" in settled.evidence
    assert "shed-1" not in settled.evidence
    assert "only this one is among the options" in settled.note


def test_reading_that_cannot_be_walked_is_left_out():
    scene = farm().room([(-8, -8), (8, -8), (8, 8), (-8, 8)])
    scene.add("wall", at=(3, 0, 1), size=(0.2, 16, 2))
    query = Route(
        start=the("door"), facing=the("well"), stops=(the("well"), the("shed")), turns=(None, "?")
    )
    answer = ask(scene, query)

    assert answer.value == ("turn left",)
    assert "1 of 2 readings has no way to walk" in answer.note


def test_room_of_too_many_corners_leaves_all_readings(monkeypatch):
    monkeypatch.setattr("groundplane.spatial.routes.finding._MOST_CORNERS", 3)
    scene = farm().room([(-8, -8), (8, -8), (8, 8), (-8, 8)])
    scene.add("wall", at=(3, 0, 1), size=(0.2, 14, 2))
    query = Route(
        start=the("door"), facing=the("well"), stops=(the("well"), the("shed")),
        turns=(None, "?"), options=(("turn left",), ("turn back",)),
    )  # fmt: skip
    answer = ask(scene, query)

    assert answer.value == ("turn left",)
    assert "whether all of it can be walked is not known" in answer.note


def test_adjective_that_nothing_states_is_tried_on_every_object_of_the_name():
    answer = crossing(("turn left",), ("turn back",), goal="red shed")

    assert answer.value == ("turn left",)
    assert "'red shed' may be shed-1, shed-2; each was tried" in answer.note


def studio(**tv):
    """A tv on the south wall, a lamp to the left of who faces it, and a rack far off."""
    return (
        SceneBuilder()
        .room([(0, 0), (6, 0), (6, 4), (0, 4)])
        .add("tv", at=(3, 0.05, 1), size=(1.2, 0.1, 0.7), **tv)
        .add("lamp", at=(5.5, 1, 0.5))
        .add("rack", at=(3, 3.5, 0.5), size=(2, 0.5, 1))
    )


def facing_itself(scene, name, goal):
    query = Route(start=the(name), facing=the(name), stops=(the(goal),), turns=("?",))
    return ask(scene, query)


def test_who_faces_a_thin_thing_stands_on_its_broad_side_inside_the_room():
    assert facing_itself(studio(), "tv", "lamp").value == ("turn left",)
    assert facing_itself(studio(), "tv", "rack").value == ("turn back",)
    assert facing_itself(studio(front=(0, 1, 0)), "tv", "lamp").value == ("turn left",)


def test_thing_that_may_be_faced_from_more_sides_needs_the_video():
    scene = studio().add("desk", at=(3, 2, 0.5), size=(1, 0.9, 1))

    assert facing_itself(scene, "desk", "lamp").status is Status.NEEDS_VIDEO


def test_too_many_readings_need_the_video():
    scene = farm()
    for i in range(70):
        scene.add("hen", at=(i, 9, 0)).add("duck", at=(i, -9, 0))
    query = Route(
        start=the("hen"), facing=the("well"), stops=(the("well"), the("duck")), turns=(None, "?")
    )

    assert "there are 70 of one name, 70 of one name" in ask(scene, query).note


def test_walk_whose_heading_is_unknown_needs_the_video():
    scene = farm().add("bell", at=(0, 0, 2))
    query = Route(start=the("well"), facing=the("bell"), stops=(the("door"),), turns=("?",))

    assert ask(scene, query).status is Status.NEEDS_VIDEO


@given(st.floats(0, 360, exclude_max=True))
def test_turn_back_begins_at_135_degrees(degrees):
    assume(all(abs(degrees - border) > 1e-3 for border in (0, 135, 225, 360)))
    angle = math.radians(degrees)
    scene = (
        SceneBuilder()
        .add("door", at=(0, -5, 0))
        .add("well", at=(0, 0, 0))
        .add("flag", at=(-3 * math.sin(angle), 3 * math.cos(angle), 0))
    )
    query = Route(
        start=the("door"), facing=the("well"), stops=(the("well"), the("flag")), turns=(None, "?")
    )

    expected = (
        "turn back" if 135 < degrees < 225 else "turn left" if degrees < 180 else "turn right"
    )
    assert ask(scene, query).value == (expected,)


# -- first sight -------------------------------------------------------------------------------


def film(*seen):
    """Things in a row, each with the second in which it is first seen."""
    scene = SceneBuilder()
    for i, (label, seconds) in enumerate(seen):
        scene.add(label, at=(i, 0, 0), **({} if seconds is None else {"first_seen": seconds}))
    return scene


def test_order_of_first_sight():
    scene = film(("chair", 4), ("chair", 2), ("lamp", 9))

    answer = ask(scene, Order((the("lamp"), Select("chairs"))))

    assert answer.value == ("chair", "lamp")
    assert answer.evidence == ("chair-2", "lamp")
    assert "chair 2.0 s, lamp 9.0 s" in answer.measure


def test_order_needs_the_time_of_each():
    some, none = film(("lamp", 9), ("cup", None)), film(("lamp", None), ("cup", None))

    for scene in (some, none):
        answer = ask(scene, Order((the("lamp"), the("cup"))))
        assert answer.status is Status.NEEDS_VIDEO
        assert answer.value is None


def test_order_of_things_seen_together_is_open():
    answer = ask(film(("lamp", 3), ("cup", 3)), Order((the("lamp"), the("cup"))))

    assert answer.status is Status.AMBIGUOUS
    assert "lamp and cup are first seen at the same time" in answer.note


@pytest.mark.parametrize(("last", "value"), [(False, "cup"), (True, "lamp")])
def test_thing_seen_first_or_last(last, value):
    scene = film(("lamp", 9), ("cup", 1), ("tv", 5))

    answer = ask(scene, Extreme(source=Select(), measure="first_seen", largest=last))

    assert answer.value == value
    assert ask(
        film(("lamp", None), ("cup", 1)),
        Extreme(source=Select(), measure="first_seen", largest=last),
    ).status is Status.NEEDS_VIDEO  # fmt: skip

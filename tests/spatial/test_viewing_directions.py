"""Who looks, and where things lie for them: sectors, borders, turns and frames of reference."""

import json
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from groundplane.core.answer import Status
from groundplane.core.expressions import Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Direction
from groundplane.spatial.directions import margin_of, sector_of, tally
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder

SECTORS = ("sides", "sides_and_back", "front_back", "quadrants", "compass")
ANGLES = st.floats(0, 360, exclude_max=True)


def the(name):
    return Unique(Select(name))


def ask(scene, query):
    return Solver(MapScene(scene.build())).solve(query)


def at_bearing(degrees, *, distance=3.0):
    """A person at a bed who faces a tv north of it, and a cup at a bearing; with a lamp aside."""
    turn = math.radians(degrees)
    return (
        SceneBuilder()
        .add("bed", at=(0, 0, 0))
        .add("tv", at=(0, 4, 0))
        .add("cup", at=(-distance * math.sin(turn), distance * math.cos(turn), 1))
    )


FACING = Viewpoint(origin=the("bed"), facing=the("tv"))


def look(degrees, sectors, view=FACING, **details):
    query = Direction(target=the("cup"), viewpoint=view, sectors=sectors, **details)
    return ask(at_bearing(degrees), query)


# -- sectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sectors", "bearing", "name"),
    [
        ("sides", 1, "left"), ("sides", 179, "left"),
        ("sides", 180, "right"), ("sides", 359, "right"),
        ("sides_and_back", 134.9, "left"), ("sides_and_back", 135, "back"),
        ("sides_and_back", 180, "back"), ("sides_and_back", 225, "back"),
        ("sides_and_back", 225.1, "right"),
        ("front_back", 89, "front"), ("front_back", 91, "back"), ("front_back", 271, "front"),
        ("quadrants", 89, "front-left"), ("quadrants", 91, "back-left"),
        ("quadrants", 181, "back-right"), ("quadrants", 271, "front-right"),
        ("compass", 0, "front"), ("compass", 22, "front"), ("compass", 23, "front-left"),
        ("compass", 90, "left"), ("compass", 113, "back-left"), ("compass", 180, "back"),
        ("compass", 203, "back-right"), ("compass", 270, "right"),
        ("compass", 315, "front-right"), ("compass", 338, "front"),
    ],
)  # fmt: skip
def test_sector_of_a_bearing_and_of_a_scene_at_it(sectors, bearing, name):
    assert sector_of(bearing, sectors) == name
    answer = look(bearing, sectors)
    assert answer.value == name
    assert answer.status is Status.ANSWERED
    assert answer.evidence == ("cup", "bed", "tv")


def test_rounding_does_not_cross_a_border():
    assert sector_of(135.0 - 1e-12, "sides_and_back") == "back"
    assert sector_of(225.0 + 1e-12, "sides_and_back") == "back"
    assert sector_of(360.0 - 1e-12, "sides") == sector_of(0.0, "sides")


@given(ANGLES)
def test_mirrored_bearing_has_the_mirrored_name(bearing):
    mirror = {"left": "right", "right": "left"}
    for sectors in ("sides", "sides_and_back", "compass"):
        assume(margin_of(bearing, sectors) > 1e-6)
        name = sector_of(bearing, sectors)
        mirrored = "-".join(mirror.get(word, word) for word in name.split("-"))
        assert sector_of((360 - bearing) % 360, sectors) == mirrored


@given(ANGLES, st.sampled_from(SECTORS))
def test_margin_is_how_far_a_name_holds(bearing, sectors):
    margin = margin_of(bearing, sectors)
    assume(margin > 1e-6)
    name = sector_of(bearing, sectors)

    for turned in (bearing + 0.999 * margin, bearing - 0.999 * margin):
        assert sector_of(turned % 360, sectors) == name
    ends = {sector_of((bearing + side * (margin + 1e-5)) % 360, sectors) for side in (-1, 1)}
    assert ends != {name}


def test_unknown_bearings_do_not_count():
    counts = tally(torch.tensor([[10.0, torch.nan], [190.0, 20.0]]), "sides")

    assert counts == {"left": 2, "right": 1}


def test_close_call_is_noted_near_a_border_only():
    assert "close call: 2.0 degrees" in look(133, "sides_and_back").note
    assert look(120, "sides_and_back").note == ""


# -- standing and looking ------------------------------------------------------------------------


@given(ANGLES, st.floats(0, 2 * math.pi), st.sampled_from(SECTORS))
def test_turn_is_counter_clockwise(bearing, turn, sectors):
    expected = (bearing - math.degrees(turn)) % 360
    assume(margin_of(expected, sectors) > 1e-3)
    view = Viewpoint(origin=the("bed"), facing=the("tv"), turn=turn)

    assert look(bearing, sectors, view).value == sector_of(expected, sectors)


def test_back_to_the_tv_swaps_the_sides_and_is_named():
    back = Viewpoint(origin=the("bed"), facing=the("tv"), turn=math.pi)

    answer = look(60, "sides", back)

    assert answer.value == "right"
    assert answer.frame.text == "standing at the bed, with the back to the tv"
    assert answer.frame.turn == math.pi
    assert look(60, "sides").frame.text == "standing at the bed, facing the tv"


def test_wrong_side_is_not_given():
    assert look(60, "sides").value != look(300, "sides").value


def test_middle_of_the_scene_stands_in_for_an_unnamed_place():
    scene = at_bearing(90).room([(-5, -5), (5, -5), (5, 5), (-5, 5)])
    query = Direction(
        target=the("cup"), viewpoint=Viewpoint(origin=None, facing=the("tv")), sectors="sides"
    )

    answer = ask(scene, query)

    assert answer.value == "left"
    assert answer.frame.origin is None
    assert "middle of the scene" in answer.frame.text


@given(st.floats(-180, 180), st.floats(-9, 9))
def test_middle_of_the_scene_turns_and_moves_with_it(degrees, shift):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def middle(c, s, shift):
        scene = SceneBuilder()
        for x, y in ((0, 0), (10, 0), (0, 10), (1, 1)):
            scene.add("box", at=(c * x - s * y + shift, s * x + c * y, 0), yaw=math.degrees(
                math.atan2(s, c)))  # fmt: skip
        return MapScene(scene.build()).middle().tolist()

    x, y = middle(1, 0, 0)
    assert middle(c, s, shift) == pytest.approx([c * x - s * y + shift, s * x + c * y], abs=1e-9)
    assert x < 5  # the middle of the outline, not of its bounds


@pytest.mark.parametrize(("place", "goal"), [("bed", "bed"), ("cup", "tv")])
def test_one_cannot_face_where_one_stands_nor_look_for_it(place, goal):
    answer = look(90, "compass", Viewpoint(origin=the(place), facing=the(goal)))

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


def test_thing_faced_is_ahead_and_on_neither_side():
    toward = Viewpoint(origin=the("bed"), facing=the("cup"))

    assert look(70, "compass", toward).value == "front"
    assert look(70, "sides", toward).status is Status.AMBIGUOUS
    assert look(70, "sides", toward).value is None


def test_coincident_centres_have_no_direction():
    scene = SceneBuilder().add("bed", at=(0, 0, 0)).add("tv", at=(0, 0, 2)).add("cup", at=(1, 0, 0))

    assert ask(scene, Direction(target=the("cup"), viewpoint=FACING)).status is Status.AMBIGUOUS


def test_several_readings_that_agree_are_answered_and_said():
    scene = at_bearing(80).add("cup", at=(-2, 1, 0))

    answer = ask(scene, Direction(target=the("cup"), viewpoint=FACING, sectors="sides"))

    assert (answer.value, answer.status) == ("left", Status.ANSWERED)
    assert "there are 2 of 'cup' (cup-1, cup-2); the same for each" in answer.note


def test_several_readings_that_differ_are_open_and_listed():
    scene = at_bearing(80).add("cup", at=(2, 1, 0)).add("cup", at=(3, 1, 0))

    answer = ask(scene, Direction(target=the("cup"), viewpoint=FACING, sectors="sides"))

    assert (answer.value, answer.status) == ("right", Status.AMBIGUOUS)
    assert "left in 1 of 3, right in 2 of 3" in answer.note
    assert answer.evidence[0] in ("cup-2", "cup-3")


def test_missing_objects_are_typed():
    for query in (
        Direction(target=the("piano"), viewpoint=FACING),
        Direction(target=the("cup"), viewpoint=Viewpoint(origin=the("piano"), facing=the("tv"))),
        Direction(target=the("cup"), viewpoint=FACING, anchor=the("piano")),
        Direction(target=the("cup"), viewpoint=None, anchor=the("piano")),
    ):
        assert ask(at_bearing(80), query).status is Status.UNKNOWN_OBJECT


# -- beside an anchor ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "word", "side", "depth"),
    [
        ((-2, 0), "left", "left", None),
        ((2, 0), "right", "right", None),
        ((0, 2), "behind", None, "back"),
        ((0, -2), "in front", None, "front"),
        ((-2, 2), "behind-left", "left", "back"),
        ((2, -2), "front-right", "right", "front"),
    ],
)
def test_side_of_an_anchor_for_a_viewer_who_faces_something_else(offset, word, side, depth):
    x, y = offset
    scene = (
        SceneBuilder()
        .add("bed", at=(0, -6, 0))
        .add("tv", at=(0, 6, 0))
        .add("sofa", at=(4, 0, 0))
        .add("cup", at=(4 + x, y, 0))
    )

    def beside(sectors):
        return ask(
            scene,
            Direction(target=the("cup"), viewpoint=FACING, anchor=the("sofa"), sectors=sectors),
        )

    assert beside("compass").value == word
    assert set(beside("compass").evidence) == {"cup", "sofa", "bed", "tv"}
    if side:
        assert beside("sides").value == side
    if depth:
        assert beside("front_back").value == depth


def test_target_at_the_anchors_place_has_no_side():
    scene = (
        SceneBuilder()
        .add("bed", at=(0, -6, 0))
        .add("tv", at=(0, 6, 0))
        .add("sofa", at=(4, 0, 0))
        .add("cup", at=(4, 0, 1))
    )

    answer = ask(scene, Direction(target=the("cup"), viewpoint=FACING, anchor=the("sofa")))

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


def test_several_targets_beside_an_anchor_are_listed():
    scene = (
        SceneBuilder()
        .add("bed", at=(0, -6, 0))
        .add("tv", at=(0, 6, 0))
        .add("sofa", at=(4, 0, 0))
        .add("cup", at=(2, 0, 0))
        .add("cup", at=(7, 0, 0))
    )

    answer = ask(
        scene,
        Direction(target=the("cup"), viewpoint=FACING, anchor=the("sofa"), sectors="sides"),
    )

    assert answer.status is Status.AMBIGUOUS
    assert "cup-1, cup-2" in answer.note


# -- nobody named ------------------------------------------------------------------------------


def parlour(**details):
    """A sofa east of the middle, a cup north of it; the room's middle is at the origin."""
    return (
        SceneBuilder()
        .add("sofa", at=(3, 0, 0.4), size=(0.9, 2, 0.8), **details)
        .add("cup", at=(3, 2, 0.4))
        .room([(-5, -5), (5, -5), (5, 5), (-5, 5)])
    )


LEFT_OF_SOFA = Relate(source=Select("cup"), relation="left_of", anchor=the("sofa"))


def test_side_without_a_viewer_is_open_from_the_middle_of_the_scene():
    answer = ask(parlour(), LEFT_OF_SOFA)

    assert answer.status is Status.AMBIGUOUS
    assert answer.value == ("cup",)
    assert answer.frame.text == "seen from the middle of the scene, facing the sofa"
    assert "Say 'when I stand at A facing B'" in answer.note
    assert answer.evidence == ("cup", "sofa")


@pytest.mark.parametrize(("front", "sees"), [((-1, 0, 0), ("cup",)), ((1, 0, 0), ())])
def test_side_without_a_viewer_goes_by_the_anchors_own_front(front, sees):
    answer = ask(parlour(front=list(front)), LEFT_OF_SOFA)

    assert answer.status is Status.ANSWERED
    assert answer.value == sees
    assert answer.frame.kind == "object"
    assert answer.frame.facing == "sofa"


def test_vertical_front_is_no_front():
    assert ask(parlour(front=[0, 0, 1]), LEFT_OF_SOFA).status is Status.AMBIGUOUS


def test_direction_without_a_viewer_is_open_as_well():
    def direction(anchor):
        return ask(parlour(), Direction(target=the("cup"), viewpoint=None, anchor=anchor))

    assert direction(the("sofa")).value == "left"
    assert direction(the("sofa")).status is Status.AMBIGUOUS
    assert direction(None).status is Status.AMBIGUOUS
    assert direction(None).value is None


def test_my_left_without_a_place_asks_back():
    query = Relate(source=Select("cup"), relation="left_of", anchor=None)

    answer = ask(parlour(), query)

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None
    assert "depend on where you stand" in answer.note


def test_anchor_in_the_very_middle_asks_back():
    scene = parlour().add("rug", at=(0, 0, 0))
    query = Relate(source=Select("cup"), relation="left_of", anchor=the("rug"))

    answer = ask(scene, query)

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


# -- relations to the viewer ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bearing", "holds"),
    [
        (20, {"left_of", "in_front_of"}), (90, {"left_of"}), (150, {"left_of", "behind"}),
        (270, {"right_of"}), (330, {"right_of", "in_front_of"}), (45, {"left_of", "in_front_of"}),
        (135, {"left_of", "behind"}), (46, {"left_of"}), (134, {"left_of"}),
    ],
)  # fmt: skip
def test_relation_to_the_viewer(bearing, holds):
    found = set()
    for relation in ("left_of", "right_of", "in_front_of", "behind"):
        query = Relate(source=Select("cup"), relation=relation, anchor=None, viewpoint=FACING)
        answer = ask(at_bearing(bearing), query)
        assert answer.frame.kind == "viewpoint"
        assert set(answer.evidence) >= {"bed", "tv"}
        if answer.value:
            found.add(relation)

    assert found == holds


def test_what_fixes_the_view_lies_on_no_side_of_it():
    def seen(relation):
        query = Relate(source=Select(), relation=relation, anchor=None, viewpoint=FACING)
        return {"bed", "tv"} & set(ask(at_bearing(80), query).value)

    # What is faced is in front, and what one stands at is nowhere.
    assert [seen(r) for r in ("left_of", "right_of", "behind")] == [set()] * 3
    assert seen("in_front_of") == {"tv"}


def test_relation_to_an_anchor_follows_the_viewer():
    def sees(relation, view):
        query = Relate(source=Select("cup"), relation=relation, anchor=the("tv"), viewpoint=view)
        return ask(at_bearing(80), query).value

    assert sees("left_of", FACING) == ("cup",)
    assert sees("in_front_of", FACING) == ("cup",)
    back = Viewpoint(origin=the("bed"), facing=the("tv"), turn=math.pi)
    assert sees("right_of", back) == ("cup",)
    assert sees("behind", back) == ("cup",)


def test_place_and_goal_that_coincide_ask_back():
    view = Viewpoint(origin=the("bed"), facing=the("bed"))
    query = Relate(source=Select("cup"), relation="left_of", anchor=the("tv"), viewpoint=view)

    answer = ask(at_bearing(80), query)

    assert answer.status is Status.AMBIGUOUS
    assert "same place" in answer.note


def test_more_readings_than_are_tried_stay_open():
    scene = at_bearing(80)
    for i in range(70):
        scene.add("seat", at=(i / 100, -1, 0))
    view = Viewpoint(origin=the("seat"), facing=the("tv"))
    query = Relate(source=Select("cup"), relation="left_of", anchor=None, viewpoint=view)

    answer = ask(scene, query)

    assert answer.status is Status.AMBIGUOUS
    assert "there are 70 of 'seat'" in answer.note


# -- printed truths ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vsi(data_dir):
    if not (data_dir / "vsi" / "scenes.json").exists():
        pytest.skip("needs vsi/scenes.json, which is not here")
    return data_dir / "vsi"


def quadrant(folder, place, facing, target):
    scene = CognitiveMap.load(folder / "scenes.json", scene="42446103")
    view = Viewpoint(origin=the(place), facing=the(facing))
    query = Direction(target=the(target), viewpoint=view, sectors="quadrants")
    return Solver(MapScene(scene)).solve(query)


def test_bearing_of_the_benchmark(vsi):
    answer = quadrant(vsi, "stove", "tv", "stool")

    assert answer.value == "front-right"
    assert "35 degrees to the right" in answer.measure
    assert "325.3 degrees" in answer.steps[-2].detail


TRIPLES = [("stove", "tv", "stool"), ("stove", "stool", "tv"), ("tv", "stove", "stool")]


@pytest.mark.parametrize(("place", "facing", "target"), TRIPLES)
def test_direction_of_the_benchmark_and_another_viewer_gets_it_wrong(vsi, place, facing, target):
    asked = f"standing by the {place} and facing the {facing}, is the {target} to my front-left"
    items = map(json.loads, (vsi / "qa.jsonl").read_text().splitlines())
    [item] = [i for i in items if i["scene"] == "42446103" and asked in i["question"]]
    right = item["options"][ord(item["answer"]) - ord("A")].partition(". ")[2]

    assert quadrant(vsi, place, facing, target).value == right
    assert quadrant(vsi, facing, place, target).value != right

"""Where somebody stands and looks, said before or behind the question."""

from __future__ import annotations

import math

import pytest

from groundplane.core.expressions import Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Direction, Exists
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
from groundplane.spatial.questions.viewpoints import take_viewpoint

TV, BED, SOFA = (Unique(Select(name)) for name in ("tv", "bed", "sofa"))
ASKED = "where is the door"


@pytest.mark.parametrize(
    "text",
    [
        "if i am standing by the tv and facing the bed, where is the door",
        "standing at the tv facing the bed where is the door",
        "standing at the tv facing the bed, where is the door",
        "suppose i stand next to the tv and look at the bed. where is the door",
        "i am at the tv, facing the bed. where is the door",
        "imagine you are at the tv looking towards the bed, where is the door",
        "from the tv facing the bed, where is the door",
        "facing the bed from the tv, where is the door",
        "looking from the tv towards the bed, where is the door",
        "sitting on the tv with the bed straight ahead, where is the door",
        "where is the door if i am standing by the tv and facing the bed",
        "where is the door when i stand at the tv looking at the bed",
        "where is the door, standing by the tv and facing the bed",
        "where is the door from the tv facing the bed",
        "where is the door, facing the bed from the tv",
        "where is the door seen from the tv, with the bed ahead",
    ],
)
def test_a_place_and_a_look_are_taken_from_any_position(text):
    scenery = take_viewpoint(text)

    assert (scenery.text, scenery.viewpoint) == (ASKED, Viewpoint(origin=TV, facing=BED))


@pytest.mark.parametrize(
    "text",
    [
        "standing at the tv with my back to the bed, where is the door",
        "if i am standing by the tv with my back to the bed, where is the door",
        "if i stand at the tv, my back turned to the bed, where is the door",
        "with my back to the bed while standing at the tv, where is the door",
        "where is the door, standing by the tv with my back to the bed",
        "where is the door if i stand at the tv with my back to the bed",
    ],
)
def test_the_back_turned_is_half_a_turn(text):
    scenery = take_viewpoint(text)

    assert scenery.text == ASKED
    assert scenery.viewpoint == Viewpoint(origin=TV, facing=BED, turn=math.pi)


@pytest.mark.parametrize(
    "text", ["facing the bed, where is the door", "where is the door when i am facing the bed"]
)
def test_who_only_looks_stands_in_the_middle(text):
    scenery = take_viewpoint(text)

    assert (scenery.text, scenery.viewpoint) == (ASKED, Viewpoint(origin=None, facing=BED))


@pytest.mark.parametrize(
    "text",
    [
        "standing at the tv, where is the door",
        "seen from the tv, where is the door",
        "where is the door when i stand at the tv",
        "where is the door as seen from the tv",
    ],
)
def test_who_only_stands_has_a_place_and_no_look(text):
    scenery = take_viewpoint(text)

    assert (scenery.text, scenery.viewpoint, scenery.origin) == (ASKED, None, TV)


def test_the_place_may_be_a_phrase_of_its_own():
    scenery = take_viewpoint("sitting on the sofa near the bed and looking at the tv, who is there")

    near = Unique(Relate(source=Select("sofa"), relation="near", anchor=BED))
    assert scenery.viewpoint == Viewpoint(origin=near, facing=TV)


@pytest.mark.parametrize(
    "text",
    [
        "how far is the sofa from the tv",
        "what is in front of the sofa",
        "is the lamp behind the sofa",
        "which chair is closest to the door",
        "how many chairs are at the table",
        "",
    ],
)
def test_a_question_without_a_viewer_is_left_alone(text):
    scenery = take_viewpoint(text)

    assert (scenery.text, scenery.viewpoint, scenery.origin) == (text, None, None)


def test_what_stands_somewhere_is_not_taken_for_a_viewer():
    assert parse_question("what is standing by the tv").expression.anchor == TV


def test_the_viewpoint_reaches_relations_to_the_viewer():
    node = parse_question("standing at the sofa facing the tv, what is behind me").expression

    assert (node.relation, node.anchor) == ("behind", None)
    assert node.viewpoint == Viewpoint(origin=SOFA, facing=TV)


def test_who_only_stands_looks_at_what_the_relation_names():
    node = parse_question("standing at the sofa, is the lamp left of the tv").expression

    assert isinstance(node, Exists)
    assert node.source.viewpoint == Viewpoint(origin=SOFA, facing=TV)


def test_left_or_right_without_a_viewer_is_a_direction_without_one():
    node = parse_question("is the lamp to the left or right of the sofa").expression

    assert isinstance(node, Direction)
    assert (node.viewpoint, node.anchor) == (None, SOFA)


def test_me_without_a_place_is_refused():
    with pytest.raises(NotUnderstoodError):
        parse_question("which chair is closest to me")

"""The scene's own camera as the frame of reference: before an own front, after a stated place."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.errors import InputError, SceneError
from groundplane.core.expressions import Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Direction, Exists
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def the(name):
    return Unique(Select(name))


def ask(scene, query):
    return Solver(MapScene(scene)).solve(query)


def three_in_a_row(**details):
    return (
        SceneBuilder("row", **details)
        .add("cup", at=(-1, 0, 0.5))
        .add("jug", at=(0, 0, 0.5), front=[1, 0, 0])
        .add("pan", at=(1, 0, 0.5))
        .build()
    )


def test_the_camera_fixes_left_and_right_where_nobody_is_named():
    node = Exists(Relate(source=the("cup"), relation="left_of", anchor=the("jug")))
    north = ask(three_in_a_row(view=[0, 2, 0]), node)
    south = ask(three_in_a_row(view=[0, -1, -0.5]), node)
    assert (north.value, south.value) == (True, False)
    assert (north.frame.kind, north.frame.text) == ("camera", "seen by the scene's camera")
    assert north.status is south.status is Status.ANSWERED


def test_the_camera_goes_before_an_own_front_and_after_a_stated_place():
    node = Relate(source=the("cup"), relation="behind", anchor=the("jug"))
    by_front = ask(three_in_a_row(), Exists(node))
    by_camera = ask(three_in_a_row(view=[0, 1, 0]), Exists(node))
    stated = replace(node, viewpoint=Viewpoint(origin=the("pan"), facing=the("jug")))
    by_viewer = ask(three_in_a_row(view=[0, 1, 0]), Exists(stated))
    assert (by_front.value, by_front.frame.kind) == (True, "object")
    assert (by_camera.value, by_camera.frame.kind) == (False, "camera")
    assert (by_viewer.value, by_viewer.frame.kind) == (True, "viewpoint")


def test_a_direction_beside_a_thing_is_seen_by_the_camera():
    node = Direction(target=the("pan"), viewpoint=None, anchor=the("jug"), sectors="sides")
    answer = ask(three_in_a_row(view=[0, 1, 0]), node)
    assert (answer.value, answer.frame.kind) == ("right", "camera")


def test_to_my_left_still_needs_a_place_to_stand():
    node = Relate(source=Select(None), relation="left_of", anchor=None)
    assert ask(three_in_a_row(view=[0, 1, 0]), node).status is Status.AMBIGUOUS


def test_the_view_is_written_and_read_and_moves_with_the_map(tmp_path):
    scene = three_in_a_row(view=[3, 4, 0])
    scene.save(tmp_path / "row.json")
    again = CognitiveMap.load(tmp_path / "row.json")
    assert torch.equal(again.view, scene.view)
    assert again.view.tolist() == pytest.approx([0.6, 0.8, 0])
    assert torch.equal(scene.to("cpu").view, scene.view)
    assert three_in_a_row().view is None


@pytest.mark.parametrize("view", [[0, 0, 1], [0, 0, 0], [1, 2], ["a", 0, 0], [0, float("nan"), 0]])
def test_a_view_without_a_horizontal_part_is_refused_in_a_file(view):
    with pytest.raises(SceneError, match=r"scene builder: view"):
        three_in_a_row(view=view)


def test_a_view_that_is_no_unit_vector_is_refused_in_a_map():
    with pytest.raises(InputError, match="the view must be a unit vector with a horizontal part"):
        replace(three_in_a_row(), view=torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))

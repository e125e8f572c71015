"""Sight as an answer: seen, hidden, in the way, and sets of what is in view."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.expressions import Relate, Select, Unique
from groundplane.core.pair_queries import Sight
from groundplane.core.queries import Count
from groundplane.spatial import looking
from groundplane.spatial.chances.worlds import weigh
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def room(*, wall=(1.0, 3.0, 3.0)):
    """A stool and a tv, with a wall between them."""
    builder = SceneBuilder().add("stool", at=(0, 0, 0.25), size=(0.4, 0.4, 0.5))
    builder.add("tv", at=(6, 0, 1.5), size=(0.1, 1.0, 1.0))
    builder.add("cat", at=(0, 4, 0.15), size=(0.3, 0.5, 0.3))
    if wall is not None:
        builder.add("wall", at=(3, 0, wall[2] / 2), size=(0.1, wall[1], wall[2]))
    return builder.build()


def look(scene, tell="seen", *, viewer="stool", target="tv"):
    query = Sight(viewer=Unique(Select(viewer)), target=Unique(Select(target)), tell=tell)
    return Solver(MapScene(scene)).solve(query)


def test_a_wall_hides_what_is_behind_it():
    scene = room()

    assert look(scene).value is False
    assert look(scene, "hidden").value is True
    assert look(scene, "obstructed").value is True
    assert look(scene, "blocker").value == "wall"
    assert look(scene, "blocker").evidence[0] == "wall"


def test_with_nothing_between_all_of_it_is_seen():
    scene = room(wall=None)

    assert look(scene).value is True
    assert look(scene, "hidden").value is False
    assert look(scene, "obstructed").value is False
    assert look(scene, "blocker").value == ()
    assert look(scene).measure.endswith("all of it is in sight")


def test_one_looks_over_what_is_low():
    assert look(room(wall=(1.0, 3.0, 1.0))).value is True


def test_of_what_is_half_behind_a_wall_half_is_told():
    builder = SceneBuilder().add("stool", at=(0, 0, 0.25), size=(0.4, 0.4, 0.5))
    builder.add("tv", at=(6, 0, 1.6), size=(0.1, 1.0, 1.0))
    builder.add("wall", at=(5.9, 0.5, 1.5), size=(0.05, 1.0, 3.0))
    scene = builder.build()

    assert look(scene).value is True
    assert look(scene, "obstructed").value is True
    percent = int(look(scene).measure.rpartition(": ")[2].split(" %")[0])
    # One row of the five sample points stands behind the edge of the wall or not.
    assert 35 <= percent <= 65


def test_one_thing_may_be_asked_to_be_in_the_way():
    def by(scene, thing):
        query = Sight(
            viewer=Unique(Select("stool")), target=Unique(Select("tv")), tell="obstructed",
            by=Unique(Select(thing)),
        )  # fmt: skip
        return Solver(MapScene(scene)).solve(query)

    assert by(room(), "wall").value is True
    assert by(room(), "cat").value is False
    assert by(room(wall=None), "cat").value is False
    assert by(room(), "piano").status is Status.UNKNOWN_OBJECT


def test_the_share_in_sight_is_in_percent():
    assert (look(room(), "share").value, look(room(), "share").unit) == (0, "%")
    assert look(room(wall=None), "share").value == pytest.approx(100)


def test_the_answer_says_whose_eyes_they_are():
    frame = look(room()).frame

    assert frame is not None
    assert frame.origin == "stool"
    assert "1.6 m above the floor" in frame.text


def test_what_is_in_view_is_a_set_that_composes():
    scene = room()
    seen = Relate(source=Select(None), relation="visible_from", anchor=Unique(Select("stool")))
    solver = Solver(MapScene(scene))

    assert set(solver.solve(seen).value) == {"cat", "wall"}
    assert solver.solve(Count(seen)).value == 2
    assert "1.6 m" in solver.solve(seen).note


def test_too_many_looks_are_refused_with_their_number(monkeypatch):
    monkeypatch.setattr(looking, "_MOST_LOOKS", 3)
    seen = Relate(source=Select(None), relation="visible_from", anchor=Select("stool"))
    answer = Solver(MapScene(room())).solve(seen)

    assert answer.status is Status.CANNOT_DETECT
    assert "4 things seen from 1" in answer.note


def test_several_of_a_name_with_other_verdicts_are_asked_back():
    builder = SceneBuilder().add("stool", at=(0, 0, 0.25), size=(0.4, 0.4, 0.5))
    builder.add("wall", at=(3, 0, 1.5), size=(0.1, 3, 3))
    builder.add("tv", at=(6, 0, 1)).add("tv", at=(0, 6, 1))
    answer = look(builder.build())

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None


@pytest.mark.parametrize(
    ("viewer", "target", "status"),
    [
        ("stool", "stool", Status.AMBIGUOUS),
        ("piano", "tv", Status.UNKNOWN_OBJECT),
        ("stool", "piano", Status.UNKNOWN_OBJECT),
    ],
)
def test_what_is_not_there_or_the_same_is_told(viewer, target, status):
    assert look(room(), viewer=viewer, target=target).status is status


def test_a_scene_without_metres_has_no_eye_height():
    scene = SceneBuilder(scale="relative").add("a", at=(0, 0, 0)).add("b", at=(5, 0, 0)).build()

    assert look(scene, viewer="a", target="b").status is Status.CANNOT_DETECT


def test_a_noisy_map_gives_the_share_an_interval():
    builder = SceneBuilder().add("stool", at=(0, 0, 0.25), size=(0.4, 0.4, 0.5))
    builder.add("tv", at=(6, 0, 1.6), size=(0.1, 1.0, 1.0))
    builder.add("wall", at=(5.9, 0.5, 1.5), size=(0.05, 1.0, 3.0))
    scene = builder.build()
    covariance = torch.eye(6, dtype=scene.objects.centers.dtype).repeat(3, 1, 1) * 0.1**2
    scene = replace(scene, objects=replace(scene.objects, covariance=covariance))
    query = Sight(viewer=Unique(Select("stool")), target=Unique(Select("tv")), tell="share")

    def solve(world, node):
        return Solver(MapScene(world)).solve(node)

    answer = weigh(scene, query, solve(scene, query), solve=solve)

    # The edge of the wall moves by a decimetre or two, which is as many tenths of the tv.
    assert answer.interval is not None
    low, high = answer.interval
    assert low < answer.value - 10 < answer.value + 10 < high

"""How wide the way between two things is."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Way
from groundplane.spatial.chances.worlds import weigh
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def room(gap=0.8, *, scale="metric"):
    """A hall, 6 by 3 m, with a wall across that leaves a gap at one end."""
    builder = SceneBuilder(scale=scale).room([(0, 0), (6, 0), (6, 3), (0, 3)])
    builder.add("bench", at=(0.2, 1.5, 0.2), size=(0.4, 1.0, 0.4))
    builder.add("desk", at=(5.8, 1.5, 0.4), size=(0.4, 1.0, 0.8))
    length = 3 - gap
    return builder.add("wall", at=(3, length / 2, 1), size=(0.1, length, 2)).build()


def width(scene, start="bench", goal="desk", unit=None):
    query = Way(start=Unique(Select(start)), goal=Unique(Select(goal)), tell="width", unit=unit)
    return Solver(MapScene(scene)).solve(query)


@pytest.mark.parametrize("gap", [0.3, 0.8, 1.2])
def test_the_gap_in_a_wall_is_the_width(gap):
    assert width(room(gap)).value == pytest.approx(gap, abs=0.01)


def test_a_shut_way_has_no_width():
    answer = width(room(0.0))

    assert answer.status is Status.ANSWERED
    assert answer.value == 0


def test_the_width_comes_in_the_unit_asked_for():
    answer = width(room(0.8), unit="cm")

    assert answer.unit == "cm"
    assert answer.value == pytest.approx(80, abs=1)


@pytest.mark.parametrize(
    ("start", "goal", "status"),
    [
        ("bench", "bench", Status.AMBIGUOUS),
        ("bench", "piano", Status.UNKNOWN_OBJECT),
    ],
)
def test_the_same_or_a_missing_thing_is_told(start, goal, status):
    assert width(room(), start, goal).status is status


def test_a_scene_without_metres_has_no_walker():
    assert width(room(scale="relative")).status is Status.CANNOT_DETECT


def test_several_of_a_name_are_asked_back():
    builder = SceneBuilder().add("chair", at=(0, 0, 0)).add("chair", at=(3, 0, 0))
    answer = width(builder.add("desk", at=(6, 0, 0)).build(), "chair", "desk")

    assert answer.status is Status.AMBIGUOUS


def test_a_noisy_map_gives_the_width_an_interval():
    scene = room(0.8)
    covariance = torch.zeros(3, 6, 6, dtype=scene.objects.centers.dtype)
    covariance[2, 1, 1] = 0.05**2
    scene = replace(scene, objects=replace(scene.objects, covariance=covariance))
    query = Way(start=Unique(Select("bench")), goal=Unique(Select("desk")), tell="width")

    def solve(world, node):
        return Solver(MapScene(world)).solve(node)

    low, high = weigh(scene, query, solve(scene, query), solve=solve).interval

    # The end of the wall moves by 5 cm: 8 cm to either side with 90 %, of 40 worlds.
    assert low == pytest.approx(0.72, abs=0.04)
    assert high == pytest.approx(0.88, abs=0.04)


def test_what_is_taken_for_an_unstated_room_is_told():
    builder = SceneBuilder().add("bench", at=(0, 0, 0.2), size=(1, 0.4, 0.4))
    scene = builder.add("desk", at=(4, 0, 0.4), size=(1, 0.6, 0.8)).build()

    assert "taken to reach 1 m beyond the objects" in width(scene).note
    assert not width(room()).note

"""Differences and ratios of measures, and measures against stated numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Measured, Select, Unique
from groundplane.core.queries import Compare, Difference, Measure, Quantity
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def room(low=1.0, high=2.0):
    builder = SceneBuilder()
    builder.add("stove", at=(0, 0, low / 2), size=(1, 1, low))
    builder.add("fridge", at=(3, 0, high / 2), size=(1, 1, high))
    builder.add("lamp", at=(9, 0, 0.25), size=(1, 1, 0.5))
    return builder.build()


def solve(query, scene=None):
    return Solver(MapScene(scene if scene is not None else room())).solve(query)


def measure(name, *things):
    return Measure(name=name, of=tuple(Unique(Select(thing)) for thing in things))


def height(thing):
    return measure("height", thing)


@given(
    low=st.floats(0.1, 5.0),
    high=st.floats(0.1, 5.0),
)
def test_a_difference_has_a_sign_and_a_ratio_is_its_inverse_the_other_way_round(low, high):
    scene = room(low, high)
    one, other = height("fridge"), height("stove")
    more = solve(Difference(left=one, right=other), scene)
    less = solve(Difference(left=one, right=other, more=False), scene)
    apart = solve(Difference(left=one, right=other, tell="apart"), scene)
    ratio = solve(Difference(left=one, right=other, tell="ratio"), scene)
    inverse = solve(Difference(left=other, right=one, tell="ratio"), scene)

    assert more.value == pytest.approx(high - low, abs=1e-5)
    assert less.value == pytest.approx(low - high, abs=1e-5)
    assert apart.value == pytest.approx(abs(high - low), abs=1e-5)
    assert ratio.value == pytest.approx(high / low, rel=1e-4)
    assert ratio.value * inverse.value == pytest.approx(1)
    assert (ratio.unit, more.unit) == ("times", "m")


def test_a_difference_comes_in_the_unit_asked_for():
    answer = solve(Difference(left=height("fridge"), right=height("stove"), unit="in"))

    assert answer.value == pytest.approx(39.3701, abs=1e-3)
    assert answer.unit == "in"
    assert answer.measure.endswith("78.74 in against 39.37 in")
    assert answer.evidence[:2] == ("fridge", "stove")


def test_a_unit_of_another_kind_is_refused():
    answer = solve(Difference(left=height("fridge"), right=height("stove"), unit="m2"))

    assert answer.status is Status.CANNOT_DETECT


def test_distances_differ_too():
    near, far = measure("distance", "stove", "fridge"), measure("distance", "stove", "lamp")

    assert solve(Difference(left=far, right=near)).value == pytest.approx(6.0)


def test_nothing_is_so_many_times_as_far_as_what_touches():
    scene = SceneBuilder().add("a", at=(0, 0, 0)).add("b", at=(0.5, 0, 0)).add("c", at=(5, 0, 0))
    query = Difference(
        left=measure("distance", "a", "c"), right=measure("distance", "a", "b"), tell="ratio"
    )

    assert solve(query, scene.build()).status is Status.CANNOT_DETECT


def test_a_name_that_fits_several_of_other_size_is_asked_back():
    scene = room()
    builder = SceneBuilder().add("box", at=(0, 0, 0), size=(1, 1, 1))
    builder.add("box", at=(3, 0, 0), size=(1, 1, 2)).add("lamp", at=(6, 0, 0))
    answer = solve(Difference(left=height("box"), right=height("lamp")), builder.build())

    assert answer.status is Status.AMBIGUOUS
    assert answer.value is None
    assert solve(Difference(left=height("oven"), right=height("lamp")), scene).status is (
        Status.UNKNOWN_OBJECT
    )


@pytest.mark.parametrize(
    ("operator", "limit", "unit", "value"),
    [
        ("more", 1.9, "m", True), ("more", 2.1, "m", False), ("fewer", 7, "ft", True),
        ("more", 190, "cm", True), ("more", 2.0, "m", False), ("fewer", 2.0, "m", False),
    ],
)  # fmt: skip
def test_a_measure_is_held_against_a_stated_length(operator, limit, unit, value):
    query = Compare(left=height("fridge"), operator=operator, right=Quantity(limit, unit))

    assert solve(query).value is value


def test_a_ratio_is_held_against_a_number_of_times():
    ratio = Difference(left=height("fridge"), right=height("stove"), tell="ratio")
    query = Compare(left=ratio, operator="more", right=Quantity(1.5, "times"))

    assert solve(query).value is True


@pytest.mark.parametrize(
    ("times", "value"), [(2.0, True), (1.95, True), (1.8, False), (2.2, False)]
)
def test_about_so_many_times_is_that_up_to_a_share(times, value):
    ratio = Difference(left=height("fridge"), right=height("stove"), tell="ratio")
    query = Compare(left=ratio, operator="equal", right=Quantity(times, "times", 0.05))

    assert solve(query).value is value


def test_what_is_larger_than_a_size_is_kept():
    tall = Measured(source=Select(None), measure="height", operator="more", limit=0.7)
    none = Measured(source=Select(None), measure="height", operator="more", limit=9.0)

    assert solve(tall).value == ("stove", "fridge")
    assert solve(none).value == ()


def test_a_scene_without_metres_has_no_size_in_metres():
    scene = SceneBuilder(scale="relative").add("a", at=(0, 0, 0)).build()
    tall = Measured(source=Select(None), measure="height", operator="more", limit=0.7)

    assert solve(tall, scene).status is Status.CANNOT_DETECT


def test_two_different_measures_have_no_difference():
    with pytest.raises(InputError, match="one measure of two things"):
        Difference(left=height("a"), right=measure("width", "b"))
    with pytest.raises(InputError, match="finite"):
        Quantity(float("nan"), "m")
    with pytest.raises(InputError, match="share"):
        Quantity(1.0, "m", -0.1)


def test_a_difference_carries_its_interval_where_the_map_does():
    from dataclasses import replace

    from groundplane.spatial.chances.worlds import weigh

    scene = room(1.0, 1.02)
    covariance = torch.eye(6, dtype=scene.objects.centers.dtype).expand(3, 6, 6) * 0.01**2
    scene = replace(scene, objects=replace(scene.objects, covariance=covariance))
    query = Difference(left=height("fridge"), right=height("stove"))
    answer = weigh(scene, query, solve(query, scene), solve=lambda world, node: solve(node, world))

    # Two heights of 1 cm each: 1.645 times the root of two centimetres squared.
    reach = 1.645 * 0.01 * 2**0.5
    assert answer.interval == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-3)

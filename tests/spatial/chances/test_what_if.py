"""What changes of the evidence do to an answer: cases whose borders are known."""

import math

import pytest

from groundplane.core.expressions import Extreme, Or, Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Count, Direction, Exists, Measure
from groundplane.spatial.chances.what_if import FARTHEST, MOST_OBJECTS, what_if
from groundplane.spatial.resolver import QueryResolver
from groundplane.testing.scenes import SceneBuilder

SOFA, LAMP, CUP = (Unique(Select(name)) for name in ("sofa", "lamp", "cup"))
NEAR = Exists(Relate(source=LAMP, relation="near", anchor=SOFA))
QUADRANT = Direction(target=CUP, viewpoint=Viewpoint(origin=SOFA, facing=LAMP), sectors="quadrants")


def scene(*, lamp=(1.9, 0.0, 0.5), cup=(3.0, 3.0, 0.5), **details):
    """The lamp's box begins 20 cm before its centre, the sofa's ends half a metre after."""
    return (
        SceneBuilder("room", **details)
        .add("sofa", at=(0, 0, 0.5), size=(1, 1, 1))
        .add("lamp", at=lamp, size=(0.4, 0.4, 1))
        .add("cup", at=cup, size=(0.2, 0.2, 0.2))
        .build()
    )


def flips(asked, expression, kind, *, ids=None):
    resolver = QueryResolver()
    answer = resolver.solve(asked, expression)
    found = what_if(asked, expression, answer, solve=resolver.solve_once, kinds=(kind,))
    return [flip for flip in found if ids is None or flip.perturbation.ids == ids]


class TestScale:
    def test_the_factor_that_brings_a_thing_near_is_found(self):
        larger, smaller = flips(scene(), NEAR, "scale")

        # 1.2 m apart, sizes kept: near at 1.7 of 1.9 m between the centres.
        assert (larger.flips, smaller.flips) == (False, True)
        assert smaller.perturbation.amount == pytest.approx(1.7 / 1.9, abs=0.011)
        assert smaller.value is True
        assert larger.perturbation.amount == 2.0

    def test_heights_are_left_alone_without_a_camera(self):
        stacked = scene(lamp=(0, 0, 1.5))
        on = Exists(Relate(source=LAMP, relation="on", anchor=SOFA))

        assert not any(flip.flips for flip in flips(stacked, on, "scale"))

    def test_a_camera_scales_depths_alone(self):
        across = scene(view=[0, 1, 0])
        along = scene(view=[1, 0, 0])

        assert not any(flip.flips for flip in flips(across, NEAR, "scale"))
        assert any(flip.flips for flip in flips(along, NEAR, "scale"))
        assert flips(along, NEAR, "scale")[0].perturbation.text.startswith("depths")

    def test_a_number_without_error_bars_flips_at_a_tenth(self):
        apart = Measure(name="center_distance", of=(LAMP, SOFA))

        larger, smaller = flips(scene(), apart, "scale")

        assert larger.perturbation.amount == pytest.approx(1.1, abs=0.011)
        assert smaller.perturbation.amount == pytest.approx(0.9, abs=0.011)

    def test_a_number_flips_where_it_leaves_its_interval(self):
        apart = Measure(name="center_distance", of=(LAMP, SOFA))

        larger, _ = flips(scene().with_noise(0.2), apart, "scale")

        reach = 1.64485 * 0.2 * math.sqrt(2)
        assert larger.perturbation.amount == pytest.approx(1 + reach / 1.9, abs=0.011)


class TestTurn:
    def test_the_angle_to_the_next_quadrant_is_found_both_ways(self):
        left, right = flips(scene(), QUADRANT, "turn")

        # The cup is 45 degrees to the left: 45 to either border.
        assert left.perturbation.amount == pytest.approx(45, abs=1.1)
        assert right.perturbation.amount == pytest.approx(-45, abs=1.1)
        assert (left.value, right.value) == ("front-right", "back-left")
        assert left.perturbation.text.endswith("degrees to the left")

    def test_an_answer_without_a_viewer_is_not_turned(self):
        assert flips(scene(), NEAR, "turn") == []

    def test_the_front_of_a_thing_is_turned(self):
        room = (
            SceneBuilder().add("sofa", at=(0, 0, 0.5), front=[0, -1, 0])
            .add("lamp", at=(-2, 0.2, 0.5)).build()
        )  # fmt: skip
        left = Exists(Relate(source=LAMP, relation="left_of", anchor=SOFA))

        found = flips(room, left, "turn")

        assert all(flip.flips for flip in found)

    def test_the_camera_of_a_scene_is_turned(self):
        left = Exists(Relate(source=LAMP, relation="left_of", anchor=SOFA))

        assert any(flip.flips for flip in flips(scene(view=[0, 1, 0]), left, "turn"))


class TestShift:
    def test_the_least_shift_is_along_the_gap(self):
        (lamp,) = flips(scene(), NEAR, "shift", ids=("lamp",))

        assert lamp.flips
        assert lamp.perturbation.amount == pytest.approx(0.2, abs=0.011)
        assert "(-x)" in lamp.perturbation.text

    def test_what_no_shift_changes_is_told_with_how_far_was_tried(self):
        far = scene(lamp=(9, 0, 0.5))

        (lamp,) = flips(far, NEAR, "shift", ids=("lamp",))

        assert not lamp.flips
        assert lamp.perturbation.amount == FARTHEST
        assert lamp.value is False


class TestDropAndSwap:
    NEAREST = Extreme(source=Select("chair"), measure="distance", largest=False, anchor=SOFA)

    @staticmethod
    def chairs():
        builder = SceneBuilder().add("sofa", at=(0, 0, 0.5))
        return builder.add("chair", at=(2, 0, 0.5)).add("chair", at=(4, 0, 0.5)).build()

    def test_without_the_nearest_the_next_is(self):
        (chair,) = flips(self.chairs(), self.NEAREST, "drop", ids=("chair-1",))

        assert (chair.flips, chair.value) == (True, "chair-2")

    def test_without_what_is_asked_of_there_is_no_answer(self):
        (sofa,) = flips(self.chairs(), self.NEAREST, "drop", ids=("sofa",))

        assert (sofa.flips, sofa.value) == (True, None)

    def test_a_count_loses_one_and_its_stated_number_with_it(self):
        found = flips(self.chairs(), Count(Select("chair")), "drop")

        assert [flip.value for flip in found] == [1, 1]

    def test_a_count_that_was_stated_higher_stays_as_stated(self):
        stated = SceneBuilder(counts={"chair": 5}).add("chair", at=(0, 0, 0.5)).build()

        (chair,) = flips(stated, Count(Select("chair")), "drop")

        assert not chair.flips

    def test_two_of_a_label_are_exchanged(self):
        (pair,) = flips(self.chairs(), self.NEAREST, "swap", ids=("chair-1", "chair-2"))

        assert (pair.flips, pair.value) == (True, "chair-2")

    def test_no_pair_is_exchanged_twice(self):
        pairs = [frozenset(f.perturbation.ids) for f in flips(scene(), NEAR, "swap")]

        assert len(pairs) == len(set(pairs)) > 0

    def test_a_lone_object_has_nobody_to_be_exchanged_with(self):
        alone = SceneBuilder().add("sofa", at=(0, 0, 0.5)).build()

        assert flips(alone, Measure(name="height", of=(SOFA,)), "swap") == []

    def test_the_last_object_can_be_dropped(self):
        alone = SceneBuilder().add("sofa", at=(0, 0, 0.5)).build()

        (sofa,) = flips(alone, Count(Select("sofa")), "drop")

        assert sofa.flips


class TestWhole:
    def test_a_no_is_tested_on_what_it_denies_too(self):
        # The evidence of a no is the anchor; the lamp is what was asked about.
        assert flips(scene(), NEAR, "drop", ids=("lamp",))

    def test_a_count_by_name_is_only_dropped(self):
        asked, resolver = scene(), QueryResolver()
        count = Count(Select("lamp"))

        found = what_if(asked, count, resolver.solve(asked, count), solve=resolver.solve_once)

        assert {flip.perturbation.kind for flip in found} == {"drop"}

    def test_what_has_no_answer_is_not_perturbed(self):
        asked = scene()
        resolver = QueryResolver()
        height = Measure(name="height", of=(Unique(Select("dog")),))

        found = what_if(asked, height, resolver.solve(asked, height), solve=resolver.solve_once)

        assert found == ()

    def test_a_set_is_the_same_in_any_order(self):
        both = Relate(source=Or((Select("lamp"), Select("cup"))), relation="within",
                      anchor=SOFA, limit=9.0)  # fmt: skip

        assert not any(flip.flips for flip in flips(scene(), both, "swap"))

    def test_no_more_objects_are_tried_than_stated(self):
        crowd = SceneBuilder().add("sofa", at=(0, 0, 0.5))
        for k in range(12):
            crowd.add("cup", at=(2 + k, 0, 0.5))

        assert len(flips(crowd.build(), Count(Select("cup")), "drop")) == MOST_OBJECTS

    def test_a_record_holds_plain_values(self):
        record = flips(scene(), NEAR, "drop")[0].record()

        assert record == {
            "kind": "drop", "ids": ["sofa"], "amount": None, "unit": None,
            "text": "sofa not there", "flips": True, "value": None,
        }  # fmt: skip

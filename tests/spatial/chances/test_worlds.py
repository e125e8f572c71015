"""Queries on maps with error bars: intervals, probabilities, what is too close to call."""

from dataclasses import replace

import pytest
import torch

from groundplane.core.answer import Answer, RunnerUp, Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Extreme, Or, Relate, Select, Unique, Viewpoint
from groundplane.core.queries import Compare, Count, Direction, Exists, Measure, Order, Way
from groundplane.spatial.chances.margins import is_measured
from groundplane.spatial.chances.worlds import Caution, is_fixed, weigh
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.relations import THRESHOLDS
from groundplane.spatial.resolver import QueryResolver
from groundplane.testing.scenes import SceneBuilder

SOFA, LAMP, CUP = (Unique(Select(name)) for name in ("sofa", "lamp", "cup"))
GAP = Measure(name="distance", of=(LAMP, SOFA))


def scene(*, lamp=(3.0, 0.0, 0.5), cup=(0.0, 4.0, 0.5)):
    return (
        SceneBuilder()
        .add("sofa", at=(0, 0, 0.5), size=(1, 1, 1))
        .add("lamp", at=lamp, size=(0.4, 0.4, 1))
        .add("cup", at=cup, size=(0.2, 0.2, 0.2))
        .build()
    )


def solve(noisy, expression, **options):
    return QueryResolver(caution=Caution(**{"samples": 60, **options})).solve(noisy, expression)


class TestIntervals:
    def test_a_distance_has_the_interval_of_its_gap(self):
        answer = solve(scene().with_noise(0.1), GAP)

        low, high = answer.interval
        assert answer.value == pytest.approx(2.3)
        # sqrt(2 + 1/4 + 1/4) of 10 cm, 1.645 times.
        assert high - answer.value == pytest.approx(0.26007, abs=1e-4)
        assert low + high == pytest.approx(2 * answer.value)
        assert (answer.status, answer.probability) == (Status.ANSWERED, None)

    def test_the_interval_is_in_the_unit_asked_for(self):
        feet = solve(scene().with_noise(0.1), replace(GAP, unit="ft"))

        assert feet.unit == "ft"
        assert feet.interval[1] - feet.value == pytest.approx(0.26007 / 0.3048, abs=1e-3)

    @pytest.mark.parametrize(
        ("name", "reach"),
        [("size", 1.0), ("height", 1.0), ("width", 1.0), ("volume", 0.1887)],
    )
    def test_measures_of_one_thing_have_the_error_of_their_sides(self, name, reach):
        answer = solve(scene().with_noise(0.1), Measure(name=name, of=(LAMP,)))

        # A side of 1 m, 0.4 m and 0.4 m: the volume moves by 0.4, 0.4 and 0.16 square metres.
        spread = 0.1 * (reach if name != "volume" else (0.4**2 + 0.4**2 + 0.16**2) ** 0.5)
        assert answer.interval[1] - answer.value == pytest.approx(1.64485 * spread, rel=5e-3)

    def test_a_height_above_the_floor_knows_how_far_the_floor_may_be_off(self):
        flat = SceneBuilder().add("rug", at=(0, 0, 0.01), size=(1, 1, 0.02))
        flat.add("lamp", at=(3, 0, 2.5), size=(0.4, 0.4, 1))

        answer = solve(flat.build().with_noise(0.1), Measure(name="elevation", of=(LAMP,)))

        # Both bottoms move with a centre and by half with a side.
        assert answer.interval[1] - answer.value == pytest.approx(0.26007, abs=1e-3)

    def test_centres_that_coincide_have_an_interval(self):
        same = scene(lamp=(0, 0, 0.5)).with_noise(0.1)

        answer = solve(same, Measure(name="center_distance", of=(LAMP, SOFA)))

        assert answer.value == 0
        assert answer.interval[1] == pytest.approx(1.64485 * 0.1 * 2**0.5, rel=1e-3)

    def test_each_of_several_has_its_own(self):
        two = scene().with_noise(0.1)

        answer = solve(two, Measure(name="height", of=(Or((Select("sofa"), Select("lamp"))),)))

        assert answer.value == ("sofa: 1.00 m (0.84 to 1.16)", "lamp: 1.00 m (0.84 to 1.16)")

    def test_less_noise_gives_a_shorter_interval(self):
        wide, narrow = (solve(scene().with_noise(s), GAP).interval for s in (0.2, 0.05))

        assert wide[0] < narrow[0] < narrow[1] < wide[1]

    def test_a_room_that_is_stated_has_none(self):
        room = SceneBuilder().add("sofa", at=(0, 0, 0.5)).room([(0, 0), (4, 0), (4, 3), (0, 3)])

        assert solve(room.build().with_noise(0.1), Measure(name="room_area")).interval is None

    def test_objects_that_are_sure_give_a_sure_number(self):
        exact = scene()
        covariance = torch.zeros(3, 6, 6, dtype=torch.float64)
        covariance[2] = torch.eye(6)
        partly = replace(exact, objects=replace(exact.objects, covariance=covariance))

        assert solve(partly, GAP).interval is None

    def test_a_length_on_foot_has_one(self):
        answer = solve(scene().with_noise(0.05), Way(start=SOFA, goal=LAMP))

        assert answer.interval[0] < answer.value < answer.interval[1]


class TestWithoutNoise:
    def test_answers_are_those_of_the_solver(self):
        answer = solve(scene(), GAP)

        assert (answer.interval, answer.probability, answer.runner_up) == (None, None, None)

    def test_no_noise_leaves_the_map_as_it_is(self):
        exact = scene()

        assert exact.with_noise(0) is exact

    def test_noise_adds_to_what_is_known(self):
        twice = scene().with_noise(0.3).with_noise(0.4)

        assert torch.allclose(twice.objects.covariance, scene().with_noise(0.5).objects.covariance)

    @pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
    def test_noise_that_is_no_length_is_refused(self, sigma):
        with pytest.raises(InputError, match="noise: expected"):
            scene().with_noise(sigma)

    @pytest.mark.parametrize(
        "expression",
        [Count(Select("sofa")), Exists(Select("lamp")), Order((Select("sofa"), Select("lamp")))],
    )
    def test_what_does_not_turn_on_places_is_not_weighed(self, expression):
        assert is_fixed(expression)
        assert solve(scene().with_noise(0.1), expression).probability is None

    def test_what_has_no_answer_has_no_probability(self):
        answer = solve(scene().with_noise(0.1), Measure(name="height", of=(Unique(Select("dog")),)))

        assert answer.status is Status.UNKNOWN_OBJECT
        assert answer.probability is None


class TestProbabilities:
    def test_what_holds_by_far_is_told(self):
        near = Exists(Relate(source=LAMP, relation="near", anchor=SOFA))

        answer = solve(scene().with_noise(0.1), near)

        assert (answer.value, answer.status) == (False, Status.ANSWERED)
        assert answer.probability > 0.999

    def test_what_is_on_the_border_is_too_close_to_call(self):
        border = scene(lamp=(1.71, 0, 0.5)).with_noise(0.1)  # 1.01 m apart, and near is 1 m
        near = Exists(Relate(source=LAMP, relation="near", anchor=SOFA))

        answer = solve(border, near)

        assert (answer.value, answer.status) == (False, Status.TOO_CLOSE)
        assert answer.probability == pytest.approx(0.525, abs=0.01)
        assert answer.runner_up.value is True
        assert answer.runner_up.probability == pytest.approx(1 - answer.probability)
        assert "closed form" in answer.steps[-1].detail

    def test_the_thresholds_of_the_resolver_count(self):
        border = scene(lamp=(1.71, 0, 0.5)).with_noise(0.1)
        far = replace(THRESHOLDS, near_gap=2.0)

        answer = QueryResolver(thresholds=far).solve(
            border, Exists(Relate(source=LAMP, relation="near", anchor=SOFA))
        )

        assert (answer.value, answer.status) == (True, Status.ANSWERED)

    def test_beyond_is_the_other_side_of_within(self):
        chances = [
            solve(
                scene().with_noise(0.1),
                Exists(Relate(source=LAMP, relation=name, anchor=SOFA, limit=2.2)),
            ).probability
            for name in ("within", "beyond")
        ]

        # One is told as a no, the other as a yes.
        assert chances[0] == pytest.approx(chances[1])
        assert chances[0] == pytest.approx(0.7365, abs=1e-3)

    def test_the_threshold_is_that_asked_for(self):
        border = scene(lamp=(1.71, 0, 0.5)).with_noise(0.1)
        near = Exists(Relate(source=LAMP, relation="near", anchor=SOFA))

        assert solve(border, near, too_close=0.5).status is Status.ANSWERED

    def test_a_viewpoint_is_as_uncertain_as_what_it_is_made_of(self):
        ask = Direction(
            target=CUP, viewpoint=Viewpoint(origin=SOFA, facing=LAMP), sectors="quadrants"
        )

        clear = solve(scene(cup=(2, 2, 0.5)).with_noise(0.1), ask)
        border = solve(scene(cup=(4, 0.05, 0.5)).with_noise(0.1), ask)

        assert (clear.value, clear.status) == ("front-left", Status.ANSWERED)
        assert border.status is Status.TOO_CLOSE
        assert border.runner_up.value == "front-right"

    def test_a_choice_names_the_runner_up(self):
        close = scene(lamp=(3.0, 0, 0.5), cup=(0, 2.95, 0.5)).with_noise(0.1)
        nearest = Unique(
            Extreme(
                source=Or((Select("lamp"), Select("cup"))), measure="distance", largest=False,
                anchor=SOFA,
            )
        )  # fmt: skip

        answer = solve(close, nearest)

        assert (answer.value, answer.status) == ("lamp", Status.TOO_CLOSE)
        assert answer.runner_up.value == "cup"
        assert answer.probability + answer.runner_up.probability == pytest.approx(1.0)

    def test_a_set_names_its_members_in_doubt(self):
        near = scene(lamp=(1.69, 0, 0.5), cup=(0.9, 0, 0.5)).with_noise(0.1)

        answer = solve(near, Relate(source=Select(), relation="near", anchor=SOFA))

        assert set(answer.value) == {"cup", "lamp"}
        assert "in doubt: lamp" in answer.note
        assert "cup" not in answer.note

    def test_a_number_of_an_object_chosen_by_place_has_both(self):
        close = scene(lamp=(3.0, 0, 0.5), cup=(0, 2.95, 0.5)).with_noise(0.1)
        nearest = Extreme(source=Select(), measure="distance", largest=False, anchor=SOFA)

        answer = solve(close, Measure(name="height", of=(Unique(nearest),)))

        assert answer.interval is not None
        assert answer.status is Status.TOO_CLOSE
        assert "cup" in answer.runner_up.value

    def test_counts_are_weighed(self):
        border = scene(lamp=(1.71, 0, 0.5)).with_noise(0.1)

        answer = solve(border, Count(Relate(source=Select(), relation="near", anchor=SOFA)))

        assert not is_measured(answer)
        assert answer.status is Status.TOO_CLOSE
        assert {answer.value, answer.runner_up.value} == {0, 1}

    def test_the_steps_of_a_way_are_the_same_whatever_their_lengths(self):
        answer = solve(scene().with_noise(0.02), Way(start=SOFA, goal=LAMP, tell="steps"))

        assert answer.probability == 1.0
        assert answer.steps[-1].detail.startswith("12 worlds sampled, seed 0")

    def test_the_same_question_gives_the_same_probability(self):
        taller = Compare(
            left=Measure(name="height", of=(LAMP,)), operator="more",
            right=Measure(name="height", of=(SOFA,)),
        )  # fmt: skip

        noisy = scene().with_noise(0.1)
        first, second = (QueryResolver().solve(noisy, taller) for _ in range(2))

        assert first.probability == second.probability
        assert solve(noisy, taller, seed=1).probability != first.probability
        assert "200 worlds sampled, seed 0" in first.steps[-1].detail

    def test_an_ambiguous_answer_stays_so(self):
        two = SceneBuilder().add("sofa", at=(0, 0, 0.5), size=(1, 1, 1))
        two.add("chair", at=(0.9, 0, 0.5)).add("chair", at=(9, 0, 0.5))

        answer = solve(
            two.build().with_noise(0.1),
            Exists(Relate(source=Unique(Select("chair")), relation="next_to", anchor=SOFA)),
        )

        assert answer.status is Status.AMBIGUOUS
        assert answer.probability > 0.9

    def test_an_empty_map_is_asked_as_before(self):
        empty = SceneBuilder().build().with_noise(0.1)

        assert solve(empty, Count(Select())).value == 0


class TestAgainstTheOdds:
    """What the boxes as they are give may be an improbable value."""

    @staticmethod
    def weighed(values, *, told, too_close=0.8):
        worlds = iter([Answer(value=value) for value in values])
        noisy = scene().with_noise(0.1)
        caution = Caution(samples=len(values), too_close=too_close)
        expression = Count(Relate(source=Select(), relation="on", anchor=SOFA))
        return weigh(
            noisy, expression, Answer(value=told, unit="count"),
            solve=lambda *_: next(worlds), caution=caution,
        )  # fmt: skip

    def test_another_value_is_told_where_it_is_sure(self):
        answer = self.weighed([2] * 9 + [1], told=1)

        assert (answer.value, answer.probability) == (2, 0.9)
        assert answer.runner_up == RunnerUp(value=1, probability=0.1)
        assert "the boxes as they are give 1" in answer.note

    def test_the_value_told_stays_where_nothing_is_sure(self):
        answer = self.weighed([2] * 6 + [1] * 4, told=1)

        assert (answer.value, answer.status) == (1, Status.TOO_CLOSE)
        assert answer.probability == 0.4

    def test_a_low_threshold_does_not_let_a_minority_win(self):
        answer = self.weighed([2] * 4 + [1] * 3 + [3] * 3, told=1, too_close=0.2)

        assert (answer.value, answer.status) == (1, Status.ANSWERED)

    def test_worlds_without_an_answer_count_against_it(self):
        answer = self.weighed([1, 1, None, None], told=1)

        assert answer.probability == 0.5
        assert answer.runner_up.value is None


@pytest.mark.parametrize("options", [{"too_close": 1.1}, {"too_close": -0.1}, {"samples": 0}])
def test_caution_checks_its_numbers(options):
    with pytest.raises(InputError, match="expected"):
        Caution(**options)


def test_a_scene_of_the_benchmark_is_asked(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    noisy = CognitiveMap.load(path, scene=CognitiveMap.scenes(path)[0]).with_noise(0.05)

    answer = solve(noisy, Measure(name="size", of=(Select(noisy.ids[0]),)))

    assert answer.value is not None

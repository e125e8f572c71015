"""Questions of rooms: their words, and truths that were worked out by hand."""

import re

import numpy as np
import pytest
from block_rooms import block, block_room, shot

from groundplane.core.errors import InputError
from groundplane.evaluation.vsibench import TASKS as OFFICIAL
from groundplane.spatial.questions.parser import parse_question
from groundplane.testing.rooms.question import facts_of
from groundplane.testing.rooms.questions import TASKS, make_questions
from groundplane.testing.rooms.questions_order import first_seen
from groundplane.testing.rooms.questions_routes import walkable

# Six by five metres, seen from above: the sofa in the west, the tv in the east, the bed north of
# the middle, two chairs and a lamp.
SOFA = block(1, "sofa", (0.5, 1.0, 0.4), (0.8, 1.8, 0.8))
TV = block(2, "tv", (5.5, 1.0, 0.8), (0.2, 1.2, 0.7))
BED = block(3, "bed", (3.0, 4.0, 0.3), (1.6, 1.4, 0.6))
CHAIR = block(4, "chair", (4.0, 2.0, 0.5), (0.4, 0.4, 1.0))
OTHER = block(5, "chair", (4.6, 3.0, 0.5), (0.4, 0.4, 1.0))
LAMP = block(6, "lamp", (0.3, 4.7, 0.75), (0.3, 0.3, 1.5))
ROOM = block_room(SOFA, TV, BED, CHAIR, OTHER, LAMP)


def asked(room, task, **options):
    return make_questions(room, tasks=[task], per_task=10**6, **options)


def about(questions, *ids):
    (found,) = (question for question in questions if question.draft.about == ids)
    return found.draft


def picked(draft):
    """What the right option says."""
    return dict(choice.split(". ", 1) for choice in draft.choices)[draft.answer]


class TestByHand:
    def test_what_is_more_than_one_is_counted(self):
        (question,) = asked(ROOM, "object_counting")
        assert question.draft.text == "How many chair(s) are in this room?"
        assert (question.draft.answer, question.draft.value) == ("2", 2.0)

    def test_the_longest_side_in_centimetres(self):
        questions = asked(ROOM, "object_size_estimation")
        assert {q.draft.about[0]: q.draft.answer for q in questions} == {
            1: "180", 2: "120", 3: "160", 6: "150"
        }  # fmt: skip

    def test_the_room_is_what_its_outline_holds(self):
        (question,) = asked(ROOM, "room_size_estimation")
        assert (question.draft.answer, question.draft.value) == ("30.0", pytest.approx(30.0))

    def test_distances_are_measured_from_side_to_side(self):
        questions = asked(ROOM, "object_abs_distance")
        found = {tuple(sorted(q.draft.about)): q.draft.value for q in questions}
        assert found[1, 2] == pytest.approx(5.4 - 0.9, abs=0.05)
        assert found[1, 6] == pytest.approx(4.55 - 1.9, abs=0.05)
        assert len(found) == 6

    def test_the_nearest_of_four(self):
        lamp = block(7, "cup", (5.5, 4.5, 0.4), (0.1, 0.1, 0.1))
        questions = asked(block_room(*ROOM.objects, lamp), "object_rel_distance")
        nearest = {q.draft.about[0]: picked(q.draft) for q in questions}
        assert nearest[2] == "chair"  # 1.2 m before the tv, whatever else is offered
        assert nearest[6] == "bed" or nearest[6] == "sofa"

    def test_left_and_right_of_what_one_faces(self):
        draft = about(asked(ROOM, "object_rel_direction_easy"), 1, 2, 3)
        assert draft.text == (
            "If I am standing by the sofa and facing the tv, is the bed to the left or the right "
            "of the tv?"
        )
        assert picked(draft) == "left"
        assert picked(about(asked(ROOM, "object_rel_direction_easy"), 2, 1, 3)) == "right"

    def test_what_is_behind_is_to_the_back(self):
        # From the bed the tv is to the south-east and the lamp to the west by north: a turn of
        # atan2(-3, 2.5) to atan2(0.7, -2.7), 216 degrees, within ten of the border.
        questions = asked(ROOM, "object_rel_direction_medium")
        assert (3, 2, 6) not in {q.draft.about for q in questions}
        south = block(8, "door", (3.0, 1.0, 1.0), (0.8, 0.1, 2.0))
        north = block(9, "window", (3.2, 4.9, 1.5), (0.5, 0.1, 0.5))
        room = block_room(south, north, block(3, "bed", (3.0, 3.0, 0.3), (0.5, 0.5, 0.5)))
        assert picked(about(asked(room, "object_rel_direction_medium"), 3, 8, 9)) == "back"

    def test_quadrants(self):
        draft = about(asked(ROOM, "object_rel_direction_hard"), 1, 2, 3)
        assert picked(draft) == "front-left"
        assert len(draft.choices) == 4
        assert picked(about(asked(ROOM, "object_rel_direction_hard"), 1, 3, 2)) == "front-right"

    def test_the_order_of_appearance(self):
        seen = {1: 0.0, 2: 2.5, 3: 5.0, 6: 1.2, 4: 9.0, 5: 8.0}
        (question, *_) = asked(ROOM, "obj_appearance_order", appeared=seen)
        order = ["sofa", "lamp", "tv", "bed", "chair"]
        right = picked(question.draft).split(", ")
        assert right == [label for label in order if label in right]
        assert len(set(question.draft.choices)) == 4

    def test_things_within_a_second_have_no_order(self):
        seen = {1: 0.0, 2: 0.9, 3: 1.8, 6: 2.7}
        assert asked(ROOM, "obj_appearance_order", appeared=seen) == ()

    def test_a_route_turns_left_at_the_tv(self):
        room = block_room(SOFA, TV, block(7, "door", (5.4, 4.5, 1.0), (0.9, 0.1, 2.0)))
        drafts = [question.draft for question in asked(room, "route_planning")]
        straight = next(
            d for d in drafts if d.about == (1, 2, 7) and "1. Go forward until the tv" in d.text
        )
        assert straight.text == (
            "You are a robot beginning at the sofa and facing the tv. You want to navigate to the "
            "door. You will perform the following actions (Note: for each [please fill in], choose "
            "either 'turn back,' 'turn left,' or 'turn right.'): 1. Go forward until the tv 2. "
            "[please fill in] 3. Go forward until the door. You have reached the final destination."
        )
        assert picked(straight) == "Turn Left"
        to_tv, first = (
            "facing the door. You want to navigate to the tv",
            "1. [please fill in] 2. Go",
        )
        turning = next(d for d in drafts if to_tv in d.text and first in d.text and d.about[0] == 1)
        assert picked(turning) == "Turn Right"
        assert sorted(turning.choices)[0].startswith("A. Turn ")


class TestWalkable:
    def test_what_stands_between_is_in_the_way(self):
        facts = facts_of(block_room(SOFA, TV, block(7, "table", (3.0, 1.0, 0.4), (1.0, 1.0, 0.8))))
        assert not walkable(facts, 0, 1)
        assert walkable(facts, 0, 2)

    def test_a_rug_a_lamp_from_above_and_a_cup_on_the_sofa_are_not(self):
        rug = block(7, "rug", (3.0, 1.0, 0.01), (1.0, 1.0, 0.02))
        above = block(8, "lamp", (3.0, 1.0, 2.3), (0.4, 0.4, 0.3))
        cup = block(9, "cup", (0.8, 1.0, 0.85), (0.1, 0.1, 0.1), support=1)
        assert walkable(facts_of(block_room(SOFA, TV, rug, above, cup)), 0, 1)

    def test_the_corner_of_a_bent_room_is(self):
        bent = ((0, 0), (6, 0), (6, 2), (2, 2), (2, 5), (0, 5))
        sofa = block(1, "sofa", (1.0, 4.5, 0.4), (0.8, 0.8, 0.8))
        facts = facts_of(block_room(sofa, TV, outline=bent))
        assert not walkable(facts, 0, 1)

    def test_nobody_walks_to_what_hangs_above(self):
        window = block(7, "window", (0.05, 1.0, 1.8), (0.1, 0.8, 0.6))
        facts = facts_of(block_room(SOFA, TV, window))
        assert facts.gaps[0, 2] > 0.4
        assert not walkable(facts, 0, 2)
        assert walkable(facts, 1, 2) == walkable(facts, 2, 1)


class TestMargins:
    """What is too close to call is not asked (VSI-Bench, appendix); on both sides of each limit."""

    @staticmethod
    def nearest(*gaps, outline=((0, 0), (9, 0), (9, 4), (0, 4)), more=()):
        """Whether the nearest of cubes is asked, which stand so far from a cube in a row."""
        own = block(1, "stool", (4.0, 2.0, 0.5), (0.2, 0.2, 0.2))
        sides = ((-1, 0), (1, 0), (0, -1), (0, 1))
        others = [
            block(
                2 + i, "abcd"[i], (4 + x * (0.2 + gap), 2 + y * (0.2 + gap), 0.5), (0.2, 0.2, 0.2)
            )
            for i, ((x, y), gap) in enumerate(zip(sides, gaps, strict=True))
        ]
        room = block_room(own, *others, *more, outline=outline)
        questions = [q for q in asked(room, "object_rel_distance") if q.draft.about == (1,)]
        return questions[0].draft if questions else None

    def test_the_nearest_option_is_not_too_near(self):
        assert self.nearest(0.14, 0.6, 1.0, 1.4) is None
        assert picked(self.nearest(0.16, 0.6, 1.0, 1.4)) == "a"

    @pytest.mark.parametrize("place", range(3))
    def test_no_two_options_are_about_as_far(self, place):
        gaps = [0.4, 0.8, 1.2, 1.6]
        gaps[place] = gaps[place + 1] - 0.14
        assert self.nearest(*gaps) is None
        gaps[place] = gaps[place + 1] - 0.16
        assert picked(self.nearest(*gaps)) == "a"

    def test_in_a_large_room_options_are_further_apart(self):
        gaps, large = (0.4, 0.65, 1.2, 1.6), ((0, 0), (9, 0), (9, 5), (0, 5))
        assert picked(self.nearest(*gaps)) == "a"
        assert self.nearest(*gaps, outline=large) is None
        assert picked(self.nearest(0.3, 0.65, 1.2, 1.6, outline=large)) == "a"

    def test_of_a_category_the_nearest_counts(self):
        second = block(9, "d", (4.0, 2.0, 1.0), (0.2, 0.2, 0.2))  # 0.3 m above the stool
        assert picked(self.nearest(0.5, 0.8, 1.1, 1.5, more=[second])) == "d"

    def test_things_that_nearly_touch_are_not_measured_between(self):
        for gap, least in ((0.10, 0), (0.145, 0), (0.21, 1)):
            a = block(1, "a", (1.0, 1.0, 0.5), (0.5, 0.5, 0.5))
            b = block(2, "b", (1.5 + gap, 1.0, 0.5), (0.5, 0.5, 0.5))
            assert len(asked(block_room(a, b), "object_abs_distance")) == least, gap

    @staticmethod
    def directions(level, degrees, *, far=3.0, size=0.1):
        """What is asked of a thing so many degrees to the left of the one that is faced."""
        angle = np.radians(90 + degrees)
        at = (far * np.cos(angle), far * np.sin(angle), 0.5)
        things = (
            block(1, "p", (0, 0, 0.5), (0.1, 0.1, 0.1)),
            block(2, "o", (0, 2, 0.5), (0.1, 0.1, 0.1)),
            block(3, "q", at, (size, size, 0.1)),
        )
        found = asked(block_room(*things), f"object_rel_direction_{level}")
        answers = [picked(q.draft) for q in found if q.draft.about == (1, 2, 3)]
        return answers[0] if answers else None

    @pytest.mark.parametrize(
        ("level", "borders", "names"),
        [
            ("hard", (0, 90, 180, 270), ("front-left", "back-left", "back-right", "front-right")),
            ("medium", (0, 135, 225), ("left", "back", "right")),
            ("easy", (0, 135, 225), ("left", None, "right")),
        ],
    )
    def test_sectors_begin_ten_degrees_off_their_borders(self, level, borders, names):
        for border, before, after in zip(borders, (names[-1], *names), names, strict=False):
            assert self.directions(level, border + 11) == after
            assert self.directions(level, border - 11) == before
            assert self.directions(level, border + 9) is None
            assert self.directions(level, border - 9) is None

    def test_things_too_near_or_too_far_have_no_direction(self):
        assert self.directions("hard", 45, far=0.35) is None
        assert self.directions("hard", 45, far=0.5) == "front-left"
        assert self.directions("hard", 130, far=4.9) is None  # 6.3 m from what is faced
        assert self.directions("hard", 45, far=4.9) == "front-left"

    def test_a_thing_that_reaches_into_other_sectors_is_not_asked_about(self):
        assert self.directions("hard", 12, size=0.2) == "front-left"
        # Half of its corners lie to the right of the line of sight.
        assert self.directions("hard", 12, size=1.9) is None

    def test_four_categories_appear_more_than_a_second_apart(self):
        for step, asks in ((0.99, False), (1.01, True)):
            seen = {1: 0.0, 2: step, 3: 2 * step, 6: 3 * step}
            assert bool(asked(ROOM, "obj_appearance_order", appeared=seen)) == asks


class TestWords:
    def test_every_task_of_the_benchmark_is_asked(self):
        assert set(TASKS) == set(OFFICIAL)

    def test_all_words_are_understood(self):
        seen = {thing.id: 2.0 * thing.id for thing in ROOM.objects}
        questions = make_questions(ROOM, per_task=20, appeared=seen)
        assert {question.task for question in questions} == set(TASKS)
        for question in questions:
            parse_question(question.draft.text, choices=question.draft.choices)

    def test_letters_and_options_agree(self):
        for question in make_questions(ROOM, per_task=5, appeared={1: 0.0, 2: 2.0, 3: 4.0, 6: 6.0}):
            draft = question.draft
            assert re.fullmatch(r"[A-D]", draft.answer) if draft.choices else float(draft.answer)
            assert (draft.value is None) == bool(draft.choices)
            assert [choice[:3] for choice in draft.choices] == [
                f"{letter}. " for letter in "ABCD"[: len(draft.choices)]
            ]

    def test_the_same_seed_asks_the_same(self):
        first = make_questions(ROOM, seed=4, per_task=3)
        assert first == make_questions(ROOM, seed=4, per_task=3)
        assert first != make_questions(ROOM, seed=5, per_task=3)

    def test_one_task_alone_asks_what_it_asks_among_others(self):
        every = make_questions(ROOM, per_task=2)
        alone = make_questions(ROOM, per_task=2, tasks=["object_rel_direction_hard"])
        assert alone == tuple(q for q in every if q.task == "object_rel_direction_hard")

    def test_what_is_never_seen_is_not_asked_about(self):
        questions = make_questions(ROOM, per_task=50, appeared={1: 0.0, 2: 1.0, 4: 2.0})
        assert {key for question in questions for key in question.draft.about} <= {1, 2, 4}
        assert all(question.task != "object_counting" for question in questions)


class TestFirstSeen:
    def test_a_thing_appears_when_it_covers_enough(self):
        small, large = np.zeros((40, 50)), np.zeros((40, 50))
        small[0, 0] = 3
        large[0, :2] = 3
        assert first_seen([shot(small, 0.0), shot(large, 0.5), shot(large, 1.0)]) == {3: 0.5}

    def test_nothing_is_seen_in_an_empty_room(self):
        assert first_seen([shot(np.zeros((4, 4)), 0.0)]) == {}

    @pytest.mark.parametrize("least", [0.0, -1.0, 1.5, float("nan")])
    def test_a_share_that_is_none_is_refused(self, least):
        with pytest.raises(InputError, match="share of the picture"):
            first_seen([], least=least)


class TestBadInput:
    def test_an_unknown_task_is_named(self):
        with pytest.raises(InputError, match="unknown task 'counting'"):
            make_questions(ROOM, tasks=["counting"])

    def test_less_than_none_is_refused(self):
        with pytest.raises(InputError, match="at least 0"):
            make_questions(ROOM, per_task=-1)

    def test_a_bare_room_asks_for_its_size_alone(self):
        questions = make_questions(block_room(), per_task=3, appeared={})
        assert [question.task for question in questions] == ["room_size_estimation"]

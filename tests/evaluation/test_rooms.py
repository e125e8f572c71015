"""Rooms whose truth is known: the referee of maps from pictures, and what feeds it wrong maps."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from block_rooms import block, block_room

from groundplane.core.errors import InputError
from groundplane.evaluation.rooms import RoomsJob, answer_questions, evaluate_room, plan_of_room
from groundplane.evaluation.rooms_maps import MapScore, compare, true_map
from groundplane.evaluation.rooms_records import (
    CLEAN,
    NOISES,
    TRUE_BOXES,
    Condition,
    RoomRecord,
    read_noise,
)
from groundplane.evaluation.rooms_result import RoomsResult, summarise
from groundplane.testing.rooms.question import facts_of
from groundplane.testing.rooms.questions import make_questions

# The full form is 50 rooms and all tasks of each; 500 by command.
ROOMS = int(os.environ.get("GROUNDPLANE_ROOMS", "50"))
TASKS = 10 if "GROUNDPLANE_ROOMS" in os.environ else 4
THINGS = (
    block(1, "sofa", (0.5, 1.0, 0.4), (0.8, 1.8, 0.8)),
    block(2, "tv", (5.5, 1.0, 0.8), (0.2, 1.2, 0.7)),
    block(3, "chair", (3.0, 4.0, 0.5), (0.5, 0.5, 1.0)),
    block(4, "chair", (4.6, 3.0, 0.5), (0.4, 0.4, 1.0)),
    block(5, "lamp", (1.8, 4.7, 0.75), (0.3, 0.3, 1.5)),
)
FACTS = facts_of(block_room(*THINGS), {1: 0.0, 2: 2.0, 3: 4.0, 4: 5.0, 5: 6.0})
TRUE = true_map(FACTS)
QUESTIONS = make_questions(FACTS.room, per_task=5, appeared=FACTS.appeared)
FEW = make_questions(FACTS.room, per_task=1, appeared=FACTS.appeared)


SCRIPT = """
import json, sys
from groundplane.evaluation.rooms import RoomsJob, evaluate_room
job = RoomsJob(rooms=int(sys.argv[1]), tasks=int(sys.argv[2]), step=20)
for number in range(job.rooms):
    print(json.dumps([record.record() for record in evaluate_room(job, number)]))
"""


@pytest.fixture(scope="module")
def fifty(draws):
    # In a process of its own, as users run it: checks of every shape would take half of the time.
    command = [sys.executable, "-c", SCRIPT, str(ROOMS), str(TASKS)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return RoomsResult(records=tuple(RoomRecord.of(each) for line in lines for each in line))


class TestFifty:
    def test_true_boxes_answer_everything(self, fifty):
        made = fifty.summaries()[TRUE_BOXES]
        assert len(made.answers.items) >= min(200, 4 * ROOMS) * 0.95
        assert made.answers.mean() >= 0.99

    def test_maps_without_noise_answer_nearly_everything(self, fifty):
        made = fifty.summaries()[CLEAN].answers
        assert made.mean() >= 0.95
        for task, row in made.tasks().items():
            assert row["score"] >= 0.9, task

    def test_counts_are_exact(self, fifty):
        assert fifty.summaries()[CLEAN].counted >= 0.97

    def test_things_are_where_they_are(self, fifty):
        made = fifty.summaries()[CLEAN]
        assert made.precision >= 0.99
        assert made.recall >= 0.99
        assert made.position <= 0.03
        assert made.size <= 0.05
        assert made.area <= 0.02


class TestNoise:
    def test_noise_lowers_what_it_should(self):
        noises = read_noise(["lost=0.5", "confusion=0.6"])
        job = RoomsJob(rooms=1, seed=3, step=20, tasks=2, noises=noises)
        found = {str(record.condition): record.map for record in evaluate_room(job, 0)}
        assert found["lost=0.5"].found < found["none"].found
        assert found["confusion=0.6"].matched < found["none"].matched

    def test_noise_of_depth_and_poses_moves_things(self):
        texts = ["depth=0.02", "scale=0.05", "holes=0.1", "pose=0.02", "drift=0.01"]
        job = RoomsJob(rooms=1, seed=9, step=45, tasks=1, noises=read_noise(texts))
        # The room is drawn once, and its map without noise made once, for all of them.
        clean, *noisy = evaluate_room(job, 0)[1:]
        assert [str(record.condition) for record in noisy] == texts
        assert not [r.condition for r in noisy if r.map.position == clean.map.position]


class TestWrongMaps:
    def test_the_true_map_is_perfect(self):
        made = compare(TRUE, TRUE)
        assert (made.found, made.matched, made.counted) == (5, 5, True)
        assert max(made.position) == 0
        assert all(pairs == right for pairs, _, right in made.bins)
        answers = list(answer_questions(TRUE, QUESTIONS))
        assert all(answer.item.score == 1 for answer in answers)

    def test_a_thing_that_is_not_there_is_found_out(self):
        wrong = replace(TRUE, labels=("sofa", "chair", *TRUE.labels[2:]), counts={})
        made = compare(wrong, TRUE)
        assert (made.matched, made.counted) == (4, False)
        assert made.counts["chair"] == (3, 2)

    def test_a_moved_thing_is_far_off_and_not_matched(self):
        moved = TRUE.objects.centers.clone()
        moved[0, 1] += 2.5
        wrong = replace(TRUE, objects=replace(TRUE.objects, centers=moved))
        assert compare(wrong, TRUE).matched == 4

    def test_questions_on_a_mirrored_map_fail(self):
        flip = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
        wrong = replace(TRUE, objects=replace(TRUE.objects, centers=TRUE.objects.centers * flip))
        answers = [a for a in answer_questions(wrong, QUESTIONS) if "direction" in a.item.task]
        assert answers
        assert not any(answer.item.score for answer in answers if "easy" in answer.item.task)

    def test_an_empty_map_matches_nothing(self):
        empty = true_map(facts_of(block_room()))
        made = compare(empty, TRUE)
        assert (made.found, made.matched, made.things) == (0, 0, 5)
        assert compare(TRUE, empty).matched == 0

    def test_wide_error_bars_hold_the_truth_and_narrow_ones_do_not(self):
        off = replace(TRUE.objects, centers=TRUE.objects.centers + 0.1)
        wide, narrow = (replace(TRUE, objects=off).with_noise(sigma) for sigma in (0.2, 0.01))
        assert compare(wide, TRUE).inside == (15, 15)
        assert compare(narrow, TRUE).inside == (0, 15)


class TestRecords:
    def test_records_go_there_and_back(self):
        record = RoomRecord(
            room="blocks",
            seed=4,
            condition=Condition("depth", 0.02),
            answers=tuple(answer_questions(TRUE.with_noise(0.05), FEW)),
            map=compare(TRUE, TRUE),
            seconds=1.5,
        )
        assert RoomRecord.of(record.record()).record() == record.record()

    def test_means_are_over_all_rooms(self):
        few = MapScore(things=1, found=1, matched=1, counts={"cup": (1, 1)})
        many = MapScore(things=3, found=5, matched=1, counts={"cup": (5, 3)})
        made = summarise(
            [
                RoomRecord(room=str(i), seed=i, condition=CLEAN, answers=(), map=each)
                for i, each in enumerate((few, many))
            ]
        )
        assert (made.precision, made.recall, made.counted) == (2 / 6, 0.5, 0.5)

    def test_a_plan_shows_the_map(self):
        svg = plan_of_room(RoomsJob(rooms=1, seed=9, step=60), 0, CLEAN)
        assert svg.startswith(b"<?xml")


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"rooms": 0}, "rooms from 1"),
            ({"seed": -1}, "seed from 0"),
            ({"per_task": 0}, "per task from 1"),
            ({"tasks": 11}, "tasks from 1 to 10"),
            ({"step": 0}, "step from 1"),
            ({"size": (8, 8)}, "pictures of 16"),
        ],
    )
    def test_numbers_out_of_range_are_named(self, options, what):
        with pytest.raises(InputError, match=what):
            RoomsJob(**options)

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("fog=0.1", "unknown noise 'fog'"),
            ("dept=0.1", "Did you mean 'depth'"),
            ("depth=-0.1", "0 to 1, got -0.1"),
            ("misses=1.5", "0 to 1, got 1.5"),
            ("depth=nan", "expected a noise and its levels"),
            ("depth=inf", "got inf"),
            ("depth", "expected a noise and its levels"),
            ("depth=", "expected a noise and its levels"),
            ("depth=a,b", "expected a noise and its levels"),
            ("none=1", "has no level"),
        ],
    )
    def test_noise_that_is_none_is_named(self, text, what):
        with pytest.raises(InputError, match=what):
            read_noise([text])

    def test_every_noise_can_be_asked_for(self):
        assert [c.noise for c in read_noise([f"{name}=0.01" for name in NOISES])] == list(NOISES)

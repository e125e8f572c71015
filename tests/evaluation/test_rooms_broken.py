"""The evaluation can fail: what answers or maps wrongly gets low scores, and where it is wrong."""

from dataclasses import replace

import pytest
from block_rooms import block, block_room

from groundplane.core.errors import InputError
from groundplane.evaluation import rooms_mapping
from groundplane.evaluation.rooms import answer_questions
from groundplane.evaluation.rooms_maps import compare, true_map
from groundplane.evaluation.rooms_records import CLEAN, Condition
from groundplane.evaluation.vsibench import Result
from groundplane.spatial import facing
from groundplane.spatial.boxes import Boxes3D
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.question import facts_of
from groundplane.testing.rooms.questions import make_questions
from groundplane.testing.rooms.questions_order import first_seen

THINGS = (
    block(1, "sofa", (0.5, 1.0, 0.4), (0.8, 1.8, 0.8)),
    block(2, "tv", (5.5, 1.0, 0.8), (0.2, 1.2, 0.7)),
    block(3, "bed", (3.0, 4.0, 0.3), (1.6, 1.4, 0.6)),
    block(4, "chair", (4.0, 2.0, 0.5), (0.4, 0.4, 1.0)),
    block(5, "chair", (4.6, 3.0, 0.5), (0.4, 0.4, 1.0)),
    block(6, "lamp", (0.3, 4.7, 0.75), (0.3, 0.3, 1.5)),
)
FACTS = facts_of(block_room(*THINGS), {1: 0.0, 2: 2.0, 3: 4.0, 4: 5.0, 5: 6.0, 6: 8.0})
TRUE = true_map(FACTS)
QUESTIONS = make_questions(FACTS.room, per_task=4, appeared=FACTS.appeared)
DIRECTIONS = {f"object_rel_direction_{level}" for level in ("easy", "medium", "hard")}


def scores(scene):
    """The score of each task."""
    result = Result(items=tuple(answer.item for answer in answer_questions(scene, QUESTIONS)))
    return {task: row["score"] for task, row in result.tasks().items()}


def test_what_is_right_is_right_in_every_task():
    found = scores(TRUE)
    assert len(found) == 10
    assert set(found.values()) == {1.0}


def test_a_solver_that_swaps_left_and_right_fails_directions_alone(monkeypatch):
    right = facing.bearing
    monkeypatch.setattr(facing, "bearing", lambda *places: (360 - right(*places)) % 360)
    found = scores(TRUE)
    assert found["object_rel_direction_easy"] == found["object_rel_direction_hard"] == 0
    assert found["object_rel_direction_medium"] < 0.5  # what is at the back stays there
    assert all(score == 1 for task, score in found.items() if task not in DIRECTIONS)


def test_a_builder_that_doubles_things_fails_counts():
    both = [*range(len(TRUE)), *range(len(TRUE))]
    twice = replace(
        TRUE,
        ids=(*TRUE.ids, *(f"{name}-again" for name in TRUE.ids)),
        labels=TRUE.labels * 2,
        attributes=TRUE.attributes * 2,
        scores=TRUE.scores[both],
        fronts=TRUE.fronts[both],
        first_seen=TRUE.first_seen[both],
        objects=Boxes3D(
            centers=TRUE.objects.centers[both],
            sizes=TRUE.objects.sizes[both],
            axes=TRUE.objects.axes[both],
        ),
        counts={},
    )
    made = compare(twice, TRUE)
    assert (made.found, made.matched, made.counted) == (12, 6, False)
    assert made.counts["chair"] == (4, 2)
    assert scores(twice)["object_counting"] == 0


def test_a_map_that_is_a_fifth_too_large_fails_what_is_measured():
    large = replace(
        TRUE,
        objects=Boxes3D(
            centers=TRUE.objects.centers * 1.2,
            sizes=TRUE.objects.sizes * 1.2,
            axes=TRUE.objects.axes,
        ),
        room_area=TRUE.room_area * 1.44,
    )
    found = scores(large)
    assert found["object_size_estimation"] == pytest.approx(0.7, abs=0.11)
    assert found["object_abs_distance"] < 0.8
    assert found["room_size_estimation"] < 0.3
    assert found["object_counting"] == found["object_rel_direction_hard"] == 1


def test_things_seen_in_the_wrong_order_fail_order_alone():
    late = replace(TRUE, first_seen=10 - TRUE.first_seen)
    found = scores(late)
    assert found.pop("obj_appearance_order") == 0
    assert set(found.values()) == {1.0}


def test_another_room_gets_next_to_nothing():
    strange = true_map(facts_of(make_room(8)))
    found = scores(strange)
    assert sum(found.values()) / len(found) < 0.3


@pytest.fixture(scope="module")
def walked():
    room = make_room(9)
    return room, list(room.shots(step=30, size=(160, 120)))


@pytest.fixture
def deeper(monkeypatch):
    """Make depth too large in all pictures, so many times."""

    def by(times):
        def worse(frame, condition, seed):
            return replace(frame, depth=frame.depth * times)

        monkeypatch.setattr(rooms_mapping, "_worse", worse)

    return by


def test_a_map_from_depth_that_is_a_fifth_too_large_is_off(walked, deeper):
    room, shots = walked
    deeper(1.2)
    true = true_map(facts_of(room, first_seen(shots)))
    made = compare(rooms_mapping.map_room(room, shots, Condition("depth", 0.01)), true)
    own, area = made.area
    assert made.matched < made.things
    assert own is None or own > 1.1 * area


def test_depth_in_other_units_is_named(walked, deeper):
    deeper(10)
    with pytest.raises(InputError, match="depth"):
        rooms_mapping.map_room(*walked, CLEAN)

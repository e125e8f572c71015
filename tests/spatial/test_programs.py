"""Functional programs: read strictly, compiled to typed nodes, run by the solver, step by step."""

import math
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import Maker, make_scene

from groundplane.core.expressions import And, Filter, Or, Relate, Same, Select, Unique
from groundplane.core.queries import Attribute, Compare, Count, Exists
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.programs import (
    ProgramError,
    ProgramStep,
    compile_program,
    read_program,
    run_program,
)
from groundplane.spatial.relations import Thresholds
from groundplane.spatial.scene import MapScene

CASES = int(os.environ.get("GROUNDPLANE_CASES", "20"))


def step(function, *inputs, values=()):
    return {"type": function, "inputs": list(inputs), "value_inputs": list(values)}


def scene_of(record):
    made = CognitiveMap.from_record(record, source="solids")
    return MapScene(made, thresholds=Thresholds(side_offset=0.2))


def solids(*stated, view=(0, 1, 0)):
    """Solids in a row from left to right, one unit apart."""
    left = [-view[1], view[0], 0]
    objects = [
        {"size": "small", "color": "red", "material": "metal", "shape": "cube",
         "3d_coords": [float(i), 0, 0.35], **details}
        for i, details in enumerate(stated)
    ]  # fmt: skip
    ways = {"behind": list(view), "front": [-v for v in view], "left": left,
            "right": [-v for v in left]}  # fmt: skip
    return scene_of({"objects": objects, "directions": ways})


def run(scene, *rows):
    return run_program(scene, read_program(list(rows), where="question 7"), where="question 7")


class TestReading:
    def test_the_words_of_the_release_and_of_the_generator_are_the_same(self):
        released = [{"function": "scene", "inputs": [], "value_inputs": []}]
        generated = [{"type": "scene", "inputs": [], "side_inputs": []}]
        assert read_program(released, where="q") == read_program(generated, where="q")
        assert read_program(released, where="q") == (ProgramStep(function="scene"),)

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("count", "question 7: expected a program of 1 to 1000 steps, got str"),
            ([], "expected a program of 1 to 1000 steps, got 0 steps"),
            ([1], "question 7, step 0: expected an object, got int"),
            ([{"inputs": []}], "step 0: expected the name of a function as 'type', got None"),
            ([{"type": "scene"}], r"step 0 \(scene\): expected 'inputs'"),
            ([{"type": "scene", "inputs": [True]}], r"step 0 \(scene\): expected 'inputs'"),
            ([{"type": "scene", "inputs": [], "value_inputs": [3]}], "'value_inputs', a list of"),
            ([step("scent")], "there is no such function. Did you mean 'scene'"),
            ([step("count", 0)], r"step 0 \(count\): expected inputs from earlier steps, got 0"),
            ([step("scene"), step("count", -1)], "expected inputs from earlier steps, got -1"),
            ([step("scene"), step("count")], "expected inputs of kind set, got none"),
            ([step("scene"), step("relate", 0, values=["left"])], "of kind object, got set"),
            ([step("scene"), step("filter_color", 0)], "expected 1 values, got none"),
            (
                [step("scene"), step("unique", 0), step("relate", 1, values=["near"])],
                r"step 2 \(relate\): expected one of left, right, front, behind, got 'near'",
            ),
            (
                [step("scene"), step("unique", 0), step("query_size", 1), step("query_color", 1),
                 step("equal_size", 2, 3)],
                "expected inputs of kind size, size, got size, color",
            ),
        ],
    )  # fmt: skip
    def test_a_malformed_program_is_refused_with_question_and_step(self, rows, message):
        with pytest.raises(ProgramError, match=message):
            read_program(rows, where="question 7")


def test_each_function_is_a_typed_node():
    rows = [
        step("scene"), step("filter_size", 0, values=["large"]), step("unique", 1),
        step("relate", 2, values=["front"]), step("same_shape", 2), step("union", 3, 4),
        step("intersect", 3, 4), step("count", 5), step("exist", 6), step("query_color", 2),
        step("equal_color", 9, 9), step("less_than", 7, 7), step("equal_object", 2, 2),
    ]  # fmt: skip
    every, one = Select(None), Unique(Filter(Select(None), "size", "large"))
    front = Relate(source=every, relation="in_front_of", anchor=one)
    like = Same(source=every, attribute="shape", anchor=one)
    color = Attribute(source=one, name="color")
    count = Count(Or((front, like)))
    assert compile_program(read_program(rows, where="q")) == (
        every, one.source, one, front, like, Or((front, like)), And((front, like)), count,
        Exists(And((front, like))), color, Compare(left=color, operator="equal", right=color),
        Compare(left=count, operator="fewer", right=count), Exists(And((one, one))),
    )  # fmt: skip


class TestRunning:
    def test_each_step_has_its_output(self):
        scene = solids({}, {"color": "blue"}, {"shape": "sphere", "color": "blue"})
        outputs = run(
            scene,
            step("scene"), step("filter_shape", 0, values=["sphere"]), step("unique", 1),
            step("relate", 2, values=["left"]), step("same_color", 2), step("union", 3, 4),
            step("intersect", 3, 4), step("count", 5), step("count", 6),
            step("greater_than", 7, 8), step("query_shape", 2), step("equal_object", 2, 2),
        )  # fmt: skip
        assert outputs == (
            (0, 1, 2), (2,), 2, (0, 1), (1,), (0, 1), (1,), 2, 1, True, "sphere", True,
        )  # fmt: skip

    @pytest.mark.parametrize("value", ["cylinder", "cube"])
    def test_unique_of_none_or_several_is_an_error_with_its_step(self, value):
        rows = [step("scene"), step("filter_shape", 0, values=[value]), step("unique", 1)]
        with pytest.raises(ProgramError, match=r"question 7, step 2 \(unique\): expected one obj"):
            run(solids({}, {}), *rows)

    def test_a_filter_of_nothing_gives_nothing(self):
        rows = [step("scene"), step("filter_color", 0, values=["cyan"]), step("exist", 1)]
        assert run(solids({}), *rows) == ((0,), (), False)

    def test_a_relation_without_anybody_who_looks_is_an_error(self):
        record = {
            "format": "groundplane-map", "version": 1,
            "objects": [{"label": "cube", "center": [i, i, 0], "size": [1, 1, 1],
                         "attributes": {"color": color}} for i, color in enumerate(("red", "tan"))],
        }  # fmt: skip
        rows = [step("scene"), step("filter_color", 0, values=["red"]), step("unique", 1),
                step("relate", 2, values=["left"])]  # fmt: skip
        with pytest.raises(ProgramError, match=r"step 3 \(relate\[left\]\): nobody looks"):
            run(scene_of(record), *rows)

    def test_an_attribute_that_nothing_states_is_an_error(self):
        cube = {"label": "cube", "center": [0, 0, 0], "size": [1, 1, 1]}
        record = {"format": "groundplane-map", "version": 1, "objects": [cube]}
        rows = [step("scene"), step("filter_color", 0, values=["red"])]
        with pytest.raises(ProgramError, match=r"step 1 .*does not state it"):
            run(scene_of(record), *rows)


@settings(deadline=None, max_examples=CASES)
@given(st.integers(0, 2**32))
def test_every_output_equals_a_plain_computation_from_the_coordinates(seed):
    rng = random.Random(seed)
    record = make_scene(rng, 0)
    scene = scene_of(record)
    for _ in range(3):
        question = Maker(record, rng).question()
        outputs = run(scene, *question["program"])
        for row, got in zip(question["program"], outputs, strict=True):
            wanted = row["_output"]
            assert got == (tuple(wanted) if isinstance(wanted, list) else wanted)


@settings(deadline=None, max_examples=CASES)
@given(st.integers(0, 2**32), st.floats(0, 6.28))
def test_outputs_do_not_change_when_scene_and_camera_turn_together(seed, turn):
    rng = random.Random(seed)
    record = make_scene(rng, 0)
    question = Maker(record, rng).question()
    turned = {
        **record,
        "objects": [{**o, "3d_coords": rotated(o["3d_coords"], turn)} for o in record["objects"]],
        "directions": {key: rotated(way, turn) for key, way in record["directions"].items()},
    }
    assert run(scene_of(record), *question["program"]) == run(
        scene_of(turned), *question["program"]
    )


def rotated(vector, turn):
    x, y, z = vector
    cos, sin = math.cos(turn), math.sin(turn)
    return [cos * x - sin * y, sin * x + cos * y, z]

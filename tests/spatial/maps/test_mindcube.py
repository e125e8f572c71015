"""MindCube's forms: written, read from what models write, and turned into cognitive maps."""

from __future__ import annotations

import json
import math
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps.mindcube import FACINGS, MindCubeMap, Placed, read_mindcube
from groundplane.testing.scenes import SceneBuilder

FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "1000"))
SOFA = Placed(name="sofa", position=(2, 7), facing="right")
TV = Placed(name="tv", position=(5, 3))
VIEW = Placed(name="View 1", position=(4, 9), facing="up")
AUGMENTED = (
    '{"objects": [{"name": "sofa", "position": [2, 7], "facing": "right"}, '
    '{"name": "tv", "position": [5, 3]}], '
    '"views": [{"name": "View 1", "position": [4, 9], "facing": "up"}]}'
)
PLAIN = '{"sofa": {"position": [2, 7], "facing": "right"}, "tv": {"position": [5, 3]}}'


def kinds(reading):
    return {problem.kind for problem in reading.problems}


class TestForms:
    full = MindCubeMap(objects=(SOFA, TV), views=(VIEW,))

    def test_both_published_forms_are_written(self):
        assert self.full.to_json() == AUGMENTED
        assert self.full.to_json(form="plain") == PLAIN

    def test_both_published_forms_are_read(self):
        augmented, plain = read_mindcube(AUGMENTED), read_mindcube(PLAIN)

        assert augmented.map == self.full
        assert (plain.map.objects, plain.map.views) == ((SOFA, TV), None)
        for reading in (augmented, plain):
            assert (reading.parsable, reading.well_formed, reading.problems) == (True, True, ())

    def test_the_wrapper_is_written_and_read(self):
        answer = self.full.to_answer("A. Above", think="so {it} is")

        assert answer.endswith("```</cogmap><think>so {it} is</think><answer>A. Above</answer>")
        assert read_mindcube("Based on my observation:\n" + answer).map == self.full

    def test_an_empty_map_is_written(self):
        assert MindCubeMap(objects=()).to_json() == '{"objects": [], "views": []}'

    @pytest.mark.parametrize("wrong", [{"cells": 0}, {"objects": (SOFA, SOFA)}, {"views": (SOFA,)}])
    def test_a_map_that_is_none_is_refused(self, wrong):
        with pytest.raises(InputError, match="MindCube map"):
            MindCubeMap(**{"objects": (SOFA,), **wrong})


# What models write, whether it is well-formed, and a problem that is told.
WRITTEN = [
    ("```json\n" + PLAIN + "\n```", True, "fence"),
    (PLAIN.replace('"', "'"), True, "quotes"),
    (PLAIN[:-1] + ",}", True, "comma"),
    ('{"cogmap": ' + PLAIN + "}", True, None),
    (PLAIN.replace("[2, 7]", "(2, 7)"), True, None),
    (PLAIN.replace('"right"', '"East"'), True, None),
    (PLAIN.replace('"right"', '["right"]'), True, None),
    (PLAIN[:-2], True, "truncated"),
    (PLAIN[:-1] + ', "lamp": {"facing": "up"}}', False, "dropped"),
    (PLAIN[:-1] + ', "lamp": 3}', False, "dropped"),
    (PLAIN[:-1] + ', "tv": {"position": [1, 1]}}', False, "duplicate"),
    ('{"sofa": [{"position": [2, 7], "facing": "right"}], "tv": {"position": [5, 3]}}', True, None),
    (AUGMENTED.replace('"name": "View 1", ', ""), False, "dropped"),
    (PLAIN.replace("[5, 3]", '[5, 3], "facing": "sideways"'), False, "facing"),
]


@pytest.mark.parametrize(("text", "well_formed", "kind"), WRITTEN)
def test_what_models_write_is_read_and_judged(text, well_formed, kind):
    reading = read_mindcube(text)

    assert reading.map.objects == (SOFA, TV)
    assert reading.well_formed == well_formed
    assert kind is None or kind in kinds(reading)


@pytest.mark.parametrize(
    ("facing", "meant"),
    [("North", "up"), ("back", "outer"), ("into", "inner"), (" left ", "left"), ("", None)],
)
def test_other_words_for_facings_are_known(facing, meant):
    reading = read_mindcube(f'{{"a": {{"position": [1, 2], "facing": "{facing}"}}}}')

    assert (reading.map.objects[0].facing, reading.well_formed) == (meant, True)


@pytest.mark.parametrize("text", ["", "no map", "{}", "{]"])
def test_a_text_without_a_map_gives_an_empty_one(text):
    reading = read_mindcube(text)

    assert (reading.map.objects, reading.parsable) == ((), "{" in text)
    assert "none" in kinds(reading)


def test_mutated_texts_are_read_without_an_error():
    rng = random.Random(1)
    texts = [AUGMENTED, *(text for text, _, _ in WRITTEN)]
    for _ in range(FUZZ):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 8)):
            at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
            part = rng.choice(texts)[at:end] if rng.random() < 0.3 else rng.choice('{}[]",: 1\\x')
            text = text[:at] + part + text[min(end, at + 5) :]
        made = read_mindcube(text).map
        assert read_mindcube(made.to_json()).map.objects == made.objects, text


class TestConversion:
    def scene(self):
        scene = SceneBuilder().add("sofa", at=(0.5, 0.5, 0.5), size=(1, 1, 1), front=[1, 0.2, 0])
        scene.add("tv", at=(9.5, 9.5, 0.5), size=(1, 1, 1)).add(
            "hatch", at=(5, 2, 0), size=(1, 1, 0.1), front=[0, 0.1, -1]
        )
        return scene.build()

    def test_the_worlds_y_is_up_and_the_top_row_is_zero(self):
        made = MindCubeMap.of(self.scene(), views=(VIEW,))

        assert [(item.name, item.position, item.facing) for item in made.objects] == [
            ("sofa", (0, 9), "right"),
            ("tv", (9, 0), None),
            ("hatch", (5, 7), "inner"),
        ]
        assert made.views == (VIEW,)

    def test_back_and_forth_keeps_cells_and_facings(self):
        made = MindCubeMap.of(self.scene())
        back = made.to_map(side=10, name="told")

        assert (back.name, back.scale, back.ids) == ("told", "metric", ("sofa", "tv", "hatch"))
        assert back.objects.centers[:, :2].tolist() == [[0.5, 0.5], [9.5, 9.5], [5.5, 2.5]]
        assert back.fronts[0].tolist() == [1, 0, 0]
        assert back.fronts[1].isnan().all()
        assert made.to_map().scale == "relative"

    def test_an_empty_map_stays_empty(self):
        empty = SceneBuilder().build()

        assert MindCubeMap.of(empty).objects == ()
        assert len(MindCubeMap.of(empty).to_map()) == 0

    @pytest.mark.parametrize("side", [0.0, math.nan, math.inf])
    def test_a_side_that_is_none_is_refused(self, side):
        with pytest.raises(InputError, match="above 0 metres"):
            MindCubeMap(objects=()).to_map(side=side)


NAMES = st.text("abcdefgh 12äß椅", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.dictionaries(NAMES, st.sampled_from([None, *FACINGS]), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_map_comes_back_as_it_was_written(names):
    names = {" ".join(name.split()): facing for name, facing in names.items()}
    objects = tuple(
        Placed(name=name, position=(i, 9 - i), facing=facing)
        for i, (name, facing) in enumerate(names.items())
    )
    made = MindCubeMap(objects=objects, views=())

    assert read_mindcube(made.to_json()).map == made
    assert json.loads(made.to_json(form="plain")).keys() == names.keys()
    assert read_mindcube(made.to_json(form="plain")).map.objects == objects


def test_records_by_name_within_objects_are_read():
    text = '{"objects": {"tv": {"position": [1, 2]}}, "views": {"View 1": {"position": [3, 4]}}}'

    reading = read_mindcube(text)

    assert [item.name for item in reading.map.objects] == ["tv"]
    assert [item.name for item in reading.map.views] == ["View 1"]
    assert {problem.kind for problem in reading.problems} == {"bracket"}

"""Grid maps as models write them: what is read, what is repaired, what is lost."""

# ruff: noqa: RUF001 (full-width and curly characters are what is tested)

from __future__ import annotations

import ast
import json
import math
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps.cogmap import GridMap, GridReading, read_grid
from groundplane.testing.scenes import SceneBuilder

FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "1000"))
PLAIN = {"chair": ((1, 2), (3, 4)), "coffee table": ((5, 6),)}


def kinds(reading):
    return {problem.kind for problem in reading.problems}


RECORDS = """{"objects": [{"name": "chair", "position": [[1, 2], [3, 4]]},
  {"name": "coffee table", "position": [5, 6]}], "views": [{"name": "View 1"}]}"""
SIDE_BY_SIDE = """[{"category": "chair", "coordinates": [[1, 2], [3, 4]]},
  {"category": "coffee table", "coordinates": [[5, 6]]}]"""
# What models write; the kinds of problems that reading it must tell.
WRITTEN = [
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}', set()),
    ('{"chair": [[1, 2], [3, 4]], "coffee table": [[5, 6]]}', set()),
    ('{"chair": ((1, 2), (3, 4)), "coffee table": (5, 6)}', {"single"}),
    ('{"chair": [[[1, 2]], [[3, 4]]], "coffee table": [[5, 6]]}', {"nested"}),
    ("{'chair': [(1, 2), (3, 4)], 'coffee table': [(5, 6)]}", {"quotes"}),
    ("{chair: [(1, 2), (3, 4)], coffee table: [(5, 6)]}", {"quotes"}),
    ('{"chair": [(1, 2), (3, 4),], "coffee table": [(5, 6)],}', {"comma"}),
    ('{"chair”: [(1, 2), (3, 4)],\n "coffee table: [(5, 6)]}', {"quotes"}),
    ('{"chair": [(1, 2) (3, 4)] "coffee table": [(5, 6)]}', {"comma"}),
    ('```json\n{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}\n```', {"fence"}),
    ('```\n{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}\n```', {"fence"}),
    ('```python\n{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}', {"fence"}),
    ('Sure.\n{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}\nDone', {"prose"}),
    ("｛“chair”：［（1，2），（3，4）］，“coffee table”：［（5，6）］｝", {"bracket", "quotes"}),
    ("【】｛'chair'：【（1，2）、（3，4）】；'coffee table'：【（５，６）】｝", {"bracket"}),
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)', {"truncated"}),
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)], "p": [(7', {"truncated"}),
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)], "la', {"quotes", "truncated"}),
    ('{"chair": [(1, 2), (3, 4), "coffee table": [(5, 6)]}', {"bracket"}),
    ('{"chair": (1, 2), (3, 4), "coffee table": (5, 6)}', {"bracket", "single"}),
    ('{"chair": [1, 2, 3, 4], "coffee table": [5, 6]}', {"nested", "single"}),
    ('{"chair": ["(1, 2)", "(3, 4)"], "coffee table": "5, 6"}', {"quotes"}),
    ('{"chair": [("1", "2"), ("3", "4")], "coffee table": [("5", "6")]}', {"quotes"}),
    ('{"chair": [(x=1, y=2), (x: 3, y: 4)], "coffee table": {"x": 5, "y": 6}}', set()),
    ('{"chair": [(1, 2), (3, 4)], // two\n "coffee table": [(5, 6)]} # end', set()),
    ('{"chair": [(1, 2, 0), (3, 4, 0)], "coffee table": [(5, 6, 0)]}', {"height"}),
    ('{"chair": [(1, 2)], "chair": [(3, 4)], "coffee table": [(5, 6)]}', {"duplicate"}),
    ('{"cognitive_map": {"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}, "n": 3}', set()),
    ('I use {name: cells}. {"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}', {"prose"}),
    ('{"chair": [(1.0, 2.0), (3, 4)], "coffee table": [(5, 6)], "none": []}', set()),
    ('<cogmap>{"chair": [[1,2],[3,4]], "coffee table": [[5,6]]}</cogmap> {"a": [(1, 1)]}', set()),
    (RECORDS, set()),
    (SIDE_BY_SIDE, set()),
    ('{"chair": {"positions": [[1, 2], [3, 4]]}, "coffee table": {"position": [5, 6]}}', set()),
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)], "lamp": "unknown"}', {"dropped"}),
    ('{"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)], "lamp": }', {"dropped"}),
    ('{"chair": {"1": [1, 2], "chair_2": [3, 4]}, "coffee table": {"#1": [5, 6]}}', {"single"}),
    (json.dumps(json.dumps(PLAIN, indent=1)), {"quotes"}),
    ('{"chair": [(1, 2], [3, 4)], "coffee table": [(5, 6)]}', {"bracket"}),
    ('{"a": (1, 1)} then {"chair": [(1, 2), (3, 4)], "coffee table": [(5, 6)]}', {"several"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_what_models_write_is_read_and_repairs_are_told(text, expected):
    reading = read_grid(text)

    assert reading.grid.objects == PLAIN
    assert expected <= kinds(reading)


@pytest.mark.parametrize("text", [WRITTEN[0][0], WRITTEN[1][0], GridMap(objects=PLAIN).to_text()])
def test_a_text_in_the_published_form_has_no_problems(text):
    assert read_grid(text).problems == ()


def test_what_is_lost_is_marked():
    reading = read_grid('{"a": [(1, 2), (3)], "b": "there", "c": [(4, 5)]}')

    assert reading.grid.objects == {"a": ((1, 2),), "c": ((4, 5),)}
    assert [p.kind for p in reading.problems if p.lost] == ["dropped", "dropped"]


def test_a_last_number_that_may_go_on_is_not_believed():
    assert read_grid('{"a": [(1, 2)], "b": [(3, 1').grid.objects == {"a": ((1, 2),)}


def test_values_from_one_are_shifted_and_told():
    reading = read_grid('{"a": [(1, 10)], "b": [(4, 5)]}')

    assert reading.grid.objects == {"a": ((0, 9),), "b": ((3, 4),)}
    assert kinds(reading) == {"one_based"}


@pytest.mark.parametrize("text", ['{"a": [(0, 10)]}', '{"a": [(-1, 3)]}', '{"a": [(12, 3)]}'])
def test_values_outside_the_grid_are_kept_and_told(text):
    assert kinds(read_grid(text)) == {"outside"}
    assert math.prod(map(len, read_grid(text).grid.objects.values())) == 1


def test_what_tells_of_the_grid_is_no_category_and_shifts_nothing():
    reading = read_grid('{"grid_size": [10, 10], "chair": [(1, 2)], "size": [(3, 4)]}')

    assert reading.grid.objects == {"chair": ((1, 2),), "size": ((3, 4),)}
    assert kinds(reading) == {"dropped"}
    assert "tells of the grid" in reading.problems[0].detail


def test_a_map_is_found_where_its_tag_is_spoken_of_too():
    answer = '<cogmap>{"chair": [(1, 2)]}</cogmap> As the <cogmap> shows, it is A.'

    assert read_grid(answer).grid.objects == {"chair": ((1, 2),)}
    assert read_grid('<cogmap>see below</cogmap> {"chair": [(1, 2)]}').grid.objects


def test_fractions_are_kept_and_told():
    reading = read_grid('{"a": [(1.5, 2)]}')

    assert reading.grid.objects == {"a": ((1.5, 2),)}
    assert kinds(reading) == {"fraction"}


@pytest.mark.parametrize(
    "text", ["", "   ", "no map here", "[1, 2]", "{}", '{"a": "b"}', "}{", "null"]
)
def test_a_text_without_a_map_gives_an_empty_one_and_says_so(text):
    reading = read_grid(text)

    assert reading.grid.objects == {}
    assert "none" in kinds(reading)


@pytest.mark.parametrize("number", ["1e999", "9" * 50, "-1e308", "NaN", "Infinity"])
def test_numbers_that_are_no_places_are_dropped(number):
    reading = read_grid(f'{{"a": [({number}, 2)], "b": [(3, 4)]}}')

    assert reading.grid.objects == {"b": ((3, 4),)}
    assert any(problem.lost for problem in reading.problems)


def test_a_text_beyond_the_limit_is_refused_with_its_length():
    with pytest.raises(InputError, match=r"at most 8388608 characters, got 8388609"):
        read_grid("x" * (8 * 2**20 + 1))


def test_many_problems_of_a_kind_are_counted():
    text = "{" + ", ".join(f"'a{i}': (1, 2)" for i in range(100)) + "}"
    quotes = [p for p in read_grid(text).problems if p.kind == "quotes"]

    assert len(quotes) == 21
    assert quotes[-1].detail == "80 more"


LABELS = st.text(
    st.characters(codec="utf-8").filter(str.isprintable), max_size=20
).map(lambda label: " ".join(label.split())).filter(bool)  # fmt: skip
CELLS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4).map(tuple)


@given(st.dictionaries(LABELS, CELLS, max_size=5))
@settings(max_examples=150, deadline=None)
def test_text_and_json_come_back_as_they_were(objects):
    grid = GridMap(objects=objects)
    for text in (grid.to_text(), grid.to_json()):
        assert read_grid(text).grid.objects == objects
    assert ast.literal_eval(grid.to_text()) == {key: list(at) for key, at in objects.items()}
    assert json.loads(grid.to_json()) == {
        key: [list(cell) for cell in at] for key, at in objects.items()
    }


def test_a_grid_of_a_map_is_written_and_read_with_its_transform_passed_over():
    scene = SceneBuilder().add("cup", at=(0.5, 0.5, 0), size=(1, 1, 1))
    grid = scene.add("pan", at=(9.5, 4.5, 0), size=(1, 1, 1)).build().grid()

    for text in (grid.to_text(), grid.to_json()):
        assert read_grid(text).grid.objects == grid.objects
    assert GridMap.of(grid).objects == grid.objects


class TestToMap:
    grid = GridMap(objects={"chair": ((0, 0), (9, 9)), "tv": ((4.5, 3),)})

    def test_cells_become_points_of_a_relative_map(self):
        scene = self.grid.to_map(name="told")

        assert (scene.ids, scene.scale, scene.name) == (
            ("chair-1", "chair-2", "tv"),
            "relative",
            "told",
        )
        assert scene.objects.centers.tolist() == [[0.5, 0.5, 0], [9.5, 9.5, 0], [5.0, 3.5, 0]]

    def test_a_side_gives_metres(self):
        scene = self.grid.to_map(side=5)

        assert (scene.scale, scene.objects.centers[1].tolist()) == ("metric", [4.75, 4.75, 0])

    def test_no_objects_give_an_empty_map(self):
        assert len(GridMap(objects={}).to_map()) == 0

    @pytest.mark.parametrize("side", [0.0, -1.0, math.nan, math.inf])
    def test_a_side_that_is_none_is_refused(self, side):
        with pytest.raises(InputError, match="above 0 metres"):
            self.grid.to_map(side=side)


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"objects": {"a": ((math.nan, 1),)}}])
def test_a_grid_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        GridMap(**{"cells": 10, "objects": {}, **wrong})


PARTS = [
    *"{}[]()<>,:;='\"\\`/#.-+ \n\t", "｛", "｝", "（", "）", "【", "】", "，", "：", "“", "”", "’",
    "```json", "<cogmap>", "</cogmap>", "null", "1", "99999999999", "1e99", "\\u12", "\\", "\x00",
    "\ud800", "é", "椅子", "chair", '"x":', "x=", "...", "//", "{" * 40, "[" * 40,
]  # fmt: skip


def mutated(rng):
    text = rng.choice(WRITTEN)[0]
    for _ in range(rng.randint(1, 12)):
        at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        match rng.randrange(4):
            case 0:
                text = text[:at] + text[min(end, at + 9) :]
            case 1:
                text = text[:at] + rng.choice(PARTS) + text[at:]
            case 2:
                text = text[:end]
            case _:
                text = text[:at] + rng.choice(WRITTEN)[0][:end] + text[at:]
    return text


def test_mutated_texts_are_read_without_an_error():
    rng = random.Random(0)
    for _ in range(FUZZ):
        text = mutated(rng)
        reading = read_grid(text)
        assert isinstance(reading, GridReading), text
        for places in reading.grid.objects.values():
            assert all(math.isfinite(x) and math.isfinite(y) for x, y in places), text
        told = reading.grid.to_json()
        # Whatever was read is written so that it is read the same, save for counting from one.
        again = read_grid(told).grid
        assert again.objects == reading.grid.objects or "one_based" in kinds(read_grid(told)), text


HOSTILE = {
    "spaces": "{' ",
    "quotes": "{'a' 'a'",
    "prose": "a ",
    "tags": "<cogmap>",
    "lists": '{"a":[(',
    "single quotes": "{'a:'",
    "backslashes": '{"\\\\',
    "keys": '{"a": [(1, 2)], ',
    "closed maps": '{"a": [(1, 2)]}',
    "closing brackets": "{)",
    "comments": "{#",
    "numbers": "{1",
    "fences": "{`",
}
# Run without the checks of types, which cost more than the work; processor time is counted.
TIMED = """
import sys, time
from groundplane.spatial.maps.cogmap import read_grid
for unit in sys.argv[1:]:
    spent = []
    for size, times in ((50_000, 7), (5_000_000, 1)):
        text, runs = (unit * size)[:size], []
        for _ in range(times):
            started = time.process_time()
            read_grid(text)
            runs.append(time.process_time() - started)
        spent.append(min(runs))
    # What takes less than 5 ms cannot be measured well enough for a ratio.
    assert spent[1] <= 120 * max(spent[0], 0.005), (unit, spent)
"""


def test_the_work_grows_no_faster_than_the_text():
    units = list(HOSTILE.values())[: None if "GROUNDPLANE_FUZZ" in os.environ else 5]

    subprocess.run([sys.executable, "-c", TIMED, *units], check=True)

"""Differences of runs: what is the same is told as such, and every change is seen."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import CLASSES, done, failed, frame_of, job, write_all

from groundplane.annotation.comparing import ClassChange, _matched, compare_records
from groundplane.annotation.run import Run
from groundplane.core.annotation import ClassTable
from groundplane.core.errors import InputError
from groundplane.testing.annotations import random_records

DOG, CAR = 0, 1


def row(box=(0, 0, 10, 10), score=0.5, class_id=DOG):
    return (box, score, class_id, class_id, True)


def compared(old, new, **terms):
    return compare_records((old, CLASSES), (new, CLASSES), **terms)


def of_rows(old, new):
    return compared([done("a", rows=old)], [done("a", rows=new)])


@pytest.mark.parametrize("seed", range(10))
def test_a_run_does_not_differ_from_itself(seed):
    made = random_records(seed)
    difference = compare_records((made, made.classes), (made, made.classes))
    assert difference.is_none
    assert difference.same == len(made)
    assert all(change == ClassChange(same=change.same) for change in difference.classes.values())


def test_nothing_against_nothing():
    difference = compared([], [])
    assert (difference.same, dict(difference.counts), difference.pictures) == (0, {}, ())
    assert difference.lines() == ["0 pictures are the same"]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ([row()], [row()], ClassChange(same=1)),
        ([row()], [row(score=0.6)], ClassChange(rescored=1)),
        ([row()], [row((0, 0, 10, 9))], ClassChange(moved=1)),
        ([row()], [row((0, 0, 10, 5))], ClassChange(moved=1)),  # an overlap of just a half
        ([row()], [row((0, 0, 10, 4.99))], ClassChange(added=1, removed=1)),
        ([row()], [], ClassChange(removed=1)),
        ([], [row(), row()], ClassChange(added=2)),
        ([row(), row((0, 0, 10, 9))], [row((0, 0, 10, 9))], ClassChange(same=1, removed=1)),
        ([row((5, 5, 5, 5))], [row((5, 5, 5, 5))], ClassChange(same=1)),
    ],
)
def test_what_became_of_the_regions_is_counted(old, new, change):
    difference = of_rows(old, new)
    assert difference.classes == {"dog": change}
    assert difference.is_none == (change == ClassChange(same=change.same))


def test_a_region_of_another_class_is_another_thing():
    difference = of_rows([row()], [row(class_id=CAR)])
    assert difference.classes == {"car": ClassChange(added=1), "dog": ClassChange(removed=1)}
    assert difference.pictures[0].detail == "1 added, 1 removed"


def test_classes_are_matched_by_name():
    swapped = ClassTable(names=("car", "dog"), prompts=())
    old, new = [done("a", rows=[row()])], [done("a", rows=[row(class_id=CAR)])]
    assert compare_records((old, CLASSES), (new, swapped)).is_none


def test_pictures_in_one_only_and_of_another_status_or_content_are_told():
    old = [done("a"), done("b"), done("d"), failed("e"), frame_of("v", 9), frame_of("v", 10)]
    new = [done("b", version=2), done("c"), failed("d"), failed("e"), frame_of("v", 10)]
    difference = compared(old, new)
    told = {picture.path: picture.what for picture in difference.pictures}
    assert told == {"a": "only old", "b": "content", "c": "only new", "d": "status",
                    "v#9": "only old"}  # fmt: skip
    assert difference.same == 2
    assert "d: status (done -> failed at decode: no picture)" in difference.lines()
    assert json.loads(json.dumps(difference.record()))["counts"]["only old"] == 2


def test_only_the_first_are_named_and_the_rest_counted():
    difference = compared([], [done(f"{i:03}\n") for i in range(50)], shown=3)
    assert [picture.path for picture in difference.pictures] == ["000\n", "001\n", "002\n"]
    assert difference.lines()[-1] == "and 47 more"
    assert all("\n" not in line for line in difference.lines())


def test_runs_are_compared_as_their_views_have_them(tmp_path):
    runs = [Run.create(tmp_path / name, job()) for name in "ab"]
    for run in runs:
        write_all(run, [done("x"), done("y")])
    runs[1].set_thresholds(0.8)
    sides = [(run.records(), run.spec.classes) for run in runs]
    assert compare_records(*sides).classes == {"dog": ClassChange(removed=2)}


@pytest.mark.parametrize("least", [0.0, -1.0, 1.5, float("nan")])
def test_an_overlap_out_of_range_is_refused(least):
    with pytest.raises(InputError, match="overlap above 0"):
        compared([], [], least=least)


EDGE = st.integers(0, 6)
BOXES = st.lists(
    st.tuples(EDGE, EDGE, st.integers(0, 5), st.integers(0, 5)).map(
        lambda e: (e[0], e[1], e[0] + e[2], e[1] + e[3])
    ),
    max_size=8,
)


@settings(max_examples=80)
@given(old=BOXES, new=BOXES, least=st.sampled_from([0.2, 0.5, 1.0]))
def test_matching_is_what_a_loop_over_all_pairs_does(old, new, least):
    def share(a, b):
        if a == b:
            return 1.0
        wide, high = (max(min(a[k + 2], b[k + 2]) - max(a[k], b[k]), 0) for k in (0, 1))
        whole = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - wide * high
        return wide * high / whole if whole else 0.0

    pairs = sorted(
        ((-share(a, b), i, j) for i, a in enumerate(old) for j, b in enumerate(new)
         if share(a, b) >= least)
    )  # fmt: skip
    expected, olds, news = [], set(), set()
    for _, i, j in pairs:
        if i not in olds and j not in news:
            expected.append((i, j))
            olds.add(i)
            news.add(j)
    arrays = [np.array(b, dtype=np.float64).reshape(-1, 4) for b in (old, new)]
    groups = [np.zeros(len(b), dtype=np.int64) for b in (old, new)]
    assert _matched(*arrays, groups, least) == expected

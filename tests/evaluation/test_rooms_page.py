"""The page on rooms and its pictures: names of any kind, and the same bytes for the same result."""

import warnings
from dataclasses import replace

import pytest
from block_rooms import block, block_room

from groundplane.evaluation.rooms_maps import compare, true_map
from groundplane.evaluation.rooms_plots import draw_noise, draw_plan, draw_tasks
from groundplane.evaluation.rooms_records import CLEAN, Condition, RoomRecord
from groundplane.evaluation.rooms_report import Report, write_report
from groundplane.evaluation.rooms_result import RoomsResult
from groundplane.testing.rooms.question import facts_of

HOSTILE = "</li><script>steal()</script>$x^{<b>\"'&\u202e \u6c99\u53d1 \U0001f6cb"


def named(name):
    scene = true_map(facts_of(block_room(block(1, "sofa", (1, 1, 0.5), (1, 1, 1)))))
    return replace(scene, labels=(name,), counts={})


def result_of(name):
    true = named(name)
    off = replace(true, labels=("tv",), counts={})
    conditions = (CLEAN, Condition("depth", 0.02), Condition("depth", 0.05))
    return RoomsResult(
        records=tuple(
            RoomRecord(room=name, seed=1, condition=each, answers=(), map=compare(off, true))
            for each in conditions
        )
    )


@pytest.mark.parametrize(
    "name", [HOSTILE, "$", "5 $ note", "\u6c99\u53d1", "\U0001f6cb", "e\u0301"]
)
def test_a_plan_holds_labels_of_any_kind_as_words(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw_plan(named(name), named("tv")).decode()
    assert "<script" not in svg
    assert name.isascii() or name[-1] in svg


def test_a_page_escapes_every_name():
    page = write_report(
        Report(
            title=HOSTILE,
            result=result_of(HOSTILE),
            settings={HOSTILE: HOSTILE},
            plans={HOSTILE: draw_plan(named(HOSTILE), named("tv"))},
        )
    )
    assert "steal()" in page
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_the_same_result_is_drawn_to_the_same_bytes():
    for draw in (draw_tasks, lambda summaries: draw_noise(summaries, "depth")):
        first, second = (draw(result_of("sofa").summaries()) for _ in range(2))
        assert first == second
    assert draw_plan(named("a"), named("b")) == draw_plan(named("a"), named("b"))

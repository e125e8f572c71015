"""What changed between two maps: every change is told, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps.differences import Moved, Relabelled, Resized, diff
from groundplane.spatial.maps.map_change import take
from groundplane.testing.scenes import SceneBuilder


def row(count=4, label="box"):
    scene = SceneBuilder()
    for i in range(count):
        scene.add(label, at=(3.0 * i, 0, 0))
    return scene.build()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9), st.integers(-9, 9)), max_size=7)
)
@settings(max_examples=40, deadline=None)
def test_a_map_differs_in_nothing_from_itself_in_any_order(things):
    scene = SceneBuilder()
    for label, x, y in things:
        scene.add(label, at=(x, y, 0))
    made = scene.build()
    shuffled = take(made, list(reversed(range(len(made)))))

    assert not diff(made, shuffled)
    assert len(diff(made, shuffled).same) == len(things)


def test_what_was_added_and_removed_is_told():
    made = diff(row(4), take(row(5), [0, 1, 2, 4]))

    # Of four boxes and four others the one that is left goes to the one that is new.
    assert [(part.before, part.distance) for part in made.moved] == [("box-4", 3.0)]
    assert diff(row(4), row(5)).added == ("box-5",)
    assert diff(row(5), row(4)).removed == ("box-5",)


def test_a_move_is_told_with_its_shift():
    before = SceneBuilder().add("cup", at=(0, 0, 0)).build()
    after = SceneBuilder().add("cup", at=(0, 3, 4), id="c9").build()

    assert diff(before, after).moved == (
        Moved(before="cup", after="c9", shift=(0.0, 3.0, 4.0), distance=5.0),
    )
    assert diff(before, after).added == diff(before, after).same == ()


def test_a_thing_may_have_moved_and_grown():
    before = SceneBuilder().add("box", at=(0, 0, 0), size=(1, 1, 1)).build()
    after = SceneBuilder().add("box", at=(1, 0, 0), size=(1, 1, 1.5)).build()
    made = diff(before, after)

    assert made.moved[0].distance == 1.0
    assert made.resized == (Resized(before="box", after="box", growth=(0.0, 0.0, 0.5)),)


def test_axes_in_another_order_are_no_change_of_size():
    before = SceneBuilder().add("sofa", at=(0, 0, 0), size=(2, 1, 0.8)).build()
    turned = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    after = SceneBuilder().add("sofa", at=(0, 0, 0), size=(1, 2, 0.8), axes=turned).build()

    assert not diff(before, after)


def test_another_label_in_the_same_place_and_size_is_relabelled():
    before = SceneBuilder().add("sofa", at=(0, 0, 0)).add("tv", at=(5, 0, 0)).build()
    after = (
        SceneBuilder()
        .add("couch", at=(0.05, 0, 0))
        .add("lamp", at=(5, 0, 0), size=(2, 2, 2))
        .build()
    )
    made = diff(before, after)

    assert made.relabelled == (
        Relabelled(before="sofa", after="couch", label_before="sofa", label_after="couch"),
    )
    assert (made.added, made.removed) == (("lamp",), ("tv",))


def test_what_stayed_is_not_taken_for_what_moved():
    before, after = row(3), row(3)
    centers = after.objects.centers.clone()
    centers[0] = torch.tensor([9.0, 9, 0])
    after = replace(after, objects=replace(after.objects, centers=centers))

    assert [part.before for part in diff(before, after).moved] == ["box-1"]


def test_ids_decide_first_if_asked():
    swapped = take(row(2), [1, 0])
    renamed = replace(swapped, ids=("box-1", "box-2"))

    assert not diff(row(2), renamed)
    assert len(diff(row(2), renamed, by_id=True).moved) == 2


@pytest.mark.parametrize(("tolerance", "moved"), [(0.0, 1), (0.04, 1), (0.06, 0)])
def test_the_tolerance_decides_what_counts(tolerance, moved):
    before = SceneBuilder().add("cup", at=(0, 0, 0)).build()
    after = SceneBuilder().add("cup", at=(0.05, 0, 0)).build()

    assert len(diff(before, after, tolerance=tolerance).moved) == moved


def test_empty_maps_differ_by_all_there_is():
    empty = SceneBuilder().build()

    assert not diff(empty, empty)
    assert diff(empty, row(2)).added == ("box-1", "box-2")
    assert diff(row(2), empty).removed == ("box-1", "box-2")


def test_what_cannot_be_compared_is_refused():
    relative = SceneBuilder(scale="relative").add("box", at=(0, 0, 0)).build()
    with pytest.raises(InputError, match="one map is metric, the other relative"):
        diff(row(1), relative)
    with pytest.raises(InputError, match="at least 0"):
        diff(row(1), row(1), tolerance=math.nan)

"""The published map accuracy, against a version written out pair by pair."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.cogmap import GridMap, read_grid
from groundplane.spatial.maps.grid_score import BIN_EDGES, score
from groundplane.testing.scenes import SceneBuilder


def plain_score(written, truth):
    """Pairs of categories: (bin, found, right), one by one."""
    names = list(truth.objects)
    told = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            true = min(
                math.dist(p, q) * 10 / truth.cells
                for p in truth.objects[a]
                for q in truth.objects[b]
            )
            at = None
            for k in range(8):
                above = true >= BIN_EDGES[0] if k == 0 else true > BIN_EDGES[k]
                if above and true <= BIN_EDGES[k + 1]:
                    at = k
            if a in written.objects and b in written.objects:
                own = min(
                    math.dist(p, q) * 10 / written.cells
                    for p in written.objects[a]
                    for q in written.objects[b]
                )
                told.append((at, True, abs(own - true) <= 1 + 1e-9))
            else:
                told.append((at, False, False))
    return told


CELL = st.tuples(st.integers(0, 9), st.integers(0, 9))
OBJECTS = st.dictionaries(
    st.sampled_from(["chair", "table", "tv", "sofa", "door"]),
    st.lists(CELL, min_size=1, max_size=3).map(tuple),
)


@given(OBJECTS, OBJECTS, st.sampled_from([10, 20]))
@settings(max_examples=100, deadline=None)
def test_the_score_is_that_of_the_plain_version(own, true, cells):
    written, truth = GridMap(cells=cells, objects=own), GridMap(objects=true)
    told = plain_score(written, truth)
    made = score(written, truth)

    assert (made.total.pairs, made.total.found, made.total.correct) == (
        len(told),
        sum(found for _, found, _ in told),
        sum(right for _, _, right in told),
    )
    for k, part in enumerate(made.bins):
        assert part.pairs == sum(at == k for at, _, _ in told)
        assert part.found == sum(at == k and found for at, found, _ in told)
        assert part.correct == sum(at == k and right for at, _, right in told)


@given(OBJECTS, st.sampled_from([(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, 1)]), CELL)
@settings(max_examples=50, deadline=None)
def test_a_map_that_is_turned_mirrored_or_shifted_scores_in_full(objects, turn, shift):
    a, b, c, d = turn
    moved = {
        label: tuple((a * x + b * y + shift[0], c * x + d * y + shift[1]) for x, y in places)
        for label, places in objects.items()
    }
    made = score(GridMap(objects=moved), GridMap(objects=objects)).total

    assert made.correct == made.found == made.pairs


def test_a_wrong_map_is_told_from_a_right_one():
    truth = GridMap(objects={"a": ((0, 0),), "b": ((0, 9),), "c": ((9, 0),)})
    wrong = GridMap(objects={"a": ((0, 0),), "b": ((0, 1),), "c": ((9, 0),)})

    assert score(truth, truth).total.accuracy == 1.0
    assert score(wrong, truth).total.accuracy == pytest.approx(1 / 3)


def test_the_bins_are_the_published_ones_and_edges_belong_below():
    truth = GridMap(objects={"a": ((0, 0),), "b": ((0, 1),), "c": ((0, 3.1),)})

    made = score(truth, truth)

    assert [(part.low, part.high, part.pairs) for part in made.bins][:3] == [
        (1.0, 2.1, 2),
        (2.1, 3.3, 1),
        (3.3, 4.4, 0),
    ]
    assert made.bins[-1].accuracy is None


def test_missing_categories_are_told_apart_and_count_in_strict():
    truth = GridMap(objects={"a": ((0, 0),), "b": ((0, 5),), "c": ((5, 0),)})
    made = score(GridMap(objects={"A ": ((1, 0),), "b": ((1, 5),), "lamp": ((3, 3),)}), truth)

    assert (made.missing, made.extra) == (("c",), ("lamp",))
    assert (made.total.accuracy, made.total.strict) == (1.0, pytest.approx(1 / 3))


def test_numbered_instances_join_their_category():
    truth = GridMap(objects={"chair": ((0, 0), (9, 9)), "tv": ((9, 7),)})
    written = GridMap(objects={"chair_1": ((0, 0),), "Chair 2": ((9, 9),), "tv": ((9, 7),)})

    assert score(written, truth).missing == ()
    assert score(written, truth).total.accuracy == 1.0


def test_things_in_one_cell_are_in_no_bin_but_in_the_total():
    truth = GridMap(objects={"a": ((4, 4),), "b": ((4, 4),)})
    made = score(truth, truth)

    assert (made.total.correct, sum(part.pairs for part in made.bins)) == (1, 0)


def test_a_map_of_metres_is_put_on_ten_cells():
    scene = SceneBuilder().add("cup", at=(0.5, 0.5, 0), size=(1, 1, 1))
    scene = scene.add("pan", at=(9.5, 4.5, 0), size=(1, 1, 1)).build()

    made = score(read_grid("{'cup': (9, 9), 'pan': (0, 5)}").grid, scene)

    assert (made.total.pairs, made.total.correct) == (1, 1)


def test_no_common_category_has_no_accuracy():
    made = score(GridMap(objects={}), GridMap(objects={"a": ((0, 0),), "b": ((0, 5),)}))

    assert (made.total.accuracy, made.total.strict) == (None, 0.0)


def test_too_many_places_are_refused():
    crowd = GridMap(objects={"a": ((0, 0),) * 2001})
    with pytest.raises(InputError, match="at most 2000 places in a map, got 2001"):
        score(crowd, crowd)


def test_true_maps_of_the_benchmark_keep_their_distances_on_twenty_cells(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    scenes = CognitiveMap.scenes(path)[:10]
    for name in scenes:
        scene = CognitiveMap.load(f"{path}#{name}")
        # Rounding to cells moves a distance by one or two units at most, mostly by less.
        assert score(scene.grid(20), scene).total.accuracy > 0.9

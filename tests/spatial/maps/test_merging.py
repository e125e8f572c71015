"""Two maps made into one: nothing is doubled, nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps.merging import merge
from groundplane.testing.scenes import SceneBuilder


def kitchen(**details):
    scene = SceneBuilder("kitchen", **details).add("cup", at=(0, 0, 1), score=0.5, regions=["r1"])
    return scene.add("pan", at=(1, 0, 1), attributes={"colour": "red"}, first_seen=3.0).build()


def test_a_map_merged_with_itself_stays_as_it_is():
    scene = kitchen(floor=0.2, counts={"cup": 4})
    merged = merge(scene, scene)

    assert merged.map.to_json() == scene.to_json()
    assert merged.fused == (("cup", "cup"), ("pan", "pan"))


@given(st.lists(st.tuples(*[st.integers(-40, 40)] * 2), unique=True, max_size=8), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_parts_of_one_map_merge_into_the_whole(places, cut):
    scene, halves = SceneBuilder(), [SceneBuilder(), SceneBuilder()]
    for i, (x, y) in enumerate(places):
        scene.add("box", at=(x, y, 0))
        for k, half in enumerate(halves):
            # The halves share every third thing.
            if i % 3 == 0 or (i < cut) == (k == 0):
                half.add("box", at=(x, y, 0))
    merged = merge(*(half.build() for half in halves)).map
    centers = sorted(tuple(row) for row in merged.objects.centers.tolist())

    assert centers == sorted(tuple(row) for row in scene.build().objects.centers.tolist())
    assert len(set(merged.ids)) == len(merged)
    assert merged.counts.get("box", 0) == len(places)


def test_the_higher_score_weighs_more():
    one = SceneBuilder().add("cup", at=(0, 0, 0), size=(1, 1, 1), score=0.9).build()
    two = SceneBuilder().add("cup", at=(0.2, 0, 0), size=(2, 1, 1), score=0.3).build()
    made = merge(one, two).map

    assert made.objects.centers[0, 0] == pytest.approx(0.05)
    assert made.objects.sizes[0, 0] == pytest.approx(1.25)
    assert made.scores.tolist() == [0.9]


def test_scores_of_nothing_weigh_alike():
    one = SceneBuilder().add("cup", at=(0, 0, 0), score=0).build()
    two = SceneBuilder().add("cup", at=(0.2, 0, 0), score=0).build()

    assert merge(one, two).map.objects.centers[0, 0] == pytest.approx(0.1)


def test_covariance_weighs_where_both_state_it():
    one = SceneBuilder().add("cup", at=(0, 0, 0)).build().with_noise(0.1)
    two = SceneBuilder().add("cup", at=(0.2, 0, 0)).build().with_noise(0.2)
    made = merge(one, two).map.objects

    # Variances 0.01 and 0.04: the second counts a fifth, and the two together are surer than each.
    assert made.centers[0, 0] == pytest.approx(0.04)
    assert made.covariance[0].diagonal().tolist() == pytest.approx([0.008] * 6)
    assert merge(one, kitchen()).map.objects.covariance is None


def test_exact_boxes_stay_exact():
    one = SceneBuilder().add("cup", at=(0, 0, 0)).build()
    exact = replace(one, objects=replace(one.objects, covariance=torch.zeros(1, 6, 6).double()))
    two = SceneBuilder().add("cup", at=(0.2, 0, 0)).build().with_noise(0.2)

    assert merge(exact, two).map.objects.centers[0, 0] == pytest.approx(0.0)


def test_boxes_that_name_their_axes_differently_are_averaged_side_by_side():
    turned = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    one = SceneBuilder().add("sofa", at=(0, 0, 0), size=(2, 1, 0.8)).build()
    two = SceneBuilder().add("sofa", at=(0, 0, 0), size=(1.2, 2.2, 0.8), axes=turned).build()

    assert merge(one, two).map.objects.sizes[0].tolist() == pytest.approx([2.1, 1.1, 0.8])


@pytest.mark.parametrize(("score", "size"), [(0.9, [2, 1, 1]), (0.1, [4, 3, 1])])
def test_boxes_that_stand_askew_keep_the_better_ones_shape(score, size):
    one = SceneBuilder().add("sofa", at=(0, 0, 0), size=(2, 1, 1), score=score).build()
    two = SceneBuilder().add("sofa", at=(0, 0, 0), size=(4, 3, 1), yaw=40, score=0.5).build()
    made = merge(one, two).map.objects

    assert sorted(made.sizes[0].tolist()) == sorted(size)
    assert made.axes[0, 0, 1] == pytest.approx(0 if score > 0.5 else 0.643, abs=1e-3)


def test_what_either_states_is_kept_and_the_better_one_is_believed():
    one = SceneBuilder().add(
        "cup",
        at=(0, 0, 0),
        score=0.4,
        attributes={"colour": "red", "state": "full"},
        regions=["a", "b"],
    )
    two = SceneBuilder().add(
        "cup", at=(0, 0, 0), score=0.8, attributes={"colour": "blue"}, first_seen=2.0,
        front=[0, 1, 0], regions=["b", "c"],
    )  # fmt: skip
    made = merge(one.build(), two.build()).map

    assert made.attributes[0] == {"colour": "blue", "state": "full"}
    assert made.provenance == {"cup": ("a", "b", "c")}
    assert (made.first_seen.tolist(), made.fronts[0].tolist()) == ([2.0], [0, 1, 0])
    assert merge(two.build(), one.build()).map.attributes[0]["colour"] == "blue"


def test_ids_stay_and_clashes_become_the_next_free_id():
    one = SceneBuilder().add("cup", at=(0, 0, 0)).add("tv", at=(9, 9, 0), id="cup-2").build()
    two = SceneBuilder().add("cup", at=(5, 0, 0)).add("cup", at=(7, 0, 0), id="cup-3").build()
    merged = merge(one, two)

    assert merged.map.ids == ("cup", "cup-2", "cup-1", "cup-3")
    clash = merge(one, SceneBuilder().add("cup", at=(5, 0, 0)).build())
    assert (clash.map.ids, clash.ids) == (("cup", "cup-2", "cup-3"), {"cup": "cup-3"})


def test_stated_counts_are_not_doubled():
    one = SceneBuilder(counts={"cup": 5, "fork": 2}).add("cup", at=(0, 0, 0)).build()
    two = SceneBuilder(counts={"cup": 3}).add("cup", at=(0, 0, 0)).add("cup", at=(4, 0, 0)).build()

    # Two cups stand there, and the one map states four more than it shows.
    assert merge(one, two).map.counts == {"cup": 6, "fork": 2}


def test_things_beyond_the_tolerance_or_of_other_labels_stay_apart():
    one = SceneBuilder().add("cup", at=(0, 0, 0)).build()

    assert len(merge(one, SceneBuilder().add("cup", at=(0.5, 0, 0)).build()).map) == 2
    assert len(merge(one, SceneBuilder().add("mug", at=(0, 0, 0)).build()).map) == 2
    assert (
        len(merge(one, SceneBuilder().add("cup", at=(0.5, 0, 0)).build(), tolerance=0.6).map) == 1
    )


def test_rooms_that_touch_become_one():
    left = SceneBuilder().add("cup", at=(1, 1, 0)).room([(0, 0), (2, 0), (2, 2), (0, 2)]).build()
    right = SceneBuilder().add("pan", at=(3, 1, 0)).room([(2, 0), (4, 0), (4, 2), (2, 2)]).build()
    far = SceneBuilder().add("pan", at=(9, 1, 0)).room([(8, 0), (9, 0), (9, 2), (8, 2)]).build()
    none = SceneBuilder().add("pan", at=(9, 1, 0)).build()

    assert merge(left, right).map.room_area == 8.0
    assert merge(left, far).map.room.equals(left.room)
    assert merge(none, left).map.room.equals(left.room)


def test_empty_maps_add_nothing():
    empty, scene = SceneBuilder().build(), kitchen()

    assert merge(scene, empty).map.to_json() == scene.to_json()
    assert merge(empty, scene).map.ids == scene.ids
    assert len(merge(empty, empty).map) == 0


def test_maps_of_another_precision_are_brought_to_that_of_the_first():
    scene = kitchen().with_noise(0.1)
    single = replace(
        scene,
        objects=scene.objects.__class__(
            **{
                name: getattr(scene.objects, name).float()
                for name in ("centers", "sizes", "axes", "covariance")
            }
        ),
        scores=scene.scores.float(),
        fronts=scene.fronts.float(),
        first_seen=scene.first_seen.float(),
    )
    there, back = merge(scene, single).map, merge(single, scene).map

    assert (there.objects.centers.dtype, back.objects.centers.dtype) == (
        torch.float64,
        torch.float32,
    )
    assert len(there) == len(back) == 2


def test_what_cannot_be_merged_is_refused():
    with pytest.raises(InputError, match="one map is metric, the other relative"):
        merge(kitchen(), kitchen(scale="relative"))
    with pytest.raises(InputError, match="at least 0"):
        merge(kitchen(), kitchen(), tolerance=-1)

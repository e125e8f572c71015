"""The cognitive map: its checks, its columns, and the example scene."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
import torch
from jaxtyping import TypeCheckError

from groundplane.core.errors import InputError, OutputError, SceneError, ShapeError
from groundplane.spatial.map import CognitiveMap
from groundplane.testing.scenes import SceneBuilder

ROOT = Path(__file__).resolve().parents[2]
APARTMENT = ROOT / "examples" / "apartment.json"
VSI = ROOT / ".." / "shared" / "data" / "vsi" / "scenes.json"

needs_vsi = pytest.mark.skipif(not VSI.exists(), reason="the VSI-Bench scenes are not here")


def two_chairs():
    return SceneBuilder("pair").add("chair", at=(0, 0, 0)).add("chair", at=(3, 4, 0)).build()


def changed_boxes(scene, **columns):
    return replace(scene, objects=replace(scene.objects, **columns))


# Each wrong value must be refused, by a message that says which.
WRONG = {
    "more than once": lambda m: replace(m, ids=("chair-1", "chair-1")),
    "labels": lambda m: replace(m, labels=("chair",)),
    "scores": lambda m: replace(m, scores=torch.ones(3, dtype=torch.float64)),
    "attributes": lambda m: replace(m, attributes=({},)),
    "fronts must have shape": lambda m: replace(m, fronts=torch.zeros(2, 2)),
    "score must lie": lambda m: replace(m, scores=torch.tensor([0.5, 1.5])),
    "first_seen": lambda m: replace(m, first_seen=torch.tensor([0.0, -1.0])),
    "unit vector": lambda m: replace(m, fronts=torch.full((2, 3), 2.0)),
    "is negative": lambda m: replace(m, counts={"chair": -1}),
    "which is no object": lambda m: replace(m, provenance={"sofa": ("r1",)}),
    "room must be": lambda m: replace(m, room=shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])),
    "room_area": lambda m: replace(m, room_area=-1.0),
    "floor": lambda m: replace(m, floor=float("nan")),
    "scale": lambda m: replace(m, scale="feet"),
    "center must be finite": lambda m: changed_boxes(m, centers=m.objects.centers * float("nan")),
    "sizes must be": lambda m: changed_boxes(m, sizes=-m.objects.sizes),
    "orthonormal": lambda m: changed_boxes(m, axes=m.objects.axes * 1.1),
    "right-handed": lambda m: changed_boxes(m, axes=-m.objects.axes),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_column_is_refused_by_name(message):
    # Where shapes are checked while tests run, that check may come first.
    with pytest.raises((InputError, ShapeError, TypeCheckError)) as caught:
        WRONG[message](two_chairs())
    assert message in str(caught.value) or isinstance(caught.value, TypeCheckError)


def test_the_columns_that_pass_are_not_refused():
    scene = replace(two_chairs(), fronts=torch.tensor([[0.0, 1, 0], [math.nan] * 3]), floor=0.5)

    assert (len(scene), scene.floor) == (2, 0.5)


def test_counts_default_to_the_number_of_boxes():
    scene = SceneBuilder(counts={"cup": 5}).add("cup", at=(0, 0, 0)).add("pan", at=(1, 0, 0))

    assert scene.build().counts == {"cup": 5, "pan": 1}


def test_the_room_gives_its_area_unless_one_is_stated():
    square = [(0, 0), (2, 0), (2, 3), (0, 3)]
    plain = SceneBuilder().add("cup", at=(1, 1, 0)).room(square).build()
    stated = SceneBuilder().add("cup", at=(1, 1, 0)).room(square, area=5.5).build()

    assert (plain.room_area, stated.room_area) == (6.0, 5.5)


def test_ids_number_labels_that_stand_there_more_than_once():
    scene = SceneBuilder().add("chair", at=(0, 0, 0)).add("sofa", at=(1, 0, 0))
    scene = scene.add("chair", at=(2, 0, 0)).add("lamp", at=(3, 0, 0), id="chair-2")

    assert scene.build().ids == ("chair-1", "sofa", "chair-3", "chair-2")


def test_a_builder_without_objects_gives_an_empty_map():
    scene = SceneBuilder("void", floor=1.0).build()

    assert (len(scene), scene.counts, scene.floor, scene.name) == (0, {}, 1.0, "void")


def test_a_builder_refuses_an_unknown_field():
    with pytest.raises(SceneError, match="Did you mean 'front'"):
        SceneBuilder().add("tv", at=(0, 0, 0), frnt=[1, 0, 0]).build()


def test_to_keeps_every_column():
    scene = CognitiveMap.load(APARTMENT).to("cpu")

    assert scene.to_json() == CognitiveMap.load(APARTMENT).to_json()


def test_saving_leaves_no_draft_and_replaces_the_old_file(tmp_path):
    target = tmp_path / "scene.json"
    target.write_text("old")

    two_chairs().save(target)

    assert [p.name for p in tmp_path.iterdir()] == ["scene.json"]
    assert CognitiveMap.load(target).ids == ("chair-1", "chair-2")


@pytest.mark.parametrize("name", ["missing/scene.json", ".", "a\0b.json"])
def test_saving_where_it_cannot_be_is_an_output_error(tmp_path, name):
    with pytest.raises(OutputError, match="cannot be written"):
        two_chairs().save(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


@needs_vsi
def test_vsi_boxes_have_the_hulls_that_the_benchmark_states():
    """`min` and `max` are of the benchmark's own making: they tell rows from columns."""
    record = json.loads(VSI.read_text())
    assert len(CognitiveMap.scenes(VSI)) == len(record) == 88
    for name, truth in record.items():
        scene = CognitiveMap.load(f"{VSI}#{name}")
        low, high = scene.objects.hull()
        rows = [box for boxes in truth["object_bbox"].values() for box in boxes]
        assert torch.allclose(low, torch.tensor([b["min"] for b in rows], dtype=torch.float64))
        assert torch.allclose(high, torch.tensor([b["max"] for b in rows], dtype=torch.float64))
        assert scene.counts == truth["object_counts"]
        assert scene.room_area == truth["room_size"]
        assert (scene.floor, scene.room, scene.name) == (None, None, name)


class TestApartment:
    """The example must be a place that could be: things stand, hang or lie, and do not merge."""

    scene = CognitiveMap.load(APARTMENT)
    HUNG = ("door", "window-1", "window-2", "picture")
    ON_LEGS = ("bed",)  # its box leaves the legs out, so that the shoes lie beneath it

    def faults(self, scene):
        """Ids of what floats, sticks out of the room, or runs into something else."""
        low, high = (end.numpy() for end in scene.objects.hull())
        plans = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
        found = []
        for i, key in enumerate(scene.ids):
            if not scene.room.covers(plans[i]):
                found.append((key, "outside"))
            middle = shapely.Point(*scene.objects.centers[i, :2].tolist())
            stands = abs(low[i, 2] - scene.floor) < 1e-6 or any(
                abs(low[i, 2] - high[j, 2]) < 1e-6 and plans[j].covers(middle)
                for j in range(len(scene))
            )
            wall = scene.room.exterior.distance(middle) < 0.05
            if not (stands or (key in self.HUNG and wall) or key in self.ON_LEGS):
                found.append((key, "floats"))
            for j in range(i):
                shared = (high[[i, j]].min(axis=0) - low[[i, j]].max(axis=0)).min()
                if shared > 1e-6:
                    found.append((key, scene.ids[j]))
        return found

    def test_nothing_floats_or_merges_or_leaves_the_room(self):
        assert self.faults(self.scene) == []

    @pytest.mark.parametrize(
        ("key", "shift", "fault"),
        [
            ("cup", (0, 0, 0.1), ("cup", "floats")),
            ("tv", (1, 0, 0), ("tv", "outside")),
            ("laptop", (0.6, 0.2, 0), ("cup", "laptop")),
        ],
    )
    def test_a_thing_that_was_moved_is_found(self, key, shift, fault):
        centers = self.scene.objects.centers.clone()
        centers[self.scene.ids.index(key)] += torch.tensor(shift, dtype=torch.float64)

        assert fault in self.faults(changed_boxes(self.scene, centers=centers))

    def test_everything_has_a_time_and_what_people_face_has_a_front(self):
        known = {
            key
            for key, front in zip(self.scene.ids, self.scene.fronts.tolist(), strict=True)
            if front[0] == front[0]
        }

        assert not self.scene.first_seen.isnan().any()
        assert {"sofa", "tv", "bed", "stove", "refrigerator", "chair-1", "laptop"} <= known

    def test_chairs_face_the_table_and_the_sofa_faces_the_tv(self):
        for seat, target in [
            *((f"chair-{i}", "dining table") for i in range(1, 5)),
            ("sofa", "tv"),
        ]:
            a, b = self.scene.ids.index(seat), self.scene.ids.index(target)
            way = (self.scene.objects.centers[b] - self.scene.objects.centers[a])[:2]
            assert float(way @ self.scene.fronts[a, :2] / way.norm()) > 0.7

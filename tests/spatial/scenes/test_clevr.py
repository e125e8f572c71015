"""CLEVR scenes: read from the generator's files, checked, and asked in the words of their own."""

import json
import math

import pytest
import torch

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.errors import SceneError
from groundplane.spatial.map import CognitiveMap

NORTH = {"behind": [0, 1, 0], "front": [0, -1, 0], "left": [-1, 0, 0], "right": [1, 0, 0],
         "above": [0, 0, 1], "below": [0, 0, -1]}  # fmt: skip


def solid(shape="cube", at=(0, 0, 0.7), **details):
    item = {"shape": shape, "size": "large", "color": "red", "material": "metal",
            "3d_coords": list(at), "rotation": 0.0, "pixel_coords": [1, 2, 3]}  # fmt: skip
    return {**item, **details}


def scene(*objects, **details):
    record = {"image_index": 3, "image_filename": "none_000003.png", "split": "new",
              "objects": list(objects or (solid(),)), "directions": NORTH,
              "relationships": {"left": "unread"}}  # fmt: skip
    return {**record, **details}


def load(*scenes, name=None, tmp_path):
    path = tmp_path / "scenes.json"
    path.write_text(json.dumps({"info": {"split": "new"}, "scenes": list(scenes)}))
    return CognitiveMap.load(path, scene=name)


class TestReading:
    def test_a_scene_becomes_a_map_of_stated_solids(self, tmp_path):
        found = load(
            scene(solid(), solid("sphere", at=(1, 2, 0.35), size="small")), tmp_path=tmp_path
        )
        assert found.ids == ("cube", "sphere")
        assert found.objects.sizes.tolist() == [[1.4] * 3, [0.7] * 3]
        assert found.objects.vertical()[0].tolist() == [0, 0]
        assert found.attributes[1] == {
            "size": "small", "color": "red", "material": "metal", "shape": "sphere",
        }  # fmt: skip
        assert found.counts == {"cube": 1, "sphere": 1, "cylinder": 0}
        assert (found.scale, found.floor) == ("relative", 0.0)
        assert found.view.tolist() == [0, 1, 0]

    def test_rotation_turns_the_box_about_z(self, tmp_path):
        found = load(scene(solid(rotation=30)), tmp_path=tmp_path)
        wanted = [math.cos(math.pi / 6), math.sin(math.pi / 6), 0]
        assert found.objects.axes[0, 0].tolist() == pytest.approx(wanted)

    def test_scenes_are_named_by_their_image_index(self, tmp_path):
        file = [scene(image_index=7), scene(image_index=4)]
        assert load(*file, name="4", tmp_path=tmp_path).name == "4"
        assert CognitiveMap.scenes(tmp_path / "scenes.json") == ("7", "4")

    def test_one_scene_alone_is_a_file_too(self, tmp_path):
        path = tmp_path / "one.json"
        path.write_text(json.dumps(scene()))
        assert len(CognitiveMap.load(path)) == 1

    def test_every_scene_of_the_data_stands_on_the_ground(self, data_dir):
        path = data_dir / "clevr" / "scenes.json"
        for name in CognitiveMap.scenes(path):
            found = CognitiveMap.load(path, scene=name)
            assert found.objects.vertical()[0].abs().max() < 1e-9
            assert torch.isclose(found.view.norm(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (scene(solid(at=(0, 0))), r"scenes\[0\].objects\[0\].3d_coords: expected a list of 3"),
        (scene(solid(at=(0, 0, -1))), r"3d_coords: expected a centre above the ground"),
        (scene(solid(at=(0, "x", 1))), r"objects\[0\].3d_coords\[1\]: expected a number"),
        (scene(solid(color=3)), r"objects\[0\].color: expected a text, got 3"),
        (scene(solid(rotation="much")), r"objects\[0\].rotation: expected a number"),
        (scene({"3d_coords": [0, 0, 1]}), r"objects\[0\].size: expected a value"),
        (scene(directions={"behind": [0, 1, 0]}), r"directions.front: expected a value"),
        (scene(directions={**NORTH, "left": [1, 0, 0]}), r"directions.left: expected the direc"),
        (scene(directions={**NORTH, "behind": [0, 0, 1]}), r"directions.behind: expected a dir"),
        (scene(directions=[]), r"directions: expected an object of directions"),
        (scene(image_index=[]), r"scenes\[0\].image_index: expected a whole number"),
    ],
)  # fmt: skip
def test_a_malformed_scene_is_refused_with_its_place(broken, where, tmp_path):
    with pytest.raises(SceneError, match=where):
        load(broken, tmp_path=tmp_path)


def test_two_scenes_of_one_index_are_refused(tmp_path):
    with pytest.raises(SceneError, match=r"scenes\[1\].image_index: expected an index that"):
        load(scene(), scene(), tmp_path=tmp_path)


@pytest.fixture
def asker(tmp_path):
    file = scene(
        solid("sphere", at=(0, 0, 0.7)),
        solid("cube", at=(-2, 0, 0.35), size="small"),
        solid("cube", at=(-2, 2, 0.7), material="rubber", color="gray"),
    )
    return Asker(load(file, tmp_path=tmp_path))


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How many red cubes are left of the big sphere?", 1),
        ("How many blocks are to the left of the large shiny ball?", 2),
        ("Is there a tiny metallic block?", True),
        ("Is there a big cylinder?", False),
        ("How many cylinders are there?", 0),
        ("How many grey things are there?", 1),
        ("What color is the matte thing?", "gray"),
        ("How big is the ball?", "large"),
        ("How big is the tiny cube?", "small"),
    ],
)
def test_words_for_sizes_and_materials_mean_what_the_scene_states(asker, question, value):
    reply = asker.ask(question)
    assert (reply.value, reply.status) == (value, Status.ANSWERED)


def test_an_unstated_property_is_no_count_of_zero(asker):
    assert asker.ask("How many wooden cubes are there?").value == 0
    reply = asker.ask("How many broken cubes are there?")
    assert reply.status is Status.UNKNOWN_OBJECT
    assert "does not say which is 'broken'" in reply.text

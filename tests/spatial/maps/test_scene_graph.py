"""Scene graphs in JSON and GraphML: what is written, and that it comes back."""

from __future__ import annotations

import json
import math

import networkx
import pytest
import torch

from groundplane.core.errors import InputError, SceneError
from groundplane.spatial.maps.scene_graph import read_scene_graph, to_graphml, to_scene_graph
from groundplane.testing.scenes import SceneBuilder

AHEAD = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
KINDS = ("near", "distance", "on", "left_of", "facing")


def desk():
    scene = SceneBuilder("desk").add("table", at=(0, 0, 0.4), size=(1.6, 0.8, 0.8), regions=["r1"])
    scene.add("cup", at=(0.2, 0, 0.85), size=(0.1, 0.1, 0.1), attributes={"colour": "red"})
    return scene.add("chair", at=(0, -1, 0.4), front=[0, 1, 0], first_seen=2.5, score=0.9).build()


def test_the_whole_map_and_its_edges_come_back():
    scene = desk()
    back = read_scene_graph(to_scene_graph(scene, relations=KINDS, view=AHEAD))

    assert back.map.to_json() == scene.to_json()
    expected = scene.graph(relations=KINDS, view=AHEAD)
    assert isinstance(back.graph, networkx.MultiDiGraph)
    assert list(back.graph.edges(keys=True, data=True)) == list(
        expected.edges(keys=True, data=True)
    )
    assert back.graph.nodes["chair"] == expected.nodes["chair"]


def test_an_edge_says_kind_value_unit_frame_and_provenance():
    made = json.loads(to_scene_graph(desk(), relations=("distance", "left_of"), view=AHEAD))
    by_kind = {(edge["kind"], edge["source"], edge["target"]): edge for edge in made["edges"]}

    assert made["frame"] == "world, z up"
    assert by_kind["distance", "table", "chair"] == {
        "source": "table",
        "target": "chair",
        "kind": "distance",
        "value": pytest.approx(0.35),
        "unit": "m",
        "frame": "world, z up",
        "provenance": ["r1"],
    }
    left = by_kind["left_of", "table", "cup"]
    assert (left["value"], left["frame"]) == (True, "viewer who looks along (0.00, 1.00, 0.00)")


def test_a_relative_map_says_its_unit():
    scene = SceneBuilder(scale="relative").add("a", at=(0, 0, 0)).add("b", at=(1, 0, 0)).build()

    assert json.loads(to_scene_graph(scene))["edges"][0]["unit"] == "map_unit"


def test_an_empty_map_is_written_and_refused_when_read():
    written = to_scene_graph(SceneBuilder().build())

    assert json.loads(written)["edges"] == []
    with pytest.raises(SceneError, match="at least one object"):
        read_scene_graph(written)


def broken(change):
    record = json.loads(to_scene_graph(desk(), relations=("on", "near")))
    change(record)
    return json.dumps(record)


WRONG = {
    "expected JSON": lambda r: r.clear(),
    "expected 'groundplane-graph'": lambda r: r.update(format="other"),
    "version": lambda r: r.update(version=2),
    "'edges'|edges": lambda r: r.pop("edges"),
    "edges: expected a list": lambda r: r.update(edges={}),
    "the id of an object": lambda r: r["edges"][0].update(target="lamp"),
    "expected one of near": lambda r: r["edges"][0].update(kind="hates"),
    "expected true": lambda r: r["edges"][-1].update(kind="on", value=False),
    "a number": lambda r: r["edges"][0].update(kind="near", value="far"),
    "each edge once": lambda r: r["edges"].append(r["edges"][0]),
    "colour": lambda r: r["edges"][0].update(colour="red"),
    "center": lambda r: r["map"]["objects"][0].pop("center"),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_malformed_graph_is_refused_by_field(message):
    text = "{" if message == "expected JSON" else broken(WRONG[message])
    with pytest.raises(SceneError, match=message):
        read_scene_graph(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", "[]", '{"format": NaN}'])
def test_what_is_no_graph_is_refused(text):
    with pytest.raises(SceneError):
        read_scene_graph(text)


class TestGraphML:
    def test_ids_labels_positions_and_edges_come_back(self):
        scene = desk()
        back = networkx.parse_graphml(to_graphml(scene, relations=KINDS, view=AHEAD))
        made = scene.graph(relations=KINDS, view=AHEAD)

        assert list(back) == list(scene.ids)
        for key, node in made.nodes(data=True):
            flat = back.nodes[key]
            assert flat["label"] == node["label"]
            assert (flat["x"], flat["y"], flat["z"]) == node["center"]
            assert (flat["size_x"], flat["size_y"], flat["size_z"]) == node["size"]
        assert {(a, b, edge["kind"]) for a, b, edge in back.edges(data=True)} == {
            (a, b, edge["kind"]) for a, b, edge in made.edges(data=True)
        }

    def test_attributes_are_flat_and_the_unknown_is_left_out(self):
        nodes = networkx.parse_graphml(to_graphml(desk())).nodes

        assert nodes["cup"]["attribute.colour"] == "red"
        assert (nodes["chair"]["first_seen"], nodes["table"]["provenance"]) == (2.5, "r1")
        assert "first_seen" not in nodes["cup"]
        assert all(
            not math.isnan(v) for n in nodes.values() for v in n.values() if type(v) is float
        )

    def test_characters_that_xml_cannot_hold_are_replaced(self):
        scene = SceneBuilder().add("a<&>\u00e4\U0001f600", at=(0, 0, 0)).build()
        bad = scene.__class__.from_record(json.loads(scene.to_json()), source="x")
        object.__setattr__(bad, "ids", ("a\x00\ud800b",))

        assert list(networkx.parse_graphml(to_graphml(bad))) == ["a\ufffd\ufffdb"]
        assert next(iter(networkx.parse_graphml(to_graphml(scene)))) == "a<&>\u00e4\U0001f600"

    def test_ids_that_become_the_same_are_refused(self):
        scene = SceneBuilder().add("a", at=(0, 0, 0)).add("b", at=(9, 0, 0)).build()
        object.__setattr__(scene, "ids", ("a\x00", "a\x01"))

        with pytest.raises(InputError, match="differ only by characters"):
            to_graphml(scene)

    def test_an_empty_map_gives_an_empty_graph(self):
        assert len(networkx.parse_graphml(to_graphml(SceneBuilder().build()))) == 0

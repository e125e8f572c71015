"""The graph of a map: which edges there are, and what they carry."""

from __future__ import annotations

import math

import networkx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial import relations
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.maps import graphs
from groundplane.testing.scenes import SceneBuilder


def plain_gap(scene, i, j):
    """Distance of two hulls, written out for one pair."""
    low, high = (end.tolist() for end in scene.objects.hull())
    gaps = (max(low[i][k] - high[j][k], low[j][k] - high[i][k], 0) for k in range(3))
    return math.sqrt(sum(gap**2 for gap in gaps))


POINTS = st.tuples(*[st.floats(-4, 4)] * 3)


class TestGraph:
    def row(self):
        scene = SceneBuilder()
        for i in range(3):
            scene.add("box", at=(3.0 * i, 0, 0), size=(1, 1, 1), regions=[f"r{i}"])
        return scene.build()

    def test_near_objects_are_joined_both_ways_with_distance_and_regions(self):
        graph = self.row().graph()

        assert isinstance(graph, networkx.MultiDiGraph)
        assert sorted((a, b) for a, b in graph.edges()) == [
            ("box-1", "box-2"),
            ("box-2", "box-1"),
            ("box-2", "box-3"),
            ("box-3", "box-2"),
        ]
        edge = graph.edges["box-2", "box-3", "near"]
        assert edge == {
            "kind": "near",
            "value": 2.0,
            "distance": 2.0,
            "frame": "world, z up",
            "provenance": ("r1", "r2"),
        }

    def test_nodes_carry_the_columns(self):
        node = self.row().graph().nodes["box-2"]

        assert (node["label"], node["center"], node["score"]) == ("box", (3.0, 0.0, 0.0), 1.0)

    def test_no_limit_joins_all(self):
        graph = self.row().graph(limit=None)

        assert graph.number_of_edges() == 6
        assert graph.edges["box-1", "box-3", "near"]["distance"] == 5.0

    def test_height_counts(self):
        scene = SceneBuilder().add("lamp", at=(0, 0, 9)).add("rug", at=(0, 0, 0)).build()

        assert scene.graph().number_of_edges() == 0

    @given(st.lists(POINTS, min_size=2, max_size=6), st.floats(0, 5))
    @settings(max_examples=40, deadline=None)
    def test_edges_are_those_of_the_plain_version(self, places, limit):
        scene = SceneBuilder()
        for place in places:
            scene.add("box", at=place, size=(0.5, 1, 0.3), yaw=30)
        made = scene.build()
        graph = made.graph(limit=limit)
        for i, a in enumerate(made.ids):
            for j, b in enumerate(made.ids):
                gap = plain_gap(made, i, j)
                if i != j and abs(gap - limit) > 1e-9:  # rounding decides at the limit itself
                    assert graph.has_edge(a, b) == (gap < limit)

    @pytest.mark.parametrize("limit", [-1.0, math.nan])
    def test_a_limit_that_is_no_distance_is_refused(self, limit):
        with pytest.raises(InputError, match="at least 0 metres"):
            self.row().graph(limit=limit)

    @pytest.mark.parametrize("limit", [None, 100.0])
    def test_too_many_edges_are_refused(self, limit, monkeypatch):
        monkeypatch.setattr(graphs, "EDGE_LIMIT", 5)
        with pytest.raises(InputError, match="at most 5 edges, got 6"):
            self.row().graph(limit=limit)

    def test_an_empty_map_gives_an_empty_graph(self):
        assert SceneBuilder().build().graph().number_of_nodes() == 0
        assert SceneBuilder().build().graph(limit=None).number_of_nodes() == 0


VIEWED = ("left_of", "right_of", "in_front_of", "behind")
FRONTED = ("facing", "facing_away", "opposite")
WORLD = [kind for kind in graphs.EDGE_KINDS[2:] if kind not in (*VIEWED, *FRONTED)]
AHEAD = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)


def room():
    scene = SceneBuilder().add("table", at=(0, 0, 0.4), size=(1.6, 0.9, 0.8), yaw=20)
    scene.add("cup", at=(0.2, 0.1, 0.85), size=(0.08, 0.08, 0.1), regions=["r7"])
    scene.add("stool", at=(0.1, 0, 0.2), size=(0.35, 0.35, 0.4)).add("lamp", at=(0, 0, 2.0))
    return scene.add("sofa", at=(0, 3.2, 0.4), size=(2, 0.9, 0.8), yaw=45, front=[0, -1, 0]).build()


def two_that_face():
    scene = SceneBuilder().add("sofa", at=(0, 0, 0), front=[1, 0, 0])
    return scene.add("tv", at=(2, 0, 0), front=[-1, 0, 0]).add("box", at=(0, 2, 0)).build()


class TestTypedEdges:
    @pytest.mark.parametrize("kind", [*WORLD, *VIEWED, *FRONTED])
    def test_an_edge_is_there_where_the_relation_holds(self, kind, monkeypatch):
        monkeypatch.setattr(graphs, "_BLOCK", 2)
        scene = room()
        test = getattr(relations, kind)
        sides = 2 if kind == "opposite" else 1
        extra = (AHEAD,) if kind in VIEWED else (scene.fronts,) * sides if kind in FRONTED else ()
        table = test(scene.objects, scene.objects, *extra)
        graph = scene.graph(limit=None, relations=(kind,), view=AHEAD)

        for i, a in enumerate(scene.ids):
            for j, b in enumerate(scene.ids):
                if i != j:
                    assert graph.has_edge(a, b, key=kind) == bool(table[i, j])

    def test_only_candidates_within_the_limit_are_looked_at(self):
        graph = room().graph(limit=0.5, relations=("behind",), view=AHEAD)

        assert not graph.has_edge("sofa", "table", key="behind")
        assert room().graph(limit=9, relations=("behind",), view=AHEAD).has_edge("sofa", "table")

    def test_relations_carry_frame_value_and_provenance(self):
        graph = room().graph(relations=("on", "behind"), limit=9, view=AHEAD)

        assert graph.edges["cup", "table", "on"] == {
            "kind": "on",
            "value": True,
            "frame": "world, z up",
            "provenance": ("r7",),
        }
        frame = graph.edges["sofa", "table", "behind"]["frame"]
        assert frame == "viewer who looks along (0.00, 1.00, 0.00)"

    def test_distance_is_the_exact_gap_and_near_that_of_the_hulls(self):
        scene = room()
        graph = scene.graph(relations=("near", "distance"), limit=None)
        gaps = box_gaps(scene.objects, scene.objects)

        for i, a in enumerate(scene.ids):
            for j, b in enumerate(scene.ids):
                if i != j:
                    exact = graph.edges[a, b, "distance"]["value"]
                    assert exact == pytest.approx(float(gaps[i, j]), abs=1e-9)
                    assert graph.edges[a, b, "near"]["value"] <= exact + 1e-9

    def test_the_distance_weighs_paths(self):
        graph = room().graph(limit=None)

        assert networkx.shortest_path_length(graph, "cup", "sofa", weight="distance") <= 4

    def test_what_is_told_of_fronts_names_the_front_as_its_frame(self):
        graph = two_that_face().graph(limit=None, relations=("facing", "opposite"))

        assert graph.edges["sofa", "tv", "facing"]["frame"] == "the subject's own front"
        assert graph.edges["tv", "sofa", "opposite"]["frame"] == "each one's own front"
        assert not graph.has_edge("sofa", "box")

    def test_far_things_are_not_sought_within_a_limit_that_shuts_them_out(self):
        with pytest.raises(InputError, match=r"'far' .* more than 3.6 .*limit=None"):
            room().graph(relations=("far",))
        assert room().graph(limit=None, relations=("far",)).number_of_edges() == 0

    def test_a_scene_without_a_camera_needs_a_view(self):
        with pytest.raises(InputError, match="'left_of' needs a viewer"):
            room().graph(relations=("left_of",))

    def test_an_unknown_kind_is_refused_with_the_known_ones(self):
        with pytest.raises(InputError, match="Did you mean 'behind'"):
            room().graph(relations=("behnid",))

    def test_edges_of_all_kinds_together_are_limited(self, monkeypatch):
        monkeypatch.setattr(graphs, "EDGE_LIMIT", 25)
        assert room().graph(limit=None).number_of_edges() == 20
        with pytest.raises(InputError, match="at most 25 edges, got 40"):
            room().graph(limit=None, relations=("near", "distance"))

    def test_no_objects_give_no_edges_of_any_kind(self):
        empty = SceneBuilder().build()

        graph = empty.graph(limit=None, relations=graphs.EDGE_KINDS, view=AHEAD)
        assert graph.number_of_edges() == 0

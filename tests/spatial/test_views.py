"""The grid and the graph of a map, and where labels of a plan are put."""

from __future__ import annotations

import ast
import json
import math

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial import views
from groundplane.testing.scenes import SceneBuilder


def corners():
    """Hulls from (0, 0) to (10, 5): a grid of 10 has cells of one metre."""
    scene = SceneBuilder().add("cup", at=(0.5, 0.5, 0), size=(1, 1, 1))
    return scene.add("cup", at=(9.5, 4.5, 0), size=(1, 1, 1)).add("pan", at=(5, 2.5, 0))


class TestGrid:
    def test_the_longer_side_spans_the_grid_and_the_aspect_is_kept(self):
        grid = corners().build().grid()

        assert grid.objects == {"cup": ((0, 0), (9, 4)), "pan": ((5, 2),)}
        assert (grid.cells, grid.origin, grid.side) == (10, (0.0, 0.0), 10.0)

    def test_the_room_gives_the_bounds_where_there_is_one(self):
        room = [(-10, -10), (10, -10), (10, 10), (-10, 10)]

        assert corners().room(room).build().grid(20).objects["cup"] == ((10, 10), (19, 14))

    def test_text_is_the_published_dictionary_of_tuples(self):
        text = corners().build().grid().to_text()

        assert text == '{"cup": [(0, 0), (9, 4)], "pan": [(5, 2)]}'
        assert ast.literal_eval(text) == {"cup": [(0, 0), (9, 4)], "pan": [(5, 2)]}

    def test_json_holds_the_transform(self):
        record = json.loads(corners().build().grid().to_json())

        assert record["objects"] == {"cup": [[0, 0], [9, 4]], "pan": [[5, 2]]}
        assert (record["cells"], record["origin"], record["side"]) == (10, [0.0, 0.0], 10.0)

    @given(st.integers(1, 40), st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 30))
    @settings(max_examples=50, deadline=None)
    def test_a_cell_and_its_middle_belong_together(self, cells, x, y, width):
        scene = SceneBuilder().add("cup", at=(x, y, 0), size=(width, width / 2, 1))
        grid = scene.build().grid(cells)
        for cell in ((0, 0), (cells - 1, cells // 2)):
            assert grid.cell(*grid.center(cell)) == cell

    def test_points_beyond_the_grid_are_clamped(self):
        grid = corners().build().grid()

        assert (grid.cell(-99, 99), grid.cell(10, 10)) == ((0, 9), (9, 9))

    def test_an_empty_map_gives_an_empty_grid(self):
        assert SceneBuilder().build().grid().to_text() == "{}"

    def test_no_cells_are_refused(self):
        with pytest.raises(InputError, match="at least 1 cell"):
            corners().build().grid(0)


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
        assert edge == {"distance": 2.0, "provenance": ("r1", "r2")}

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
        monkeypatch.setattr(views, "EDGE_LIMIT", 5)
        with pytest.raises(InputError, match="at most 5 edges, got 6"):
            self.row().graph(limit=limit)

    def test_an_empty_map_gives_an_empty_graph(self):
        assert SceneBuilder().build().graph().number_of_nodes() == 0
        assert SceneBuilder().build().graph(limit=None).number_of_nodes() == 0

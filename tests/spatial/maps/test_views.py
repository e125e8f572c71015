"""The grid of a map."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
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

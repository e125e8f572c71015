"""Boxes, gaps and turns of meshes against brute force and the engine, which is written apart."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from block_rooms import block
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.geometry.sampling import sampled_gap
from groundplane.testing import rooms
from groundplane.testing.rooms.truth import area_of, gaps, grid_gap, holds, outline_gap, solid_of


def solids_of(seed, count=2, spread=2.0):
    chance = np.random.default_rng(seed)
    things = [
        block(
            key, f"thing{key}", chance.uniform(-spread, spread, 3), chance.uniform(0.1, 1.5, 3),
            yaw=float(chance.uniform(0, 360)),
        )
        for key in range(1, count + 1)
    ]  # fmt: skip
    return [solid_of(thing.id, thing.label, thing.mesh.vertices) for thing in things]


def boxes_of(solids):
    columns = (np.stack([getattr(s, name) for s in solids]) for name in ("center", "sizes", "axes"))
    centers, sizes, axes = map(torch.tensor, columns)
    return Boxes3D(centers=centers, sizes=sizes, axes=axes)


class TestSolids:
    @given(st.integers(0, 10**6), st.floats(0.0, 360.0))
    @settings(max_examples=40, deadline=None)
    def test_a_turned_block_gets_its_own_sides(self, seed, yaw):
        chance = np.random.default_rng(seed)
        sizes, at = chance.uniform(0.1, 2.0, 3), chance.uniform(-3, 3, 3)
        solid = solid_of(1, "block", block(1, "block", at, sizes, yaw=yaw).mesh.vertices)
        assert np.allclose(sorted(solid.sizes), sorted(sizes), atol=1e-9)
        assert np.allclose(solid.center, at, atol=1e-9)
        assert np.isclose(np.linalg.det(solid.axes), 1.0)

    @given(st.integers(0, 10**6))
    @settings(max_examples=30, deadline=None)
    def test_no_turn_gives_a_smaller_footprint(self, seed):
        points = np.random.default_rng(seed).normal(size=(12, 3))
        solid = solid_of(1, "cloud", points)
        local = (points - solid.center) @ solid.axes.T
        assert (np.abs(local) <= solid.sizes / 2 + 1e-9).all()
        for angle in np.linspace(0, np.pi / 2, 181):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            spans = np.ptp(points[:, :2] @ turn, axis=0)
            assert np.prod(spans) >= np.prod(solid.sizes[:2]) - 1e-9

    def test_vertices_that_are_no_numbers_are_refused(self):
        with pytest.raises(InputError, match="truth of 'sofa'"):
            solid_of(1, "sofa", np.array([[0.0, 0.0, np.nan]]))

    @pytest.mark.parametrize("points", [np.zeros((1, 3)), np.eye(3)[:2], np.zeros((5, 3))])
    def test_what_is_flat_has_a_box_all_the_same(self, points):
        assert (solid_of(1, "dust", points).sizes > 0).all()


class TestGaps:
    @given(st.integers(0, 10**6))
    @settings(max_examples=30, deadline=None)
    def test_gaps_are_those_of_the_engine(self, seed):
        solids = solids_of(seed, count=4)
        boxes = boxes_of(solids)
        assert np.allclose(gaps(solids), box_gaps(boxes, boxes).numpy(), atol=1e-6)

    @given(st.integers(0, 10**6))
    @settings(max_examples=5, deadline=None)
    def test_the_grid_measures_what_all_its_points_measure(self, seed):
        a, b = solids_of(seed, spread=1.0)
        assert grid_gap(a, b) == pytest.approx(plain_grid_gap(a, b), abs=1e-9)

    def test_the_grid_is_that_of_the_engine(self):
        a, b = solids_of(4)
        theirs = sampled_gap(boxes_of([a]), boxes_of([b]))
        assert grid_gap(a, b) == pytest.approx(float(theirs), abs=0.03)

    def test_a_block_beside_another(self):
        a = solid_of(1, "a", block(1, "a", (0, 0, 0.5), (1, 1, 1)).mesh.vertices)
        b = solid_of(2, "b", block(2, "b", (4, 5, 0.5), (1, 1, 1)).mesh.vertices)
        assert gaps([a, b])[0, 1] == pytest.approx(5.0)

    def test_outlines_that_cross_meet_without_a_corner_inside(self):
        bar = np.array([[-2.0, -0.1], [2, -0.1], [2, 0.1], [-2, 0.1]])
        assert outline_gap(bar, bar[:, ::-1]) == 0.0


def plain_grid_gap(a, b):
    """All points of both grids, pair by pair."""
    clouds = []
    for solid in (a, b):
        runs = [np.append(np.arange(-s / 2, s / 2 - 1e-9, 0.05), s / 2) for s in solid.sizes]
        points = np.array([(x, y, z) for x in runs[0] for y in runs[1] for z in runs[2]])
        clouds.append(points @ solid.axes + solid.center)
    return min(np.linalg.norm(clouds[1] - point, axis=1).min() for point in clouds[0])


class TestOutlines:
    def test_the_area_of_a_bent_room(self):
        bent = np.array([[0.0, 0], [4, 0], [4, 2], [2, 2], [2, 5], [0, 5]])
        assert area_of(bent) == pytest.approx(14.0)
        assert holds(bent, np.array([[3.0, 1.0], [3.0, 3.0], [1.0, 4.0]])).tolist() == [
            True,
            False,
            True,
        ]


def test_what_asks_imports_nothing_of_what_answers():
    folder = Path(rooms.__file__).parent
    asking = [*folder.glob("question*.py"), folder / "truth.py", folder / "room.py"]
    assert len(asking) > 6
    for path in asking:
        assert forbidden(path.read_text()) == [], path.name


def test_an_import_of_the_engine_would_be_found():
    assert forbidden("def f():\n    from groundplane.spatial.map import CognitiveMap") != []
    assert forbidden("import groundplane.evaluation.vsibench") != []


def forbidden(source):
    """Imports of the engine, also those within functions."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    engines = ("groundplane.spatial", "groundplane.evaluation", "groundplane.asking")
    return [name for name in names if name.startswith(engines)]

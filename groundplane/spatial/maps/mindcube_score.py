"""MindCube's measures of a map: how alike are its directions and facings, however it is turned?

For each ordered pair of objects the direction from one to the other is one of six words. The
directional similarity is the share of the true map's directions that the written map has too, the
facing similarity that of its facings; 0.7 times the one and 0.3 times the other is the overall
similarity, the best over the published rotations: quarter turns of the plane, and a quarter turn
about each of its axes, which lays the map flat on a line.

Source: mll-lab-nu/MindCube, `src/evaluation/cogmap/cogmap_metrics.py` and `graph_operations.py`.
Where we differ: turns are exact there where the published code turns by floating-point cosines,
after which an exact diagonal may fall either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from groundplane.core.errors import InputError
from groundplane.spatial.maps.mindcube import FACINGS, Facing, MindCubeMap, Placed

__all__ = ["MapSimilarity", "is_isomorphic", "relation_graph", "similarity"]

DIRECTION_WEIGHT = 0.7
FACING_WEIGHT = 0.3
# Two things nearer than `CLOSE` cells are inner or outer of each other by their facings; nearer
# than `SAME` the one is inner of the other whatever they face.
CLOSE = 0.5
SAME = 0.2
# All pairs are looked at once a rotation: 1,000 things take some 100 MB.
_LIMIT = 1000
# Isomorphism without names is a search; a map of MindCube has some ten things.
_SEARCH_LIMIT = 100

_CODES: Mapping[Facing | None, int] = {None: 0, **{name: i for i, name in enumerate(FACINGS, 1)}}
_NAMES: tuple[Facing | None, ...] = tuple(_CODES)
_UP, _RIGHT, _DOWN, _LEFT, _INNER, _OUTER = range(1, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rotation:
    """A rotation of the plane (y down) and what becomes of each facing, by its code."""

    matrix: tuple[tuple[int, int], tuple[int, int]]
    facings: tuple[int, ...]


# What lies on one axis falls on the line; the facings are those of the published tables.
_ROTATIONS: Mapping[str, _Rotation] = {
    "identity": _Rotation(matrix=((1, 0), (0, 1)), facings=(0, 1, 2, 3, 4, 5, 6)),
    "z_rot_90": _Rotation(matrix=((0, -1), (1, 0)), facings=(0, 2, 3, 4, 1, 5, 6)),
    "z_rot_180": _Rotation(matrix=((-1, 0), (0, -1)), facings=(0, 3, 4, 1, 2, 5, 6)),
    "z_rot_270": _Rotation(matrix=((0, 1), (-1, 0)), facings=(0, 4, 1, 2, 3, 5, 6)),
    "x_rot_90": _Rotation(matrix=((1, 0), (0, 0)), facings=(0, 5, 2, 6, 4, 3, 1)),
    "y_rot_90": _Rotation(matrix=((0, 0), (0, 1)), facings=(0, 1, 6, 3, 5, 2, 4)),
}
_PLANE = ("identity", "z_rot_90", "z_rot_180", "z_rot_270")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSimilarity:
    """How alike two maps are at the best rotation.

    Attributes:
        directional: Share of the true directions that the written map has, over common names.
        facing: Share of the true facings; 1 where no common object has one.
        overall: 0.7 directional + 0.3 facing.
        coverage: Share of the true names that the written map has.
        rotation: The rotation of the written map; None where nothing matched.
        isomorphic: Whether at that rotation the written map has every name and direction of the
            true one.
    """

    directional: float
    facing: float
    overall: float
    coverage: float
    rotation: str | None
    isomorphic: bool


def similarity(
    written: MindCubeMap,
    truth: MindCubeMap,
    *,
    rotations: Literal["published", "plane"] = "published",
) -> MapSimilarity:
    """Compare a written map with the true one; see the module.

    Views are compared only where the written map lists views.

    Args:
        written: Such as `read_mindcube` gives it.
        truth: The true map.
        rotations: The six of the benchmark, or the four quarter turns of the plane only.

    Raises:
        InputError: If a map holds more than 1,000 things.

    Examples:
        >>> tv, turned_tv = Placed(name="tv", position=(2, 0)), Placed(name="tv", position=(4, 2))
        >>> sofa = Placed(name="sofa", position=(2, 2), facing="up")
        >>> turned_sofa = Placed(name="sofa", position=(2, 2), facing="right")
        >>> true = MindCubeMap(objects=(sofa, tv))
        >>> turned = MindCubeMap(objects=(turned_sofa, turned_tv))
        >>> made = similarity(turned, true)
        >>> made.overall, made.rotation, made.isomorphic
        (1.0, 'z_rot_270', True)
        >>> similarity(MindCubeMap(objects=()), true).overall
        0.0
    """
    expected = _table(truth.objects if written.views is None else _things(truth))
    found = _table(_things(written))
    names = [name for name in expected.names if name in found.rows]
    coverage = len(names) / len(expected.names) if expected.names else 0.0
    best = MapSimilarity(
        directional=0.0, facing=0.0, overall=0.0, coverage=coverage, rotation=None, isomorphic=False
    )
    if not names:
        return best
    true, own = expected.pick(names), found.pick(names)
    directions = true.directions()
    for name in _ROTATIONS if rotations == "published" else _PLANE:
        turned = own.turned(_ROTATIONS[name])
        same = turned.directions() == directions
        known = directions > 0
        directional = float(same[known].mean()) if known.any() else 0.0
        faced = true.facings > 0
        facing = float((turned.facings == true.facings)[faced].mean()) if faced.any() else 1.0
        overall = DIRECTION_WEIGHT * directional + FACING_WEIGHT * facing
        if overall > best.overall:
            best = MapSimilarity(
                directional=directional,
                facing=facing,
                overall=overall,
                coverage=coverage,
                rotation=name,
                isomorphic=coverage == 1.0 and bool(same.all()),
            )
    return best


def relation_graph(source: MindCubeMap) -> Any:
    """The map as a `networkx.DiGraph`: an edge each way between things in different places.

    Returns:
        Nodes hold `position`, `facing` and `type` (`object` or `view`), edges `angle`, radians
        clockwise from right on the map (y is down), `distance` in cells, and `direction`, one of
        the six words or None.

    Raises:
        InputError: If the map holds more than 1,000 things.
    """
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    things = _things(source)
    views = {view.name for view in source.views or ()}
    for item in things:
        kind = "view" if item.name in views else "object"
        graph.add_node(item.name, position=item.position, facing=item.facing, type=kind)
    table = _table(things)
    directions = table.directions()
    for i, a in enumerate(things):
        for j, b in enumerate(things):
            dx, dy = b.position[0] - a.position[0], b.position[1] - a.position[1]
            if dx or dy:
                word = _NAMES[directions[i, j]]
                distance = math.hypot(dx, dy)
                angle = math.atan2(dy, dx)
                graph.add_edge(a.name, b.name, angle=angle, distance=distance, direction=word)
    return graph


def is_isomorphic(a: MindCubeMap, b: MindCubeMap, *, names: bool = True) -> bool:
    """Whether the relation graphs of two maps are the same at some quarter turn of the plane.

    Args:
        a: One map.
        b: Another.
        names: Whether things must keep their names; else the pattern alone is compared.

    Raises:
        InputError: If a map holds more than 100 things.
    """
    import networkx

    for part in (a, b):
        if (count := len(_things(part))) > _SEARCH_LIMIT:
            raise InputError(f"is_isomorphic: at most {_SEARCH_LIMIT} things, got {count}")
    graph = relation_graph(b)
    if names:
        networkx.set_node_attributes(graph, {name: name for name in graph}, "name")
    for name in _PLANE:
        other = relation_graph(_turned(a, _ROTATIONS[name]))
        if names:
            networkx.set_node_attributes(other, {key: key for key in other}, "name")
        if networkx.is_isomorphic(
            graph,
            other,
            node_match=lambda p, q: p.get("name") == q.get("name") and p["type"] == q["type"],
            edge_match=lambda p, q: p["direction"] == q["direction"],
        ):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """Things in columns."""

    names: tuple[str, ...]
    positions: Float[np.ndarray, "n 2"]
    facings: Int[np.ndarray, " n"]

    @property
    def rows(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def pick(self, names: Sequence[str]) -> _Table:
        """Those names, in that order."""
        rows = self.rows
        index = [rows[name] for name in names]
        return _Table(
            names=tuple(names), positions=self.positions[index], facings=self.facings[index]
        )

    def turned(self, rotation: _Rotation) -> _Table:
        """The same after a rotation."""
        return _Table(
            names=self.names,
            positions=self.positions @ np.array(rotation.matrix, dtype=np.float64).T,
            facings=np.array(rotation.facings)[self.facings],
        )

    def directions(self) -> Int[np.ndarray, "n n"]:
        """The code of the direction from each thing to each other; 0 for none, and on itself."""
        way = self.positions - self.positions[:, None]
        dx, dy = way[..., 0], way[..., 1]
        flat = np.where(dx > 0, _RIGHT, _LEFT)
        steep = np.where(dy > 0, _DOWN, _UP)
        found = np.where(np.abs(dx) > np.abs(dy), flat, steep)
        distance = np.sqrt(dx**2 + dy**2)
        found = np.where(distance < CLOSE, self._close(distance < SAME), found)
        np.fill_diagonal(found, 0)
        return np.asarray(found)

    def _close(self, same: Bool[np.ndarray, "n n"]) -> Int[np.ndarray, "n n"]:
        """The direction of things in one place, by what they face."""
        first, second = self.facings[:, None], self.facings
        inner = (first == _INNER) | (second == _OUTER)
        outer = (first == _OUTER) | (second == _INNER)
        return np.asarray(np.where(inner | (same & ~outer), _INNER, np.where(outer, _OUTER, 0)))


def _things(source: MindCubeMap) -> tuple[Placed, ...]:
    return (*source.objects, *(source.views or ()))


def _table(things: Sequence[Placed]) -> _Table:
    if len(things) > _LIMIT:
        raise InputError(f"MindCube map: expected at most {_LIMIT} things, got {len(things)}")
    return _Table(
        names=tuple(item.name for item in things),
        positions=np.array([item.position for item in things], dtype=np.float64).reshape(-1, 2),
        facings=np.array([_CODES[item.facing] for item in things], dtype=np.int64),
    )


def _turned(source: MindCubeMap, rotation: _Rotation) -> MindCubeMap:
    (a, b), (c, d) = rotation.matrix

    def turn(item: Placed) -> Placed:
        x, y = item.position
        facing = _NAMES[rotation.facings[_CODES[item.facing]]]
        return Placed(name=item.name, position=(a * x + b * y, c * x + d * y), facing=facing)

    views = None if source.views is None else tuple(map(turn, source.views))
    return MindCubeMap(objects=tuple(map(turn, source.objects)), views=views, cells=source.cells)

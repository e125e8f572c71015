"""Views of a cognitive map: a grid, and a graph of what is near what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float, Int

from groundplane.core.errors import InputError

__all__ = ["Grid", "build_graph"]

# Each edge takes some 0.6 kB in networkx.
EDGE_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Objects on a square grid, x to the right and y up from the lower left cell (0, 0).

    How the published 10 x 10 maps were scaled is not known. Here the longer side of the scene
    spans the grid and the shorter side keeps its aspect: `floor(cells * (xy - origin) / side)`,
    clamped to the grid.

    Attributes:
        cells: Cells along each side.
        origin: World x and y of the grid's lower left corner, metres.
        side: Length of the grid's side, metres.
        objects: Label to the cells of its objects, in the map's order.
    """

    cells: int
    origin: tuple[float, float]
    side: float
    objects: Mapping[str, tuple[tuple[int, int], ...]]

    @classmethod
    def of(
        cls,
        centers: Float[np.ndarray, "n 2"],
        *,
        labels: Sequence[str],
        bounds: tuple[float, float, float, float],
        cells: int,
    ) -> Grid:
        """Put centres on a grid over bounds (least x, least y, greatest x, greatest y).

        Raises:
            InputError: If `cells` is not positive.
        """
        if cells < 1:
            raise InputError(f"grid: expected at least 1 cell a side, got {cells}")
        origin = (bounds[0], bounds[1])
        side = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
        objects: dict[str, list[tuple[int, int]]] = {}
        for label, (x, y) in zip(labels, _to_cells(centers, origin, side, cells), strict=True):
            objects.setdefault(label, []).append((int(x), int(y)))
        return cls(
            cells=cells,
            origin=origin,
            side=side,
            objects={label: tuple(places) for label, places in objects.items()},
        )

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """The cell of a world point, clamped to the grid."""
        column, row = _to_cells(
            np.array([[x, y]], dtype=np.float64), self.origin, self.side, self.cells
        )[0]
        return int(column), int(row)

    def center(self, cell: tuple[int, int]) -> tuple[float, float]:
        """World x and y of a cell's middle, metres."""
        step = self.side / self.cells
        return self.origin[0] + (cell[0] + 0.5) * step, self.origin[1] + (cell[1] + 0.5) * step

    def to_text(self) -> str:
        """The dictionary of tuples that the literature prints; it is not JSON.

        Examples:
            >>> grid = Grid(cells=10, origin=(0.0, 0.0), side=5.0, objects={"chair": ((1, 2),)})
            >>> grid.to_text()
            '{"chair": [(1, 2)]}'
        """
        entries = (
            f"{json.dumps(label, ensure_ascii=False)}: "
            f"[{', '.join(f'({x}, {y})' for x, y in places)}]"
            for label, places in self.objects.items()
        )
        return "{" + ", ".join(entries) + "}"

    def to_json(self) -> str:
        """The grid with its transform, as JSON."""
        record = {
            "cells": self.cells,
            "origin": list(self.origin),
            "side": self.side,
            "objects": {label: list(map(list, places)) for label, places in self.objects.items()},
        }
        return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _to_cells(
    points: Float[np.ndarray, "n 2"], origin: tuple[float, float], side: float, cells: int
) -> Int[np.ndarray, "n 2"]:
    unit = (points - np.array(origin)) / side
    return np.asarray(np.clip(np.floor(cells * unit), 0, cells - 1), dtype=np.int64)


def build_graph(
    nodes: Mapping[str, dict[str, Any]],
    *,
    low: Float[np.ndarray, "n 3"],
    high: Float[np.ndarray, "n 3"],
    limit: float | None,
) -> Any:
    """A `networkx.MultiDiGraph` of objects, with an edge each way between near ones.

    Args:
        nodes: Id to attributes, in the order of the boxes.
        low: Least corners of the axis-aligned hulls, metres.
        high: Greatest corners, metres.
        limit: Greatest distance of two hulls that are joined, metres; None joins all.

    Returns:
        The graph. Edges have the key `near`, `distance` in metres between the hulls, and
        `provenance`: the regions that the two objects were made from.

    Raises:
        InputError: If `limit` is negative, or there would be too many edges.
    """
    import networkx

    first, second = _pairs(low, high, limit)
    gap = np.maximum(low[first] - high[second], low[second] - high[first]).clip(min=0)
    distance = np.sqrt((gap**2).sum(axis=1))
    near = distance <= (math.inf if limit is None else limit)
    names = list(nodes)
    graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    graph.add_nodes_from(nodes.items())
    for i, j, metres in zip(
        first[near].tolist(), second[near].tolist(), distance[near].tolist(), strict=True
    ):
        a, b = names[i], names[j]
        regions = (*nodes[a].get("provenance", ()), *nodes[b].get("provenance", ()))
        graph.add_edge(a, b, key="near", distance=metres, provenance=regions)
    return graph


def _pairs(
    low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"], limit: float | None
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Ordered pairs of different objects that may be near, by their hulls seen from above."""
    if limit is not None and not limit >= 0:
        raise InputError(f"graph: limit must be at least 0 metres or None, got {limit}")
    n = len(low)
    if limit is None or not math.isfinite(limit):
        _check_edges(n * (n - 1))
        first, second = np.divmod(np.arange(n * n), max(n, 1))
    else:
        flat = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
        first, second = shapely.STRtree(flat).query(flat, predicate="dwithin", distance=limit)
    different = first != second
    _check_edges(int(different.sum()))
    return first[different], second[different]


def _check_edges(count: int) -> None:
    if count > EDGE_LIMIT:
        raise InputError(
            f"graph: expected at most {EDGE_LIMIT} edges, got {count}; ask for a smaller limit"
        )

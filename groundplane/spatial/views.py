"""Views of a cognitive map: a grid, a graph of what is near what, and a plan's labels."""

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

__all__ = ["Grid", "build_graph", "overlap", "place_label"]

# Each edge takes some 0.6 kB in networkx.
EDGE_LIMIT = 2_000_000

# Where labels are tried: inside, as parts of the free way; outside, so many points off.
INSIDE = np.linspace(-1, 1, 7)
GAPS = np.array([1, 6, 14, 24, 38, 56, 80, 110])
TURNS = np.linspace(0, 2 * math.pi, 24, endpoint=False)


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
        column, row = _to_cells(np.array([[x, y]]), self.origin, self.side, self.cells)[0]
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


def place_label(
    i: int,
    frames: Float[np.ndarray, "n 4"],
    size: Float[np.ndarray, " 2"],
    *,
    taken: Sequence[tuple[float, float, float, float]],
    extent: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """The best middle for the label of a footprint on a plan; everything in points.

    Args:
        i: Which of the frames the label is for.
        frames: Bounds of all footprints, least x and y, greatest x and y.
        size: Width and height of the label.
        taken: Bounds of the labels that stand already.
        extent: Width and height of the plan, whose lower left corner is the origin.
    """
    frame = frames[i]
    spots = _spots(frame, size)
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > extent).any(axis=1)
    over_text = overlap(boxes, np.array(taken).reshape(-1, 4)).sum(axis=1) / size.prod()
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    near = ((frames[:, :2] < high) & (frames[:, 2:] > low)).all(axis=1)
    # A label may stand on its own object, unless it hides it.
    near[i] = (frame[2:] - frame[:2] < size).any()
    others = frames[near]
    shared = overlap(boxes, others)
    # Hiding a small object wholly is bad; writing across a part of a rug is not.
    hidden = (shared / (others[:, 2:] - others[:, :2]).prod(axis=1).clip(min=1)).sum(axis=1)
    apart = np.linalg.norm(spots - np.clip(spots, frame[:2], frame[2:]), axis=1)
    across = shared.sum(axis=1) / size.prod()
    cost = 1000 * outside + 60 * over_text + 2 * hidden + 0.6 * across + apart / 14
    return np.asarray(spots[cost.argmin()])


def _spots(
    frame: Float[np.ndarray, " 4"], size: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "n 2"]:
    """Where a label might go: the middle, elsewhere inside, then round about, ever further."""
    middle, half = (frame[:2] + frame[2:]) / 2, (frame[2:] - frame[:2]) / 2
    spots = [middle[None]]
    free = half - size / 2
    if (free > 0).all():
        spots.append(middle + free * np.array([(x, y) for x in INSIDE for y in INSIDE]))
    for turn in TURNS:
        way = np.array([math.cos(turn), math.sin(turn)])
        reach = (half + size / 2 + GAPS[:, None]) / np.abs(way).clip(min=1e-9)
        spots.append(middle + way * reach.min(axis=1, keepdims=True))
    return np.concatenate(spots)


def overlap(
    boxes: Float[np.ndarray, "n 4"], others: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Shared area of each pair of boxes (least x and y, greatest x and y)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=2))

"""Views of a cognitive map: a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from groundplane.core.errors import InputError

__all__ = ["Grid", "tuple_text"]


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
        return tuple_text(self.objects)

    def to_json(self) -> str:
        """The grid with its transform, as JSON."""
        record = {
            "cells": self.cells,
            "origin": list(self.origin),
            "side": self.side,
            "objects": {label: list(map(list, places)) for label, places in self.objects.items()},
        }
        return json.dumps(record, ensure_ascii=False, allow_nan=False)


def tuple_text(objects: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Categories and their cells as a dictionary of lists of tuples."""
    entries = (
        f"{json.dumps(label, ensure_ascii=False)}: [{', '.join(f'({x}, {y})' for x, y in places)}]"
        for label, places in objects.items()
    )
    return "{" + ", ".join(entries) + "}"


def _to_cells(
    points: Float[np.ndarray, "n 2"], origin: tuple[float, float], side: float, cells: int
) -> Int[np.ndarray, "n 2"]:
    unit = (points - np.array(origin)) / side
    return np.asarray(np.clip(np.floor(cells * unit), 0, cells - 1), dtype=np.int64)

"""The plan of a room seen from above: its outline, what is taken, where one can walk."""

from __future__ import annotations

import copy
import math
from typing import Literal

import cv2
import numpy as np
import shapely
from jaxtyping import Bool, Float32, Float64

from groundplane.core.errors import InputError

__all__ = ["CELL", "FloorGrid", "Form", "draw_outline"]

Form = Literal["rectangle", "L", "T"]

# Side of a cell of the grid, metres: half of what one sees of a chair's leg.
CELL = 0.05
_SHORTEST = 2.4


def draw_outline(
    rng: np.random.Generator, *, form: Form, area: float
) -> Float64[np.ndarray, "k 2"]:
    """The corners of a floor, counter-clockwise from above, metres; its walls along x and y.

    Args:
        rng: Where random numbers come from.
        form: A rectangle, or one without one corner (L) or without two (T).
        area: Square metres; at least 7.

    Raises:
        InputError: If the area is too small to stand in.

    Examples:
        >>> corners = draw_outline(np.random.default_rng(0), form="L", area=20.0)
        >>> len(corners), round(shapely.Polygon(corners).area, 6)
        (6, 20.0)
    """
    if not 7.0 <= area <= 400.0:
        raise InputError(f"room: expected an area of 7 to 400 square metres, got {area:g}")
    plain: list[tuple[float, float]]
    if form == "rectangle":
        plain = [(0, 0), (1, 0), (1, 1), (0, 1)]
    elif form == "L":
        x, y = rng.uniform(0.45, 0.65), rng.uniform(0.45, 0.65)
        plain = [(0, 0), (1, 0), (1, y), (x, y), (x, 1), (0, 1)]
    else:
        left, right, y = rng.uniform(0.2, 0.3), rng.uniform(0.7, 0.8), rng.uniform(0.45, 0.6)
        plain = [(0, 0), (1, 0), (1, y), (right, y), (right, 1), (left, 1), (left, y), (0, y)]
    corners = np.array(plain, dtype=np.float64)
    whole = area / shapely.Polygon(corners).area
    narrow = min(_SHORTEST / math.sqrt(whole), 1.0)
    ratio = rng.uniform(max(narrow**2, 0.5), 1.0)
    width = math.sqrt(whole / ratio)
    scale = np.array([width, whole / width])
    return np.asarray(
        corners * (scale if rng.random() < 0.5 or form != "rectangle" else scale[::-1])
    )


class FloorGrid:
    """Cells of the floor: which lie in the room, and which are taken.

    Args:
        outline: Corners of the floor, metres.
    """

    def __init__(self, outline: Float64[np.ndarray, "k 2"]) -> None:
        self.low = outline.min(axis=0) - 4 * CELL
        width, height = np.ceil((np.ptp(outline, axis=0)) / CELL).astype(int) + 8
        inside = np.zeros((height, width), dtype=np.uint8)
        self.fill(inside, outline)
        self.inside: Bool[np.ndarray, "h w"] = inside > 0
        self._taken = np.zeros_like(inside)

    def copy(self) -> FloorGrid:
        """Another grid of the same room, with the same cells taken."""
        other = copy.copy(self)
        other._taken = self._taken.copy()
        return other

    def take(self, footprint: Float64[np.ndarray, "k 2"]) -> None:
        """Mark the cells under a convex footprint as taken."""
        self.fill(self._taken, footprint)

    def cells(self, points: Float64[np.ndarray, "n 2"]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of points; those outside go to the rim."""
        at = np.floor((points - self.low) / CELL).astype(np.int64)
        rows, columns = self.inside.shape
        return at[:, 1].clip(0, rows - 1), at[:, 0].clip(0, columns - 1)

    def middles(self, cells: Bool[np.ndarray, "h w"]) -> Float64[np.ndarray, "n 2"]:
        """The middles of cells, metres."""
        rows, columns = np.nonzero(cells)
        return np.asarray(self.low + (np.stack([columns, rows], axis=1) + 0.5) * CELL)

    def clearance(self) -> Float32[np.ndarray, "h w"]:
        """How far each cell is from what is taken and from the walls, metres, to within a cell."""
        free = (self.inside & (self._taken == 0)).astype(np.uint8)
        return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 5)) * np.float32(CELL)

    def walkable(self, *, clearance: float) -> tuple[Bool[np.ndarray, "h w"], float]:
        """The largest connected part with that clearance, and its share of all such cells."""
        free = (self.clearance() >= clearance).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
        if count < 2:
            return np.zeros_like(self.inside), 0.0
        sizes = stats[1:, cv2.CC_STAT_AREA]
        best = int(sizes.argmax())
        return np.asarray(labels == best + 1), float(sizes[best] / sizes.sum())

    def fill(
        self, cells: np.ndarray, polygon: Float64[np.ndarray, "k 2"], *, value: float = 1
    ) -> None:
        """Write a value into the cells that a polygon covers or touches."""
        # OpenCV's whole numbers are the middles of cells; eight bits for the part below one.
        corners = np.round(((polygon - self.low) / CELL - 0.5) * 256).astype(np.int32)
        cv2.fillPoly(cells, [corners[None]], value, shift=8)

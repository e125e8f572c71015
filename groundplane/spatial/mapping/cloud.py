"""Coloured points of a capture, to look at: one a cell, bounded in number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError, ShapeError

__all__ = ["Cloud", "CloudKeeper"]

# Coordinates are packed into one number, 21 bits each.
_BITS, _HALF = 21, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cloud:
    """Coloured points.

    Attributes:
        points: World, metres (or the map's unit).
        colors: RGB.

    Raises:
        ShapeError: If the columns differ in length.
    """

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]

    def __post_init__(self) -> None:
        if len(self.points) != len(self.colors):
            raise ShapeError(f"cloud: {len(self.points)} points, {len(self.colors)} colors")

    def __len__(self) -> int:
        return len(self.points)


class CloudKeeper:
    """Gathers the points of frames; what lies in a cell already is not taken again.

    Args:
        cell: Side of a cell, metres.
        most: Points at most; where there would be more, cells double their side.
        stride: Every how many pixels a point is taken, across and down.
        far: Depths beyond it are left out, metres.

    Raises:
        InputError: If a number is not above 0.
    """

    def __init__(
        self, *, cell: float = 0.02, most: int = 1_000_000, stride: int = 4, far: float = 10.0
    ) -> None:
        if not (0 < cell < float("inf") and most > 0 and stride > 0 and far > 0):
            raise InputError("cloud: expected a cell, a number of points and a stride above 0")
        self._cell, self._most, self._stride, self._far = cell, most, stride, far
        self._keys: Int64[np.ndarray, " n"] = np.zeros(0, dtype=np.int64)
        self._points: Float[np.ndarray, "n 3"] = np.zeros((0, 3), dtype=np.float32)
        self._colors: UInt8[np.ndarray, "n 3"] = np.zeros((0, 3), dtype=np.uint8)

    def add(self, frame: Frame) -> None:
        """Take the points of a frame with depth and a pose, its world z up.

        Raises:
            InputError: If the depth or the pose is not known.
        """
        camera = frame.camera
        if frame.depth is None or camera is None or camera.T_world_cam is None:
            raise InputError(f"cloud: frame {frame.index} has no depth or no pose")
        step = self._stride
        depth = frame.depth[::step, ::step].cpu().numpy()
        rows, columns = np.nonzero((depth > 0) & (depth <= self._far))
        z = depth[rows, columns].astype(np.float64)
        pixels = np.stack([columns * step + 0.5, rows * step + 0.5, np.ones_like(z)], axis=1)
        rays = pixels @ np.linalg.inv(camera.K).T
        pose = camera.T_world_cam
        points = (rays * z[:, None]) @ pose[:3, :3].T + pose[:3, 3]
        colors = frame.image.pixels[rows * step, columns * step]
        self._take(points.astype(np.float32), colors)
        while len(self._keys) > self._most:
            self._cell *= 2
            every = (self._points, self._colors)
            self._keys, self._points, self._colors = self._keys[:0], every[0][:0], every[1][:0]
            self._take(*every)

    def cloud(self) -> Cloud:
        """The points so far."""
        return Cloud(points=self._points, colors=self._colors)

    def _take(self, points: Float[np.ndarray, "n 3"], colors: UInt8[np.ndarray, "n 3"]) -> None:
        cells = np.floor(points / self._cell).astype(np.int64) + _HALF
        near = ((cells >= 0) & (cells < 2 * _HALF)).all(axis=1)
        cells, points, colors = cells[near], points[near], colors[near]
        keys = (cells[:, 0] << 2 * _BITS) | (cells[:, 1] << _BITS) | cells[:, 2]
        # Of several points in a cell the first one stays, so the order of frames decides alone.
        every = np.concatenate([self._keys, keys])
        self._keys, first = np.unique(every, return_index=True)
        self._points = np.concatenate([self._points, points])[first]
        self._colors = np.concatenate([self._colors, colors])[first]

"""What could be seen of things from where, told from the plan without drawing pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.testing.rooms.layout import Layout, Placed
from groundplane.testing.rooms.parts import Part
from groundplane.testing.rooms.plan import FloorGrid
from groundplane.testing.rooms.room import Mesh

__all__ = ["HeightMap", "SurfacePoints", "sample_surface"]

_EACH = 24
# Looks along a line of sight are that far apart at eight metres.
_LOOKS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfacePoints:
    """Points spread over the surfaces of things.

    Attributes:
        at: Metres.
        normals: Of the surface there, unit length.
        owners: Index of the thing of each point.
        areas: What each point stands for, square metres.
    """

    at: Float64[np.ndarray, "p 3"]
    normals: Float64[np.ndarray, "p 3"]
    owners: Int64[np.ndarray, " p"]
    areas: Float64[np.ndarray, " p"]


def sample_surface(
    meshes: list[Mesh], *, rng: np.random.Generator, each: int = _EACH
) -> SurfacePoints:
    """Spread points over each mesh, as many where its surface is as its area says."""
    at, normals, areas = [], [], []
    for mesh in meshes:
        corners = mesh.vertices[mesh.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        twice = np.linalg.norm(across, axis=1)
        # What looks down is never seen from above.
        weight = np.where(across[:, 2] > -0.5 * twice, twice, 0.0)
        edges = np.cumsum(weight)
        which = np.searchsorted(edges, (np.arange(each) + rng.random(each)) / each * edges[-1])
        u, v = np.sqrt(rng.random(each))[:, None], rng.random(each)[:, None]
        a, b, c = corners[which].transpose(1, 0, 2)
        at.append((1 - u) * a + u * ((1 - v) * b + v * c))
        normals.append(across[which] / twice[which][:, None])
        areas.append(np.full(each, edges[-1] / 2 / each))
    return SurfacePoints(
        at=np.concatenate(at),
        normals=np.concatenate(normals),
        owners=np.repeat(np.arange(len(meshes)), each),
        areas=np.concatenate(areas),
    )


class HeightMap:
    """How high what stands on each cell of the floor reaches, and whose that is.

    A thing is taken to be solid below its top, so that a little more is hidden than in truth.
    """

    def __init__(self, layout: Layout) -> None:
        self._grid = FloorGrid(layout.outline)
        self._heights = np.where(self._grid.inside, 0.0, np.inf).astype(np.float32)
        self._owners = np.full(self._heights.shape, -1, dtype=np.int32)
        self._supports = np.array([placed.support for placed in layout.placed], dtype=np.int64)
        solids = [
            (placed.at[2] + part.center[2] + part.size[2] / 2, owner, placed, part)
            for owner, placed in enumerate(layout.placed)
            for part in placed.piece.parts
            if not part.tilt
        ]
        for top, owner, placed, part in sorted(solids, key=lambda solid: solid[0]):
            footprint = _footprint(placed, part)
            self._grid.fill(self._heights, footprint, value=top)
            self._grid.fill(self._owners, footprint, value=owner)
        self._heights[~self._grid.inside] = np.inf

    def visible(
        self, eyes: Float64[np.ndarray, "s 3"], points: SurfacePoints
    ) -> Bool[np.ndarray, "s p"]:
        """Which points each eye sees, if it looks there: they face it and nothing is between."""
        ways = points.at[None] - eyes[:, None]
        faces = (ways * points.normals[None]).sum(axis=2) < 0
        along = (np.arange(_LOOKS) + 0.5) / _LOOKS
        hidden = np.zeros(faces.shape, dtype=bool)
        for share in along:
            spots = eyes[:, None] + share * ways
            rows, columns = self._grid.cells(spots[..., :2].reshape(-1, 2))
            under = spots[..., 2].reshape(-1) < self._heights[rows, columns] - 0.01
            whose = self._owners[rows, columns].reshape(faces.shape)
            mine = (whose == points.owners) | (whose == self._supports[points.owners])
            hidden |= under.reshape(faces.shape) & ~(mine & (whose >= 0))
        return np.asarray(faces & ~hidden)


def _footprint(placed: Placed, part: Part) -> Float64[np.ndarray, "4 2"]:
    """The corners of a part from above, in the room."""
    c, s = math.cos(part.turn), math.sin(part.turn)
    signs = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    own = (signs * part.size[:2]) @ np.array([[c, s], [-s, c]]) + part.center[:2]
    return np.asarray(own @ placed.axes + placed.at[:2])

"""The room of a map, from points of its frames: floor, ceiling, outline and area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.alpha_shapes import alpha_shape
from groundplane.spatial.mapping.surfaces import frame_pose, grid_points
from groundplane.spatial.mapping.voxels import Voxels, coordinates

__all__ = ["Room", "RoomBuilder", "RoomOptions"]

# Between a camera and what it sees is air, which belongs to the room: the rays of a frame that are
# followed, the steps of each, and the side of the cells that are kept of them, metres.
_RAYS = 256
_STEPS = 32
_AIR_CELL = 0.1
# Air that so small a share of the usual number of rays went through is none.
_FEW = 0.05
# Of so many frames each place is seen by several.
_MANY = 10
# Points are pooled in a small set first: joining costs as much as both sets are large.
_RECENT = 60_000
# A floor or ceiling is a layer of this thickness, metres, and of this share of the columns seen.
_LAYER = 0.06
_STRONG = 0.08
# Share of columns that may end below the floor: reflections and stray depth.
_STRAY = 0.005
# The least height of a room, metres; what is lower is no ceiling.
_HEADROOM = 1.8
# A column with so many metres of surface above one another is a wall, or stands before one.
_WALL = 0.6
# How far the outline may be from the wall that closes it, metres.
_NEAR_WALL = 0.25
_CLOSED = 0.9
# A piece of the shape that is smaller is a thing seen through a door or window, square metres.
_LEAST_PIECE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions:
    """How a room is made from points.

    Attributes:
        cell: Side of the cells that points are kept in, metres.
        limit: Depth beyond which points are left out, metres; depth is worst there.
        points_a_frame: Points taken of each frame, about.
        alpha: Of the alpha shape, one over metres; VSI-Bench takes 5.
        samples: Points that the alpha shape is made of, drawn at random; VSI-Bench takes 10,000.
        gap: Floor up to so many metres wide that furniture hides counts to the room, metres.
        most_cells: Cells kept at most; beyond it their sides double.
        seed: Of the drawing.

    Raises:
        InputError: If a value is out of range.
    """

    cell: float = 0.05
    limit: float = 8.0
    points_a_frame: int = 8192
    alpha: float = 5.0
    samples: int = 10_000
    gap: float = 1.0
    most_cells: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "cell": (0.005, 1.0),
            "limit": (0.1, 1000.0),
            "points_a_frame": (16, 1_000_000),
            "alpha": (0.01, 1000.0),
            "samples": (3, 1_000_000),
            "gap": (0.0, 10.0),
            "most_cells": (1000, 100_000_000),
            "seed": (0, 2**63 - 1),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"room: option {name}: expected {least} to {most}, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Room:
    """What was seen of a room; z up, metres.

    Attributes:
        outline: Of the largest space, without holes; None where too little was seen.
        area: Of all spaces seen together, square metres, as VSI-Bench counts several rooms: their
            surfaces, the air that was seen through, and the floor that furniture hides. None
            where too little was seen.
        seen_area: Of the alpha shape of the surfaces alone, square metres.
        floor: z of the floor; None where none was seen.
        ceiling: z of the ceiling; None where none was seen.
        closed: Share of the outline that stands at a wall; what is missing may go on.
        notes: What a reader must know, in words.
    """

    outline: shapely.Polygon | None = None
    area: float | None = None
    seen_area: float = 0.0
    floor: float | None = None
    ceiling: float | None = None
    closed: float = 0.0
    notes: tuple[str, ...] = ()


class RoomBuilder:
    """Gathers points of frames in cells, in bounded memory, and tells the room from them.

    Args:
        options: See `RoomOptions`.
    """

    def __init__(self, options: RoomOptions | None = None) -> None:
        self._options = options or RoomOptions()
        self._cell = self._options.cell
        self._whole: Voxels | None = None
        self._recent: Voxels | None = None
        self._air: Voxels | None = None
        self._air_cell = _AIR_CELL
        self._frames = 0

    def __len__(self) -> int:
        """Cells that are kept, about; those of the last frames may be counted twice."""
        return sum(len(part) for part in (self._whole, self._recent) if part is not None)

    @property
    def frames(self) -> int:
        """How many frames have been added."""
        return self._frames

    def add(self, frame: Frame) -> None:
        """Add the points of a frame; those at infinity, or beyond the limit, are left out.

        Args:
            frame: With depth, intrinsics and pose; world z up.

        Raises:
            InputError: If one of these is not known, or the points are too far from the origin.
        """
        options = self._options
        pose = frame_pose(frame)
        own = grid_points(frame, most=options.points_a_frame, limit=options.limit)
        points = own @ pose[:3, :3].T + pose[:3, 3]
        owner = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        new = Voxels.of(points, owners=owner, size=self._cell)
        self._recent = new if self._recent is None else self._recent.joined(new)
        air = _air(pose[:3, 3], points, cell=self._air_cell)
        self._air = air if self._air is None else self._air.joined(air)
        self._frames += 1
        if max(len(self._recent), len(self._air)) > min(_RECENT, options.most_cells):
            self._pool()

    def room(self) -> Room:
        """What has been seen of the room so far; more frames may follow."""
        self._pool()
        if self._whole is None or len(self._whole) == 0:
            return Room(notes=("nothing was seen of the room: no frame had depth within reach",))
        cells = self._whole
        # A cell that was hit once in many frames is stray depth.
        cells = cells[cells.counts >= min(3, 1 + self._frames // _MANY)]
        means = cells.means.double().cpu().numpy()
        columns = _Columns.of(coordinates(cells.keys).cpu().numpy(), means[:, 2], cell=self._cell)
        floor = _layer(columns.lowest, stray=_STRAY)
        roof = _layer(-columns.highest, stray=_STRAY)
        ceiling = -roof if roof is not None else None
        if floor is not None and ceiling is not None and ceiling - floor < _HEADROOM:
            ceiling = None
        return self._room(means[:, :2], columns, floor=floor, ceiling=ceiling)

    def _room(
        self,
        points: Float[np.ndarray, "n 2"],
        columns: _Columns,
        *,
        floor: float | None,
        ceiling: float | None,
    ) -> Room:
        options = self._options
        if len(points) > options.samples:
            drawn = np.random.default_rng(options.seed).choice(
                len(points), options.samples, replace=False
            )
            points = points[np.sort(drawn)]
        shape = alpha_shape(points, alpha=options.alpha)
        seen = np.concatenate([points, self._seen_through()])
        spaces = _spaces(alpha_shape(seen, alpha=options.alpha), gap=options.gap)
        notes = [] if floor is not None else ["no floor was seen"]
        if not spaces:
            notes.append("too little was seen to tell the room's outline")
            return Room(floor=floor, ceiling=ceiling, notes=tuple(notes))
        outline = max(spaces, key=lambda space: space.area)
        closed = _closed(outline, columns.walls)
        if closed < _CLOSED:
            notes.append(
                f"walls were seen along {closed:.0%} of the room's outline only; the room may "
                "go on beyond it, and the area is of what was seen"
            )
        if self._cell > options.cell:
            notes.append(f"a large space: kept in cells of {self._cell:.2g} m")
        return Room(
            outline=outline,
            area=float(sum(space.area for space in spaces)),
            seen_area=float(shape.area),
            floor=floor,
            ceiling=ceiling,
            closed=closed,
            notes=tuple(notes),
        )

    def _seen_through(self) -> Float[np.ndarray, "n 2"]:
        """Where air was seen, as places in the ground plan."""
        if self._air is None:
            return np.zeros((0, 2))
        air = self._air
        if self._frames >= _MANY:
            # Stray depth behind a wall makes no room there: few rays go so far, each by chance.
            few = _FEW * float(air.counts.double().quantile(0.5)) if len(air) else 0.0
            air = air[(air.seen > 1) & (air.counts >= few)]
        return air.means[:, :2].double().cpu().numpy()

    def _pool(self) -> None:
        """Join the cells of the last frames to the others, and keep within bounds."""
        if self._recent is None:
            return
        whole = self._recent if self._whole is None else self._whole.joined(self._recent)
        most = self._options.most_cells
        self._whole, self._cell = _bounded(whole, cell=self._cell, most=most)
        self._recent = None
        if self._air is not None:
            self._air, self._air_cell = _bounded(self._air, cell=self._air_cell, most=most)


def _bounded(cells: Voxels, *, cell: float, most: int) -> tuple[Voxels, float]:
    """At most so many cells, in larger ones where needed, and their side."""
    while len(cells) > most:
        cells = cells.moved(cells.owners, levels=torch.ones_like(cells.keys))
        cell *= 2
    return cells, cell


def _air(eye: Float[Tensor, " 3"], points: Float[Tensor, "n 3"], *, cell: float) -> Voxels:
    """Cells of the ground plan that lie between a camera and some of the points it sees."""
    ends = points[:: max(1, len(points) // _RAYS)]
    share = torch.arange(_STEPS, device=points.device) / _STEPS
    along = (eye + share[:, None, None] * (ends - eye)).reshape(-1, 3)
    along = along * along.new_tensor([1.0, 1.0, 0.0])
    owner = torch.zeros(len(along), dtype=torch.int64, device=points.device)
    return Voxels.of(along, owners=owner, size=cell)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Cells that lie above one another: the lowest and highest, and which columns are walls."""

    lowest: Float[np.ndarray, " c"]
    highest: Float[np.ndarray, " c"]
    walls: Float[np.ndarray, "w 2"]

    @classmethod
    def of(
        cls, places: Int64[np.ndarray, "n 3"], heights: Float[np.ndarray, " n"], *, cell: float
    ) -> _Columns:
        if not len(places):
            return cls(heights, heights, np.zeros((0, 2)))
        key = (places[:, 0] << 32) + places[:, 1]
        order = np.lexsort((heights, key))
        starts = np.flatnonzero(np.diff(key[order], prepend=key[order[0]] - 1))
        ends = np.append(starts[1:], len(key))
        tall = (ends - starts) * cell >= _WALL
        middles = (places[order[starts]][:, :2] + 0.5) * cell
        return cls(heights[order[starts]], heights[order[ends - 1]], middles[tall])


def _layer(heights: Float[np.ndarray, " c"], *, stray: float) -> float | None:
    """The lowest height that many columns share, stray ones below it left out."""
    if not len(heights):
        return None
    heights = np.sort(heights)
    heights = heights[int(stray * len(heights)) :]
    # How many lie in the layer that begins at each height.
    inside = np.searchsorted(heights, heights + _LAYER, side="right") - np.arange(len(heights))
    strong = np.flatnonzero(inside >= max(3.0, _STRONG * len(heights)))
    if not len(strong):
        return None
    # The layer grows until it holds most: a floor's noise begins well below its middle.
    first = heights[strong[0]]
    near = np.flatnonzero((heights >= first) & (heights <= first + 2 * _LAYER))
    best = near[int(inside[near].argmax())]
    return float(np.median(heights[best : best + inside[best]]))


def _spaces(shape: shapely.Polygon | shapely.MultiPolygon, *, gap: float) -> list[shapely.Polygon]:
    """Pieces of a shape with what furniture hides filled in: holes, and narrow bays.

    Grown by half of the gap and shrunk again: what is narrower closes, outer corners stay.
    """
    filled = [shapely.Polygon(part.exterior) for part in _polygons(shape)]
    whole: shapely.Geometry = shapely.union_all(filled)
    grown = shapely.buffer(whole, gap / 2)
    closed = shapely.buffer(grown, -gap / 2)
    joined = shapely.union_all([closed, whole])
    pieces = [shapely.Polygon(part.exterior) for part in _polygons(joined)]
    tidy = shapely.simplify([piece for piece in pieces if piece.area >= _LEAST_PIECE], 0.03)
    return [part for piece in tidy for part in _polygons(piece) if part.is_valid]


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    return [part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)]


def _closed(outline: shapely.Polygon, walls: Float[np.ndarray, "w 2"]) -> float:
    """Share of the outline that stands at a wall."""
    if not len(walls):
        return 0.0
    ring = outline.exterior
    steps = max(16, int(ring.length / 0.1))
    along = shapely.line_interpolate_point(ring, np.arange(steps) / steps, normalized=True)
    tree = shapely.STRtree(list(shapely.get_parts(shapely.multipoints(walls))))
    near = tree.query(along, predicate="dwithin", distance=_NEAR_WALL)[0]
    return float(len(np.unique(near)) / steps)

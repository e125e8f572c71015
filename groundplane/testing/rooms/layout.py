"""Furnishing a room: each thing where it belongs, none within another, and room to walk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float64

from groundplane.testing.rooms.furniture import FURNITURE, build
from groundplane.testing.rooms.parts import Piece, assemble
from groundplane.testing.rooms.plan import FloorGrid
from groundplane.testing.rooms.room import Mesh

__all__ = ["Layout", "Placed", "furnish"]

# Metres: between things, from the back of a thing to its wall, of what hangs to the wall.
_GAP, _BEHIND, _HANGING = 0.06, 0.02, 0.003
# What stands on another thing is that far above it, so that no two faces are in one plane.
_LIFT = 0.001
_TRIES = 24
# Half of what a person takes who walks sideways, metres, and how much of the floor stays free.
_PERSON, _FREE = 0.3, 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A thing at its place.

    Attributes:
        kind: A key of `FURNITURE`.
        piece: What it is.
        at: Where its origin is, metres.
        yaw: Radians.
        mesh: Its surface there.
        support: Index of the thing on which it stands; -1 for the floor, -2 for a wall.
    """

    kind: str
    piece: Piece
    at: tuple[float, float, float]
    yaw: float
    mesh: Mesh
    support: int = -1

    @property
    def axes(self) -> Float64[np.ndarray, "2 2"]:
        """Its own x and y axes from above, one a row."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, s], [-s, c]])


def place(
    kind: str, piece: Piece, *, at: tuple[float, float, float], yaw: float, support: int = -1
) -> Placed:
    """A piece with its mesh at its place."""
    mesh = assemble(piece.parts, at=at, yaw=yaw)
    return Placed(kind=kind, piece=piece, at=at, yaw=yaw, mesh=mesh, support=support)


def outline_of(placed: Placed, *, front: float = 0.0) -> Float64[np.ndarray, "4 2"]:
    """The corners of a thing's own rectangle from above, with free room before it."""
    own = placed.mesh.vertices[:, :2] @ placed.axes.T
    (x0, y0), (x1, y1) = own.min(axis=0), own.max(axis=0)
    corners = np.array([[x0, y0 - front], [x1, y0 - front], [x1, y1], [x0, y1]])
    return np.asarray(corners @ placed.axes)


class Layout:
    """What stands where in one room; its walls along x and y, its floor at z = 0.

    Args:
        outline: Corners of the floor, counter-clockwise, metres.
        height: From floor to ceiling, metres.
        rng: Where random numbers come from.
    """

    def __init__(
        self, outline: Float64[np.ndarray, "k 2"], *, height: float, rng: np.random.Generator
    ) -> None:
        self.outline, self.height = outline, height
        self.placed: list[Placed] = []
        self._rng = rng
        self._room = shapely.Polygon(outline)
        shapely.prepare(self._room)
        self._grid = FloorGrid(outline)
        self._bodies: list[shapely.Polygon] = []
        self._spans: list[tuple[float, float]] = []
        self._fronts: list[shapely.Polygon] = []

    def add(self, kind: str) -> bool:
        """Find a place for one more of a kind; False where there is none."""
        furniture = FURNITURE[kind]
        piece = build(kind, self._rng)
        if furniture.stand == "on":
            return self._add_on(kind, piece)
        for _ in range(_TRIES):
            anywhere = furniture.stand == "floor"
            placed = (self._somewhere if anywhere else self._at_wall)(kind, piece)
            if placed is not None and self._settle(placed):
                return True
        return False

    def add_seats(self, count: int) -> int:
        """Put chairs round tables and before desks; tell how many found a place."""
        slots = [slot for index in range(len(self.placed)) for slot in self._slots(index)]
        found = 0
        for which in self._rng.permutation(len(slots)):
            if found == count:
                break
            (x, y), yaw = slots[which]
            piece = build("chair", self._rng)
            turn = yaw + float(self._rng.normal(0.0, 0.12))
            found += self._settle(place("chair", piece, at=(x, y, 0.0), yaw=turn))
        while found < count and self.add("chair"):
            found += 1
        return found

    # Places ----------------------------------------------------------------------------------

    def _at_wall(self, kind: str, piece: Piece) -> Placed | None:
        """With its back at a random place of a random wall."""
        starts = self.outline
        runs = np.roll(starts, -1, axis=0) - starts
        lengths = np.linalg.norm(runs, axis=1)
        wall = int(self._rng.choice(len(lengths), p=lengths / lengths.sum()))
        along = runs[wall] / lengths[wall]
        inward = np.array([-along[1], along[0]])
        trial = assemble(piece.parts)
        low, high = trial.vertices.min(axis=0), trial.vertices.max(axis=0)
        spare = lengths[wall] - (high[0] - low[0]) - 2 * _GAP
        if spare <= 0:
            return None
        hung = FURNITURE[kind].stand == "hung"
        gap = _HANGING if hung else _BEHIND + float(self._rng.uniform(0.0, 0.03))
        spot = _GAP + high[0] + float(self._rng.uniform(0.0, spare))
        point = starts[wall] + along * spot + inward * (high[1] + gap)
        z = float(self._rng.uniform(*FURNITURE[kind].foot))
        if z + high[2] > self.height - 0.02:
            return None
        yaw = math.atan2(-along[1], -along[0])
        support = -2 if hung else -1
        at = (float(point[0]), float(point[1]), z)
        return place(kind, piece, at=at, yaw=yaw, support=support)

    def _somewhere(self, kind: str, piece: Piece) -> Placed:
        """Anywhere on the floor; big things along the walls, small ones turned at will."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        x, y = self._rng.uniform(low + 0.2, high - 0.2)
        turned = float(self._rng.uniform(-math.pi, math.pi))
        straight = float(self._rng.choice([0.0, 0.5, 1.0, 1.5])) * math.pi
        return place(
            kind,
            piece,
            at=(float(x), float(y), 0.0),
            yaw=straight if kind in ("table", "rug") else turned,
        )

    def _slots(self, index: int) -> list[tuple[tuple[float, float], float]]:
        """Where chairs can stand at a table or desk: place and yaw."""
        placed = self.placed[index]
        if placed.kind not in ("table", "desk"):
            return []
        top = placed.piece.tops[0]
        away = 0.34 + float(self._rng.uniform(0.0, 0.08))
        if placed.kind == "desk":
            sides = [((0.0, top.low[1] - away), math.pi)]
        else:
            wide = top.high[0] - top.low[0]
            xs = [-wide / 4, wide / 4] if wide > 1.15 else [0.0]
            sides = [((x, top.low[1] - away), math.pi) for x in xs]
            sides += [((x, top.high[1] + away), 0.0) for x in xs]
            sides += [((top.high[0] + away, 0.0), -math.pi / 2)]
            sides += [((top.low[0] - away, 0.0), math.pi / 2)]
        slots = []
        for own, turn in sides:
            x, y = np.array(own) @ placed.axes + np.array(placed.at[:2])
            slots.append(((float(x), float(y)), placed.yaw + turn))
        return slots

    def _add_on(self, kind: str, piece: Piece) -> bool:
        """On the top of something that is there."""
        hosts = [i for i, p in enumerate(self.placed) if p.kind in FURNITURE[kind].on]
        for host in self._rng.permutation(hosts).astype(int).tolist() if hosts else []:
            for _ in range(_TRIES):
                placed = self._on_top(kind, piece, host=host)
                if placed is None:
                    break
                if self._fits(placed, near=_GAP / 2):
                    self._keep(placed)
                    return True
        return False

    def _on_top(self, kind: str, piece: Piece, *, host: int) -> Placed | None:
        under = self.placed[host]
        top = under.piece.tops[0]
        # What has a screen faces whoever sits before the thing that it stands on.
        spread = 0.15 if kind in ("tv", "monitor", "keyboard", "laptop", "microwave") else math.pi
        turn = float(self._rng.uniform(-spread, spread))
        own = assemble(piece.parts, yaw=turn).vertices[:, :2]
        low = np.array(top.low) - own.min(axis=0) + 0.01
        high = np.array(top.high) - own.max(axis=0) - 0.01
        if (low >= high).any():
            return None
        x, y = self._rng.uniform(low, high) @ under.axes + np.array(under.at[:2])
        at = (float(x), float(y), under.at[2] + top.z + _LIFT)
        return place(kind, piece, at=at, yaw=under.yaw + turn, support=host)

    # Fitting ---------------------------------------------------------------------------------

    def _fits(self, placed: Placed, *, near: float) -> bool:
        """Whether a thing lies in the room and touches nothing but what it stands on."""
        body = shapely.Polygon(outline_of(placed))
        if not self._room.contains_properly(body):
            return False
        if not self._bodies:
            return True
        low, high = placed.mesh.vertices[:, 2].min(), placed.mesh.vertices[:, 2].max()
        spans = np.array(self._spans)
        level = (spans[:, 0] < high) & (spans[:, 1] > low)
        if placed.support >= 0:
            # Its box may reach into that of its sofa or bed, whose top lies deep in its own.
            level[placed.support] = False
        return not bool((shapely.dwithin(np.array(self._bodies), body, near) & level).any())

    def _settle(self, placed: Placed) -> bool:
        """Keep a thing if it fits, what is before it stays free, and one can still walk."""
        if not self._fits(placed, near=_GAP):
            return False
        hung = placed.support == -2
        front = FURNITURE[placed.kind].front
        body = shapely.Polygon(outline_of(placed))
        if not hung and self._fronts and shapely.intersects(np.array(self._fronts), body).any():
            return False
        room_before = shapely.Polygon(outline_of(placed, front=front)) if front else None
        if room_before is not None and not self._is_free(room_before):
            return False
        if placed.kind != "rug" and placed.mesh.vertices[:, 2].min() < 1.0:
            before = self._grid.copy()
            self._grid.take(outline_of(placed))
            cells, share = self._grid.walkable(clearance=_PERSON)
            if share < 0.9 or cells.sum() < _FREE * self._grid.inside.sum():
                self._grid = before
                return False
        if room_before is not None and placed.kind in ("door", "desk"):
            self._fronts.append(room_before)
        self._keep(placed)
        return True

    def _is_free(self, area: shapely.Polygon) -> bool:
        low = np.array([span[0] < 1.0 and span[1] > 0.05 for span in self._spans], dtype=bool)
        if not self._room.covers(area.buffer(-0.05)):
            return False
        return not (low & shapely.intersects(np.array(self._bodies, dtype=object), area)).any()

    def _keep(self, placed: Placed) -> None:
        heights = placed.mesh.vertices[:, 2]
        self.placed.append(placed)
        self._bodies.append(shapely.Polygon(outline_of(placed)))
        self._spans.append((float(heights.min()), float(heights.max())))


def furnish(
    things: tuple[tuple[str, int, int], ...],
    outline: Float64[np.ndarray, "k 2"],
    *,
    height: float,
    rng: np.random.Generator,
    most: int = 60,
) -> Layout:
    """Put things into an empty room.

    Args:
        things: Kinds with the least and the most of each; what stands on others comes last.
        outline: Corners of the floor, counter-clockwise, metres; its walls along x and y.
        height: From floor to ceiling, metres.
        rng: Where random numbers come from.
        most: How many things there may be in all.

    Returns:
        The layout; less than asked for where the room is full.
    """
    layout = Layout(outline, height=height, rng=rng)
    order = sorted(things, key=lambda thing: FURNITURE[thing[0]].stand == "on")
    for kind, low, high in order:
        count = min(int(rng.integers(low, high + 1)), most - len(layout.placed))
        if kind == "chair":
            layout.add_seats(count)
            continue
        for _ in range(count):
            if not layout.add(kind):
                break
    return layout

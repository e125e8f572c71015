"""Free space: where a walker of some width can stand and go, as polygons on the ground.

The walker is a disc. Seen from above, its centre may be wherever it keeps its radius from the
walls and from everything that stands in its way: the room shrunk by the radius, less what blocks
grown by it (Lozano-Perez and Wesley 1979, configuration space).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import networkx as nx
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundplane.core.errors import InputError
from groundplane.core.lexicon import normalise
from groundplane.spatial.map import CognitiveMap

__all__ = ["FreeSpace", "Place", "Walker", "free_space"]

Place = int | tuple[float, float]
Geometries = NDArray[np.object_]

# A quarter of a circle is drawn by so many chords.
_ARC = 8
# Standing at a thing is standing at most so much further from it than one must, metres: enough
# that a side of it counts, and not just its nearest point.
_SLACK = 0.05
# Regions that are smaller than a square centimetre are left by rounding, square metres.
_SLIVER = 1e-4
# How exactly the width of a passage is found, metres.
_WIDTH = 0.005
# Nobody is thinner; what lets less through is shut, metres.
_THINNEST = 0.01
# So many ways through what blocks are tried until taking it away opens one.
_MOST_PATHS = 64
# One walks through these, not round them.
_PASSAGES = frozenset({"door", "doorway", "doorframe", "archway", "gate", "gateway", "threshold"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Walker:
    """Who walks, and what is in their way.

    Attributes:
        radius: Half the width of the walker, metres. 0.25: shoulders are 0.4 to 0.5 m wide, and
            common service robots are no wider.
        step: What is lower is walked over, metres above the floor. 0.05: rugs and mats are
            thinner, and stairs and furniture feet are higher.
        headroom: What hangs higher is walked under, metres above the floor. 2.0: a door's height.
        reach: One is at a thing if one stands at most so far from it, metres. 0.75: an arm's
            length; what lies deep on a table is further, and then the nearest place counts.
        over: What is higher is not reached over, metres above the floor. 1.2: the height of a
            counter between two people.
        margin: Where the room's outline is unknown, the outline round all objects is widened by
            so much, metres. 1.0: people mostly leave a way of that width along furniture.

    Raises:
        InputError: If a length is negative or not finite, or the radius is under 1 cm.
    """

    radius: float = 0.25
    step: float = 0.05
    headroom: float = 2.0
    reach: float = 0.75
    over: float = 1.2
    margin: float = 1.0

    def __post_init__(self) -> None:
        for name in ("radius", "step", "headroom", "reach", "over", "margin"):
            value = getattr(self, name)
            least = _THINNEST if name == "radius" else 0.0
            if not least <= value < math.inf:
                raise InputError(
                    f"walker: {name} must be a finite length of at least {least} m, got {value}"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeSpace:
    """The ground of a map for one walker; made by `free_space`.

    Attributes:
        scene: The map.
        walker: Who walks.
        outline: Of the room, or of all objects with a margin; may be empty.
        stated: The map states the room's outline.
        footprints: One an object, metres.
        blocking: The objects that one cannot walk over, under or through; in the map's order.
        tall: Those of them that one cannot reach over.
        ground: What neither walls nor these objects cover, up to a centimetre.
    """

    scene: CognitiveMap = field(repr=False)
    walker: Walker
    outline: BaseGeometry = field(repr=False)
    stated: bool
    footprints: Geometries = field(repr=False)
    blocking: tuple[int, ...]
    tall: tuple[int, ...]
    ground: BaseGeometry = field(repr=False)

    @property
    def assumption(self) -> str:
        """What is taken for the room where its outline is not stated; empty where it is."""
        if self.stated:
            return ""
        reach = f"{self.walker.margin:g} m beyond the objects"
        return (
            f"the room's outline is not stated: the floor is taken to reach {reach}, without walls"
        )

    @property
    def error(self) -> float:
        """How much nearer than its radius the walker may come to a corner, metres.

        GEOS draws an arc by chords of up to one and a half times the angle asked for, which lie
        inside the circle, and smooths dents of the outline by up to a hundredth of the radius.
        """
        sagitta = 1 - math.cos(1.5 * math.pi / (4 * _ARC))
        return self.walker.radius * (sagitta + 0.01)

    @functools.cached_property
    def region(self) -> BaseGeometry:
        """Where the walker's centre may be: polygons with holes, maybe none."""
        return _region(self.outline, self.footprints[list(self.blocking)], self.walker.radius)

    @functools.cached_property
    def pieces(self) -> Geometries:
        """The connected parts of the region."""
        parts = shapely.get_parts(self.region)
        pieces: Geometries = parts[shapely.area(parts) > _SLIVER]
        return pieces

    def barrier(self, slack: float) -> BaseGeometry:
        """Where the walker's centre may not be, thinned by `slack` metres; ready for many looks."""
        around = self.outline.buffer(1.0).envelope.buffer(1.0)
        barrier = around.difference(self.region.buffer(slack))
        shapely.prepare(barrier)
        # The index inside is built on the first look; threads may share it from then on.
        shapely.intersects(barrier, shapely.LineString([(0.0, 0.0), (1.0, 1.0)]))
        return barrier

    def shape(self, place: Place) -> BaseGeometry:
        """What a place is on the ground: an object's footprint, or a point.

        Raises:
            InputError: If the map has no such object, or the point is not finite.
        """
        if isinstance(place, int):
            if not 0 <= place < len(self.scene):
                raise InputError(
                    f"place: expected an object from 0 to {len(self.scene) - 1}, got {place}"
                )
            footprint: BaseGeometry = self.footprints[place]
            return footprint
        if not all(math.isfinite(value) for value in place):
            raise InputError(f"place: expected a finite x and y in metres, got {place}")
        return shapely.Point(place)

    def standing(self, place: Place) -> dict[int, BaseGeometry]:
        """Where one stands to be at a place, by the piece of the region; nowhere if it is empty.

        In each piece within reach: as near as one can get there, and up to 5 cm further. What
        lies deep on a table is out of reach, and then as near as its rim lets the walker. A free
        point is stood at itself.
        """
        thing = self.shape(place)
        if not len(self.pieces):
            return {}
        gaps = shapely.distance(self.pieces, thing)
        if not isinstance(place, int) and not gaps.min():
            return dict.fromkeys(np.flatnonzero(gaps == 0).tolist(), thing)
        rim = float(shapely.distance(self.ground, thing))
        slack = max(_SLACK, 0.01 * float(gaps.min()))
        limit = max(self.walker.reach, rim + self.walker.radius) + slack
        near = np.flatnonzero(gaps <= limit)
        if len(near) > 1:
            seen = ~self._walled(thing, near)
            near = near[seen] if seen.any() else near
        return {
            k: self.pieces[k].intersection(thing.buffer(gaps[k] + slack, quad_segs=16))
            for k in near.tolist()
        }

    def _walled(self, thing: BaseGeometry, pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
        """From which pieces one would have to reach through a wall, or over what is too high.

        What the thing itself stands in or is part of does not count.
        """
        lines = shapely.shortest_line(self.pieces[pieces], thing)
        tall = self.footprints[list(self.tall)]
        tall = tall[~np.asarray(shapely.intersects(tall, thing), dtype=bool)]
        cut = np.asarray(shapely.intersects(lines[:, None], tall[None]), dtype=bool).any(axis=1)
        # Seen from beyond the outline, its border is crossed in any case.
        inside = self.outline.buffer(1e-6).covers(thing)
        walls = shapely.crosses(lines, self.outline.boundary) & inside
        return np.asarray(cut | walls, dtype=bool)

    def connects(self, start: Place, goal: Place) -> bool:
        """Whether there is a way from one place to the other."""
        return bool(self.standing(start).keys() & self.standing(goal).keys())

    def without(self, rows: tuple[int, ...]) -> FreeSpace:
        """The same ground with some objects out of the way."""
        kept = tuple(i for i in self.blocking if i not in rows)
        ground = _region(self.outline, self.footprints[list(kept)], _THINNEST)
        tall = tuple(i for i in self.tall if i not in rows)
        return replace(self, blocking=kept, tall=tall, ground=ground)

    def with_radius(self, radius: float) -> FreeSpace:
        """The same ground for a walker of another width."""
        return replace(self, walker=replace(self.walker, radius=radius))

    def narrowest_passage(self, start: Place, goal: Place) -> float:
        """How wide a walker may be who just gets from one place to the other, metres.

        The width of the narrowest passage on the widest way, to 5 mm; 0 where the ways are shut.
        """
        low, high = 0.0, self._widest_radius()
        while high - low > _WIDTH / 2:
            middle = max((low + high) / 2, _THINNEST)
            if self.with_radius(middle).connects(start, goal):
                low = middle
            elif middle == _THINNEST:
                return 0.0
            else:
                high = middle
        return 2 * low

    def _widest_radius(self) -> float:
        if self.outline.is_empty:
            return 0.0
        low_x, low_y, high_x, high_y = self.outline.bounds
        return min(high_x - low_x, high_y - low_y) / 2

    def blockers(self, start: Place, goal: Place) -> tuple[int, ...]:
        """Few objects that shut the way: without them there is one, and not without fewer of them.

        Regions and the objects between them make a graph, in which every path from the one place
        to the other crosses objects; the cheapest whose removal does open a way is taken. None
        where walls shut the way, or nothing does.
        """
        barred = {place for place in (start, goal) if isinstance(place, int)}
        rows = [row for row in self.blocking if row not in barred]
        here, there = self.standing(start), self.standing(goal)
        if not rows or here.keys() & there.keys():
            return ()
        graph = self._crossings(rows)
        graph.add_nodes_from(["start", "goal"])
        graph.add_edges_from(("start", ("piece", k), {"cost": 0.0}) for k in here)
        graph.add_edges_from((("piece", k), "goal", {"cost": 0.0}) for k in there)
        tried: set[frozenset[int]] = set()
        if not nx.has_path(graph, "start", "goal"):
            return ()
        for path in islice(nx.shortest_simple_paths(graph, "start", "goal", "cost"), _MOST_PATHS):
            crossed = frozenset(node[1] for node in path[1:-1] if node[0] == "object")
            if crossed not in tried and self.without(tuple(crossed)).connects(start, goal):
                return self._needed(sorted(crossed), start, goal)
            tried.add(crossed)
        return ()

    def _needed(self, rows: list[int], start: Place, goal: Place) -> tuple[int, ...]:
        """Those that cannot stay while the others are out of the way."""
        for row in list(rows):
            rest = tuple(other for other in rows if other != row)
            if rest and self.without(rest).connects(start, goal):
                rows.remove(row)
        return tuple(rows)

    def _crossings(self, rows: list[int]) -> nx.DiGraph[Any]:
        """Which regions and grown objects touch each other; to enter an object costs.

        Small things cost less: of several that would do, the easiest to move is named.
        """
        shapes = self.footprints[rows]
        grown = shapely.buffer(shapes, self.walker.radius, quad_segs=_ARC)
        costs = (1 + 0.01 * shapely.area(shapes)).tolist()
        graph: nx.DiGraph[Any] = nx.DiGraph()
        tree = shapely.STRtree(grown)
        # Shapes that share an edge may be apart by rounding.
        touching = tree.query(self.pieces, predicate="dwithin", distance=1e-6)
        for k, i in touching.T.tolist():
            graph.add_edge(("piece", k), ("object", rows[i]), cost=costs[i])
            graph.add_edge(("object", rows[i]), ("piece", k), cost=0.0)
        for i, j in tree.query(grown, predicate="intersects").T.tolist():
            if i != j:
                graph.add_edge(("object", rows[i]), ("object", rows[j]), cost=costs[j])
        return graph


def _region(outline: BaseGeometry, obstacles: Geometries, radius: float) -> BaseGeometry:
    inner = outline.buffer(-radius, quad_segs=_ARC)
    grown = shapely.buffer(obstacles, radius, quad_segs=_ARC)
    return inner.difference(shapely.union_all(grown))


def _is_passage(label: str) -> bool:
    words = normalise(label).split()
    return bool(words) and (words[-1] in _PASSAGES or words[-2:] == ["door", "frame"])


def _blocking(scene: CognitiveMap, walker: Walker) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What one can neither step over, pass under nor walk through; what of that is tall."""
    low, high = (column.tolist() for column in scene.objects.vertical())
    floor = scene.floor if scene.floor is not None else min(low, default=0.0)
    rows = tuple(
        row
        for row, label in enumerate(scene.labels)
        if high[row] - floor > walker.step
        and low[row] - floor < walker.headroom
        and not _is_passage(label)
    )
    return rows, tuple(row for row in rows if high[row] - floor > walker.over)


def _outline(scene: CognitiveMap, footprints: Geometries, walker: Walker) -> BaseGeometry:
    if scene.room is not None:
        return shapely.force_2d(scene.room)
    return shapely.union_all(footprints).convex_hull.buffer(walker.margin)


@functools.lru_cache(maxsize=8)
def free_space(scene: CognitiveMap, walker: Walker) -> FreeSpace:
    """The free space of a map; kept for the last eight, since many routes are asked of one.

    Args:
        scene: A map in metres.
        walker: Who walks.

    Raises:
        InputError: If the map has no scale: a walker's width means nothing there.

    Source: T. Lozano-Perez and M. Wesley, "An algorithm for planning collision-free paths among
    polyhedral obstacles", CACM 22(10), 1979; a disc turns nowhere, so its growth is exact up to
    the arcs (`FreeSpace.error`).

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> room = SceneBuilder().room([(0, 0), (4, 0), (4, 3), (0, 3)])
        >>> _ = room.add("table", at=(2, 1.5, 0.4), size=(1, 1, 0.8))
        >>> space = free_space(room.build(), Walker())
        >>> len(space.pieces), round(space.region.area, 1), space.stated
        (1, 6.6, True)
        >>> free_space(SceneBuilder().build(), Walker()).pieces.tolist()
        []
    """
    if scene.scale != "metric":
        raise InputError(
            f"map {scene.name!r} has no scale, so it has no metres: whether a walker "
            f"{2 * walker.radius:g} m wide fits anywhere cannot be told; give a map in metres"
        )
    footprints = scene.objects.footprints()
    outline = _outline(scene, footprints, walker)
    blocking, tall = _blocking(scene, walker)
    return FreeSpace(
        scene=scene,
        walker=walker,
        outline=outline,
        stated=scene.room is not None,
        footprints=footprints,
        blocking=blocking,
        tall=tall,
        ground=_region(outline, footprints[list(blocking)], _THINNEST),
    )

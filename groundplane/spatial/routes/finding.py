"""Routes: the shortest walkable way between two places of a map.

A shortest way among polygons is a chain of straight lines that bends only at corners round which
it is pulled tight (Lee 1978; de Berg et al., "Computational Geometry", 2008, ch. 15). So the
graph holds the corners of the free space and the lines between them that touch both corners and
cross nothing; a place adds the lines from where one stands at it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import shapely
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.routes.free_space import FreeSpace, Place, Walker, free_space
from groundplane.spatial.routes.rims import lines_between, nearest_points, tips_of

__all__ = ["Blocked", "RouteFinder", "Walk", "route_finder", "shortest_walk"]

Points = Float[np.ndarray, "k 2"]

# A way may graze what it bends round by so much, metres: rounding is far less.
_GRAZE = 1e-6
# Sides of a line within which a point counts as on it, square metres.
_COLLINEAR = 1e-9
# Pairs of corners that are looked at together, and corners beyond which that takes too long.
_CHUNK = 200_000
_MOST_CORNERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """A shortest way.

    Attributes:
        start: Where it begins: an object's row, or a point.
        goal: Where it ends.
        points: The polyline of the walker's centre, x and y, metres; at least two points.
        length: Metres.
        clearance: How far the walker's centre stays from walls and what blocks, metres; about the
            walker's radius wherever the way bends, infinite where nothing is near at all.
    """

    start: Place
    goal: Place
    points: Points
    length: float
    clearance: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocked:
    """There is no way; why is worked out when it is asked for.

    Attributes:
        start: Where it would begin.
        goal: Where it would end.
        space: The ground and the walker.
    """

    start: Place
    goal: Place
    space: FreeSpace

    @functools.cached_property
    def width(self) -> float:
        """The most that a walker may measure across who gets through, metres; 0 for nobody."""
        return self.space.narrowest_passage(self.start, self.goal)

    @functools.cached_property
    def blockers(self) -> tuple[int, ...]:
        """The fewest objects without which there would be a way; none where walls shut it."""
        return self.space.blockers(self.start, self.goal)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Corners:
    """The corners round which a way may bend.

    Attributes:
        at: Metres.
        before: The neighbour before each on its ring.
        after: The neighbour behind each.
        piece: The part of the region that each belongs to.
    """

    at: Float[np.ndarray, "n 2"]
    before: Float[np.ndarray, "n 2"]
    after: Float[np.ndarray, "n 2"]
    piece: Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Links:
    """The lines from where one stands at a place to the corners that are seen from there."""

    corners: Int[np.ndarray, " m"]
    spots: Float[np.ndarray, "m 2"]


class RouteFinder:
    """Finds shortest ways on one free space; the graph is built on the first question.

    Args:
        space: The ground and the walker.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> room = SceneBuilder().room([(0, 0), (6, 0), (6, 4), (0, 4)])
        >>> _ = room.add("sofa", at=(1, 2, 0.4), size=(1, 2, 0.8))
        >>> _ = room.add("tv", at=(5.9, 2, 1), size=(0.1, 1, 0.6))
        >>> finder = RouteFinder(free_space(room.build(), Walker()))
        >>> round(finder.walk(0, 1).length, 2)
        3.75
        >>> finder.walks([])
        []
    """

    def __init__(self, space: FreeSpace) -> None:
        self.space = space
        self._lock = threading.Lock()
        self._links: dict[int, _Links] = {}
        self._spots: dict[int, dict[int, BaseGeometry]] = {}
        self._kept_tips: dict[int, dict[int, Points]] = {}

    def walk(self, start: Place, goal: Place) -> Walk | Blocked:
        """The shortest way between two places.

        Raises:
            InputError: If the map has no such object, a point is not finite, or the free space
                has more than 20,000 corners.
        """
        return self.walks([(start, goal)])[0]

    def walks(self, pairs: Sequence[tuple[Place, Place]]) -> list[Walk | Blocked]:
        """The shortest way of each pair, in order.

        Raises:
            InputError: As for `walk`.
        """
        with self._lock:
            return [self._way(start, goal) for start, goal in pairs]

    def _way(self, start: Place, goal: Place) -> Walk | Blocked:
        """The shorter of the straight way and the best one round corners."""
        points, settled = self._straight(start, goal)
        if not settled:
            bent = self._bent(self._linked(start), self._linked(goal))
            if points is None or (bent is not None and _length(bent) < _length(points)):
                points = bent
        if points is None:
            return Blocked(start=start, goal=goal, space=self.space)
        points = _distinct(points)
        return Walk(
            start=start, goal=goal, points=points, length=_length(points),
            clearance=self._clearance(points),
        )  # fmt: skip

    def _bent(self, here: _Links, there: _Links) -> Points | None:
        """The shortest way round corners, by A* with the beeline as the estimate."""
        graph, at = self._graph, self._corners.at
        if not len(here.corners) or not len(there.corners):
            return None
        # No end of the way is nearer than the hull of all of them, taken along x and y.
        low, high = there.spots.min(axis=0), there.spots.max(axis=0)
        beeline = np.linalg.norm(at - at.clip(low, high), axis=1).tolist()
        graph.add_weighted_edges_from(
            (("start", corner, length) for corner, length in _weighted(here, at)), weight="length"
        )
        graph.add_weighted_edges_from(
            ((corner, "goal", length) for corner, length in _weighted(there, at)), weight="length"
        )
        try:
            path = nx.astar_path(
                graph, "start", "goal", weight="length",
                heuristic=lambda node, _: beeline[node] if isinstance(node, int) else 0.0,
            )  # fmt: skip
        except nx.NetworkXNoPath:
            return None
        finally:
            graph.remove_nodes_from(["start", "goal"])
        chain = np.array(path[1:-1], dtype=np.int64)
        first, last = here.corners == chain[0], there.corners == chain[-1]
        return np.concatenate([here.spots[first], at[chain], there.spots[last]])

    def _straight(self, start: Place, goal: Place) -> tuple[Points | None, bool]:
        """The shortest free line between two places, and whether no other way can be shorter."""
        here, there = self._standing(start), self._standing(goal)
        shared = here.keys() & there.keys()
        lines = [
            shapely.shortest_line(
                shapely.get_parts(here[k])[:, None], shapely.get_parts(there[k])[None]
            ).ravel()
            for k in shared
        ]
        found = np.concatenate([np.zeros(0, dtype=object), *lines])
        if not len(found):
            return None, True
        nearest = found[[shapely.length(found).argmin()]]
        if not shapely.intersects(self._barrier, nearest)[0]:
            return shapely.get_coordinates(nearest), True
        tips, goals = self._tips(start), self._tips(goal)
        if not any(len(tips[k]) + len(goals[k]) for k in shared):
            return None, False
        ends = [lines_between(here[k], there[k], tips[k], goals[k]) for k in shared]
        found = np.asarray(shapely.linestrings(np.concatenate(ends)), dtype=object)
        found = found[~np.asarray(shapely.intersects(self._barrier, found), dtype=bool)]
        if not len(found):
            return None, False
        return shapely.get_coordinates(found[shapely.length(found).argmin()]), False

    def _linked(self, place: Place) -> _Links:
        """The lines of a place; those of objects are kept."""
        if isinstance(place, int) and place in self._links:
            return self._links[place]
        found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        tips = self._tips(place)
        for piece, spot in self._standing(place).items():
            corners = np.flatnonzero(self._corners.piece == piece)
            rows, ends = nearest_points(spot, tips[piece], self._corners.at[corners])
            seen = _touches(self._corners, corners[rows], ends - self._corners.at[corners[rows]])
            seen[seen] = self._is_free(self._corners.at[corners[rows[seen]]], ends[seen])
            # The nearest that is seen of each corner: they come in that order.
            rows, first = np.unique(rows[seen], return_index=True)
            found.append((corners[rows], ends[seen][first]))
        empty = np.zeros(0, dtype=np.int64), np.zeros((0, 2))
        columns = zip(empty, *found, strict=True)
        corners, spots = (np.concatenate(column) for column in columns)
        links = _Links(corners=corners, spots=spots)
        if isinstance(place, int):
            self._links[place] = links
        return links

    def _tips(self, place: Place) -> dict[int, Points]:
        """The tips of where one stands at a place; of objects they are kept."""
        if isinstance(place, int) and place in self._kept_tips:
            return self._kept_tips[place]
        spots = self._standing(place)
        tips = {piece: tips_of(spot, self._borders[piece]) for piece, spot in spots.items()}
        if isinstance(place, int):
            self._kept_tips[place] = tips
        return tips

    @functools.cached_property
    def _borders(self) -> NDArray[np.object_]:
        borders: NDArray[np.object_] = shapely.boundary(self.space.pieces)
        shapely.prepare(borders)
        return borders

    def _standing(self, place: Place) -> dict[int, BaseGeometry]:
        """Where one stands at a place; of objects it is kept."""
        if not isinstance(place, int):
            return self.space.standing(place)
        if place not in self._spots:
            self._spots[place] = self.space.standing(place)
        return self._spots[place]

    def _is_free(
        self, start: Float[np.ndarray, "m 2"], end: Float[np.ndarray, "m 2"]
    ) -> Bool[np.ndarray, " m"]:
        lines = shapely.linestrings(np.stack([start, end], axis=1))
        return ~np.asarray(shapely.intersects(self._barrier, lines), dtype=bool)

    @functools.cached_property
    def _barrier(self) -> BaseGeometry:
        return self.space.barrier(_GRAZE)

    @functools.cached_property
    def _walls(self) -> BaseGeometry:
        space = self.space
        walls = shapely.union_all([space.outline.boundary, *space.footprints[list(space.blocking)]])
        shapely.prepare(walls)
        return walls

    def _clearance(self, points: Points) -> float:
        return float(shapely.distance(self._walls, shapely.LineString(points)))

    @functools.cached_property
    def _corners(self) -> _Corners:
        """The corners of the free space that stick into it."""
        found = [
            (*_bends(np.asarray(ring.coords)), k)
            for k, piece in enumerate(self.space.pieces)
            for ring in _rings(piece)
        ]
        columns = [
            np.concatenate([row[i] for row in found] or [np.zeros((0, 2))]) for i in range(3)
        ]
        if len(columns[0]) > _MOST_CORNERS:
            raise InputError(
                f"map {self.space.scene.name!r}: its free space has {len(columns[0]):,} corners, "
                f"and routes are found among at most {_MOST_CORNERS:,}; cut the map down to the "
                "objects that matter"
            )
        pieces = np.repeat([row[3] for row in found], [len(row[0]) for row in found])
        return _Corners(
            at=columns[0], before=columns[1], after=columns[2], piece=pieces.astype(np.int64)
        )

    @functools.cached_property
    def _graph(self) -> nx.DiGraph[object]:
        """Corners that see each other, along lines that a tight string may take."""
        graph: nx.DiGraph[object] = nx.DiGraph()
        at = self._corners.at
        graph.add_nodes_from(range(len(at)))
        for rows, columns in _tangents(self._corners):
            free = self._is_free(at[rows], at[columns])
            i, j = rows[free], columns[free]
            lengths = np.linalg.norm(at[i] - at[j], axis=1).tolist()
            for a, b in ((i, j), (j, i)):
                edges = zip(a.tolist(), b.tolist(), lengths, strict=True)
                graph.add_weighted_edges_from(edges, weight="length")
        return graph


def _rings(piece: shapely.Polygon) -> Iterator[shapely.LinearRing]:
    """The rings of a polygon, each with the polygon to its left."""
    turned = orient(piece)
    return iter((turned.exterior, *turned.interiors))


def _bends(ring: Float[np.ndarray, "_ 2"]) -> tuple[Points, Points, Points]:
    """The corners where a ring turns right, so into the polygon to its left; their neighbours."""
    at = ring[:-1]
    before, after = np.roll(at, 1, axis=0), np.roll(at, -1, axis=0)
    turn = _cross(at - before, after - at)
    kept = turn < -1e-12
    return at[kept], before[kept], after[kept]


def _cross(a: Float[np.ndarray, "*n 2"], b: Float[np.ndarray, "*#n 2"]) -> Float[np.ndarray, "*n"]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _touches(
    corners: _Corners, rows: Int[np.ndarray, " m"], way: Float[np.ndarray, "*k m 2"]
) -> Bool[np.ndarray, "*k m"]:
    """Whether a line along `way` passes each corner without cutting into it."""
    at = corners.at[rows]
    first = _cross(way, corners.before[rows] - at)
    second = _cross(way, corners.after[rows] - at)
    return np.asarray(
        (np.minimum(first, second) >= -_COLLINEAR) | (np.maximum(first, second) <= _COLLINEAR)
    )


def _tangents(
    corners: _Corners,
) -> Iterator[tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]:
    """Pairs of corners of one piece whose line touches both, each pair once."""
    for piece in np.unique(corners.piece):
        rows = np.flatnonzero(corners.piece == piece)
        step = max(1, _CHUNK // len(rows))
        for low in range(0, len(rows), step):
            part = rows[low : low + step]
            way = corners.at[rows][:, None] - corners.at[part][None]
            # Few lines touch the one corner; only those are looked at from the other.
            j, i = np.nonzero(_touches(corners, part, way) & (rows[:, None] > part[None]))
            seen = _touches(corners, rows[j], way[j, i])
            yield part[i[seen]], rows[j[seen]]


def _weighted(links: _Links, at: Float[np.ndarray, "n 2"]) -> Iterator[tuple[int, float]]:
    lengths = np.linalg.norm(links.spots - at[links.corners], axis=1)
    return zip(links.corners.tolist(), lengths.tolist(), strict=True)


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _distinct(points: Points) -> Points:
    """Without points that repeat the one before; at least the two ends."""
    moved = np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-9
    kept = points[np.concatenate([[True], moved])]
    return kept if len(kept) > 1 else points[[0, -1]]


@functools.lru_cache(maxsize=8)
def route_finder(scene: CognitiveMap, walker: Walker) -> RouteFinder:
    """The way finder of a map; kept for the last eight.

    Raises:
        InputError: If the map has no scale.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().build()
        >>> route_finder(scene, Walker()) is route_finder(scene, Walker())
        True
    """
    return RouteFinder(free_space(scene, walker))


def shortest_walk(
    scene: CognitiveMap, start: Place, goal: Place, *, walker: Walker | None = None
) -> Walk | Blocked:
    """The shortest walkable way between two objects or points of a map.

    Args:
        scene: A map in metres.
        start: An object's row, or x and y of a point, metres. At an object, one stands as near
            as one can get, on whichever side is best.
        goal: Likewise.
        walker: Who walks; somebody half a metre wide if None.

    Returns:
        The way, or `Blocked`, which knows how wide the ways are and what shuts them.

    Raises:
        InputError: If the map has no scale, or no such object, or a point is not finite.

    Source: D. T. Lee, "Proximity and reachability in the plane", 1978 (visibility graph, tangent
    lines). Lengths are exact but for arcs drawn by chords (`FreeSpace.error`).

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> room = SceneBuilder().room([(0, 0), (6, 0), (6, 4), (0, 4)])
        >>> _ = room.add("wall", at=(3, 2, 1), size=(0.2, 4, 2)).add("cup", at=(1, 2, 0))
        >>> blocked = shortest_walk(room.build(), (1.0, 1.0), (5.0, 1.0))
        >>> blocked.width, blocked.blockers
        (0.0, (0,))
    """
    return route_finder(scene, walker or Walker()).walk(start, goal)

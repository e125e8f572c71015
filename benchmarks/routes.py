"""1,000 routes among 100 objects, against the visibility graph that a script would build.

The peer is the textbook's: every corner with every other, one scalar call of shapely a line, the
shortest path by networkx. It works on the same ground, builds its graph once, as we do, and a
route adds the lines from its two ends to all corners. Its lengths are checked against ours first.
A part of its work is timed and the rest taken as many times that, since all of it takes minutes:
lines of the graph, and routes, each one like the other.

Run: python benchmarks/routes.py
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.routes.finding import RouteFinder, Walk
from groundplane.spatial.routes.free_space import FreeSpace, Walker, free_space
from groundplane.testing.scenes import SceneBuilder

HALL = 20.0
TOLERANCE = 1e-5  # metres: the peer may not graze corners by more than a micrometre, as we may
Point = tuple[float, float]


def hall(count: int, *, seed: int) -> CognitiveMap:
    """Boxes of the size of furniture in a hall of 20 by 20 metres."""
    rng = np.random.default_rng(seed)
    scene = SceneBuilder().room([(0, 0), (HALL, 0), (HALL, HALL), (0, HALL)])
    for _ in range(count):
        x, y = rng.uniform(0.5, HALL - 0.5, 2).tolist()
        width, depth = rng.uniform(0.3, 1.6, 2).tolist()
        scene.add("box", at=(x, y, 0.5), size=(width, depth, 1.0), yaw=float(rng.uniform(0, 90)))
    return scene.build()


def free_points(space: FreeSpace, count: int, *, seed: int) -> list[Point]:
    """Points of the largest part of the free space."""
    piece = space.pieces[shapely.area(space.pieces).argmax()]
    rng = np.random.default_rng(seed)
    found: list[Point] = []
    while len(found) < count:
        x, y = rng.uniform(0, HALL, 2).tolist()
        if piece.contains(shapely.Point(x, y)):
            found.append((x, y))
    return found


class Peer:
    """A visibility graph by one call a line."""

    def __init__(self, space: FreeSpace) -> None:
        # As wide as ours, so that a line along an edge is not cut by rounding.
        self.free: BaseGeometry = space.region.buffer(1e-6)
        shapely.prepare(self.free)
        rings = [ring for piece in space.pieces for ring in (piece.exterior, *piece.interiors)]
        self.corners: list[Point] = [point for ring in rings for point in ring.coords[:-1]]
        self.graph: nx.Graph[object] = nx.Graph()

    def sees(self, a: Point, b: Point) -> bool:
        """Whether the line between two points is free."""
        return bool(self.free.contains(shapely.LineString([a, b])))

    def link(self, a: Point, b: Point) -> None:
        """Add a line if it is free."""
        if self.sees(a, b):
            self.graph.add_edge(a, b, weight=float(np.hypot(a[0] - b[0], a[1] - b[1])))

    def pairs(self) -> itertools.combinations[tuple[Point, Point]]:
        """Every two corners."""
        return itertools.combinations(self.corners, 2)

    def route(self, start: Point, goal: Point) -> float:
        """Length of the shortest path; the two ends are taken out again."""
        for end in (start, goal):
            for corner in self.corners:
                self.link(end, corner)
        self.link(start, goal)
        length = float(nx.dijkstra_path_length(self.graph, start, goal))
        self.graph.remove_nodes_from([start, goal])
        return length


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def check(seed: int) -> float:
    """The largest difference to the peer, which sees all of a smaller hall."""
    space = free_space(hall(8, seed=seed), Walker())
    points = free_points(space, 16, seed=seed)
    peer = Peer(space)
    for a, b in peer.pairs():
        peer.link(a, b)
    pairs = list(itertools.pairwise(points))
    ours = [way.length for way in RouteFinder(space).walks(pairs) if isinstance(way, Walk)]
    theirs = [peer.route(a, b) for a, b in pairs]
    if len(ours) != len(theirs):
        raise SystemExit(f"{len(theirs) - len(ours)} routes that the peer finds are not found")
    return float(np.abs(np.array(ours) - np.array(theirs)).max())


def main() -> None:
    """Check, then time both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100, help="objects in the hall")
    parser.add_argument("--routes", type=int, default=1_000, help="routes that we find")
    parser.add_argument("--lines", type=int, default=20_000, help="lines that the peer tries")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    options = parser.parse_args()
    error = max(check(seed) for seed in range(3))
    if not error <= TOLERANCE:
        raise SystemExit(f"routes differ from the peer's by {error:.3g} m: not timed")
    space = free_space(hall(options.objects, seed=0), Walker())
    points = free_points(space, 2 * options.routes, seed=1)
    pairs = list(zip(points[::2], points[1::2], strict=True))
    peer = Peer(space)
    lines = list(itertools.islice(peer.pairs(), 0, None, max(1, _total(peer) // options.lines)))
    ours, per_line = [], []
    for _ in range(options.rounds):
        finder = RouteFinder(space)
        ours.append(seconds(lambda finder=finder: finder.walks(pairs)))
        per_line.append(seconds(lambda: [peer.link(a, b) for a, b in lines]) / len(lines))
    # The graph's lines once, and the lines of two ends for each route; the search itself, which
    # both do in networkx, is given to the peer.
    corners = len(peer.corners)
    tried = _total(peer) + options.routes * (2 * corners + 1)
    fast, slow = statistics.median(ours), statistics.median(per_line) * tried
    print(f"objects: {options.objects}, corners: {corners}, routes: {options.routes}")
    print(f"largest difference to the peer: {error:.2g} m")
    print(f"ours, with its graph: {fast:.3f} s; peer: {slow:.1f} s for {tried:,} lines")
    print(f"ratio = {slow / fast:.1f}")


def _total(peer: Peer) -> int:
    count = len(peer.corners)
    return count * (count - 1) // 2


if __name__ == "__main__":
    main()

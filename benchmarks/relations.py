"""Distance, direction and topology of all pairs of 1,000 objects, against a loop into networkx.

The peer is what a script does without the library: a loop in Python over the pairs, in plain
numbers taken out of the arrays beforehand, that stores its three findings as attributes of an
edge. Ours computes the same, and the order along each axis, for the same pairs and the diagonal.
Both are compared first: distances, directions and topology of every pair.

Beyond that it shows how the table grows with the scene, and that the nearest objects, counts and
pairs among 100,000 are found without holding a table of them all, which it would notice by the
memory of the process.

Run: python benchmarks/relations.py
"""

from __future__ import annotations

import argparse
import gc
import math
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import networkx
import torch

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.dense import BYTES_A_PAIR, PairTable, Topology, tabulate
from groundplane.spatial.scale.memory import format_bytes
from groundplane.spatial.scale.neighbours import count_within, nearest, pairs_within

TOLERANCE = 0.02  # metres within which hulls touch
ROUNDING = 1e-5  # metres: float32 over a hall of 20 m, with room to spare
ANGLE = 1e-3  # of a unit vector in float16
Box = tuple[float, ...]


def random_boxes(count: int, *, seed: int, device: str = "cpu") -> Boxes3D:
    """Furniture, turned about the vertical, one object on 0.4 square metres of floor."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    angle = torch.rand(count, **options) * 2 * math.pi
    c, s, o = angle.cos(), angle.sin(), torch.zeros_like(angle)
    side = math.sqrt(0.4 * count)
    return Boxes3D(
        centers=torch.rand(count, 3, **options) * torch.tensor([side, side, 2.5]),
        sizes=torch.rand(count, 3, **options) ** 2 * 1.8 + 0.05,
        axes=torch.stack([c, s, o, -s, c, o, o, o, o + 1], dim=1).view(count, 3, 3),
    ).to(device)


# -- the peer -----------------------------------------------------------------------------


def topology_of(a: Box, b: Box) -> str:
    """Plain topology of two hulls: least corner, then greatest."""
    ax, ay, az, aX, aY, aZ = a
    bx, by, bz, bX, bY, bZ = b
    gap = max(bx - aX, by - aY, bz - aZ, ax - bX, ay - bY, az - bZ)
    if gap > TOLERANCE:
        return "DISJOINT"
    within = max(bx - ax, by - ay, bz - az, aX - bX, aY - bY, aZ - bZ) <= TOLERANCE
    holds = min(bx - ax, by - ay, bz - az, aX - bX, aY - bY, aZ - bZ) >= -TOLERANCE
    if within and holds:
        return "EQUAL"
    if gap >= -TOLERANCE:
        return "TOUCHING"
    return "INSIDE" if within else "CONTAINS" if holds else "OVERLAPPING"


def edges(centers: list[Box], hulls: list[Box]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """One edge a pair, with its attributes."""
    for i, (x, y, z) in enumerate(centers):
        hull = hulls[i]
        for j, (u, v, w) in enumerate(centers):
            if i == j:
                continue
            dx, dy, dz = u - x, v - y, w - z
            distance = math.sqrt(dx * dx + dy * dy + dz * dz)
            direction = (dx / distance, dy / distance, dz / distance)
            topology = topology_of(hull, hulls[j])
            yield i, j, {"distance": distance, "direction": direction, "topology": topology}


def loop_into_graph(centers: list[Box], hulls: list[Box]) -> networkx.DiGraph[int]:
    """The peer."""
    graph: networkx.DiGraph[int] = networkx.DiGraph()
    graph.add_nodes_from(range(len(centers)))
    graph.add_edges_from(edges(centers, hulls))
    return graph


# -- equality -----------------------------------------------------------------------------


def check_equal(table: PairTable, graph: networkx.DiGraph[int], hulls: list[Box]) -> str:
    """Compare every pair; stop the script where one differs by more than rounding."""
    distances, topology = table.distances.tolist(), table.topology.tolist()
    directions = table.directions.float().tolist()
    worst_distance = worst_angle = 0.0
    close = 0
    for i, j, edge in graph.edges(data=True):
        worst_distance = max(worst_distance, abs(distances[i][j] - edge["distance"]))
        worst_angle = max(worst_angle, math.dist(directions[i][j], edge["direction"]))
        if Topology(topology[i][j]).name != edge["topology"]:
            close += 1
            if not _on_border(hulls[i], hulls[j]):
                raise SystemExit(f"topology of {i}, {j} differs: not timed")
    if not worst_distance <= ROUNDING or not worst_angle <= ANGLE:
        raise SystemExit(f"differ by {worst_distance:.3g} m, {worst_angle:.3g}: not timed")
    return (
        f"pairs: {graph.number_of_edges()}, largest difference: {worst_distance:.1g} m, direction "
        f"{worst_angle:.1g}; topology differs in {close} that lie within rounding of a border"
    )


def _on_border(a: Box, b: Box) -> bool:
    """Whether faces of two hulls lie the tolerance apart, to within rounding."""
    offsets = [abs(p - q) for k in range(3) for p in (a[k], a[k + 3]) for q in (b[k], b[k + 3])]
    return any(abs(offset - TOLERANCE) <= ROUNDING for offset in offsets)


# -- timing -------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes; the graph of a call before is not cleared away in it."""
    gc.collect()
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    spent = time.perf_counter() - start
    del result
    return spent


def against_the_loop(count: int, rounds: int) -> float:
    """Check, then time both by turns; the ratio."""
    boxes = random_boxes(count, seed=1)
    low, high = boxes.hull()
    centers = [tuple(row) for row in boxes.centers.tolist()]
    hulls = [(*a, *b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    print(check_equal(tabulate(boxes), loop_into_graph(centers, hulls), hulls))
    kept = PairTable.empty(count, count)
    ours, again, peer = [], [], []
    for _ in range(rounds):
        # Many short calls weigh no more than one long one: the median of each turn counts.
        ours.append(statistics.median(seconds(lambda: tabulate(boxes)) for _ in range(9)))
        again.append(
            statistics.median(seconds(lambda: tabulate(boxes, out=kept)) for _ in range(9))
        )
        peer.append(seconds(lambda: loop_into_graph(centers, hulls)))
    pairs = count * count
    fast, slow = statistics.median(ours), statistics.median(peer)
    print(
        f"ours: {fast * 1e3:.2f} ms, {fast / pairs * 1e9:.1f} ns a pair "
        f"({statistics.median(again) / pairs * 1e9:.1f} into a table kept); "
        f"peer: {slow:.2f} s, {slow / pairs * 1e6:.2f} us a pair"
    )
    return slow / fast


def scale() -> None:
    """How the table grows with the scene."""
    for count in (100, 1_000, 10_000):
        boxes = random_boxes(count, seed=2)
        spent = statistics.median(seconds(lambda b=boxes: tabulate(b)) for _ in range(3))
        size = format_bytes(count * count * BYTES_A_PAIR)
        print(f"all pairs of {count}: {size}, {spent * 1e3:.1f} ms")


# -- without a table ----------------------------------------------------------------------


class Peak:
    """The most memory that the process held within a `with`, above what it held before, bytes."""

    def __enter__(self) -> Peak:
        gc.collect()
        self._before = self.most = _resident()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()
        self.most = max(self.most, _resident()) - self._before

    def _look(self) -> None:
        while not self._done.wait(0.002):
            self.most = max(self.most, _resident())


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def without_a_table(count: int, device: str = "cpu") -> None:
    """Nearest objects, counts and near pairs; refuses to go on if they held a table."""
    boxes = random_boxes(count, seed=3, device=device)
    table = count * count  # even one byte a pair is too much
    for name, work in (
        ("8 nearest centres", lambda: nearest(boxes, k=8)),
        ("8 nearest hulls", lambda: nearest(boxes, k=8, metric="hulls")),
        ("count within 1 m", lambda: count_within(boxes, radius=1.0)),
        ("pairs within 1 m", lambda: pairs_within(boxes, radius=1.0)),
    ):
        on_card = device != "cpu"
        before = torch.cuda.memory_allocated() if on_card else 0
        if on_card:
            torch.cuda.reset_peak_memory_stats()
        with Peak() as peak:
            spent = seconds(work)
        most = torch.cuda.max_memory_allocated() - before if on_card else peak.most
        print(
            f"{name} of {count} on {device}: {spent * 1e3:.0f} ms, {format_bytes(most)} at most "
            f"(a byte a pair: {format_bytes(table)})"
        )
        if most * 4 > table:
            raise SystemExit(f"{name}: holds a good part of a table of all pairs")


# -- on a graphics card -------------------------------------------------------------------


def on_cuda() -> None:
    """The same on a graphics card, beside the time that moving the bytes would take."""
    block = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(block)
    copy = min(seconds(lambda: other.copy_(block)) for _ in range(5))
    rate = 2 * block.numel() / copy  # read and written
    del block, other
    boxes = random_boxes(10_000, seed=2, device="cuda")
    kept = PairTable.empty(10_000, 10_000, device="cuda")
    tabulate(boxes, out=kept)
    spent = statistics.median(seconds(lambda: tabulate(boxes, out=kept)) for _ in range(5))
    floor = len(boxes) ** 2 * BYTES_A_PAIR / rate
    print(
        f"all pairs of 10000 on cuda: {spent * 1e3:.2f} ms, {spent / floor:.1f} x the floor: "
        f"{floor * 1e3:.2f} ms to write the bytes at {rate / 1e12:.2f} TB/s"
    )
    without_a_table(100_000, device="cuda")


def main() -> None:
    """Check, then time both by turns; then what is beyond the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000, help="objects of the comparison")
    parser.add_argument("--many", type=int, default=100_000, help="objects without a table")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    options = parser.parse_args()
    torch.set_num_threads(2)
    # First, while the process is small: memory that was given back could hide what is taken.
    without_a_table(options.many)
    ratio = against_the_loop(options.objects, options.rounds)
    scale()
    if torch.cuda.is_available():
        on_cuda()
    print(f"ratio = {ratio:.0f}")


if __name__ == "__main__":
    main()

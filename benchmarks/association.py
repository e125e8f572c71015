"""Which of 200 objects each of 50 sightings is of, 2,000 points each: one pass, or pair by pair.

The peer is what ConceptGraphs and HOV-SG do, with a k-d tree in place of faiss, which is slower for
so few points: a tree of each object, since objects change with every frame, and for each pair the
share of the sighting's points that have a neighbour in the object within a radius. It is timed as
it stands, and with pairs passed over whose boxes are apart, as ConceptGraphs does.

Ours brings the sightings into cells, finds all shares in both directions at once, and adds the
cells to the table of what is known, which it keeps instead of trees.

Before anything is timed, the shares must be those that a loop over sets of cells finds. Shares by
radius are another definition; how far the two agree is printed.

Run: python benchmarks/association.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.spatial import cKDTree

from groundplane.spatial.mapping.cells import VOXELS_A_CELL, Cells, Meeting, meet
from groundplane.spatial.mapping.voxels import Voxels

VOXEL = 0.025
CELL = VOXEL * VOXELS_A_CELL
THRESHOLD = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """Points of objects and of sightings of some of them."""

    known: list[np.ndarray]
    seen: list[np.ndarray]


def make_world(num_known: int, num_seen: int, points: int, *, seed: int = 0) -> World:
    """Boxes of furniture's size on three floors of rooms, seen again with a centimetre of noise."""
    draw = np.random.default_rng(seed)
    middles = draw.uniform(0, 1, (num_known, 3)) * (16, 12, 2.5)
    sizes = draw.uniform(0.3, 1.5, (num_known, 3))
    known = [surface(points, size, draw) + at for size, at in zip(sizes, middles, strict=True)]
    again = draw.permutation(num_known)[:num_seen]
    seen = [surface(points, sizes[k], draw) + middles[k] for k in again]
    return World(
        known=[cloud.astype(np.float32) for cloud in known],
        seen=[(cloud + draw.normal(0, 0.01, cloud.shape)).astype(np.float32) for cloud in seen],
    )


def surface(points: int, size: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Points on the three faces of a box that a camera sees."""
    cloud = draw.uniform(-0.5, 0.5, (points, 3))
    area = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
    cloud[np.arange(points), draw.choice(3, points, p=area / area.sum())] = 0.5
    return cloud * size


class Peer:
    """Trees of all objects, and a query for each pair."""

    def __init__(self, world: World, radius: float, *, boxes: bool) -> None:
        self._world, self._radius, self._boxes = world, radius, boxes

    def __call__(self) -> np.ndarray:
        """Share of each sighting's points that have a neighbour in each object."""
        trees = [cKDTree(cloud) for cloud in self._world.known]
        bounds = [(cloud.min(axis=0), cloud.max(axis=0)) for cloud in self._world.known]
        shares = np.zeros((len(self._world.seen), len(trees)))
        for i, cloud in enumerate(self._world.seen):
            low, high = cloud.min(axis=0) - self._radius, cloud.max(axis=0) + self._radius
            for j, tree in enumerate(trees):
                if self._boxes and ((bounds[j][1] < low) | (bounds[j][0] > high)).any():
                    continue
                found, _ = tree.query(cloud, distance_upper_bound=self._radius)
                shares[i, j] = np.isfinite(found).mean()
        return shares


class Ours:
    """The table of what is known is kept from frame to frame; sightings come as points."""

    def __init__(self, world: World, device: str) -> None:
        self.known = Cells.of(voxels_of(world.known, device), voxel=VOXEL)
        self._points, self._owners = columns(world.seen, device)
        self._sizes = (len(world.seen), len(world.known))

    def __call__(self) -> Meeting:
        """Shares in both directions; and the table with the sightings in it."""
        voxels = Voxels.of(self._points, owners=self._owners, size=VOXEL)
        cells, moved = Cells.grids(voxels, voxel=VOXEL)
        shares = meet(moved, self.known, num_seen=self._sizes[0], num_known=self._sizes[1])
        self.known.joined(cells)
        return shares


def columns(clouds: list[np.ndarray], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All points in one column, and whose they are."""
    counts = torch.tensor([len(cloud) for cloud in clouds])
    owners = torch.arange(len(clouds)).repeat_interleave(counts)
    return torch.from_numpy(np.concatenate(clouds)).to(device), owners.to(device)


def voxels_of(clouds: list[np.ndarray], device: str) -> Voxels:
    """The voxels of clouds, owned by their places in the list."""
    points, owners = columns(clouds, device)
    return Voxels.of(points, owners=owners, size=VOXEL)


def plain_shares(world: World) -> tuple[np.ndarray, np.ndarray]:
    """The shares of cells that meet, by a loop over pairs of sets."""
    known = [plain_cells(cloud, moved=False) for cloud in world.known]
    seen = [plain_cells(cloud, moved=True) for cloud in world.seen]
    first, second = np.zeros((2, len(seen), len(known)))
    for i, moved in enumerate(seen):
        around = {
            (x + dx, y + dy, z + dz)
            for (x, y, z), (dx, dy, dz) in product(moved, product((0, 1), repeat=3))
        }
        for j, cells in enumerate(known):
            touched = around & cells
            if touched:
                back = {
                    (x - dx, y - dy, z - dz)
                    for (x, y, z), (dx, dy, dz) in product(touched, product((0, 1), repeat=3))
                }
                first[i, j] = len(back & moved) / len(moved)
                second[i, j] = len(touched) / len(cells)
    return first, second


def plain_cells(cloud: np.ndarray, *, moved: bool) -> set[tuple[int, ...]]:
    """The cells of a cloud, by way of the means of its voxels."""
    own = torch.zeros(len(cloud), dtype=torch.long)
    means = Voxels.of(torch.from_numpy(cloud), owners=own, size=VOXEL).means.numpy()
    shift = VOXELS_A_CELL // 2 if moved else 0
    cells = (np.floor(means / np.float32(VOXEL)).astype(int) - shift) // VOXELS_A_CELL
    return {tuple(cell) for cell in cells.tolist()}


def check(ours: Meeting, world: World) -> None:
    """Stop where a share differs."""
    for mine, plain in zip((ours.of_seen, ours.of_known), plain_shares(world), strict=True):
        if not np.allclose(mine.cpu().numpy(), plain, rtol=0, atol=1e-6):
            raise SystemExit("the shares differ: not timed")


def seconds(work: Callable[[], object], device: str) -> float:
    """How long work takes, the card's part included."""
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Check, then time both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known", type=int, default=200)
    parser.add_argument("--seen", type=int, default=50)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = make_world(options.known, options.seen, options.points)
    ours = Ours(world, options.device)
    check(ours(), world)
    radius = 0.75 * CELL
    pairs, boxed = Peer(world, radius, boxes=False), Peer(world, radius, boxes=True)
    theirs, mine = pairs(), ours().of_seen.cpu().numpy()
    print(f"{options.known} objects, {options.seen} sightings, {options.points} points: equal")
    same = ((theirs >= THRESHOLD) == (mine >= THRESHOLD)).mean()
    off = np.abs(theirs - mine)[(theirs > 0) | (mine > 0)].mean()
    print(f"against shares within {radius * 100:.1f} cm: {same:.2%} of pairs on the same side of")
    print(f"{THRESHOLD}; where either is above 0 they are {off:.3f} apart on average")
    work: dict[str, Callable[[], object]] = {"ours": ours, "peer": pairs, "peer, boxes": boxed}
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(options.rounds):
        for name, run in work.items():
            repeats = 10 if name == "ours" else 1
            times[name] += [seconds(run, options.device) for _ in range(repeats)]
    median = {name: statistics.median(each) * 1e3 for name, each in times.items()}
    for name, milliseconds in median.items():
        print(f"{name}: {milliseconds:.1f} ms")
    ratios = {name: median[name] / median["ours"] for name in ("peer, boxes", "peer")}
    print(f"pairs whose boxes are apart passed over: ratio = {ratios['peer, boxes']:.1f}")
    print(f"all pairs: ratio = {ratios['peer']:.1f}")


if __name__ == "__main__":
    main()

"""A map from a long walk without its detector: lifting, association and the room, frame by frame.

A furnished room is walked through and rendered once, 640 by 480; pictures with many things are
looked at again and again, forwards and backwards, until there are 2,000 of them. The true ids stand
for what a detector and a segmenter would find. Timed is what comes after: regions become points and
boxes, these become objects, and the room's outline is gathered. Memory is read along the way.

The peer is the plain way, for some of the frames: each mask is unprojected over the full picture
with numpy, brought to voxels with `numpy.unique`, and compared with each object of its label by a
k-d tree; points of the room are gathered likewise. Its map must have the same objects, and 95 % of
the points of each within five centimetres of our box, before anything is printed.

Times are of the processor, which other programs on the machine do not change, as long as there is
one thread; wall-clock time is printed beside them.

Run: python benchmarks/mapping.py (needs the extra `render`)
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import torch
from scipy.spatial import cKDTree

from groundplane.core.camera import Frame
from groundplane.core.masks import decode, encode
from groundplane.core.regions import Regions
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.lifting import Lifter
from groundplane.spatial.mapping.room import RoomBuilder
from groundplane.testing.rooms.making import make_room

VOXEL = 0.025
LEAST_PIXELS = 300


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A frame and what is seen in it."""

    frame: Frame
    regions: Regions


def make_shots(seed: int, size: tuple[int, int], least: int) -> list[Shot]:
    """Pictures of a walk with at least so many regions."""
    room = make_room(seed)
    names = {thing.id: thing.label for thing in room.objects}
    shots = []
    for number, shot in enumerate(room.shots(step=8, size=size)):
        regions = regions_of(shot.ids, names, number)
        if len(regions) >= least:
            shots.append(Shot(frame=shot.frame(), regions=regions))
    return shots


def regions_of(ids: np.ndarray, names: dict[int, str], number: int) -> Regions:
    """The true regions of a picture."""
    counts = np.bincount(ids.ravel())
    found = [id for id in np.flatnonzero(counts >= LEAST_PIXELS).tolist() if id in names]
    phrases = tuple(sorted(set(names.values())))
    boxes = []
    for id in found:
        rows, columns = np.nonzero(ids == id)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return Regions(
        ids=tuple(f"{number}:{id}" for id in found),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.full((len(found),), 0.9),
        phrases=phrases,
        phrase_ids=torch.tensor([phrases.index(names[id]) for id in found], dtype=torch.long),
        image_size=(ids.shape[1], ids.shape[0]),
        masks=tuple(encode(ids == id) for id in found),
    )


class Ours:
    """Lifter, map builder and room builder."""

    def __init__(self) -> None:
        self.lifter, self.builder, self.room = Lifter(), MapBuilder(), RoomBuilder()

    def add(self, shot: Shot) -> None:
        """Take in a frame."""
        sightings = self.lifter.lift(shot.regions, shot.frame)
        self.builder.add(sightings, frame=shot.frame)
        self.room.add(shot.frame)

    def map(self) -> CognitiveMap:
        """The map so far."""
        return self.builder.freeze(name="walk", room=self.room.room())


class Peer:
    """Loops over masks and pairs, in numpy."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.clouds: list[np.ndarray] = []
        self.room = np.zeros((0, 3))

    def add(self, shot: Shot) -> None:
        """Take in a frame."""
        points = unprojected(shot.frame)
        self.room = thinned(np.concatenate([self.room, points[::4, ::4].reshape(-1, 3)]), 0.05)
        for mask, label in zip(shot.regions.masks or (), shot.regions.labels(), strict=True):
            cloud = points[decode(mask)]
            cloud = thinned(cloud[np.isfinite(cloud).all(axis=1)], VOXEL)
            k = self._same(cloud, label)
            if k is None:
                self.labels.append(label)
                self.clouds.append(cloud)
            else:
                self.clouds[k] = thinned(np.concatenate([self.clouds[k], cloud]), VOXEL)

    def _same(self, cloud: np.ndarray, label: str) -> int | None:
        """The object with most points near those of a sighting."""
        shares = [0.0] * len(self.clouds)
        for k, known in enumerate(self.clouds):
            if self.labels[k] == label:
                near, _ = cKDTree(known).query(cloud, distance_upper_bound=3 * VOXEL)
                back, _ = cKDTree(cloud).query(known, distance_upper_bound=3 * VOXEL)
                shares[k] = max(np.isfinite(near).mean(), np.isfinite(back).mean())
        return int(np.argmax(shares)) if max(shares, default=0) >= 0.3 else None


def unprojected(frame: Frame) -> np.ndarray:
    """A point in the world for each pixel; NaN where depth is unknown."""
    if frame.depth is None or frame.camera is None or frame.camera.T_world_cam is None:
        raise SystemExit("a frame has no depth or no pose: not timed")
    depth, K, pose = frame.depth.numpy(), frame.camera.K, frame.camera.T_world_cam
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    z = np.where(depth > 0, depth, np.nan)
    camera = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], axis=-1)
    return camera @ pose[:3, :3].T + pose[:3, 3]


def thinned(points: np.ndarray, voxel: float) -> np.ndarray:
    """The first point of each voxel."""
    points = points[np.isfinite(points).all(axis=1)]
    _, first = np.unique(np.floor(points / voxel), axis=0, return_index=True)
    return points[first]


def check(ours: CognitiveMap, peer: Peer) -> None:
    """Stop where the maps differ."""
    if sorted(ours.labels) != sorted(peer.labels):
        raise SystemExit(f"{len(ours)} objects but the peer has {len(peer.labels)}: not timed")
    boxes = ours.objects
    parts = (boxes.centers, boxes.axes, boxes.sizes)
    rows = list(zip(ours.labels, *(part.numpy() for part in parts), strict=True))
    for label, cloud in zip(peer.labels, peer.clouds, strict=True):
        within = [
            (np.abs((cloud - center) @ axes.T) <= size / 2 + 0.05).all(axis=1).mean()
            for name, center, axes, size in rows
            if name == label
        ]
        if max(within) < 0.95:
            raise SystemExit(f"a {label} stands elsewhere in the peer's map: not timed")


def megabytes() -> float:
    """Memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Walk, check, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--peer-frames", type=int, default=40)
    parser.add_argument("--room", type=int, default=5, help="seed of the room")
    parser.add_argument("--least", type=int, default=10, help="regions a frame shows at least")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shots = make_shots(options.room, (640, 480), options.least)
    regions = [len(shot.regions) for shot in shots]
    print(f"{len(shots)} pictures with {min(regions)} to {max(regions)} regions")
    some = list(islice(cycle([*shots, *shots[::-1]]), options.peer_frames))
    peer, ours = Peer(), Ours()
    theirs = walk(peer, some)[0]
    walk(ours, some)
    check(ours.map(), peer)
    mine = statistics.median(walk(Ours(), some)[0] for _ in range(3))
    whole, memory = Ours(), []
    long = list(islice(cycle([*shots, *shots[::-1]]), options.frames))
    tenth = max(1, len(long) // 10)
    rates = []
    for start in range(0, len(long), tenth):
        rates.append(walk(whole, long[start : start + tenth]))
        memory.append(megabytes())
    print("memory after each tenth, MB:", ", ".join(f"{used:.0f}" for used in memory))
    print("frames a second in each tenth:", ", ".join(f"{1 / cpu:.0f}" for cpu, _ in rates))
    print(f"peer: {1 / theirs:.1f} frames a second over {len(some)} frames, ours {1 / mine:.1f}")
    cpu, wall = (statistics.fmean(column) for column in zip(*rates, strict=True))
    print(
        f"ours over {len(long)} frames: {1 / cpu:.1f} a second of the processor, "
        f"{1 / wall:.1f} by the clock"
    )
    print(f"ratio = {theirs / mine:.2f}")


def walk(side: Ours | Peer, shots: list[Shot]) -> tuple[float, float]:
    """Seconds a frame: of the processor, and by the clock."""
    clock, start = time.perf_counter(), time.process_time()
    for shot in shots:
        side.add(shot)
    return (time.process_time() - start) / len(shots), (time.perf_counter() - clock) / len(shots)


if __name__ == "__main__":
    main()

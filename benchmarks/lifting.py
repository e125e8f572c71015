"""Lifting twenty masks of a 640 by 480 frame, against one mask at a time on the whole frame.

The peer is what scripts of posed RGB-D do: decode a mask to a picture, wear it away at the rim,
back-project the picture, take the mask's points, drop those of another depth, and fit a rectangle
and a height. It is numpy and shapely only. A second peer back-projects only the pixels that it
takes, as ConceptGraphs does; its ratio stands on the line before the last. Ours does more than
either, for it also looks for what hides the thing and says how sure the box is. Points and
rectangles are checked to be equal first.

All runs on one thread, that of BLAS too: its threads, waiting for one another on a machine with
other work, would make the peer ten times slower than it is. Times are of the processor, and the
sides take turns. The last line is the ratio.

Run: python benchmarks/lifting.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import shapely
import torch
from numpy.typing import NDArray

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.masks import RleMask, decode, encode
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.lifting import Lifter, LiftingOptions
from groundplane.spatial.mapping.oriented import fit_uprights

NOISE = DepthNoise(base=0.001, quadratic=0.0025)
K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
# Camera 2.6 m above the floor, looking down by 26 degrees along y.
EYE, DOWN = np.array([0.0, -5, 2.6]), 0.45
TOLERANCE = 1e-4  # metres, float32 against float64

Pixels = NDArray[np.float64]


def boxes_on_a_floor(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], Pixels]:
    """Depth, whose pixel each is, and the pose: twenty boxes in four rows, traced ray by ray."""
    rng = np.random.default_rng(seed)
    sizes = 0.8 * rng.uniform([0.3, 0.3, 0.3], [1.0, 0.8, 0.8], (20, 3))
    x, y = np.tile(np.linspace(-2.2, 2.2, 5), 4), np.repeat(np.linspace(-2.5, 2, 4), 5)
    centers, yaws = np.column_stack([x, y, sizes[:, 2] / 2]), rng.uniform(-np.pi, np.pi, 20)
    pose = np.eye(4)
    pose[:3, 1] = [0, -np.sin(DOWN), -np.cos(DOWN)]
    pose[:3, 2] = [0, np.cos(DOWN), -np.sin(DOWN)]
    pose[:3, 3] = EYE
    rays = picture_places() @ np.linalg.inv(K).T @ pose[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(rays[..., 2] < 0, -EYE[2] / rays[..., 2], np.inf)
        ids = np.full(depth.shape, -1)
        for k, yaw in enumerate(yaws):
            turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0]])
            turn = np.vstack([turn, [0, 0, 1]])
            start, way = turn @ (EYE - centers[k]), rays @ turn.T
            ends = (-sizes[k] / 2 - start) / way, (sizes[k] / 2 - start) / way
            enters, leaves = np.minimum(*ends).max(axis=-1), np.maximum(*ends).min(axis=-1)
            hit = (leaves >= enters) & (enters > 0) & (enters < depth)
            ids, depth = np.where(hit, k, ids), np.where(hit, enters, depth)
    depth = np.where(np.isfinite(depth), depth, 0)
    spread = NOISE.base + NOISE.quadratic * depth**2
    return (depth + rng.normal(size=depth.shape) * spread).astype(np.float32), ids, pose


def picture_places() -> Pixels:
    """Middles of pixels, homogeneous."""
    columns, rows = np.meshgrid(np.arange(640) + 0.5, np.arange(480) + 0.5)
    return np.stack([columns, rows, np.ones_like(rows)], axis=-1)


def lift_one(
    mask: RleMask, depth: NDArray[np.float32], pose: Pixels, options: LiftingOptions
) -> tuple[Pixels, float]:
    """The peer: points of one mask and the area of their rectangle."""
    core = worn(decode(mask))
    step = max(int(np.ceil(np.sqrt(core.sum() / options.points))), 1)
    u, v = np.meshgrid(np.arange(depth.shape[1]), np.arange(depth.shape[0]))
    core &= (u % step == step // 2) & (v % step == step // 2) & (depth > 0) & np.isfinite(depth)
    x = (u + 0.5 - K[0, 2]) / K[0, 0] * depth
    y = (v + 0.5 - K[1, 2]) / K[1, 1] * depth
    points = np.stack([x, y, depth], axis=-1).reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    points = points.reshape(*depth.shape, 3)[core]
    points = points[of_one_depth(depth[core], options)]
    rectangle = shapely.minimum_rotated_rectangle(shapely.multipoints(points[:, :2]))
    return points, float(rectangle.area)


def lift_few(
    mask: RleMask, depth: NDArray[np.float32], pose: Pixels, options: LiftingOptions
) -> tuple[Pixels, float]:
    """The second peer: as the first, but only pixels that are taken are back-projected."""
    core = worn(decode(mask))
    step = max(int(np.ceil(np.sqrt(core.sum() / options.points))), 1)
    v, u = np.nonzero(core)
    on = (u % step == step // 2) & (v % step == step // 2)
    v, u = v[on], u[on]
    z = depth[v, u]
    known = (z > 0) & np.isfinite(z)
    v, u, z = v[known], u[known], z[known]
    x = (u + 0.5 - K[0, 2]) / K[0, 0] * z
    y = (v + 0.5 - K[1, 2]) / K[1, 1] * z
    points = np.column_stack([x, y, z]) @ pose[:3, :3].T + pose[:3, 3]
    points = points[of_one_depth(z, options)]
    rectangle = shapely.minimum_rotated_rectangle(shapely.multipoints(points[:, :2]))
    return points, float(rectangle.area)


def worn(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without its rim; a thin one as it is."""
    core = mask.copy()
    core[:, 1:] &= mask[:, :-1]
    core[:, :-1] &= mask[:, 1:]
    core[:, [0, -1]] = False
    core[1:] &= mask[:-1]
    core[:-1] &= mask[1:]
    return core if core.sum() >= 0.25 * mask.sum() else mask


def of_one_depth(depth: NDArray[np.float32], options: LiftingOptions) -> NDArray[np.bool_]:
    """Depths that hang together."""
    bins = np.floor(np.log(depth) / np.float32(options.gap)).astype(np.int64)
    bins -= bins.min()
    counts = np.bincount(bins)
    filled = counts >= max(0.005 * depth.size, 1)
    piece = np.cumsum(filled & ~np.append(False, filled[:-1])) - 1
    masses = np.bincount(piece[filled], weights=counts[filled])
    kept = (masses == masses.max()) | (masses >= options.piece_share * counts.sum())
    good: NDArray[np.bool_] = filled[bins] & kept[piece[bins]]
    return good


def check(regions: Regions, frame: Frame, peer: list[tuple[Pixels, float]]) -> None:
    """Points and rectangles of both must be equal."""
    seen = Lifter().lift(regions, frame)
    parts = torch.split(seen.points, seen.counts.tolist())
    boxes = fit_uprights(seen.points.numpy(), seen.counts.numpy())
    for part, (points, area), size in zip(parts, peer, boxes.sizes, strict=True):
        same = len(part) == len(points)
        if not same or np.abs(np.sort(part.numpy(), 0) - np.sort(points, 0)).max() > TOLERANCE:
            raise SystemExit("points differ from those of the peer: not timed")
        if abs(size[0] * size[1] - area) > TOLERANCE:
            raise SystemExit(f"a rectangle of {size[0] * size[1]} m2, the peer has {area}")


def seconds(work: Callable[[], object]) -> float:
    """How long work takes the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Check, then time both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each side is timed")
    options, defaults = parser.parse_args(), LiftingOptions()
    torch.set_num_threads(1)
    depth, ids, pose = boxes_on_a_floor(3)
    masks = tuple(encode(ids == k) for k in range(20))
    regions = Regions(
        ids=tuple(map(str, range(20))), boxes=torch.zeros(20, 4), scores=torch.ones(20),
        phrases=("box",), phrase_ids=torch.zeros(20, dtype=torch.long), image_size=(640, 480),
        masks=masks,
    )  # fmt: skip
    black = Image(
        pixels=np.zeros((480, 640, 3), dtype=np.uint8),
        source=Source(name="traced", content_hash=""),
        frame_map=FrameMap.identity(),
    )
    camera = Camera(K=K, T_world_cam=pose)
    frame = Frame(image=black, camera=camera, depth=torch.from_numpy(depth), noise=NOISE)
    for peer in (lift_one, lift_few):
        check(regions, frame, [peer(mask, depth, pose, defaults) for mask in masks])
    lifter, whole, few, fast = Lifter(), [], [], []
    for _ in range(options.rounds):
        whole.append(seconds(lambda: [lift_one(mask, depth, pose, defaults) for mask in masks]))
        few.append(seconds(lambda: [lift_few(mask, depth, pose, defaults) for mask in masks]))
        fast += [seconds(lambda: lifter.lift(regions, frame)) for _ in range(10)]
    told = {"peer, whole pictures": whole, "peer, taken pixels": few, "ours": fast}
    for name, times in told.items():
        median = 1e3 * statistics.median(times)
        print(f"{name}: {median:.2f} ms a frame (least {1e3 * min(times):.2f})")
    ours = statistics.median(fast)
    print(f"taken pixels alone: ratio = {statistics.median(few) / ours:.1f}")
    print(f"ratio = {statistics.median(whole) / ours:.1f}")


if __name__ == "__main__":
    main()

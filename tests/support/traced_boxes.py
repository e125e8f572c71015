"""Pictures of boxes on a floor, traced ray by ray: depth, whose pixel each is, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.masks import encode
from groundplane.core.regions import Regions

K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
CLEAN = DepthNoise()


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What a camera sees, and what is there."""

    depth: np.ndarray
    ids: np.ndarray
    pose: np.ndarray
    centers: np.ndarray
    sizes: np.ndarray
    yaws: np.ndarray

    def frame(self, noise: DepthNoise = CLEAN, depth: np.ndarray | None = None) -> Frame:
        return frame_of(self.depth if depth is None else depth, self.pose, noise=noise)

    def regions(self, *, masks: bool = True) -> Regions:
        return regions_of([self.ids == k for k in range(len(self.sizes))], masks=masks)


def frame_of(depth: np.ndarray, pose: np.ndarray | None, *, noise: DepthNoise, K=K) -> Frame:
    """A frame with a black picture."""
    image = Image(
        pixels=np.zeros((*depth.shape, 3), dtype=np.uint8),
        source=Source(name="traced", content_hash=""),
        frame_map=FrameMap.identity(),
    )
    camera = Camera(K=K, T_world_cam=pose)
    return Frame(image=image, camera=camera, depth=torch.from_numpy(depth), noise=noise)


def regions_of(shapes: list[np.ndarray], *, masks: bool = True) -> Regions:
    """Regions of boolean pictures of one size."""
    boxes = []
    for shape in shapes:
        rows, columns = np.nonzero(shape)
        ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        boxes.append(ends if rows.size else [0, 0, 0, 0])
    height, width = shapes[0].shape
    return Regions(
        ids=tuple(f"r{k}" for k in range(len(shapes))),
        boxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.full((len(shapes),), 0.5),
        phrases=("box",),
        phrase_ids=torch.zeros(len(shapes), dtype=torch.long),
        image_size=(width, height),
        masks=tuple(encode(shape) for shape in shapes) if masks else None,
    )


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The pose of an upright camera."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(forward, right), forward, eye])
    return pose


def trace(
    centers: np.ndarray, sizes: np.ndarray, yaws: np.ndarray, pose: np.ndarray, size=(480, 640)
) -> Traced:
    """Boxes on the floor z = 0 as a camera sees them."""
    columns, rows = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    rays = pixels @ np.linalg.inv(K).T @ pose[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = -pose[2, 3] / rays[..., 2]
        depth, ids = np.where(floor > 0, floor, np.inf), np.full(size, -1)
        for k, (center, extent, yaw) in enumerate(zip(centers, sizes, yaws, strict=True)):
            turn = turn_of(yaw)
            start, way = turn @ (pose[:3, 3] - center), rays @ turn.T
            ends = (-extent / 2 - start) / way, (extent / 2 - start) / way
            enters, leaves = np.minimum(*ends).max(-1), np.maximum(*ends).min(-1)
            hit = (leaves >= enters) & (enters > 0) & (enters < depth)
            ids, depth = np.where(hit, k, ids), np.where(hit, enters, depth)
    depth = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
    return Traced(depth=depth, ids=ids, pose=pose, centers=centers, sizes=sizes, yaws=yaws)


def turn_of(yaw: float) -> np.ndarray:
    """Rows are the axes of a box turned about the vertical."""
    return np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])


def one_box(rng: np.random.Generator) -> Traced:
    """A box of the size of furniture, seen from some metres and from above."""
    size = rng.uniform([0.3, 0.3, 0.3], [1.5, 1.0, 0.8])
    size[:2] = np.sort(size[:2])[::-1]
    around, far = rng.uniform(-np.pi, np.pi), rng.uniform(2.2, 4.5)
    eye = np.array([far * np.cos(around), far * np.sin(around), rng.uniform(1.5, 2.2)])
    pose = look_at(eye, np.array([0, 0, 0.5]) + rng.normal(size=3) * 0.1)
    return trace(np.array([[0, 0, size[2] / 2]]), size[None], rng.uniform(-np.pi, np.pi, 1), pose)


def twenty_boxes(seed: int = 3) -> Traced:
    """Twenty boxes in rows, as a desk or a shop shows."""
    rng = np.random.default_rng(seed)
    sizes = 0.8 * rng.uniform([0.3, 0.3, 0.3], [1.0, 0.8, 0.8], (20, 3))
    x, y = np.tile(np.linspace(-2.2, 2.2, 5), 4), np.repeat(np.linspace(-2.5, 2, 4), 5)
    pose = look_at(np.array([0, -5, 2.6]), np.array([0, 0, 0.2]))
    centers = np.column_stack([x, y, sizes[:, 2] / 2])
    return trace(centers, sizes, rng.uniform(-np.pi, np.pi, 20), pose)

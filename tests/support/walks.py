"""Frames of a walk past a wall with known points, for tests of captures."""

from __future__ import annotations

import numpy as np
import torch

from groundplane.captures.poses import from_axis_angles
from groundplane.core.camera import Camera, Frame
from groundplane.core.image import FrameMap, Image, Source

SIZE = (48, 36)
K = np.array([[40.0, 0, 23.3], [0, 41.5, 18.9], [0, 0, 1.0]])
POINTS = np.array([[0.3, 3.0, 1.2], [-0.8, 2.5, 0.4], [0.0, 4.0, 2.0], [1.1, 3.3, 0.9]])
# Camera axes of one who stands upright and looks along y, in a world with z up.
_AHEAD = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])


def walk(count: int = 3, *, size=SIZE, seed: int = 0) -> list[Frame]:
    """Frames whose cameras differ in all that a pose has; depth holes are 0."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        pose = np.eye(4)
        turn = from_axis_angles(rng.normal(0, 0.3, (1, 3)))[0]
        pose[:3, :3] = _AHEAD @ turn
        pose[:3, 3] = rng.normal((0, 0, 1.4), 0.5)
        depth = rng.integers(300, 6000, (size[1], size[0])) / 1000
        depth[0, :3] = 0
        frames.append(
            Frame(
                image=Image(
                    pixels=rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8),
                    source=Source(name=f"{index}", content_hash=str(index)),
                    frame_map=FrameMap.identity(),
                ),
                index=index,
                time=index / 10,
                camera=Camera(K=K * [[size[0] / 48], [size[1] / 36], [1]], T_world_cam=pose),
                depth=torch.tensor(depth, dtype=torch.float32),
            )
        )
    return frames


def seen(camera: Camera, points=POINTS) -> np.ndarray:
    """Where a camera sees points of the world, pixels."""
    pose = np.linalg.inv(camera.T_world_cam)
    inside = points @ pose[:3, :3].T + pose[:3, 3]
    flat = inside @ camera.K.T
    return flat[:, :2] / flat[:, 2:]

"""Lifting of a rendered living room: a chair stays what it is from frame to frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from scipy.spatial import cKDTree

from groundplane.core.camera import DepthNoise, Frame
from groundplane.spatial.mapping.lifting import Lifter
from tests.support.traced_boxes import frame_of, regions_of

# The world of the capture is its first camera's, y down; ours has z up.
UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
# Half a pixel on top of the file's principal point: our pixels begin at their corner.
K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
# Where the chair is in pictures in which it is whole, by hand (in the first frame the seat hides an
# armrest); frames to either side differ by
# up to 40 degrees of view.
CHAIR = {
30: (257, 116, 503, 408), 150: (230, 169, 435, 459),
    165: (246, 153, 474, 446), 180: (234, 91, 502, 411), 210: (187, 110, 456, 434),
}  # fmt: skip
# Beside it are a curtain and a cabinet, behind it is a wall, below it the floor.
LOW, HIGH = np.array([0.1, 1.1, -0.3]), np.array([0.85, 1.95, 0.6])


def living_room(folder: Path, index: int) -> Frame:
    frames = json.loads((folder / "poses.json").read_text())["frames"]
    pose = UP @ next(np.array(f["camera_to_world"]) for f in frames if f["index"] == index)
    with Pictures.open(folder / "depth" / f"{index:05d}.png") as picture:
        depth = np.asarray(picture).astype(np.float32) / 1000
    return frame_of(depth, pose, noise=DepthNoise(base=0.001), K=K)


def points_of(frame: Frame) -> np.ndarray:
    depth, pose = frame.depth.numpy(), frame.camera.T_world_cam
    rows, columns = np.indices(depth.shape)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(depth.shape)], axis=-1)
    return depth[..., None] * (pixels @ np.linalg.inv(K).T) @ pose[:3, :3].T + pose[:3, 3]


def chair_of(frame: Frame, box: tuple[int, ...]) -> np.ndarray:
    """The chair's pixels: in the box by hand, and in front of the wall."""
    points = points_of(frame)
    shape = np.zeros(points.shape[:2], dtype=bool)
    shape[box[1] : box[3], box[0] : box[2]] = True
    return shape & ((points > LOW) & (points < HIGH)).all(axis=2)


@pytest.fixture(scope="module")
def folder(data_dir) -> Path:
    return data_dir / "rgbd" / "livingroom1"


def test_a_chair_has_one_box_in_all_frames(folder):
    frames = {index: living_room(folder, index) for index in CHAIR}
    seen = [
        Lifter().lift(regions_of([chair_of(frame, CHAIR[index])]), frame)
        for index, frame in frames.items()
    ]
    low, high = (torch.cat(ends) for ends in zip(*(s.boxes.hull() for s in seen), strict=True))
    middles, sizes = (low + high) / 2, high - low
    assert (middles - middles.median(dim=0).values).abs().max() < 0.05
    assert (sizes / sizes.median(dim=0).values - 1).abs().max() < 0.1


def test_a_surface_seen_from_several_places_lies_in_one(folder):
    wall = np.zeros((480, 640), dtype=bool)
    wall[40:200, 330:600] = True
    parts = [
        Lifter().lift(regions_of([wall]), living_room(folder, index)).points.numpy()
        for index in (0, 15, 165)
    ]
    for part in parts[1:]:
        # Points of a grid lie some way apart: distance along the wall's normal, from its plane.
        away, near = cKDTree(parts[0]).query(part, k=8)
        close = away[:, -1] < 0.1
        assert close.sum() > 200
        around = parts[0][near[close]]
        middle = around.mean(axis=1, keepdims=True)
        normal = np.linalg.svd(around - middle)[2][:, 2]
        off = np.abs(((part[close] - middle[:, 0]) * normal).sum(axis=1))
        assert np.median(off) < 0.01

"""Faces of lifted boxes: what pixels leave out is added, what noise sticks out is taken off."""

from __future__ import annotations

import numpy as np
import pytest

from groundplane.core.camera import Camera, DepthNoise
from groundplane.spatial.mapping.faces import Sampling, faces_of
from groundplane.spatial.mapping.oriented import fit_uprights
from tests.support.traced_boxes import CLEAN, K, look_at

CAMERA = Camera(K=K, T_world_cam=look_at(np.array([0.0, -3, 0.5]), np.array([0.0, 0, 0.5])))
PIXEL = 3 / 525


def sampling(*, strides: int = 1, lost: int = 0) -> Sampling:
    return Sampling(strides=np.array([strides]), lost=np.array([lost]), outline=np.array([0.5]))


def wall(step: float = PIXEL) -> np.ndarray:
    """A face that is looked at straight on, as many points as pixels that far apart."""
    rng = np.random.default_rng(0)
    x, z = rng.random((2, round(1 / step**2)))
    return np.column_stack([x - 0.5, 0 * x, z]).astype(np.float32)


def faces(points: np.ndarray, *, noise: DepthNoise = CLEAN, sampled: Sampling | None = None):
    counts = np.array([len(points)])
    boxes = fit_uprights(points, counts)
    found = faces_of(points, counts, boxes, CAMERA, noise=noise, sampling=sampled or sampling())
    return boxes, found


def test_erosion_is_given_back_to_ends_and_not_to_what_is_looked_at():
    boxes, found = faces(wall(), sampled=sampling(lost=2))
    across = int(np.abs(boxes.axes[0, :2, 0]).argmax())
    assert found.shift[0, across] == pytest.approx(2.1 * PIXEL, rel=0.25)
    assert found.shift[0, 2] == pytest.approx(2.1 * PIXEL, rel=0.25)
    assert found.shift[0, 1 - across] == pytest.approx(0, abs=1e-4)


def test_a_coarser_grid_is_less_sure():
    fine, coarse = (
        faces(wall(k * PIXEL), sampled=sampling(strides=k))[1].variance[0, 2, 1] for k in (1, 4)
    )
    assert coarse > 3 * fine > 0


def test_noise_along_the_ray_is_taken_off_along_the_ray_only():
    noise = DepthNoise(base=0.02)
    rng = np.random.default_rng(0)
    flat = wall()
    thick = flat + rng.normal(size=(len(flat), 1)) * np.float32([0, 0.02, 0])
    boxes, found = faces(thick.astype(np.float32), noise=noise)
    along = int(np.abs(boxes.axes[0, :2, 1]).argmax())
    thickness = boxes.sizes[0] + found.shift[0].sum(axis=1)
    assert boxes.sizes[0, along] > 0.1
    assert thickness[along] < 0.06
    assert thickness[2] == pytest.approx(1, abs=0.02)
    assert found.variance[0, along].min() > 10 * found.variance[0, 2].max()


def test_no_points_have_no_faces():
    none = np.zeros((0, 3), dtype=np.float32)
    empty = np.zeros(0, dtype=np.int64)
    boxes = fit_uprights(none, empty)
    nothing = Sampling(strides=empty, lost=empty, outline=np.zeros(0))
    found = faces_of(none, empty, boxes, CAMERA, noise=DepthNoise(), sampling=nothing)
    assert found.shift.shape == found.variance.shape == (0, 3, 2)

"""Lifting: boxes of traced scenes come back, error bars hold, and nothing is dropped unsaid."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from groundplane.core.camera import Camera, DepthNoise
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.masks import decode
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.lifting import Lifter, LiftingOptions
from tests.support.traced_boxes import (
    K,
    Traced,
    frame_of,
    look_at,
    one_box,
    regions_of,
    trace,
    turn_of,
    twenty_boxes,
)

CASES = int(os.environ.get("GROUNDPLANE_CASES", "12"))
KINECT = DepthNoise(base=0.001, quadratic=0.0025)


def plain_points(mask, depth: np.ndarray, pose: np.ndarray, budget: int) -> np.ndarray:
    """The reference: one mask at a time, the whole picture each time."""
    full = decode(mask)
    core = full.copy()
    core[:, 1:] &= full[:, :-1]
    core[:, :-1] &= full[:, 1:]
    core[:, [0, -1]] = False
    core[1:] &= full[:-1]
    core[:-1] &= full[1:]
    core = core if core.sum() >= 0.25 * full.sum() else full
    step = max(int(np.ceil(np.sqrt(core.sum() / budget))), 1)
    rows, columns = np.indices(depth.shape)
    core &= (rows % step == step // 2) & (columns % step == step // 2) & (depth > 0)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(depth.shape)], axis=-1)
    points = depth[..., None] * (pixels @ np.linalg.inv(K).T) @ pose[:3, :3].T + pose[:3, 3]
    return points[core]


def errors_of(scene: Traced, noise: DepthNoise, *, masks: bool, rng) -> tuple[np.ndarray, ...]:
    """Centre and size off the truth, and by how many standard deviations."""
    depth = torch.from_numpy(scene.depth)
    off = torch.from_numpy(rng.normal(size=depth.shape).astype(np.float32)) * noise.sigma(depth)
    depth = torch.where(depth > 0, depth * (1 + noise.common * rng.normal()) + off, depth)
    frame = scene.frame(noise, depth.float().numpy())
    seen = Lifter().lift(scene.regions(masks=masks), frame)
    first = seen.boxes.axes[0, 0].numpy()
    along = np.abs(turn_of(scene.yaws[0])[:2] @ first)
    size = scene.sizes[0][[1, 0, 2]] if along[1] > along[0] else scene.sizes[0]
    got = torch.cat([seen.boxes.centers[0], seen.boxes.sizes[0]]).numpy()
    off = got - np.concatenate([scene.centers[0], size])
    return off, off / np.sqrt(seen.boxes.covariance[0].diagonal().numpy())


@pytest.mark.parametrize("noise", [DepthNoise(), KINECT], ids=["clean", "kinect"])
def test_boxes_come_back_and_error_bars_hold(noise):
    rng = np.random.default_rng(0)
    found = [errors_of(one_box(rng), noise, masks=True, rng=rng) for _ in range(CASES)]
    off, scaled = (np.array(column) for column in zip(*found, strict=True))
    assert (np.abs(off.mean(axis=0)) < 0.03).all()  # metres; rests of both signs cancel
    assert (np.sqrt((off**2).mean(axis=0)) < 0.035).all()
    # Over many boxes each of the six lies within 90 % intervals in 83 to 100 % of cases.
    assert (np.abs(scaled) < 1.645).mean() > 0.85


def test_a_scale_that_a_frame_shares_is_in_the_error_bar():
    rng = np.random.default_rng(1)
    noise = DepthNoise(base=0.002, common=0.03)
    found = [errors_of(one_box(rng), noise, masks=True, rng=rng)[1] for _ in range(CASES)]
    assert (np.abs(np.array(found)[:, :2]) < 1.645).mean() > 0.6  # few draws, 0.9 of many


def test_boxes_without_masks_lose_the_floor_and_keep_the_thing():
    rng = np.random.default_rng(2)
    found = [errors_of(one_box(rng), DepthNoise(), masks=False, rng=rng)[0] for _ in range(CASES)]
    assert (np.median(np.abs(found), axis=0) < 0.05).all()


def test_points_are_those_of_the_plain_way():
    scene = twenty_boxes()
    regions = scene.regions()
    seen = Lifter(LiftingOptions(points=300)).lift(regions, scene.frame())
    parts = torch.split(seen.points, seen.counts.tolist())
    for mask, part in zip(regions.masks, parts, strict=True):
        wanted = plain_points(mask, scene.depth, scene.pose, 300)
        # Depths that next to no pixel has are left out; all others are met to float32's digits.
        assert 0.97 * len(wanted) <= len(part) <= len(wanted)
        assert cKDTree(wanted).query(part.numpy())[0].max() < 1e-5
        assert len(part.unique(dim=0)) == len(part)


def test_what_the_border_cuts_is_told_and_less_sure_on_that_side():
    pose = look_at(np.array([0.0, -3, 1.5]), np.array([0.0, 0, 0.5]))
    size = np.array([[1.0, 0.5, 0.8]])
    whole = trace(np.array([[0.0, 0, 0.4]]), size, np.zeros(1), pose)
    cut = trace(np.array([[1.7, 0, 0.4]]), size, np.zeros(1), pose)
    one, two = (Lifter().lift(s.regions(), s.frame()) for s in (whole, cut))
    assert (one.truncated.tolist(), two.truncated.tolist()) == ([False], [True])
    axis = int(two.boxes.axes[0, :2, 0].abs().argmax())
    spread = two.boxes.covariance[0].diagonal().sqrt()
    assert spread[3 + axis] > 0.4 * two.boxes.sizes[0, axis]
    assert spread[5] < 0.1 * two.boxes.sizes[0, 2]
    # What goes on to the right moves centre and size together.
    assert two.boxes.covariance[0, 0, 3 + axis] > 0


def test_what_hides_a_thing_is_told_and_the_floor_before_it_hides_nothing():
    pose = look_at(np.array([0.0, -3, 1.2]), np.array([0.0, 0, 0.4]))
    centers = np.array([[0.0, 0, 0.4], [0.5, -1.0, 0.35]])
    sizes = np.array([[1.2, 0.5, 0.8], [0.5, 0.2, 0.7]])
    scene = trace(centers, sizes, np.zeros(2), pose)
    seen = Lifter().lift(scene.regions(), scene.frame())
    assert seen.occluded.tolist() == [True, False]
    alone = trace(centers[:1], sizes[:1], np.zeros(1), pose)
    assert Lifter().lift(alone.regions(), alone.frame()).occluded.tolist() == [False]


def test_what_shines_through_the_rim_of_a_mask_is_dropped():
    depth = np.full((60, 80), 4.0, dtype=np.float32)
    depth[20:40, 20:50] = 2.0
    shape = np.zeros(depth.shape, dtype=bool)
    shape[20:40, 20:52] = True
    frame = frame_of(depth, np.eye(4), noise=DepthNoise())
    seen = Lifter().lift(regions_of([shape]), frame)
    assert seen.points[:, 2].unique().tolist() == [2.0]


def test_holes_and_infinities_are_no_points_and_regions_without_depth_are_named():
    depth = np.full((40, 40), 2.0, dtype=np.float32)
    depth[:20] = 0
    depth[20:25, :] = np.inf
    depth[25:28, :] = np.nan
    shapes = [np.zeros((40, 40), dtype=bool) for _ in range(3)]
    shapes[0][2:18, 2:18] = True
    shapes[1][10:38, 5:30] = True
    shapes[2][30:32, 30:33] = True
    frame = frame_of(depth, np.eye(4), noise=DepthNoise())
    seen = Lifter().lift(regions_of(shapes), replace(frame, index=7), features=torch.eye(3))
    assert seen.region_ids == ("7:r1",)
    assert seen.features.tolist() == [[0, 1, 0]]
    assert seen.points.isfinite().all()
    assert seen.pixels.tolist() == [28 * 25]
    assert [name for name, _ in seen.dropped] == ["7:r0", "7:r2"]
    assert "has a depth" in seen.dropped[0][1]
    assert "8 are needed" in seen.dropped[1][1]


def test_a_thin_mask_is_not_worn_away():
    depth = np.full((60, 60), 2.0, dtype=np.float32)
    shape = np.zeros(depth.shape, dtype=bool)
    shape[5:55, 30:32] = True
    seen = Lifter().lift(regions_of([shape]), frame_of(depth, np.eye(4), noise=DepthNoise()))
    assert seen.counts.tolist() == [100]


def test_no_regions_and_an_empty_mask_give_no_sightings():
    frame = frame_of(np.ones((8, 8), dtype=np.float32), np.eye(4), noise=DepthNoise())
    none = Lifter().lift(Regions.empty(phrases=["a"], image_size=(8, 8)), frame)
    assert (len(none), none.points.shape, none.dropped) == (0, (0, 3), ())
    shape = np.zeros((8, 8), dtype=bool)
    shape[0, 0] = True
    regions = regions_of([shape])
    empty = replace(regions, masks=(replace(regions.masks[0], counts=b"P2"),))
    assert "no pixel" in Lifter().lift(empty, frame).dropped[0][1]


def test_a_frame_without_geometry_and_regions_of_another_picture_are_refused():
    frame = frame_of(np.ones((8, 8), dtype=np.float32), np.eye(4), noise=DepthNoise())
    none = Regions.empty(phrases=["a"], image_size=(8, 8))
    with pytest.raises(InputError, match="frame 0 has no depth"):
        Lifter().lift(none, replace(frame, depth=None))
    with pytest.raises(InputError, match="no intrinsics and no a pose"):
        Lifter().lift(none, replace(frame, camera=None))
    with pytest.raises(InputError, match="no a pose"):
        Lifter().lift(none, replace(frame, camera=Camera(K=K)))
    with pytest.raises(ShapeError, match="picture of"):
        Lifter().lift(replace(none, image_size=(9, 8)), frame)
    with pytest.raises(ShapeError, match="0 regions but 2 rows"):
        Lifter().lift(none, frame, features=torch.ones(2, 3))
    with pytest.raises(InputError, match="erosion"):
        LiftingOptions(erosion=-1)
    with pytest.raises(InputError, match="gap"):
        LiftingOptions(gap=float("nan"))

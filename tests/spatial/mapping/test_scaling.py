"""Relative depth brought to metres, in scenes whose true depth is written down."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import UNKNOWN_SHIFT
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.scale_references import KnownDistance, Reference, of_objects
from groundplane.spatial.mapping.scaling import (
    DepthScale,
    Scaler,
    ScalingOptions,
    common_scale,
    find_scale,
    scaled,
)
from groundplane.testing.detectors import make_image

WIDTH, HEIGHT, FOCAL = 160, 120, 120.0
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
IMAGE = make_image(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
CAMERA_HEIGHT, TILT, WALL = 1.4, 15.0, 5.0


def room(tilt=TILT, wall=WALL, things=()):
    """True depth of a floor, a wall, and upright faces `(y, x0, x1, z0, z1)`, and the pose."""
    t = math.radians(tilt)
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, -math.sin(t), math.cos(t)], [0, -math.cos(t), -math.sin(t)]]
    pose[2, 3] = CAMERA_HEIGHT
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        floor = np.where(rays[..., 2] < 0, -CAMERA_HEIGHT / rays[..., 2], np.inf)
    depth = np.minimum(floor, np.where(rays[..., 1] > 0, wall / rays[..., 1], np.inf))
    for y, x0, x1, z0, z1 in things:
        at = y / rays[..., 1]
        x, z = rays[..., 0] * at, CAMERA_HEIGHT + rays[..., 2] * at
        hit = (x0 <= x) & (x <= x1) & (z0 <= z) & (z <= z1) & (at > 0)
        depth = np.where(hit & (at < depth), at, depth)
    return depth, pose


def relative(depth, *, factor=1.0, shift=0.0, pose=None, affine=True):
    """The frame that a network with an unknown factor and shift would tell."""
    disparity = (1 / depth - shift) / factor
    assert (disparity > 0).all(), "the scene does not fit the shift"
    return Frame(
        image=IMAGE,
        camera=Camera(K=K, T_world_cam=pose),
        depth=torch.from_numpy((1 / disparity).astype(np.float32)),
        scale="relative",
        notes=("before", UNKNOWN_SHIFT) if affine else ("before",),
    )


def regions_of(boxes, labels, *, masks=None):
    phrases = tuple(dict.fromkeys(labels))
    return Regions(
        ids=tuple(f"r{i}" for i in range(len(boxes))),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(len(boxes)),
        phrases=phrases,
        phrase_ids=torch.tensor([phrases.index(word) for word in labels], dtype=torch.long),
        image_size=(WIDTH, HEIGHT),
        masks=masks,
    )


def worst(frame, depth):
    known = (frame.depth > 0).numpy()
    assert known.mean() > 0.9
    return np.abs(frame.depth.numpy()[known] / depth[known] - 1).max()


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 100), st.floats(-0.3, 0.15), st.floats(5, 40))
def test_the_height_of_the_camera_tells_factor_and_shift(factor, shift, tilt):
    depth, pose = room(tilt=tilt, things=[(3.0, -0.5, 0.5, 0, 0.8)])
    frame = relative(depth, factor=factor, shift=shift, pose=pose)
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
    assert told.scale == "metric"
    assert worst(told, depth) < 0.02
    assert told.notes == ("before", "depth scaled by the camera height of 1.40 m")


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 100), st.floats(5, 40))
def test_the_height_of_the_camera_tells_the_factor_alone(factor, tilt):
    # A table top and a cupboard are levels too, above the floor.
    depth, pose = room(tilt=tilt, things=[(3.0, -0.5, 0.5, 0, 0.8)])
    frame = relative(depth, factor=factor, pose=pose, affine=False)
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
    assert worst(told, depth) < 0.01


def test_noise_of_the_depth_moves_the_scale_by_little():
    depth, pose = room(things=[(3.0, -0.5, 0.5, 0, 0.8)])
    noisy = depth * np.exp(np.random.default_rng(0).normal(0, 0.02, depth.shape))
    frame = relative(noisy, factor=7.0, shift=0.1, pose=pose)
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
    assert np.median(np.abs(told.depth.numpy() / depth - 1)) < 0.05


def test_the_way_up_can_be_told_instead_of_a_pose():
    depth, pose = room()
    frame = relative(depth, factor=3.0)
    up = tuple(pose[2, :3].tolist())
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT, up=up)).scale(frame)
    assert worst(told, depth) < 0.02
    with pytest.raises(InputError, match=r"no pose.*up=\(0, -1, 0\)"):
        Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)


def test_a_wrong_height_gives_a_wrong_scale():
    depth, pose = room()
    frame = relative(depth, factor=3.0, pose=pose)
    told = Scaler(ScalingOptions(camera_height=2 * CAMERA_HEIGHT)).scale(frame)
    assert worst(told, 2 * depth) < 0.02


def test_a_wall_that_fills_the_picture_is_no_floor():
    pose = room()[1]
    for affine in (True, False):
        frame = relative(np.full((HEIGHT, WIDTH), 2.0), pose=pose, affine=affine)
        told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
        assert told.scale == "relative" or not affine
    frame = relative(np.full((HEIGHT, WIDTH), 2.0), pose=pose)
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
    assert told.depth is frame.depth
    assert told.notes[-1] == "depth stays without unit: too little floor was seen"


@pytest.mark.parametrize("affine", [True, False])
def test_the_top_of_a_bed_is_no_floor_where_the_floor_is_seen_below_it(affine):
    depth, pose = room()
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T @ pose[:3, :3].T
    top = np.where(rays[..., 2] < 0, -(CAMERA_HEIGHT - 0.6) / rays[..., 2], np.inf)
    depth = np.where((u < 152) & (top < depth), top, depth)  # a strip of floor beside the bed
    frame = relative(depth, factor=3.0, pose=pose, affine=affine)
    told = Scaler(ScalingOptions(camera_height=CAMERA_HEIGHT)).scale(frame)
    assert told.scale == "relative"
    assert told.notes[-1] == "depth stays without unit: too little floor was seen"


def test_a_door_of_known_height_tells_the_factor():
    # Straight ahead, 4 m away, 2 m high: 60 pixels.
    frame = relative(np.full((HEIGHT, WIDTH), 4.0), factor=9.0, affine=False)
    regions = regions_of([[50.0, 30.0, 80.0, 90.0]], ["Door "])
    told = Scaler(ScalingOptions(known={"door": 2.0})).scale(frame, regions)
    assert torch.allclose(told.depth, torch.tensor(4.0), rtol=1e-5)
    assert told.notes[-1] == "depth scaled by the height of the Door (2.00 m)"
    assert told.noise.common == pytest.approx(math.hypot(0.05, 2 / 60))


def test_two_things_at_unlike_distances_tell_the_shift_too():
    depth = np.full((HEIGHT, WIDTH), 4.0)
    depth[:, 80:] = 2.0
    frame = relative(depth, factor=9.0, shift=0.2)
    regions = regions_of([[10, 30, 60, 90], [90, 30, 120, 90]], ["door", "chair"])
    # 60 pixels high: 2 m at 4 m, 1 m at 2 m.
    told = Scaler(ScalingOptions(known={"door": 2.0, "chair": 1.0})).scale(frame, regions)
    assert worst(told, depth) < 1e-4
    assert told.noise.common < 0.06


def test_one_thing_leaves_the_shift_open_and_says_so():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0), factor=9.0, shift=0.1)
    regions = regions_of([[50, 30, 80, 90]], ["door"])
    told = Scaler(ScalingOptions(known={"door": 2.0})).scale(frame, regions)
    assert told.notes[-1] == "what is much nearer or farther than that is less sure"
    assert told.noise.common > 0.2
    assert UNKNOWN_SHIFT not in told.notes


def test_the_mask_says_where_the_thing_is():
    depth = np.full((HEIGHT, WIDTH), 8.0)
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[30:90, 50:54] = True  # a narrow thing: the middle of its box shows the wall behind
    depth[mask] = 4.0
    regions = regions_of([[50, 30, 80, 90]], ["lamp"], masks=(encode(mask),))
    frame = relative(depth, factor=3.0, affine=False)
    told = Scaler(ScalingOptions(known={"lamp": 2.0})).scale(frame, regions)
    assert worst(told, depth) < 1e-4


def test_a_thing_that_leaves_the_picture_is_passed_over():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    whole, cut = [50.0, 30.0, 80.0, 90.0], [50.0, 0.0, 80.0, 90.0]
    assert len(of_objects(frame, regions_of([whole], ["door"]), {"door": 2.0})) == 1
    assert of_objects(frame, regions_of([cut], ["door"]), {"door": 2.0}) == []
    # Cut above, its width is whole.
    assert len(of_objects(frame, regions_of([cut], ["door"]), {"door": 1.0}, side="width")) == 1
    told = Scaler(ScalingOptions(known={"door": 2.0})).scale(frame, regions_of([cut], ["door"]))
    assert told.notes[-1] == "depth stays without unit: no whole door was seen"


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 5, 5], [500, 30, 600, 90]])
def test_a_box_that_shows_nothing_is_no_reference(box):
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    assert of_objects(frame, regions_of([box], ["door"]), {"door": 2.0}) == []


def test_a_measured_distance_is_along_the_ray():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0), factor=5.0, affine=False)
    # Its middle is 60 pixels right of the picture's: half a metre a metre.
    box = (130.0, 50.0, 150.0, 70.0)
    metres = 4.0 * math.hypot(1.0, 0.5)
    told = Scaler(ScalingOptions(distances=(KnownDistance(box=box, metres=metres),))).scale(frame)
    assert torch.allclose(told.depth, torch.tensor(4.0), rtol=1e-5)
    assert f"depth scaled by a known distance of {metres:.2f} m" in told.notes


def test_a_distance_to_where_nothing_is_known_is_told():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    away = KnownDistance(box=(500.0, 0.0, 600.0, 9.0), metres=1.0)
    with pytest.raises(InputError, match="no depth in the box"):
        Scaler(ScalingOptions(distances=(away,))).scale(frame)


def test_things_that_contradict_each_other_are_told():
    near = Reference(inverse=0.2, disparity=2.0, error=0.05, what="a")
    far = Reference(inverse=0.4, disparity=1.0, error=0.05, what="b")
    found = find_scale([near, far], affine=True)
    assert found.shift == 0
    assert any("contradicts itself" in note for note in found.notes)
    assert found.error > 0.5


def test_metric_frames_and_frames_without_depth_stay_as_they_are():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    scaler = Scaler(ScalingOptions(camera_height=1.0))
    for kept in (replace(frame, scale="metric"), replace(frame, depth=None)):
        assert scaler.scale(kept) is kept


def test_nothing_known_stays_without_unit_and_says_so():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    told = Scaler(ScalingOptions()).scale(frame)
    assert told.scale == "relative"
    assert "nothing of known size, distance or height was given" in told.notes[-1]


def test_unknown_depth_stays_unknown_and_what_falls_behind_the_camera_becomes_so():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    depth = frame.depth.clone()
    depth[0, :3] = torch.tensor([0.0, 100.0, 2.0])
    told = scaled(replace(frame, depth=depth), DepthScale(factor=1.0, shift=-0.1))
    assert told.depth[0, :2].tolist() == [0.0, 0.0]
    assert float(told.depth[0, 2]) == pytest.approx(1 / 0.4)
    assert told.notes[-1] == "1 pixels are too far to tell after scaling"


def test_noise_keeps_its_meaning():
    frame = relative(np.full((HEIGHT, WIDTH), 4.0), affine=False)
    noise = DepthNoise(base=0.1, linear=0.02, quadratic=0.01, common=0.03)
    frame = replace(frame, noise=noise)
    told = scaled(frame, DepthScale(factor=0.5, error=0.04))
    assert torch.allclose(told.noise.sigma(told.depth), 2 * noise.sigma(frame.depth))
    assert told.noise.common == pytest.approx(0.05)


def test_a_shift_makes_an_error_count_as_it_does():
    frame = replace(relative(np.full((HEIGHT, WIDTH), 4.0)), noise=DepthNoise(linear=0.01))
    scale = DepthScale(factor=1.0, shift=-0.125)  # 4 becomes 8
    moved = 1 / (1 / 4.04 - 0.125) / 8.0 - 1
    assert scaled(frame, scale).noise.linear == pytest.approx(moved, rel=0.02)


def test_frames_of_one_reconstruction_share_a_scale_and_their_poses_have_it():
    scales = [DepthScale(factor=f, error=0.05, notes=("n",)) for f in (0.5, 0.51, 0.49, 5.0)]
    shared = common_scale(scales)
    assert shared.factor == pytest.approx(0.505, rel=0.01)
    assert 0.05 < shared.error < 0.1
    depth, pose = room()
    told = scaled(relative(depth, pose=pose), DepthScale(factor=0.5), with_pose=True)
    assert told.camera.T_world_cam[:3, 3].tolist() == [0.0, 0.0, 2 * CAMERA_HEIGHT]
    assert pose[2, 3] == CAMERA_HEIGHT, "the frame's own pose was changed"


def test_a_shift_is_shared_by_no_frames_and_no_pose():
    shifted = DepthScale(factor=1.0, shift=0.1)
    with pytest.raises(InputError, match="share a unit"):
        common_scale([shifted])
    with pytest.raises(InputError, match="without shift"):
        scaled(relative(np.full((HEIGHT, WIDTH), 4.0)), shifted, with_pose=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DepthScale(factor=0.0),
        lambda: DepthScale(factor=1.0, shift=math.nan),
        lambda: DepthScale(factor=1.0, error=-1.0),
        lambda: ScalingOptions(camera_height=-1.0),
        lambda: ScalingOptions(camera_height=math.nan),
        lambda: ScalingOptions(error=2.0),
        lambda: KnownDistance(box=(0.0, 0.0, 1.0, 1.0), metres=0.0),
        lambda: KnownDistance(box=(1.0, 0.0, 1.0, 1.0), metres=1.0),
        lambda: KnownDistance(box=(0.0, 0.0, math.nan, 1.0), metres=1.0),
        lambda: find_scale(
            [Reference(inverse=0.0, disparity=1.0, error=0.1, what="x")], affine=False
        ),
    ],
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("metres", [0.0, -2.0, math.nan, math.inf])
def test_sizes_that_nothing_has_are_refused(metres):
    frame = relative(np.full((HEIGHT, WIDTH), 4.0))
    with pytest.raises(InputError, match="the height of 'door'"):
        of_objects(frame, regions_of([[50, 30, 80, 90]], ["door"]), {"door": metres})


def test_missing_intrinsics_are_told():
    frame = replace(relative(np.full((HEIGHT, WIDTH), 4.0)), camera=None)
    regions = regions_of([[50, 30, 80, 90]], ["door"])
    with pytest.raises(InputError, match="no intrinsics"):
        Scaler(ScalingOptions(known={"door": 2.0})).scale(frame, regions)

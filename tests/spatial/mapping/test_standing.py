"""Things put on a floor; the referee is where they were put."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.geometry import FLOOR_ONLY
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.standing import stand_on_floor
from groundplane.testing.detectors import make_image

SIZE, HEIGHT = (160, 120), 1.4
K = np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1.0]])
IMAGE = make_image(np.zeros((120, 160, 3), dtype=np.uint8))


def floor(tilt=20.0):
    t = math.radians(tilt)
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, -math.sin(t), math.cos(t)], [0, -math.cos(t), -math.sin(t)]]
    pose[2, 3] = HEIGHT
    u, v = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    fall = -(np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T @ pose[2, :3])
    depth = np.where(fall > 0.05, HEIGHT / np.maximum(fall, 0.05), 0.0)
    return Frame(
        image=IMAGE,
        camera=Camera(K=K, T_world_cam=pose),
        depth=torch.from_numpy(depth.astype(np.float32)),
        notes=(FLOOR_ONLY,),
    )


def project(frame, points):
    pose = frame.camera.T_world_cam
    seen = (np.asarray(points) - pose[:3, 3]) @ pose[:3, :3] @ K.T
    return seen[:, :2] / seen[:, 2:], seen[:, 2]


def regions_of(boxes, labels=("chair",), masks=None):
    return Regions(
        ids=tuple(f"r{i}" for i in range(len(boxes))),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(len(boxes)),
        phrases=tuple(dict.fromkeys(labels)),
        phrase_ids=torch.tensor([0] * len(boxes), dtype=torch.long),
        image_size=SIZE,
        masks=masks,
    )


def point(frame, u, v):
    pose, z = frame.camera.T_world_cam, float(frame.depth[v, u])
    ray = np.linalg.inv(K) @ [u + 0.5, v + 0.5, 1.0]
    return pose[:3, :3] @ (ray * z) + pose[:3, 3]


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(2.5, 5.0), st.floats(0.4, 1.2), st.floats(10, 30))
def test_a_thing_is_as_far_as_its_foot_and_as_high_as_it_looks(x, y, tall, tilt):
    frame = floor(tilt)
    corners = [(x - 0.2, y, 0), (x + 0.2, y, 0), (x - 0.2, y, tall), (x + 0.2, y, tall)]
    seen, _ = project(frame, corners)
    box = [*seen.min(axis=0), *seen.max(axis=0)]
    if box[3] >= 118:
        return
    told = stand_on_floor(frame, regions_of([box]))
    u, bottom, top = round((box[0] + box[2]) / 2), round(box[3]) - 1, round(box[1])
    low, high = point(told, u, bottom), point(told, u, min(top + 1, bottom))
    # Boxes are rounded to whole pixels, of which one is some centimetres of floor.
    assert abs(low[1] - y) < 0.06 * y
    assert abs(high[2] - tall) < 0.12
    assert abs(high[1] - low[1]) < 0.02 * y


def test_the_mask_says_where_the_foot_is():
    frame = floor()
    mask = np.zeros((120, 160), dtype=bool)
    mask[50:90, 60:64] = True
    mask[50:60, 60:100] = True  # an arm to the right, high above the floor
    told = stand_on_floor(frame, regions_of([[60, 50, 100, 90]], masks=(encode(mask),)))
    ray = np.linalg.inv(K) @ [62.0, 90.0, 1.0]
    pose = frame.camera.T_world_cam
    way = pose[:3, :3] @ ray
    foot = way * HEIGHT / -way[2]
    assert point(told, 61, 89)[1] == pytest.approx(foot[1], rel=0.02)
    # Beside the mask the floor is seen as before.
    assert told.depth[70, 80] > 0
    assert told.depth[70, 80] == frame.depth[70, 80]


def test_the_nearer_thing_stands_before_the_farther():
    near, far = [40.0, 60.0, 100.0, 110.0], [60.0, 50.0, 120.0, 90.0]
    for boxes in ([near, far], [far, near]):
        told = stand_on_floor(floor(), regions_of(boxes))
        assert float(told.depth[80, 80]) == pytest.approx(float(told.depth[80, 50]), rel=0.05)
        assert float(told.depth[80, 110]) > 1.2 * float(told.depth[80, 80])


@pytest.mark.parametrize(
    "box",
    [
        [40.0, 40.0, 60.0, 120.0],  # its foot is out of the picture
        [40.0, 0.0, 60.0, 10.0],  # it hangs above the horizon
        [200.0, 10.0, 220.0, 50.0],  # it is not in the picture at all
    ],
)
def test_a_thing_without_a_foot_on_the_floor_gets_no_depth_and_is_named(box):
    frame = floor()
    told = stand_on_floor(frame, regions_of([box]))
    x0, y0, x1, y1 = (int(min(v, m)) for v, m in zip(box, (160, 120, 160, 120), strict=True))
    assert (told.depth[y0:y1, x0:x1] == 0).all()
    assert told.notes[-1] == "no foot on the floor was seen of: chair"


def test_other_frames_and_no_things_are_left_as_they_are():
    frame = floor()
    assert stand_on_floor(frame, regions_of([])) is frame
    measured = replace(frame, notes=())
    assert stand_on_floor(measured, regions_of([[1.0, 1, 5, 90]])) is measured


def test_the_frames_own_depth_is_not_changed():
    frame = floor()
    before = frame.depth.clone()
    stand_on_floor(frame, regions_of([[40.0, 60, 100, 110]]))
    assert torch.equal(frame.depth, before)


def test_a_floor_without_pose_is_refused():
    frame = replace(floor(), camera=Camera(K=K))
    with pytest.raises(InputError, match="no pose"):
        stand_on_floor(frame, regions_of([[40.0, 60, 100, 110]]))

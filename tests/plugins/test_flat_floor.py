"""Depth of a flat floor; the referee casts each ray by itself in the plain way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import groundplane
from groundplane.core.errors import InputError
from groundplane.core.geometry import FLOOR_ONLY
from groundplane.plugins.flat_floor import FlatFloorGeometry, FlatFloorOptions
from groundplane.testing.detectors import make_image
from groundplane.testing.geometry import GeometryContract, make_frame


def blank(width=40, height=30):
    return make_image(np.zeros((height, width, 3), dtype=np.uint8))


def told(image=None, frame=None, **options):
    expert = FlatFloorGeometry(FlatFloorOptions(**options))
    return expert.estimate([frame or make_frame(image or blank())])[0]


class TestContract(GeometryContract):
    @pytest.fixture
    def geometry(self):
        return groundplane.load(
            "geometry", "flat-floor", device="cpu", height="1.4", tilt="20", fov="60"
        )


class TestContractWithIntrinsicsOfTheFrame(GeometryContract):
    @pytest.fixture
    def geometry(self):
        return FlatFloorGeometry(FlatFloorOptions(height=1.4, tilt=20.0))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 10), st.floats(-30, 90), st.floats(-180, 180), st.floats(30, 120))
def test_every_known_pixel_lies_on_the_floor_and_unknown_ones_see_none(height, tilt, roll, fov):
    frame = told(height=height, tilt=tilt, roll=roll, fov=fov, tilt_error=1.0)
    pose, K = frame.camera.T_world_cam, frame.camera.K
    worst = 0.5 * height / max(math.radians(1.0), 0.5 / K[1, 1])
    for v in range(0, 30, 3):
        for u in range(0, 40, 3):
            ray = np.linalg.inv(K) @ [u + 0.5, v + 0.5, 1.0]
            z = float(frame.depth[v, u])
            if z > 0:
                point = pose[:3, :3] @ (ray * z) + pose[:3, 3]
                assert abs(point[2]) < 1e-4 * max(1.0, z)
            else:
                fall = -(pose[:3, :3] @ ray)[2]
                assert fall <= 0 or height / fall > worst * (1 - 1e-9)


def test_a_level_camera_sees_the_floor_from_its_middle_down():
    frame = told(height=1.5, tilt=0.0, focal=100.0, tilt_error=0.0)
    assert (frame.depth[:15] == 0).all()
    # The middle of the last row is 14.5 pixels below the horizon.
    assert frame.depth[29].tolist() == pytest.approx([1.5 * 100 / 14.5] * 40)


def test_a_camera_that_looks_straight_down_is_as_far_from_the_floor_as_it_is_high():
    frame = told(height=2.0, tilt=90.0, fov=60.0)
    assert torch.allclose(frame.depth, torch.tensor(2.0), rtol=1e-6)


def test_a_camera_rolled_clockwise_sees_the_floor_on_its_right():
    frame = told(height=1.5, tilt=0.0, roll=90.0, fov=60.0)
    # Its right side is where down was: the right half shows the floor.
    assert (frame.depth[:, :20] == 0).all()
    assert (frame.depth[:, 30:] > 0).all()


def test_the_pose_is_above_the_origin_and_looks_along_y_and_down():
    frame = told(height=1.4, tilt=20.0, fov=60.0)
    pose = frame.camera.T_world_cam
    assert pose[:3, 3].tolist() == [0.0, 0.0, 1.4]
    forward = pose[:3, 2]
    assert forward.tolist() == pytest.approx(
        [0.0, math.cos(math.radians(20)), -math.sin(math.radians(20))]
    )
    assert frame.scale == "metric"
    assert FLOOR_ONLY in frame.notes
    assert "1.4 m below a camera tilted down by 20 degrees" in frame.notes[1]


def test_an_error_of_the_tilt_counts_with_the_square_of_the_depth():
    sure = told(height=1.4, tilt=30.0, fov=60.0, tilt_error=1.0)
    other = told(height=1.4, tilt=31.0, fov=60.0, tilt_error=1.0)
    depth = sure.depth[10:, 20]
    moved = (depth - other.depth[10:, 20]).abs()
    share = moved / sure.noise.sigma(depth)
    # A step of one degree, to first order: right at the horizon, too large close by.
    assert 0.8 < float(share[0]) < 1.3
    assert 0.5 < float(share[-1]) < 1.0


def test_an_error_of_the_height_is_common_to_all():
    frame = told(height=1.4, tilt=30.0, fov=60.0, tilt_error=0.0, height_error=0.1)
    assert frame.noise.common == pytest.approx(0.1)
    assert frame.noise.quadratic == 0


def test_a_camera_that_looks_up_sees_no_floor_and_says_so():
    frame = told(height=1.4, tilt=-60.0, fov=40.0)
    assert (frame.depth == 0).all()
    assert "no floor is seen: the camera looks too far up" in frame.notes


def test_the_intrinsics_of_the_frame_are_used_where_none_are_stated():
    frame = make_frame(blank(), needs=frozenset({"intrinsics"}))
    filled = told(frame=frame, height=1.4, tilt=20.0)
    assert (filled.camera.K == frame.camera.K).all()
    stated = told(frame=frame, height=1.4, tilt=20.0, focal=77.0)
    assert stated.camera.K[0, 0] == 77.0


def test_missing_intrinsics_are_told_with_what_to_do():
    with pytest.raises(InputError, match=r"frame 0 has no intrinsics.*fov=DEGREES"):
        told(height=1.4, tilt=20.0)


@pytest.mark.parametrize(("given_options", "missing"), [({"tilt": "3"}, "height"), ({}, "height")])
def test_missing_options_are_named(given_options, missing):
    with pytest.raises(InputError, match=missing):
        groundplane.load("geometry", "flat-floor", device="cpu", **given_options)


@pytest.mark.parametrize(
    "option",
    [
        {"height": 0.0},
        {"height": math.nan},
        {"height": math.inf},
        {"tilt": 100.0},
        {"roll": math.nan},
        {"fov": 180.0},
        {"focal": -1.0},
        {"height_error": 2.0},
        {"tilt_error": -1.0},
    ],
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=f"option {next(iter(option))}"):
        FlatFloorOptions(**{"height": 1.0, "tilt": 0.0, **option})


def test_two_ways_to_state_the_lens_are_refused():
    with pytest.raises(InputError, match="options fov and focal"):
        FlatFloorOptions(height=1.0, tilt=0.0, fov=60.0, focal=100.0)


def test_a_picture_without_pixels_stays_unknown():
    frame = told(blank(0, 0), height=1.0, tilt=10.0, fov=60.0)
    assert frame.depth is None
    assert "no depth: the picture has no pixels" in frame.notes

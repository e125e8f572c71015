"""Coloured points of frames, one a cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.cloud import CloudKeeper
from groundplane.testing.detectors import make_image

K = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
# Camera z forward becomes world x; camera y down becomes world -z.
POSE = np.array([[0.0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 1.5], [0, 0, 0, 1]])


def _frame(depth: float = 2.0, *, posed: bool = True, color: int = 7) -> Frame:
    pixels = np.full((48, 64, 3), color, dtype=np.uint8)
    return Frame(
        image=make_image(pixels),
        camera=Camera(K=K, T_world_cam=POSE if posed else None),
        depth=torch.full((48, 64), depth),
    )


def test_points_lie_where_the_pixels_look() -> None:
    keeper = CloudKeeper(cell=0.001, stride=1)
    keeper.add(_frame())
    cloud = keeper.cloud()
    assert len(cloud) == 48 * 64
    assert np.allclose(cloud.points[:, 0], 3.0)
    # The middle of the first pixel is half a pixel inside of the picture.
    assert cloud.points[:, 1].max() == pytest.approx(2 + (32 - 0.5) / 50 * 2, abs=1e-5)
    assert cloud.points[:, 2].max() == pytest.approx(1.5 + (24 - 0.5) / 50 * 2, abs=1e-5)


def test_what_is_seen_again_is_not_doubled_and_keeps_its_color() -> None:
    keeper = CloudKeeper(stride=2)
    keeper.add(_frame(color=7))
    before = keeper.cloud()
    keeper.add(_frame(color=9))
    assert len(keeper.cloud()) == len(before)
    assert (keeper.cloud().colors == 7).all()


def test_the_number_of_points_is_bounded() -> None:
    keeper = CloudKeeper(cell=0.001, stride=1, most=500)
    keeper.add(_frame())
    assert 100 < len(keeper.cloud()) <= 500


def test_what_is_unknown_or_far_is_left_out() -> None:
    keeper = CloudKeeper(far=5.0)
    for depth in (0.0, 6.0, float("inf"), float("nan"), -1.0):
        keeper.add(_frame(depth))
    assert len(keeper.cloud()) == 0


def test_a_frame_without_a_pose_is_refused() -> None:
    with pytest.raises(InputError, match="frame 0 has no depth or no pose"):
        CloudKeeper().add(_frame(posed=False))
    with pytest.raises(InputError, match="above 0"):
        CloudKeeper(cell=0)

"""Upright faces become boxes as deep as may be, with what is not known of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.camera import Camera
from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.mapping.standing_depth import deepened

EYE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
CAMERA = Camera(K=np.eye(3), T_world_cam=EYE)


def faces(*, high=1.0, turn=0.0):
    """One face four metres ahead, turned with its camera about the origin."""
    c, s = np.cos(turn), np.sin(turn)
    spin = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return Boxes3D(
        centers=torch.tensor([[0.0, 4, high / 2]], dtype=torch.float64) @ spin.T,
        sizes=torch.tensor([[1.0, 0.01, high]], dtype=torch.float64),
        axes=(torch.eye(3, dtype=torch.float64) @ spin.T)[None],
    )


def test_the_near_side_stays_where_the_foot_is():
    box = deepened(faces(), CAMERA, by_distance=0.0)

    assert float(box.centers[0, 1] - box.sizes[0, 1] / 2) == pytest.approx(4 - 0.005)
    assert float(box.centers[0, 2] - box.sizes[0, 2] / 2) == pytest.approx(0.0)


@pytest.mark.parametrize("turn", [0.3, 2.0, 3.1, -1.2])
def test_sizes_and_their_error_bars_do_not_depend_on_where_the_camera_looks(turn):
    straight = deepened(faces(), CAMERA, by_distance=0.01)
    turned = deepened(faces(turn=turn), CAMERA, by_distance=0.01)

    assert torch.allclose(straight.sizes, turned.sizes)
    assert torch.allclose(
        straight.covariance[0].diagonal()[3:], turned.covariance[0].diagonal()[3:]
    )


def test_what_is_lower_than_the_camera_is_lower_than_its_face_and_what_is_higher_higher():
    assert float(deepened(faces(high=1.0), CAMERA, by_distance=0.0).sizes[0, 2]) < 1.0
    assert float(deepened(faces(high=2.0), CAMERA, by_distance=0.0).sizes[0, 2]) > 2.0


def test_a_wrong_tilt_counts_with_the_distance_and_adds_to_what_was_unsure():
    sure = deepened(faces(), CAMERA, by_distance=0.0).covariance[0]
    tilted = deepened(faces(), CAMERA, by_distance=0.02).covariance[0]
    before = replace(faces(), covariance=torch.eye(6, dtype=torch.float64)[None])
    added = deepened(before, CAMERA, by_distance=0.0).covariance[0]

    assert float(tilted[1, 1] - sure[1, 1]) == pytest.approx((4 * 4 * 0.02) ** 2)
    assert torch.allclose(added - sure, torch.eye(6, dtype=torch.float64))
    assert float(torch.linalg.eigvalsh(tilted).min()) >= -1e-9


def test_no_box_stays_none_and_no_pose_is_refused():
    assert len(deepened(faces()[torch.zeros(0, dtype=torch.long)], CAMERA, by_distance=0.0)) == 0
    with pytest.raises(InputError, match="expected a camera with a pose"):
        deepened(faces(), Camera(K=np.eye(3)), by_distance=0.0)

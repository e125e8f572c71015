"""The camera's height gives depth its unit in furnished rooms whose truth is known.

`GROUNDPLANE_ROOMS=1 python -m pytest -s tests/spatial/mapping/test_scaling_rooms.py` renders four
rooms and prints how many frames got their unit, and how far off depth is in the middle.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from groundplane.core.geometry import UNKNOWN_SHIFT
from groundplane.spatial.mapping.scaling import Scaler, ScalingOptions

pytestmark = pytest.mark.skipif(
    not os.environ.get("GROUNDPLANE_ROOMS"), reason="long form: set GROUNDPLANE_ROOMS"
)


def lowest(frame):
    """The height of the lowest thing seen."""
    pose, depth = frame.camera.T_world_cam, frame.depth.numpy()
    v, u = np.nonzero(depth > 0)
    rays = np.stack([u + 0.5, v + 0.5, np.ones(len(u))]) * depth[v, u]
    return float((pose[2, :3] @ np.linalg.inv(frame.camera.K) @ rays + pose[2, 3]).min())


@pytest.fixture(scope="module")
def rooms():
    making = pytest.importorskip("groundplane.testing.rooms.making")
    walks = [list(islice(making.make_room(seed).frames(step=25), 14)) for seed in (3, 5, 8, 11)]
    return [(walk, min(map(lowest, walk))) for walk in walks]


@pytest.mark.parametrize("affine", [True, False])
def test_no_bed_or_table_is_taken_for_the_floor(rooms, affine):
    errors, frames = [], [(frame, floor) for walk, floor in rooms for frame in walk]
    for frame, floor in frames:
        known = frame.depth > 0
        inverse = 1 / frame.depth.clamp(min=1e-3)
        shift = 0.3 * float(torch.quantile(inverse[known][::7], 0.01)) if affine else 0.0
        unknown = torch.where(known, 3.0 / (inverse - shift).clamp(min=1e-3), 0.0)
        asked = replace(
            frame,
            depth=unknown,
            scale="relative",
            notes=(UNKNOWN_SHIFT,) if affine else (),
        )
        height = float(frame.camera.T_world_cam[2, 3]) - floor
        told = Scaler(ScalingOptions(camera_height=height)).scale(asked)
        if told.scale == "metric":
            both = known & (told.depth > 0)
            errors.append(float((told.depth[both] / frame.depth[both] - 1).abs().median()))
    sys.stdout.write(f"\n{len(errors)} of {len(frames)}, error {np.median(errors):.2%}\n")
    assert len(errors) > len(frames) / 2
    assert max(errors) < 0.05

"""Depth networks on a CUDA device: the same depth as on the CPU, and it stays there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import groundplane
from groundplane.testing.checkpoints_depth import (
    save_depth_anything,
    save_depth_pro,
    save_zoedepth,
)
from groundplane.testing.detectors import make_image
from groundplane.testing.geometry import make_frame

SAVES = {
    "depth-anything": (lambda folder: save_depth_anything(folder, kind="metric"), 56),
    "depth-pro": (save_depth_pro, 64),
    "zoedepth": (save_zoedepth, 64),
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SAVES)
def test_depth_is_the_same_on_a_card(name, tmp_path):
    save, side = SAVES[name]
    folder = str(save(tmp_path / name))
    # Of the network's own size, where no filter stands between the two.
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    frames = [make_frame(make_image(pixels), index=i) for i in range(2)]
    here = groundplane.load("geometry", name, device="cpu", weights=folder).estimate(frames)
    there = groundplane.load(
        "geometry", name, device="cuda", dtype=torch.float32, weights=folder
    ).estimate(frames)
    for one, other in zip(here, there, strict=True):
        assert other.depth.is_cuda
        apart = (one.depth - other.depth.cpu()).abs() / one.depth.clamp(min=1e-3)
        # A card may sum in TF32.
        assert float(apart.median()) < 1e-2


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_nearly_the_same_depth_in_float32(name, dtype, tmp_path):
    save, side = SAVES[name]
    folder = str(save(tmp_path / name))
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    frame = make_frame(make_image(pixels))
    full, half = (
        groundplane.load("geometry", name, device="cpu", dtype=number, weights=folder).estimate(
            [frame]
        )[0]
        for number in (torch.float32, dtype)
    )
    assert half.depth.dtype == torch.float32
    apart = (full.depth - half.depth).abs() / full.depth.clamp(min=1e-3)
    # Eight bits of a number after several layers.
    assert 0 < float(apart.median()) < 2e-2

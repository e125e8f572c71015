"""The kernel, run by Triton's interpreter on the CPU, against the way over `grid_sample`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

_PROGRAM = """
import torch
import torch.nn.functional as F
from groundplane.grounding.deformable_triton import deformable_attention_triton

def plain(value, shapes, locations, weights):
    b, s, h, d = value.shape
    q, p = locations.shape[1], locations.shape[4]
    total = 0
    for level, part in enumerate(value.split([y * x for y, x in shapes], dim=1)):
        maps = part.permute(0, 2, 3, 1).reshape(b * h, d, *shapes[level])
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).reshape(b * h, q, p, 2)
        seen = F.grid_sample(maps, grid, align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(b * h, 1, q, p)
        total = total + (seen * share).sum(-1)
    return total.view(b, h * d, q).transpose(1, 2)

torch.manual_seed(0)
worst = 0.0
for batch, heads, channels, queries, points, shapes in [
    (2, 4, 8, 37, 4, [(6, 9), (3, 5), (2, 3)]),
    (1, 1, 16, 1, 1, [(1, 1)]),
    (1, 2, 32, 70, 2, [(1, 7), (5, 1), (2, 2), (1, 1)]),
]:
    rows = sum(y * x for y, x in shapes)
    value = torch.randn(batch, rows, heads, channels)
    # Some samples lie far outside, one by a share that overflows whole numbers.
    places = torch.rand(batch, queries, heads, len(shapes), points, 2) * 2 - 0.5
    places[0, 0, 0, 0, 0] = 1e12
    weights = torch.rand(batch, queries, heads, len(shapes), points)
    ours = deformable_attention_triton(value, shapes, places, weights)
    worst = max(worst, (ours - plain(value, shapes, places, weights)).abs().max().item())
print(worst)
"""


def test_the_kernel_equals_grid_sample() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Sums of up to 32 products in float32, in another order.
    assert float(done.stdout) < 1e-5

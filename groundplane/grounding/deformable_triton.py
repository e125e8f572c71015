# A kernel's arguments are pointers and compile-time constants; Python's types say nothing of them.
# ruff: noqa: ANN001, ANN202, PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, no-any-return"
"""Multi-scale deformable attention as one Triton kernel, for CUDA.

Each program takes a block of queries of one head: it reads the sampled corners of every level and
point straight from the value maps and sums them in float32. Nothing is materialised in between;
the way over `grid_sample` writes every sample out first.

Source: Zhu et al., Deformable DETR, 2021, equation 3; bilinear samples as `grid_sample` takes them
with `align_corners=False` and zeros outside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

__all__ = ["deformable_attention_triton"]


def _compiled(function: Callable[..., Any]) -> Any:
    """For the card: Triton reads the function's own source, not that of a check around it."""
    return triton.jit(inspect.unwrap(function))


# Queries of one program: with 32 channels a head a block of samples stays in registers.
_BLOCK = 32


@_compiled
def _corner(values, base, x, y, size, stride, inside, channels, weight):
    """One corner of each query's sample, times its weight; 0 outside the map."""
    height, width = size
    ok = inside & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    row = base + (y * width + x).to(tl.int64) * stride
    found = tl.load(values + row[:, None] + channels[None, :], mask=ok[:, None], other=0.0)
    return found.to(tl.float32) * weight[:, None]


@_compiled
def _sample(values, base, x, y, size, stride, inside, channels, share):
    """The bilinear samples of a block of queries at x, y in cells of one map."""
    height, width = size
    left, top = tl.floor(x), tl.floor(y)
    right, low = x - left, y - top
    # Far outside nothing is read, and the cast to whole numbers stays in range.
    seen = inside & (x > -1) & (y > -1) & (x < width) & (y < height)
    i = tl.where(seen, left, 0.0).to(tl.int32)
    j = tl.where(seen, top, 0.0).to(tl.int32)
    up, down = share * (1 - low), share * low
    total = _corner(values, base, i, j, size, stride, seen, channels, up * (1 - right))
    total += _corner(values, base, i + 1, j, size, stride, seen, channels, up * right)
    total += _corner(values, base, i, j + 1, size, stride, seen, channels, down * (1 - right))
    total += _corner(values, base, i + 1, j + 1, size, stride, seen, channels, down * right)
    return total


@_compiled
def _kernel(
    values,
    shapes,
    locations,
    weights,
    out,
    num_values,
    num_queries,
    HEADS: tl.constexpr,
    CHANNELS: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    head = tl.program_id(1) % HEADS
    image = (tl.program_id(1) // HEADS).to(tl.int64)
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = query < num_queries
    channels = tl.arange(0, CHANNELS)
    stride = HEADS * CHANNELS
    # Row of this query and head in tables of (image, query, head).
    row = (image * num_queries + query) * HEADS + head
    base = image * num_values * stride + head * CHANNELS
    total = tl.zeros([BLOCK, CHANNELS], dtype=tl.float32)
    for level in tl.static_range(LEVELS):
        size = shapes[level]
        for point in tl.static_range(POINTS):
            at = (row * LEVELS + level) * POINTS + point
            x = tl.load(locations + 2 * at, mask=inside, other=0.0).to(tl.float32)
            y = tl.load(locations + 2 * at + 1, mask=inside, other=0.0).to(tl.float32)
            share = tl.load(weights + at, mask=inside, other=0.0).to(tl.float32)
            x = x * size[1] - 0.5
            y = y * size[0] - 0.5
            total += _sample(values, base, x, y, size, stride, inside, channels, share)
        base += size[0] * size[1] * stride
    to = out + row[:, None] * CHANNELS + channels[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None])


def deformable_attention_triton(
    value: Float[Tensor, "b s h d"],
    shapes: Sequence[tuple[int, int]],
    locations: Float[Tensor, "b q h l p 2"],
    weights: Float[Tensor, "b q h l p"],
) -> Float[Tensor, "b q hd"]:
    """Sample value maps at the given places and sum them, weighted.

    Args:
        value: The maps of all levels one after the other, each row by row; d a power of two.
        shapes: Height and width of each level, cells.
        locations: x and y of each sample as a share of the level's width and height.
        weights: Of each sample; they need not sum to 1.

    Returns:
        h times d channels a query, in the dtype of `value`.
    """
    batch, num_values, heads, channels = value.shape
    num_queries = locations.shape[1]
    value, locations, weights = (t.contiguous() for t in (value, locations, weights))
    out = value.new_empty(batch, num_queries, heads * channels)
    _kernel[triton.cdiv(num_queries, _BLOCK), batch * heads](
        value,
        tuple((int(height), int(width)) for height, width in shapes),
        locations,
        weights,
        out,
        num_values,
        num_queries,
        HEADS=heads,
        CHANNELS=channels,
        LEVELS=len(shapes),
        POINTS=locations.shape[4],
        BLOCK=_BLOCK,
    )
    return out

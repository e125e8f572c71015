"""Multi-scale deformable attention, as fast as the device allows, without a compiler.

On CUDA it is the Triton kernel of `deformable_triton`. Elsewhere each query's samples are one bag
of rows in a table of all maps: four corners of each point with their weights. Summing weighted
bags of rows is a primitive of torch that runs at the speed of memory; `grid_sample` writes every
sample out first, one channel after the other.

Source: Zhu et al., Deformable DETR, 2021, equation 3; bilinear samples as `grid_sample` takes them
with `align_corners=False` and zeros outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor
from torch.nn.functional import embedding_bag

from groundplane.core.errors import ShapeError

__all__ = ["deformable_attention"]

# Samples (queries times heads times points) that are worked on at a time: what is written on the
# way stays in the cache of the processor.
_SAMPLES = 65_536


def deformable_attention(
    value: Float[Tensor, "b s h d"],
    shapes: Sequence[tuple[int, int]],
    locations: Float[Tensor, "b q h l p 2"],
    weights: Float[Tensor, "b q h l p"],
) -> Float[Tensor, "b q hd"]:
    """Sample value maps at the given places and sum them, weighted.

    Args:
        value: The maps of all levels one after the other, each row by row.
        shapes: Height and width of each level, cells.
        locations: x and y of each sample as a share of the level's width and height; outside of
            [0, 1] there is 0.
        weights: Of each sample; they need not sum to 1.

    Returns:
        h times d channels a query, in the dtype of `value`. All NaN for an image with a location
        that is NaN.

    Raises:
        ShapeError: If the shapes do not add up to the rows of `value`, or there are not as many
            as levels.

    Examples:
        >>> value = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)  # one map: 1 row, 2 columns
        >>> middle, corner = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.5])
        >>> locations = torch.stack([middle, corner]).view(1, 2, 1, 1, 1, 2)
        >>> deformable_attention(value, [(1, 2)], locations, torch.ones(1, 2, 1, 1, 1)).tolist()
        [[[2.0], [0.5]]]
        >>> deformable_attention(value, [(1, 2)], locations[:, :0], torch.ones(1, 0, 1, 1, 1)).shape
        torch.Size([1, 0, 1])
    """
    rows = sum(height * width for height, width in shapes)
    if rows != value.shape[1] or len(shapes) != locations.shape[3]:
        raise ShapeError(
            f"deformable attention: expected {locations.shape[3]} shapes that add up to "
            f"{value.shape[1]} rows, got {list(shapes)}: {rows} rows"
        )
    kernel = _triton_kernel() if value.is_cuda else None
    if kernel is not None:
        out: Tensor = kernel(value, shapes, locations, weights)
        return out
    return _by_bags(value, shapes, locations, weights)


@functools.cache
def _triton_kernel() -> Callable[..., Tensor] | None:
    """The kernel, where Triton is installed; torch brings it for CUDA on Linux."""
    try:
        from groundplane.grounding.deformable_triton import deformable_attention_triton
    except ImportError:
        return None
    return deformable_attention_triton


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layout:
    """Where the maps lie in a table that has zeros around each.

    A map of h by w cells takes h + 2 rows of w + 1: zeros above, below and to the left; to the
    right of a row lies the zero that begins the next one. What a sample just outside reads is 0.

    Attributes:
        sizes: Width and height of each level.
        strides: Rows of the table from one row of cells to the next.
        starts: Row of the table at which cell (0, 0) of each level lies.
        rows: Of the table.
    """

    sizes: list[tuple[int, int]]
    strides: list[int]
    starts: list[int]
    rows: int

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]]) -> _Layout:
        starts, at = [], 0
        for height, width in shapes:
            starts.append(at + width + 2)
            at += (height + 2) * (width + 1)
        # A sample beyond the last corner still reads a row and a cell further, with weight 0.
        spare = 2 * max(width for _, width in shapes) + 4
        return cls(
            sizes=[(width, height) for height, width in shapes],
            strides=[width + 1 for _, width in shapes],
            starts=starts,
            rows=at + spare,
        )

    def table(self, value: Float[Tensor, "b s h d"]) -> Float[Tensor, "b r hd"]:
        """The maps with their zeros."""
        flat = value.flatten(2)
        table = flat.new_zeros(flat.shape[0], self.rows, flat.shape[2])
        done = 0
        for (width, height), start in zip(self.sizes, self.starts, strict=True):
            cells = flat[:, done : done + height * width]
            whole = table[:, start : start + height * (width + 1)]
            whole = whole.view(len(whole), height, width + 1, -1)
            whole[:, :, :width] = cells.reshape(len(cells), height, width, -1)
            done += height * width
        return table


def _by_bags(
    value: Tensor,
    shapes: Sequence[tuple[int, int]],
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """Each image and part of its queries in turn, so that the work stays in the cache."""
    batch, _, heads, channels = value.shape
    num_queries = locations.shape[1]
    if not batch or not num_queries:
        return value.new_zeros(batch, num_queries, heads * channels)
    layout = _Layout.of(shapes)
    table = layout.table(value).view(batch, -1, channels)
    out = value.new_empty(batch, num_queries, heads * channels)
    samples = heads * locations.shape[3] * locations.shape[4]
    step = max(1, _SAMPLES // samples) if not value.is_cuda else num_queries
    level = _Levels.of(layout, heads=heads, points=locations.shape[4], like=locations)
    for image in range(batch):
        for start in range(0, num_queries, step):
            part = slice(start, start + step)
            rows, shares = _corners(locations[image, part], weights[image, part], level)
            summed = embedding_bag(
                rows, table[image], mode="sum", per_sample_weights=shares.to(table.dtype)
            )
            out[image, part] = summed.view(-1, heads * channels)
    spoilt = locations.isnan().flatten(1).any(1)
    return out.masked_fill_(spoilt[:, None, None], torch.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Levels:
    """The layout's numbers for each sample of a query: h heads of n samples."""

    width: Float32[Tensor, "h n"]
    height: Float32[Tensor, "h n"]
    stride: Float32[Tensor, "h n"]
    down: Int32[Tensor, "h n"]
    start: Int32[Tensor, "h n"]
    right: int

    @classmethod
    def of(cls, layout: _Layout, *, heads: int, points: int, like: Tensor) -> _Levels:
        def spread(numbers: Sequence[int], dtype: torch.dtype) -> Tensor:
            column = torch.tensor(numbers, dtype=dtype, device=like.device)
            return column.repeat_interleave(points).expand(heads, -1).contiguous()

        head = torch.arange(heads, dtype=torch.int32, device=like.device)[:, None]
        widths, heights = zip(*layout.sizes, strict=True)
        return cls(
            width=spread(widths, torch.float32),
            height=spread(heights, torch.float32),
            stride=spread(layout.strides, torch.float32),
            down=spread(layout.strides, torch.int32) * heads,
            start=spread(layout.starts, torch.int32) * heads + head,
            right=heads,
        )


def _corners(
    locations: Float[Tensor, "q h l p 2"], weights: Float[Tensor, "q h l p"], level: _Levels
) -> tuple[Int32[Tensor, "qh n"], Float32[Tensor, "qh n"]]:
    """Rows of the table and their weights, four a sample."""
    num = weights.shape[0] * weights.shape[1]
    places = locations.flatten(2, 3).float()
    share = weights.flatten(2).float()
    # In cells, 0 at the middle of the first; beyond one cell outside all is 0 anyway. NaN is
    # answered by the caller and must only not become a row that is not there.
    x = _cells(places[..., 0], level.width)
    y = _cells(places[..., 1], level.height)
    left, top = x.floor(), y.floor()
    x -= left
    y -= top
    first = torch.addcmul(left, top, level.stride).to(torch.int32)
    first *= level.right
    first += level.start
    rows = first.new_empty(*first.shape[:2], 4, first.shape[2])
    rows[:, :, 0] = first
    torch.add(first, level.right, out=rows[:, :, 1])
    torch.add(first, level.down, out=rows[:, :, 2])
    torch.add(rows[:, :, 2], level.right, out=rows[:, :, 3])
    shares = share.new_empty(*first.shape[:2], 4, first.shape[2])
    low = share * y
    high = share - low
    torch.mul(low, x, out=shares[:, :, 3])
    torch.sub(low, shares[:, :, 3], out=shares[:, :, 2])
    torch.mul(high, x, out=shares[:, :, 1])
    torch.sub(high, shares[:, :, 1], out=shares[:, :, 0])
    return rows.view(num, -1), shares.view(num, -1)


def _cells(
    share: Float32[Tensor, "q h n"], size: Float32[Tensor, "h n"]
) -> Float32[Tensor, "q h n"]:
    cells = (share * size).sub_(0.5).nan_to_num_(nan=0.0)
    return torch.minimum(cells.clamp_(min=-1), size, out=cells)

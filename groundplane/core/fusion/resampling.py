"""Features on one grid, read off at the cells of another."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from groundplane.core.errors import InputError, ShapeError

__all__ = ["resample"]


def resample(
    tokens: Float[Tensor, "b n d"], source_grid: tuple[int, int], target_grid: tuple[int, int]
) -> Float[Tensor, "b m d"]:
    """Bring features to another grid over the same square, bilinearly.

    A cell stands for its middle, so that both grids cover the same square whatever their sizes;
    beyond the outermost middles the outermost cells go on. Nothing is averaged on the way to a
    coarser grid. Equal grids give the tokens themselves.

    Args:
        tokens: Cells in raster order.
        source_grid: Their rows and columns.
        target_grid: Rows and columns wanted.

    Returns:
        Cells in raster order, of the same type and on the same device.

    Raises:
        ShapeError: If the tokens do not fill the grid.
        InputError: If a grid has no cells.

    Source: MMVP and Eagle resize feature maps so (PyTorch's `interpolate`, `align_corners=False`).

    Examples:
        >>> import torch
        >>> ramp = torch.tensor([0.0, 1.0]).view(1, 2, 1)
        >>> resample(ramp, (1, 2), (1, 4)).flatten().tolist()
        [0.0, 0.25, 0.75, 1.0]
        >>> resample(ramp[:0], (1, 2), (1, 4)).shape
        torch.Size([0, 4, 1])
    """
    if min(*source_grid, *target_grid) < 1:
        raise InputError(
            f"resample: expected grids with cells, got {source_grid} and {target_grid}"
        )
    batch, cells, width = tokens.shape
    if cells != source_grid[0] * source_grid[1]:
        raise ShapeError(
            f"resample: expected {source_grid[0] * source_grid[1]} cells for a grid of "
            f"{source_grid[0]} by {source_grid[1]}, got {cells}"
        )
    if source_grid == target_grid:
        return tokens
    if batch == 0:  # which PyTorch refuses to resize
        return tokens.new_empty((0, target_grid[0] * target_grid[1], width))
    # Channels last both ways: these are views, nothing is copied for the layout.
    maps = tokens.reshape(batch, *source_grid, width).permute(0, 3, 1, 2)
    resized = functional.interpolate(maps, size=target_grid, mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(1, 2)

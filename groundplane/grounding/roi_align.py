"""RoIAlign over the features of an encoder: one row of numbers for each box of a picture."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.core.features import FeatureGrid

__all__ = ["roi_align"]


def roi_align(
    grid: FeatureGrid,
    boxes: Float[Tensor, "k 4"],
    *,
    picture: int = 0,
    bins: int = 7,
    samples: int = 2,
) -> Float[Tensor, "k d"]:
    """Sample the features at even places of each box, between cells, and average them.

    Equal to torchvision's `roi_align` (aligned, a fixed number of samples), averaged over its
    bins: the samples of a box are a product of rows and columns, so that each axis is summed by
    itself. Nothing is copied to the host but the check of the boxes.

    Args:
        grid: Of an encoder.
        boxes: `xyxy`, pixels of the picture.
        picture: Index into the grid's batch.
        bins: Cells that a box is divided into, a side.
        samples: Samples of such a cell, a side.

    Raises:
        InputError: If a box is not finite, there is no such picture, or a number is below 1.

    Source: He et al., Mask R-CNN, 2017, section 3.

    Examples:
        >>> from groundplane.core.frames import Frame
        >>> tokens = torch.arange(4.0)[None, :, None]
        >>> frame = Frame.original((40, 40))
        >>> grid = FeatureGrid(tokens=tokens, grid=(2, 2), patch=20.0, frames=(frame,))
        >>> roi_align(grid, torch.tensor([[0.0, 0, 40, 40], [0.0, 0, 10, 10]])).tolist()
        [[1.5], [0.0]]
        >>> roi_align(grid, torch.zeros(0, 4)).shape
        torch.Size([0, 1])
    """
    if not 0 <= picture < len(grid.frames):
        raise InputError(f"roi align: there is no picture {picture} of {len(grid.frames)}")
    if min(bins, samples) < 1:
        raise InputError(f"roi align: expected bins and samples of 1 or more, got {bins, samples}")
    if not bool(boxes.isfinite().all()):
        raise InputError("roi align: a box has an edge that is not a finite number")
    rows, columns = grid.grid
    frame, tokens = grid.frames[picture], grid.tokens[picture].float()
    matrix = torch.from_numpy(frame.to_canvas.matrix).to(tokens.device, torch.float32)
    corners = boxes.to(tokens.device).float().view(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    width, height = frame.canvas
    across = _weights(corners[:, :, 0] * (columns / width), columns, bins * samples)
    down = _weights(corners[:, :, 1] * (rows / height), rows, bins * samples)
    return torch.einsum("kh,kw,hwd->kd", down, across, tokens.view(rows, columns, -1))


def _weights(ends: Float[Tensor, "k 2"], cells: int, count: int) -> Float[Tensor, "k c"]:
    """What each cell counts in the mean of even samples between two ends, in cells."""
    steps = (torch.arange(count, device=ends.device) + 0.5) / count
    places = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps - 0.5
    inside = (places >= -1) & (places <= cells)
    gaps = places.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=ends.device)
    return ((1 - gaps.abs()).clamp(min=0) * inside[..., None]).mean(1)

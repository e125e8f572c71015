"""What an encoder says of boxes: the features of the cells under each, by how much they share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from groundplane.core.boxes import clip
from groundplane.core.errors import InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame

__all__ = ["RegionFeatures", "cell_shares", "region_features"]

# A share below this is left over from rounding: the box only touches what was seen.
_NOTHING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionFeatures:
    """Features of boxes of one picture.

    Attributes:
        vectors: One a box, of length 1; 0 where the encoder saw nothing of the box.
        seen: Which part of each box's area lies within what the encoder saw, in [0, 1].
        sizes: Width and height of each box as shares of the canvas.
    """

    vectors: Float[Tensor, "k d"]
    seen: Float[Tensor, " k"]
    sizes: Float[Tensor, "k 2"]

    def __len__(self) -> int:
        return int(self.vectors.shape[0])


def region_features(
    grid: FeatureGrid, boxes: Float[Tensor, "k 4"], *, picture: int = 0
) -> RegionFeatures:
    """Average the features under boxes, each cell by the area that it shares with the box.

    A box smaller than a cell gets that cell's features. Runs on the features' device, over all
    boxes at once.

    Args:
        grid: Of an encoder.
        boxes: `xyxy`, pixels of the picture; cut at its edges.
        picture: Index into the grid's batch.

    Raises:
        InputError: If a box is not finite, or there is no such picture.

    Examples:
        >>> frame = Frame.original((40, 40))
        >>> tokens = torch.eye(4)[None]
        >>> grid = FeatureGrid(tokens=tokens, grid=(2, 2), patch=20.0, frames=(frame,))
        >>> found = region_features(grid, torch.tensor([[0.0, 0, 40, 20], [10.0, 0, 20, 10]]))
        >>> found.vectors.square().tolist()[1], found.seen.tolist()
        ([1.0, 0.0, 0.0, 0.0], [1.0, 1.0])
        >>> len(region_features(grid, torch.zeros(0, 4)))
        0
    """
    if not 0 <= picture < len(grid.frames):
        raise InputError(
            f"region features: expected a picture of 0 to {len(grid.frames) - 1}, got {picture}"
        )
    if not bool(boxes.isfinite().all()):
        raise InputError("region features: a box has an edge that is not a finite number")
    frame, tokens = grid.frames[picture], grid.tokens[picture].float()
    inside = clip(boxes.to(tokens.device).float(), frame.image_size)
    shares = cell_shares(frame, grid.grid, inside)
    seen = shares.sum(1).clamp(0, 1)
    width, height = frame.canvas
    size = torch.tensor([width, height], dtype=shares.dtype, device=shares.device)
    moved = _on_canvas(frame, inside)
    return RegionFeatures(
        vectors=functional.normalize(shares @ tokens, dim=1) * (seen > _NOTHING)[:, None],
        seen=seen,
        sizes=(moved[:, 2:] - moved[:, :2]) / size,
    )


def cell_shares(
    frame: Frame, grid: tuple[int, int], boxes: Float[Tensor, "k 4"]
) -> Float[Tensor, "k n"]:
    """Which part of each box's area lies in each cell; rows sum to what of the box was seen.

    Args:
        frame: What of the picture the grid covers.
        grid: Rows and columns of cells.
        boxes: `xyxy`, pixels of the picture. One without area has no part in any cell.

    Examples:
        >>> boxes = torch.tensor([[10.0, 0, 50, 10]])
        >>> cell_shares(Frame.original((40, 20)), (1, 2), boxes).tolist()
        [[0.25, 0.5]]
        >>> cell_shares(Frame.original((40, 20)), (1, 2), boxes[:0]).shape
        torch.Size([0, 2])
    """
    moved = _on_canvas(frame, boxes)
    rows, columns = grid
    across = _parts(moved[:, 0], moved[:, 2], columns, frame.canvas[0])
    down = _parts(moved[:, 1], moved[:, 3], rows, frame.canvas[1])
    return (down[:, :, None] * across[:, None, :]).flatten(1)


def _parts(
    begin: Float[Tensor, " k"], end: Float[Tensor, " k"], cells: int, length: int
) -> Float[Tensor, "k c"]:
    """Which part of each stretch lies in each of the cells that a length is divided into."""
    # float64: a thin box far from the origin keeps its width.
    edges = torch.linspace(0, length, cells + 1, dtype=torch.float64, device=begin.device)
    first, last = begin.double()[:, None], end.double()[:, None]
    shared = (torch.minimum(last, edges[1:]) - torch.maximum(first, edges[:-1])).clamp(min=0)
    whole = last - first
    return torch.where(whole > 0, shared / whole.clamp(min=1e-12), 0.0).float()


def _on_canvas(frame: Frame, boxes: Float[Tensor, "k 4"]) -> Float[Tensor, "k 4"]:
    """Boxes in pixels of the canvas, on their own device: no frame of a view turns the picture."""
    matrix = torch.from_numpy(frame.to_canvas.matrix).to(boxes.device, torch.float64)
    # A box whose end lies before its beginning is empty, not turned round.
    ends = torch.maximum(boxes[:, :2], boxes[:, 2:])
    whole = torch.cat([boxes[:, :2], ends], dim=1).double()
    corners = whole.view(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    low, high = corners.amin(1), corners.amax(1)
    return torch.cat([low, high], dim=1)

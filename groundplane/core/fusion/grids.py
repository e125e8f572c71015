"""Feature grids of several encoders fused, and where the tokens lie in the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid, to_unit
from groundplane.core.frames import Frame
from groundplane.core.fusion.operator import Fused, FusionOperator

__all__ = ["FusedGrid", "fuse_grids"]

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
# Sides are rounded to whole pixels before a crop, by each encoder for its own size, which moves
# a crop by up to a pixel of its canvas: less than this share of a cell of 14 pixels.
_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FusedGrid:
    """Fused tokens of a batch, with the way back to the pictures.

    Attributes:
        fused: Tokens, and the cell and tower of each.
        grid: Rows and columns of the cells.
        frames: For each picture what of it the encoders saw.
    """

    fused: Fused
    grid: tuple[int, int]
    frames: tuple[Frame, ...]

    def cell_boxes(self, picture: int) -> Float[np.ndarray, "m 4"]:
        """Where the tokens of a picture lie, in their order.

        Args:
            picture: Index into the batch.

        Returns:
            `xyxy`, pixels of the picture: the cell of each token, or all that the encoders saw if
            it stands for the whole picture. In a padded frame some lie beyond its edges.
        """
        rows, columns = self.grid
        width, height = self.frames[picture].canvas
        cells = self.fused.cells[picture].cpu().numpy()
        whole = cells < 0
        left = np.where(whole, 0, cells % columns) * (width / columns)
        top = np.where(whole, 0, cells // columns) * (height / rows)
        right = np.where(whole, width, left + width / columns)
        bottom = np.where(whole, height, top + height / rows)
        return self.frames[picture].to_image(np.stack([left, top, right, bottom], axis=1))


def fuse_grids(
    operator: FusionOperator,
    grids: Sequence[FeatureGrid],
    query: Float[Tensor, "b q"] | None = None,
) -> FusedGrid:
    """Fuse what encoders gave, if they saw the same part of the same pictures.

    Args:
        operator: Made for towers of these grids and widths, in this order.
        grids: One an encoder.
        query: What is asked, as one vector a picture.

    Raises:
        ShapeError: If a grid, a width or the number of encoders or pictures is another than the
            operator was made for.
        InputError: If two encoders saw other pictures or unequal crops, or gave numbers of
            unequal types.
    """
    towers = operator.towers
    if len(grids) != len(towers):
        raise ShapeError(
            f"fusion: expected the grids of {len(towers)} towers "
            f"({', '.join(tower.name for tower in towers)}), got {len(grids)}"
        )
    for tower, grid in zip(towers, grids, strict=True):
        if grid.grid != tower.grid:
            raise ShapeError(
                f"fusion: tower {tower.name!r}: expected a grid of {tower.grid[0]} by "
                f"{tower.grid[1]}, for which the operator was made, got {grid.grid[0]} by "
                f"{grid.grid[1]}"
            )
    for tower, grid in zip(towers[1:], grids[1:], strict=True):
        names = (towers[0].name, tower.name)
        if len(grid.frames) != len(grids[0].frames):
            raise ShapeError(
                f"fusion: expected as many pictures of {names[1]!r} as of {names[0]!r}, "
                f"{len(grids[0].frames)}, got {len(grid.frames)}"
            )
        for picture, frames in enumerate(zip(grids[0].frames, grid.frames, strict=True)):
            _check_crops(frames, names, picture=picture, grid=towers[0].grid)
    fused = operator([grid.tokens for grid in grids], query)
    return FusedGrid(fused=fused, grid=operator.grid, frames=grids[0].frames)


def _check_crops(
    frames: tuple[Frame, Frame], names: tuple[str, str], *, picture: int, grid: tuple[int, int]
) -> None:
    """Refuse two encoders that saw other parts, by more than a share of a cell."""
    first, second = frames
    where = f"fusion: towers {names[0]!r} and {names[1]!r}, picture {picture}"
    if first.image_size != second.image_size:
        raise InputError(
            f"{where}: expected the same picture, got one of {first.image_size[0]} by "
            f"{first.image_size[1]} and one of {second.image_size[0]} by {second.image_size[1]}"
        )
    seen = to_unit(second).points(to_unit(first).inverse().points(_CORNERS))
    apart = float(np.abs((seen - _CORNERS) * grid[::-1]).max())
    if not apart <= _TOLERANCE:  # NaN is not either
        raise InputError(
            f"{where}: unequal crops: their corners are {apart:.2f} cells apart, at most "
            f"{_TOLERANCE} are expected. Give both encoders the same fit and, if they are "
            f"cropped, the same size"
        )

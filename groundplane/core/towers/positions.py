"""Position embeddings of another grid than the network was trained with.

Each family's own code resamples them in its own way, and the ports of timm and of transformers
differ from it and from each other. Here is one way a family, for the networks of both libraries,
so that the same weights give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from groundplane.core.errors import ShapeError

__all__ = ["PositionRule", "position_rule", "resample_positions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRule:
    """How a table of positions is brought to another grid.

    Attributes:
        filter: Of the interpolation.
        antialias: Whether the filter is widened where the grid shrinks. torch's bicubic filter is
            another one then (a = -0.5 instead of -0.75), so it matters where the grid grows too.
        offset: Cells added to the new grid's side when the scale is computed, as the first DINO
            did against rounding; it shifts what is sampled by a part of a cell.
    """

    filter: Literal["bicubic", "bilinear"] = "bicubic"
    antialias: bool = False
    offset: float = 0.0


def position_rule(family: str, *, registers: bool = False) -> PositionRule:
    """The rule of a family, by the name of its encoder plugin.

    Args:
        family: Such as `dinov2`.
        registers: Whether the network has registers.

    Source: facebookresearch/dinov2, `dinov2/models/vision_transformer.py` and
    `dinov2/hub/backbones.py` (offset 0.1 without antialiasing; with registers no offset and
    antialiasing); NVlabs/RADIO (bilinear). CLIP, SigLIP and EVA-CLIP were trained at one size
    and their authors say nothing; theirs is the way of transformers.

    Examples:
        >>> position_rule("dinov2").offset, position_rule("dinov2", registers=True).antialias
        (0.1, True)
        >>> position_rule("clip")
        PositionRule(filter='bicubic', antialias=False, offset=0.0)
    """
    if family == "radio":
        return PositionRule(filter="bilinear")
    if family == "dinov2":
        return PositionRule(antialias=True) if registers else PositionRule(offset=0.1)
    return PositionRule()


def resample_positions(
    table: Float[Tensor, "n d"],
    grid: tuple[int, int],
    *,
    rule: PositionRule,
    num_prefix: int = 0,
) -> Float[Tensor, "m d"]:
    """Bring a table of positions to another grid.

    Args:
        table: One row a cell of a square grid, raster order, after the rows of the prefix.
        grid: Rows and columns that are wanted.
        rule: See `position_rule`.
        num_prefix: Rows in front that stand for no cell (class token, registers); they are kept.

    Returns:
        Of the table's number type; the table itself if its grid is the one wanted.

    Raises:
        ShapeError: If the cells fill no square grid.

    Examples:
        >>> table = torch.arange(4.0).view(4, 1)
        >>> resample_positions(table, (2, 2), rule=PositionRule()) is table
        True
        >>> resample_positions(table, (4, 4), rule=PositionRule()).shape
        torch.Size([16, 1])
        >>> resample_positions(table[:0], (1, 1), rule=PositionRule())
        Traceback (most recent call last):
        ...
        groundplane.core.errors.ShapeError: position embeddings: expected a square number of \
cells above 0, got 0 rows after a prefix of 0
    """
    num_cells = table.shape[0] - num_prefix
    side = isqrt(max(num_cells, 0))
    if num_cells < 1 or side * side != num_cells:
        raise ShapeError(
            "position embeddings: expected a square number of cells above 0, got "
            f"{max(num_cells, 0)} rows after a prefix of {num_prefix}"
        )
    if grid == (side, side):
        return table
    prefix, cells = table[:num_prefix], table[num_prefix:]
    picture = cells.float().view(1, side, side, -1).permute(0, 3, 1, 2)
    # With an offset the scale is given, and sampling follows it; torch cuts the size down.
    scale = [(length + rule.offset) / side for length in grid] if rule.offset else None
    picture = functional.interpolate(
        picture,
        size=None if scale else grid,
        scale_factor=scale,
        mode=rule.filter,
        align_corners=False,
        antialias=rule.antialias,
    )
    cells = picture.permute(0, 2, 3, 1).reshape(grid[0] * grid[1], -1).to(table.dtype)
    return torch.cat([prefix, cells])

"""What an operator costs, counted from its layers; nothing is run for it."""

from __future__ import annotations

from torch import nn

from groundplane.core.fusion.operator import FusionReport
from groundplane.core.fusion.projectors import QFormerProjector

__all__ = ["cost_report", "linear_flops", "projector_flops"]


def linear_flops(module: nn.Module, rows: int) -> int:
    """Operations of all linear layers of a module, each on so many rows.

    Examples:
        >>> linear_flops(nn.Sequential(nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 4)), 10)
        360
        >>> linear_flops(nn.Identity(), 10)
        0
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return sum(2 * rows * layer.in_features * layer.out_features for layer in layers)


def projector_flops(projector: nn.Module, num_cells: int) -> int:
    """Operations of a projector on so many cells.

    Examples:
        >>> projector_flops(nn.Linear(2, 3), 10)
        120
        >>> projector_flops(nn.Linear(2, 3), 0)
        0
    """
    if not isinstance(projector, QFormerProjector):
        return linear_flops(projector, num_cells)
    options, width_in = projector.options, projector.width_in
    queries, hidden = options.queries, options.hidden
    # Query and output; keys and values of what is looked at; the products with both.
    square = 2 * 2 * queries * hidden * hidden
    itself = 2 * 2 * queries * hidden * hidden + 2 * 2 * queries * queries * hidden
    cells = 2 * 2 * num_cells * width_in * hidden + 2 * 2 * queries * num_cells * hidden
    block = square + itself + 2 * 2 * queries * hidden * options.intermediate
    crossings = -(-options.layers // options.cross_every)
    last = linear_flops(projector.proj, queries)
    return options.layers * block + crossings * (square + cells) + last


def cost_report(
    operator: nn.Module, *, tokens: int, width: int, grid: tuple[int, int], flops: int
) -> FusionReport:
    """A report, with the trained parameters counted.

    Args:
        operator: Whose parameters.
        tokens: Tokens of a picture.
        width: Numbers a token.
        grid: Of the cells that the tokens stand for.
        flops: Of one picture.
    """
    trained = sum(p.numel() for p in operator.parameters() if p.requires_grad)
    return FusionReport(tokens=tokens, width=width, grid=grid, flops=flops, parameters=trained)

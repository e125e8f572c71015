"""What an operator costs, counted by PyTorch itself on shapes alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from groundplane.core.fusion.operator import FusionReport
from groundplane.core.towers.tower import TowerShape

__all__ = ["report_on"]


def report_on(
    operator: nn.Module,
    towers: Sequence[TowerShape],
    *,
    width: int,
    grid: tuple[int, int],
    query_width: int | None = None,
) -> FusionReport:
    """Run one picture through an operator without a number in it, and count.

    Matrix products and attention are counted, as `torch.utils.flop_counter` does; sums, norms and
    activations, below one in a hundred of them, are not. No weight is read and no memory is taken.

    Args:
        operator: Takes features and a query, and gives `Fused`.
        towers: What it was made for.
        width: Numbers a token.
        grid: Of the cells that its tokens stand for.
        query_width: Numbers of the query, if it needs one.
    """
    parameters = dict(operator.named_parameters())
    numbers = {
        name: tensor.detach().to("meta")
        for name, tensor in (*parameters.items(), *operator.named_buffers())
    }
    dtype = next((p.dtype for p in parameters.values()), torch.float32)
    features = [
        torch.empty((1, tower.num_cells, tower.width), dtype=dtype, device="meta")
        for tower in towers
    ]
    query = None if query_width is None else torch.empty((1, query_width), device="meta").to(dtype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fused = torch.func.functional_call(operator, numbers, (features, query))
    return FusionReport(
        tokens=fused.tokens.shape[1],
        width=width,
        grid=grid,
        flops=counter.get_total_flops(),
        parameters=sum(p.numel() for p in parameters.values() if p.requires_grad),
    )

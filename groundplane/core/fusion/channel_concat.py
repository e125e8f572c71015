"""Features of all towers one after the other in each cell, then one adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.fusion.costs import cost_report, projector_flops
from groundplane.core.fusion.inputs import OverTowers
from groundplane.core.fusion.layout import one_a_cell
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import keeps_cells, make_projector, tokens_after
from groundplane.core.towers.tower import TowerShape

__all__ = ["ChannelConcat", "ChannelConcatOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConcatOptions:
    """Of `channel_concat`: none."""


class ChannelConcat(OverTowers):
    """`V = g([F_1, ..., F_k])`: one token a cell, from the numbers of all towers.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: Of the one adapter g, whose input is as wide as all towers together.
        options: None.

    Source: Shi et al., Eagle, arXiv 2408.15998, which resizes to one grid, too.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: ChannelConcatOptions,
    ) -> None:
        super().__init__("channel_concat", towers)
        self._width = width
        self._projector = projector
        self.adapter = make_projector(projector, sum(tower.width for tower in towers), width)

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        tokens = self.adapter(torch.cat(self._inputs.aligned(features, self), dim=2))
        return one_a_cell(
            tokens, keeps_cells=keeps_cells(self._projector), num_towers=len(self.towers)
        )

    def report(self) -> FusionReport:
        """What it costs."""
        return cost_report(
            self,
            tokens=tokens_after(self._projector, self._inputs.num_cells),
            width=self._width,
            grid=self.grid,
            flops=projector_flops(self.adapter, self._inputs.num_cells),
        )

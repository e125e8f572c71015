"""One adapter a tower, and in each cell a weighted mean of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.fusion.costs import cost_report, linear_flops, projector_flops
from groundplane.core.fusion.inputs import OverTowers, need_cells
from groundplane.core.fusion.layout import one_a_cell
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import make_projector
from groundplane.core.towers.tower import TowerShape

__all__ = ["Gated", "GatedOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedOptions:
    """Of `gated`: none."""


class Gated(OverTowers):
    """`V[i] = sum_j w_j[i] g_j(F_j)[i]`, `w[i] = softmax(W [F_1[i], ..., F_k[i]] + c)`.

    The gate begins at 0, with equal weights, so that no tower is shut out by chance.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: Of each of the adapters g; it must keep the cells.
        options: None.

    Raises:
        InputError: If the projector gives no token a cell.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: GatedOptions,
    ) -> None:
        super().__init__("gated", towers)
        need_cells("gated", projector)
        self._width = width
        self.adapters = nn.ModuleList(
            make_projector(projector, tower.width, width) for tower in towers
        )
        self.gate = nn.Linear(sum(tower.width for tower in towers), len(towers))
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def weights(self, features: Sequence[Float[Tensor, "b _ _"]]) -> Float[Tensor, "b n k"]:
        """The weight of each tower in each cell; they sum to 1 over the towers."""
        return self._weights(self._inputs.aligned(features, self))

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        aligned = self._inputs.aligned(features, self)
        weights = self._weights(aligned)
        tokens = self.adapters[0](aligned[0]) * weights[..., :1]
        for tower in range(1, len(aligned)):
            share = weights[..., tower : tower + 1]
            tokens = torch.addcmul(tokens, self.adapters[tower](aligned[tower]), share)
        return one_a_cell(tokens, num_towers=len(self.towers))

    def report(self) -> FusionReport:
        """What it costs."""
        cells = self._inputs.num_cells
        adapters = sum(projector_flops(adapter, cells) for adapter in self.adapters)
        return cost_report(
            self,
            tokens=cells,
            width=self._width,
            grid=self.grid,
            flops=adapters + linear_flops(self.gate, cells),
        )

    def _weights(self, aligned: list[Float[Tensor, "b n _"]]) -> Float[Tensor, "b n k"]:
        logits: Tensor = self.gate(torch.cat(aligned, dim=2))
        return logits.softmax(dim=2)

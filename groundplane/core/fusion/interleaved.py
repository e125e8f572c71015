"""One adapter a tower, and their tokens side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.fusion.costs import cost_report, projector_flops
from groundplane.core.fusion.inputs import OverTowers
from groundplane.core.fusion.layout import interleave
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import keeps_cells, make_projector, tokens_after
from groundplane.core.towers.tower import TowerShape

__all__ = ["Interleaved", "InterleavedOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InterleavedOptions:
    """Of `interleaved`: none."""


class Interleaved(OverTowers):
    """`V[k i + j] = g_j(F_j)[i]`: k tokens a cell, of the first tower first.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: Of each of the adapters g.
        options: None.

    Source: Tong et al., Eyes Wide Shut, arXiv 2401.06209, where the towers are CLIP
    and DINOv2: 576 cells of each give 1152 tokens.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: InterleavedOptions,
    ) -> None:
        super().__init__("interleaved", towers)
        self._width = width
        self._projector = projector
        self.adapters = nn.ModuleList(
            make_projector(projector, tower.width, width) for tower in towers
        )

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        aligned = self._inputs.aligned(features, self)
        tokens = [adapter(given) for adapter, given in zip(self.adapters, aligned, strict=True)]
        return interleave(tokens, keeps_cells=keeps_cells(self._projector))

    def report(self) -> FusionReport:
        """What it costs."""
        cells = self._inputs.num_cells
        return cost_report(
            self,
            tokens=len(self.towers) * tokens_after(self._projector, cells),
            width=self._width,
            grid=self.grid,
            flops=sum(projector_flops(adapter, cells) for adapter in self.adapters),
        )

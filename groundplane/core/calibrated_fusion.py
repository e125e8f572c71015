"""Experimental: two towers added behind the adapters, of which the second was only fitted."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.calibrating import LinearMap
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.costs import cost_report, linear_flops, projector_flops
from groundplane.core.fusion.inputs import OverTowers
from groundplane.core.fusion.layout import one_a_cell
from groundplane.core.fusion.operator import Fused, FusionReport
from groundplane.core.towers.tower import TowerShape

__all__ = ["CalibratedAdditive"]


class CalibratedAdditive(OverTowers):
    """`V = a g(F_1) + (1 - a) (W F_2 + b)`: one token a cell, and nothing to train.

    Unlike `additive` it mixes behind the adapter, since the fitted map ends there. Satisfies
    `FusionOperator`. Experimental: whether a model gains by it must be measured.

    Args:
        towers: The one that the language model knows, and the one that was calibrated.
        adapter: The language model's own projector, g; it is used as it is and frozen.
        fitted: From `calibrate`, between these towers.
        share: Of the first tower, a.

    Raises:
        ShapeError: If there are not two towers, or the map is of another width.
        InputError: If the share is not in [0, 1].
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        adapter: nn.Module,
        fitted: LinearMap,
        *,
        share: float = 0.5,
    ) -> None:
        if len(towers) != 2:
            raise ShapeError(f"calibrated fusion: expected two towers, got {len(towers)}")
        if fitted.weight.shape[1] != towers[1].width:
            raise ShapeError(
                f"calibrated fusion: expected a map of {towers[1].width} numbers a cell of "
                f"{towers[1].name!r}, got one of {fitted.weight.shape[1]}"
            )
        if not 0 <= share <= 1:  # NaN is not either
            raise InputError(f"calibrated fusion: share: expected 0 to 1, got {share}")
        super().__init__("calibrated", towers)
        self._width = int(fitted.weight.shape[0])
        self.share = share
        self.adapter = adapter.requires_grad_(False)
        self.calibrated = fitted.module()

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        first, second = self._inputs.aligned(features, self)
        known = self.adapter(first) * self.share
        fitted = self.calibrated(second)
        if known.shape != fitted.shape:
            raise ShapeError(
                f"calibrated fusion: the adapter gives {tuple(known.shape)}, the fitted map "
                f"{tuple(fitted.shape)}. Try: a map that was fitted behind this adapter"
            )
        return one_a_cell(known.add(fitted, alpha=1 - self.share))

    def report(self) -> FusionReport:
        """What it costs."""
        cells = self._inputs.num_cells
        flops = projector_flops(self.adapter, cells) + linear_flops(self.calibrated, cells)
        return cost_report(self, tokens=cells, width=self._width, grid=self.grid, flops=flops)

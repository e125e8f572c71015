"""Features of all towers added, then one adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.core.fusion.costs import cost_report, projector_flops
from groundplane.core.fusion.inputs import OverTowers, equal_widths
from groundplane.core.fusion.layout import one_a_cell
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import keeps_cells, make_projector, tokens_after
from groundplane.core.towers.tower import TowerShape

__all__ = ["Additive", "AdditiveOptions"]

# Shares written as decimals, such as 0.1 ten times, do not sum to 1 exactly.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveOptions:
    """Of `additive`.

    Attributes:
        shares: Of each tower, in order, from 0 to 1; they sum to 1. None: equal ones.

    Raises:
        InputError: If a share is not from 0 to 1, or they do not sum to 1.
    """

    shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.shares is None:
            return
        if not all(0 <= share <= 1 for share in self.shares):  # NaN is not either
            raise InputError(
                f"fusion 'additive': shares: expected numbers from 0 to 1, got {self.shares}"
            )
        if abs(sum(self.shares) - 1) > _ROUNDING:
            raise InputError(
                f"fusion 'additive': shares: expected a sum of 1, got {self.shares}, which sum to "
                f"{sum(self.shares):g}"
            )


class Additive(OverTowers):
    """`V = g(a_1 F_1 + ... + a_k F_k)`: one token a cell.

    Args:
        towers: In order; all of one width.
        width: Numbers a token.
        projector: Of the one adapter g.
        options: The shares a.

    Raises:
        ShapeError: If the towers' widths differ.
        InputError: If there is not one share a tower.

    Source: Tong et al., Eyes Wide Shut, arXiv 2401.06209. There are two towers there.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: AdditiveOptions,
    ) -> None:
        super().__init__("additive", towers)
        width_in = equal_widths("additive", towers)
        self.shares = options.shares or (1 / len(towers),) * len(towers)
        if len(self.shares) != len(towers):
            raise InputError(
                f"fusion 'additive': shares: expected {len(towers)}, one a tower, got {self.shares}"
            )
        self._width = width
        self._projector = projector
        self.adapter = make_projector(projector, width_in, width)

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        first, *others = self._inputs.aligned(features, self)
        mixed = first * self.shares[0]
        for given, share in zip(others, self.shares[1:], strict=True):
            mixed = mixed.add(given, alpha=share)
        return one_a_cell(
            self.adapter(mixed),
            keeps_cells=keeps_cells(self._projector),
            num_towers=len(self.towers),
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

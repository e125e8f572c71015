"""All tokens of the first tower, and of the others only where they see something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundplane.core.disagreement import disagreement
from groundplane.core.errors import InputError
from groundplane.core.fusion.costs import cost_report, projector_flops
from groundplane.core.fusion.inputs import OverTowers, need_cells
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import make_projector
from groundplane.core.towers.tower import TowerShape

__all__ = ["Saliency", "SaliencyOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencyOptions:
    """Of `saliency`.

    Attributes:
        budget: In how many cells each further tower adds its token; None: a quarter of them.

    Raises:
        InputError: If it is below 0.
    """

    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise InputError(
                f"fusion 'saliency': budget: expected a number of cells, 0 or more, got "
                f"{self.budget}"
            )


class Saliency(OverTowers):
    """`g_1(F_1)[i]` for each cell, then `g_j(F_j)[i]` where tower j disagrees most with the first.

    How much two towers disagree in a cell is `groundplane.core.disagreement`: it compares what
    each says of the likeness of the cell to all others, so it needs no training and no common
    space. Each picture has its own cells but the same number of tokens, `n + (k - 1) budget`.
    They are ordered by cell, then by tower. Of cells that disagree equally the first are taken.
    The choice has no gradient; the tokens have.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: Of each of the adapters g; it must keep the cells.
        options: The budget.

    Raises:
        InputError: If the budget is above the number of cells, or the projector gives no token
            a cell.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: SaliencyOptions,
    ) -> None:
        super().__init__("saliency", towers)
        need_cells("saliency", projector)
        cells = self._inputs.num_cells
        self.budget = -(-cells // 4) if options.budget is None else options.budget
        if self.budget > cells:
            raise InputError(
                f"fusion 'saliency': budget: expected at most the {cells} cells of "
                f"{towers[0].name!r}, got {self.budget}"
            )
        self._width = width
        self.adapters = nn.ModuleList(
            make_projector(projector, tower.width, width) for tower in towers
        )

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        first, *others = self._inputs.aligned(features, self)
        batch, cells = first.shape[:2]
        places = torch.arange(cells, device=first.device)
        tokens, keys = [self.adapters[0](first)], [(places * len(self.towers)).expand(batch, cells)]
        for tower, given in enumerate(others, start=1):
            chosen = self._salient(first, given)
            # Only what is kept is projected.
            kept = given.gather(1, chosen[..., None].expand(-1, -1, given.shape[2]))
            tokens.append(self.adapters[tower](kept))
            keys.append(chosen * len(self.towers) + tower)
        ordered, order = torch.cat(keys, dim=1).sort(dim=1)
        mixed = torch.cat(tokens, dim=1)
        mixed = mixed.gather(1, order[..., None].expand(-1, -1, mixed.shape[2]))
        return Fused(mixed, ordered // len(self.towers), ordered % len(self.towers))

    def report(self) -> FusionReport:
        """What it costs; the disagreement, `O(n^2 d)`, is counted with it."""
        cells, (first, *others) = self._inputs.num_cells, self.towers
        kept = sum(projector_flops(adapter, self.budget) for adapter in self.adapters[1:])
        # Cosines of all cells, by both towers; with very few cells there are none to compare.
        compared = sum(2 * cells**2 * (first.width + other.width) for other in others)
        return cost_report(
            self,
            tokens=cells + len(others) * self.budget,
            width=self._width,
            grid=self.grid,
            flops=projector_flops(self.adapters[0], cells) + kept + (compared if cells >= 4 else 0),
        )

    def _salient(
        self, first: Float[Tensor, "b n d"], other: Float[Tensor, "b n e"]
    ) -> Int[Tensor, "b budget"]:
        """The cells of greatest disagreement, the greatest first."""
        with torch.no_grad():
            amount = disagreement(first, other)
        return amount.argsort(dim=1, descending=True, stable=True)[:, : self.budget]

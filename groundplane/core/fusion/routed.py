"""One adapter a tower, and for each picture or question a choice among the towers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.costs import cost_report, linear_flops, projector_flops
from groundplane.core.fusion.inputs import OverTowers
from groundplane.core.fusion.layout import one_a_cell
from groundplane.core.fusion.operator import Fused, FusionReport, ProjectorRule
from groundplane.core.fusion.projectors import keeps_cells, make_projector, tokens_after
from groundplane.core.towers.tower import TowerShape

__all__ = ["Routed", "RoutedOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedOptions:
    """Of `routed`.

    Attributes:
        by: What the weights are found from: `image`, the mean of each tower's cells; `query`,
            what is asked; `both`.
        hard: One tower a picture instead of a weighted mean. All towers are still computed, so
            that the graph is the same for every picture.
        query_width: Numbers of the query; needed for `query` and `both`.

    Raises:
        InputError: If the query's width is missing, not wanted or not above 0.
    """

    by: Literal["image", "query", "both"] = "image"
    hard: bool = False
    query_width: int | None = None

    def __post_init__(self) -> None:
        if self.by not in ("image", "query", "both"):
            raise InputError(f"fusion 'routed': by: expected image, query or both, got {self.by!r}")
        if self.by == "image" and self.query_width is not None:
            raise InputError(
                f"fusion 'routed': query_width: by=image looks at no query, got {self.query_width}"
            )
        if self.by != "image" and (self.query_width is None or self.query_width < 1):
            raise InputError(
                f"fusion 'routed': query_width: by={self.by} needs a number above 0, got "
                f"{self.query_width}"
            )


class Routed(OverTowers):
    """`V = sum_j w_j g_j(F_j)`, with one weight a tower for the whole picture.

    `w = softmax(W x + c)`, where x is what it routes by. If hard, the greatest weight becomes 1
    and the others 0, while the gradient is that of the soft weights (Bengio et al., arXiv
    1308.3432, straight-through); of equal weights the first tower's wins.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: Of each of the adapters g.
        options: What it routes by, and whether it chooses or mixes.

    Source: the choice by question is that of MoVA (Zong et al., arXiv 2404.13046), much reduced.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: RoutedOptions,
    ) -> None:
        super().__init__("routed", towers)
        self._width = width
        self._options = options
        self._projector = projector
        self.adapters = nn.ModuleList(
            make_projector(projector, tower.width, width) for tower in towers
        )
        seen = 0 if options.by == "query" else sum(tower.width for tower in towers)
        self.router = nn.Linear(seen + (options.query_width or 0), len(towers))

    def weights(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Float[Tensor, "b k"]:
        """The weight of each tower; they sum to 1.

        Raises:
            InputError: If it routes by a query and there is none.
            ShapeError: If the query is not of its width, one a picture.
        """
        return self._weights(self._inputs.aligned(features, self), query)

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch. See `FusionOperator`; raises as `weights` does."""
        aligned = self._inputs.aligned(features, self)
        weights = self._weights(aligned, query)
        tokens = self.adapters[0](aligned[0]) * weights[:, :1, None]
        for tower in range(1, len(aligned)):
            share = weights[:, tower : tower + 1, None]
            tokens = torch.addcmul(tokens, self.adapters[tower](aligned[tower]), share)
        chosen = None
        if self._options.hard:
            chosen = weights.argmax(dim=1, keepdim=True).expand(tokens.shape[:2])
        return one_a_cell(
            tokens,
            keeps_cells=keeps_cells(self._projector),
            num_towers=len(self.towers),
            towers=chosen,
        )

    def report(self) -> FusionReport:
        """What it costs."""
        cells = self._inputs.num_cells
        adapters = sum(projector_flops(adapter, cells) for adapter in self.adapters)
        return cost_report(
            self,
            tokens=tokens_after(self._projector, cells),
            width=self._width,
            grid=self.grid,
            flops=adapters + linear_flops(self.router, 1),
        )

    def _weights(
        self, aligned: list[Float[Tensor, "b n _"]], query: Float[Tensor, "b q"] | None
    ) -> Float[Tensor, "b k"]:
        seen = [] if self._options.by == "query" else [given.mean(dim=1) for given in aligned]
        if self._options.by != "image":
            seen.append(self._checked_query(query, like=aligned[0]))
        logits: Tensor = self.router(torch.cat(seen, dim=1))
        soft = logits.softmax(dim=1)
        if not self._options.hard:
            return soft
        hard = functional.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft.dtype)
        # The bracket is exactly 0, so the sum is exactly 0 or 1; only its gradient is left.
        return hard + (soft - soft.detach())

    def _checked_query(self, query: Tensor | None, *, like: Tensor) -> Tensor:
        wanted = self._options.query_width
        if query is None:
            raise InputError(
                f"fusion 'routed': it routes by what is asked (by={self._options.by}): expected a "
                f"query of {wanted} numbers a picture, got none"
            )
        if query.shape != (like.shape[0], wanted):
            raise ShapeError(
                f"fusion 'routed': expected a query of shape ({like.shape[0]}, {wanted}), got "
                f"{tuple(query.shape)}"
            )
        return query.to(like.dtype)

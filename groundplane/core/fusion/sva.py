"""Learned queries on a grid, each of which looks at its own window of every tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from groundplane.core.fusion.resampling import resample
from groundplane.core.towers.tower import TowerShape

__all__ = ["Sva", "SvaOptions"]

_Grid = tuple[int, int]
# Queries begin as the positions of vision transformers do.
_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SvaOptions:
    """Of `sva`.

    Attributes:
        grid: Rows and columns of queries, each of which becomes a token; None: the first tower's.
        hidden: Width within.
        heads: Of the attention.
        layers: How often the queries look.
        windows: Side of each tower's window, cells; features are resampled to fit. None: as many
            cells as the tower has for each query, which must be a whole number.

    Raises:
        InputError: If a number is not above 0, or `hidden` cannot be split into heads.
    """

    grid: tuple[int, int] | None = None
    hidden: int = 1024
    heads: int = 16
    layers: int = 3
    windows: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        counts = (*(self.grid or ()), *(self.windows or ()))
        if min(self.hidden, self.heads, self.layers, *counts) < 1:
            raise InputError(f"fusion 'sva': expected numbers above 0, got {self}")
        if self.hidden % self.heads:
            raise InputError(
                f"fusion 'sva': hidden: expected a width that {self.heads} heads divide, got "
                f"{self.hidden}"
            )


class Sva(OverTowers):
    """The spatial vision aggregator: one token a query.

    Queries are learned, one a cell of their grid. In each layer a query, beside the context of the
    picture (the means of all towers), asks the cells of its window in every tower at once; keys
    and values are projected for each tower by itself. A feed-forward part follows.

    Args:
        towers: In order.
        width: Numbers a token.
        projector: From the queries' width to that.
        options: Grid, widths, layers, windows.

    Raises:
        ShapeError: If a tower's grid is no whole multiple of the queries' and no windows are given.
        InputError: If there is not one window a tower.

    Source: Tong et al., Cambrian-1, arXiv 2406.16860. The queries are not put into
    layers of the language model again, as they are there.
    """

    def __init__(
        self,
        towers: Sequence[TowerShape],
        width: int,
        *,
        projector: ProjectorRule,
        options: SvaOptions,
    ) -> None:
        super().__init__("sva", towers, grid=options.grid)
        self.windows = _windows(towers, self._grid, options.windows)
        self._width = width
        self._projector = projector
        rows, columns = self._grid
        self.queries = nn.Parameter(torch.randn(rows * columns, options.hidden) * _SPREAD)
        self.norms = nn.ModuleList(nn.LayerNorm(tower.width) for tower in towers)
        self.context = nn.Linear(sum(tower.width for tower in towers), options.hidden)
        widths = [tower.width for tower in towers]
        self.layers = nn.ModuleList(
            _Layer(widths, options.hidden, heads=options.heads) for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(options.hidden)
        self.adapter = make_projector(projector, options.hidden, width)

    def forward(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch; the query is not looked at. See `FusionOperator`."""
        given = self._inputs.checked(features, self)
        normed = [norm(one) for norm, one in zip(self.norms, given, strict=True)]
        context = self.context(torch.cat([one.mean(dim=1) for one in normed], dim=1))
        windowed = [
            _windowed(one, tower.grid, queries=self._grid, window=window)
            for one, tower, window in zip(normed, self.towers, self.windows, strict=True)
        ]
        queries = self.queries.expand(context.shape[0], -1, -1)
        context = context[:, None].expand_as(queries)
        for layer in self.layers:
            queries = layer(queries, context, windowed)
        return one_a_cell(
            self.adapter(self.norm(queries)),
            keeps_cells=keeps_cells(self._projector),
            num_towers=len(self.towers),
        )

    def report(self) -> FusionReport:
        """What it costs; the grid is that of the queries."""
        num_queries = self.grid[0] * self.grid[1]
        asking = sum(
            layer.flops(num_queries, self.windows)
            for layer in self.layers
            if isinstance(layer, _Layer)
        )
        return cost_report(
            self,
            tokens=tokens_after(self._projector, num_queries),
            width=self._width,
            grid=self.grid,
            flops=linear_flops(self.context, 1)
            + asking
            + projector_flops(self.adapter, num_queries),
        )


class _Layer(nn.Module):
    """Queries look once at their windows, then think for themselves."""

    def __init__(self, widths: Sequence[int], hidden: int, *, heads: int) -> None:
        super().__init__()
        self.hidden, self.heads = hidden, heads
        self.mix = nn.Linear(2 * hidden, hidden)
        self.norm_query = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.keys = nn.ModuleList(nn.Linear(width, hidden, bias=False) for width in widths)
        self.values = nn.ModuleList(nn.Linear(width, hidden, bias=False) for width in widths)
        self.output = nn.Linear(hidden, hidden)
        self.norm_thought = nn.LayerNorm(hidden)
        self.thought = nn.Sequential(
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )

    def forward(
        self,
        queries: Float[Tensor, "b q h"],
        context: Float[Tensor, "b q h"],
        windowed: list[Float[Tensor, "b q _ _"]],
    ) -> Float[Tensor, "b q h"]:
        """Queries after the layer."""
        asked = self.query(self.norm_query(self.mix(torch.cat([queries, context], dim=2))))
        keys = [key(cells) for key, cells in zip(self.keys, windowed, strict=True)]
        values = [value(cells) for value, cells in zip(self.values, windowed, strict=True)]
        # A batch of small attentions: each query is alone with the cells of its windows.
        found = functional.scaled_dot_product_attention(
            self._split(asked[:, :, None]),
            self._split(torch.cat(keys, dim=2)),
            self._split(torch.cat(values, dim=2)),
        )
        queries = queries + self.output(found.transpose(1, 2).flatten(2).view_as(queries))
        thought: Tensor = self.thought(self.norm_thought(queries))
        return queries + thought

    def flops(self, num_queries: int, windows: Sequence[_Grid]) -> int:
        """Operations for one picture."""
        towers = zip(windows, self.keys, self.values, strict=True)
        cells = [(high * wide, key, value) for (high, wide), key, value in towers]
        projected = sum(
            linear_flops(key, num_queries * window) + linear_flops(value, num_queries * window)
            for window, key, value in cells
        )
        products = 2 * 2 * num_queries * sum(window for window, _, _ in cells) * self.hidden
        own = (self.mix, self.query, self.output, self.thought)
        return projected + products + sum(linear_flops(part, num_queries) for part in own)

    def _split(self, rows: Float[Tensor, "b q w h"]) -> Float[Tensor, "bq a w c"]:
        """Each query on its own, each head on its own."""
        batch, queries, cells, hidden = rows.shape
        split = rows.reshape(batch * queries, cells, self.heads, hidden // self.heads)
        return split.transpose(1, 2)


def _windows(
    towers: Sequence[TowerShape], grid: _Grid, given: tuple[int, ...] | None
) -> tuple[_Grid, ...]:
    """Rows and columns of each tower's window."""
    if given is not None:
        if len(given) != len(towers):
            raise InputError(
                f"fusion 'sva': windows: expected {len(towers)}, one a tower, got {given}"
            )
        return tuple((side, side) for side in given)
    for tower in towers:
        if tower.grid[0] % grid[0] or tower.grid[1] % grid[1]:
            raise ShapeError(
                f"fusion 'sva': tower {tower.name!r}: its grid of {tower.grid[0]} by "
                f"{tower.grid[1]} cannot be cut into windows for {grid[0]} by {grid[1]} queries; "
                f"give the option windows, the side of each tower's, and it is resampled"
            )
    return tuple((tower.grid[0] // grid[0], tower.grid[1] // grid[1]) for tower in towers)


def _windowed(
    cells: Float[Tensor, "b n d"], grid: _Grid, *, queries: _Grid, window: _Grid
) -> Float[Tensor, "b q w d"]:
    """The cells of each query's window, in raster order within it."""
    (rows, columns), (high, wide) = queries, window
    fitted = resample(cells, grid, (rows * high, columns * wide))
    batch, _, width = fitted.shape
    split = fitted.reshape(batch, rows, high, columns, wide, width)
    return split.transpose(2, 3).reshape(batch, rows * columns, high * wide, width)

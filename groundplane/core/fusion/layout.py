"""Which cell and which tower each token is of, made where the tokens are."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.fusion.operator import MIXED, WHOLE, Fused

__all__ = ["interleave", "interleave_rows", "one_a_cell"]


def one_a_cell(
    tokens: Float[Tensor, "b m d"],
    *,
    keeps_cells: bool = True,
    num_towers: int = 2,
    towers: Int[Tensor, "b m"] | None = None,
) -> Fused:
    """Tokens that stand for the cells, in order, or for none.

    Args:
        tokens: In the order of the cells.
        keeps_cells: False if they stand for the whole picture.
        num_towers: How many towers each token is of.
        towers: Which tower each token is of, if of one.

    Examples:
        >>> one_a_cell(torch.zeros(1, 3, 8)).cells.tolist()
        [[0, 1, 2]]
        >>> one_a_cell(torch.zeros(0, 3, 8)).cells.shape
        torch.Size([0, 3])
    """
    batch, count = tokens.shape[:2]
    cells = torch.arange(count, device=tokens.device).expand(batch, count)
    if not keeps_cells:
        cells = torch.full_like(cells, WHOLE)
    if towers is None:
        towers = torch.full_like(cells, MIXED if num_towers > 1 else 0)
    return Fused(tokens, cells, towers)


def interleave(tokens: list[Float[Tensor, "b m d"]], *, keeps_cells: bool = True) -> Fused:
    """Tokens of several towers side by side: all of the first cell, all of the second, and on.

    Args:
        tokens: One a tower, in order, as many of each.
        keeps_cells: False if they stand for the whole picture.

    Source: Tong et al., Eyes Wide Shut, arXiv 2401.06209.

    Examples:
        >>> fused = interleave([torch.zeros(1, 2, 1), torch.ones(1, 2, 1)])
        >>> fused.tokens.flatten().tolist(), fused.cells.tolist(), fused.towers.tolist()
        ([0.0, 1.0, 0.0, 1.0], [[0, 0, 1, 1]], [[0, 1, 0, 1]])
        >>> interleave([torch.zeros(0, 2, 1)]).tokens.shape
        torch.Size([0, 2, 1])
    """
    mixed = interleave_rows(tokens)
    batch, count = mixed.shape[:2]
    places = torch.arange(count, device=mixed.device)
    cells = (places // len(tokens)).expand(batch, count)
    if not keeps_cells:
        cells = torch.full_like(cells, WHOLE)
    return Fused(mixed, cells, (places % len(tokens)).expand(batch, count))


def interleave_rows(tokens: list[Float[Tensor, "b m d"]]) -> Float[Tensor, "b _ d"]:
    """The tokens of `interleave` alone, in one copy.

    Examples:
        >>> interleave_rows([torch.zeros(1, 2, 1), torch.ones(1, 2, 1)]).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0]
        >>> interleave_rows([torch.zeros(1, 0, 4), torch.ones(1, 0, 4)]).shape
        torch.Size([1, 0, 4])
    """
    return tokens[0] if len(tokens) == 1 else torch.stack(tokens, dim=2).flatten(1, 2)

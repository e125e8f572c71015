"""Ranking and comparing: scores of choices, ties, and what lies between two things."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.expressions import Extreme
from groundplane.spatial.relations.sides import between_points

__all__ = ["holds_between", "lies_between", "ranked", "scores_of", "ties_of"]

# Two measures closer than this share of the larger count as a tie that a user should hear of.
_TIE = 1e-3


def scores_of(
    node: Extreme, values: Float[Tensor, " n"], groups: Sequence[Int[Tensor, " _"]]
) -> tuple[Float[Tensor, " c"], Int[Tensor, " c"]]:
    """The score of each choice, and which candidate it is of.

    An option counts by its best object; for a distance, near or far, by its nearest one.
    """
    if not groups:
        return values, torch.arange(len(values))
    far = node.largest and node.measure != "distance"
    best = [int(group[values[group].argsort(descending=far, stable=True)[0]]) for group in groups]
    places = torch.tensor(best, dtype=torch.long)
    return values[places], places


def ranked(node: Extreme, scores: Float[Tensor, " c"]) -> int:
    """The choice that has the rank asked for."""
    return int(torch.argsort(scores, descending=node.largest, stable=True)[node.rank - 1])


def ties_of(scores: Float[Tensor, " c"], chosen: int) -> list[int]:
    """The choices as good as the chosen one, which is one of them."""
    score = scores[chosen]
    size = torch.maximum(scores.abs(), score.abs()).clamp(min=1e-9)
    close = (scores - score).abs() <= _TIE * size
    rows: list[int] = close.nonzero()[:, 0].tolist()
    return rows


def lies_between(
    points: Float[Tensor, "n 2"], a: Float[Tensor, " 2"], b: Float[Tensor, " 2"], *,
    reach: Float[Tensor, " n"],
) -> Bool[Tensor, " n"]:  # fmt: skip
    """Whether the line from a to b passes within `reach` of a point, and the point beside it."""
    return between_points(points, a[None], b[None], reach=reach)[:, 0, 0]


def holds_between(operator: str, left: float, right: float, *, about: float = 0.0) -> bool:
    """Equal up to rounding, or a share of the right one, is neither more nor fewer."""
    if math.isclose(left, right, rel_tol=1e-9, abs_tol=max(1e-9, about * abs(right))):
        return operator == "equal"
    return {"more": left > right, "fewer": left < right, "equal": False}[operator]

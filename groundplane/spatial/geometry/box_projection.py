"""Nearest points of two boxes by projecting to and fro, with a proof for each pair.

The nearest point of a box to a point is a clamp in the frame of the box. Projecting to and fro
between two convex sets leads to their nearest points (Cheney and Goldstein, Proximity maps for
convex sets, Proc. AMS 10, 1959): in a few steps where a corner is nearest, and in a geometric
sequence along two crossing edges, whose limit three members tell (Aitken's delta-squared).

Nothing is taken on trust: the extents of both boxes along the line between the two points bound
the gap from below, and where that bound meets the distance of the points, the pair is settled.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.spatial.geometry.box_features import TOUCH, nearest_features, search_size
from groundplane.spatial.geometry.box_pairs import Nearest, Pairs, norms, total

__all__ = ["nearest_points", "project"]

# Random boxes in a hall: two rounds settle 98 of 100 pairs, three settle 99 at a tenth more time.
_ROUNDS = 2
_ROUNDS_OF_REST = 8
# A pair is settled within this many (machine epsilons times the size of the pair) of its bound.
_SETTLED = 8.0


def nearest_points(pairs: Pairs) -> Nearest:
    """The nearest points of every pair; gap 0 where the boxes touch or overlap."""
    if len(pairs) <= search_size(pairs):
        return nearest_features(pairs)
    best, settled = project(pairs, rounds=_ROUNDS_OF_REST)
    left = (~settled).nonzero()[:, 0]
    return best if len(left) == 0 else best.put(left, nearest_features(pairs.pick(left)))


def project(pairs: Pairs, *, rounds: int = _ROUNDS) -> tuple[Nearest, Bool[Tensor, " pairs"]]:
    """Points of every pair that are near each other, and whether they are proved the nearest.

    Args:
        pairs: Pairs of boxes.
        rounds: How often to project to and fro, at least 2.

    Returns:
        Points of both boxes and their distance; and True where no two points of the pair are
        nearer, by more than rounding. A pair that holds NaN is never settled.
    """
    start = torch.clamp(pairs.offset, min=-pairs.half_a, max=pairs.half_a)
    path = [_project_to_b(pairs, start)]
    for _ in range(rounds):
        path.append(_project_to_b(pairs, _project_to_a(pairs, path[-1])[0]))
    local = _limit(*path[-3:]).clamp_(min=-pairs.half_b, max=pairs.half_b)
    on_a, on_b = _project_to_a(pairs, local)
    return _proved(pairs, local, Nearest(gap=norms(on_b - on_a), on_a=on_a, on_b=on_b))


def _project_to_a(
    pairs: Pairs, local: Float[Tensor, "3 pairs"]
) -> tuple[Float[Tensor, "3 pairs"], Float[Tensor, "3 pairs"]]:
    """The points of a nearest to points of b's frame, and those points in a's frame."""
    on_b = pairs.from_b(local)
    return torch.clamp(on_b, min=-pairs.half_a, max=pairs.half_a), on_b


def _project_to_b(pairs: Pairs, on_a: Float[Tensor, "3 pairs"]) -> Float[Tensor, "3 pairs"]:
    """The points of b, in b's frame, nearest to points of a's frame."""
    return pairs.to_b(on_a - pairs.offset).clamp_(min=-pairs.half_b, max=pairs.half_b)


def _limit(
    first: Float[Tensor, "3 pairs"],
    second: Float[Tensor, "3 pairs"],
    third: Float[Tensor, "3 pairs"],
) -> Float[Tensor, "3 pairs"]:
    """Where a geometric sequence leads; the third member itself where it no longer moves."""
    step, next_step = second - first, third - second
    # Where two steps are alike this leads out of the box, and the proof decides as everywhere.
    bend = (step - next_step).add_(torch.finfo(step.dtype).tiny)
    return next_step.square().div_(bend).add_(third)


def _proved(
    pairs: Pairs, local: Float[Tensor, "3 pairs"], found: Nearest
) -> tuple[Nearest, Bool[Tensor, " pairs"]]:
    """Whether the extents along the line between two points leave no room for nearer ones."""
    # The point on a is the projection of the one on b, so a ends there in this direction. How far
    # b reaches back beyond its point is a sum over its axes.
    way = pairs.to_b(found.on_b - found.on_a)
    back = total((way * local).addcmul_(way.abs(), pairs.half_b), dim=0)
    eps = pairs.rounding(1.0)
    # The lower bound is gap - back / gap; both sides are multiplied by the gap.
    settled = back <= _SETTLED * eps * found.gap
    apart = found.gap * (found.gap - TOUCH * eps) > back
    return found, (settled & apart) | (found.gap == 0)

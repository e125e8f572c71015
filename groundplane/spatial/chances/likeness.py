"""Chances of relations of shape and line between boxes that are known up to noise.

Whether two things are equally large, whether a table has a long side and which it is, whether two
things stand in line: a flat prior gives such coincidences next to no chance, and scenes are full of
them. How large the true differences are is learned from the scene itself
(`groundplane.spatial.chances.shrinkage`); axes are taken as exact.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.shrinkage import window_chance
from groundplane.spatial.chances.uncertainty import covariance_of
from groundplane.spatial.relations.orientation import ROUNDING, horizontal_sides, side_ways, turn
from groundplane.spatial.thresholds import Thresholds

__all__ = ["aligned_chance", "parallel_chance", "perpendicular_chance", "same_size_chance"]

# Of things whose sides are compared with each other there are as many as objects, not as pairs.
_FEWEST_THINGS = 4
# What is learned from so few starts as if two had been seen.
_PRIOR = 2.0
# Shares of a side below a third of what counts as equal are not told apart.
_LEAST_SHARE = 1 / 3
# A certain number is given this variance, so that it has a density: far below any threshold.
_CERTAIN = 1e-12


def same_size_chance(
    subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """The chance that the sorted sides of each pair differ by a share at most."""
    (a, noise), (b, other) = (_sorted_sides(boxes) for boxes in (subjects, anchors))
    variance = noise[:, None] + other
    # A side shorter than its noise is no measure of how much two sides may differ.
    longest = torch.maximum(torch.maximum(a[:, None], b), variance.sqrt())
    lead = (a[:, None] - b) / longest
    limit = torch.full_like(lead, thresholds.size_share)
    return _learned(
        lead, _positive(variance / longest.square()), (-limit, limit), subjects is anchors,
        least_spread=thresholds.size_share * _LEAST_SHARE,
    )  # fmt: skip


def parallel_chance(
    subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """The chance that both have a long side and these run the same way."""
    return _running(subjects, anchors, thresholds, square=False)


def perpendicular_chance(
    subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """The chance that both have a long side and these cross at a right angle."""
    return _running(subjects, anchors, thresholds, square=True)


def aligned_chance(
    subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """The chance that each pair stands in line along either of its sides, seen from both."""
    there = _aligned(subjects, anchors, thresholds)
    back = there if subjects is anchors else _aligned(anchors, subjects, thresholds)
    return (there + back.T) / 2


def _aligned(subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds) -> Float[Tensor, "n m"]:
    """The same along the sides of the subject.

    The offset of the centres across a side of the subject is what noise moves. Across the anchor's
    nearest side it is the same up to the angle between the two, which is taken as it is.
    """
    ways, others = (side_ways(boxes).to(boxes.centers) for boxes in (subjects, anchors))
    sine, cosine = turn(ways[:, 0], others[:, 0])
    square = torch.minimum(sine, cosine) <= math.sin(thresholds.parallel_angle) + ROUNDING
    across, facing = _across_both(ways, others)
    way = (anchors.centers[:, :2] - subjects.centers[:, None, :2])[:, :, None]
    off, shift = (way * across).sum(dim=3), (way * (facing - across)).sum(dim=3)
    both = _ground(subjects)[:, None] + _ground(anchors)
    variance = torch.einsum("nmad,nmde,nmae->nma", across, both, across)
    limit = thresholds.side_offset
    low = -limit - shift.clamp(max=0)
    high = torch.maximum(limit - shift.clamp(min=0), low)
    same = subjects is anchors
    # Each of the two sides is a difference of its own: two tables of pairs.
    tables = [
        _learned(
            off[..., k, None], _positive(variance)[..., k, None],
            (low[..., k, None], high[..., k, None]), same, prior=_PRIOR,
        )
        for k in range(2)
    ]  # fmt: skip
    return (1 - (1 - tables[0]) * (1 - tables[1])) * square


def _across_both(
    ways: Float[Tensor, "n 2 2"], others: Float[Tensor, "m 2 2"]
) -> tuple[Float[Tensor, "n m 2 2"], Float[Tensor, "n m 2 2"]]:
    """Across each side of each subject, and across the nearest side of each anchor."""
    across = _across(ways)[:, None].expand(-1, len(others), -1, -1)
    facing = _across(others)[None].expand(len(ways), -1, -1, -1)
    product = torch.einsum("nmad,nmbd->nmab", across, facing)
    nearest = product.abs().argmax(dim=3, keepdim=True)
    facing = facing.gather(2, nearest.expand(-1, -1, -1, 2))
    return across, facing * product.gather(3, nearest).sign()


def _running(
    subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds, *, square: bool
) -> Float[Tensor, "n m"]:
    """Over which side of each is the long one: the chance of both, where the two run so."""
    same = subjects is anchors
    long = _long_chance((subjects,) if same else (subjects, anchors), thresholds)
    first, second = (long, long) if same else (long[: len(subjects)], long[len(subjects) :])
    ways, others = (side_ways(boxes).to(boxes.centers) for boxes in (subjects, anchors))
    total = first.new_zeros(len(subjects), len(anchors))
    for i in range(2):
        for j in range(2):
            sine, cosine = turn(ways[:, i], others[:, j])
            off = cosine if square else sine
            runs = off <= math.sin(thresholds.parallel_angle) + ROUNDING
            total += first[:, i, None] * second[:, j] * runs
    return total


def _long_chance(parts: tuple[Boxes3D, ...], thresholds: Thresholds) -> Float[Tensor, "n 2"]:
    """The chance that each of the two horizontal sides is the long one."""
    sides = torch.cat([horizontal_sides(boxes)[0] for boxes in parts])
    variance = torch.cat([_difference_variance(boxes) for boxes in parts])[:, None]
    longest = torch.maximum(sides.amax(dim=1, keepdim=True), variance.sqrt())
    lead = (sides[:, :1] - sides[:, 1:]) / longest
    limit = torch.full_like(lead, thresholds.size_share)
    far = torch.full_like(lead, torch.inf)
    chances = [
        window_chance(
            lead, _positive(variance / longest.square()), bounds, prior=_PRIOR,
            least_spread=thresholds.size_share * _LEAST_SHARE, fewest=_FEWEST_THINGS,
        )
        for bounds in ((limit, far), (-far, -limit))
    ]  # fmt: skip
    return torch.stack(chances, dim=1)


def _difference_variance(boxes: Boxes3D) -> Float[Tensor, " n"]:
    """The variance of the difference of the two horizontal sides."""
    upright = boxes.axes[:, :, 2].abs().argmax(dim=1)
    slope = torch.ones_like(boxes.sizes).scatter(1, ((upright + 2) % 3)[:, None], -1.0)
    slope = slope.scatter(1, upright[:, None], 0.0)
    found: Float[Tensor, " n"] = torch.einsum(
        "ni,nij,nj->n", slope, covariance_of(boxes)[:, 3:, 3:], slope
    )
    return found.clamp(min=0)


def _sorted_sides(boxes: Boxes3D) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """The sides, the shortest first, and their variances."""
    sides, order = boxes.sizes.sort(dim=1)
    variance = covariance_of(boxes)[:, 3:, 3:].diagonal(dim1=1, dim2=2).clamp(min=0)
    return sides, variance.gather(1, order)


def _across(ways: Float[Tensor, "n 2 2"]) -> Float[Tensor, "n 2 2"]:
    """The directions a quarter turn to the left of these."""
    return torch.stack([-ways[..., 1], ways[..., 0]], dim=-1)


def _ground(boxes: Boxes3D) -> Float[Tensor, "n 2 2"]:
    return covariance_of(boxes)[:, :2, :2]


def _positive(variance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return variance.clamp(min=_CERTAIN)


def _learned(
    lead: Float[Tensor, "n m k"], variance: Float[Tensor, "n m k"],
    bounds: tuple[Float[Tensor, "n m k"], Float[Tensor, "n m k"]], same: bool, **options: float,
) -> Float[Tensor, "n m"]:  # fmt: skip
    """`window_chance` of a table; a thing and itself are alike in truth and teach nothing."""
    taught = ~(torch.eye(*lead.shape[:2], dtype=torch.bool, device=lead.device) & same)
    low, high = (bound[taught] for bound in bounds)
    found = window_chance(lead[taught], variance[taught], (low, high), **options)  # type: ignore[arg-type]
    return torch.ones_like(lead[..., 0]).masked_scatter(taught, found)

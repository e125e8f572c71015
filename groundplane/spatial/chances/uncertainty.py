"""Error bars of numbers measured on boxes that are known up to noise.

Boxes may carry the covariance of (center, size). It is read as what was observed, scattered about
the truth; with no other knowledge the truth then lies about what was observed in the same way.

Numbers get a first-order interval: the value as observed, and as much to either side as its
gradient makes of the covariance. To add noise to the boxes again and take the percentiles would be
biased: distances and longest sides are norms and maxima, which noise lengthens, and the boxes
observed hold that noise once already (docs/error-bars.md has the comparison). The gradient of a
gap is exact: with u the direction between the closest points, it is u for a centre, and minus half
of |u| along each of the box's own axes for a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.relations import THRESHOLDS
from groundplane.spatial.scene import check_pairs

__all__ = [
    "LEVEL",
    "Interval",
    "bearing_interval",
    "center_distance_interval",
    "covariance_of",
    "distance_interval",
    "paired_distance_interval",
    "quantile",
    "signed_gap",
    "size_interval",
    "variance_of",
]

LEVEL = 0.9
# Shorter than this a way has no direction that its digits tell.
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interval:
    """Where numbers lie with the probability asked for.

    Attributes:
        value: As measured on the boxes as they are.
        low: The lower ends.
        high: The upper ends.
    """

    value: Float[Tensor, "*shape"]
    low: Float[Tensor, "*shape"]
    high: Float[Tensor, "*shape"]

    def holds(self, truth: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
        """Whether each interval contains a number."""
        return (truth >= self.low) & (truth <= self.high)


def distance_interval(a: Boxes3D, b: Boxes3D, *, level: float = LEVEL) -> Interval:
    """The exact gaps of all pairs; see `paired_distance_interval`.

    Returns:
        n by m, metres.

    Raises:
        UnsupportedError: If so many pairs would not fit in memory.
    """
    check_pairs(len(a), len(b))
    device = a.centers.device
    rows = torch.arange(len(a), device=device).repeat_interleave(len(b))
    columns = torch.arange(len(b), device=device).repeat(len(a))
    flat = paired_distance_interval(a[rows], b[columns], level=level)
    shape = (len(a), len(b))
    return Interval(
        value=flat.value.view(shape), low=flat.low.view(shape), high=flat.high.view(shape)
    )


def paired_distance_interval(a: Boxes3D, b: Boxes3D, *, level: float = LEVEL) -> Interval:
    """The exact gap of box i of `a` and box i of `b`.

    Boxes that overlap have a gap of 0; how deep they do so says whether they may be apart.

    Args:
        a: n boxes, metres.
        b: As many boxes on the same device, with errors of their own.
        level: The probability that the interval holds the true gap.

    Raises:
        ShapeError: If the numbers of boxes differ.
        InputError: If the level is not between 0 and 1.

    Examples:
        >>> eye, sigma = torch.eye(3)[None], 0.1**2 * torch.eye(6)[None]
        >>> one = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=eye, covariance=sigma
        ... )
        >>> far = Boxes3D(centers=torch.tensor([[3.0, 0, 0]]), sizes=torch.ones(1, 3), axes=eye)
        >>> found = paired_distance_interval(one, far)
        >>> [round(float(end), 2) for end in (found.low, found.value, found.high)]
        [1.82, 2.0, 2.18]
        >>> nothing = one[torch.zeros(0, dtype=torch.long)]
        >>> paired_distance_interval(nothing, nothing).value.shape
        torch.Size([0])
    """
    signed, spread = signed_gap(a, b)
    reach = quantile(level) * spread
    low, high = (signed - reach).clamp(min=0), (signed + reach).clamp(min=0)
    return Interval(value=signed.clamp(min=0), low=low, high=high)


def signed_gap(a: Boxes3D, b: Boxes3D) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The gap of box i of `a` and box i of `b`, and its standard deviation to first order.

    Returns:
        Metres; negative where the boxes overlap: minus the least move that parts them.

    Raises:
        ShapeError: If the numbers of boxes differ.
    """
    on_a, on_b, gap = closest_points(a, b)
    deep, inward = _penetration(a, b)
    way = torch.div(on_b - on_a, gap.clamp(min=_TINY)[:, None])
    along = torch.where((gap > 0)[:, None], way, inward)
    variance = variance_of(a, _slope(a, -along)) + variance_of(b, _slope(b, along))
    return torch.where(gap > 0, gap, -deep), variance.sqrt()


def center_distance_interval(a: Boxes3D, b: Boxes3D, *, level: float = LEVEL) -> Interval:
    """The distance between the centres of box i of `a` and box i of `b`, metres.

    Where the centres coincide no direction is known: the widest spread is taken.

    Raises:
        ShapeError: If the numbers of boxes differ.
        InputError: If the level is not between 0 and 1.
    """
    _check_paired(a, b)
    way = b.centers - a.centers
    length = way.norm(dim=1)
    both = covariance_of(a)[:, :3, :3] + covariance_of(b)[:, :3, :3]
    along = torch.einsum("ni,nij,nj->n", way, both, way) / length.clamp(min=_TINY).square()
    widest = torch.linalg.eigvalsh(both)[:, -1]
    spread = torch.where(length > _TINY, along, widest).clamp(min=0).sqrt()
    reach = quantile(level) * spread
    return Interval(value=length, low=(length - reach).clamp(min=0), high=length + reach)


def size_interval(boxes: Boxes3D, *, level: float = LEVEL) -> Interval:
    """The longest side of each box, metres.

    Raises:
        InputError: If the level is not between 0 and 1.

    Examples:
        >>> box = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.tensor([[1.0, 2.0, 0.5]]),
        ...     axes=torch.eye(3)[None], covariance=0.1**2 * torch.eye(6)[None],
        ... )
        >>> found = size_interval(box)
        >>> round(float(found.low), 2), round(float(found.high), 2)
        (1.84, 2.16)
    """
    value, longest = boxes.sizes.max(dim=1)
    slope = torch.cat([torch.zeros_like(boxes.sizes), _one_hot(longest, boxes.sizes)], dim=1)
    reach = quantile(level) * variance_of(boxes, slope).sqrt()
    return Interval(value=value, low=(value - reach).clamp(min=0), high=value + reach)


def bearing_interval(
    origins: Boxes3D, facing: Boxes3D, targets: Boxes3D, *, level: float = LEVEL
) -> Interval:
    """The angle to turn left from the line of sight, at i of `origins`, until target i is ahead.

    Returns:
        Degrees; the value in [0, 360) counter-clockwise, the ends to either side of
        it without a jump at 360, at most half a turn off. NaN where a direction is undefined.

    Raises:
        ShapeError: If the numbers of boxes differ.
        InputError: If the level is not between 0 and 1.
    """
    _check_paired(origins, facing)
    _check_paired(origins, targets)
    here = origins.centers[:, :2]
    sight_line, way = facing.centers[:, :2] - here, targets.centers[:, :2] - here
    cross = sight_line[:, 0] * way[:, 1] - sight_line[:, 1] * way[:, 0]
    angle = torch.rad2deg(torch.atan2(cross, (sight_line * way).sum(dim=1)))
    value = torch.where(angle < 0, angle + 360, angle)
    sight, look = _turning(sight_line), _turning(way)
    variance = sum(
        torch.einsum("ni,nij,nj->n", slope, covariance_of(boxes)[:, :2, :2], slope)
        for boxes, slope in ((targets, look), (facing, -sight), (origins, sight - look))
    )
    reach = torch.rad2deg(quantile(level) * torch.as_tensor(variance).clamp(min=0).sqrt())
    reach = torch.where(_known(sight_line) & _known(way), reach.clamp(max=180.0), torch.nan)
    value = value + 0 * reach
    return Interval(value=value, low=value - reach, high=value + reach)


def quantile(level: float) -> float:
    """How many standard deviations to either side hold so much of a normal distribution."""
    if not 0 < level < 1:
        raise InputError(f"level: expected a probability between 0 and 1, got {level}")
    half = torch.tensor(0.5 + level / 2, dtype=torch.float64)
    return float(torch.special.ndtri(half))


def _check_paired(a: Boxes3D, b: Boxes3D) -> None:
    if len(a) != len(b):
        raise ShapeError(f"box i of one goes with box i of the other, got {len(a)} and {len(b)}")


def covariance_of(boxes: Boxes3D) -> Float[Tensor, "n 6 6"]:
    if boxes.covariance is not None:
        return boxes.covariance
    return boxes.centers.new_zeros(len(boxes), 6, 6)


def variance_of(boxes: Boxes3D, slope: Float[Tensor, "n 6"]) -> Float[Tensor, " n"]:
    """The variance of a linear form of (center, size) of each box."""
    found: Float[Tensor, " n"] = torch.einsum("ni,nij,nj->n", slope, covariance_of(boxes), slope)
    return found.clamp(min=0)


def _slope(boxes: Boxes3D, along: Float[Tensor, "n 3"]) -> Float[Tensor, "n 6"]:
    """What the gap gains as the box moves along a direction away from the other, or grows."""
    return torch.cat([along, -_reach(boxes, along)], dim=1)


def _reach(boxes: Boxes3D, along: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """What each metre of each side adds to the reach along a direction."""
    return (boxes.axes * along[:, None]).sum(dim=2).abs() / 2


def _penetration(a: Boxes3D, b: Boxes3D) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """The least move that parts boxes that overlap, metres, and its direction for b.

    The direction is one of the 15 axes that decide overlap (Gottschalk, Lin and Manocha, OBBTree,
    SIGGRAPH 1996).
    """
    crossed = torch.linalg.cross(a.axes[:, :, None], b.axes[:, None]).flatten(1, 2)
    length = crossed.norm(dim=2, keepdim=True)
    # Parallel edges cross to nothing: one of the faces stands in.
    crossed = torch.where(length > 1e-6, crossed / length.clamp(min=1e-6), a.axes[:, :1])
    axes = torch.cat([a.axes, b.axes, crossed], dim=1)
    way = (axes * (b.centers - a.centers)[:, None]).sum(dim=2)
    reach = sum(
        ((axes[:, :, None] * box.axes[:, None]).sum(dim=3).abs() * box.sizes[:, None] / 2).sum(
            dim=2
        )
        for box in (a, b)
    )
    depth, best = (reach - way.abs()).min(dim=1)
    rows = torch.arange(len(a), device=way.device)
    side = torch.where(way[rows, best] < 0, -1.0, 1.0).to(way)
    return depth.clamp(min=0), axes[rows, best] * side[:, None]


def _one_hot(index: Tensor, like: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    return torch.zeros_like(like).scatter(1, index[:, None], 1.0)


def _turning(way: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """How the bearing of a way changes as its end moves, radians a metre."""
    across = torch.stack([-way[:, 1], way[:, 0]], dim=1)
    return torch.div(across, way.square().sum(dim=1, keepdim=True))


def _known(way: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
    """Whether a way has a direction."""
    return torch.gt(way.norm(dim=1), THRESHOLDS.least_ray)

"""Relations of direction: what faces what, what runs parallel, what stands in line.

A front is a direction that the scene states of a thing; most boxes have none. Where a front is
needed and not known (NaN, or straight up or down) a relation does not hold, and `has_front` tells
whether it could have. A long side is a horizontal side that is clearly longer than the other; a
thing without one runs in no direction, and `has_long_side` tells. All is seen from above.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.tables import require_table
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = [
    "ROUNDING", "aligned_with", "facing", "facing_away", "has_front", "has_long_side",
    "horizontal_sides", "opposite", "parallel", "perpendicular", "side_ways", "turn",
]  # fmt: skip

# Unit vectors and their products are off by rounding only; an angle on its limit still counts.
ROUNDING = 1e-9
# A direction that is steeper than this has no horizontal part.
_LEAST_FLAT = 1e-6
# Of each pair while a table is made, `aligned_with` the most: some vectors of float64.
_BYTES = 88


def has_front(fronts: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
    """Whether each front is known and has a horizontal part.

    Examples:
        >>> has_front(torch.tensor([[1.0, 0, 0], [0, 0, 1], [torch.nan] * 3])).tolist()
        [True, False, False]
        >>> has_front(torch.zeros(0, 3)).tolist()
        []
    """
    known: Bool[Tensor, " n"] = fronts[:, :2].norm(dim=1) > _LEAST_FLAT
    return known


def facing(
    subjects: Boxes3D, anchors: Boxes3D, fronts: Float[Tensor, "n 3"], *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:  # fmt: skip
    """Whether each subject's front points at each anchor's centre, 45 degrees off at most.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        fronts: The front of each subject, world frame; NaN where unknown, which faces nothing.
        thresholds: The numbers that it turns on.

    Raises:
        ShapeError: If there is not one front a subject.

    Examples:
        >>> boxes = Boxes3D(centers=torch.tensor([[0.0, 0, 0], [2, 1, 0]]),
        ...                 sizes=torch.ones(2, 3), axes=torch.eye(3).expand(2, 3, 3))
        >>> facing(boxes, boxes, torch.tensor([[1.0, 0, 0], [1, 0, 0]])).tolist()
        [[False, True], [False, False]]
        >>> facing(boxes[torch.zeros(0, dtype=torch.long)], boxes, torch.zeros(0, 3)).shape
        torch.Size([0, 2])
    """
    along = _along_front(subjects, anchors, fronts, thresholds)
    return along >= math.cos(thresholds.facing_angle) - ROUNDING


def facing_away(
    subjects: Boxes3D, anchors: Boxes3D, fronts: Float[Tensor, "n 3"], *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:  # fmt: skip
    """Whether each anchor's centre is at each subject's back, 135 degrees off its front or more.

    Between facing and facing away lies what is neither. See `facing`.
    """
    along = _along_front(subjects, anchors, fronts, thresholds)
    return along <= math.cos(thresholds.back_angle) + ROUNDING


def opposite(
    subjects: Boxes3D, anchors: Boxes3D, fronts: Float[Tensor, "n 3"],
    anchor_fronts: Float[Tensor, "m 3"], *, thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:  # fmt: skip
    """Whether each pair stands face to face; needs both fronts."""
    there = facing(subjects, anchors, fronts, thresholds=thresholds)
    return there & facing(anchors, subjects, anchor_fronts, thresholds=thresholds).T


def horizontal_sides(
    boxes: Boxes3D,
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2 2"]]:
    """Lengths of the two sides that are not upright, metres, and their axes seen from above.

    The upright side is the one whose axis is most parallel to z: boxes fitted to scans lean, and
    the outline of a leaning box seen from above is too wide.
    """
    upright = boxes.axes[:, :, 2].abs().argmax(dim=1)
    rest = torch.stack([(upright + 1) % 3, (upright + 2) % 3], dim=1)
    axes = boxes.axes[:, :, :2].gather(1, rest[:, :, None].expand(-1, -1, 2))
    return boxes.sizes.gather(1, rest), axes


def has_long_side(boxes: Boxes3D, *, thresholds: Thresholds = THRESHOLDS) -> Bool[Tensor, " n"]:
    """Whether one horizontal side is longer than the other by more than the share of noise."""
    sides, _ = horizontal_sides(boxes)
    longer = sides.amax(dim=1)
    return longer - sides.amin(dim=1) > thresholds.size_share * longer


def parallel(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether the long sides of each pair run the same way, up to 10 degrees.

    Nothing is parallel to a thing without a long side. Symmetric; holds of a thing and itself.
    """
    require_table(subjects, anchors, each=_BYTES)
    sine, _ = turn(*(_long_way(boxes, thresholds) for boxes in (subjects, anchors)))
    return sine <= math.sin(thresholds.parallel_angle) + ROUNDING


def perpendicular(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether the long sides of each pair cross at a right angle, up to 10 degrees; symmetric."""
    require_table(subjects, anchors, each=_BYTES)
    _, cosine = turn(*(_long_way(boxes, thresholds) for boxes in (subjects, anchors)))
    return cosine <= math.sin(thresholds.parallel_angle) + ROUNDING


def aligned_with(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each pair stands in line: sides parallel or square, and centres on one middle line.

    The middle line of each of the two, along one of its sides, passes the other's centre within
    the noise of centres. Symmetric; holds of a thing and itself, and of what stands right above it.
    """
    require_table(subjects, anchors, each=_BYTES)
    first, second = (side_ways(boxes) for boxes in (subjects, anchors))
    sine, cosine = turn(first[:, 0], second[:, 0])
    square = torch.minimum(sine, cosine) <= math.sin(thresholds.parallel_angle) + ROUNDING
    there = _off_line(first, subjects, anchors) <= thresholds.side_offset
    back = _off_line(second, anchors, subjects) <= thresholds.side_offset
    return square & there & back.T


def _along_front(
    subjects: Boxes3D, anchors: Boxes3D, fronts: Float[Tensor, "n 3"], thresholds: Thresholds
) -> Float[Tensor, "n m"]:
    """Cosine between each subject's front and the way to each anchor; NaN where there is none."""
    if tuple(fronts.shape) != (len(subjects), 3):
        raise ShapeError(
            f"fronts: expected one a thing, of shape ({len(subjects)}, 3), got "
            f"{tuple(fronts.shape)}; NaN stands for one that is not known"
        )
    require_table(subjects, anchors, each=_BYTES)
    flat = fronts[:, None, :2].double()
    way = _ground(anchors)[None] - _ground(subjects)[:, None]
    distance = torch.where(way.norm(dim=2) > thresholds.least_ray, way.norm(dim=2), torch.nan)
    length = torch.where(flat.norm(dim=2) > _LEAST_FLAT, flat.norm(dim=2), torch.nan)
    return (way * flat).sum(dim=2) / (distance * length)


def _ground(boxes: Boxes3D) -> Float[Tensor, "n 2"]:
    return boxes.centers[:, :2].double()


def side_ways(boxes: Boxes3D) -> Float[Tensor, "n 2 2"]:
    """Unit directions of the two horizontal sides, seen from above."""
    _, axes = horizontal_sides(boxes)
    ways: Float[Tensor, "n 2 2"] = axes.double() / axes.double().norm(dim=2, keepdim=True)
    return ways


def _long_way(boxes: Boxes3D, thresholds: Thresholds) -> Float[Tensor, "n 2"]:
    """Unit direction of the long side seen from above, NaN without one."""
    sides, _ = horizontal_sides(boxes)
    longest = sides.argmax(dim=1)[:, None, None].expand(-1, 1, 2)
    way = side_ways(boxes).gather(1, longest)[:, 0]
    return torch.where(has_long_side(boxes, thresholds=thresholds)[:, None], way, torch.nan)


def turn(
    a: Float[Tensor, "n 2"], b: Float[Tensor, "m 2"]
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
    """Sine and cosine of the angle between two directions, without their signs."""
    sine = a[:, None, 0] * b[:, 1] - a[:, None, 1] * b[:, 0]
    return sine.abs(), (a[:, None] * b).sum(dim=2).abs()


def _off_line(
    ways: Float[Tensor, "n 2 2"], boxes: Boxes3D, others: Boxes3D
) -> Float[Tensor, "n m"]:
    """How far each other's centre lies off the nearer of the two middle lines of each box."""
    off = _ground(others)[None] - _ground(boxes)[:, None]
    sine = ways[:, None, :, 0] * off[:, :, None, 1] - ways[:, None, :, 1] * off[:, :, None, 0]
    return sine.abs().amin(dim=2)

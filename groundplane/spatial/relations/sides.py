"""Left, right, in front and behind, and what lies between: by centres, seen from above.

A view is where a viewer looks; left and right compare across it and nothing else, front and back
along it, so that a thing may be both left of and behind another. In front is nearer to the viewer.
One view serves all pairs, or each anchor has its own: for somebody who stands before each anchor
and faces it, that is the opposite of the anchor's front.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations.orientation import horizontal_sides
from groundplane.spatial.scale.tables import require_table
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = [
    "bearing", "behind", "between", "between_points", "in_front_of", "left_of", "right_of",
]  # fmt: skip

View = Float[Tensor, " 3"] | Float[Tensor, "m 3"]
# A direction that is steeper than this has no horizontal part.
_LEAST_FLAT = 1e-6
# Of each pair while a table is made: five numbers.
_BYTES = 44
# Triples told at once; each takes about forty bytes meanwhile.
_MOST_TRIPLES = 50_000_000


def left_of(
    subjects: Boxes3D, anchors: Boxes3D, view: View, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further left than each anchor.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        view: Where the viewer looks, world frame; only its horizontal part counts. Of one view an
            anchor, those without a horizontal part, or of NaN, have no sides: nothing is left.
        thresholds: The numbers that it turns on.

    Raises:
        ShapeError: If it is neither one vector nor one an anchor.
        InputError: If the only view has no horizontal part.

    Examples:
        >>> boxes = Boxes3D(centers=torch.tensor([[0.0, 0, 0], [2, 0, 0]]),
        ...                 sizes=torch.ones(2, 3), axes=torch.eye(3).expand(2, 3, 3))
        >>> left_of(boxes, boxes, torch.tensor([0.0, 1, 0])).tolist()
        [[False, True], [False, False]]
        >>> left_of(boxes[torch.zeros(0, dtype=torch.long)], boxes, torch.tensor([0.0, 1, 0])).shape
        torch.Size([0, 2])
    """
    ahead = _ahead(view, len(anchors))
    return _further(subjects, anchors, torch.stack([-ahead[1], ahead[0]]), thresholds)


def right_of(
    subjects: Boxes3D, anchors: Boxes3D, view: View, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further right than each anchor; see `left_of`."""
    ahead = _ahead(view, len(anchors))
    return _further(subjects, anchors, torch.stack([ahead[1], -ahead[0]]), thresholds)


def in_front_of(
    subjects: Boxes3D, anchors: Boxes3D, view: View, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is nearer to the viewer than each anchor; see `left_of`."""
    return _further(subjects, anchors, -_ahead(view, len(anchors)), thresholds)


def behind(
    subjects: Boxes3D, anchors: Boxes3D, view: View, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further from the viewer than each anchor; see `left_of`."""
    return _further(subjects, anchors, _ahead(view, len(anchors)), thresholds)


def between(
    subjects: Boxes3D, a: Boxes3D, b: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n a b"]:
    """Whether the line from each a to each b runs through each subject, seen from above.

    It runs through a thing that it passes no further from the centre than half of the thing's
    longer horizontal side, and that lies beside the line, not beyond its ends. Heights do not
    count, and a thing is not between itself and another.

    Raises:
        InputError: If there are more than 50 million triples; take fewer ends at a time.
    """
    sides, _ = horizontal_sides(subjects)
    return between_points(
        subjects.centers[:, :2], a.centers[:, :2], b.centers[:, :2], reach=sides.amax(dim=1) / 2,
        thresholds=thresholds,
    )  # fmt: skip


def between_points(
    points: Float[Tensor, "n 2"], a: Float[Tensor, "a 2"], b: Float[Tensor, "b 2"], *,
    reach: Float[Tensor, " n"], thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n a b"]:  # fmt: skip
    """Whether the line from each a to each b passes within `reach` of each point, beside it.

    Raises:
        InputError: If there are more than 50 million triples; take fewer ends at a time.

    Examples:
        >>> ends = torch.tensor([[0.0, 0], [4, 0]])
        >>> points = torch.tensor([[2.0, 0.4], [2.0, 0.6], [5.0, 0.0]])
        >>> between_points(points, ends[:1], ends[1:], reach=torch.full((3,), 0.5)).flatten()
        tensor([ True, False, False])
        >>> between_points(points, ends[:0], ends[1:], reach=torch.full((3,), 0.5)).shape
        torch.Size([3, 0, 1])
    """
    triples = len(points) * len(a) * len(b)
    if triples > _MOST_TRIPLES:
        raise InputError(
            f"between: {len(points):,} subjects by {len(a):,} by {len(b):,} ends are {triples:,} "
            f"triples, and at most {_MOST_TRIPLES:,} are told at once; give fewer ends at a time"
        )
    points, a, b, reach = points.double(), a.double(), b.double(), reach.double()
    line = b[None] - a[:, None]
    length = line.norm(dim=2)
    way = points[:, None] - a[None]
    along = torch.einsum("nax,abx->nab", way, line)
    normal = torch.stack([-line[..., 1], line[..., 0]], dim=2)
    across = torch.einsum("nax,abx->nab", way, normal).abs()
    least = thresholds.least_ray * length
    beside = (along > least) & (along < length**2 - least) & (length > thresholds.least_ray)
    crossed = across <= reach[:, None, None] * length
    found: Bool[Tensor, "n a b"] = beside & crossed
    return found


def bearing(
    origin: Float[Tensor, "a 2"], facing: Float[Tensor, "b 2"], targets: Float[Tensor, "c 2"]
) -> Float[Tensor, "a b c"]:
    """Angle to turn left from the line of sight until a target stands ahead.

    Args:
        origin: Where a person stands, x and y, metres.
        facing: The point looked at.
        targets: The points to turn to.

    Returns:
        Degrees in [0, 360), counter-clockwise from above: 90 is left, 270 right. NaN where the
        point looked at or the target coincides with the origin.

    Examples:
        >>> here, ahead = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
        >>> bearing(here, ahead, torch.tensor([[0.0, 2.0], [-1.0, 0.0], [3.0, 0.0]]))
        tensor([[[  0.,  90., 270.]]])
        >>> bearing(here, ahead, torch.zeros(0, 2)).shape
        torch.Size([1, 1, 0])
    """
    sight = (facing[None] - origin[:, None])[:, :, None]
    way = (targets[None] - origin[:, None])[:, None]
    cross = sight[..., 0] * way[..., 1] - sight[..., 1] * way[..., 0]
    angle = torch.rad2deg(torch.atan2(cross, (sight * way).sum(dim=-1)))
    turn = angle + 360 * (angle < 0)
    # A hair to the right of the line of sight rounds to a full turn.
    turn = torch.where(turn >= 360, torch.zeros_like(turn), turn)
    known = torch.minimum(sight.norm(dim=-1), way.norm(dim=-1)) > THRESHOLDS.least_ray
    return torch.where(known, turn, torch.nan)


def _ahead(view: View, count: int) -> Float[Tensor, "2 *m"]:
    """The horizontal part of each view, of length 1; NaN for an anchor's view that has none."""
    if tuple(view.shape) not in ((3,), (count, 3)):
        raise ShapeError(
            f"view: expected one vector of shape (3,), or one an anchor of shape ({count}, 3), got "
            f"{tuple(view.shape)}"
        )
    flat = view[..., :2]
    length = flat.norm(dim=-1, keepdim=True)
    known = length.isfinite() & (length > _LEAST_FLAT)
    if view.dim() == 1 and not bool(known):
        raise InputError(
            f"view: expected a direction with a horizontal part, got {view.tolist()};"
            " give where the viewer looks in the x-y plane"
        )
    return (flat / torch.where(known, length, torch.nan)).movedim(-1, 0)


def _further(
    subjects: Boxes3D, anchors: Boxes3D, direction: Float[Tensor, "2 *m"], thresholds: Thresholds
) -> Bool[Tensor, "n m"]:
    """Whether each subject's centre lies further along a direction than each anchor's."""
    require_table(subjects, anchors, each=_BYTES)
    x, y = (subjects.centers[:, i, None] - anchors.centers[:, i] for i in (0, 1))
    return x * direction[0] + y * direction[1] > thresholds.side_offset

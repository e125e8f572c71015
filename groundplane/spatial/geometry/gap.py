"""Exact shortest distance between oriented boxes, for all pairs at once.

Three steps, each for the pairs that the one before could not prove: a few projections to and fro,
more of them, and every feature of both boxes against the other (`box_projection`,
`box_features`). What is given is exact up to rounding, whichever step gave it.

Work goes tile by tile, so memory stays under 32 MB beside the result on a CPU, and under 1 GB on
a GPU, where wide tiles pay.

Boxes are taken as `Boxes3D` describes them: flat ones have gaps like others, and NaN gives NaN.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.box_features import TOUCH, separation, shared_points
from groundplane.spatial.geometry.box_pairs import (
    across,
    drawn,
    norms,
    paired,
    ranges,
    tile_size,
    tiles,
)
from groundplane.spatial.geometry.box_projection import nearest_points, project

__all__ = ["box_gaps", "closest_points", "overlaps", "points_to_boxes"]

# A table of so few pairs is searched at once: it takes as long as the first projections.
_FEW = 200
# Pairs drawn from here and there are copied, nine numbers for the axes: half a tile at once.
_TILES_TO_A_DRAW = 2
# Rows whose unproved pairs are settled together, so that small batches of them do not add up.
_BLOCK = 1_048_576


def box_gaps(a: Boxes3D, b: Boxes3D) -> Float[Tensor, "n m"]:
    """Shortest distance between each box of `a` and each box of `b`.

    Args:
        a: n boxes, metres.
        b: m boxes on the same device.

    Returns:
        Metres; 0 where the boxes touch or overlap, which takes in gaps too small to tell from
        rounding (in float32 about a millionth of the pair's extent). A box holding NaN gives NaN.

    Examples:
        >>> one = Boxes3D(
        ...     centers=torch.zeros(1, 3), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> far = Boxes3D(
        ...     centers=torch.tensor([[3.0, 0, 0]]), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> box_gaps(one, far)
        tensor([[2.]])
        >>> box_gaps(one, one[torch.zeros(0, dtype=torch.long)]).shape
        torch.Size([1, 0])
    """
    dtype = torch.promote_types(a.centers.dtype, b.centers.dtype)
    gaps = torch.empty(len(a), len(b), dtype=dtype, device=a.centers.device)
    for rows in ranges(len(a), step=max(1, _BLOCK // max(1, len(b)))):
        _fill(gaps[rows], drawn(a, _places(rows, gaps.device)), b)
    return gaps


def closest_points(
    a: Boxes3D, b: Boxes3D
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """Where box i of `a` and box i of `b` come nearest.

    Args:
        a: n boxes, metres.
        b: As many boxes on the same device.

    Returns:
        A point of each `a`, a point of each `b`, world frame, and their distance. Boxes that
        touch or overlap give twice one point that both hold, and 0. Where several pairs of points
        are equally near, one of them.

    Raises:
        ShapeError: If the numbers of boxes differ.
    """
    if len(a) != len(b):
        raise ShapeError(
            f"closest_points: box i of a is paired with box i of b, got {len(a)} and {len(b)}"
            " boxes; use box_gaps for all pairs"
        )
    device = a.centers.device
    places = [
        _places(rows, device) for rows in ranges(len(a), step=tile_size(device) // _TILES_TO_A_DRAW)
    ]
    parts = [_closest(a[some], b[some]) for some in places]
    return (
        torch.cat([part[0] for part in parts] or [a.centers]),
        torch.cat([part[1] for part in parts] or [a.centers]),
        torch.cat([part[2] for part in parts] or [a.centers[:, 0]]),
    )


def overlaps(a: Boxes3D, b: Boxes3D) -> Bool[Tensor, "n m"]:
    """Whether each box of `a` touches or overlaps each box of `b`, by separating axes.

    Args:
        a: n boxes, metres.
        b: m boxes on the same device.

    Returns:
        True where no axis separates the pair by more than rounding.
    """
    found = torch.zeros(len(a), len(b), dtype=torch.bool, device=a.centers.device)
    for rows, columns in tiles(len(a), len(b), size=tile_size(found.device)):
        pairs = across(a, b, rows, columns)
        # Only pairs whose bounding spheres meet can overlap; twice the touch is rounding.
        reach = norms(pairs.half_a) + norms(pairs.half_b) + 2 * pairs.rounding(TOUCH)
        near = norms(pairs.offset) <= reach
        rest = pairs.pick(near.nonzero()[:, 0])
        met = near.masked_scatter(near, separation(rest) <= rest.rounding(TOUCH))
        found[rows, columns] = met.view_as(found[rows, columns])
    return found


def points_to_boxes(points: Float[Tensor, "n 3"], boxes: Boxes3D) -> Float[Tensor, "n m"]:
    """Distance of each point to each box.

    Args:
        points: World frame, metres.
        boxes: m boxes on the same device.

    Returns:
        Metres; 0 inside a box.
    """
    dtype = torch.promote_types(points.dtype, boxes.centers.dtype)
    distances = torch.empty(len(points), len(boxes), dtype=dtype, device=points.device)
    for rows, columns in tiles(len(points), len(boxes), size=tile_size(points.device)):
        offset = points[rows, None] - boxes.centers[None, columns]
        local = (offset[:, :, None] * boxes.axes[None, columns]).sum(dim=-1)
        excess = (local.abs() - boxes.sizes[None, columns] / 2).clamp(min=0)
        distances[rows, columns] = torch.linalg.vector_norm(excess, dim=-1)
    return distances


def _places(rows: slice, device: torch.device) -> Int[Tensor, " _"]:
    """A range of places as an index, which is how boxes are picked."""
    return torch.arange(rows.start, rows.stop, device=device)


def _fill(gaps: Float[Tensor, "n m"], a: Boxes3D, b: Boxes3D) -> None:
    """Write the gaps of all pairs: first those that a few projections prove, then the rest."""
    if 0 < gaps.numel() <= _FEW:
        gaps.copy_(
            nearest_points(across(a, b, slice(0, len(a)), slice(0, len(b)))).gap.view_as(gaps)
        )
        return
    for rows, columns in tiles(len(a), len(b), size=tile_size(gaps.device)):
        found, proved = project(across(a, b, rows, columns))
        tile = gaps[rows, columns]
        tile.copy_(torch.where(proved, found.gap, -1).view_as(tile))
    left = (gaps < 0).nonzero()
    for some in ranges(len(left), step=tile_size(gaps.device) // _TILES_TO_A_DRAW):
        row, column = left[some].unbind(dim=1)
        found = nearest_points(paired(drawn(a, row), drawn(b, column)))
        gaps.view(-1).index_copy_(0, row * len(b) + column, found.gap)


def _closest(
    a: Boxes3D, b: Boxes3D
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """`closest_points` of a few pairs."""
    pairs = paired(a, b)
    near = nearest_points(pairs)
    shared = shared_points(pairs)
    touch = near.gap == 0
    on_a = torch.where(touch, shared, near.on_a).T
    on_b = torch.where(touch, shared, near.on_b).T
    to_world = [(point[:, :, None] * a.axes).sum(dim=1) + a.centers for point in (on_a, on_b)]
    return to_world[0], to_world[1], near.gap

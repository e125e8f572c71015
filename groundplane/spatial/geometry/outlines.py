"""Outlines of boxes seen from above, as tensors: their areas, what two share, distances.

The shadow of a box is a zonogon: the sum of the shadows of its three edges, with six corners at
most and a middle. Areas, distances and `holds` have closed forms in the half edges; only the
shared area needs corners. Everything runs on the device of the boxes, in float64, and pair by
pair: outline i of one with outline i of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D

__all__ = ["Outlines", "outline_gaps", "outlines_meet", "shared_areas"]

# Rounding of coordinates, metres: outlines are compared with one of them at the origin.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlines:
    """Outlines in the x-y plane, metres.

    Attributes:
        centers: Their middles.
        halves: Half of each edge, pointing to positive y (or along x), by angle.
    """

    centers: Float[Tensor, "n 2"]
    halves: Float[Tensor, "n 3 2"]

    @classmethod
    def of(cls, boxes: Boxes3D) -> Outlines:
        """The outlines of boxes.

        Examples:
            >>> box = Boxes3D(centers=torch.zeros(1, 3), sizes=torch.tensor([[2.0, 1.0, 5.0]]),
            ...               axes=torch.eye(3)[None])
            >>> Outlines.of(box).area.tolist()
            [2.0]
            >>> Outlines.of(box[torch.zeros(0, dtype=torch.long)]).area.tolist()
            []
        """
        halves = (boxes.axes[..., :2] * (boxes.sizes / 2)[..., None]).double()
        return cls(centers=boxes.centers[:, :2].double(), halves=_by_angle(halves))

    def __len__(self) -> int:
        return int(self.centers.shape[0])

    def __getitem__(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> Outlines:
        return Outlines(centers=self.centers[index], halves=self.halves[index])

    @property
    def area(self) -> Float[Tensor, " n"]:
        """Square metres."""
        area: Float[Tensor, " n"] = 2 * _widths(self.halves).sum(dim=1)
        return area

    @property
    def perimeter(self) -> Float[Tensor, " n"]:
        """Metres."""
        length: Float[Tensor, " n"] = 4 * self.halves.norm(dim=2).sum(dim=1)
        return length

    @property
    def reach(self) -> Float[Tensor, "n 2"]:
        """How far each outline goes from its centre along x and y, metres."""
        return self.halves.abs().sum(dim=1)

    def corners(self) -> Float[Tensor, "n 6 2"]:
        """The corners counter-clockwise from above; some coincide where an edge has no shadow."""
        chain = 2 * self.halves.cumsum(dim=1)
        half = torch.cat([torch.zeros_like(chain[:, :1]), chain[:, :2]], dim=1)
        lowest = self.halves.sum(dim=1)[:, None]
        return self.centers[:, None] + torch.cat([half - lowest, lowest - half], dim=1)

    def holds(self, points: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
        """Whether point i lies in outline i or on its rim."""
        return _holds(self.halves, points - self.centers)

    def gaps_to(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Distance of point i to outline i, metres; 0 inside."""
        return _distance(self.halves, points - self.centers)


def outline_gaps(a: Outlines, b: Outlines) -> Float[Tensor, " n"]:
    """Distance between outline i of `a` and outline i of `b`, metres; 0 where they meet.

    The difference of two zonogons is a zonogon of all their edges, so the distance is that of
    one point to it.
    """
    halves = _by_angle(torch.cat([a.halves, b.halves], dim=1))
    return _distance(halves, a.centers - b.centers)


def outlines_meet(a: Outlines, b: Outlines) -> Bool[Tensor, " n"]:
    """Whether outline i of `a` and outline i of `b` touch or overlap."""
    return _holds(torch.cat([a.halves, b.halves], dim=1), a.centers - b.centers)


def shared_areas(a: Outlines, b: Outlines) -> Float[Tensor, " n"]:
    """Area that outline i of `a` and outline i of `b` have in common, square metres.

    The edges of one are cut by each side of the other in turn (Sutherland and Hodgman, Reentrant
    polygon clipping, CACM 1974), held as loose edges, for an area needs no order of them.

    Examples:
        >>> box = Boxes3D(centers=torch.tensor([[0.0, 0, 0], [1.5, 0, 0]]),
        ...               sizes=torch.full((2, 3), 2.0), axes=torch.eye(3).expand(2, 3, 3))
        >>> both = Outlines.of(box)
        >>> shared_areas(both[torch.tensor([0])], both[torch.tensor([1])]).tolist()
        [1.0]
        >>> none = both[torch.zeros(0, dtype=torch.long)]
        >>> shared_areas(none, none).tolist()
        []
    """
    start = (a.corners() - b.centers[:, None]).permute(2, 1, 0)
    end = start.roll(-1, dims=1)
    corners = (b.corners() - b.centers[:, None]).permute(2, 1, 0)
    sides = corners.roll(-1, dims=1) - corners
    for corner, side in zip(corners.unbind(1), sides.unbind(1), strict=True):
        start, end = _cut(start, end, corner[:, None], side[:, None])
    area = (start[0] * end[1] - start[1] * end[0]).sum(dim=0) / 2
    # An outline without an area has no side to cut by.
    return area.clamp(min=0).minimum(torch.minimum(a.area, b.area))


def _cut(
    start: Float[Tensor, "2 k n"], end: Float[Tensor, "2 k n"],
    corner: Float[Tensor, "2 1 n"], side: Float[Tensor, "2 1 n"],
) -> tuple[Float[Tensor, "2 k+1 n"], Float[Tensor, "2 k+1 n"]]:  # fmt: skip
    """What lies to the left of a line, and one edge more, along the line.

    An outline that curves one way only leaves the line once and comes back once. What lies
    within rounding of the line counts as inside, so that rounding cannot make it leave twice.
    """
    first, last = (
        side[0] * (end_[1] - corner[1]) - side[1] * (end_[0] - corner[0]) for end_ in (start, end)
    )
    slack = -_ROUNDING * side.norm(dim=0)
    begins, stays = first >= slack, last >= slack
    leaves, returns = begins & ~stays, stays & ~begins
    crosses = leaves | returns
    part = torch.where(crosses, first / torch.where(crosses, first - last, 1.0), 0.0)
    at = start + part.clamp(0, 1) * (end - start)
    kept_start = torch.where(begins, start, torch.where(returns, at, 0.0))
    kept_end = torch.where(stays, end, torch.where(leaves, at, 0.0))
    exit_, entry = (
        torch.where(mask, at, 0.0).sum(dim=1, keepdim=True) for mask in (leaves, returns)
    )
    return torch.cat([kept_start, exit_], dim=1), torch.cat([kept_end, entry], dim=1)


def _by_angle(halves: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
    """Half edges turned into the upper half-plane and put in order of their angle."""
    x, y = halves.unbind(dim=2)
    down = (y < 0) | ((y == 0) & (x < 0))
    up = torch.where(down[..., None], -halves, halves)
    order = torch.atan2(up[..., 1], up[..., 0]).argsort(dim=1)
    ordered: Float[Tensor, "n k 2"] = up.gather(1, order[..., None].expand_as(up))
    return ordered


def _widths(halves: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k"]:
    """How far a zonogon goes across each of its half edges, times the length of that one."""
    widths: Float[Tensor, "n k"] = _cross(halves[:, :, None], halves[:, None]).abs().sum(dim=2)
    return widths


def _cross(a: Float[Tensor, "*s 2"], b: Float[Tensor, "*t 2"]) -> Float[Tensor, "*u"]:
    cross: Float[Tensor, "*u"] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return cross


def _holds(halves: Float[Tensor, "n k 2"], points: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
    """Whether a zonogon about the origin holds a point: it lies between every pair of edges.

    The hull along x and y tells where all edges are parallel and the outline is but a line.
    """
    slack = _ROUNDING * halves.norm(dim=2)
    between = _cross(halves, points[:, None]).abs() <= _widths(halves) + slack
    hull = points.abs() <= halves.abs().sum(dim=1) + _ROUNDING
    held: Bool[Tensor, " n"] = between.all(dim=1) & hull.all(dim=1)
    return held


def _distance(halves: Float[Tensor, "n k 2"], points: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Distance of a point to a zonogon about the origin whose half edges are in order.

    Half of the rim is a chain of all edges; the other half is the same chain seen from the
    opposite point.
    """
    edges = 2 * halves
    start = edges.cumsum(dim=1) - edges - halves.sum(dim=1, keepdim=True)
    both = torch.stack([points, -points], dim=1)[:, :, None] - start[:, None]
    length = (edges**2).sum(dim=2).clamp(min=torch.finfo(edges.dtype).tiny)
    part = ((both * edges[:, None]).sum(dim=3) / length[:, None]).clamp(0, 1)
    rim = (both - part[..., None] * edges[:, None]).norm(dim=3).amin(dim=(1, 2))
    return torch.where(_holds(halves, points), 0.0, rim)

"""Exact shortest distance between oriented boxes, for all pairs at once.

Two disjoint boxes are nearest either at a corner of one of them or inside two edges that are not
parallel. Corners come first: the distance of a corner to a box has a closed form. The projections
of both boxes on the line between the two points found bound the distance from below; where that
bound meets the distance, the pair is settled. Only the few pairs left are tested for overlap by
separating axes (Gottschalk, Lin and Manocha, OBBTree, SIGGRAPH 1996) and then edge against edge.
Every distance given belongs to two real points of the boxes, so rounding can cost work, not truth.

Work goes tile by tile, so memory stays under 64 MB beside the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D

__all__ = ["box_gaps", "closest_points", "overlaps", "points_to_boxes"]

# Pairs worked on together: the widest table of a pair holds 48 numbers and about eight such tables
# live at a time, so 12,288 pairs of float64 take about 40 MB.
_TILE = 12_288
# Rounding, in units of (machine epsilon times the size of the pair). Projections closer than
# `_TOUCH` are taken as touching; a distance is settled within `_SETTLED` of its lower bound.
_TOUCH = 8.0
_SETTLED = 32.0
_SIGNS = (-1.0, 1.0)


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
    for rows, columns in _tiles(len(a), len(b)):
        gaps[rows, columns] = _nearest(_across(a, b, rows, columns)).gap
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
    parts = [_closest(a, b, range_) for range_ in _ranges(len(a), step=_TILE // 2)]
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
    for rows, columns in _tiles(len(a), len(b)):
        pairs = _across(a, b, rows, columns)
        # Only pairs whose bounding spheres meet can overlap; twice the touch is rounding.
        reach = _length(pairs.half_a) + _length(pairs.half_b) + 2 * pairs.rounding(_TOUCH)
        near = _length(pairs.offset) <= reach
        rest = pairs.pick(near.flatten().nonzero()[:, 0])
        met = _separation(rest) <= rest.rounding(_TOUCH)
        found[rows, columns] = near.masked_scatter(near, met)
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
    for rows, columns in _tiles(len(points), len(boxes)):
        offset = points[rows, None] - boxes.centers[None, columns]
        local = (offset[:, :, None] * boxes.axes[None, columns]).sum(dim=-1)
        excess = (local.abs() - boxes.sizes[None, columns] / 2).clamp(min=0)
        distances[rows, columns] = torch.linalg.vector_norm(excess, dim=-1)
    return distances


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """Pairs of boxes in the frame of the first; the pairs run along the last axes."""

    offset: Float[Tensor, "3 *pairs"]  # from the centre of a to the centre of b, in a's frame
    turn: Float[Tensor, "3 3 *pairs"]  # turn[i, j] = axis i of a times axis j of b
    half_a: Float[Tensor, "3 *pairs"]
    half_b: Float[Tensor, "3 *pairs"]

    def swapped(self) -> _Pairs:
        """The same pairs in the frame of the second."""
        return _Pairs(
            offset=-_total(self.turn * self.offset[:, None], dim=0),
            turn=self.turn.transpose(0, 1),
            half_a=self.half_b,
            half_b=self.half_a,
        )

    def pick(self, index: Int[Tensor, " k"]) -> _Pairs:
        """The pairs at these places, counted row by row, along one axis."""
        return _Pairs(
            offset=self.offset.flatten(1)[:, index],
            turn=self.turn.flatten(2)[:, :, index],
            half_a=self.half_a.flatten(1)[:, index],
            half_b=self.half_b.flatten(1)[:, index],
        )

    def from_b(self, local: Float[Tensor, "3 *pairs"]) -> Float[Tensor, "3 *pairs"]:
        """Points of b's frame in a's frame."""
        return self.offset + _total(self.turn * local[None], dim=1)

    def rounding(self, units: float) -> Float[Tensor, "*pairs"]:
        """What rounding may add to a length measured in this pair, metres."""
        size = _total(self.offset.abs() + self.half_a + self.half_b, dim=0)
        return units * torch.finfo(size.dtype).eps * size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Nearest:
    """The nearest points found so far, in the frame of the first box."""

    gap: Float[Tensor, "*pairs"]
    on_a: Float[Tensor, "3 *pairs"]
    on_b: Float[Tensor, "3 *pairs"]

    def or_nearer(self, other: _Nearest) -> _Nearest:
        """The nearer of the two for each pair."""
        keep = ~(other.gap < self.gap)
        return _Nearest(
            gap=torch.where(keep, self.gap, other.gap),
            on_a=torch.where(keep, self.on_a, other.on_a),
            on_b=torch.where(keep, self.on_b, other.on_b),
        )

    def pick(self, index: Int[Tensor, " k"]) -> _Nearest:
        """The pairs at these places, counted row by row, along one axis."""
        return _Nearest(
            gap=self.gap.flatten()[index],
            on_a=self.on_a.flatten(1)[:, index],
            on_b=self.on_b.flatten(1)[:, index],
        )

    def put(self, index: Int[Tensor, " k"], new: _Nearest) -> _Nearest:
        """All pairs, with those at these places replaced."""
        return _Nearest(
            gap=self.gap.flatten().index_copy(0, index, new.gap).view_as(self.gap),
            on_a=self.on_a.flatten(1).index_copy(1, index, new.on_a).view_as(self.on_a),
            on_b=self.on_b.flatten(1).index_copy(1, index, new.on_b).view_as(self.on_b),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Edges:
    """Edges in the frame of the first box."""

    middle: Float[Tensor, "3 *edges"]
    unit: Float[Tensor, "3 *units"]
    half: Float[Tensor, "*halves"]  # half the length, metres


def _total(parts: Tensor, *, dim: int) -> Tensor:
    """The sum over an axis of three; adding whole slices is much faster than a reduction here."""
    x, y, z = parts.unbind(dim)
    return x + y + z


def _length(vectors: Float[Tensor, "3 *some"]) -> Float[Tensor, "*some"]:
    """The length of each vector."""
    return _total(vectors.square(), dim=0).sqrt()


def _ranges(count: int, *, step: int) -> Iterator[slice]:
    """Slices of at most `step` that cover `count`."""
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most `_TILE` pairs that cover a table, wide ones first."""
    width = min(max(columns, 1), _TILE)
    for block in _ranges(rows, step=max(1, _TILE // width)):
        for part in _ranges(columns, step=width):
            yield block, part


def _across(a: Boxes3D, b: Boxes3D, rows: slice, columns: slice) -> _Pairs:
    """All pairs of some boxes of a with some boxes of b."""
    offset = b.centers[None, columns] - a.centers[rows, None]
    axes_a = a.axes[rows].permute(1, 2, 0)[..., None]
    axes_b = b.axes[columns].permute(1, 2, 0)[:, :, None]
    return _Pairs(
        offset=_total(offset.permute(2, 0, 1)[None] * axes_a, dim=1),
        # Sums of products, not a matrix product: that one may round to TF32 on a GPU.
        turn=_total(axes_a[:, None] * axes_b[None], dim=2),
        half_a=(a.sizes[rows] / 2).T[:, :, None].expand(-1, -1, offset.shape[1]),
        half_b=(b.sizes[columns] / 2).T[:, None].expand(-1, offset.shape[0], -1),
    )


def _nearest(pairs: _Pairs) -> _Nearest:
    """The nearest points of every pair; gap 0 where the boxes touch or overlap."""
    swapped = _corner_to_a(pairs.swapped())
    best = _corner_to_a(pairs).or_nearer(
        _Nearest(gap=swapped.gap, on_a=pairs.from_b(swapped.on_b), on_b=pairs.from_b(swapped.on_a))
    )
    direction = best.on_b - best.on_a
    length = _length(direction)
    bound = _projected_gaps(pairs, (direction / length.clamp(min=_tiny(length)))[None])[0]
    apart = bound > pairs.rounding(_TOUCH)
    settled = apart & (bound >= best.gap - pairs.rounding(_SETTLED))
    settled |= best.gap == 0  # a corner of one lies in the other
    left = (~settled).flatten().nonzero()[:, 0]
    return best if len(left) == 0 else best.put(left, _settle(pairs.pick(left), best.pick(left)))


def _settle(pairs: _Pairs, best: _Nearest) -> _Nearest:
    """Decide the pairs whose corners do not: they overlap, or two edges are nearest."""
    axes = _axes(pairs)
    gaps = _projected_gaps(pairs, axes)
    separation = gaps.amax(dim=0)
    touch = separation <= pairs.rounding(_TOUCH)
    best = best.or_nearer(_supporting_edges(pairs, axes[6:], gaps[6:]))
    settled = best.gap <= separation + pairs.rounding(_SETTLED)
    # Where a face looks at a face, many edges lie furthest out: try them all.
    left = (~settled & ~touch).nonzero()[:, 0]
    if len(left):
        best = best.put(left, best.pick(left).or_nearer(_all_edges(pairs.pick(left))))
    gap = torch.where(touch, torch.zeros_like(best.gap), torch.maximum(best.gap, separation))
    return _Nearest(gap=gap, on_a=best.on_a, on_b=best.on_b)


def _tiny(like: Tensor) -> float:
    """The least number that divides without overflow."""
    return float(torch.finfo(like.dtype).tiny)


def _spread(
    middle: Float[Tensor, "3 *pairs"], arms: list[Float[Tensor, "3 *pairs"]]
) -> Float[Tensor, "corners 3 *pairs"]:
    """The middle plus and minus every arm, in all combinations."""
    points = middle[None]
    for arm in arms:
        points = torch.cat([points - arm, points + arm])
    return points


def _corner_to_a(pairs: _Pairs) -> _Nearest:
    """The corner of b nearest to box a."""
    arms = pairs.turn * pairs.half_b[None]
    corners = _spread(pairs.offset, list(arms.unbind(dim=1)))
    excess = (corners.abs() - pairs.half_a).clamp(min=0)
    square, best = _total(excess.square_(), dim=1).min(dim=0)
    place = best[None, None].expand(1, 3, *best.shape)
    corner = corners.gather(0, place)[0]
    on_a = torch.clamp(corner, min=-pairs.half_a, max=pairs.half_a)
    return _Nearest(gap=square.sqrt(), on_a=on_a, on_b=corner)


def _projected_gaps(
    pairs: _Pairs, directions: Float[Tensor, "k 3 *pairs"]
) -> Float[Tensor, "k *pairs"]:
    """How far apart the boxes lie along each unit direction; negative where they overlap."""
    middle = _total(directions * pairs.offset, dim=1).abs()
    reach_a = _total(directions.abs() * pairs.half_a, dim=1)
    turned = _total(directions[:, :, None] * pairs.turn, dim=1).abs()
    return middle - reach_a - _total(turned * pairs.half_b, dim=1)


def _separation(pairs: _Pairs) -> Float[Tensor, " pairs"]:
    """The widest projected gap over the 15 axes that decide overlap."""
    return _projected_gaps(pairs, _axes(pairs)).amax(dim=0)


def _axes(pairs: _Pairs) -> Float[Tensor, "15 3 pairs"]:
    """The normals of a's faces, of b's faces, and of each axis of a with each axis of b."""
    own = _basis(pairs)[:, :, None].expand(-1, -1, pairs.offset.shape[1])
    other = pairs.turn.transpose(0, 1)
    crossed = torch.linalg.cross(own[:, None], other[None], dim=2).flatten(0, 1)
    # Parallel edges cross to zero or to noise. Zero projects to a gap of 0 and noise is as true a
    # direction as any, so neither can part two boxes that meet.
    length = _length(crossed.transpose(0, 1))[:, None]
    return torch.cat([own, other, crossed / length.clamp(min=_tiny(length))])


def _basis(pairs: _Pairs) -> Float[Tensor, "3 3"]:
    return torch.eye(3, dtype=pairs.offset.dtype, device=pairs.offset.device)


def _supporting_edges(
    pairs: _Pairs, crossed: Float[Tensor, "9 3 pairs"], gaps: Float[Tensor, "9 pairs"]
) -> _Nearest:
    """The two edges that face each other along the widest of the nine crossed axes."""
    best = gaps.argmax(dim=0)
    normal = crossed.gather(0, best[None, None].expand(1, 3, -1))[0]
    normal = torch.where(_total(normal * pairs.offset, dim=0) < 0, -normal, normal)
    seen = _total(normal[:, None] * pairs.turn, dim=0)
    unit_a = _basis(pairs)[:, best // 3]
    unit_b = _basis(pairs)[:, best % 3]
    edge_a = _Edges(
        middle=normal.sign() * pairs.half_a * (1 - unit_a),
        unit=unit_a,
        half=_total(pairs.half_a * unit_a, dim=0),
    )
    edge_b = _Edges(
        middle=pairs.from_b(-seen.sign() * pairs.half_b * (1 - unit_b)),
        unit=_total(pairs.turn * unit_b[None], dim=1),
        half=_total(pairs.half_b * unit_b, dim=0),
    )
    return _between(edge_a, edge_b)


def _all_edges(pairs: _Pairs) -> _Nearest:
    """The nearest points of the twelve edges of each box."""
    along = (_edges_along(pairs, first, second) for first in range(3) for second in range(3))
    return reduce(_Nearest.or_nearer, along)


def _edges_along(pairs: _Pairs, first: int, second: int) -> _Nearest:
    """The nearest points of a's four edges along one axis and b's four along another."""
    basis = _basis(pairs)[:, :, None]
    arms = [basis[k] * pairs.half_a[k] for k in range(3) if k != first]
    middle = _spread(torch.zeros_like(pairs.offset), arms)
    found = _between(
        _Edges(
            middle=middle.transpose(0, 1)[:, :, None],
            unit=basis[first, :, None, None].expand(-1, 1, 1, middle.shape[-1]),
            half=pairs.half_a[first, None, None],
        ),
        _Edges(
            middle=_edge_middles(pairs, second).transpose(0, 1)[:, None],
            unit=pairs.turn[:, second, None, None],
            half=pairs.half_b[second, None, None],
        ),
    )
    gap, best = found.gap.flatten(0, 1).min(dim=0)
    at = best[None, None].expand(3, 1, -1)
    return _Nearest(
        gap=gap,
        on_a=found.on_a.flatten(1, 2).gather(1, at)[:, 0],
        on_b=found.on_b.flatten(1, 2).gather(1, at)[:, 0],
    )


def _between(a: _Edges, b: _Edges) -> _Nearest:
    """The nearest points of edges; where they are parallel, some points of both."""
    way = b.middle - a.middle
    cosine = _total(a.unit * b.unit, dim=0)
    sine_square = _total(torch.linalg.cross(a.unit, b.unit, dim=0).square(), dim=0)
    way_a, way_b = _total(way * a.unit, dim=0), _total(way * b.unit, dim=0)
    along_a = (way_a - cosine * way_b) / sine_square.clamp(min=_tiny(cosine))
    along_a = torch.clamp(along_a, min=-a.half, max=a.half)
    # The best place on b for the place held on a: right as well where edges are nearly parallel
    # and the division loses all digits. Where this is an end of b, a corner of b was as near.
    along_b = torch.clamp(cosine * along_a - way_b, min=-b.half, max=b.half)
    on_a, on_b = a.middle + along_a * a.unit, b.middle + along_b * b.unit
    return _Nearest(gap=_length(on_b - on_a), on_a=on_a, on_b=on_b)


def _edge_middles(pairs: _Pairs, axis: int) -> Float[Tensor, "4 3 pairs"]:
    """The middles of b's four edges along one of its axes."""
    arms = [pairs.turn[:, k] * pairs.half_b[k] for k in range(3) if k != axis]
    return _spread(pairs.offset, arms)


def _closest(
    a: Boxes3D, b: Boxes3D, part: slice
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """`closest_points` of a few pairs."""
    axes = a.axes[part]
    pairs = _paired(a, b, part)
    near = _nearest(pairs)
    shared = _shared_point(pairs)
    touch = near.gap == 0
    on_a = torch.where(touch, shared, near.on_a).T
    on_b = torch.where(touch, shared, near.on_b).T
    to_world = [(point[:, :, None] * axes).sum(dim=1) + a.centers[part] for point in (on_a, on_b)]
    return to_world[0], to_world[1], near.gap


def _paired(a: Boxes3D, b: Boxes3D, part: slice) -> _Pairs:
    """Box i of a with box i of b."""
    axes_a, axes_b = a.axes[part].permute(1, 2, 0), b.axes[part].permute(1, 2, 0)
    offset = (b.centers[part] - a.centers[part]).T
    return _Pairs(
        offset=_total(offset[None] * axes_a, dim=1),
        turn=_total(axes_a[:, None] * axes_b[None], dim=2),
        half_a=(a.sizes[part] / 2).T,
        half_b=(b.sizes[part] / 2).T,
    )


def _shared_point(pairs: _Pairs) -> Float[Tensor, "3 pairs"]:
    """A point of both boxes, where they meet: some edge of one runs through the other."""
    length, point = _edge_in_a(pairs)
    other_length, other_point = _edge_in_a(pairs.swapped())
    point = torch.where(length >= other_length, point, pairs.from_b(other_point))
    return torch.clamp(point, min=-pairs.half_a, max=pairs.half_a)


def _edge_in_a(pairs: _Pairs) -> tuple[Float[Tensor, " pairs"], Float[Tensor, "3 pairs"]]:
    """The longest piece of an edge of b inside box a: its length (negative: none), its middle."""
    eps = torch.finfo(pairs.offset.dtype).eps
    reach = pairs.half_a + pairs.rounding(2 * _TOUCH)
    starts, ends, middles = [], [], []
    for axis in range(3):
        unit = pairs.turn[:, axis]
        middle = _edge_middles(pairs, axis)
        slope = torch.where(unit.abs() < eps, torch.full_like(unit, eps), unit)
        sides = torch.stack([(-reach - middle) / slope, (reach - middle) / slope])
        start = torch.maximum(sides.amin(dim=0).amax(dim=1), -pairs.half_b[axis])
        end = torch.minimum(sides.amax(dim=0).amin(dim=1), pairs.half_b[axis])
        starts.append(start)
        ends.append(end)
        middles.append(middle + ((start + end) / 2)[:, None] * unit)
    length, best = (torch.cat(ends) - torch.cat(starts)).max(dim=0)
    return length, torch.cat(middles).gather(0, best[None, None].expand(1, 3, -1))[0]

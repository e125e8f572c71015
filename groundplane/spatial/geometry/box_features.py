"""The nearest features of two boxes: corners, edges and faces, each tried.

Two disjoint boxes are nearest either at a corner of one of them or inside two edges that are not
parallel. The distance of a corner to a box has a closed form, and so has that of two edges.
Fifteen axes tell whether the boxes meet at all (Gottschalk, Lin and Manocha, OBBTree, SIGGRAPH
1996). Every distance given belongs to two real points of the boxes, so rounding can cost work, not
truth. This is dear; `box_projection` leaves few pairs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.spatial.geometry.box_pairs import Nearest, Pairs, norms, tile_size, total

__all__ = ["TOUCH", "nearest_features", "search_size", "separation", "shared_points"]

# Rounding, in units of (machine epsilon times the size of the pair). Projections closer than
# `TOUCH` are taken as touching; a distance is settled within `_SETTLED` of its lower bound.
TOUCH = 8.0
_SETTLED = 32.0
# The fifteen axes of a pair take a table of 135 numbers, 45 times those of a projection's.
_TILES_TO_A_SEARCH = 21


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Edges:
    """Edges in the frame of the first box."""

    middle: Float[Tensor, "3 *edges"]
    unit: Float[Tensor, "3 *units"]
    half: Float[Tensor, "*halves"]  # half the length, metres


def nearest_features(pairs: Pairs) -> Nearest:
    """The nearest points of every pair; gap 0 where the boxes touch or overlap."""
    return Nearest.joined([_search(part) for part in pairs.parts(search_size(pairs))])


def search_size(pairs: Pairs) -> int:
    """How many pairs are searched together; so few are searched at once in no more time."""
    return tile_size(pairs.offset.device) // _TILES_TO_A_SEARCH


def _search(pairs: Pairs) -> Nearest:
    """`nearest_features` of a few pairs."""
    swapped = _corner_to_a(pairs.swapped())
    best = _corner_to_a(pairs).or_nearer(
        Nearest(gap=swapped.gap, on_a=pairs.from_b(swapped.on_b), on_b=pairs.from_b(swapped.on_a))
    )
    # Corners decide most pairs: where the extents along the line between them are as far apart.
    bound = _bound(pairs, best)
    settled = (bound > pairs.rounding(TOUCH)) & (bound >= best.gap - pairs.rounding(_SETTLED))
    left = (~settled & (best.gap != 0)).nonzero()[:, 0]
    return best if len(left) == 0 else best.put(left, _decide(pairs.pick(left), best.pick(left)))


def _bound(pairs: Pairs, found: Nearest) -> Float[Tensor, " pairs"]:
    """The least that the gap can be, by the line between the two points found."""
    way = found.on_b - found.on_a
    return _projected_gaps(pairs, (way / norms(way).clamp(min=_tiny(way)))[None])[0]


def _decide(pairs: Pairs, best: Nearest) -> Nearest:
    """Decide the pairs whose corners do not: they overlap, or two edges are nearest."""
    axes = _axes(pairs)
    gaps = _projected_gaps(pairs, axes)
    widest = gaps.amax(dim=0)
    touch = widest <= pairs.rounding(TOUCH)
    best = best.or_nearer(_supporting_edges(pairs, axes[6:], gaps[6:]))
    settled = best.gap <= widest + pairs.rounding(_SETTLED)
    # Where a face looks at a face, many edges lie furthest out: try them all.
    left = (~settled & ~touch).nonzero()[:, 0]
    if len(left):
        best = best.put(left, best.pick(left).or_nearer(_all_edges(pairs.pick(left))))
    gap = torch.where(touch, torch.zeros_like(best.gap), torch.maximum(best.gap, widest))
    return Nearest(gap=gap, on_a=best.on_a, on_b=best.on_b)


def separation(pairs: Pairs) -> Float[Tensor, " pairs"]:
    """The widest projected gap over the 15 axes that decide overlap; negative: they overlap."""
    parts = pairs.parts(search_size(pairs))
    return torch.cat([_projected_gaps(part, _axes(part)).amax(dim=0) for part in parts])


def shared_points(pairs: Pairs) -> Float[Tensor, "3 pairs"]:
    """A point of both boxes, where they meet: some edge of one runs through the other."""
    length, point = _edge_in_a(pairs)
    other_length, other_point = _edge_in_a(pairs.swapped())
    point = torch.where(length >= other_length, point, pairs.from_b(other_point))
    return torch.clamp(point, min=-pairs.half_a, max=pairs.half_a)


def _tiny(like: Tensor) -> float:
    """The least number that divides without overflow."""
    return float(torch.finfo(like.dtype).tiny)


def _spread(
    middle: Float[Tensor, "3 pairs"], arms: list[Float[Tensor, "3 pairs"]]
) -> Float[Tensor, "corners 3 pairs"]:
    """The middle plus and minus every arm, in all combinations."""
    points = middle[None]
    for arm in arms:
        points = torch.cat([points - arm, points + arm])
    return points


def _corner_to_a(pairs: Pairs) -> Nearest:
    """The corner of b nearest to box a."""
    arms = pairs.turn * pairs.half_b[None]
    corners = _spread(pairs.offset, list(arms.unbind(dim=1)))
    excess = (corners.abs() - pairs.half_a).clamp(min=0)
    best = total(excess.square_(), dim=1).argmin(dim=0)
    place = best[None, None].expand(1, 3, *best.shape)
    corner = corners.gather(0, place)[0]
    on_a = torch.clamp(corner, min=-pairs.half_a, max=pairs.half_a)
    return Nearest(gap=norms(corner - on_a), on_a=on_a, on_b=corner)


def _projected_gaps(
    pairs: Pairs, directions: Float[Tensor, "k 3 pairs"]
) -> Float[Tensor, "k pairs"]:
    """How far apart the boxes lie along each unit direction; negative where they overlap."""
    middle = total(directions * pairs.offset, dim=1).abs()
    reach_a = total(directions.abs() * pairs.half_a, dim=1)
    turned = total(directions[:, :, None] * pairs.turn, dim=1).abs()
    return middle - reach_a - total(turned * pairs.half_b, dim=1)


def _axes(pairs: Pairs) -> Float[Tensor, "15 3 pairs"]:
    """The normals of a's faces, of b's faces, and of each axis of a with each axis of b."""
    own = _basis(pairs)[:, :, None].expand(-1, -1, pairs.offset.shape[1])
    other = pairs.turn.transpose(0, 1)
    crossed = torch.linalg.cross(own[:, None], other[None], dim=2).flatten(0, 1)
    # Parallel edges cross to zero or to noise. Zero projects to a gap of 0 and noise is as true a
    # direction as any, so neither can part two boxes that meet.
    length = norms(crossed.transpose(0, 1))[:, None]
    return torch.cat([own, other, crossed / length.clamp(min=_tiny(length))])


def _basis(pairs: Pairs) -> Float[Tensor, "3 3"]:
    return torch.eye(3, dtype=pairs.offset.dtype, device=pairs.offset.device)


def _supporting_edges(
    pairs: Pairs, crossed: Float[Tensor, "9 3 pairs"], gaps: Float[Tensor, "9 pairs"]
) -> Nearest:
    """The two edges that face each other along the widest of the nine crossed axes."""
    best = gaps.argmax(dim=0)
    normal = crossed.gather(0, best[None, None].expand(1, 3, -1))[0]
    normal = torch.where(total(normal * pairs.offset, dim=0) < 0, -normal, normal)
    seen = total(normal[:, None] * pairs.turn, dim=0)
    unit_a = _basis(pairs)[:, best // 3]
    unit_b = _basis(pairs)[:, best % 3]
    edge_a = _Edges(
        middle=normal.sign() * pairs.half_a * (1 - unit_a),
        unit=unit_a,
        half=total(pairs.half_a * unit_a, dim=0),
    )
    edge_b = _Edges(
        middle=pairs.from_b(-seen.sign() * pairs.half_b * (1 - unit_b)),
        unit=total(pairs.turn * unit_b[None], dim=1),
        half=total(pairs.half_b * unit_b, dim=0),
    )
    return _between(edge_a, edge_b)


def _all_edges(pairs: Pairs) -> Nearest:
    """The nearest points of the twelve edges of each box."""
    along = (_edges_along(pairs, first, second) for first in range(3) for second in range(3))
    return reduce(Nearest.or_nearer, along)


def _edges_along(pairs: Pairs, first: int, second: int) -> Nearest:
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
    gaps = found.gap.flatten(0, 1)
    best = gaps.argmin(dim=0)
    at = best[None, None].expand(3, 1, -1)
    return Nearest(
        gap=gaps.gather(0, best[None])[0],
        on_a=found.on_a.flatten(1, 2).gather(1, at)[:, 0],
        on_b=found.on_b.flatten(1, 2).gather(1, at)[:, 0],
    )


def _between(a: _Edges, b: _Edges) -> Nearest:
    """The nearest points of edges; where they are parallel, some points of both."""
    way = b.middle - a.middle
    cosine = total(a.unit * b.unit, dim=0)
    sine_square = total(torch.linalg.cross(a.unit, b.unit, dim=0).square(), dim=0)
    way_a, way_b = total(way * a.unit, dim=0), total(way * b.unit, dim=0)
    along_a = (way_a - cosine * way_b) / sine_square.clamp(min=_tiny(cosine))
    along_a = torch.clamp(along_a, min=-a.half, max=a.half)
    # The best place on b for the place held on a: right as well where edges are nearly parallel
    # and the division loses all digits. Where this is an end of b, a corner of b was as near.
    along_b = torch.clamp(cosine * along_a - way_b, min=-b.half, max=b.half)
    on_a, on_b = a.middle + along_a * a.unit, b.middle + along_b * b.unit
    return Nearest(gap=norms(on_b - on_a), on_a=on_a, on_b=on_b)


def _edge_middles(pairs: Pairs, axis: int) -> Float[Tensor, "4 3 pairs"]:
    """The middles of b's four edges along one of its axes."""
    arms = [pairs.turn[:, k] * pairs.half_b[k] for k in range(3) if k != axis]
    return _spread(pairs.offset, arms)


def _edge_in_a(pairs: Pairs) -> tuple[Float[Tensor, " pairs"], Float[Tensor, "3 pairs"]]:
    """The longest piece of an edge of b inside box a: its length (negative: none), its middle."""
    eps = torch.finfo(pairs.offset.dtype).eps
    reach = pairs.half_a + pairs.rounding(2 * TOUCH)
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

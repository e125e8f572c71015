"""A balanced tree over axis-aligned hulls, built and walked level by level on the device.

Each level halves every part at the median of its widest axis, so all parts of a level have the
same number of places and a level is one sort. Parts follow the objects and not the space: a far
outlier, a heap at one point or a long corridor change nothing in the depth (compare kd-trees:
Friedman, Bentley and Finkel, An algorithm for finding best matches in logarithmic expected time,
ACM TOMS 1977). Walking goes down all levels with all questions at once.

Rows are chosen by `index_select` and not by brackets: torch splits the latter among threads even
for a handful of rows, and on a busy machine the threads wait for each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

__all__ = [
    "NONE",
    "BoxTree",
    "Level",
    "Walk",
    "build_tree",
    "chosen",
    "comes_before",
    "farthest_squared",
    "gap_squared",
    "reachable",
    "within",
]

# Objects of a part at the bottom: fewer make more parts to walk, more make more pairs to measure.
_LEAF = 16
# Stands for "no object": larger than any index.
NONE = 2**62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """The parts of one level.

    Attributes:
        low: Least corner of each part's hull, metres; infinite where it holds nothing.
        high: Greatest corner; minus infinite where it holds nothing.
        counts: How many objects it holds.
        first: Least index of its objects.
        last: Greatest index of its objects.
    """

    low: Float[Tensor, "3 p"]
    high: Float[Tensor, "3 p"]
    counts: Int[Tensor, " p"]
    first: Int[Tensor, " p"]
    last: Int[Tensor, " p"]

    def pick(self, parts: Int[Tensor, " q"]) -> Level:
        """Some of the parts, by number."""
        return Level(
            low=self.low.index_select(1, parts),
            high=self.high.index_select(1, parts),
            counts=self.counts.index_select(0, parts),
            first=self.first.index_select(0, parts),
            last=self.last.index_select(0, parts),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxTree:
    """Objects in leaves of the same size, and the levels above them.

    Attributes:
        low: Least corner of each object's hull, by leaf and place; infinite in empty places. The
            last leaf, which no level counts, is empty: it fills up rows of leaves.
        high: Greatest corner; minus infinite in empty places.
        index: Which object stands there, ascending in a leaf; `NONE` in empty places.
        levels: From the whole to the leaves.
    """

    low: Float[Tensor, "3 l s"]
    high: Float[Tensor, "3 l s"]
    index: Int[Tensor, "l s"]
    levels: tuple[Level, ...]


def build_tree(
    low: Float[Tensor, "3 n"], high: Float[Tensor, "3 n"], index: Int[Tensor, " n"]
) -> BoxTree:
    """Sort hulls into a tree.

    Args:
        low: Least corners, metres, finite.
        high: Greatest corners.
        index: What to call each, ascending.
    """
    n = low.shape[1]
    depth = max(0, (max(n, 1) - 1) // _LEAF).bit_length()
    size = -(-max(n, 1) // 2**depth)
    order = _halved((low + high) / 2, depth, size)
    # Places past the objects point at one more column, which holds nothing.
    low = torch.cat([low, low.new_full((3, 1), torch.inf)], dim=1)[:, order]
    high = torch.cat([high, high.new_full((3, 1), -torch.inf)], dim=1)[:, order]
    index = torch.cat([index, index.new_full((1,), NONE)])[order]
    levels = _levels(low[:, :-1], high[:, :-1], index[:-1])
    return BoxTree(low=low, high=high, index=index, levels=levels)


def _halved(points: Float[Tensor, "3 n"], depth: int, size: int) -> Int[Tensor, "l s"]:
    """Which point stands where, n for none: the leaves, and an empty one."""
    n, places = points.shape[1], size * 2**depth
    points = torch.cat([points, points.new_full((3, 1), torch.inf)], dim=1)
    order = torch.arange(places, device=points.device).clamp_(max=n).view(1, places)
    for _ in range(depth):
        here = points[:, order]
        spread = here.masked_fill(here.isinf(), -torch.inf).amax(dim=2) - here.amin(dim=2)
        widest = spread.argmax(dim=0)
        key = here.gather(0, widest[None, :, None].expand(1, *order.shape))[0]
        # Equal ones stay in the order of their index, so heaps are split by index.
        order = order.gather(1, key.sort(dim=1, stable=True).indices)
        order = order.view(order.shape[0] * 2, order.shape[1] // 2)
    return torch.cat([order.sort(dim=1).values, order.new_full((1, size), n)])


def _levels(
    low: Float[Tensor, "3 l s"], high: Float[Tensor, "3 l s"], index: Int[Tensor, "l s"]
) -> tuple[Level, ...]:
    filled = index < NONE
    level = Level(
        low=low.amin(dim=2),
        high=high.amax(dim=2),
        counts=filled.sum(dim=1),
        first=index.amin(dim=1),
        last=index.masked_fill(~filled, -1).amax(dim=1),
    )
    levels = [level]
    while len(level.counts) > 1:
        level = Level(
            low=level.low.view(3, -1, 2).amin(dim=2),
            high=level.high.view(3, -1, 2).amax(dim=2),
            counts=level.counts.view(-1, 2).sum(dim=1),
            first=level.first.view(-1, 2).amin(dim=1),
            last=level.last.view(-1, 2).amax(dim=1),
        )
        levels.append(level)
    return tuple(reversed(levels))


def gap_squared(
    low_a: Float[Tensor, "3 *a"],
    high_a: Float[Tensor, "3 *a"],
    low_b: Float[Tensor, "3 *b"],
    high_b: Float[Tensor, "3 *b"],
) -> Float[Tensor, "*c"]:
    """The square of the shortest distance of hulls, square metres; shapes broadcast.

    Rounding never makes the gap of two hulls larger than that of hulls within them: each operation
    is monotone, and they come in the same order. So parts may be passed over without a margin.
    """
    squares = []
    for axis in range(3):
        apart = torch.maximum(low_b[axis] - high_a[axis], low_a[axis] - high_b[axis])
        apart.clamp_(min=0)
        squares.append(apart.mul_(apart))
    return squares[0].add_(squares[1]).add_(squares[2])


def farthest_squared(
    low_a: Float[Tensor, "3 *a"],
    high_a: Float[Tensor, "3 *a"],
    low_b: Float[Tensor, "3 *b"],
    high_b: Float[Tensor, "3 *b"],
) -> Float[Tensor, "*c"]:
    """A square that the squared gap of no two hulls within these exceeds, square metres."""
    squares = []
    for axis in range(3):
        across = torch.maximum(high_b[axis] - low_a[axis], high_a[axis] - low_b[axis])
        squares.append(across.mul_(across))
    return squares[0].add_(squares[1]).add_(squares[2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Asking leaves and the leaves of the tree that they have to look into, sorted by the former.

    Attributes:
        rows: Which of the asking leaves.
        parts: Which leaf of the tree.
        gaps: How near that comes at least, squared.
        counts: Of each asking leaf, how many objects are near without a look.
    """

    rows: Int[Tensor, " p"]
    parts: Int[Tensor, " p"]
    gaps: Float[Tensor, " p"]
    counts: Int[Tensor, " c"]


def reachable(tree: BoxTree, need: int, asking: Level, limit: int) -> Walk | None:
    """Which leaves can hold the nearest ones.

    Args:
        tree: Where to look.
        need: How many nearest ones each object of an asking leaf wants.
        asking: The leaves that ask.
        limit: Pairs that may be held at once.

    Returns:
        None where that takes too many pairs, unless only one leaf asks.
    """
    count = asking.low.shape[1]
    rows = torch.arange(count, device=asking.low.device)
    parts = torch.zeros_like(rows)
    # The last of those needed is at most so far, and among equals has at most this index.
    bound, last = asking.low.new_full((count,), math.inf), torch.full_like(rows, NONE)
    gaps = bound
    for depth, level in enumerate(tree.levels):
        if depth:
            rows, parts = _descend(rows, parts)
        part = level.pick(parts)
        corners = (*_corners(asking, rows), part.low, part.high)
        far = farthest_squared(*corners).masked_fill_(part.counts < need, math.inf)
        bound, last = _lowered(bound, last, rows, far, part.last)
        gaps = gap_squared(*corners)
        keep = comes_before(
            gaps, part.first, bound.index_select(0, rows), last.index_select(0, rows)
        )
        keep &= part.counts > 0
        rows, parts, gaps = chosen(keep, rows, parts, gaps)
        if len(rows) > limit and count > 1:
            return None
    return Walk(rows=rows, parts=parts, gaps=gaps, counts=torch.zeros_like(last))


def within(tree: BoxTree, square: float, whole: bool, asking: Level, limit: int) -> Walk | None:
    """Which leaves can hold objects within a radius.

    Args:
        tree: Where to look.
        square: The radius squared.
        whole: Whether parts that lie wholly within are counted and not looked into.
        asking: The leaves that ask.
        limit: Pairs that may be held at once.

    Returns:
        None where that takes too many pairs, unless only one leaf asks.
    """
    count = asking.low.shape[1]
    rows = torch.arange(count, device=asking.low.device)
    parts, counts = torch.zeros_like(rows), torch.zeros_like(rows)
    gaps = asking.low[0]
    for depth, level in enumerate(tree.levels):
        if depth:
            rows, parts = _descend(rows, parts)
        part = level.pick(parts)
        corners = (*_corners(asking, rows), part.low, part.high)
        gaps = gap_squared(*corners)
        keep = gaps <= square
        if whole:
            inner = farthest_squared(*corners) <= square
            counts.index_add_(0, *chosen(inner, rows, part.counts))
            keep &= ~inner
        rows, parts, gaps = chosen(keep, rows, parts, gaps)
        if len(rows) > limit and count > 1:
            return None
    return Walk(rows=rows, parts=parts, gaps=gaps, counts=counts)


def chosen(keep: Bool[Tensor, " p"], *columns: Shaped[Tensor, "p ..."]) -> tuple[Tensor, ...]:
    """The rows of columns that are kept."""
    at = keep.nonzero()[:, 0]
    return tuple(column.index_select(0, at) for column in columns)


def _corners(
    level: Level, parts: Int[Tensor, " q"]
) -> tuple[Float[Tensor, "3 q"], Float[Tensor, "3 q"]]:
    return level.low.index_select(1, parts), level.high.index_select(1, parts)


def _descend(
    rows: Int[Tensor, " p"], parts: Int[Tensor, " p"]
) -> tuple[Int[Tensor, " 2*p"], Int[Tensor, " 2*p"]]:
    """Both halves of each part."""
    halves = torch.stack([2 * parts, 2 * parts + 1], dim=1)
    return torch.stack([rows, rows], dim=1).flatten(), halves.flatten()


def comes_before(
    gaps: Float[Tensor, " p"], first: Int[Tensor, " p"], bound: Float[Tensor, " p"],
    last: Int[Tensor, " p"],
) -> Bool[Tensor, " p"]:  # fmt: skip
    """Whether something so near, of that index or a later one, can come before the bound."""
    return (gaps < bound) | ((gaps == bound) & (first <= last))


def _lowered(
    bound: Float[Tensor, " c"], last: Int[Tensor, " c"], rows: Int[Tensor, " p"],
    far: Float[Tensor, " p"], index: Int[Tensor, " p"],
) -> tuple[Float[Tensor, " c"], Int[Tensor, " c"]]:  # fmt: skip
    """The least (distance, index) of each row so far and of what it sees."""
    lower = bound.scatter_reduce(0, rows, far, "amin")
    index = index.masked_fill(far > lower.index_select(0, rows), NONE)
    last = last.masked_fill(lower < bound, NONE).scatter_reduce(0, rows, index, "amin")
    return lower, last

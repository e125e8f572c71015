"""How `groundplane.spatial.scale.neighbours` searches: who asks together, and what they measure.

The objects of a leaf ask together, and many leaves at once. A walk through the tree tells each
which leaves it has to look into; those it measures, the nearest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.box_tree import (
    NONE,
    BoxTree,
    Level,
    Walk,
    build_tree,
    chosen,
    comes_before,
    gap_squared,
    reachable,
    within,
)
from groundplane.spatial.scale.dense import Metric

__all__ = [
    "Sides",
    "count_near",
    "near_pairs",
    "nearest_squares",
    "root_of",
    "sort_sides",
    "square_of",
]

# Leaves that each asking leaf measures before it looks again which others it still needs.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The subjects, who ask, and the anchors, who are asked for.

    Attributes:
        asking: The subjects that are known.
        tree: The anchors that are known; the same tree where subjects look among themselves.
        num_subjects: How many there are, known or not.
        num_anchors: Likewise.
    """

    asking: BoxTree
    tree: BoxTree
    num_subjects: int
    num_anchors: int

    @property
    def dtype(self) -> torch.dtype:
        return self.tree.low.dtype


def sort_sides(subjects: Boxes3D, anchors: Boxes3D | None, metric: Metric) -> Sides:
    """Both sides in trees, in the precision of the boxes.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes; if None, the subjects look among themselves.
        metric: Whether to take their centres or their hulls.
    """
    others = subjects if anchors is None else anchors
    dtype = torch.promote_types(subjects.centers.dtype, others.centers.dtype)
    # The squares of half precision lengths do not fit.
    dtype = torch.promote_types(dtype, torch.float32)
    asking = build_tree(*_hulls(subjects, metric, dtype))
    tree = asking if anchors is None else build_tree(*_hulls(others, metric, dtype))
    return Sides(asking=asking, tree=tree, num_subjects=len(subjects), num_anchors=len(others))


def _hulls(
    boxes: Boxes3D, metric: Metric, dtype: torch.dtype
) -> tuple[Float[Tensor, "3 n"], Float[Tensor, "3 n"], Int[Tensor, " n"]]:
    """Least and greatest corners of the boxes that are known, and which those are."""
    low = high = boxes.centers.to(dtype)
    known = torch.ones(len(boxes), dtype=torch.bool, device=low.device)
    if metric == "hulls":
        sizes = boxes.sizes.to(dtype)
        wide = Boxes3D(centers=low, sizes=sizes, axes=boxes.axes.to(dtype))
        low, high = wide.hull()
        known = (sizes >= 0).all(dim=1)
    # Further out, squares are no longer finite; NaN is not less than anything.
    farthest = torch.finfo(dtype).max ** 0.5 / 4
    known &= ((low.abs() < farthest) & (high.abs() < farthest)).all(dim=1)
    index = known.nonzero()[:, 0]
    return low[index].T.contiguous(), high[index].T.contiguous(), index


def _squares(
    sides: Sides, leaves: Int[Tensor, " p"], parts: Int[Tensor, "p w"]
) -> Float[Tensor, "p s t"]:
    """Squared gaps of each place of an asking leaf to all places of its parts."""
    a, b = sides.asking, sides.tree
    shape = (3, len(parts), 1, parts.shape[1] * b.low.shape[2])
    low, high = (side.index_select(1, parts.flatten()).view(shape) for side in (b.low, b.high))
    least, most = (side.index_select(1, leaves)[..., None] for side in (a.low, a.high))
    return gap_squared(least, most, low, high)


def _near(
    sides: Sides, leaves: Int[Tensor, " p"], parts: Int[Tensor, " p"], square: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Subject, anchor and squared distance of all pairs within a radius, in some order."""
    squares = _squares(sides, leaves, parts[:, None])
    at = (squares.flatten() <= square).nonzero()[:, 0]
    size = sides.tree.index.shape[1]
    # Which asking place, counted through all pairs of leaves, and which place it meets.
    place, met = at // size, at % size
    pair = place // squares.shape[1]
    first = sides.asking.index.index_select(0, leaves).flatten().index_select(0, place)
    second = sides.tree.index.flatten().index_select(0, parts.index_select(0, pair) * size + met)
    return first, second, squares.flatten().index_select(0, at)


def square_of(radius: float, dtype: torch.dtype) -> float:
    """The largest square whose root, as it is rounded, is within the radius."""
    if not 0 <= radius < math.inf:
        raise InputError(f"radius must be at least 0 metres and finite, got {radius}")
    largest = torch.finfo(dtype).max
    if radius * radius >= largest:
        return largest

    limit = torch.tensor(radius, dtype=dtype)
    square, infinity = limit * limit, torch.tensor(math.inf, dtype=dtype)
    while root_of(square) > limit:
        square = square.nextafter(-infinity)
    while root_of(square.nextafter(infinity)) <= limit:
        square = square.nextafter(infinity)
    return float(square)


def root_of(squares: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Square roots, rounded rightly: torch's own may be off in the last digit.

    So what is found at some distance is within that distance.
    """
    if squares.dtype != torch.float64:
        return squares.double().sqrt_().to(squares.dtype)
    # So small that digits of products would be lost.
    tiny = torch.where(squares < 2.0**-900, 2.0**100, 1.0)
    squares = squares * tiny * tiny
    root = squares.sqrt()
    # What the root's square lacks, to the last digit (Dekker, A floating-point technique for
    # extending the available precision, 1971), tells on which side of it the half-way marks lie.
    scaled = root * (2.0**27 + 1)
    high = scaled - (scaled - root)
    low, product = root - high, root * root
    lacks = squares - product - (high * high - product + 2 * high * low + low * low)
    below, above = root.nextafter(torch.zeros_like(root)), root.nextafter(2 * root)
    less, more = root - below, above - root
    down, up = lacks + root * less <= less * less / 4, lacks - root * more > more * more / 4
    return torch.where(down, below, torch.where(up, above, root)) / tiny


# -- measuring ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """How much is worked on together, for a kind of device.

    Attributes:
        asking: Leaves that ask together.
        walk: Pairs of leaves and parts that they may be left with; more, and fewer ask together.
        tile: Pairs of objects measured together.
        results: Neighbours that those who ask together are given.
    """

    asking: int
    walk: int
    tile: int
    results: int


# A CPU does best with what fits in its cache and with what torch gives to one thread: its threads
# wait for each other longer than such short work takes. A graphics card needs much at once.
_CPU = _Sizes(asking=256, walk=2**17, tile=2**15, results=2**21)
_OTHER = _Sizes(asking=2**14, walk=2**23, tile=2**25, results=2**27)


def _sizes(device: torch.device) -> _Sizes:
    return _CPU if device.type == "cpu" else _OTHER


def _chunks(
    sides: Sides, walk: Callable[[Level, int], Walk | None], *, each: int = 1
) -> Iterator[tuple[Int[Tensor, " c"], Walk]]:
    """Let the leaves ask, so many at a time that what they find stays small."""
    leaves = sides.asking.levels[-1]
    sizes = _sizes(leaves.counts.device)
    # Each place of an asking leaf is given so many results: they must not be too many either.
    most = sizes.results // (each * sides.asking.index.shape[1])
    step = max(1, min(sizes.asking, most))
    waiting = list(torch.split(leaves.counts.nonzero()[:, 0], step))
    while waiting:
        chunk = waiting.pop()
        found = walk(leaves.pick(chunk), sizes.walk)
        if found is None:
            waiting.extend(chunk.chunk(2))
        else:
            yield chunk, found


def _tiles(sides: Sides, walk: Walk) -> Iterator[tuple[Int[Tensor, " p"], Int[Tensor, " p"]]]:
    """A walk in parts that can be measured at once."""
    size = sides.asking.index.shape[1] * sides.tree.index.shape[1]
    step = max(1, _sizes(walk.rows.device).tile // size)
    yield from zip(torch.split(walk.rows, step), torch.split(walk.parts, step), strict=True)


def count_near(sides: Sides, square: float) -> Int[Tensor, " n"]:
    """How many are within, for each subject; where they look among themselves, itself counts."""
    n = sides.num_subjects
    counts = torch.zeros(n + 1, dtype=torch.int64, device=sides.tree.low.device)
    for leaves, walk in _chunks(sides, partial(within, sides.tree, square, True)):
        # Parts wholly within count at once for every place of the asking leaf.
        here = walk.counts[:, None].repeat(1, sides.asking.index.shape[1])
        for rows, parts in _tiles(sides, walk):
            near = _squares(sides, leaves.index_select(0, rows), parts[:, None]) <= square
            near = near.sum(dim=2)
            here.scatter_add_(0, rows[:, None].expand_as(near), near)
        # Empty places of a leaf write into one row more.
        index = sides.asking.index.index_select(0, leaves).flatten().clamp_(max=n)
        counts.index_copy_(0, index, here.flatten())
    return counts[:n]


def near_pairs(
    sides: Sides, square: float
) -> Iterator[tuple[Int[Tensor, " e"], Int[Tensor, " e"], Float[Tensor, " e"]]]:
    """Subject, anchor and squared distance of all pairs within, part by part in some order."""
    none = torch.zeros(0, dtype=torch.int64, device=sides.tree.low.device)
    yield none, none, none.to(sides.dtype)
    for leaves, walk in _chunks(sides, partial(within, sides.tree, square, False)):
        for rows, parts in _tiles(sides, walk):
            yield _near(sides, leaves.index_select(0, rows), parts, square)


def nearest_squares(
    sides: Sides, need: int
) -> Iterator[tuple[Int[Tensor, " c"], Float[Tensor, "c k"], Int[Tensor, "c k"]]]:
    """Subjects, and squared distances and indices of their nearest anchors, in no order.

    Where there are no more, the distance is infinite and the index `NONE`.
    """
    for leaves, walk in _chunks(sides, partial(reachable, sides.tree, need), each=need):
        rows = sides.asking.index.index_select(0, leaves).flatten()
        squares, indices = (side.flatten(0, 1) for side in _measure(sides, leaves, walk, need))
        rows, squares, indices = chosen(rows < NONE, rows, squares, indices)
        yield rows, squares, indices


def _measure(
    sides: Sides, leaves: Int[Tensor, " c"], walk: Walk, need: int
) -> tuple[Float[Tensor, "c s k"], Int[Tensor, "c s k"]]:
    """The nearest of each place: squares and indices, in no order.

    Nearest leaves come first, so that what they hold rules out most of the others.
    """
    places, size = sides.asking.index.index_select(0, leaves), sides.tree.index.shape[1]
    squares = walk.gaps.new_full((*places.shape, need), math.inf)
    indices = torch.full(squares.shape, NONE, device=squares.device)
    order = walk.gaps.argsort(stable=True)
    order = order.index_select(0, walk.rows.index_select(0, order).argsort(stable=True))
    rows, parts, gaps = (x.index_select(0, order) for x in (walk.rows, walk.parts, walk.gaps))
    tile = _sizes(rows.device).tile
    while len(rows):
        # Where few are left to ask, each looks into many leaves at once.
        active, slots, left = _runs(rows)
        room = tile // (len(active) * places.shape[1] * size)
        width = min(max(_AT_ONCE, need // size, room), int(left.max()))
        starts = (left.cumsum(0) - left).index_select(0, slots)
        rank = torch.arange(len(rows), device=rows.device) - starts
        now = rank < width
        # The leaf after the last is empty: it fills up the rows.
        table = torch.full((len(active), width), len(sides.tree.index) - 1, device=rows.device)
        at, looked = chosen(now, slots * width + rank, parts)
        table.view(-1).index_copy_(0, at, looked)
        step = max(1, tile // (places.shape[1] * (width * size + need)))
        for some, looks in zip(torch.split(active, step), torch.split(table, step), strict=True):
            nearer, those = _merged(
                (squares.index_select(0, some), indices.index_select(0, some)),
                _squares(sides, leaves.index_select(0, some), looks),
                sides.tree.index.index_select(0, looks.flatten()).view(len(looks), -1),
            )
            squares.index_copy_(0, some, nearer)
            indices.index_copy_(0, some, those)
        bound, last = _outermost(squares, indices, places < NONE)
        first = sides.tree.levels[-1].first.index_select(0, parts)
        rest = comes_before(gaps, first, bound.index_select(0, rows), last.index_select(0, rows))
        rows, parts, gaps = chosen(rest & ~now, rows, parts, gaps)
    return squares, indices


def _runs(
    rows: Int[Tensor, " p"],
) -> tuple[Int[Tensor, " r"], Int[Tensor, " p"], Int[Tensor, " r"]]:
    """Of sorted rows: each once, the place of each among those, and how many there are of it."""
    starts = torch.ones_like(rows, dtype=torch.bool)
    torch.ne(rows[1:], rows[:-1], out=starts[1:])
    begin = starts.nonzero()[:, 0]
    counts = torch.diff(begin, append=begin.new_full((1,), len(rows)))
    return rows.index_select(0, begin), starts.cumsum(0) - 1, counts


def _merged(
    best: tuple[Float[Tensor, "c s k"], Int[Tensor, "c s k"]],
    squares: Float[Tensor, "c s t"],
    index: Int[Tensor, "c t"],
) -> tuple[Float[Tensor, "c s k"], Int[Tensor, "c s k"]]:
    """The k least of those found and those measured now; the first index among equals."""
    need = best[0].shape[2]
    every = torch.cat([best[0], squares], dim=2)
    values, places = every.topk(need + 1, dim=2, largest=False)
    found = torch.cat([best[1], index[:, None].expand(-1, every.shape[1], -1)], dim=2)
    indices = found.gather(2, places[..., :need])
    # The next one is as near as the last of them: which of the equals are taken is open.
    last = values[..., need - 1]
    tied = (last == values[..., need]) & (last < math.inf)
    if tied.any():
        at, equal, bound = found[tied], every[tied], last[tied][:, None]
        # Nearer ones before all equals, equals by index, others never.
        rank = torch.where(equal < bound, at - NONE, at.masked_fill(equal > bound, NONE))
        taken = rank.topk(need, dim=1, largest=False).indices
        values[..., :need][tied], indices[tied] = equal.gather(1, taken), at.gather(1, taken)
    return values[..., :need], indices


def _outermost(
    squares: Float[Tensor, "c s k"], indices: Int[Tensor, "c s k"], filled: Bool[Tensor, "c s"]
) -> tuple[Float[Tensor, " c"], Int[Tensor, " c"]]:
    """The greatest (distance, index) that any place of a leaf has taken in."""
    squares = squares.masked_fill(~filled[..., None], -1.0)
    bound = squares.amax(dim=(1, 2))
    return bound, indices.masked_fill(squares != bound[:, None, None], -1).amax(dim=(1, 2))

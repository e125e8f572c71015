"""Nearest objects, counts and pairs within a radius among up to millions, without a table of pairs.

Objects are sorted into a tree (`groundplane.spatial.box_tree`). Those of one leaf ask together: a
part of the tree is passed over where it lies beyond what every one of them has found, so what is
measured grows with what is found, and memory with neither. Results are exact in the precision of
the boxes, and equals come in the order of the objects, whatever the scene is like: a heap at one
point, a far outlier, fewer objects than asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.box_tree import (
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
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.dense import Metric
from groundplane.spatial.memory import LIMIT, require_memory

__all__ = ["Edges", "Neighbours", "count_within", "nearest", "pairs_within"]

# Leaves that each asking leaf measures before it looks again which others it still needs.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """The nearest anchors of each subject, nearest first, equals by index.

    Attributes:
        indices: Rows of the anchors; -1 where there are no more, or the subject is not known.
        distances: Metres; infinite where there are no more, NaN where the subject is not known.

    Raises:
        ShapeError: If the columns differ in shape.
    """

    indices: Int[Tensor, "n k"]
    distances: Float[Tensor, "n k"]

    def __post_init__(self) -> None:
        if self.indices.shape != self.distances.shape:
            raise ShapeError(
                f"neighbours: distances must have shape {tuple(self.indices.shape)}, "
                f"got {tuple(self.distances.shape)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Pairs in columns, sorted by subject and then by anchor.

    Attributes:
        first: Row of the subject.
        second: Row of the anchor.
        distances: Metres.

    Raises:
        ShapeError: If the columns differ in length.
    """

    first: Int[Tensor, " e"]
    second: Int[Tensor, " e"]
    distances: Float[Tensor, " e"]

    def __post_init__(self) -> None:
        if not self.first.shape == self.second.shape == self.distances.shape:
            raise ShapeError(
                f"edges: columns must have the same length, got {len(self.first)}, "
                f"{len(self.second)} and {len(self.distances)}"
            )

    def __len__(self) -> int:
        return int(self.first.shape[0])


@torch.no_grad()
def nearest(
    subjects: Boxes3D, anchors: Boxes3D | None = None, *, k: int = 8, metric: Metric = "centers"
) -> Neighbours:
    """The k nearest anchors of each subject.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes on the same device; if None, the other subjects.
        k: How many.
        metric: Whether distance is between centres or between axis-aligned hulls, where it is 0
            for all that meet. Boxes that are not known, by NaN or a negative size, are nobody's
            neighbours; for centres only the centre must be known.

    Raises:
        InputError: If k is less than 1, or the result would not fit in memory.

    Examples:
        >>> centers = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
        >>> three = Boxes3D(
        ...     centers=centers, sizes=torch.ones(3, 3), axes=torch.eye(3).repeat(3, 1, 1)
        ... )
        >>> found = nearest(three, k=1)
        >>> found.indices.tolist(), found.distances.tolist()
        ([[1], [0], [1]], [[1.0], [1.0], [2.0]])
        >>> nearest(three, three[torch.zeros(0, dtype=torch.long)], k=2).indices.tolist()
        [[-1, -1], [-1, -1], [-1, -1]]
    """
    if k < 1:
        raise InputError(f"nearest: k must be at least 1, got {k}")
    sides = _sort(subjects, anchors, metric)
    n, dtype, device = len(subjects), sides.dtype, subjects.centers.device
    require_memory(
        n * k * 16,
        what=f"neighbours: {k} of each of {n} objects",
        instead="a smaller k",
        device=device,
    )
    # A subject may find itself, so one more is looked for.
    need = k if anchors is not None else k + 1
    indices = torch.full((n, k), -1, device=device)
    distances = torch.full((n, k), math.nan, dtype=dtype, device=device)
    for leaves, walk in _chunks(sides, partial(reachable, sides.tree, need)):
        rows = sides.asking.index.index_select(0, leaves).flatten()
        squares, others = _measure(sides, leaves, walk, need)
        rows, squares, others = chosen(
            rows < NONE, rows, squares.flatten(0, 1), others.flatten(0, 1)
        )
        squares, others = _in_order(squares, others)
        if anchors is None:
            squares, others = _without(rows, squares, others)
        indices.index_copy_(0, rows, others.masked_fill(others == NONE, -1))
        distances.index_copy_(0, rows, squares)
    return Neighbours(indices=indices, distances=distances.sqrt_())


@torch.no_grad()
def count_within(
    subjects: Boxes3D,
    anchors: Boxes3D | None = None,
    *,
    radius: float,
    metric: Metric = "centers",
) -> Int[Tensor, " n"]:
    """How many anchors lie within a radius of each subject, the radius included.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes on the same device; if None, the other subjects.
        radius: Metres.
        metric: As for `nearest`. Boxes that are not known count nothing and for nothing.

    Raises:
        InputError: If the radius is negative or not finite.

    Examples:
        >>> centers = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
        >>> three = Boxes3D(
        ...     centers=centers, sizes=torch.ones(3, 3), axes=torch.eye(3).repeat(3, 1, 1)
        ... )
        >>> count_within(three, radius=2.0).tolist()
        [1, 2, 1]
        >>> count_within(three[torch.zeros(0, dtype=torch.long)], radius=2.0).tolist()
        []
    """
    sides = _sort(subjects, anchors, metric)
    counts = _count(sides, len(subjects), _square_of(radius, sides.dtype))
    return counts if anchors is not None else (counts - 1).clamp_(min=0)


@torch.no_grad()
def pairs_within(
    subjects: Boxes3D,
    anchors: Boxes3D | None = None,
    *,
    radius: float,
    metric: Metric = "centers",
    limit: int = LIMIT,
) -> Edges:
    """All pairs within a radius, the radius included.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes on the same device; if None, the other subjects, and each pair is given
            both ways.
        radius: Metres.
        metric: As for `nearest`.
        limit: Bytes allowed for the result. The pairs are counted before they are collected.

    Raises:
        InputError: If the radius is negative or not finite, or there are too many pairs.

    Examples:
        >>> centers = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
        >>> three = Boxes3D(
        ...     centers=centers, sizes=torch.ones(3, 3), axes=torch.eye(3).repeat(3, 1, 1)
        ... )
        >>> near = pairs_within(three, radius=1.5)
        >>> near.first.tolist(), near.second.tolist(), near.distances.tolist()
        ([0, 1], [1, 0], [1.0, 1.0])
        >>> len(pairs_within(three[torch.zeros(0, dtype=torch.long)], radius=1.5))
        0
    """
    sides = _sort(subjects, anchors, metric)
    dtype, device = sides.dtype, subjects.centers.device
    square = _square_of(radius, dtype)
    counts = _count(sides, len(subjects), square)
    total = int((counts if anchors is not None else (counts - 1).clamp_(min=0)).sum())
    require_memory(
        total * (16 + dtype.itemsize),
        what=f"pairs: {total} within {radius} m of each other",
        instead="a smaller radius, or nearest(boxes, k)",
        device=device,
        limit=limit,
    )
    first = torch.empty(total, dtype=torch.int64, device=device)
    second, distances = torch.empty_like(first), torch.empty(total, dtype=dtype, device=device)
    done = 0
    for leaves, walk in _chunks(sides, partial(within, sides.tree, square, False)):
        for rows, parts in _tiles(sides, walk):
            a, b, apart = _near(sides, leaves.index_select(0, rows), parts, square)
            if anchors is None:
                a, b, apart = chosen(a != b, a, b, apart)
            span = slice(done, done + len(a))
            first[span], second[span], distances[span] = a, b, apart
            done = span.stop
    assert done == total
    order = (first * max(1, len(anchors or subjects)) + second).argsort()
    # The root may be off in its last digit, which must not put it beyond the radius.
    distances = distances[order].sqrt_().clamp_(max=radius)
    return Edges(first=first[order], second=second[order], distances=distances)


# -- both sides, sorted -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sides:
    """The subjects, who ask, and the anchors, who are asked for; one tree where they are one."""

    asking: BoxTree
    tree: BoxTree

    @property
    def dtype(self) -> torch.dtype:
        return self.tree.low.dtype


def _sort(subjects: Boxes3D, anchors: Boxes3D | None, metric: Metric) -> _Sides:
    types = [boxes.centers.dtype for boxes in (subjects, anchors or subjects)]
    # The squares of half precision lengths do not fit.
    dtype = torch.promote_types(torch.promote_types(*types), torch.float32)
    asking = build_tree(*_hulls(subjects, metric, dtype))
    tree = asking if anchors is None else build_tree(*_hulls(anchors, metric, dtype))
    return _Sides(asking=asking, tree=tree)


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
    sides: _Sides, leaves: Int[Tensor, " p"], parts: Int[Tensor, "p w"]
) -> Float[Tensor, "p s t"]:
    """Squared gaps of each place of an asking leaf to all places of its parts."""
    a, b = sides.asking, sides.tree
    shape = (3, len(parts), 1, parts.shape[1] * b.low.shape[2])
    low, high = (side.index_select(1, parts.flatten()).view(shape) for side in (b.low, b.high))
    least, most = (side.index_select(1, leaves)[..., None] for side in (a.low, a.high))
    return gap_squared(least, most, low, high)


def _near(
    sides: _Sides, leaves: Int[Tensor, " p"], parts: Int[Tensor, " p"], square: float
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


def _square_of(radius: float, dtype: torch.dtype) -> float:
    """The largest square whose root, as it is rounded, is within the radius."""
    if not 0 <= radius < math.inf:
        raise InputError(f"radius must be at least 0 metres and finite, got {radius}")
    largest = torch.finfo(dtype).max
    if radius * radius >= largest:
        return largest

    def root(square: Tensor) -> Tensor:
        # Torch's own may be off in the last digit; rounding a float64 root is exact for both.
        return torch.tensor(math.sqrt(float(square)), dtype=dtype)

    limit = torch.tensor(radius, dtype=dtype)
    square, infinity = limit * limit, torch.tensor(math.inf, dtype=dtype)
    while root(square) > limit:
        square = square.nextafter(-infinity)
    while root(square.nextafter(infinity)) <= limit:
        square = square.nextafter(infinity)
    return float(square)


# -- measuring ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """How much is worked on together, for a kind of device.

    Attributes:
        asking: Leaves that ask together.
        walk: Pairs of leaves and parts that they may be left with; more, and fewer ask together.
        tile: Pairs of objects measured together.
    """

    asking: int
    walk: int
    tile: int


# A CPU does best with what fits in its cache and with what torch gives to one thread: its threads
# wait for each other longer than such short work takes. A graphics card needs much at once.
_CPU = _Sizes(asking=256, walk=2**17, tile=2**15)
_OTHER = _Sizes(asking=2**14, walk=2**23, tile=2**25)


def _sizes(device: torch.device) -> _Sizes:
    return _CPU if device.type == "cpu" else _OTHER


def _chunks(
    sides: _Sides, walk: Callable[[Level, int], Walk | None]
) -> Iterator[tuple[Int[Tensor, " c"], Walk]]:
    """Let the leaves ask, so many at a time that what they find stays small."""
    leaves = sides.asking.levels[-1]
    sizes = _sizes(leaves.counts.device)
    waiting = list(torch.split(leaves.counts.nonzero()[:, 0], sizes.asking))
    while waiting:
        chunk = waiting.pop()
        found = walk(leaves.pick(chunk), sizes.walk)
        if found is None:
            waiting.extend(chunk.chunk(2))
        else:
            yield chunk, found


def _tiles(sides: _Sides, walk: Walk) -> Iterator[tuple[Int[Tensor, " p"], Int[Tensor, " p"]]]:
    """A walk in parts that can be measured at once."""
    size = sides.asking.index.shape[1] * sides.tree.index.shape[1]
    step = max(1, _sizes(walk.rows.device).tile // size)
    yield from zip(torch.split(walk.rows, step), torch.split(walk.parts, step), strict=True)


def _count(sides: _Sides, n: int, square: float) -> Int[Tensor, " n"]:
    """How many are within, for each subject; itself counts."""
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


def _measure(
    sides: _Sides, leaves: Int[Tensor, " c"], walk: Walk, need: int
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


def _in_order(
    squares: Float[Tensor, "n k"], indices: Int[Tensor, "n k"]
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Nearest first, equals by index."""
    indices, order = indices.sort(dim=1)
    squares, order = squares.gather(1, order).sort(dim=1, stable=True)
    return squares, indices.gather(1, order)


def _without(
    rows: Int[Tensor, " n"], squares: Float[Tensor, "n k"], indices: Int[Tensor, "n k"]
) -> tuple[Float[Tensor, "n _"], Int[Tensor, "n _"]]:
    """One less for each row: itself if it is there, else the last."""
    drop = indices == rows[:, None]
    drop[:, -1] |= ~drop.any(dim=1)
    rest, shape = ~drop, (len(rows), indices.shape[1] - 1)
    return squares.masked_select(rest).view(shape), indices.masked_select(rest).view(shape)

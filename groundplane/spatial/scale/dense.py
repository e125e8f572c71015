"""Distance, direction and topology of all pairs of objects at once, 12 bytes a pair.

The table is made for scenes of some ten thousand objects. It is worked out tile by tile, in tiles
that stay in a core's cache, so nothing of the size of the table is held beside it: a pair costs
what its operations cost and not what moving it through memory would. Beyond what fits in memory,
ask `groundplane.spatial.scale.neighbours` for the nearest ones.

Topology and order are those of the axis-aligned hulls, as in the rectangle algebra (Balbiani,
Condotta and Farinas del Cerro, A model for reasoning about bidimensional temporal relations, KR
1998) and RCC-8 (Randell, Cui and Cohn, A spatial logic based on regions and connection, KR 1992).
Where we differ: things that meet within the tolerance touch, the inner things of RCC-8 are not
told apart by whether they reach the border, and an order has three values an axis, not thirteen.
A hull is never smaller than its box, so hulls of turned boxes may meet where the boxes do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Self

import torch
from jaxtyping import Bool, Float, Float16, Float32, UInt8
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.memory import LIMIT, require_memory
from groundplane.spatial.thresholds import THRESHOLDS

__all__ = ["BYTES_A_PAIR", "Metric", "PairTable", "Topology", "seen_along", "tabulate"]

# Distance in float32, direction in three float16, topology and order in a byte each.
BYTES_A_PAIR = 12
# Pairs worked on together. On a CPU the tables of a tile stay in a second-level cache of
# 1 MB, and torch starts no second thread for so few: under load its threads wait for each other
# many times longer than the work takes. A graphics card needs large tiles to be filled.
_TILE = {"cpu": 2**15}
_LARGE_TILE = 2**24
# Squares of what lies further out do not fit in float32.
_FARTHEST = 1e18  # metres

Metric = Literal["centers", "hulls"]
"""Distance between centres, or between the nearest points of the axis-aligned hulls."""


class Topology(IntEnum):
    """How the subject's hull lies to the anchor's; the first that holds, from the last upwards."""

    UNKNOWN = 0
    """A box is not known: NaN, infinite or of negative size."""
    OVERLAPPING = 1
    CONTAINS = 2
    INSIDE = 3
    TOUCHING = 4
    """They meet, and share no more than the tolerance along some axis."""
    EQUAL = 5
    DISJOINT = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairTable:
    """What holds between each subject (row) and each anchor (column).

    Attributes:
        distances: Metres; NaN where one is not known.
        directions: Unit vector from the subject to the anchor, centre to centre, in the axes of
            the boxes, good to 0.03 degrees where the centres lie a thousandth of the scene's
            extent apart or more; NaN where they coincide or are not known.
        topology: A `Topology`.
        orders: Two bits an axis, x lowest: 1 where the subject lies wholly before the anchor, 2
            where it lies wholly after it, 0 where they share an extent; see `before` and `after`.

    Raises:
        ShapeError: If the tables differ in shape.
    """

    distances: Float32[Tensor, "n m"]
    directions: Float16[Tensor, "n m 3"]
    topology: UInt8[Tensor, "n m"]
    orders: UInt8[Tensor, "n m"]

    def __post_init__(self) -> None:
        n, m = self.distances.shape
        for name, shape in (("directions", (n, m, 3)), ("topology", (n, m)), ("orders", (n, m))):
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ShapeError(f"pair table: {name} must have shape {shape}, got {got}")

    @classmethod
    def empty(
        cls, rows: int, columns: int, *, device: str | torch.device = "cpu", limit: int = LIMIT
    ) -> Self:
        """Room for a table, to be filled by `tabulate(..., out=table)`.

        Args:
            rows: Number of subjects.
            columns: Number of anchors.
            device: Where the table stands.
            limit: Bytes allowed.

        Raises:
            InputError: If the table is larger than allowed, or than what the device has free.
        """
        device = torch.device(device)
        require_memory(
            rows * columns * BYTES_A_PAIR,
            what=f"pairs: {rows} x {columns} objects at {BYTES_A_PAIR} bytes a pair",
            instead="groundplane.spatial.scale.neighbours, whose nearest(boxes, k), count_within "
            "and pairs_within hold no such table; or a higher limit where the memory is there",
            device=device,
            limit=limit,
        )
        # One plane an axis: each is written on its own.
        planes = torch.empty(3, rows, columns, dtype=torch.float16, device=device)
        return cls(
            distances=torch.empty(rows, columns, dtype=torch.float32, device=device),
            directions=planes.movedim(0, 2),
            topology=torch.empty(rows, columns, dtype=torch.uint8, device=device),
            orders=torch.empty(rows, columns, dtype=torch.uint8, device=device),
        )

    def holds(self, topology: Topology) -> Bool[Tensor, "n m"]:
        """Where a topology holds."""
        return self.topology == int(topology)

    def before(self, axis: int) -> Bool[Tensor, "n m"]:
        """Where the subject lies wholly before the anchor along axis 0, 1 or 2.

        In the axes of `seen_along`, that is wholly left of it, nearer, or lower.
        """
        return (self.orders & 1 << 2 * axis) > 0

    def after(self, axis: int) -> Bool[Tensor, "n m"]:
        """Where the subject lies wholly after the anchor along axis 0, 1 or 2."""
        return (self.orders & 2 << 2 * axis) > 0

    def azimuths(self) -> Float32[Tensor, "n m"]:
        """Where the anchor lies as seen from above: radians from axis 0 towards axis 1.

        NaN where it lies straight above or below, or its direction is not known.
        """
        x, y = (self.directions[..., axis].float() for axis in (0, 1))
        return torch.where((x == 0) & (y == 0), math.nan, torch.atan2(y, x))


def seen_along(boxes: Boxes3D, view: Float[Tensor, " 3"]) -> Boxes3D:
    """The same boxes in the axes of a viewer: to the right, ahead along the ground, and up.

    Args:
        boxes: World frame, z up, metres.
        view: Where the viewer looks; its height is passed over, its length does not matter.

    Raises:
        InputError: If the view is vertical or not known.

    Examples:
        >>> box = Boxes3D(
        ...     centers=torch.tensor([[0.0, 2, 1]]), sizes=torch.ones(1, 3), axes=torch.eye(3)[None]
        ... )
        >>> seen_along(box, torch.tensor([1.0, 0, 0])).centers.tolist()  # north is left of east
        [[-2.0, 0.0, 1.0]]
    """
    ahead = view.to(boxes.centers)[:2]
    length = ahead.norm()
    if not THRESHOLDS.least_ray < float(length) < math.inf:
        raise InputError(
            f"seen_along: expected a view along the ground, got {view.tolist()}; a viewer who "
            "looks straight up or down has no left or right"
        )
    x, y = (ahead / length).unbind()
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    turn = torch.stack([y, -x, zero, x, y, zero, zero, zero, one]).view(3, 3)
    covariance = boxes.covariance
    if covariance is not None:
        # Sizes are along the box's own axes: only the centre's part turns.
        both = torch.eye(6, dtype=covariance.dtype, device=covariance.device)
        both[:3, :3] = turn
        covariance = both @ covariance @ both.T
    return Boxes3D(
        centers=boxes.centers @ turn.T,
        sizes=boxes.sizes,
        axes=boxes.axes @ turn.T.to(boxes.axes),
        covariance=covariance,
    )


@torch.no_grad()
def tabulate(
    subjects: Boxes3D,
    anchors: Boxes3D | None = None,
    *,
    metric: Metric = "centers",
    tolerance: float = THRESHOLDS.touch_gap,
    out: PairTable | None = None,
) -> PairTable:
    """Distance, direction, topology and order of all pairs.

    Coordinates are taken from the middle of the scene and computed in float32, which is good to a
    few ten-millionths of the scene's extent. No gradients are kept.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes on the same device; the subjects themselves if None.
        metric: What `distances` are measured between.
        tolerance: Metres within which, along each axis, hulls touch and faces coincide.
        out: A table of the right size to write into, for callers who ask again and again.

    Raises:
        InputError: If the tolerance is negative or not finite, or the table would not fit.
        ShapeError: If `out` has another shape.

    Examples:
        >>> centers = torch.tensor([[0.0, 0, 0], [3.0, 4.0, 0]])
        >>> sizes, axes = torch.ones(2, 3), torch.eye(3).repeat(2, 1, 1)
        >>> two = Boxes3D(centers=centers, sizes=sizes, axes=axes)
        >>> table = tabulate(two)
        >>> table.distances.tolist(), Topology(int(table.topology[0, 1])).name
        ([[0.0, 5.0], [5.0, 0.0]], 'DISJOINT')
        >>> table.before(1).tolist()
        [[False, True], [False, False]]
        >>> tabulate(two[torch.zeros(0, dtype=torch.long)]).distances.shape
        torch.Size([0, 0])
    """
    if not 0 <= tolerance < math.inf:
        raise InputError(f"tabulate: tolerance must be at least 0 metres, got {tolerance}")
    others = subjects if anchors is None else anchors
    shape = (len(subjects), len(others))
    table = PairTable.empty(*shape, device=subjects.centers.device) if out is None else out
    if tuple(table.distances.shape) != shape:
        raise ShapeError(f"tabulate: out must have shape {shape}, got {(*table.distances.shape,)}")
    middle = _middle(subjects.centers, others.centers)
    a = _columns(subjects, middle)
    b = a if anchors is None else _columns(others, middle)
    _fill(table, a, b, metric=metric, tolerance=tolerance)
    return table


# Which row of the columns is which.
_CENTER, _LOW, _HIGH = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class _Scratch:
    """Room for one tile; every operation writes into it, so none is allocated in the loop."""

    shape: tuple[int, int]
    floats: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """Subjects down, anchors across: centre, low, high by three axes, and room to work in."""

    a: Float32[Tensor, "3 3 n 1"]
    b: Float32[Tensor, "3 3 1 m"]
    scratch: _Scratch


def _scratch(shape: tuple[int, int], device: torch.device) -> _Scratch:
    return _Scratch(
        shape=shape,
        floats=tuple(torch.empty(shape, dtype=torch.float32, device=device) for _ in range(6)),
    )


def _middle(a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]) -> Float[Tensor, " 3"]:
    """The median centre: far-out objects do not draw it away from where most are."""
    centers = torch.cat([a, b.to(a)]).double()
    if not len(centers):
        return centers.new_zeros(3)
    centers = centers.masked_fill(~centers.isfinite(), math.nan)
    return centers.nanmedian(dim=0).values.nan_to_num(0.0)


def _columns(boxes: Boxes3D, middle: Float[Tensor, " 3"]) -> Float32[Tensor, "3 3 n"]:
    """Centre, low and high by axis, from the middle of the scene; NaN where not known."""
    centers = boxes.centers.double()
    unknown = ~(centers.abs() < _FARTHEST).all(dim=1)
    low, high = (corner.double() for corner in boxes.hull())
    bad = ~((low.abs() < _FARTHEST) & (high.abs() < _FARTHEST) & (boxes.sizes >= 0)).all(dim=1)
    rows = torch.stack(
        [
            centers.masked_fill(unknown[:, None], math.nan),
            low.masked_fill((unknown | bad)[:, None], math.nan),
            high.masked_fill((unknown | bad)[:, None], math.nan),
        ]
    )
    return (rows - middle).movedim(1, 2).float().contiguous()


def _tiles(rows: int, columns: int, *, size: int) -> Iterator[tuple[slice, slice]]:
    wide = min(max(columns, 1), size)
    high = max(1, size // wide)
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(top, min(rows, top + high)), slice(left, min(columns, left + wide))


def _fill(
    table: PairTable, a: Float32[Tensor, "3 3 n"], b: Float32[Tensor, "3 3 m"], *,
    metric: Metric, tolerance: float,
) -> None:  # fmt: skip
    """Fill in a table, tile by tile."""
    scratch: _Scratch | None = None
    size = _TILE.get(a.device.type, _LARGE_TILE)
    for rows, columns in _tiles(a.shape[2], b.shape[2], size=size):
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        if scratch is None or scratch.shape != shape:
            scratch = _scratch(shape, a.device)
        pairs = _Pairs(a=a[:, :, rows, None], b=b[:, :, None, columns], scratch=scratch)
        part = PairTable(
            distances=table.distances[rows, columns],
            directions=table.directions[rows, columns],
            topology=table.topology[rows, columns],
            orders=table.orders[rows, columns],
        )
        _write_topology(pairs, part, tolerance)
        _write_directions(pairs, part)
        if metric == "hulls":
            _write_gaps(pairs, part)


def _write_topology(pairs: _Pairs, part: PairTable, tolerance: float) -> None:
    """Fill in the topology and the order of a tile.

    Truths are kept as 0 and 1 in float32: torch compares into floats four times as fast as into
    bools, and has the sums of them in a byte with sign as fast.
    """
    x, y, gap, least, most, orders = pairs.scratch.floats
    orders.zero_(), gap.fill_(-math.inf), least.fill_(math.inf), most.fill_(-math.inf)
    for axis in range(3):
        low_a, high_a = pairs.a[_LOW, axis], pairs.a[_HIGH, axis]
        low_b, high_b = pairs.b[_LOW, axis], pairs.b[_HIGH, axis]
        for bit, (start, end) in enumerate(((low_b, high_a), (low_a, high_b))):
            torch.sub(start, end, out=x)
            torch.maximum(gap, x, out=gap)
            orders.add_(x.gt_(tolerance), alpha=(1 + bit) << 2 * axis)
        # How far the anchor's faces lie inside the subject's.
        torch.sub(low_b, low_a, out=x), torch.sub(high_a, high_b, out=y)
        torch.minimum(least, x, out=least), torch.minimum(least, y, out=least)
        torch.maximum(most, x, out=most), torch.maximum(most, y, out=most)
    part.orders.view(torch.int8).copy_(orders)
    inside, contains = most.le_(tolerance), least.ge_(-tolerance)
    # Each term only where its case holds; NaN is neither greater nor less, so there all are 0.
    code = torch.le(gap, tolerance, out=x)
    code.add_(contains, alpha=Topology.CONTAINS - 1).add_(inside, alpha=Topology.INSIDE - 1)
    code.add_(inside.mul_(contains), alpha=Topology.EQUAL - Topology.CONTAINS - Topology.INSIDE + 1)
    torch.maximum(code, torch.ge(gap, -tolerance, out=y).mul_(Topology.TOUCHING), out=code)
    code.add_(gap.gt_(tolerance), alpha=Topology.DISJOINT - Topology.TOUCHING)
    part.topology.view(torch.int8).copy_(code)


def _write_directions(pairs: _Pairs, part: PairTable) -> None:
    """Fill in the direction of a tile, and the distance of the centres."""
    *offsets, square, inverse, _ = pairs.scratch.floats
    for axis, offset in enumerate(offsets):
        torch.sub(pairs.b[_CENTER, axis], pairs.a[_CENTER, axis], out=offset)
    torch.mul(offsets[0], offsets[0], out=square)
    square.addcmul_(offsets[1], offsets[1]).addcmul_(offsets[2], offsets[2])
    # Torch splits a square root among threads, however small the tile; this it does not. Nothing
    # times infinity is NaN: things at one place have no direction.
    torch.rsqrt(square, out=inverse)
    torch.reciprocal(inverse, out=part.distances)
    for axis, offset in enumerate(offsets):
        part.directions[..., axis].copy_(offset.mul_(inverse))


def _write_gaps(pairs: _Pairs, part: PairTable) -> None:
    """Fill in the distance of the hulls of a tile."""
    square, x, y, *_ = pairs.scratch.floats
    square.zero_()
    for axis in range(3):
        torch.sub(pairs.b[_LOW, axis], pairs.a[_HIGH, axis], out=x)
        torch.sub(pairs.a[_LOW, axis], pairs.b[_HIGH, axis], out=y)
        torch.maximum(x, y, out=x).clamp_(min=0)
        square.addcmul_(x, x)
    torch.reciprocal(torch.rsqrt(square, out=x), out=part.distances)

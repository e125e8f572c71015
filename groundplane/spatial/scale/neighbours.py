"""Nearest objects, counts and pairs within a radius among up to millions, without a table of pairs.

Objects are sorted into a tree (`groundplane.spatial.scale.box_tree`). Those of one leaf ask
together: a part of the tree is passed over where it lies beyond what every one of them has found,
so what is measured grows with what is found, and memory with neither. Results are exact in the
precision of the boxes, and equals come in the order of the objects, whatever the scene is like: a
heap at one point, a far outlier, fewer objects than asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.scale.box_tree import NONE, chosen
from groundplane.spatial.scale.dense import Metric
from groundplane.spatial.scale.memory import LIMIT, require_memory
from groundplane.spatial.scale.neighbour_search import (
    Sides,
    count_near,
    near_pairs,
    nearest_squares,
    root_of,
    sort_sides,
    square_of,
)

__all__ = ["Edges", "Neighbours", "count_within", "gaps_within", "nearest", "pairs_within"]

# Pairs of boxes measured exactly at once; each is drawn out of both columns.
_EXACT = 2**17
# Rounding of a hull against that of its box, in machine epsilons of the scene.
_SLACK = 64.0


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
    sides = sort_sides(subjects, anchors, metric)
    n, dtype, device = len(subjects), sides.dtype, subjects.centers.device
    what = f"neighbours: {k} of each of {n} objects"
    require_memory(n * k * 16, what=what, instead="a smaller k", device=device)
    # A subject may find itself, so one more is looked for.
    need = k if anchors is not None else k + 1
    indices = torch.full((n, k), -1, device=device)
    distances = torch.full((n, k), math.nan, dtype=dtype, device=device)
    for rows, *found in nearest_squares(sides, need):
        squares, others = _in_order(*found)
        if anchors is None:
            squares, others = _without(rows, squares, others)
        indices.index_copy_(0, rows, others.masked_fill(others == NONE, -1))
        distances.index_copy_(0, rows, squares)
    return Neighbours(indices=indices, distances=root_of(distances))


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
    sides = sort_sides(subjects, anchors, metric)
    return _counts(sides, square_of(radius, sides.dtype))


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
    sides = sort_sides(subjects, anchors, metric)
    square = square_of(radius, sides.dtype)
    total = int(_counts(sides, square).sum())
    require_memory(
        total * (16 + sides.dtype.itemsize),
        what=f"pairs: {total} within {radius} m of each other",
        instead="a smaller radius, nearest(boxes, k), or a higher limit",
        device=subjects.centers.device,
        limit=limit,
    )
    parts = [_different(part) if anchors is None else part for part in near_pairs(sides, square)]
    first, second, squares = (torch.cat(columns) for columns in zip(*parts, strict=True))
    assert len(first) == total
    order = (first * max(1, sides.num_anchors) + second).argsort()
    return Edges(first=first[order], second=second[order], distances=root_of(squares[order]))


@torch.no_grad()
def gaps_within(
    subjects: Boxes3D, anchors: Boxes3D | None = None, *, radius: float, limit: int = LIMIT
) -> Edges:
    """All pairs of oriented boxes whose exact gap is within a radius, the radius included.

    Hulls are never smaller than their boxes, so pairs of near hulls are found first and measured
    exactly by `groundplane.spatial.geometry.gap`.

    Args:
        subjects: n boxes, metres.
        anchors: m boxes on the same device; if None, the other subjects, and each pair is given
            both ways.
        radius: Metres.
        limit: Bytes allowed for the pairs of near hulls.

    Raises:
        InputError: If the radius is negative or not finite, or there are too many pairs.

    Examples:
        >>> centers = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [9.0, 0, 0]])
        >>> three = Boxes3D(
        ...     centers=centers, sizes=torch.ones(3, 3), axes=torch.eye(3).repeat(3, 1, 1)
        ... )
        >>> gaps_within(three, radius=1.0).distances.tolist()
        [0.5, 0.5]
        >>> len(gaps_within(three[torch.zeros(0, dtype=torch.long)], radius=1.0))
        0
    """
    others = subjects if anchors is None else anchors
    slack = max(_rounding(subjects), _rounding(others))
    hulls = pairs_within(subjects, anchors, radius=radius + slack, metric="hulls", limit=limit)
    found = [hulls.distances[:0]]
    for first, second in zip(
        torch.split(hulls.first, _EXACT), torch.split(hulls.second, _EXACT), strict=True
    ):
        found.append(closest_points(subjects[first], others[second])[2])
    gaps = torch.cat(found)
    first, second, gaps = chosen(gaps <= radius, hulls.first, hulls.second, gaps)
    return Edges(first=first, second=second, distances=gaps)


def _rounding(boxes: Boxes3D) -> float:
    """By how much a hull may lie off its box, metres."""
    extent = (boxes.centers.abs() + boxes.sizes.abs()).nan_to_num(0.0, 0.0)
    largest = float(extent.amax()) if len(boxes) else 0.0
    # Boxes so far out that it is more have no gaps to speak of.
    return min(_SLACK * torch.finfo(extent.dtype).eps * largest, 1e-3)


def _counts(sides: Sides, square: float) -> Int[Tensor, " n"]:
    """How many anchors are near each subject, itself left out."""
    counts = count_near(sides, square)
    return (counts - 1).clamp_(min=0) if sides.asking is sides.tree else counts


def _different(
    pairs: tuple[Int[Tensor, " e"], Int[Tensor, " e"], Float[Tensor, " e"]],
) -> tuple[Tensor, ...]:
    """The pairs of different objects."""
    first, second, _ = pairs
    return chosen(first != second, *pairs)


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

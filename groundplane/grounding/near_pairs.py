"""Pairs of boxes that may overlap, found without comparing all with all.

A class of boxes of like size is sorted by group, by the strip of the picture that its top edge
lies in, and by its left edge. What may overlap a box then lies in a few stretches of that order,
which two binary searches find. Memory stays bounded: pairs come in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["BoxIndex", "areas", "shared_areas"]

# Pairs given at a time, and boxes asked about at a time.
_PIECE = 2**18
_BLOCK = 4096
# Strips of one class at most: a tall box must go through all that it crosses.
_MAX_STRIPS = 1024
# Boxes of one class differ in their longer side by this factor at most.
_FACTOR = 4.0
# Below this, whatever touches is looked at: the bound that follows from it would be as wide.
_TOUCHING = 1e-6

_Boxes = Float64[np.ndarray, "_ 4"]
_Whole = Int64[np.ndarray, " _"]


def areas(boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    """The area of each box, square pixels; 0 for an empty box.

    Examples:
        >>> areas(np.array([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 0.0, 3.0]])).tolist()
        [6.0, 0.0]
    """
    width, height = (np.maximum(boxes[:, 2 + i] - boxes[:, i], 0.0) for i in (0, 1))
    return np.asarray(width * height)


def shared_areas(
    a: Float64[np.ndarray, "n 4"], b: Float64[np.ndarray, "n 4"]
) -> Float64[np.ndarray, " n"]:
    """The area that each box of `a` shares with the box of `b` in its place, square pixels.

    Examples:
        >>> box = np.array([[0.0, 0.0, 2.0, 2.0]])
        >>> shared_areas(box, box + 1).tolist()
        [1.0]
    """
    wide = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    high = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.asarray(np.maximum(wide, 0.0) * np.maximum(high, 0.0))


class BoxIndex:
    """Boxes in an order in which those near a box lie together.

    Args:
        boxes: `xyxy`, finite, any unit.
        groups: Only boxes of one group are near each other.
    """

    def __init__(self, boxes: Float64[np.ndarray, "n 4"], groups: Int64[np.ndarray, " n"]) -> None:
        longer = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).max(axis=1, initial=0.0)
        level = np.floor(np.log(np.maximum(longer, 1e-9)) / np.log(_FACTOR))
        self._classes = [
            _Class.of(np.flatnonzero(level == each), boxes, groups) for each in np.unique(level)
        ]

    def count(
        self,
        boxes: Float64[np.ndarray, "m 4"],
        groups: Int64[np.ndarray, " m"],
        *,
        least: float,
    ) -> int:
        """How many pairs `pairs` gives."""
        return sum(stretch.count for stretch in self._stretches(boxes, groups, least=least))

    def pairs(
        self,
        boxes: Float64[np.ndarray, "m 4"],
        groups: Int64[np.ndarray, " m"],
        *,
        least: float,
    ) -> Iterator[tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]]:
        """The boxes asked about, each with the indexed ones that may overlap it.

        Args:
            boxes: `xyxy`, finite, in the unit of the indexed ones.
            groups: Of each.
            least: Intersection over union that matters; pairs that exceed it are never missing.

        Yields:
            Indices of boxes asked about and of indexed boxes, in pieces of a bounded size.
        """
        for stretch in self._stretches(boxes, groups, least=least):
            yield from stretch.pieces()

    def _stretches(self, boxes: _Boxes, groups: _Whole, *, least: float) -> Iterator[_Stretches]:
        for start in range(0, len(boxes), _BLOCK):
            block = slice(start, start + _BLOCK)
            for each in self._classes:
                yield each.near(boxes[block], groups[block], least=least, offset=start)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stretches:
    """Stretches `start` to `stop` of an order, each near the box asked about in `asked`."""

    asked: _Whole
    start: _Whole
    stop: _Whole
    order: _Whole

    @property
    def count(self) -> int:
        return int((self.stop - self.start).sum())

    def pieces(self) -> Iterator[tuple[_Whole, _Whole]]:
        ends = np.cumsum(self.stop - self.start)
        shift = self.stop - ends
        total = int(ends[-1]) if ends.size else 0
        for first in range(0, total, _PIECE):
            place = np.arange(first, min(first + _PIECE, total))
            row = np.searchsorted(ends, place, side="right")
            yield self.asked[row], self.order[place + shift[row]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Class:
    """Boxes of like size: `order` sorts them by `keys`, made of group, strip and left edge."""

    order: _Whole
    keys: _Whole
    lefts: Float64[np.ndarray, " _"]
    names: _Whole
    top: float
    strip: float
    num_strips: int
    largest: Float64[np.ndarray, " 2"]
    least_longer: float

    @classmethod
    def of(cls, rows: _Whole, boxes: _Boxes, groups: _Whole) -> _Class:
        mine = boxes[rows]
        sides = np.maximum(mine[:, 2:] - mine[:, :2], 0.0)
        names, group = np.unique(groups[rows], return_inverse=True)
        by_left = np.argsort(mine[:, 0], kind="stable")
        rank = np.empty_like(by_left)
        rank[by_left] = np.arange(len(rows))
        tops = mine[:, 1]
        top, span = float(tops.min()), float(np.ptp(tops))
        strip = max(float(sides[:, 1].max()), span / _MAX_STRIPS, 1e-9)
        where = np.minimum((tops - top) / strip, _MAX_STRIPS).astype(np.int64)
        num_strips = int(where.max()) + 1
        keys = (group * num_strips + where) * (len(rows) + 1) + rank
        order = np.argsort(keys, kind="stable")
        return cls(
            order=rows[order],
            keys=keys[order],
            lefts=mine[by_left, 0],
            names=names,
            top=top,
            strip=strip,
            num_strips=num_strips,
            largest=sides.max(axis=0),
            least_longer=float(sides.max(axis=1).min()),
        )

    def near(self, boxes: _Boxes, groups: _Whole, *, least: float, offset: int) -> _Stretches:
        """Where the boxes near those asked about lie, whose indices count from `offset`."""
        least *= 1 - 1e-9  # rounding must not lose a pair
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
        place = np.minimum(np.searchsorted(self.names, groups), self.names.size - 1)
        longer = sides.max(axis=1, initial=0.0)
        # Overlap above `least` bounds the ratio of the sides, so of the longer ones too.
        alike = (longer >= least * self.least_longer) & (least * longer <= self.largest.max())
        asked = np.flatnonzero((self.names[place] == groups) & alike)
        sides, corner, place = sides[asked], boxes[asked, :2], place[asked]
        # An interval that shares more than `least` of the union with one of length w begins at
        # most (1 - least) w after it and (1 - least) / least w before it.
        reach = sides * ((1 - least) / least) if least > _TOUCHING else self.largest
        before = np.minimum(self.largest, reach)
        slack = 1e-9 * (1 + np.abs(corner))
        low, high = corner - before - slack, corner + (1 - least) * sides + slack
        first = np.searchsorted(self.lefts, low[:, 0], side="left")
        last = np.searchsorted(self.lefts, high[:, 0], side="right")
        from_strip, to_strip = (
            np.clip((edge[:, 1] - self.top) / self.strip, -1, self.num_strips).astype(np.int64)
            for edge in (low, high)
        )
        from_strip = np.maximum(from_strip, 0)
        crossed = np.maximum(np.minimum(to_strip, self.num_strips - 1) - from_strip + 1, 0)
        row = np.repeat(np.arange(asked.size), crossed)
        along = np.arange(row.size) - np.repeat(np.cumsum(crossed) - crossed, crossed)
        segment = (place[row] * self.num_strips + from_strip[row] + along) * (len(self.order) + 1)
        return _Stretches(
            asked=asked[row] + offset,
            start=np.searchsorted(self.keys, segment + first[row], side="left"),
            stop=np.searchsorted(self.keys, segment + last[row], side="left"),
            order=self.order,
        )

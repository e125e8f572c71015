"""Which pixels of a picture stand for each region: read off the runs of masks, never drawn.

A mask's runs are intervals of places, down the columns. Shrinking a mask, or asking which of its
pixels have a neighbour outside, is then a matter of intervals that overlap: all masks of a picture
lie on one line, one after another, and one sort of the ends of all intervals answers for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_runs import read_runs, spans_of
from groundplane.core.masks import RleMask

__all__ = ["RegionPixels", "RegionSpans", "spans_of_boxes", "spans_of_masks"]

_Column = Int64[np.ndarray, " _"]
_LEFT, _TOP, _RIGHT, _BOTTOM = range(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionPixels:
    """Pixels of all regions, one region after another.

    Attributes:
        owner: Whose each pixel is.
        rows: Pixels from the top.
        columns: Pixels from the left.
    """

    owner: Int64[np.ndarray, " p"]
    rows: Int64[np.ndarray, " p"]
    columns: Int64[np.ndarray, " p"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionSpans:
    """Regions of one picture as intervals on one line.

    Pixel (row, column) of region i is at place i * pitch + column * height + row; a pitch is long
    enough that regions shifted by a few columns do not meet.

    Attributes:
        starts: Where each interval begins, in order.
        ends: The place after its last pixel.
        num: Regions.
        size: Height and width of the picture, pixels.
    """

    starts: Int64[np.ndarray, " k"]
    ends: Int64[np.ndarray, " k"]
    num: int
    size: tuple[int, int]

    @property
    def pitch(self) -> int:
        """Places from one region to the next."""
        return 2 * self.size[0] * (self.size[1] + 1)

    @property
    def owner(self) -> Int64[np.ndarray, " k"]:
        """Whose each interval is."""
        owner: _Column = self.starts // self.pitch
        return owner

    def areas(self) -> Int64[np.ndarray, " n"]:
        """Pixels of each region.

        Examples:
            >>> spans_of_boxes(np.array([[0.0, 0, 2, 3]]), (4, 4)).areas()
            array([6])
        """
        counts = np.bincount(self.owner, weights=self.ends - self.starts, minlength=self.num)
        areas: _Column = counts.astype(np.int64)
        return areas

    def select(self, keep: Bool[np.ndarray, " k"]) -> RegionSpans:
        """Some of the intervals."""
        return RegionSpans(
            starts=self.starts[keep], ends=self.ends[keep], num=self.num, size=self.size
        )

    def joined(self, other: RegionSpans) -> RegionSpans:
        """The intervals of both, which share none."""
        starts = np.concatenate([self.starts, other.starts])
        order = np.argsort(starts)
        ends = np.concatenate([self.ends, other.ends])
        return RegionSpans(starts=starts[order], ends=ends[order], num=self.num, size=self.size)

    def eroded(self, pixels: int) -> RegionSpans:
        """What is left when so many pixels go on each side.

        The picture's top and bottom are no sides; as near to them, where runs go on in the next
        column, a little more may go.

        Examples:
            >>> spans_of_boxes(np.array([[0.0, 0, 5, 4]]), (4, 9)).eroded(1).areas()
            array([12])
        """
        if pixels == 0:
            return self
        height = self.size[0]
        top, bottom = self.starts % height == 0, self.ends % height == 0
        starts = self.starts + np.where(top, 0, pixels)
        ends = self.ends - np.where(bottom, 0, pixels)
        kept = ends > starts
        shifts = [shift * height for shift in range(-pixels, pixels + 1) if shift]
        columns = [(self.starts + shift, self.ends + shift) for shift in shifts]
        return self._where([(starts[kept], ends[kept]), *columns], 2 * pixels + 1)

    def _where(self, intervals: Sequence[tuple[_Column, _Column]], level: int) -> RegionSpans:
        """Where exactly so many intervals lie above one another."""
        turns = np.concatenate([2 * starts + 1 for starts, _ in intervals])
        turns = np.sort(np.concatenate([turns, *(2 * ends for _, ends in intervals)]))
        depth = np.cumsum((turns & 1) * 2 - 1)
        places = turns >> 1
        at = np.flatnonzero(depth == level)
        at = at[at + 1 < places.size]
        starts, ends = places[at], places[at + 1]
        held = ends > starts
        return RegionSpans(starts=starts[held], ends=ends[held], num=self.num, size=self.size)

    def on_grid(self, strides: Int64[np.ndarray, " n"]) -> RegionPixels:
        """The pixels of region i whose row and column fall on a grid as wide as its stride.

        Examples:
            >>> found = spans_of_boxes(np.array([[0.0, 0, 4, 2]]), (2, 4)).on_grid(np.array([2]))
            >>> found.rows, found.columns
            (array([1, 1]), array([1, 3]))
        """
        height = self.size[0]
        owner = self.owner
        places = self.starts - owner * self.pitch
        length = self.ends - self.starts
        first = places // height
        cuts = (places + length - 1) // height - first + 1
        which = np.repeat(np.arange(owner.size), cuts)
        column = first[which] + _within(cuts)
        stride = strides[owner[which]]
        phase = stride // 2
        on = column % stride == phase
        which, column, stride, phase = which[on], column[on], stride[on], phase[on]
        top = np.maximum(places[which] - column * height, 0)
        bottom = np.minimum(places[which] + length[which] - column * height, height)
        row = top + (phase - top) % stride
        counts = np.maximum((bottom - row + stride - 1) // stride, 0)
        piece = np.repeat(np.arange(counts.size), counts)
        rows = row[piece] + _within(counts) * stride[piece]
        return RegionPixels(owner=owner[which][piece], rows=rows, columns=column[piece])

    def at_borders(self) -> Bool[np.ndarray, "n 4"]:
        """Whether each region meets the picture's left, top, right and bottom border.

        Examples:
            >>> spans_of_boxes(np.array([[0.0, 1, 2, 4]]), (4, 4)).at_borders().tolist()
            [[True, False, False, True]]
        """
        height, width = self.size
        owner = self.owner
        places, ends = self.starts - owner * self.pitch, self.ends - owner * self.pitch
        crosses = (ends - 1) // height > places // height
        meets = np.zeros((self.num, 4), dtype=bool)
        sides = {
            _LEFT: places < height,
            _TOP: (places % height == 0) | crosses,
            _RIGHT: ends > (width - 1) * height,
            _BOTTOM: (ends % height == 0) | crosses,
        }
        for side, rows in sides.items():
            meets[owner[rows], side] = True
        return meets


def spans_of_masks(masks: Sequence[RleMask], size: tuple[int, int]) -> RegionSpans:
    """The intervals of masks.

    Args:
        masks: All of one size.
        size: Height and width of the picture, pixels.

    Raises:
        InputError: If bytes are malformed or a run is negative.
        ShapeError: If a mask has another size than the picture, or its runs do not fill it.

    Examples:
        >>> spans = spans_of_masks([RleMask(size=(2, 2), counts=b"13")], (2, 2))
        >>> spans.starts, spans.ends
        (array([1]), array([4]))
        >>> spans_of_masks([], (2, 2)).num
        0
    """
    for i, mask in enumerate(masks):
        if tuple(mask.size) != tuple(size):
            raise ShapeError(
                f"regions: mask {i} has the size {tuple(mask.size)} (height, width), the picture "
                f"{tuple(size)}"
            )
    runs, counts = read_runs([mask.counts for mask in masks])
    if runs.size and runs.min() < 0:
        raise InputError(f"regions: a mask has a run of the negative length {runs.min()}")
    sums = np.concatenate([[0], np.cumsum(runs)])
    bounds = np.concatenate([[0], np.cumsum(counts)])
    filled = np.diff(sums[bounds])
    wrong = np.flatnonzero(filled != size[0] * size[1])
    if wrong.size:
        raise ShapeError(
            f"regions: the runs of mask {wrong[0]} fill {filled[wrong[0]]} pixels, expected "
            f"{size[0] * size[1]}"
        )
    spans = spans_of(runs, counts)
    empty = RegionSpans(starts=spans.starts, ends=spans.ends, num=len(masks), size=size)
    shift = np.repeat(np.arange(len(masks)), spans.counts) * empty.pitch
    return RegionSpans(
        starts=spans.starts + shift, ends=spans.ends + shift, num=len(masks), size=size
    )


def spans_of_boxes(
    boxes: Float64[np.ndarray, "n 4"], size: tuple[int, int], *, share: float = 1.0
) -> RegionSpans:
    """The intervals of boxes: the pixels whose middle lies within.

    Args:
        boxes: `xyxy`, pixels.
        size: Height and width of the picture, pixels.
        share: Of each side; the box shrinks to it about its middle.

    Raises:
        InputError: If a number is not finite, or the share is not in (0, 1].

    Examples:
        >>> spans_of_boxes(np.array([[0.0, 0, 4, 4]]), (4, 4), share=0.5).areas()
        array([4])
        >>> spans_of_boxes(np.zeros((0, 4)), (4, 4)).num
        0
    """
    if not np.isfinite(boxes).all():
        raise InputError("regions: a box has a number that is not finite")
    if not 0 < share <= 1:
        raise InputError(f"regions: the share of a box must lie in (0, 1], got {share}")
    height, width = size
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, share * (boxes[:, 2:] - boxes[:, :2]) / 2
    low = np.ceil(np.clip(middle - half, 0, [width, height]) - 0.5).astype(np.int64)
    high = np.ceil(np.clip(middle + half, 0, [width, height]) - 0.5).astype(np.int64)
    counts = np.where((high > low).all(axis=1), high[:, 0] - low[:, 0], 0)
    owner = np.repeat(np.arange(len(boxes)), counts)
    empty = RegionSpans(
        starts=np.zeros(0, np.int64), ends=np.zeros(0, np.int64), num=len(boxes), size=size
    )
    base = owner * empty.pitch + (low[owner, 0] + _within(counts)) * height
    return RegionSpans(
        starts=base + low[owner, 1], ends=base + high[owner, 1], num=len(boxes), size=size
    )


def _within(counts: _Column) -> _Column:
    """The place of each number within its own group."""
    within: _Column = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return within

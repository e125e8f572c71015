"""Which of many boxes are one thing, decided on the host; nothing here needs torch.

Memory and time stay near linear in the number of boxes: none is compared with all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.core.errors import InputError
from groundplane.core.masks import RleMask, intersection_over_union
from groundplane.grounding.near_pairs import BoxIndex, shared_areas

__all__ = ["Overlap", "RankedBoxes", "settle"]

# Candidate pairs that are looked at in one go; more boxes are split and taken part by part.
_BUDGET = 2**20
_PARTS = 16
_DIRECT = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """When two regions count as one thing; either is enough.

    Attributes:
        iou: Intersection over union above this; 1 never.
        containment: Intersection over the smaller area above this, so a part within its whole
            counts too; None or 1 never.

    Raises:
        InputError: If a limit is not in [0, 1].
    """

    iou: float = 0.5
    containment: float | None = None

    def __post_init__(self) -> None:
        for name in ("iou", "containment"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"overlap: expected {name} from 0 to 1, got {value}")

    def holds(
        self,
        shared: Float64[np.ndarray, " p"],
        first: Float64[np.ndarray, " p"],
        second: Float64[np.ndarray, " p"],
    ) -> Bool[np.ndarray, " p"]:
        """Whether areas `first` and `second` that share so much count as one thing."""
        same = shared > self.iou * (first + second - shared)
        if self.containment is not None:
            same |= shared > self.containment * np.minimum(first, second)
        return np.asarray(same)

    @property
    def least_iou(self) -> float:
        """Intersection over union that two boxes exceed wherever this holds."""
        return self.iou if self.containment in (None, 1) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedBoxes:
    """Boxes in order of rank, best first.

    Attributes:
        boxes: `xyxy`, finite, pixels.
        groups: Only boxes of one group compete.
        sizes: The area of each box, or of its mask.
        masks: What is compared instead of boxes; empty for none.
        overlap: When two are one thing.
        apart: Boxes that have a number in common here are never one thing; None: no such.
    """

    boxes: Float64[np.ndarray, "n 4"]
    groups: Int64[np.ndarray, " n"]
    sizes: Float64[np.ndarray, " n"]
    overlap: Overlap
    masks: tuple[RleMask, ...] = ()
    apart: Int64[np.ndarray, " n"] | None = None

    def winners(self) -> Int64[np.ndarray, " n"]:
        """Of each the best kept one that it is a duplicate of; its own place if it is kept."""
        return _won(self, np.arange(len(self.boxes)))

    def same(
        self, first: Int64[np.ndarray, " p"], second: Int64[np.ndarray, " p"]
    ) -> Bool[np.ndarray, " p"]:
        """Whether each pair is one thing."""
        shared = shared_areas(self.boxes[first], self.boxes[second])
        if not self.masks:
            same = self.overlap.holds(shared, self.sizes[first], self.sizes[second])
            return same if self.apart is None else same & (self.apart[first] != self.apart[second])
        # Masks share no more than their boxes do.
        same = self.overlap.holds(
            np.minimum(shared, np.minimum(self.sizes[first], self.sizes[second])),
            self.sizes[first],
            self.sizes[second],
        )
        if self.apart is not None:
            same &= self.apart[first] != self.apart[second]
        pairs = np.flatnonzero(same)
        pairs = pairs[np.argsort(first[pairs], kind="stable")]
        starts = np.flatnonzero(np.diff(first[pairs], prepend=-1))
        for mine in np.split(pairs, starts[1:]):
            if not mine.size:
                continue
            row, others = int(first[mine[0]]), second[mine]
            share = intersection_over_union(
                [self.masks[k] for k in others], [self.masks[row]], crowd=[True]
            )
            sizes = self.sizes[others]
            same[mine] = self.overlap.holds(
                np.rint(share[:, 0] * sizes), np.broadcast_to(self.sizes[row], sizes.shape), sizes
            )
        return same

    @property
    def least(self) -> float:
        """Intersection over union of the boxes that two duplicates exceed."""
        return 0.0 if self.masks else self.overlap.least_iou


def settle(
    better: Int64[np.ndarray, " p"], worse: Int64[np.ndarray, " p"], *, num: int
) -> Int64[np.ndarray, " n"]:
    """Greedy suppression where the duplicates are known.

    Args:
        better: Of each pair of duplicates the place of the better one; places are ranks.
        worse: Of each pair the place of the other.
        num: How many places there are.

    Returns:
        For each place that of its winner: the best kept one that it is a duplicate of, or its
        own if it is kept.

    Examples:
        >>> settle(np.array([0, 1]), np.array([1, 2]), num=4).tolist()
        [0, 0, 2, 3]
        >>> settle(np.zeros(0, np.int64), np.zeros(0, np.int64), num=0).tolist()
        []
    """
    won = np.arange(num)
    by_rank = np.lexsort((worse, better))
    better, worse = better[by_rank], worse[by_rank]
    starts = np.flatnonzero(np.diff(better, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], better.size], strict=False):
        row = better[start]
        if won[row] == row:
            below = worse[start:stop]
            won[below[won[below] == below]] = row
    return won


def _won(rows: RankedBoxes, part: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The winner of each row of a part, which is sorted, among the rows of that part."""
    boxes, groups = rows.boxes[part], rows.groups[part]
    if len(part) <= _DIRECT:
        index = BoxIndex(boxes, groups)
        if len(part) <= _PARTS or index.count(boxes, groups, least=rows.least) <= _BUDGET:
            return _won_directly(rows, part, index)
    won = part.copy()
    kept = part[:0]
    for chunk in np.array_split(np.arange(len(part)), _PARTS):
        members = part[chunk]
        beaten = _beaten(rows, members, by=kept)
        alive = beaten == members
        beaten[alive] = _won(rows, members[alive])
        won[chunk] = beaten
        kept = np.concatenate([kept, members[beaten == members]])
    return won


def _won_directly(
    rows: RankedBoxes, part: Int64[np.ndarray, " n"], index: BoxIndex
) -> Int64[np.ndarray, " n"]:
    """The same for few pairs: all that are one thing are listed, then taken in order."""
    better, worse = [part[:0]], [part[:0]]
    for asked, near in index.pairs(rows.boxes[part], rows.groups[part], least=rows.least):
        down = near > asked
        first, second = part[asked[down]], part[near[down]]
        same = rows.same(first, second)
        better.append(first[same])
        worse.append(second[same])
    won = settle(np.concatenate(better), np.concatenate(worse), num=int(part[-1:].sum()) + 1)
    return np.asarray(won[part])


def _beaten(
    rows: RankedBoxes, members: Int64[np.ndarray, " m"], *, by: Int64[np.ndarray, " k"]
) -> Int64[np.ndarray, " m"]:
    """The best kept row that each member duplicates, else the member itself."""
    won = members.copy()
    if not len(by):
        return won
    index = BoxIndex(rows.boxes[by], rows.groups[by])
    for asked, near in index.pairs(rows.boxes[members], rows.groups[members], least=rows.least):
        same = rows.same(by[near], members[asked])
        np.minimum.at(won, asked[same], by[near[same]])
    return won

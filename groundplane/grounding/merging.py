"""One region a thing: suppression of duplicates, whoever found them and under whatever word.

What decides is computed on the host in float64 from one copy of the boxes, so that the result is
the same on every device and costs one transfer a call. Memory and time stay near linear in the
number of boxes: none is compared with all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.masks import RleMask, area, intersection_over_union
from groundplane.core.regions import Regions
from groundplane.grounding.near_pairs import BoxIndex, areas, shared_areas

__all__ = ["Merged", "Overlap", "merge_regions", "settle", "suppress", "winners"]

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
class Merged:
    """Regions without duplicates, and the duplicates.

    Attributes:
        regions: What is kept, best first.
        alternates: What was taken for one of them, with its own phrase, score and box; best
            first.
        winners: For each alternate the index in `regions` of what it was taken for.
    """

    regions: Regions
    alternates: Regions
    winners: Int[Tensor, " m"]


def suppress(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    *,
    groups: Int[Tensor, " n"] | None = None,
    iou: float = 0.5,
) -> Int[Tensor, " k"]:
    """Greedy suppression: of boxes that overlap the best is kept, exactly.

    Args:
        boxes: `xyxy`, pixels.
        scores: Best is highest; of equal ones the first wins.
        groups: Only boxes of one group compete, such as one image and phrase; None: all do.
        iou: Boxes whose intersection over union exceeds this are duplicates.

    Returns:
        Indices of what is kept, best first, on the device of the boxes.

    Raises:
        InputError: If a box is not finite, a score is NaN, or `iou` is not in [0, 1].
        ShapeError: If there is not one score and group a box.

    Examples:
        >>> boxes = torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 8, 9], [9.0, 0, 12, 9]])
        >>> suppress(boxes, torch.tensor([0.6, 0.9, 0.3])).tolist()
        [1, 2]
        >>> suppress(boxes, torch.tensor([0.6, 0.9, 0.3]), groups=torch.tensor([0, 1, 1])).tolist()
        [1, 0, 2]
        >>> suppress(torch.zeros(0, 4), torch.zeros(0)).tolist()
        []
    """
    order, won = _decided(boxes, scores, groups, overlap=Overlap(iou=iou), masks=None)
    kept = order[won == np.arange(len(order))]
    return torch.from_numpy(kept).to(boxes.device)


def winners(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    *,
    groups: Int[Tensor, " n"] | None = None,
    overlap: Overlap,
    masks: Sequence[RleMask] | None = None,
) -> Int[Tensor, " n"]:
    """Which box each is a duplicate of: the best kept one that it overlaps; itself if kept.

    Args:
        boxes: `xyxy`, pixels.
        scores: What ranks them; give areas to have the larger one win.
        groups: Only boxes of one group compete; None: all do.
        overlap: When two are duplicates.
        masks: Where given, masks are compared instead of boxes.

    Raises:
        InputError: If a box is not finite or a score is NaN.
        ShapeError: If there is not one score, group and mask a box.

    Examples:
        >>> boxes = torch.tensor([[0.0, 0, 9, 9], [1.0, 1, 3, 3]])
        >>> inside = Overlap(iou=0.5, containment=0.9)
        >>> winners(boxes, torch.tensor([0.9, 0.8]), overlap=inside).tolist()
        [0, 0]
        >>> winners(torch.zeros(0, 4), torch.zeros(0), overlap=inside).tolist()
        []
    """
    order, won = _decided(boxes, scores, groups, overlap=overlap, masks=masks)
    result = np.empty_like(order)
    result[order] = order[won]
    return torch.from_numpy(result).to(boxes.device)


def merge_regions(
    regions: Regions, *, overlap: Overlap | None = None, across_phrases: bool = False
) -> Merged:
    """Keep the best of regions that are one thing, and the rest as alternates.

    Masks are compared where the regions have them, else boxes. A region that answers no phrase
    competes with its like.

    Args:
        regions: Of one image.
        overlap: When two are one thing; None: intersection over union above 0.5.
        across_phrases: Whether regions of different phrases compete too, so that a thing found
            as `man` and as `person` is given once, under its better word.

    Raises:
        InputError: If a box is not finite or a score is NaN.

    Examples:
        >>> regions = Regions(
        ...     ids=("a", "b"),
        ...     boxes=torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 8, 9]]),
        ...     scores=torch.tensor([0.6, 0.9]),
        ...     phrases=("man", "person"),
        ...     phrase_ids=torch.tensor([0, 1]),
        ...     image_size=(20, 20),
        ... )
        >>> both = merge_regions(regions, across_phrases=True)
        >>> both.regions.labels(), both.alternates.labels(), both.winners.tolist()
        (('person',), ('man',), [0])
        >>> merge_regions(regions).regions.ids
        ('b', 'a')
        >>> len(merge_regions(Regions.empty(phrases=(), image_size=(4, 4))).regions)
        0
    """
    order, won = _decided(
        regions.boxes,
        regions.scores,
        None if across_phrases else regions.phrase_ids,
        overlap=overlap or Overlap(),
        masks=regions.masks,
    )
    keeps = won == np.arange(len(order))
    place = np.cumsum(keeps) - 1
    # Indices stay on the host, where the regions' words are; torch takes them there.
    return Merged(
        regions=regions.select(torch.from_numpy(order[keeps])),
        alternates=regions.select(torch.from_numpy(order[~keeps])),
        winners=torch.from_numpy(place[won[~keeps]]).to(regions.boxes.device),
    )


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


# The decision --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Boxes in order of rank, best first; `masks` is empty where boxes are compared."""

    boxes: Float64[np.ndarray, "n 4"]
    groups: Int64[np.ndarray, " n"]
    sizes: Float64[np.ndarray, " n"]
    masks: tuple[RleMask, ...]
    overlap: Overlap

    def same(
        self, first: Int64[np.ndarray, " p"], second: Int64[np.ndarray, " p"]
    ) -> Bool[np.ndarray, " p"]:
        """Whether each pair is one thing."""
        shared = shared_areas(self.boxes[first], self.boxes[second])
        if not self.masks:
            return self.overlap.holds(shared, self.sizes[first], self.sizes[second])
        # Masks share no more than their boxes do.
        same = self.overlap.holds(
            np.minimum(shared, np.minimum(self.sizes[first], self.sizes[second])),
            self.sizes[first],
            self.sizes[second],
        )
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


def _decided(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor | None,
    *,
    overlap: Overlap,
    masks: Sequence[RleMask] | None,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The boxes' order, best first, and in that order the place of each one's winner."""
    count = len(boxes)
    for name, column in (("scores", scores), ("groups", groups), ("masks", masks)):
        if column is not None and len(column) != count:
            raise ShapeError(f"merging: {count} boxes but {len(column)} {name}")
    host, group = _to_host(boxes, scores, groups)
    if not np.isfinite(host[:, :4]).all() or np.isnan(host[:, 4]).any():
        raise InputError("merging: expected finite boxes and scores that are numbers")
    order = np.argsort(-host[:, 4], kind="stable")
    masks = tuple(masks[i] for i in order) if masks else ()
    ranked = host[order, :4]
    sizes = np.array([area(mask) for mask in masks], dtype=np.float64) if masks else areas(ranked)
    rows = _Rows(boxes=ranked, groups=group[order], sizes=sizes, masks=masks, overlap=overlap)
    return order, _won(rows, np.arange(count))


def _to_host(
    boxes: Tensor, scores: Tensor, groups: Tensor | None
) -> tuple[Float64[np.ndarray, "n 5"], Int64[np.ndarray, " n"]]:
    """Boxes with scores, and groups, in one copy."""
    columns = [boxes.detach().double(), scores.detach().double()[:, None]]
    if groups is not None:
        # Group numbers are counts of things: far below the 2**53 that float64 holds exactly.
        columns.append(groups.detach().double()[:, None])
    host = torch.cat(columns, dim=1).cpu().numpy()
    group = np.zeros(len(host)) if groups is None else host[:, 5]
    return host[:, :5], group.astype(np.int64)


def _won(rows: _Rows, part: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
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
    rows: _Rows, part: Int64[np.ndarray, " n"], index: BoxIndex
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
    rows: _Rows, members: Int64[np.ndarray, " m"], *, by: Int64[np.ndarray, " k"]
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

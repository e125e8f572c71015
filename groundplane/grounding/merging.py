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
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.masks import RleMask, area
from groundplane.core.regions import Regions
from groundplane.grounding.duplicates import Overlap, RankedBoxes
from groundplane.grounding.near_pairs import areas

__all__ = ["Merged", "Overlap", "merge_regions", "suppress", "winners"]


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
    rows = RankedBoxes(boxes=ranked, groups=group[order], sizes=sizes, masks=masks, overlap=overlap)
    return order, rows.winners()


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

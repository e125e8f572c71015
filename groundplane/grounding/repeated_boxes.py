"""Boxes that are asked about several times: a segmenter cuts each out once.

One thing that answers several prompts has one box in several regions, and a mask costs a pass of
the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest

__all__ = ["Repeated", "without_repeats"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeated:
    """A request in which each box stands once, and which of its boxes each row had.

    Attributes:
        request: What is asked.
        rows: For each row of the whole request its row here; None where nothing was repeated.
    """

    request: SegmentRequest
    rows: Int[Tensor, " n"] | None = None

    def spread(self, answer: Regions) -> Regions:
        """The answer for each row of the whole request; rows of one box share its mask."""
        if self.rows is None:
            return answer
        rows: list[int] = self.rows.tolist()
        return Regions(
            ids=tuple(f"{place}:{answer.ids[row]}" for place, row in enumerate(rows)),
            boxes=answer.boxes[rows],
            scores=answer.scores[rows],
            phrases=answer.phrases,
            phrase_ids=answer.phrase_ids[rows],
            image_size=answer.image_size,
            masks=None if answer.masks is None else tuple(answer.masks[row] for row in rows),
            sources=tuple(answer.sources[row] for row in rows) if answer.sources else (),
        )


def without_repeats(request: SegmentRequest) -> Repeated:
    """Ask for each box once, in the order in which they first come.

    A request that has other prompts beside its boxes stays as it is: they tell the boxes apart.

    Examples:
        >>> import numpy as np
        >>> from groundplane.testing.detectors import make_image
        >>> grey = make_image(np.full((40, 60, 3), 128, np.uint8))
        >>> boxes = torch.tensor([[9.0, 9, 20, 20], [1, 1, 5, 5], [9, 9, 20, 20]])
        >>> once = without_repeats(SegmentRequest(image=grey, boxes=boxes))
        >>> once.request.boxes.tolist(), once.rows.tolist()
        ([[9.0, 9.0, 20.0, 20.0], [1.0, 1.0, 5.0, 5.0]], [0, 1, 0])
        >>> without_repeats(SegmentRequest(image=grey, boxes=torch.zeros(0, 4))).rows is None
        True
    """
    boxes = request.boxes
    if boxes is None or request.points is not None or request.embeddings is not None:
        return Repeated(request=request)
    if len(boxes) < 2:
        return Repeated(request=request)
    group: Tensor = torch.unique(boxes, dim=0, return_inverse=True)[1]
    rows = torch.arange(len(boxes), device=boxes.device)
    first = torch.full_like(rows, len(boxes)).scatter_reduce(0, group, rows, "amin")[group]
    once = (first == rows).nonzero().flatten()
    if len(once) == len(boxes):
        return Repeated(request=request)
    asked = replace(request, boxes=boxes[once])
    return Repeated(request=asked, rows=torch.searchsorted(once, first))

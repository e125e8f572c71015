"""Relations of size: what is bigger, taller or longer than what, and what is as big.

The measures are those of the questions: volume for bigger, the vertical extent for taller, the
longest side for longer. More is more by any amount that is not rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.tables import require_table
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = ["bigger", "longer", "same_size", "shorter", "smaller", "taller"]

# Of each pair while a table is made: four numbers.
_BYTES = 32


def bigger(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject's box has the larger volume.

    Examples:
        >>> boxes = Boxes3D(centers=torch.zeros(2, 3), sizes=torch.tensor([[1.0] * 3, [2.0] * 3]),
        ...                 axes=torch.eye(3).expand(2, 3, 3))
        >>> bigger(boxes, boxes).tolist()
        [[False, False], [True, False]]
        >>> bigger(boxes[torch.zeros(0, dtype=torch.long)], boxes).shape
        torch.Size([0, 2])
    """
    require_table(subjects, anchors, each=_BYTES)
    return _more(subjects.sizes.prod(dim=1), anchors.sizes.prod(dim=1), thresholds)


def smaller(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is bigger than each subject."""
    return bigger(anchors, subjects, thresholds=thresholds).T


def taller(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject has the larger vertical extent."""
    require_table(subjects, anchors, each=_BYTES)
    return _more(_height(subjects), _height(anchors), thresholds)


def shorter(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is taller than each subject."""
    return taller(anchors, subjects, thresholds=thresholds).T


def longer(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject's longest side is the longer one."""
    require_table(subjects, anchors, each=_BYTES)
    return _more(subjects.sizes.amax(dim=1), anchors.sizes.amax(dim=1), thresholds)


def same_size(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether the sides of each pair, the longest first, differ by 15 % of the longer at most.

    Symmetric, and holds of a thing and itself, but three in a row may grow step by step.
    """
    require_table(subjects, anchors, each=3 * _BYTES)
    a, b = (boxes.sizes.sort(dim=1).values for boxes in (subjects, anchors))
    apart, longest = (a[:, None] - b).abs(), torch.maximum(a[:, None], b)
    return (apart <= thresholds.size_share * longest).all(dim=2)


def _height(boxes: Boxes3D) -> Float[Tensor, " n"]:
    low, high = boxes.vertical()
    return high - low


def _more(
    a: Float[Tensor, " n"], b: Float[Tensor, " m"], thresholds: Thresholds
) -> Bool[Tensor, "n m"]:
    """Whether a is more than b by more than rounding."""
    least = thresholds.least_share * torch.maximum(a[:, None].abs(), b.abs())
    return a[:, None] - b > least

"""Relations of distance, by the exact gap of the boxes.

All but `far` hold of a thing and itself, for its gap to itself is 0. All are symmetric.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps
from groundplane.spatial.scale.tables import require_table
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = ["far", "near", "touches", "within"]

# Of each pair: a gap and a truth; the gaps are found tile by tile.
_BYTES = 9


def touches(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether no visible gap parts each pair."""
    return within(subjects, anchors, thresholds.touch_gap)


def near(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each pair is a long step apart at most."""
    return within(subjects, anchors, thresholds.near_gap)


def far(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each pair is further apart than people stand to talk.

    Between near and far lies what is neither.
    """
    require_table(subjects, anchors, each=_BYTES)
    return box_gaps(subjects, anchors) > thresholds.far_gap


def within(subjects: Boxes3D, anchors: Boxes3D, limit: float) -> Bool[Tensor, "n m"]:
    """Whether the exact gap of each pair is at most `limit` metres.

    Raises:
        InputError: If the limit is negative or not a number, or the table would not fit in memory.
    """
    if not limit >= 0:
        raise InputError(f"within: limit must be at least 0 metres, got {limit}")
    require_table(subjects, anchors, each=_BYTES)
    return box_gaps(subjects, anchors) <= limit

"""Tables of all pairs of boxes: refused where they would not fit in memory."""

from __future__ import annotations

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.memory import require_memory

__all__ = ["require_table"]


def require_table(subjects: Boxes3D, anchors: Boxes3D, *, each: int) -> None:
    """Refuse a table of all pairs that would take more memory than there is.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        each: Bytes that a pair takes at most, while the table is made.

    Raises:
        InputError: With the bytes needed and what to do.
    """
    n, m = len(subjects), len(anchors)
    require_memory(
        each * n * m,
        what=f"relations of {n:,} by {m:,} objects",
        instead="fewer subjects at a time, or the nearest of each from "
        "groundplane.spatial.scale.neighbours",
        device=subjects.centers.device,
    )

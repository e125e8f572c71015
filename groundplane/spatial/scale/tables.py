"""Tables of all pairs of boxes: refused where they would not fit in memory."""

from __future__ import annotations

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.scale.memory import LIMIT, format_bytes, free_bytes

__all__ = ["require_table"]

# Smaller tables are not worth a look at what is free.
_SMALL = 2**26


def require_table(subjects: Boxes3D, anchors: Boxes3D, *, each: int) -> None:
    """Refuse a table of all pairs that would take more memory than there is.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        each: Bytes that a pair takes at most, while the table is made.

    Raises:
        InputError: With the bytes needed and what to do.
    """
    needed = each * len(subjects) * len(anchors)
    if needed <= _SMALL:
        return
    free = free_bytes(subjects.centers.device)
    if needed <= LIMIT and (free is None or needed <= free):
        return
    raise InputError(
        f"relations of {len(subjects):,} by {len(anchors):,} objects take {format_bytes(needed)}; "
        f"at most {format_bytes(min(LIMIT, free or LIMIT))} are taken. Give fewer subjects at a "
        "time, or take the nearest of each from groundplane.spatial.scale.neighbours"
    )

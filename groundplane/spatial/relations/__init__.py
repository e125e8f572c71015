"""Relations between boxes, over all pairs at once.

Each function takes n subjects and m anchors and gives n by m truths: `on(cups, tables)[i, j]` says
whether cup i is on table j; `between(things, a, b)` gives n by a by b. They run on the device of
the boxes and copy nothing to the host. What each one means stands in its module, in one table in
`groundplane.spatial.relations.definitions`, and in docs/relations.md; the numbers stand in
`Thresholds`, with their reasons, and every relation takes its own with `thresholds=`.

A frame of reference is given, never guessed: `left_of`, `right_of`, `in_front_of` and `behind`
take where the viewer looks (one for all, or one an anchor); `facing`, `facing_away` and `opposite`
take the fronts of the things; `on`, `above` and the like need the world's z alone.

A relation that reads NaN from a box, a front or a view of one anchor does not hold. A table that
would not fit in memory is refused with its bytes.
"""

from __future__ import annotations

from groundplane.spatial.relations.comparisons import (
    bigger,
    longer,
    same_size,
    shorter,
    smaller,
    taller,
)
from groundplane.spatial.relations.orientation import (
    aligned_with,
    facing,
    facing_away,
    opposite,
    parallel,
    perpendicular,
)
from groundplane.spatial.relations.proximity import far, near, touches, within
from groundplane.spatial.relations.sides import (
    bearing,
    behind,
    between,
    in_front_of,
    left_of,
    right_of,
)
from groundplane.spatial.relations.support import (
    above,
    below,
    contains,
    inside,
    next_to,
    on,
    rests_in,
    supports,
    under,
)
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = [
    "THRESHOLDS", "VIEWER_RELATIONS", "WORLD_RELATIONS", "Thresholds", "above", "aligned_with",
    "bearing", "behind", "below", "between", "bigger", "contains", "facing", "facing_away", "far",
    "in_front_of", "inside", "left_of", "longer", "near", "next_to", "on", "opposite", "parallel",
    "perpendicular", "rests_in", "right_of", "same_size", "shorter", "smaller", "supports",
    "taller", "touches", "under", "within",
]  # fmt: skip

# Relations of place that need neither a viewer nor a number, and those that need a viewer.
WORLD_RELATIONS = (
    "on", "under", "above", "below", "inside", "contains", "touches", "next_to", "near",
)  # fmt: skip
VIEWER_RELATIONS = ("left_of", "right_of", "in_front_of", "behind")

"""What every relation means: one table of names, frames, inverses, numbers and sources.

The functions stand in `groundplane.spatial.relations`, the numbers in `Thresholds`;
docs/relations.md is written from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from groundplane.core.errors import InputError, did_you_mean
from groundplane.spatial import relations

__all__ = ["DEFINITIONS", "Definition", "FrameKind", "definition_of"]

FrameKind = Literal["none", "world", "viewer", "object"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a relation means.

    Attributes:
        name: As it stands in queries, and the name of its function.
        arity: Things that it is of: 2, or 3 for `between`.
        frame: What it is relative to: `none`; `world`, whose z is up; `viewer`, who looks along a
            view; `object`, the subject's own front.
        inverse: What then holds of anchor and subject, and only then: its own name where it is
            symmetric; None where that has no name.
        meaning: When it holds, in one sentence.
        thresholds: The fields of `Thresholds` that it turns on.
        source: The paper, or the reason.
        function: Tells it of all pairs.
    """

    name: str
    arity: Literal[2, 3] = 2
    frame: FrameKind = "none"
    inverse: str | None = None
    meaning: str
    thresholds: tuple[str, ...] = ()
    source: str
    function: Callable[..., Tensor]

    @property
    def symmetric(self) -> bool:
        """Whether it holds both ways or not at all."""
        return self.inverse == self.name


_REST = "rests as gravity has it; shares and noise chosen on scanned boxes, reasons in Thresholds"
_SIDES = (
    "projective relations relative to a viewer: Levinson, Space in Language and Cognition, 2003; "
    "as in VSI-Bench's relative directions"
)
_TOPOLOGY = "after the region relations of Randell, Cui and Cohn, KR 1992, softened by noise"
_DIRECTION = "orientation class of VSR (Liu, Emerson and Collier, TACL 2023)"
_SIZE = "the measures of VSI-Bench's object size; the amount that counts is that of rounding"
_COVER = ("covered_share", "height_noise", "height_noise_share", "least_side")
_ABOVE = (*_COVER, "above_share", "hung_thickness", "hung_width", "hung_reach", "touch_gap")

_ROWS = (
    Definition(
        name="on", frame="world", inverse="supports", function=relations.on, thresholds=_COVER,
        meaning="its bottom is at the anchor's top, its middle is higher, and its centre, or half "
        "of it where it is no larger, lies over the anchor",
        source=_REST,
    ),
    Definition(
        name="supports", frame="world", inverse="on", function=relations.supports,
        thresholds=_COVER, meaning="the anchor is on it", source=_REST,
    ),
    Definition(
        name="above", frame="world", inverse="below", function=relations.above, thresholds=_ABOVE,
        meaning="it is not lower than the anchor's top, its middle is higher, and the outlines "
        "share 30 % of the smaller one; or it hangs flat over what stands before it",
        source=_REST,
    ),
    Definition(
        name="below", frame="world", inverse="above", function=relations.below, thresholds=_ABOVE,
        meaning="the anchor is above it", source=_REST,
    ),
    Definition(
        name="under", frame="world", function=relations.under, thresholds=_ABOVE,
        meaning="it is below, or tucked in: it stands as low, rises no higher, and the anchor's "
        "larger outline covers half of it or its centre",
        source=_REST,
    ),
    Definition(
        name="inside", frame="world", inverse="contains", function=relations.inside,
        thresholds=("inside_share", "least_side"),
        meaning="85 % of the upright prism over its outline lies in the anchor's, the larger one",
        source=_TOPOLOGY,
    ),
    Definition(
        name="contains", frame="world", inverse="inside", function=relations.contains,
        thresholds=("inside_share", "least_side"), meaning="the anchor is inside it",
        source=_TOPOLOGY,
    ),
    Definition(
        name="touches", inverse="touches", function=relations.touches, thresholds=("touch_gap",),
        meaning="the closest points of the boxes are 2 cm apart at most", source=_TOPOLOGY,
    ),
    Definition(
        name="next_to", frame="world", inverse="next_to", function=relations.next_to,
        thresholds=("next_gap", "inside_share", *_ABOVE),
        meaning="the outlines are 0.5 m apart at most, at common heights, and neither is on, "
        "above, below or inside the other",
        source="a hand's reach; adjacency class of VSR (TACL 2023)",
    ),
    Definition(
        name="near", inverse="near", function=relations.near, thresholds=("near_gap",),
        meaning="the closest points of the boxes are 1 m apart at most",
        source="a long step; proximity class of VSR (TACL 2023)",
    ),
    Definition(
        name="far", inverse="far", function=relations.far, thresholds=("far_gap",),
        meaning="the closest points of the boxes are more than 3.6 m apart",
        source="where social distance ends: Hall, The Hidden Dimension, 1966",
    ),
    Definition(
        name="within", inverse="within", function=relations.within,
        meaning="the closest points of the boxes are no further apart than the limit stated",
        source="as stated in the question",
    ),
    Definition(
        name="left_of", frame="viewer", inverse="right_of", function=relations.left_of,
        thresholds=("side_offset",),
        meaning="its centre lies further to the viewer's left than the anchor's", source=_SIDES,
    ),
    Definition(
        name="right_of", frame="viewer", inverse="left_of", function=relations.right_of,
        thresholds=("side_offset",),
        meaning="its centre lies further to the viewer's right than the anchor's", source=_SIDES,
    ),
    Definition(
        name="in_front_of", frame="viewer", inverse="behind", function=relations.in_front_of,
        thresholds=("side_offset",),
        meaning="its centre lies nearer to the viewer, along the view, than the anchor's",
        source=_SIDES,
    ),
    Definition(
        name="behind", frame="viewer", inverse="in_front_of", function=relations.behind,
        thresholds=("side_offset",),
        meaning="its centre lies further from the viewer, along the view, than the anchor's",
        source=_SIDES,
    ),
    Definition(
        name="between", arity=3, function=relations.between, thresholds=("least_ray",),
        meaning="the line from one anchor's centre to the other's, seen from above, passes its "
        "centre within half of its longer horizontal side, and it lies beside that line",
        source="the line runs through the circle round the thing; holds for either order of ends",
    ),
    Definition(
        name="facing", frame="object", function=relations.facing,
        thresholds=("facing_angle", "least_ray"),
        meaning="its front points at the anchor's centre, 45 degrees off at most",
        source=_DIRECTION + "; an eighth of a turn, as the front among eight directions",
    ),
    Definition(
        name="facing_away", frame="object", function=relations.facing_away,
        thresholds=("back_angle", "least_ray"),
        meaning="the anchor's centre is 135 degrees off its front or more",
        source=_DIRECTION + "; 135 degrees is VSI-Bench's border of back",
    ),
    Definition(
        name="opposite", frame="object", inverse="opposite", function=relations.opposite,
        thresholds=("facing_angle", "least_ray"), meaning="each of the two faces the other",
        source=_DIRECTION + "; face to face, so both fronts must be known",
    ),
    Definition(
        name="parallel", inverse="parallel", function=relations.parallel,
        thresholds=("parallel_angle", "size_share"),
        meaning="the long horizontal sides run the same way, up to 10 degrees",
        source=_DIRECTION + "; 10 degrees as VSI-Bench drops what is nearer to a border",
    ),
    Definition(
        name="perpendicular", inverse="perpendicular", function=relations.perpendicular,
        thresholds=("parallel_angle", "size_share"),
        meaning="the long horizontal sides cross at a right angle, up to 10 degrees",
        source=_DIRECTION + "; 10 degrees as for parallel",
    ),
    Definition(
        name="aligned_with", inverse="aligned_with", function=relations.aligned_with,
        thresholds=("parallel_angle", "side_offset"),
        meaning="the sides are parallel or square, up to 10 degrees, and a middle line of each "
        "passes the other's centre within 0.1 m",
        source="in line along a wall or a row; the offset is the noise of centres",
    ),
    Definition(
        name="same_size", inverse="same_size", function=relations.same_size,
        thresholds=("size_share",),
        meaning="the sides, the longest first, differ by 15 % of the longer at most",
        source="what fitted boxes of one thing differ by",
    ),
    Definition(
        name="bigger", inverse="smaller", function=relations.bigger, thresholds=("least_share",),
        meaning="its box has the larger volume", source=_SIZE,
    ),
    Definition(
        name="smaller", inverse="bigger", function=relations.smaller, thresholds=("least_share",),
        meaning="its box has the smaller volume", source=_SIZE,
    ),
    Definition(
        name="taller", frame="world", inverse="shorter", function=relations.taller,
        thresholds=("least_share",), meaning="it has the larger vertical extent", source=_SIZE,
    ),
    Definition(
        name="shorter", frame="world", inverse="taller", function=relations.shorter,
        thresholds=("least_share",), meaning="it has the smaller vertical extent", source=_SIZE,
    ),
    Definition(
        name="longer", function=relations.longer, thresholds=("least_share",),
        meaning="its longest side is longer than the anchor's longest side", source=_SIZE,
    ),
)  # fmt: skip

DEFINITIONS: Mapping[str, Definition] = MappingProxyType({row.name: row for row in _ROWS})


def definition_of(name: str) -> Definition:
    """The definition of a relation.

    Raises:
        InputError: If there is no relation of that name.

    Examples:
        >>> definition_of("left_of").frame, definition_of("left_of").inverse
        ('viewer', 'right_of')
    """
    if name not in DEFINITIONS:
        hint = did_you_mean(name, DEFINITIONS) or f" There are: {', '.join(DEFINITIONS)}."
        raise InputError(f"no relation {name!r}.{hint}")
    return DEFINITIONS[name]

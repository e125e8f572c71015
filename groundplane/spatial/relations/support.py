"""Relations of support and containment: what stands on, under, over, in or beside what.

z is up, and things rest on what is below them. An outline is a box's shadow seen from above; top,
bottom and middle are heights of its hull. A thing is *covered* by another where at least half of
its outline, or its centre, lies over or under the other's outline.

- `on`: its bottom is near the anchor's top, its middle is higher, and the anchor holds it: its
  centre lies over the anchor, or it is no larger and half of it does. A thing lower than the
  anchor's top (on the seat of a chair with a back) is not on it: a box has no seat.
- `above`: not lower than the anchor's top (save for noise), its middle higher, and the outlines
  share 30 % of the smaller one; touching or not. What is on a thing is above it. A flat thing on a
  wall is above what stands against it below: a window above a radiator.
- `below`: `above` seen from the other side, and nothing else.
- `under`: below, or tucked in: it stands as low as the anchor does, rises no higher than the
  anchor's top (save for noise), has the smaller outline and is covered by it. So a stool under a
  table, whose box reaches the floor, is under it; a book in a bookcase is not, for it stands
  higher; a chair half pushed in is not, until half of it is covered. What is above is never under.
- `inside`, `contains`: 85 % of the upright prism over its outline lies in the anchor's prism,
  and it is the smaller one. For upright boxes that is the share of its volume. A box does not say
  whether it is hollow or has legs, so the stool under the table is inside its box as well.
- `rests_in`: on a surface within the anchor's box, as a pillow on the seat of a sofa or a book in
  a shelf: the smaller one, covered, its bottom between the height asked for and the anchor's top.
  Whether that is called on or in depends on what the anchor is; geometry does not tell.
- `next_to`: outlines within 0.5 m, at common heights, and neither is on, above, below or inside
  the other; a chair pushed under a table is still next to it. Symmetric.

All but `next_to` never hold both ways, and none holds of a thing and itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.relations.overlay import Overlay, overlay
from groundplane.spatial.thresholds import THRESHOLDS, Thresholds

__all__ = [
    "above", "below", "contains", "inside", "next_to", "on", "rests_in", "supports", "under",
]  # fmt: skip


def on(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject rests on each anchor."""
    return _on(overlay(subjects, anchors, thresholds))


def supports(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor rests on each subject."""
    return _on(overlay(subjects, anchors, thresholds).mirrored()).T


def rests_in(
    subjects: Boxes3D, anchors: Boxes3D, heights: Float[Tensor, " m"], *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:  # fmt: skip
    """Whether each subject rests on a surface inside each anchor's box.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        heights: The least height of each anchor's surface, as a share of the anchor's height; NaN
            for an anchor without one.
        thresholds: The numbers that it turns on.
    """
    pairs = overlay(subjects, anchors, thresholds)
    size = pairs.anchors.top - pairs.anchors.bottom
    bottom = pairs.subjects.bottom[:, None]
    raised = bottom >= pairs.anchors.bottom + heights.to(size) * size
    raised &= bottom <= pairs.anchors.top + pairs.subjects.noise[:, None]
    smaller = pairs.subjects.area[:, None] < pairs.anchors.area
    return raised & smaller & pairs.covered()


def above(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is over each anchor, on it or free of it."""
    return _above(overlay(subjects, anchors, thresholds))


def below(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is above each subject."""
    return _above(overlay(subjects, anchors, thresholds).mirrored()).T


def under(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is below each anchor or tucked in under it."""
    return _under(overlay(subjects, anchors, thresholds))


def inside(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether nearly all of each subject lies in each anchor, the larger of the two."""
    return _inside(overlay(subjects, anchors, thresholds))


def contains(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is inside each subject."""
    return _inside(overlay(subjects, anchors, thresholds).mirrored()).T


def next_to(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each pair stands side by side."""
    pairs = overlay(subjects, anchors, thresholds)
    back = pairs.mirrored()
    low = torch.maximum(pairs.subjects.bottom[:, None], pairs.anchors.bottom)
    high = torch.minimum(pairs.subjects.top[:, None], pairs.anchors.top)
    level = low <= high + thresholds.height_noise
    apart = ~_above(pairs) & ~_above(back).T
    most = thresholds.inside_share
    apart &= torch.maximum(pairs.prism_share(), back.prism_share().T) < most
    return pairs.beside() & level & apart


def _on(pairs: Overlay) -> Bool[Tensor, "n m"]:
    lift = pairs.subjects.bottom[:, None] - pairs.anchors.top
    rests = lift.abs() <= pairs.subjects.noise[:, None]
    smaller = pairs.subjects.area[:, None] <= pairs.anchors.area
    held = pairs.subject_centered | (pairs.covered() & smaller)
    return rests & held & (pairs.subjects.middle[:, None] > pairs.anchors.middle)


def _above(pairs: Overlay) -> Bool[Tensor, "n m"]:
    lift = pairs.subjects.bottom[:, None] - pairs.anchors.top
    smaller = torch.minimum(pairs.subjects.area[:, None], pairs.anchors.area)
    over = pairs.shared >= pairs.thresholds.above_share * smaller
    higher = pairs.subjects.middle[:, None] > pairs.anchors.middle
    over = over | pairs.hung()
    return (over & higher & (lift >= -pairs.subjects.noise[:, None])) | _on(pairs)


def _under(pairs: Overlay) -> Bool[Tensor, "n m"]:
    noise = pairs.subjects.noise[:, None]
    standing = pairs.subjects.bottom[:, None] <= pairs.anchors.bottom + noise
    fits = pairs.subjects.top[:, None] <= pairs.anchors.top + noise
    smaller = pairs.subjects.area[:, None] < pairs.anchors.area
    tucked = standing & fits & smaller & pairs.covered()
    return _above(pairs.mirrored()).T | (tucked & ~_above(pairs))


def _inside(pairs: Overlay) -> Bool[Tensor, "n m"]:
    smaller = pairs.subjects.volume[:, None] < pairs.anchors.volume
    return smaller & (pairs.prism_share() >= pairs.thresholds.inside_share)

"""Relations between boxes, over all pairs at once.

Each function takes n subjects and m anchors and gives n by m truths: `on(cups, tables)[i, j]` says
whether cup i is on table j. z is up, and things rest on what is below them. The numbers stand in
`THRESHOLDS`, with their reasons. A footprint is a box's outline seen from above; top, bottom and
middle are heights of its hull. A thing is *covered* by another where at least half of its
footprint, or its centre, lies over or under the other's footprint.

- `on`: its bottom is near the anchor's top, its middle is higher, and the anchor holds it: its
  centre lies over the anchor, or it is no larger and half of it does. A thing lower than the
  anchor's top (on the seat of a chair with a back) is not on it: a box has no seat.
- `above`: not lower than the anchor's top (save for noise), its middle higher, and the footprints
  share 30 % of the smaller one; touching or not. What is on a thing is above it. A flat thing on a
  wall is above what stands against it below: a window above a radiator.
- `below`: `above` seen from the other side, and nothing else.
- `under`: below, or tucked in: it stands as low as the anchor does, rises no higher than the
  anchor's top (save for noise), has the smaller footprint and is covered by it. So a stool under a
  table, whose box reaches the floor, is under it; a book in a bookcase is not, for it stands
  higher; a chair half pushed in is not, until half of it is covered. What is above is never under.
- `inside`, `contains`: 85 % of the upright prism over its footprint lies in the anchor's prism,
  and it is the smaller one. For upright boxes that is the share of its volume. A box does not say
  whether it is hollow or has legs, so the stool under the table is inside its box as well.
- `touches`, `near`, `within`: by the exact gap of the boxes.
- `rests_in`: on a surface within the anchor's box, as a pillow on the seat of a sofa or a book in
  a shelf: the smaller one, covered, its bottom between the height asked for and the anchor's top.
  Whether that is called on or in depends on what the anchor is; geometry does not tell.
- `next_to`: footprints within 0.5 m, at common heights, and neither is on, above, below or inside
  the other; a chair pushed under a table is still next to it. Symmetric.
- `left_of`, `right_of`, `in_front_of`, `behind`: by the centres, for a viewer who looks along
  `view`. Left and right compare across the view and nothing else, front and back along it; a thing
  may be both left of and behind another. In front is nearer to the viewer.

`on`, `above`, `below`, `under`, `inside`, `contains` and the four of the viewer never hold both
ways, nor of a thing and itself. `touches`, `near` and `within` are symmetric and do hold of a
thing and itself, for its gap to itself is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.gap import box_gaps

__all__ = [
    "THRESHOLDS",
    "VIEWER_RELATIONS",
    "WORLD_RELATIONS",
    "Thresholds",
    "above",
    "bearing",
    "behind",
    "below",
    "contains",
    "in_front_of",
    "inside",
    "left_of",
    "near",
    "next_to",
    "on",
    "rests_in",
    "right_of",
    "touches",
    "under",
    "within",
]

# Relations that need neither a viewer nor a number, and those that need a viewer.
WORLD_RELATIONS = (
    "on", "under", "above", "below", "inside", "contains", "touches", "next_to", "near",
)  # fmt: skip
VIEWER_RELATIONS = ("left_of", "right_of", "in_front_of", "behind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Every number that a relation turns on: metres, or shares of 1."""

    # Faces of scanned boxes lie up to about 5 cm off, and two faces meet.
    height_noise: float = 0.10
    # Boxes fitted to tall things (plants, lamps, shelves) are off in proportion.
    height_noise_share: float = 0.15
    # Less than half held up, and its centre not over the support: it would fall.
    covered_share: float = 0.50
    # Two things that only pass each other at the rim are not one above the other.
    above_share: float = 0.30
    # A window, a picture or a flat screen: no thicker than this, and over what stands before it.
    hung_thickness: float = 0.40
    hung_width: float = 3.0  # times as wide as thick
    hung_reach: float = 0.40
    # What is in a drawer or on a shelf may stick out a little; midway of 0.8 and 0.9.
    inside_share: float = 0.85
    # Half the side of a voxel of common indoor scans (4 cm): less cannot be seen.
    touch_gap: float = 0.02
    # Within a hand's reach: no person fits between.
    next_gap: float = 0.50
    # A long step; things further apart need to be walked between.
    near_gap: float = 1.00
    # Centres of scanned boxes are not known better, so a smaller offset has no side.
    side_offset: float = 0.10
    # A picture or a rug may have no thickness; this much gives it a footprint and a volume.
    least_side: float = 0.001
    # Two points nearer than this have no direction from one to the other.
    least_ray: float = 1e-9


THRESHOLDS = Thresholds()


def on(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject rests on each anchor."""
    return _on(_overlay(subjects, anchors, thresholds))


def rests_in(
    subjects: Boxes3D,
    anchors: Boxes3D,
    heights: Float[Tensor, " m"],
    *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:
    """Whether each subject rests on a surface inside each anchor's box.

    Args:
        heights: The least height of each anchor's surface, as a share of the anchor's height.
    """
    pairs = _overlay(subjects, anchors, thresholds)
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
    return _above(_overlay(subjects, anchors, thresholds))


def below(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is above each subject."""
    return _above(_overlay(subjects, anchors, thresholds).mirrored()).T


def under(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each subject is below each anchor or tucked in under it."""
    return _under(_overlay(subjects, anchors, thresholds))


def inside(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether nearly all of each subject lies in each anchor, the larger of the two."""
    return _inside(_overlay(subjects, anchors, thresholds))


def contains(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each anchor is inside each subject."""
    return _inside(_overlay(subjects, anchors, thresholds).mirrored()).T


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


def within(subjects: Boxes3D, anchors: Boxes3D, limit: float) -> Bool[Tensor, "n m"]:
    """Whether the exact gap of each pair is at most `limit` metres.

    Raises:
        InputError: If the limit is negative or not a number.
    """
    if not limit >= 0:
        raise InputError(f"within: limit must be at least 0 metres, got {limit}")
    return box_gaps(subjects, anchors) <= limit


def next_to(
    subjects: Boxes3D, anchors: Boxes3D, *, thresholds: Thresholds = THRESHOLDS
) -> Bool[Tensor, "n m"]:
    """Whether each pair stands side by side."""
    pairs = _overlay(subjects, anchors, thresholds)
    back = pairs.mirrored()
    low = torch.maximum(pairs.subjects.bottom[:, None], pairs.anchors.bottom)
    high = torch.minimum(pairs.subjects.top[:, None], pairs.anchors.top)
    level = low <= high + thresholds.height_noise
    apart = ~_above(pairs) & ~_above(back).T
    most = thresholds.inside_share
    apart &= torch.maximum(pairs.prism_share(), back.prism_share().T) < most
    return pairs.beside & level & apart


def left_of(
    subjects: Boxes3D,
    anchors: Boxes3D,
    view: Float[Tensor, " 3"],
    *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further left than each anchor.

    Args:
        subjects: n boxes.
        anchors: m boxes.
        view: Where the viewer looks, world frame; only its horizontal part counts.

    Raises:
        ShapeError: If the view is not one vector.
        InputError: If the view has no horizontal part.
    """
    return _further(subjects, anchors, _left(view), thresholds)


def right_of(
    subjects: Boxes3D,
    anchors: Boxes3D,
    view: Float[Tensor, " 3"],
    *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further right than each anchor; see `left_of`."""
    return _further(subjects, anchors, -_left(view), thresholds)


def in_front_of(
    subjects: Boxes3D,
    anchors: Boxes3D,
    view: Float[Tensor, " 3"],
    *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:
    """Whether each subject is nearer to the viewer than each anchor; see `left_of`."""
    return _further(subjects, anchors, -_ahead(view), thresholds)


def behind(
    subjects: Boxes3D,
    anchors: Boxes3D,
    view: Float[Tensor, " 3"],
    *,
    thresholds: Thresholds = THRESHOLDS,
) -> Bool[Tensor, "n m"]:
    """Whether each subject is further from the viewer than each anchor; see `left_of`."""
    return _further(subjects, anchors, _ahead(view), thresholds)


def bearing(
    origin: Float[Tensor, "a 2"], facing: Float[Tensor, "b 2"], targets: Float[Tensor, "c 2"]
) -> Float[Tensor, "a b c"]:
    """Angle to turn left from the line of sight until a target stands ahead.

    Args:
        origin: Where a person stands, x and y, metres.
        facing: The point looked at.
        targets: The points to turn to.

    Returns:
        Degrees in [0, 360), counter-clockwise from above: 90 is left, 270 right. NaN where the
        point looked at or the target coincides with the origin.

    Examples:
        >>> here, ahead = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
        >>> bearing(here, ahead, torch.tensor([[0.0, 2.0], [-1.0, 0.0], [3.0, 0.0]]))
        tensor([[[  0.,  90., 270.]]])
        >>> bearing(here, ahead, torch.zeros(0, 2)).shape
        torch.Size([1, 1, 0])
    """
    sight = (facing[None] - origin[:, None])[:, :, None]
    way = (targets[None] - origin[:, None])[:, None]
    cross = sight[..., 0] * way[..., 1] - sight[..., 1] * way[..., 0]
    angle = torch.rad2deg(torch.atan2(cross, (sight * way).sum(dim=-1)))
    turn = angle + 360 * (angle < 0)
    # A hair to the right of the line of sight rounds to a full turn.
    turn = torch.where(turn >= 360, torch.zeros_like(turn), turn)
    known = torch.minimum(sight.norm(dim=-1), way.norm(dim=-1)) > THRESHOLDS.least_ray
    return torch.where(known, turn, torch.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Standing:
    """Heights and footprint areas of boxes; metres and square metres."""

    bottom: Float[Tensor, " n"]
    top: Float[Tensor, " n"]
    area: Float[Tensor, " n"]
    noise: Float[Tensor, " n"]  # how far a face may lie from where it was measured

    @property
    def middle(self) -> Float[Tensor, " n"]:
        return (self.bottom + self.top) / 2

    @property
    def volume(self) -> Float[Tensor, " n"]:
        return self.area * (self.top - self.bottom)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Overlay:
    """Subjects laid over anchors: what the footprints of each pair share."""

    subjects: _Standing
    anchors: _Standing
    shared: Float[Tensor, "n m"]  # square metres
    subject_centered: Bool[Tensor, "n m"]  # the subject's centre is in the anchor's footprint
    anchor_centered: Bool[Tensor, "n m"]
    beside: Bool[Tensor, "n m"]  # footprints within reach of `next_to`
    subject_hung: Bool[Tensor, "n m"]  # flat against a wall, its centre before or behind the anchor
    anchor_hung: Bool[Tensor, "n m"]
    thresholds: Thresholds

    def mirrored(self) -> _Overlay:
        """Anchors laid over subjects."""
        return _Overlay(
            subjects=self.anchors,
            anchors=self.subjects,
            shared=self.shared.T,
            subject_centered=self.anchor_centered.T,
            anchor_centered=self.subject_centered.T,
            beside=self.beside.T,
            subject_hung=self.anchor_hung.T,
            anchor_hung=self.subject_hung.T,
            thresholds=self.thresholds,
        )

    def share(self) -> Float[Tensor, "n m"]:
        """The part of each subject's footprint that lies in each anchor's."""
        return self.shared / self.subjects.area[:, None]

    def covered(self) -> Bool[Tensor, "n m"]:
        """Whether half of each subject, or its centre, lies over or under each anchor."""
        return self.subject_centered | (self.share() >= self.thresholds.covered_share)

    def prism_share(self) -> Float[Tensor, "n m"]:
        """The part of each subject's prism that lies in each anchor's."""
        low = torch.maximum(self.subjects.bottom[:, None], self.anchors.bottom)
        high = torch.minimum(self.subjects.top[:, None], self.anchors.top)
        height = (self.subjects.top - self.subjects.bottom)[:, None]
        return self.share() * (high - low).clamp(min=0) / height


def _overlay(subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds) -> _Overlay:
    """Lay every subject over every anchor; only footprints whose hulls meet are cut."""
    subjects, anchors = (_thickened(boxes, thresholds) for boxes in (subjects, anchors))
    prints, others = subjects.footprints(), anchors.footprints()
    tree = shapely.STRtree(others)
    rows, columns = tree.query(prints, predicate="dwithin", distance=thresholds.next_gap)
    shape, device = (len(prints), len(others)), subjects.centers.device
    cut = shapely.intersection(prints[rows], others[columns])
    tables = np.zeros((6, *shape))
    tables[0, rows, columns] = shapely.area(cut)
    # A box looks the same from its centre both ways, so its outline's centroid is its centre.
    for table, (inner, outer) in enumerate(
        ((prints[rows], others[columns]), (others[columns], prints[rows])), start=1
    ):
        tables[table, rows, columns] = shapely.intersects(outer, shapely.centroid(inner))
    tables[3, rows, columns] = 1
    tables[4, rows, columns] = _hung(prints[rows], others[columns], thresholds)
    tables[5, rows, columns] = _hung(others[columns], prints[rows], thresholds)
    shared, subject_centered, anchor_centered, *rest = torch.from_numpy(tables).to(device)
    beside, subject_hung, anchor_hung = (table.bool() for table in rest)
    return _Overlay(
        subjects=_standing(subjects, shapely.area(prints), thresholds),
        anchors=_standing(anchors, shapely.area(others), thresholds),
        shared=shared,
        subject_centered=subject_centered.bool(),
        anchor_centered=anchor_centered.bool(),
        beside=beside,
        subject_hung=subject_hung,
        anchor_hung=anchor_hung,
        thresholds=thresholds,
    )


def _hung(
    prints: NDArray[np.object_], others: NDArray[np.object_], thresholds: Thresholds
) -> NDArray[np.bool_]:
    """Whether each outline is flat, touches the other and has its middle close to it.

    So hangs a window over a radiator, or a picture over a sofa that stands off the wall a little.
    """
    # The sides of the rectangle with the outline's area and perimeter.
    half, area = shapely.length(prints) / 2, shapely.area(prints)
    spread = np.sqrt(np.maximum(half**2 - 4 * area, 0))
    thick, wide = (half - spread) / 2, (half + spread) / 2
    flat = (thick <= thresholds.hung_thickness) & (wide >= thresholds.hung_width * thick)
    close = shapely.distance(shapely.centroid(prints), others) <= thresholds.hung_reach
    touching = shapely.distance(prints, others) <= thresholds.touch_gap
    return np.asarray(flat & close & touching)


def _thickened(boxes: Boxes3D, thresholds: Thresholds) -> Boxes3D:
    sizes = boxes.sizes.clamp(min=thresholds.least_side)
    return Boxes3D(centers=boxes.centers, sizes=sizes, axes=boxes.axes)


def _standing(boxes: Boxes3D, areas: np.ndarray, thresholds: Thresholds) -> _Standing:
    bottom, top = boxes.vertical()
    area = torch.from_numpy(areas).to(boxes.centers.device)
    share = thresholds.height_noise_share * (top - bottom)
    noise = share.clamp(min=thresholds.height_noise).double()
    return _Standing(bottom=bottom.double(), top=top.double(), area=area, noise=noise)


def _on(pairs: _Overlay) -> Bool[Tensor, "n m"]:
    lift = pairs.subjects.bottom[:, None] - pairs.anchors.top
    rests = lift.abs() <= pairs.subjects.noise[:, None]
    smaller = pairs.subjects.area[:, None] <= pairs.anchors.area
    held = pairs.subject_centered | (pairs.covered() & smaller)
    return rests & held & (pairs.subjects.middle[:, None] > pairs.anchors.middle)


def _above(pairs: _Overlay) -> Bool[Tensor, "n m"]:
    lift = pairs.subjects.bottom[:, None] - pairs.anchors.top
    smaller = torch.minimum(pairs.subjects.area[:, None], pairs.anchors.area)
    over = pairs.shared >= pairs.thresholds.above_share * smaller
    higher = pairs.subjects.middle[:, None] > pairs.anchors.middle
    over = over | pairs.subject_hung
    return (over & higher & (lift >= -pairs.subjects.noise[:, None])) | _on(pairs)


def _under(pairs: _Overlay) -> Bool[Tensor, "n m"]:
    noise = pairs.subjects.noise[:, None]
    standing = pairs.subjects.bottom[:, None] <= pairs.anchors.bottom + noise
    fits = pairs.subjects.top[:, None] <= pairs.anchors.top + noise
    smaller = pairs.subjects.area[:, None] < pairs.anchors.area
    tucked = standing & fits & smaller & pairs.covered()
    return _above(pairs.mirrored()).T | (tucked & ~_above(pairs))


def _inside(pairs: _Overlay) -> Bool[Tensor, "n m"]:
    smaller = pairs.subjects.volume[:, None] < pairs.anchors.volume
    return smaller & (pairs.prism_share() >= pairs.thresholds.inside_share)


def _ahead(view: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    """The horizontal part of a view, of length 1."""
    if tuple(view.shape) != (3,):
        raise ShapeError(f"view: expected one vector of shape (3,), got {tuple(view.shape)}")
    flat = torch.stack([view[0], view[1], torch.zeros_like(view[0])])
    length = flat.norm()
    if not bool(torch.isfinite(length) & (length > 1e-6)):
        raise InputError(
            f"view: expected a direction with a horizontal part, got {view.tolist()};"
            " give where the viewer looks in the x-y plane"
        )
    return torch.div(flat, length)


def _left(view: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    ahead = _ahead(view)
    return torch.stack([-ahead[1], ahead[0], ahead[2]])


def _further(
    subjects: Boxes3D, anchors: Boxes3D, direction: Float[Tensor, " 3"], thresholds: Thresholds
) -> Bool[Tensor, "n m"]:
    """Whether each subject's centre lies further along a direction than each anchor's."""
    ahead = (subjects.centers * direction).sum(dim=1)[:, None]
    other = (anchors.centers * direction).sum(dim=1)
    return ahead - other > thresholds.side_offset

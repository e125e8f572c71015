"""Boxes laid over boxes: what relations of support and containment are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.outlines import (
    Outlines,
    outline_gaps,
    outlines_meet,
    shared_areas,
)
from groundplane.spatial.scale.tables import require_table
from groundplane.spatial.thresholds import Thresholds

__all__ = ["Overlay", "Standing", "overlay"]

# Pairs cut together; each takes about two kilobytes meanwhile.
_TILE = 8_192
# Of each pair while a relation is made of it, `next_to` the most: numbers of float64 and truths.
_BYTES = 80


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """Boxes by their outlines and heights; metres and square metres, float64."""

    outlines: Outlines
    area: Float[Tensor, " n"]
    bottom: Float[Tensor, " n"]
    top: Float[Tensor, " n"]
    noise: Float[Tensor, " n"]  # how far a face may lie from where it was measured

    @property
    def middle(self) -> Float[Tensor, " n"]:
        """Heights of the middles."""
        return (self.bottom + self.top) / 2

    @property
    def volume(self) -> Float[Tensor, " n"]:
        """Of the upright prism over each outline."""
        return self.area * (self.top - self.bottom)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlay:
    """Subjects laid over anchors.

    Attributes:
        subjects: What is related.
        anchors: What it is related to.
        rows: The subject of each pair whose outlines may come near.
        columns: Its anchor.
        met: Whether the outlines of the pair meet.
        shared: What the outlines of each pair share, square metres.
        subject_centered: The subject's centre lies in the anchor's outline.
        anchor_centered: The anchor's centre lies in the subject's outline.
        thresholds: The numbers.
    """

    subjects: Standing
    anchors: Standing
    rows: Int[Tensor, " p"]
    columns: Int[Tensor, " p"]
    met: Bool[Tensor, " p"]
    shared: Float[Tensor, "n m"]
    subject_centered: Bool[Tensor, "n m"]
    anchor_centered: Bool[Tensor, "n m"]
    thresholds: Thresholds

    def mirrored(self) -> Overlay:
        """Anchors laid over subjects."""
        return Overlay(
            subjects=self.anchors,
            anchors=self.subjects,
            rows=self.columns,
            columns=self.rows,
            met=self.met,
            shared=self.shared.T,
            subject_centered=self.anchor_centered.T,
            anchor_centered=self.subject_centered.T,
            thresholds=self.thresholds,
        )

    def share(self) -> Float[Tensor, "n m"]:
        """The part of each subject's outline that lies in each anchor's."""
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

    def beside(self) -> Bool[Tensor, "n m"]:
        """Whether the outlines of each pair come within reach of `next_to`."""
        near = self.met.clone()
        apart = (~near).nonzero()[:, 0]
        limit = self.thresholds.next_gap
        near[apart] = self._paired(apart, lambda a, b: outline_gaps(a, b) <= limit)
        return self._table(torch.arange(len(near), device=near.device), near)

    def hung(self) -> Bool[Tensor, "n m"]:
        """Whether each subject is flat, touches the anchor's outline and has its middle close.

        So hangs a window over a radiator, or a picture over a sofa that stands off the wall a
        little.
        """
        numbers, outlines = self.thresholds, self.subjects.outlines
        # The sides of the rectangle with the outline's area and perimeter.
        half = outlines.perimeter / 2
        spread = (half**2 - 4 * self.subjects.area).clamp(min=0).sqrt()
        thick, wide = (half - spread) / 2, (half + spread) / 2
        flat = (thick <= numbers.hung_thickness) & (wide >= numbers.hung_width * thick)
        few = flat[self.rows].nonzero()[:, 0]

        def hangs(a: Outlines, b: Outlines) -> Bool[Tensor, " _"]:
            close = b.gaps_to(a.centers) <= numbers.hung_reach
            return close & (outline_gaps(a, b) <= numbers.touch_gap)

        return self._table(few, self._paired(few, hangs))

    def _paired(
        self, pairs: Int[Tensor, " q"], of: Callable[[Outlines, Outlines], Tensor]
    ) -> Tensor:
        """A function of the outlines of some of the pairs."""
        rows, columns = self.rows[pairs], self.columns[pairs]
        return _in_tiles(of, self.subjects.outlines[rows], self.anchors.outlines[columns])

    def _table(self, pairs: Int[Tensor, " q"], values: Bool[Tensor, " q"]) -> Bool[Tensor, "n m"]:
        """All pairs, where some of those that come near hold values."""
        table = torch.zeros_like(self.subject_centered)
        table[self.rows[pairs], self.columns[pairs]] = values
        return table


def overlay(subjects: Boxes3D, anchors: Boxes3D, thresholds: Thresholds) -> Overlay:
    """Lay every subject over every anchor; only outlines whose hulls come near are cut.

    A side under `least_side` counts as so long, so that a flat thing has an outline and a volume.

    Raises:
        InputError: If the table of all pairs would not fit in memory.
    """
    require_table(subjects, anchors, each=_BYTES)
    first, second = (_standing(boxes, thresholds) for boxes in (subjects, anchors))
    a, b = first.outlines, second.outlines
    rows, columns = _near(a, b, max(thresholds.next_gap, thresholds.touch_gap))
    met = _in_tiles(outlines_meet, a[rows], b[columns])
    cut = (rows[met], columns[met])
    first_met, second_met = a[cut[0]], b[cut[1]]
    shared = a.centers.new_zeros(len(a), len(b))
    shared[cut] = _in_tiles(shared_areas, first_met, second_met)
    # A box looks the same from its centre both ways, so its outline's centroid is its centre.
    inner, outer = (torch.zeros_like(shared, dtype=torch.bool) for _ in range(2))
    inner[cut] = second_met.holds(first_met.centers)
    outer[cut] = first_met.holds(second_met.centers)
    return Overlay(
        subjects=first,
        anchors=second,
        rows=rows,
        columns=columns,
        met=met,
        shared=shared,
        subject_centered=inner,
        anchor_centered=outer,
        thresholds=thresholds,
    )


def _near(a: Outlines, b: Outlines, gap: float) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """The pairs whose hulls along x and y come within a gap."""
    x, y = (
        (a.centers[:, i, None] - b.centers[:, i]).abs() <= a.reach[:, i, None] + b.reach[:, i] + gap
        for i in (0, 1)
    )
    rows, columns = (x & y).nonzero().unbind(dim=1)
    return rows, columns


def _standing(boxes: Boxes3D, thresholds: Thresholds) -> Standing:
    sizes = boxes.sizes.clamp(min=thresholds.least_side)
    thick = Boxes3D(centers=boxes.centers, sizes=sizes, axes=boxes.axes)
    bottom, top = (height.double() for height in thick.vertical())
    outlines = Outlines.of(thick)
    noise = (thresholds.height_noise_share * (top - bottom)).clamp(min=thresholds.height_noise)
    return Standing(outlines=outlines, area=outlines.area, bottom=bottom, top=top, noise=noise)


def _in_tiles(of: Callable[[Outlines, Outlines], Tensor], a: Outlines, b: Outlines) -> Tensor:
    """A function of pairs of outlines, a bounded number of them at a time."""
    starts = range(0, max(len(a), 1), _TILE)
    parts = []
    for start in starts:
        part = torch.arange(start, min(start + _TILE, len(a)), device=a.centers.device)
        parts.append(of(a[part], b[part]))
    return torch.cat(parts)

"""Regions as words: proposals become tokens that a language model can point at by their index.

Source: Ma et al., Groma: Localized Visual Tokenization for Grounding Multimodal Large Language
Models, 2024. Proposals come from any detector, features from any encoder; an index means a region
of that very pass alone, for the order is drawn anew. This is written from the description; Groma's
own weights are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.boxes import clip, iou
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import FeatureGrid
from groundplane.core.regions import Regions
from groundplane.grounding.merging import suppress
from groundplane.grounding.roi_align import roi_align

__all__ = ["LocalisedTokens", "Selection", "listed", "nearest_index", "select_regions", "spliced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which proposals a model gets, and in which order.

    Attributes:
        overlap: Of two that overlap by more, intersection over union, the better is kept.
        least: Only a higher score is kept; the best one is if none is higher.
        most: Most regions.
        seed: Of the order.

    Raises:
        InputError: If a value is out of range.
    """

    overlap: float = 0.6
    least: float = 0.15
    most: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.overlap <= 1 and 0 <= self.least <= 1 and self.most >= 1):
            raise InputError(
                f"selection: expected overlap and least of 0 to 1 and most of 1 or more, got "
                f"{self.overlap}, {self.least}, {self.most}"
            )


_SELECTION = Selection()


def select_regions(
    proposals: Regions,
    drawn: Float[Tensor, "m 4"] | None = None,
    *,
    selection: Selection = _SELECTION,
) -> Regions:
    """Choose the regions that get an index; its place in the result is a region's index.

    Args:
        proposals: Of any detector.
        drawn: Boxes that a user drew, `xyxy` pixels; they join with a score of 1.
        selection: See `Selection`.

    Raises:
        InputError: If a box is not finite.

    Examples:
        >>> len(select_regions(Regions.empty(phrases=(), image_size=(8, 8))))
        0
    """
    joined = proposals if drawn is None or not len(drawn) else _joined(proposals, drawn)
    kept = suppress(joined.boxes, joined.scores, iou=selection.overlap)
    high = kept[joined.scores[kept] > selection.least]
    chosen = (high if len(high) else kept[:1])[: selection.most]
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(selection.seed))
    return joined.select(chosen[order.to(chosen.device)])


def _joined(proposals: Regions, drawn: Float[Tensor, "m 4"]) -> Regions:
    boxes = clip(drawn.to(proposals.boxes), proposals.image_size)
    names = [f"drawn-{i}" for i in range(len(boxes))]
    taken = set(proposals.ids)
    ones = proposals.scores.new_ones(len(boxes))
    none = proposals.phrase_ids.new_full((len(boxes),), -1)
    return replace(
        proposals,
        # Drawn ones come first: of equal scores the first is kept.
        ids=(*(f"{name}'" if name in taken else name for name in names), *proposals.ids),
        boxes=torch.cat([boxes, proposals.boxes]),
        scores=torch.cat([ones, proposals.scores]),
        phrase_ids=torch.cat([none, proposals.phrase_ids]),
        masks=None,
        track_ids=None,
        sources=("user",) * len(boxes) + (proposals.sources or ("",) * len(proposals)),
    )


def nearest_index(box: Float[Tensor, " 4"], regions: Regions) -> int:
    """The index that stands for a box (`<refer_box>`): of the region that overlaps it most.

    Raises:
        InputError: If no region overlaps it.
    """
    shares = iou(box[None].to(regions.boxes), regions.boxes)[0]
    if not len(shares) or not bool(shares.max() > 0):
        raise InputError(
            f"localised tokens: no region of {len(regions)} overlaps the box {box.tolist()}; "
            "let the box join when regions are selected"
        )
    return int(shares.argmax())


def listed(regions: Regions) -> str:
    """The regions as plain text, for a model that takes no features: index, and phrase if any.

    Signs in a phrase are put apart, so that it names no index.

    Examples:
        >>> listed(Regions.empty(phrases=(), image_size=(8, 8)))
        'Regions: none.'
    """
    names = [" ".join(name.replace("<", "< ").split()) for name in regions.labels()]
    rows = [f"<r{i}> {name}".rstrip() for i, name in enumerate(names)]
    return f"Regions: {', '.join(rows) or 'none'}."


class LocalisedTokens(nn.Module):
    """Makes the sequence `<r0>` feature `<r1>` feature ... in the width of a language model.

    Args:
        levels: Numbers of a cell of each feature grid that a region is read from.
        width: Of the language model.
        most: Index tokens.
    """

    def __init__(self, levels: Sequence[int], width: int, *, most: int = 100) -> None:
        super().__init__()
        self.indices = nn.Embedding(most, width)
        self.project = nn.Sequential(
            nn.Linear(sum(levels), width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(
        self, grids: Sequence[FeatureGrid], boxes: Float[Tensor, "k 4"], picture: int = 0
    ) -> Float[Tensor, "t d"]:
        """Two rows a region, t = 2 k.

        Args:
            grids: One a level, of one picture or batch.
            boxes: `xyxy` pixels, in the order of their indices.
            picture: Index into the grids' batch.

        Raises:
            ShapeError: If there are more boxes than index tokens.
        """
        if len(boxes) > self.indices.num_embeddings:
            raise ShapeError(
                f"localised tokens: {len(boxes)} regions but {self.indices.num_embeddings} indices"
            )
        rows = self.features(grids, boxes, picture)
        return torch.stack([self.indices.weight[: len(boxes)], rows], dim=1).flatten(0, 1)

    def features(
        self, grids: Sequence[FeatureGrid], boxes: Float[Tensor, "k 4"], picture: int = 0
    ) -> Float[Tensor, "k d"]:
        """The rows of the features alone, for a model with index tokens of its own."""
        found = torch.cat([roi_align(grid, boxes, picture=picture) for grid in grids], dim=1)
        rows: Tensor = self.project(found.to(self.indices.weight))
        return rows


def spliced(
    embeddings: Float[Tensor, "1 n d"], rows: Float[Tensor, "t d"], *, at: int
) -> Float[Tensor, "1 m d"]:
    """Put rows in place of the one token (`<region>`) at a position of a prompt's embeddings.

    Raises:
        InputError: If there is no such position.
    """
    if not 0 <= at < embeddings.shape[1]:
        raise InputError(f"localised tokens: no position {at} of {embeddings.shape[1]}")
    given = rows.to(embeddings)[None]
    return torch.cat([embeddings[:, :at], given, embeddings[:, at + 1 :]], dim=1)

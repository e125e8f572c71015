"""Regions of an image in columns: boxes, scores, and the phrase that each answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import ShapeError
from groundplane.core.masks import RleMask

__all__ = ["Regions"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Regions found in one image.

    Attributes:
        ids: One id a region, unique.
        boxes: `xyxy`, pixels, half-open, origin at the top-left corner.
        scores: In [0, 1].
        phrases: The query's table.
        phrase_ids: Index into `phrases`; -1 where the region answers none of them.
        image_size: Width and height, pixels.
        masks: One run-length mask a region, or None.
        track_ids: One track a region, -1 where unknown, or None.
        sources: Who found each region.
    """

    ids: tuple[str, ...]
    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    phrases: tuple[str, ...]
    phrase_ids: Int[Tensor, " n"]
    image_size: tuple[int, int]
    masks: tuple[RleMask, ...] | None = None
    track_ids: Int[Tensor, " n"] | None = None
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(set(self.ids)) != n:
            raise ShapeError("regions: ids are not unique")
        if tuple(self.boxes.shape) != (n, 4):
            raise ShapeError(f"regions: {n} ids but boxes of shape {tuple(self.boxes.shape)}")
        for name in ("scores", "phrase_ids", "track_ids"):
            column = getattr(self, name)
            if column is not None and tuple(column.shape) != (n,):
                raise ShapeError(f"regions: {n} ids but {name} of shape {tuple(column.shape)}")
        for name in ("masks", "sources"):
            column = getattr(self, name)
            if column and len(column) != n:
                raise ShapeError(f"regions: {n} ids but {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, *, phrases: Sequence[str], image_size: tuple[int, int]) -> Regions:
        """No region at all.

        Examples:
            >>> len(Regions.empty(phrases=["dog"], image_size=(640, 480)))
            0
        """
        return cls(
            ids=(),
            boxes=torch.zeros(0, 4),
            scores=torch.zeros(0),
            phrases=tuple(phrases),
            phrase_ids=torch.zeros(0, dtype=torch.long),
            image_size=image_size,
        )

    def select(self, keep: Bool[Tensor, " n"] | Int[Tensor, " m"]) -> Regions:
        """The regions that a boolean or index tensor picks, in its order."""
        index = torch.nonzero(keep).flatten() if keep.dtype == torch.bool else keep
        rows: list[int] = index.tolist()
        return Regions(
            ids=tuple(self.ids[i] for i in rows),
            boxes=self.boxes[index],
            scores=self.scores[index],
            phrases=self.phrases,
            phrase_ids=self.phrase_ids[index],
            image_size=self.image_size,
            masks=None if self.masks is None else tuple(self.masks[i] for i in rows),
            track_ids=None if self.track_ids is None else self.track_ids[index],
            sources=tuple(self.sources[i] for i in rows) if self.sources else (),
        )

    def labels(self, *, unmapped: str = "") -> tuple[str, ...]:
        """The phrase of each region, `unmapped` where it answers none."""
        return tuple(self.phrases[i] if i >= 0 else unmapped for i in self.phrase_ids.tolist())

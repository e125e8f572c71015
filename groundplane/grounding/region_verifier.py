"""Is this box really one of those? Boxes compared with exemplars by an encoder's features.

A detector of free text knows a thing by its name. An encoder that was never told names, such as
DINOv2, knows what looks alike; so it can speak against a box that only answers to the word. It
needs no training: one box around such a thing is an exemplar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.claims import Verdict
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import Encoder, FeatureGrid
from groundplane.core.image import Image
from groundplane.grounding.region_features import RegionFeatures, region_features

__all__ = ["Exemplars", "Judged", "RegionVerifier", "nearest"]

# A box of which less than half was seen may be anything.
_LEAST_SEEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exemplars:
    """What things look like, and what things look like that are taken for them.

    Attributes:
        positive: Features of boxes around such things, of length 1.
        sizes: Width and height of those boxes as shares of the canvas.
        negative: Of boxes around others.
        encoder: Names the encoder, its weights and options: others' features mean something else.

    Raises:
        InputError: If there is no positive one.
    """

    positive: Float[Tensor, "p d"]
    sizes: Float[Tensor, "p 2"]
    negative: Float[Tensor, "q d"]
    encoder: str = ""

    def __post_init__(self) -> None:
        if not len(self.positive):
            raise InputError("exemplars: expected one box of such a thing, or more, got none")

    @classmethod
    def of(
        cls,
        positive: Sequence[RegionFeatures],
        negative: Sequence[RegionFeatures] = (),
        *,
        encoder: str = "",
    ) -> Exemplars:
        """Exemplars of boxes whose features are known.

        Raises:
            InputError: If there is no positive box, or the encoder saw less than half of a box.
        """
        for look in (*positive, *negative):
            if bool((look.seen < _LEAST_SEEN).any()):
                raise InputError(
                    "exemplars: the encoder sees less than half of a box, or the box has no area. "
                    "Try: another box, or the encoder's option fit=pad"
                )
        if not sum(map(len, positive)):
            raise InputError("exemplars: expected one box of such a thing, or more, got none")
        vectors = [look.vectors for look in positive]
        return cls(
            positive=torch.cat(vectors),
            sizes=torch.cat([look.sizes for look in positive]).float(),
            negative=torch.cat([vectors[0][:0], *(look.vectors for look in negative)]),
            encoder=encoder,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What became of boxes; on the host.

    Attributes:
        verdicts: Supported, contradicted, or not to be told.
        alike: Greatest cosine to a positive exemplar.
        other: Greatest cosine to a negative one; -1 where there is none.
        seen: Which part of each box the encoder saw.
    """

    verdicts: tuple[Verdict, ...]
    alike: Float[Tensor, " k"]
    other: Float[Tensor, " k"]
    seen: Float[Tensor, " k"]


class RegionVerifier:
    """Judges boxes by their likeness to exemplars.

    The thresholds are of the encoder and its weights: set them on boxes of which you know the
    answer. A box is supported if its likeness reaches `accept` and no negative exemplar is
    nearer; it is contradicted if its likeness is below `reject` or a negative exemplar is nearer
    by `margin`; the rest cannot be told, nor can a box of which the encoder saw less than half.

    Args:
        encoder: What sees.
        accept: Least cosine of what is supported.
        reject: Cosine below which a box is contradicted.
        margin: By how much a negative exemplar must be nearer to contradict.

    Raises:
        InputError: If a threshold is not in [-1, 1], `reject` is above `accept` or the margin is
            negative.
    """

    def __init__(
        self, encoder: Encoder, *, accept: float = 0.6, reject: float = 0.4, margin: float = 0.0
    ) -> None:
        if not -1 <= reject <= accept <= 1:  # NaN is not either
            raise InputError(
                f"region verifier: expected -1 <= reject <= accept <= 1, got {reject} and {accept}"
            )
        if not 0 <= margin <= 2:
            raise InputError(f"region verifier: expected a margin from 0 to 2, got {margin}")
        self._encoder = encoder
        self._accept, self._reject, self._margin = accept, reject, margin

    @property
    def reject(self) -> float:
        """Cosine below which a box is contradicted."""
        return self._reject

    def learn(
        self,
        positive: Sequence[tuple[Image, Float[Tensor, "_ 4"]]],
        negative: Sequence[tuple[Image, Float[Tensor, "_ 4"]]] = (),
    ) -> Exemplars:
        """Look at exemplars.

        Args:
            positive: Pictures, each with boxes around such things, `xyxy` pixels.
            negative: Pictures with boxes around things that are taken for them.

        Raises:
            InputError: If there is no positive box, or the encoder saw less than half of a box.
        """
        pictures = [*positive, *negative]
        grid = self._encoder.encode([image for image, _ in pictures])
        looks = [
            region_features(grid, boxes, picture=place) for place, (_, boxes) in enumerate(pictures)
        ]
        count = len(positive)
        return Exemplars.of(looks[:count], looks[count:], encoder=grid.encoder)

    def judge(
        self, images: Sequence[Image], boxes: Sequence[Float[Tensor, "_ 4"]], exemplars: Exemplars
    ) -> list[Judged]:
        """Judge the boxes of each picture; all pictures are encoded in one call.

        Args:
            images: Pictures.
            boxes: For each picture its boxes, `xyxy` pixels.
            exemplars: Of the same encoder.

        Raises:
            ShapeError: If there is not one list of boxes a picture.
            InputError: If the exemplars are of another encoder, or a box is not finite.
        """
        if len(images) != len(boxes):
            raise ShapeError(f"region verifier: {len(images)} pictures but {len(boxes)} of boxes")
        if not images:
            return []
        grid = self._encoder.encode(images)
        return [
            self.judge_features(region_features(grid, of, picture=place), exemplars, grid=grid)
            for place, of in enumerate(boxes)
        ]

    def judge_features(
        self, found: RegionFeatures, exemplars: Exemplars, *, grid: FeatureGrid
    ) -> Judged:
        """Judge boxes whose features are known; one transfer to the host."""
        if exemplars.encoder != grid.encoder or exemplars.positive.shape[1] != grid.width:
            raise InputError(
                f"region verifier: the exemplars are of {exemplars.encoder or 'another encoder'!r} "
                f"with {exemplars.positive.shape[1]} numbers a cell, the boxes of "
                f"{grid.encoder or 'an encoder'!r} with {grid.width}. Try: learn them anew"
            )
        alike = nearest(found.vectors, exemplars.positive)
        other = nearest(found.vectors, exemplars.negative)
        columns = torch.stack([alike, other, found.seen.to(alike.dtype)]).cpu()
        rows: list[list[float]] = columns.T.tolist()
        return Judged(
            verdicts=tuple(self._verdict(*row) for row in rows),
            alike=columns[0],
            other=columns[1],
            seen=columns[2],
        )

    def _verdict(self, alike: float, other: float, seen: float) -> Verdict:
        if seen < _LEAST_SEEN:
            return Verdict.CANNOT_TELL
        if alike < self._reject or other > alike + self._margin:
            return Verdict.CONTRADICTED
        if alike >= self._accept and other <= alike:
            return Verdict.SUPPORTED
        return Verdict.CANNOT_TELL

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """What the encoder sees of pictures."""
        return self._encoder.encode(images)


def nearest(vectors: Float[Tensor, "k d"], exemplars: Float[Tensor, "p d"]) -> Float[Tensor, " k"]:
    """The greatest cosine of each vector of length 1 to any exemplar, -1 where there is none.

    Examples:
        >>> nearest(torch.eye(2), torch.tensor([[0.0, 1.0], [0.0, -1.0]])).tolist()
        [0.0, 1.0]
        >>> nearest(torch.eye(2), torch.zeros(0, 2)).tolist()
        [-1.0, -1.0]
    """
    if not len(exemplars):
        return vectors.new_full((len(vectors),), -1.0)
    return (vectors @ exemplars.to(vectors.device, vectors.dtype).T).amax(1)

"""What segmenters are asked and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.image import Image
from groundplane.core.regions import Regions

__all__ = ["SegmentRequest", "Segmenter"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentRequest:
    """Give the mask of each of n things in an image, each named by a prompt.

    Attributes:
        image: Where they are.
        boxes: A box around each thing, `xyxy` pixels, or None.
        points: m points a thing, x and y in pixels, or None.
        point_labels: For each point 1 (on the thing), 0 (not on it) or -1 (padding: no point);
            None means that all are on it.
        embeddings: k prompt embeddings a thing, of the segmenter's own width, or None; this is
            how a model that speaks in hidden states (LISA, GLaMM) names a thing.

    Raises:
        InputError: If there is no prompt, or labels without points, or a number is not finite.
        ShapeError: If the prompts are not about the same number of things.
    """

    image: Image
    boxes: Float[Tensor, "n 4"] | None = None
    points: Float[Tensor, "n m 2"] | None = None
    point_labels: Int[Tensor, "n m"] | None = None
    embeddings: Float[Tensor, "n k d"] | None = None

    def __post_init__(self) -> None:
        given = {
            name: prompt
            for name in ("boxes", "points", "embeddings")
            if (prompt := getattr(self, name)) is not None
        }
        if not given:
            raise InputError("segment request: give boxes, points or embeddings")
        if len({len(prompt) for prompt in given.values()}) > 1:
            shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in given.items())
            raise ShapeError(f"segment request: expected one prompt a thing, got {shapes}")
        tails = {"boxes": (4,), "points": (None, 2), "embeddings": (None, None)}
        for name, prompt in given.items():
            tail = tails[name]
            if prompt.dim() != len(tail) + 1 or any(
                want not in (None, got) for want, got in zip(tail, prompt.shape[1:], strict=True)
            ):
                raise ShapeError(f"segment request: {name} of shape {tuple(prompt.shape)}")
            if not bool(prompt.isfinite().all()):
                raise InputError(f"segment request: {name} with a number that is not finite")
        self._check_labels()

    def _check_labels(self) -> None:
        labels = self.point_labels
        if labels is None:
            return
        if self.points is None:
            raise InputError("segment request: point_labels without points")
        if labels.shape != self.points.shape[:2]:
            raise ShapeError(
                f"segment request: points of shape {tuple(self.points.shape)} but labels of "
                f"shape {tuple(labels.shape)}"
            )
        if bool(((labels < -1) | (labels > 1)).any()):
            raise InputError("segment request: expected point labels of 1, 0 or -1")

    def __len__(self) -> int:
        """How many things are asked for."""
        for prompt in (self.boxes, self.points, self.embeddings):
            if prompt is not None:
                return len(prompt)
        return 0


@runtime_checkable
class Segmenter(Protocol):
    """An expert that gives the masks of things that are pointed out to it."""

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order.

        Returns:
            For each request one region a thing, in the request's order: its mask, the mask's box
            (the prompt's box, or an empty box, where the mask is empty), the expert's own
            estimate of the mask's quality as its score, and no phrase (index -1). A thing that
            points at nothing in the image (a box that holds no part of it; no box and no point
            on the thing within it) has an empty mask and a score of 0, and does not keep others
            from their masks.

        Raises:
            InputError: If a kind of prompt is given that the expert does not take.
        """
        ...

"""From what a network scored to a detector's result: candidates, then regions at thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.boxes import area, clip
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, listing
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.merging import suppress

__all__ = ["Scored", "result_of", "to_device"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What an expert scored in one image, on the host.

    Attributes:
        boxes: `xyxy`, pixels of the image; they may leave it.
        scores: In [0, 1].
        phrase_ids: Which phrase of the request each answers; -1 none.
        masks: One a box, or None.
        cannot: Why the expert cannot look for a phrase, by the phrase's index.
        note: What else a user must know.
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    phrase_ids: Int[Tensor, " n"]
    masks: tuple[RleMask, ...] | None = None
    cannot: Mapping[int, str]
    note: str = ""


def result_of(
    request: DetectRequest,
    scored: Scored,
    *,
    source: str,
    thresholds: Sequence[float],
    iou: float = 1.0,
) -> DetectResult:
    """Make a result: boxes cut at the image's edges, duplicates of a phrase dropped, best first.

    Suppressing duplicates and then thresholding gives what thresholding and then suppressing
    would: a box is only ever dropped for one that scores higher.

    Args:
        request: What was asked.
        scored: What the expert scored above its floor.
        source: The expert's name; ids are made of it.
        thresholds: The least score of each phrase.
        iou: Boxes of a phrase that overlap by more are one thing; 1 keeps all.

    Raises:
        DetectorError: If a box or score is not finite.

    Examples:
        >>> from groundplane.testing.detectors import make_image
        >>> import numpy as np
        >>> image = make_image(np.zeros((8, 8, 3), np.uint8))
        >>> scored = Scored(
        ...     boxes=torch.tensor([[0.0, 0, 4, 4], [-1.0, 0, 9, 9], [9.0, 9, 12, 12]]),
        ...     scores=torch.tensor([0.2, 0.9, 0.8]),
        ...     phrase_ids=torch.tensor([0, 0, 0]),
        ...     cannot={},
        ... )
        >>> request = DetectRequest(image=image, phrases=("cup",))
        >>> result = result_of(request, scored, source="x", thresholds=[0.5])
        >>> result.regions.boxes.tolist(), len(result.candidates)
        ([[0.0, 0.0, 8.0, 8.0]], 2)
        >>> nothing = DetectRequest(image=image, phrases=())
        >>> empty = replace(
        ...     scored,
        ...     boxes=torch.zeros(0, 4),
        ...     scores=torch.zeros(0),
        ...     phrase_ids=torch.zeros(0, dtype=torch.long),
        ... )
        >>> len(result_of(nothing, empty, source="x", thresholds=[]).regions)
        0
    """
    if not bool(scored.boxes.isfinite().all()) or not bool(scored.scores.isfinite().all()):
        raise DetectorError(
            f"detector {source!r} gave boxes or scores that are not finite for image "
            f"{request.image.source.name!r}; its weights or its number type do not fit"
        )
    size = request.image.size
    boxes = clip(scored.boxes.float(), size)
    # What lies outside wholly, as in the padding, is a failure of the network and no box.
    inside = torch.nonzero(area(boxes) > 0).flatten()
    kept = suppress(boxes[inside], scored.scores[inside], groups=scored.phrase_ids[inside], iou=iou)
    index = inside[kept]
    rows: list[int] = index.tolist()
    candidates = Regions(
        ids=tuple(f"{source}-{n}" for n in range(len(rows))),
        boxes=boxes[index],
        scores=scored.scores[index].float().clamp(0, 1),
        phrases=request.phrases,
        phrase_ids=scored.phrase_ids[index],
        image_size=size,
        masks=None if scored.masks is None else tuple(scored.masks[i] for i in rows),
        sources=(source,) * len(rows),
    )
    outcomes = tuple(
        Outcome.CANNOT if i in scored.cannot else Outcome.NONE for i in range(len(request.phrases))
    )
    reasons = [scored.note, *dict.fromkeys(scored.cannot.values())]
    note = listing([reason for reason in reasons if reason], limit=3, empty="")
    whole = DetectResult(regions=candidates, outcomes=outcomes, candidates=candidates, note=note)
    return whole.at(thresholds)


def to_device(result: DetectResult, device: torch.device | str) -> DetectResult:
    """The same result with its tensors on a device.

    Examples:
        >>> regions = Regions.empty(phrases=(), image_size=(4, 4))
        >>> to_device(DetectResult(regions=regions, outcomes=()), "cpu").regions.boxes.device.type
        'cpu'
    """

    def moved(regions: Regions) -> Regions:
        return replace(
            regions,
            boxes=regions.boxes.to(device),
            scores=regions.scores.to(device),
            phrase_ids=regions.phrase_ids.to(device),
        )

    kept = None if result.candidates is None else moved(result.candidates)
    return replace(result, regions=moved(result.regions), candidates=kept)

"""What an expert may return: an expert is somebody else's code, and its answers are checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from groundplane.core import boxes as box_ops
from groundplane.core.answer import Step
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import GroundplaneError
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest

__all__ = [
    "MAX_CANDIDATES",
    "MAX_REGIONS",
    "BreachError",
    "check_masks",
    "check_result",
    "most_of",
]

MAX_REGIONS = 10_000
# A detector of 900 queries that scores 80 phrases keeps 72,000 at most.
MAX_CANDIDATES = 100_000
# A list of a thousand phrases may end in more than that; SAM 3 gives up to 200 a phrase.
_A_PHRASE = 200
# A reason for each of some hundreds of phrases fits.
_MAX_NOTE = 100_000
# Half-open pixel edges are rounded in many ways; more than a pixel outside is another frame.
_EDGE = 1.0


class BreachError(GroundplaneError, ValueError):
    """How a result breaks the contract, in one line; the caller says whose it is."""


def check_result(result: object, request: DetectRequest) -> DetectResult:
    """A detector's answer to a request, its boxes cut to the image.

    A box may leave the image by a pixel, as edges are rounded in many ways.

    Raises:
        BreachError: If it is no answer to the request, or not well formed.
    """
    if not isinstance(result, DetectResult) or not isinstance(result.regions, Regions):
        raise BreachError(f"expected a DetectResult, got {type(result).__name__}")
    _check_words(result)
    regions = _checked(result.regions, request, most=most_of(MAX_REGIONS, request), what="regions")
    _check_outcomes(result)
    candidates = result.candidates
    if candidates is not None:
        if not isinstance(candidates, Regions):
            raise BreachError(f"expected candidates as Regions, got {type(candidates).__name__}")
        candidates = _checked(
            candidates, request, most=most_of(MAX_CANDIDATES, request), what="candidates"
        )
    return replace(result, regions=regions, candidates=candidates)


def most_of(limit: int, request: DetectRequest) -> int:
    """How many regions an answer may have: the limit, or more where many phrases are asked for.

    Examples:
        >>> from groundplane.testing.detectors import make_image
        >>> import numpy as np
        >>> grey = make_image(np.full((40, 60, 3), 128, np.uint8))
        >>> most_of(MAX_REGIONS, DetectRequest(image=grey, phrases=("cup",) * 300))
        60000
        >>> most_of(MAX_REGIONS, DetectRequest(image=grey, phrases=()))
        10000
    """
    return max(limit, _A_PHRASE * len(request.phrases))


def check_masks(regions: object, request: SegmentRequest) -> Regions:
    """A segmenter's answer to a request, its boxes cut to the image.

    Raises:
        BreachError: If there is not one region with a mask for each thing that was asked for,
            in order, or they are not well formed.
    """
    if not isinstance(regions, Regions):
        raise BreachError(f"expected Regions, got {type(regions).__name__}")
    if len(regions) != len(request):
        raise BreachError(
            f"expected a region for each of {len(request)} things, got {len(regions)}"
        )
    if len(regions) and regions.masks is None:
        raise BreachError("expected masks, got none")
    _check_size(regions, request.image.size)
    _check_columns(regions)
    _check_values(regions)
    return replace(regions, boxes=box_ops.clip(regions.boxes, regions.image_size))


def _checked(regions: Regions, request: DetectRequest, *, most: int, what: str) -> Regions:
    if regions.phrases != request.phrases:
        raise BreachError(f"expected the phrases {request.phrases}, got {regions.phrases}")
    _check_size(regions, request.image.size)
    if len(regions) > most:
        raise BreachError(f"expected at most {most} {what}, got {len(regions)}")
    _check_columns(regions)
    _check_values(regions)
    return replace(regions, boxes=box_ops.clip(regions.boxes, request.image.size))


def _check_size(regions: Regions, size: tuple[int, int]) -> None:
    if regions.image_size != size:
        raise BreachError(f"expected the image size {size} (w, h), got {regions.image_size}")


def _check_words(result: DetectResult) -> None:
    if not isinstance(result.note, str):
        raise BreachError(f"expected a note in words, got {type(result.note).__name__}")
    if len(result.note) > _MAX_NOTE:
        raise BreachError(f"expected a note of at most {_MAX_NOTE} characters")
    if not all(isinstance(step, Step) for step in result.steps):
        raise BreachError("expected steps as Step")
    wrong = [p for p in result.presence or () if not (isinstance(p, float) and 0 <= p <= 1)]
    if wrong:
        raise BreachError(f"expected presences in [0, 1], got {wrong[0]!r}")


def _check_columns(regions: Regions) -> None:
    """Types and lengths, also of a class of the expert's own that checks nothing."""
    n = len(regions)
    for name, column in _tensors(regions):
        kind = "integer" if name.endswith("_ids") else "floating"
        if not isinstance(column, Tensor) or _kind(column) != kind:
            got = column.dtype if isinstance(column, Tensor) else type(column).__name__
            raise BreachError(f"expected {name} as a tensor of {kind} numbers, got {got}")
        shape = (n, 4) if name == "boxes" else (n,)
        if tuple(column.shape) != shape:
            raise BreachError(f"expected {name} of shape {shape}, got {tuple(column.shape)}")
    for name in ("ids", "sources"):
        strange = [word for word in getattr(regions, name) if not isinstance(word, str)]
        if strange:
            raise BreachError(f"expected {name} as text, got {type(strange[0]).__name__}")
    if len(set(regions.ids)) != n:
        raise BreachError("expected ids that are unique")
    width, height = regions.image_size
    for mask in regions.masks or ():
        if getattr(mask, "size", None) != (height, width):
            raise BreachError(
                f"expected masks of size {(height, width)} (h, w), got "
                f"{getattr(mask, 'size', type(mask).__name__)}"
            )


def _tensors(regions: Regions) -> Iterator[tuple[str, object]]:
    for name in ("boxes", "scores", "phrase_ids"):
        yield name, getattr(regions, name)
    if regions.track_ids is not None:
        yield "track_ids", regions.track_ids


def _kind(column: Tensor) -> str:
    if column.dtype.is_floating_point:
        return "floating"
    return "other" if column.dtype.is_complex or column.dtype == torch.bool else "integer"


@dataclass(frozen=True, slots=True)
class _Flaw:
    """A check of all regions at once: which are wrong, and what is wrong with them."""

    wrong: Tensor
    text: str


def _check_values(regions: Regions) -> None:
    if not len(regions):
        return
    boxes, scores, ids = regions.boxes.float(), regions.scores, regions.phrase_ids
    size = torch.tensor(regions.image_size * 2, device=boxes.device)
    outside = ((boxes < -_EDGE) | (boxes > size + _EDGE)).any(dim=1)
    w, h = regions.image_size
    flaws = (
        _Flaw(~boxes.isfinite().all(dim=1), "a box that is not finite"),
        _Flaw((boxes[:, :2] > boxes[:, 2:]).any(dim=1), "a box whose right or bottom comes first"),
        _Flaw(outside, f"a box that leaves the image of {w} x {h} pixels"),
        # Not the opposite comparison: NaN must be caught.
        _Flaw(~((scores >= 0) & (scores <= 1)), "a score that is not in [0, 1]"),
        _Flaw((ids < -1) | (ids >= len(regions.phrases)), "a phrase id that is not in the table"),
    )
    wrong = torch.stack([flaw.wrong.to(boxes.device) for flaw in flaws])
    if not bool(wrong.any()):
        return
    kind, row = (int(i) for i in wrong.nonzero()[0])
    raise BreachError(
        f"{flaws[kind].text} (region {row}: box {regions.boxes[row].tolist()}, score "
        f"{scores[row].item():g}, phrase id {ids[row].item()})"
    )


def _check_outcomes(result: DetectResult) -> None:
    if len(result.outcomes) != len(result.regions.phrases):
        raise BreachError(
            f"expected {len(result.regions.phrases)} outcomes, got {len(result.outcomes)}"
        )
    named = set(result.regions.phrase_ids.tolist())
    pairs = zip(result.regions.phrases, result.outcomes, strict=True)
    for index, (phrase, outcome) in enumerate(pairs):
        if not isinstance(outcome, Outcome):
            raise BreachError(f"expected an Outcome for {phrase!r}, got {outcome!r}")
        if (outcome is Outcome.FOUND) != (index in named):
            has = "a region" if index in named else "no region"
            raise BreachError(f"{phrase!r} is {outcome.value!r} but has {has}")

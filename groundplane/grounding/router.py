"""From a language model's `Ground` events to an expert and back, trusting neither blindly."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from groundplane.core import boxes as box_ops
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import (
    DetectorError,
    GroundplaneError,
    InputError,
    ProtocolError,
    listing,
)
from groundplane.core.image import Image
from groundplane.core.orchestrator import Call
from groundplane.core.regions import Regions
from groundplane.core.session import Ground

__all__ = ["MAX_REGIONS", "GroundingResolver"]

_log = logging.getLogger(__name__)

MAX_REGIONS = 10_000
# Half-open pixel edges are rounded in many ways; more than a pixel outside is another frame.
_EDGE = 1.0


class GroundingResolver:
    """Resolves `Ground` events with one expert.

    All calls become one `detect`; calls that ask the same of the same picture share a request.
    If that fails, the requests are retried one by one, so that a bad one fails alone. The expert
    gets pixels that it cannot write to, and what it returns is checked before anyone sees it.

    Args:
        detector: The expert.
        name: What messages call it: the plugin's name.
        deadline: Seconds after the start of `resolve` from which on no further request is
            retried; None for no limit. A `detect` that hangs is the orchestrator's to give up.

    Raises:
        InputError: If the deadline is not above 0.
    """

    def __init__(self, detector: Detector, *, name: str, deadline: float | None = None) -> None:
        if deadline is not None and not deadline > 0:
            raise InputError(
                f"grounding with {name!r}: expected a deadline above 0 seconds, got {deadline}"
            )
        self._detector = detector
        self.who = f"detector {name!r}"
        self._deadline = deadline

    def resolve(self, calls: Sequence[Call]) -> list[DetectResult | Exception]:
        """Answer calls.

        Returns:
            One a call, in order: what was found, or the error that this call alone ends with
            (`InputError` if the prompt has no such image, `DetectorError` if the expert failed).
        """
        started = time.monotonic()
        plan = _Plan()
        slots = [plan.add(call) for call in calls]
        answers = self._ask(plan.requests, started=started)
        return [
            slot if isinstance(slot, Exception) else _retold(answers[slot], to=call.event)
            for slot, call in zip(slots, calls, strict=True)
        ]

    def _ask(
        self, requests: Sequence[DetectRequest], *, started: float
    ) -> list[DetectResult | Exception]:
        if not requests:
            return []
        try:
            return self._detect(requests)
        except DetectorError as error:
            if len(requests) == 1:
                return [error]
            _log.warning("a batch of %d failed and is retried singly: %s", len(requests), error)
            return [self._ask_one(request, started, error) for request in requests]

    def _ask_one(
        self, request: DetectRequest, started: float, cause: DetectorError
    ) -> DetectResult | Exception:
        if self._deadline is not None and time.monotonic() - started >= self._deadline:
            late = DetectorError(
                f"{self.who} was not asked again about {request.image.source.name!r}: its "
                f"{self._deadline:g} seconds were over when the batch failed with: {cause}"
            )
            late.__cause__ = cause
            return late
        try:
            return self._detect([request])[0]
        except DetectorError as error:
            return error

    def _detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult | Exception]:
        """Ask the expert; a result that breaks the contract becomes an error in its place."""
        try:
            given: object = self._detector.detect(list(requests))
        except (Exception, SystemExit) as error:
            raise self._failed(error, requests) from error
        if not isinstance(given, list | tuple) or len(given) != len(requests):
            got = len(given) if isinstance(given, list | tuple) else type(given).__name__
            raise DetectorError(
                f"{self.who} broke its contract: expected a list of {len(requests)} results, "
                f"got {got}"
            )
        return [
            self._checked(result, request) for result, request in zip(given, requests, strict=True)
        ]

    def _failed(self, error: BaseException, requests: Sequence[DetectRequest]) -> DetectorError:
        text = " ".join(str(error).split())
        if isinstance(error, GroundplaneError):
            return DetectorError(text if text.startswith(self.who) else f"{self.who}: {text}")
        names = listing(dict.fromkeys(repr(request.image.source.name) for request in requests))
        said = f"{type(error).__name__}: {text}".removesuffix(": ")
        return DetectorError(f"{self.who} failed on {names}: {said}")

    def _checked(self, result: object, request: DetectRequest) -> DetectResult | Exception:
        try:
            return _checked(result, request)
        except _BreachError as breach:
            error = DetectorError(
                f"{self.who} broke its contract on {request.image.source.name!r}: {breach}"
            )
            error.__cause__ = breach
            return error


# Which requests to make ----------------------------------------------------------------------


class _Plan:
    """The requests that answer a batch of calls, each asked once."""

    def __init__(self) -> None:
        self.requests: list[DetectRequest] = []
        self._sources: list[Image] = []
        self._same: dict[tuple[object, ...], list[int]] = {}

    def add(self, call: Call) -> int | Exception:
        """The index of the request that answers a call, or why there is none."""
        image = _image_of(call)
        if isinstance(image, Exception):
            return image
        event = cast(Ground, call.event)
        key = (image.source.content_hash, image.source.name, image.size, *sorted(event.phrases))
        for index in self._same.setdefault(key, []):
            if _alike(self._sources[index], image):
                return index
        self._same[key].append(len(self.requests))
        self._sources.append(image)
        self.requests.append(DetectRequest(image=_read_only(image), phrases=tuple(event.phrases)))
        return len(self.requests) - 1


def _image_of(call: Call) -> Image | Exception:
    event, images = call.event, call.prompt.images
    if not isinstance(event, Ground):
        return ProtocolError(f"grounding: expected a Ground event, got {type(event).__name__}")
    if not images:
        return InputError(
            f"request {event.request!r}: there is no image to find {listing(event.phrases)} in; "
            "give the prompt at least one image"
        )
    if not 0 <= event.image < len(images):
        return InputError(
            f"request {event.request!r}: image {event.image} is out of range; the prompt has "
            f"{len(images)}, counted from 0"
        )
    return images[event.image]


def _alike(a: Image, b: Image) -> bool:
    """Whether two images are one picture; a hash alone could have been made up."""
    if a is b:
        return True
    same_way = np.array_equal(a.frame_map.matrix, b.frame_map.matrix)
    return same_way and (a.pixels is b.pixels or np.array_equal(a.pixels, b.pixels))


def _read_only(image: Image) -> Image:
    pixels = image.pixels.view()
    pixels.flags.writeable = False
    return replace(image, pixels=pixels)


def _retold(answer: DetectResult | Exception, *, to: object) -> DetectResult | Exception:
    """An answer with its phrases in the order in which this call asked for them."""
    if isinstance(answer, Exception) or not isinstance(to, Ground):
        return answer
    asked, wanted = answer.regions.phrases, tuple(to.phrases)
    if asked == wanted:
        return answer
    # Both hold the same phrases, so a stable sort of each pairs them, repeated ones too.
    by_text = sorted(range(len(asked)), key=asked.__getitem__)
    place = dict(zip(by_text, sorted(range(len(wanted)), key=wanted.__getitem__), strict=True))
    old = {new: before for before, new in place.items()}
    ids = answer.regions.phrase_ids
    # The last entry is where index -1, unmapped, lands.
    table = torch.tensor([*(place[i] for i in range(len(asked))), -1], device=ids.device)
    regions = replace(answer.regions, phrases=wanted, phrase_ids=table[ids.long()])
    outcomes = tuple(answer.outcomes[old[i]] for i in range(len(wanted)))
    return replace(answer, regions=regions, outcomes=outcomes)


# What an expert may return -------------------------------------------------------------------


class _BreachError(Exception):
    """How a result breaks the contract, in one line."""


@dataclass(frozen=True, slots=True)
class _Flaw:
    """A check of all regions at once: which are wrong, and what is wrong with them."""

    wrong: Tensor
    text: str


def _checked(result: object, request: DetectRequest) -> DetectResult:
    """A result whose boxes are within the image.

    Raises:
        _BreachError: If it breaks the contract.
    """
    if not isinstance(result, DetectResult) or not isinstance(result.regions, Regions):
        raise _BreachError(f"expected a DetectResult, got {type(result).__name__}")
    _check_frame(result, request)
    _check_columns(result.regions)
    _check_values(result.regions)
    _check_outcomes(result)
    clipped = box_ops.clip(result.regions.boxes, request.image.size)
    return replace(result, regions=replace(result.regions, boxes=clipped))


def _check_frame(result: DetectResult, request: DetectRequest) -> None:
    regions = result.regions
    if regions.phrases != request.phrases:
        raise _BreachError(f"expected the phrases {request.phrases}, got {regions.phrases}")
    if regions.image_size != request.image.size:
        raise _BreachError(
            f"expected the image size {request.image.size} (w, h), got {regions.image_size}"
        )
    if len(regions) > MAX_REGIONS:
        raise _BreachError(f"expected at most {MAX_REGIONS} regions, got {len(regions)}")
    if not isinstance(result.note, str):
        raise _BreachError(f"expected a note in words, got {type(result.note).__name__}")


def _check_columns(regions: Regions) -> None:
    """Types; their lengths were checked when the regions were made."""
    for name in ("boxes", "scores", "phrase_ids", "track_ids"):
        column = getattr(regions, name)
        if column is None and name == "track_ids":
            continue
        kind = "integer" if name.endswith("_ids") else "floating"
        if not isinstance(column, Tensor) or _kind(column) != kind:
            got = column.dtype if isinstance(column, Tensor) else type(column).__name__
            raise _BreachError(f"expected {name} as a tensor of {kind} numbers, got {got}")
    for name in ("ids", "sources"):
        strange = [word for word in getattr(regions, name) if not isinstance(word, str)]
        if strange:
            raise _BreachError(f"expected {name} as text, got {type(strange[0]).__name__}")
    width, height = regions.image_size
    for mask in regions.masks or ():
        if getattr(mask, "size", None) != (height, width):
            raise _BreachError(
                f"expected masks of size {(height, width)} (h, w), got "
                f"{getattr(mask, 'size', type(mask).__name__)}"
            )


def _kind(column: Tensor) -> str:
    if column.dtype.is_floating_point:
        return "floating"
    return "other" if column.dtype.is_complex or column.dtype == torch.bool else "integer"


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
    raise _BreachError(
        f"{flaws[kind].text} (region {row}: box {regions.boxes[row].tolist()}, score "
        f"{scores[row].item():g}, phrase id {ids[row].item()})"
    )


def _check_outcomes(result: DetectResult) -> None:
    named = set(result.regions.phrase_ids.tolist())
    pairs = zip(result.regions.phrases, result.outcomes, strict=True)
    for index, (phrase, outcome) in enumerate(pairs):
        if not isinstance(outcome, Outcome):
            raise _BreachError(f"expected an Outcome for {phrase!r}, got {outcome!r}")
        if (outcome is Outcome.FOUND) != (index in named):
            has = "a region" if index in named else "no region"
            raise _BreachError(f"{phrase!r} is {outcome.value!r} but has {has}")

"""Is it there at all? A gate against detectors that always find something.

A detector of free text puts its best box somewhere, whatever was asked. A model of whole pictures
and captions knows less of places and more of absence; and what is a likeness of the thing can be
named and asked for along with it, to take its boxes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from groundplane.core.answer import Step
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, ShapeError, listing
from groundplane.core.regions import Regions
from groundplane.grounding.behind import BeforeDetector, ask_checked
from groundplane.grounding.joining import pick
from groundplane.grounding.near_pairs import BoxIndex, areas, shared_areas
from groundplane.grounding.result_merging import join_notes

__all__ = ["GuardedDetector", "PresenceGate", "apply_gate", "drop_likenesses"]


@runtime_checkable
class PresenceGate(Protocol):
    """Says how probable it is that things are in pictures, without saying where."""

    def presence(self, requests: Sequence[DetectRequest]) -> list[tuple[float, ...]]:
        """For each request the probability of each of its phrases, in [0, 1]."""
        ...


def apply_gate(result: DetectResult, presence: Sequence[float], *, least: float) -> DetectResult:
    """Take away what is found of phrases that are probably not in the picture at all.

    Such a phrase ends as none, with a note. Its candidates go too, so that `at` cannot bring back
    what the gate took; how probable it was stays in `presence`. What the expert cannot look for
    stays `cannot`.

    Args:
        result: What an expert found.
        presence: The probability of each phrase, in [0, 1]. Where the expert itself says one,
            the lower counts.
        least: The least probability of what is kept.

    Raises:
        ShapeError: If there is not one probability a phrase.
        InputError: If one is not in [0, 1].

    Examples:
        >>> regions = Regions(
        ...     ids=("r",),
        ...     boxes=torch.tensor([[0.0, 0, 8, 8]]),
        ...     scores=torch.tensor([0.6]),
        ...     phrases=("unicorn",),
        ...     phrase_ids=torch.tensor([0]),
        ...     image_size=(20, 20),
        ... )
        >>> seen = DetectResult(regions=regions, outcomes=(Outcome.FOUND,))
        >>> gated = apply_gate(seen, [0.02], least=0.1)
        >>> gated.outcomes[0].value, gated.note
        ('none', "judged absent, though the expert gave a box: 'unicorn' (0.020, expected 0.1)")
        >>> nothing = Regions.empty(phrases=(), image_size=(20, 20))
        >>> apply_gate(DetectResult(regions=nothing, outcomes=()), [], least=0.1).outcomes
        ()
    """
    phrases = result.regions.phrases
    if len(presence) != len(phrases):
        raise ShapeError(f"presence: {len(phrases)} phrases but {len(presence)} probabilities")
    if not all(0 <= probability <= 1 for probability in presence):  # NaN is not either
        raise InputError(f"presence: expected probabilities in [0, 1], got {tuple(presence)}")
    own = result.presence or (1.0,) * len(phrases)
    lower = tuple(min(float(a), b) for a, b in zip(presence, own, strict=True))
    absent = [i for i, probability in enumerate(lower) if probability < least]
    found = [i for i in absent if result.outcomes[i] is Outcome.FOUND]
    words = [f"{phrases[i]!r} ({lower[i]:.3f}, expected {least:g})" for i in found]
    note = f"judged absent, though the expert gave a box: {listing(words)}" if words else ""
    candidates = result.candidates
    return replace(
        result,
        regions=_without(result.regions, absent),
        candidates=None if candidates is None else _without(candidates, absent),
        outcomes=tuple(
            Outcome.NONE if i in found else outcome for i, outcome in enumerate(result.outcomes)
        ),
        presence=lower,
        uncounted=tuple(i for i in result.uncounted if i not in absent),
        note=join_notes([result.note, note]),
    )


def _without(regions: Regions, phrases: Sequence[int]) -> Regions:
    ids = regions.phrase_ids
    gone = torch.isin(ids, torch.tensor(list(phrases), dtype=ids.dtype, device=ids.device))
    return regions.select(~gone)


def drop_likenesses(result: DetectResult, *, num_asked: int, iou: float = 0.5) -> DetectResult:
    """Take away regions that answer a likeness better than what was asked for.

    Since it takes a higher score to drop a region, dropping and then thresholding is thresholding
    and then dropping, and `at` stays right.

    Args:
        result: About the phrases asked for, followed by those of the likenesses.
        num_asked: How many were asked for.
        iou: A region goes if a likeness of higher score overlaps it by more.

    Returns:
        A result about the phrases asked for.

    Raises:
        InputError: If there are fewer phrases than were asked for, or `iou` is not in [0, 1].
    """
    count = len(result.regions.phrases)
    if not 0 <= num_asked <= count or not 0 <= iou <= 1:
        raise InputError(
            f"likenesses: expected iou from 0 to 1 and {num_asked} phrases or more, got {iou} "
            f"and {count}"
        )
    regions, gone = _contested(result.regions, num_asked=num_asked, iou=iou)
    candidates = result.candidates
    if candidates is not None:
        candidates, _ = _contested(candidates, num_asked=num_asked, iou=iou)
    left = set(regions.phrase_ids.tolist())
    outcomes = tuple(
        Outcome.NONE if outcome is Outcome.FOUND and i not in left else outcome
        for i, outcome in enumerate(result.outcomes)
    )
    note = f"taken for a likeness: {listing(gone)}" if gone else ""
    narrowed = replace(
        result,
        regions=regions,
        candidates=candidates,
        outcomes=outcomes,
        note=join_notes([result.note, note]),
        uncounted=tuple(i for i in result.uncounted if i < num_asked),
    )
    return pick(narrowed, range(num_asked))


def _contested(regions: Regions, *, num_asked: int, iou: float) -> tuple[Regions, list[str]]:
    """The regions that no likeness beats, and what is to be said of the others."""
    columns = torch.cat([regions.boxes.double(), regions.scores.double()[:, None]], dim=1)
    host, ids = columns.cpu().numpy(), regions.phrase_ids.cpu().numpy()
    rivals = np.flatnonzero(ids >= num_asked)
    mine = np.flatnonzero((ids >= 0) & (ids < num_asked))
    boxes, scores = np.ascontiguousarray(host[:, :4]), host[:, 4]
    one_group = np.zeros(len(host), dtype=np.int64)
    beaten: dict[int, int] = {}
    index = BoxIndex(boxes[rivals], one_group[rivals])
    for asked, near in index.pairs(boxes[mine], one_group[mine], least=iou):
        a, b = mine[asked], rivals[near]
        shared = shared_areas(boxes[a], boxes[b])
        size = areas(boxes)
        lost = (shared > iou * (size[a] + size[b] - shared)) & (scores[b] > scores[a])
        beaten |= dict(zip(a[lost].tolist(), b[lost].tolist(), strict=True))
    words = regions.labels()
    said = dict.fromkeys(f"{words[a]!r} is rather {words[b]!r}" for a, b in sorted(beaten.items()))
    keep = torch.ones(len(regions), dtype=torch.bool)
    keep[list(beaten)] = False
    return regions.select(keep.to(regions.boxes.device)), list(said)


class GuardedDetector(BeforeDetector):
    """Asks a detector, and takes away what a gate or a likeness speaks against.

    Args:
        detector: The expert.
        gate: Judges whether phrases are in the picture at all; None for no gate.
        min_presence: The least probability of what is kept.
        negatives: Likenesses that are asked for along with the phrases, such as `statue`,
            `poster`; what answers one of them better is dropped. One that is asked for itself is
            no likeness in that request.
        iou: How much a likeness must overlap what it takes away.

    Raises:
        InputError: If a number is not in [0, 1], or there is neither a gate nor a negative.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        gate: PresenceGate | None = None,
        min_presence: float = 0.01,
        negatives: Sequence[str] = (),
        iou: float = 0.5,
    ) -> None:
        if gate is None and not negatives:
            raise InputError("guarded detector: expected a gate, or negatives, or both")
        if not 0 <= min_presence <= 1 or not 0 <= iou <= 1:
            raise InputError(
                f"guarded detector: expected min_presence and iou from 0 to 1, got "
                f"{min_presence} and {iou}"
            )
        super().__init__(detector)
        self._gate = gate
        self._min_presence, self._iou = min_presence, iou
        self._negatives = tuple(dict.fromkeys(negatives))

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order; the detector and the gate are asked once.

        Raises:
            DetectorError: If the detector or the gate gives another number of results, or one
                that is not well formed.
        """
        if not requests:
            return []
        asked = [self._extended(request) for request in requests]
        checked = ask_checked(self._detector, asked, who="guarded detector")
        results = [
            drop_likenesses(result, num_asked=len(request.phrases), iou=self._iou)
            for result, request in zip(checked, requests, strict=True)
        ]
        return results if self._gate is None else self._gated(requests, results, self._gate)

    def _gated(
        self, requests: Sequence[DetectRequest], results: list[DetectResult], gate: PresenceGate
    ) -> list[DetectResult]:
        presences = gate.presence(requests)
        if len(presences) != len(requests):
            raise DetectorError(
                f"guarded detector: the gate gave {len(presences)} results for "
                f"{len(requests)} requests"
            )
        try:
            gated = [
                apply_gate(result, presence, least=self._min_presence)
                for result, presence in zip(results, presences, strict=True)
            ]
        except (ShapeError, InputError) as error:
            raise DetectorError(f"guarded detector: the gate failed: {error}") from error
        return [replace(result, steps=(*result.steps, _step(result))) for result in gated]

    def _extended(self, request: DetectRequest) -> DetectRequest:
        """The request with the likenesses, at the lowest of its thresholds."""
        others = tuple(word for word in self._negatives if word not in request.phrases)
        if not others or not request.phrases:
            return request
        least, boxes = request.thresholds, request.exemplars
        return replace(
            request,
            phrases=(*request.phrases, *others),
            thresholds=None if least is None else (*least, *(min(least),) * len(others)),
            exemplars=None if boxes is None else (*boxes, *(None,) * len(others)),
        )


def _step(result: DetectResult) -> Step:
    pairs = zip(result.regions.phrases, result.presence or (), strict=True)
    words = listing([f"{phrase!r} {probability:.3f}" for phrase, probability in pairs])
    return Step(name="presence", detail=words)

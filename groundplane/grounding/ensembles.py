"""Several experts asked at once, and what they find merged."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from groundplane.core.answer import Step
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, GroundplaneError, InputError, listing
from groundplane.core.regions import Regions
from groundplane.core.workers import WorkerPool
from groundplane.grounding.deadlines import Job, run_all
from groundplane.grounding.experts import Expert, detect, lacks, vocabulary
from groundplane.grounding.joining import Part, combine, narrow
from groundplane.grounding.result_merging import Merging, join_notes, merge_results

__all__ = ["Ensemble"]

_PLAIN = Merging()
# Phrases that nobody can look for and that a note gives the reason of.
_MOST_UNKNOWN = 3


class Ensemble:
    """Asks experts side by side and merges what they find; a detector itself.

    A phrase is found if any expert finds it, none if one could look and none found it, and
    `cannot` if none could look. An expert that fails or is late is left out, the note says so by
    name and why; only where all fail the request fails. Safe to use from several threads.

    Args:
        experts: The members, each with a name of its own.
        merging: How regions that overlap become one.
        weights: How much each member's scores count; None: alike. See `merge_results`.
        deadline: Seconds that a member may take for a batch.

    Raises:
        InputError: If there is no member, two have one name, the weights are not as many, or the
            deadline is not above 0.

    Examples:
        >>> from groundplane.core.host import load
        >>> from groundplane.testing.detectors import make_image
        >>> import numpy as np
        >>> faces = Expert.of(load("detectors", "opencv", device="cpu"), name="opencv")
        >>> grey = make_image(np.full((40, 60, 3), 128, np.uint8))
        >>> [result] = Ensemble([faces]).detect([DetectRequest(image=grey, phrases=("face",))])
        >>> result.outcomes[0].value, result.note
        ('none', 'opencv: only upright frontal faces can be found')
        >>> Ensemble([faces]).detect([])
        []
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        *,
        merging: Merging = _PLAIN,
        weights: Sequence[float] | None = None,
        deadline: float = 60.0,
    ) -> None:
        names = [expert.name for expert in experts]
        if not names or len(set(names)) < len(names):
            raise InputError(
                f"ensemble: expected one expert or more, each with a name of its own, got "
                f"{listing(names)}"
            )
        if weights is not None and (
            len(weights) != len(names) or not all(0 < weight < math.inf for weight in weights)
        ):
            raise InputError(
                f"ensemble: expected {len(names)} weights above 0, one for each of "
                f"{listing(names)}, got {tuple(weights)}"
            )
        if not 0 < deadline < math.inf:
            raise InputError(f"ensemble: expected a deadline above 0 seconds, got {deadline}")
        self._experts = tuple(experts)
        self._merging = merging
        self._weights = (1.0,) * len(names) if weights is None else tuple(weights)
        self._deadline = deadline
        # Room for a member that hangs and for the requests of its batch that are tried alone.
        self._pool = WorkerPool(2 * len(names))

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """All words of the members; None if one takes any text."""
        known = [vocabulary(expert) for expert in self._experts]
        if any(words is None for words in known):
            return None
        return tuple(dict.fromkeys(word for words in known for word in words or ()))

    @property
    def capabilities(self) -> Capabilities:
        """What any member takes; masks if all give them; the sum of what they cost."""
        for expert in self._experts:
            expert.load()
        stated = [expert.capabilities for expert in self._experts if expert.capabilities]
        licences = dict.fromkeys(each.licence for each in stated if each.licence)
        return Capabilities(
            prompts=frozenset(prompt for each in stated for prompt in each.prompts),
            masks=all(each.masks for each in stated) and self._merging.method != "fuse",
            cost=sum(each.cost for each in stated),
            joint=any(each.joint for each in stated),
            licence=", ".join(licences),
        )

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If all members fail on a request.
        """
        if not requests:
            return []
        start = time.monotonic()
        plans = [_Plan.of(expert, requests) for expert in self._experts]
        jobs = [
            Job(
                who=plan.expert.who,
                requests=tuple(plan.asked),
                ask=partial(detect, plan.expert, end=start + self._deadline),
            )
            for plan in plans
        ]
        given = run_all(jobs, pool=self._pool, start=start, seconds=self._deadline)
        answers = [plan.told(found) for plan, found in zip(plans, given, strict=True)]
        return [
            self._merged(request, answered)
            for request, answered in zip(requests, zip(*answers, strict=True), strict=True)
        ]

    def _merged(self, request: DetectRequest, answers: Sequence[_Answer]) -> DetectResult:
        failures = [str(answer) for answer in answers if isinstance(answer, GroundplaneError)]
        if failures and all(
            answer is None or isinstance(answer, GroundplaneError) for answer in answers
        ):
            raise DetectorError(
                f"ensemble: every expert failed on {request.image.source.name!r}: "
                f"{'; '.join(failures)}"
            )
        rows = [
            (expert.name, weight, _blind(request) if answer is None else answer)
            for expert, weight, answer in zip(self._experts, self._weights, answers, strict=True)
            if not isinstance(answer, GroundplaneError)
        ]
        merged = merge_results(
            [answer for _, _, answer in rows],
            merging=self._merging,
            names=[name for name, _, _ in rows],
            weights=[weight for _, weight, _ in rows],
            thresholds=request.thresholds,
        )
        left_out = [f"left out, as it failed: {failure}" for failure in failures]
        counts = ", ".join(f"{name}: {len(answer.regions)}" for name, _, answer in rows)
        detail = f"regions of {counts}; {len(merged.regions)} after {self._merging.method}"
        return replace(
            merged,
            note=join_notes([*left_out, merged.note, self._unknown(merged)]),
            steps=(*merged.steps, Step(name="merge", detail=join_notes([detail, *left_out]))),
        )

    def _unknown(self, merged: DetectResult) -> str:
        """Why no member could look for some phrases."""
        said: list[str] = []
        for phrase, outcome in zip(merged.regions.phrases, merged.outcomes, strict=True):
            if outcome is Outcome.CANNOT and len(said) < _MOST_UNKNOWN:
                why = [(expert.name, _lack(expert, phrase)) for expert in self._experts]
                told = ", ".join(f"{name} {lack}" for name, lack in why if lack)
                said += [f"{phrase!r} cannot be looked for: {told}"] if told else []
        return "; ".join(said)


_Answer = DetectResult | GroundplaneError | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """What a member is asked: of each request the phrases that its words cover, if there are any.

    `places` says for each request which of those asked it is, and which phrases are in it; None
    where it is not asked. `fault` is why the member cannot be asked at all.
    """

    expert: Expert
    requests: tuple[DetectRequest, ...]
    asked: tuple[DetectRequest, ...] = ()
    places: tuple[tuple[int, tuple[int, ...]] | None, ...] = ()
    fault: GroundplaneError | None = None

    @classmethod
    def of(cls, expert: Expert, requests: Sequence[DetectRequest]) -> _Plan:
        asked: list[DetectRequest] = []
        places: list[tuple[int, tuple[int, ...]] | None] = []
        try:
            for request in requests:
                known = tuple(
                    i for i, phrase in enumerate(request.phrases) if not lacks(expert, phrase)
                )
                if request.phrases and not known:
                    places.append(None)
                    continue
                places.append((len(asked), known))
                asked.append(narrow(request, known))
        except GroundplaneError as fault:
            return cls(expert=expert, requests=tuple(requests), fault=fault)
        return cls(
            expert=expert, requests=tuple(requests), asked=tuple(asked), places=tuple(places)
        )

    def told(self, found: Sequence[DetectResult | GroundplaneError]) -> list[_Answer]:
        """The answers about the whole requests."""
        if self.fault is not None:
            return [self.fault] * len(self.requests)
        answers: list[_Answer] = []
        for request, place in zip(self.requests, self.places, strict=True):
            answer = None if place is None else found[place[0]]
            if place is not None and isinstance(answer, DetectResult):
                answer = _widened(answer, request, phrases=place[1], name=self.expert.name)
            answers.append(answer)
        return answers


def _widened(
    answer: DetectResult, request: DetectRequest, *, phrases: tuple[int, ...], name: str
) -> DetectResult:
    if len(phrases) == len(request.phrases):
        return answer
    part = Part(name=name, result=answer, phrases=phrases)
    return replace(combine(request, [part], note=""), steps=answer.steps)


def _blind(request: DetectRequest) -> DetectResult:
    """The answer of one that knows none of the words."""
    return DetectResult(
        regions=Regions.empty(phrases=request.phrases, image_size=request.image.size),
        outcomes=(Outcome.CANNOT,) * len(request.phrases),
    )


def _lack(expert: Expert, phrase: str) -> str:
    try:
        return lacks(expert, phrase)
    except GroundplaneError:
        return ""  # it is among those that failed, and named there

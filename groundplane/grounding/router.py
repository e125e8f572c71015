"""From what is to be found to the experts that can find it, and back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from torch import Tensor

from groundplane.core.capabilities import PromptKind
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import (
    DetectorError,
    GroundplaneError,
    InputError,
    ProtocolError,
    ShapeError,
    did_you_mean,
    listing,
)
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.session import Ground
from groundplane.core.workers import Call, WorkerPool
from groundplane.grounding.deadlines import Job, run_all
from groundplane.grounding.experts import Expert, detect, lacks, segment, vocabulary
from groundplane.grounding.installed import installed
from groundplane.grounding.joining import read_only
from groundplane.grounding.looks import Look, prompts_of
from groundplane.grounding.repeated_boxes import without_repeats
from groundplane.grounding.routing import Choice, Chooser, shortened

__all__ = ["Router", "Terms"]

Q = TypeVar("Q", DetectRequest, SegmentRequest)
A = TypeVar("A")

# Batches that run at a time where there is a deadline; threads that hang are replaced, up to
# four times this number.
_WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a router asks.

    Attributes:
        masks: Whether regions must carry masks; those that come without go to a segmenter.
        deadline: Seconds for all that is asked at a time; None for no limit, and then a call that
            hangs is the caller's to give up.
        batch: Requests that an expert gets at a time, after those about one picture were joined.

    Raises:
        InputError: If the deadline is not above 0 or the batch below 1.
    """

    masks: bool = False
    deadline: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        if self.deadline is not None and not 0 < self.deadline <= threading.TIMEOUT_MAX:
            raise InputError(f"router: expected a deadline above 0 seconds, got {self.deadline}")
        if self.batch < 1:
            raise InputError(f"router: expected a batch of at least 1, got {self.batch}")


_TERMS = Terms()
_NO_OPTIONS: Mapping[str, Mapping[str, object]] = {}


class Router:
    """Asks experts: each phrase goes to the cheapest that can look for it.

    A router is a detector and a segmenter itself, and resolves the `Ground` events of a language
    model. All that is asked at a time becomes few calls: one an expert and batch, in which requests
    about one picture are one. If a call fails, its requests are asked again in halves, so that a
    bad one fails alone, by name; no other expert covers up for it. Experts get pixels that they
    cannot write to, and what they return is checked before anyone sees it. Safe to use from
    several threads.

    Args:
        experts: The experts; among those of one cost the first is asked first.
        segmenters: Who makes masks, where they are wanted.
        terms: See `Terms`.

    Raises:
        InputError: If there is no expert, or two have one name.

    Examples:
        >>> from groundplane.core.host import load
        >>> from groundplane.testing.detectors import make_image
        >>> import numpy as np
        >>> router = Router.of(load("detectors", "opencv", device="cpu"), name="opencv")
        >>> grey = make_image(np.full((40, 60, 3), 128, np.uint8))
        >>> [result] = router.detect([DetectRequest(image=grey, phrases=("face", "sofa"))])
        >>> [outcome.value for outcome in result.outcomes]
        ['none', 'cannot']
        >>> router.detect([])
        []
    """

    def __init__(
        self, experts: Sequence[Expert], *, segmenters: Sequence[Expert] = (), terms: Terms = _TERMS
    ) -> None:
        for kind, given in (("detector", experts), ("segmenter", segmenters)):
            names = [expert.name for expert in given]
            if len(set(names)) < len(names):
                raise InputError(f"router: two {kind}s of one name among {listing(names)}")
            strange = [expert.who for expert in given if expert.kind != kind]
            if strange:
                raise InputError(f"router: expected {kind}s, got {listing(strange)}")
        if not experts and not segmenters:
            raise InputError("router: expected at least one expert")
        self._terms = terms
        self._pool = WorkerPool(_WORKERS)
        self._segmenters = Chooser(segmenters)
        cutters = [one for one in self._segmenters.line if _takes_boxes(one)]
        self._detectors = Chooser(
            experts,
            masks=terms.masks,
            mask_cost=cutters[0].cost if cutters else None,
        )

    @classmethod
    def of(cls, detector: Detector, *, name: str = "", terms: Terms = _TERMS) -> Router:
        """The router of one detector that is made already."""
        return cls([Expert.of(detector, name=name)], terms=terms)

    @classmethod
    def from_installed(
        cls,
        names: Sequence[str] | None = None,
        *,
        segmenters: Sequence[str] | None = None,
        options: Mapping[str, Mapping[str, object]] = _NO_OPTIONS,
        device: str = "auto",
        terms: Terms = _TERMS,
    ) -> Router:
        """The router over installed plugins, each made when it is first needed.

        Args:
            names: The detectors to choose among; None for all that are installed. A single one
                is made at once.
            segmenters: The segmenters to choose among; None for all that are installed.
            options: Plugin name to its options.
            device: Where the experts run.
            terms: See `Terms`.

        Raises:
            PluginNotFoundError: If a named plugin is not installed.
            InputError: If the options of a named plugin, or of one that options are given for,
                cannot be made, or options are given for one that does not take part.
            PluginBrokenError: If a named plugin cannot be imported, or the single one be made.
        """
        detectors = installed("detectors", names, options=options, device=device)
        cutters = installed("segmenters", segmenters, options=options, device=device)
        taking = [expert.name for expert in (*detectors, *cutters)]
        if strange := [name for name in options if name not in taking]:
            raise InputError(
                f"router: options for {strange[0]!r}, which does not take part; those that do: "
                f"{listing(taking)}.{did_you_mean(strange[0], taking)}"
            )
        return cls(detectors, segmenters=cutters, terms=terms)

    @property
    def who(self) -> str:
        """What messages call it: its expert, where it has one alone."""
        line = self._detectors.line or self._segmenters.line
        if len(line) == 1:
            return line[0].who
        return f"router over {listing([expert.name for expert in line], limit=4)}"

    @property
    def stuck(self) -> int:
        """How many calls were given up and have not come back; see `WorkerPool.lost`."""
        return self._pool.lost

    @property
    def largest(self) -> int | None:
        """The most pictures at a time that are worth trying; see `Expert.largest`."""
        line = (*self._detectors.line, *self._segmenters.line)
        known = [expert.largest for expert in line if expert.largest is not None]
        return min(known, default=None)

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words that its experts can look for; None if one of them takes any text.

        Experts of few words are made for it; one that cannot be made adds nothing.

        Raises:
            DetectorError: If its only expert cannot say what it knows.
        """
        line, words = self._detectors.line, dict[str, None]()
        for expert in line:
            able = expert.capabilities
            if able is not None and able.prompts & {"text", "vocabulary"} == {"text"}:
                return None
            try:
                known = vocabulary(expert)
            except GroundplaneError:
                if len(line) == 1:
                    raise
                continue  # whoever asks for a word is told why this one was passed over
            if known is None:
                return None
            words |= dict.fromkeys(known)
        return tuple(words)

    def resolve(self, calls: Sequence[Call]) -> list[DetectResult | Exception]:
        """Answer a language model's calls; `Router` is a `Resolver` of `Ground` events.

        Returns:
            One a call, in order: what was found, or the error that this call alone ends with
            (`InputError` if the prompt has no such image, `DetectorError` if an expert failed).
        """
        asked = [_request_of(call) for call in calls]
        answers = iter(self.answer([one for one in asked if isinstance(one, DetectRequest)]))
        return [next(answers) if isinstance(one, DetectRequest) else one for one in asked]

    def prefetch(self, images: Sequence[Image]) -> None:
        """Have the expert that will be asked first encode pictures, while nobody waits for it.

        That is the cheapest that takes any text. One that cannot look ahead does nothing.

        Raises:
            GroundplaneError: If it cannot be made; whoever asks it for something is told again.
        """
        free = (
            one
            for one in self._detectors.line
            if one.capabilities is not None and "text" in one.capabilities.prompts
        )
        first = next(free, None)
        ahead = None if first is None else getattr(first.load(), "prefetch", None)
        if callable(ahead):
            ahead(images)

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order; `Router` is a `Detector`.

        Raises:
            DetectorError: What the first request that failed ends with; see `answer`.
        """
        return [_or_raised(answer) for answer in self.answer(requests)]

    def answer(
        self, requests: Sequence[DetectRequest], *, bare: bool = False
    ) -> list[DetectResult | GroundplaneError]:
        """Answer each request, in order, those that fail with their error.

        Each phrase ends as `found`, `none` (an expert looked and saw none) or `cannot` (no expert
        can look for it). The answer's `steps` tell who was asked for what, who was passed over
        and why. Masks are made for regions, not for the low `candidates`.

        Args:
            requests: What to look for.
            bare: Leave regions that come without masks as they are, for `answer_masks`.
        """
        start = time.monotonic()
        looks = [Look(request) for request in requests]
        make = partial(self._make, start=start)
        while asks := [
            (expert, look, indices)
            for look in looks
            for expert, indices in look.assign(self._detectors, make).items()
        ]:
            asked = [(expert, look.ask(indices)) for expert, look, indices in asks]
            for (expert, look, indices), answer in zip(
                asks, self._ask(asked, detect, start=start), strict=True
            ):
                last = len(self._detectors.line)
                look.take(indices, answer, name=expert.name, last=last)
        if self._terms.masks and not bare:
            self._add_masks(looks, start=start)
        return [look.result() for look in looks]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Regions]:
        """Answer each request, in order; `Router` is a `Segmenter`.

        Raises:
            DetectorError: What the first request that failed ends with, or that no segmenter
                takes its prompts.
        """
        return [_or_raised(answer) for answer in self.answer_masks(requests)]

    def answer_masks(self, requests: Sequence[SegmentRequest]) -> list[Regions | GroundplaneError]:
        """Like `segment`, but those that fail come with their error."""
        start = time.monotonic()
        return [answer for _, answer in self._segmented(requests, start=start)]

    def ready(self, phrases: Sequence[tuple[str, PromptKind]]) -> dict[str, str]:
        """Make the experts that phrases would go to, before anything is asked; no deadline.

        Args:
            phrases: Each with what it will be asked by: `text` or `exemplar`.

        Returns:
            The phrases that nobody can look for, and why.

        Raises:
            DetectorError: If an expert cannot say what it knows, or masks are wanted and none of
                the segmenters can make them.
        """
        make = partial(self._make, start=None)
        lost = {}
        for phrase, prompt in phrases:
            choice = Choice()
            self._detectors.go_on(choice, phrase, {prompt}, make=make)
            if choice.expert is None:
                told = sorted(choice.passed, key=lambda one: not one.ready)
                reasons = [f"{one.expert.name} {one.why}" for one in told]
                lost[phrase] = listing(reasons, limit=3, empty="there is no expert")
            elif why := lacks(choice.expert, phrase):  # one without a rival is not asked by `go_on`
                lost[phrase] = f"{choice.expert.name} {why}"
        if self._terms.masks and self._segmenters.line:
            cutter = self._segmenter_for(frozenset({"box"}), start=None)
            if isinstance(cutter, DetectorError):
                raise cutter
        return lost

    def _add_masks(self, looks: Sequence[Look], *, start: float) -> None:
        bare = [(look, *one) for look in looks if look.error is None for one in look.unmasked()]
        answers = self._segmented([request for _, _, request in bare], start=start)
        for (look, place, _), (who, answer) in zip(bare, answers, strict=True):
            look.take_masks(place, answer, who=who)

    def _segmented(
        self, requests: Sequence[SegmentRequest], *, start: float
    ) -> list[tuple[str, Regions | GroundplaneError]]:
        """For each request who answered it, and the answer."""
        ways: dict[frozenset[PromptKind], Expert | DetectorError] = {}
        for request in requests:
            prompts = prompts_of(request)
            if prompts not in ways:
                ways[prompts] = self._segmenter_for(prompts, start=start)
        chosen = [ways[prompts_of(request)] for request in requests]
        once = [without_repeats(request) for request in requests]
        asks = [
            (expert, replace(one.request, image=read_only(one.request.image)))
            for expert, one in zip(chosen, once, strict=True)
            if isinstance(expert, Expert)
        ]
        answers = iter(self._ask(asks, segment, start=start))
        done: list[tuple[str, Regions | GroundplaneError]] = []
        for expert, one in zip(chosen, once, strict=True):
            if not isinstance(expert, Expert):
                done.append(("nobody", expert))
                continue
            answer = next(answers)
            whole = one.spread(answer) if isinstance(answer, Regions) else answer
            done.append((expert.who, whole))
        return done

    def _segmenter_for(
        self, prompts: frozenset[PromptKind], *, start: float | None
    ) -> Expert | DetectorError:
        choice = Choice()
        try:
            make = partial(self._make, start=start)
            self._segmenters.go_on(choice, None, prompts, make=make)
        except DetectorError as late:
            return late
        if choice.expert is not None:
            return choice.expert
        why = "; ".join(f"{passed.expert.name} {passed.why}" for passed in choice.passed)
        return DetectorError(
            f"no segmenter can make masks from a {listing(sorted(prompts))} prompt: "
            f"{why or 'none is there'}"
        )

    def _ask(
        self,
        asks: Sequence[tuple[Expert, Q]],
        verb: Callable[..., Sequence[A | GroundplaneError]],
        *,
        start: float,
    ) -> list[A | GroundplaneError]:
        """Ask each expert its requests in few calls; the answers in the order of `asks`."""
        deadline = self._terms.deadline
        end = math.inf if deadline is None else start + deadline
        by_expert: dict[Expert, list[int]] = {}
        for row, (expert, _) in enumerate(asks):
            by_expert.setdefault(expert, []).append(row)
        batches: list[list[int]] = []
        jobs: list[Job[Q, A]] = []
        for expert, rows in by_expert.items():
            for batch in _batches(rows, [asks[row][1].image for row in rows], self._terms.batch):
                batches.append(batch)
                requests = tuple(asks[row][1] for row in batch)
                ask = partial(verb, expert, end=end)
                jobs.append(Job(who=expert.who, requests=requests, ask=ask))
        given: dict[int, A | GroundplaneError] = {}
        done = run_all(jobs, pool=self._pool, start=start, seconds=deadline)
        for batch, answers in zip(batches, done, strict=True):
            given |= dict(zip(batch, answers, strict=True))
        return [given[row] for row in range(len(asks))]

    def _make(self, expert: Expert, *, start: float | None) -> str:
        """Make an expert if it is not made yet; why it cannot be, or nothing.

        The deadline counts from `start`; None for as long as it takes.

        Raises:
            DetectorError: If it takes longer than there is time.
        """
        job = Job(who=expert.who, requests=(expert,), ask=_load)
        # Making may hang as well; what is made already is at hand.
        seconds = None if expert.made or start is None else self._terms.deadline
        [[made]] = run_all([job], pool=self._pool, start=start or 0.0, seconds=seconds)
        if not isinstance(made, GroundplaneError):
            return ""
        if not expert.made:
            raise made  # the time is over: nobody else can be asked either
        return shortened(str(made).removeprefix(expert.who).lstrip(": "))


def _load(experts: Sequence[Expert]) -> list[str | GroundplaneError]:
    try:
        for expert in experts:
            expert.load()
    except GroundplaneError as error:
        return [error]
    return [""]


def _batches(rows: Sequence[int], images: Sequence[Image], most: int) -> Iterator[list[int]]:
    """Rows in batches of at most so many pictures; those about one picture stay together."""
    pictures: dict[tuple[str, str], list[int]] = {}
    for row, image in zip(rows, images, strict=True):
        pictures.setdefault((image.source.content_hash, image.source.name), []).append(row)
    groups = list(pictures.values())
    for begin in range(0, len(groups), most):
        yield list(chain(*groups[begin : begin + most]))


def _request_of(call: Call) -> DetectRequest | GroundplaneError:
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
    try:
        return DetectRequest(
            image=images[event.image], phrases=tuple(event.phrases), embeddings=_states(event)
        )
    except (InputError, ShapeError) as error:
        return error


def _states(event: Ground) -> tuple[Tensor | None, ...] | None:
    if event.embedding is None:
        return None
    if len(event.phrases) != 1 or not isinstance(event.embedding, Tensor):
        raise InputError(
            f"request {event.request!r}: expected one phrase and a tensor as its embedding, got "
            f"{len(event.phrases)} phrases and {type(event.embedding).__name__}"
        )
    return (event.embedding,)


def _takes_boxes(expert: Expert) -> bool:
    able = expert.capabilities
    return able is None or "box" in able.prompts


def _or_raised(answer: A | GroundplaneError) -> A:
    if isinstance(answer, GroundplaneError):
        raise answer
    return answer

"""Experts behind their names: made when first needed, asked in batches, trusted in nothing."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import DetectorError, GroundplaneError, InputError
from groundplane.core.regions import Regions
from groundplane.core.segmentation import Segmenter, SegmentRequest
from groundplane.grounding.careful import Attempt, ask_once, halve, in_halves, ran_out_of_memory
from groundplane.grounding.checking import check_masks, check_result
from groundplane.grounding.joining import Joined, join, pick
from groundplane.grounding.vocabulary import known_words, look_up

__all__ = ["Expert", "detect", "lacks", "segment", "vocabulary"]

Kind = Literal["detector", "segmenter"]


class Expert:
    """A detector or segmenter behind its name.

    Args:
        name: What messages call it: the plugin's name.
        make: Makes the instance; called once, when it is first needed.
        capabilities: What it can be asked, if that is known before it is made.
        kind: What it is.

    Attributes:
        name: As given.
        kind: As given.
        who: Both, such as `detector 'owlv2'`.
        largest: The most requests at a time that are worth trying, once more of them ran out of
            memory; None before that.

    Examples:
        >>> from groundplane.core.host import load
        >>> expert = Expert("opencv", lambda: load("detectors", "opencv", device="cpu"))
        >>> expert.made, vocabulary(expert), lacks(expert, "sofa")
        (False, ('face', 'eye'), 'knows: face, eye')
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        *,
        capabilities: Capabilities | None = None,
        kind: Kind = "detector",
    ) -> None:
        self.name = name
        self.kind = kind
        self.who = f"{kind} {name!r}"
        self.largest: int | None = None
        self._make = make
        self._stated = capabilities
        self._lock = threading.Lock()
        self._instance: Any = None
        self._fault: GroundplaneError | None = None

    @classmethod
    def of(cls, instance: Detector | Segmenter, *, name: str = "") -> Expert:
        """One that is made already; called by its class where it is not named.

        Raises:
            InputError: If it is neither a detector nor a segmenter.
        """
        kinds = [kind for kind, verb in _VERBS.items() if callable(getattr(instance, verb, None))]
        if not kinds:
            raise InputError(
                "expert: expected an object with `vocabulary` and `detect`, or with `segment`, "
                f"got {type(instance).__name__}"
            )
        stated = getattr(instance, "capabilities", None)
        return cls(
            name or type(instance).__name__,
            lambda: instance,
            capabilities=stated if isinstance(stated, Capabilities) else None,
            kind=kinds[0],
        )

    def failed(self, count: int, error: DetectorError) -> None:
        """So many requests failed together; remembered where it was for want of memory."""
        if count > 1 and ran_out_of_memory(error.__cause__):
            self.largest = min(self.largest or count, count // 2)

    @property
    def made(self) -> bool:
        """Whether it was made, or failed to be."""
        return self._instance is not None or self._fault is not None

    @property
    def capabilities(self) -> Capabilities | None:
        """What it can be asked; None while it states nothing and is not made."""
        return self._stated

    @property
    def cost(self) -> float:
        """Of a look, in billions of operations; infinite where that is not known."""
        return math.inf if self._stated is None else self._stated.cost

    def load(self) -> Any:
        """The instance, made at the first call.

        Raises:
            GroundplaneError: If it cannot be made; the same error at each call.
        """
        with self._lock:
            if self._fault is not None:
                raise self._fault
            if self._instance is None:
                try:
                    instance = self._make()
                    self._stated = self._found_out(instance)
                except GroundplaneError as error:
                    self._fault = error
                    raise
                self._instance = instance
            return self._instance

    def _found_out(self, instance: Any) -> Capabilities:
        told = getattr(instance, "capabilities", None)
        if isinstance(told, Capabilities):
            return told  # what it says with its options counts, not what its class says
        if self._stated is not None:
            return self._stated
        if self.kind == "segmenter":
            return Capabilities(prompts=frozenset({"box"}), masks=True, cost=math.inf)
        free = _words_of(instance, who=self.who) is None
        return Capabilities(prompts=frozenset({"text" if free else "vocabulary"}), cost=math.inf)


_VERBS: dict[Kind, str] = {"detector": "detect", "segmenter": "segment"}


def vocabulary(expert: Expert) -> tuple[str, ...] | None:
    """The words that a detector can look for; None if it takes any text.

    Raises:
        DetectorError: If it cannot say, or says something else.
        GroundplaneError: If it cannot be made.
    """
    return _words_of(expert.load(), who=expert.who)


def lacks(expert: Expert, phrase: str) -> str:
    """Why a detector's words do not cover a phrase; nothing if they do, or it takes any text.

    Raises:
        GroundplaneError: As for `vocabulary`.
    """
    words = vocabulary(expert)
    return "" if words is None else _lack(phrase, words)


def detect(
    expert: Expert, requests: Sequence[DetectRequest], *, end: float = math.inf
) -> list[DetectResult | DetectorError]:
    """Ask a detector, requests about one picture as one.

    Args:
        expert: The detector.
        requests: What to look for.
        end: Time of `time.monotonic` from which on a failed request is not asked again.

    Returns:
        One a request, in order: the answer, or the error that it alone ends with.

    Raises:
        GroundplaneError: If it cannot be made.
    """
    ask = expert.load().detect

    able = expert.capabilities
    joint = able is not None and able.joint

    def attempt(batch: Sequence[DetectRequest]) -> Attempt[DetectResult]:
        return _attempt(batch, join(batch, alike=joint), ask, expert=expert)

    return in_halves(requests, attempt, who=expert.who, end=end)


def segment(
    expert: Expert, requests: Sequence[SegmentRequest], *, end: float = math.inf
) -> list[Regions | DetectorError]:
    """Ask a segmenter; see `detect`."""
    ask = expert.load().segment

    def attempt(batch: Sequence[SegmentRequest]) -> Attempt[Regions]:
        try:
            return Attempt(answers=ask_once(batch, ask, check_masks, who=expert.who), halves=[])
        except DetectorError as error:
            expert.failed(len(batch), error)
            rows = [[row] for row in range(len(batch))]
            return Attempt(answers=[error] * len(batch), halves=halve(rows))

    return in_halves(requests, attempt, who=expert.who, end=end)


def _attempt(
    requests: Sequence[DetectRequest],
    joined: Joined,
    ask: Callable[[list[DetectRequest]], object],
    *,
    expert: Expert,
) -> Attempt[DetectResult]:
    # Those who ask the very same of the same picture stand and fall together.
    same: dict[tuple[int, frozenset[int]], list[int]] = {}
    for row, (index, places) in enumerate(joined.places):
        same.setdefault((index, frozenset(places)), []).append(row)
    try:
        given = ask_once(joined.requests, ask, check_result, who=expert.who)
    except DetectorError as error:
        expert.failed(len(joined.requests), error)
        return Attempt(answers=[error] * len(requests), halves=halve([*same.values()]))
    answers: list[DetectResult | DetectorError] = []
    for index, places in joined.places:
        result = given[index]
        answers.append(pick(result, places) if isinstance(result, DetectResult) else result)
    halves = []
    for index, result in enumerate(given):
        if isinstance(result, DetectorError):
            halves += halve([rows for (where, _), rows in same.items() if where == index])
    return Attempt(answers=answers, halves=halves)


def _words_of(detector: Any, *, who: str) -> tuple[str, ...] | None:
    try:
        words: object = detector.vocabulary
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise DetectorError(f"{who} failed to say what it knows: {why}") from error
    if words is None:
        return None
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        got = type(words).__name__
        raise DetectorError(
            f"{who} broke its contract: expected a vocabulary of None or a tuple of words, got "
            f"{'a tuple with other things' if isinstance(words, tuple) else got}"
        )
    return words


@functools.lru_cache(maxsize=4096)
def _lack(phrase: str, words: tuple[str, ...]) -> str:
    labels, note = look_up(phrase, words)
    if labels:
        return ""
    if "cannot check" in note:
        return note.removeprefix("this expert ")
    return f"knows: {known_words(phrase, words)}"

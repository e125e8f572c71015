"""What becomes of one request while its phrases are on their way along the experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from groundplane.core.answer import Step
from groundplane.core.capabilities import PromptKind
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, GroundplaneError
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.grounding.experts import Expert
from groundplane.grounding.joining import Part, combine, narrow, pick, read_only
from groundplane.grounding.result_merging import join_notes
from groundplane.grounding.routing import (
    Choice,
    Chooser,
    Maker,
    cannot_find,
    chosen_steps,
    shortened,
)

__all__ = ["Look", "prompts_of"]


@dataclass(slots=True, eq=False)
class Look:
    """One request: who is asked for each phrase, and what was found so far.

    Attributes:
        request: What was asked.
        choices: The way of each phrase.
        open: Indices of the phrases without an answer.
        parts: What the experts found.
        steps: What was done besides choosing, for the trace.
        error: Why the request failed, or None.
        worded: Indices of the phrases with an embedding that no expert takes: they are looked for
            by their words.
    """

    request: DetectRequest
    choices: list[Choice] = field(init=False)
    open: list[int] = field(init=False)
    parts: list[Part] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    error: GroundplaneError | None = None
    worded: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.choices = [Choice() for _ in self.request.phrases]
        self.open = list(range(len(self.choices)))

    def assign(self, chooser: Chooser, make: Maker) -> dict[Expert, tuple[int, ...]]:
        """Find the next expert for each open phrase; one that has none left is closed.

        If there is no time to make an expert, the request has failed.
        """
        asked: dict[Expert, list[int]] = {}
        still = []
        for index in self.open if self.error is None else ():
            choice = self.choices[index]
            try:
                self._go_on(index, chooser, make)
            except DetectorError as late:
                self.error = late
                return {}
            if choice.expert is not None:
                asked.setdefault(choice.expert, []).append(index)
                still.append(index)
        self.open = still
        return {expert: tuple(indices) for expert, indices in asked.items()}

    def _go_on(self, index: int, chooser: Chooser, make: Maker) -> None:
        """Find the next expert for a phrase: by its embedding first, then by box or words."""
        choice, phrase = self.choices[index], self.request.phrases[index]
        state = self._state(index)
        if state is not None:
            chooser.go_on(choice, None, {"embedding"}, make=make, width=len(state))
            if choice.expert is not None:
                return
            self.worded.add(index)
            if not phrase.strip():
                return  # there are no words to ask for
            choice.next = 0
        boxes = self.request.exemplars
        prompt: PromptKind = "exemplar" if boxes and boxes[index] is not None else "text"
        chooser.go_on(choice, phrase, {prompt}, make=make)

    def _state(self, index: int) -> Tensor | None:
        """The embedding that a phrase is asked with; None where it is asked otherwise."""
        states = self.request.embeddings
        return None if states is None or index in self.worded else states[index]

    def ask(self, indices: Sequence[int]) -> DetectRequest:
        """What an expert is asked for these phrases."""
        if self.request.embeddings is None:
            return narrow(self.request, indices)
        states = tuple(self._state(index) for index in range(len(self.request.phrases)))
        kept = states if any(state is not None for state in states) else None
        return narrow(replace(self.request, embeddings=kept), indices)

    def take(
        self,
        indices: Sequence[int],
        answer: DetectResult | GroundplaneError,
        *,
        name: str,
        last: int,
    ) -> None:
        """Take in an expert's answer.

        Args:
            indices: The phrases that it is about.
            answer: The answer, or why there is none; then the whole request has failed.
            name: The expert's name.
            last: How many experts there are: a phrase that the last one cannot look for ends so.
        """
        if isinstance(answer, GroundplaneError):
            self.error = self.error or answer
            return
        kept = []
        for place, index in enumerate(indices):
            choice = self.choices[index]
            others = choice.next < last or self._state(index) is not None
            if answer.outcomes[place] is Outcome.CANNOT and others:
                note = answer.note.removeprefix("this expert ")
                choice.refuse(note or "cannot look for it")
            else:
                kept.append(place)
                self.open.remove(index)
        if kept:
            phrases = tuple(indices[place] for place in kept)
            self.parts.append(Part(name=name, result=pick(answer, kept), phrases=phrases))

    def unmasked(self) -> list[tuple[int, SegmentRequest]]:
        """The parts whose regions have no masks, and what a segmenter is asked for each."""
        image = read_only(self.request.image)
        return [
            (place, SegmentRequest(image=image, boxes=part.result.regions.boxes))
            for place, part in enumerate(self.parts)
            if len(part.result.regions) and part.result.regions.masks is None
        ]

    def take_masks(self, place: int, answer: Regions | GroundplaneError, *, who: str) -> None:
        """Take in a segmenter's answer about a part."""
        if isinstance(answer, GroundplaneError):
            self.error = self.error or answer
            return
        part = self.parts[place]
        regions = replace(part.result.regions, masks=answer.masks)
        self.parts[place] = replace(part, result=replace(part.result, regions=regions))
        self.steps.append(Step(name="route", detail=f"{len(answer)} boxes to {who} for masks"))

    def result(self) -> DetectResult | GroundplaneError:
        """What the request ends with."""
        if self.error is not None:
            return self.error
        phrases = self.request.phrases
        own = [step for part in self.parts for step in part.result.steps]
        chosen = chosen_steps([*zip(phrases, self.choices, strict=True)])
        steps = (*chosen, *self._told_states(), *self.steps, *own)
        if len(self.parts) == 1 and self.parts[0].phrases == tuple(range(len(phrases))):
            return replace(self.parts[0].result, steps=steps)
        lost = [i for i, choice in enumerate(self.choices) if choice.expert is None]
        note = join_notes(cannot_find(phrases[i], self.choices[i]) for i in lost)
        return replace(combine(self.request, self.parts, note=note), steps=steps)

    def _told_states(self) -> list[Step]:
        """Which phrases were asked with their embeddings, and which could not be."""
        told = []
        for index, state in enumerate(self.request.embeddings or ()):
            if state is None:
                continue
            phrase = shortened(self.request.phrases[index])
            if index not in self.worded:
                told.append(Step(name="by state", detail=f"{phrase!r}: {len(state)} numbers"))
            elif phrase.strip():
                why = f"no expert takes a state of {len(state)} numbers"
                told.append(Step(name="by words", detail=f"{phrase!r}: {why}"))
        return told


def prompts_of(request: SegmentRequest) -> frozenset[PromptKind]:
    """The kinds of prompt that a request to a segmenter holds."""
    given: dict[PromptKind, object] = {
        "box": request.boxes,
        "point": request.points,
        "embedding": request.embeddings,
    }
    return frozenset(kind for kind, prompt in given.items() if prompt is not None)

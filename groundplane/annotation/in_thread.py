"""Experts in this process: for those that are handed over as objects, and within a worker.

Whatever an expert raises, returns or waits for fails one picture. Only where three or more of a
batch hang at once, others of the batch may be late with them. What ends the process itself, such as
a crash in compiled code, ends the run. A plugin that is named runs in a process of its own instead,
where neither is so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from groundplane.annotation.captions import Captioner
from groundplane.annotation.found import Answered, Rows, outcomes_of, rows_of
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import LookTerms, failed_record, image_of
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord, Attribute
from groundplane.core.capabilities import PromptKind
from groundplane.core.cutting import cut_out
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import DetectorError, GroundplaneError, InputError, listing
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.core.segmentation import SegmentRequest
from groundplane.core.session import LanguageModel
from groundplane.grounding.result_merging import join_notes
from groundplane.grounding.router import Terms
from groundplane.grounding.setup import make_router

__all__ = ["STAGES", "STUCK", "ThreadLooker"]

STAGES = ("detect", "segment", "caption")
# Calls that were given up and hang in a thread each; a router can have twice as many.
STUCK = 8

_TERMS = LookTerms()
Box = tuple[float, float, float, float]


@dataclass(slots=True, eq=False)
class _Look:
    """A picture, and how far its look has come."""

    picture: Picture
    image: Image
    answers: list[Answered] = field(default_factory=list)
    rows: Rows | None = None
    failure: tuple[str, str] | None = None
    caption: str = ""
    attributes: tuple[Mapping[str, Attribute], ...] = ()
    notes: list[str] = field(default_factory=list)

    def fail(self, stage: str, error: object) -> None:
        self.failure = self.failure or (stage, str(error))


class ThreadLooker:
    """Looks at pictures with experts of this process; it is a `Looker`.

    Args:
        spec: What is looked for, and by whom.
        terms: On what terms; `memory` and `deaths` do not count here.
        detector: The detector itself, where it is made already; else `spec` names it.
        captioner: Likewise, the language model.
        on_stage: Told the name of each stage as it begins.

    Raises:
        PluginNotFoundError, PluginBrokenError, InputError: If an expert cannot be made, or nobody
            can look for any of the prompts.
        DetectorError: If an expert cannot say what it knows.

    Examples:
        >>> import numpy as np
        >>> from groundplane.core.annotation import AnnotationPrompt, ClassTable
        >>> face = AnnotationPrompt(text="face", class_id=0)
        >>> classes = ClassTable(names=("face",), prompts=(face,))
        >>> spec = JobSpec(source="photos", classes=classes, detector="opencv")
        >>> looker = ThreadLooker(spec, terms=LookTerms(device="cpu"))
        >>> grey = Picture(path="a.png", content_hash="0", pixels=np.zeros((40, 60, 3), np.uint8))
        >>> [record] = looker.look([grey])
        >>> record.status, record.outcomes, len(record.regions)
        ('done', ('none',), 0)
        >>> looker.look([])
        []
    """

    def __init__(
        self,
        spec: JobSpec,
        *,
        terms: LookTerms = _TERMS,
        detector: Detector | None = None,
        captioner: LanguageModel | None = None,
        on_stage: Callable[[str], None] | None = None,
    ) -> None:
        self._spec = spec
        self._terms = terms
        self._on_stage = on_stage
        self._process = os.getpid()
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._masks = spec.segmenter is not None
        self._source = _source(spec, detector)
        self._exemplars: dict[str, dict[str, Box]] = {}
        for path, prompt, box in spec.exemplars:
            self._exemplars.setdefault(path, {})[prompt] = box
        self._router = make_router(
            spec.detector if detector is None else detector,
            segmenter=spec.segmenter,
            options=dict(spec.options),
            device=terms.device,
            terms=Terms(masks=self._masks, deadline=terms.deadline),
        )
        self._lacking = self._find_lacking()
        self._captioner = self._make_captioner(captioner)

    @property
    def who(self) -> str:
        """What messages call those who detect."""
        return self._router.who

    @property
    def seconds(self) -> Mapping[str, float]:
        """What each stage has taken so far."""
        return dict(self._seconds)

    @property
    def lacking(self) -> Mapping[str, str]:
        """The prompts that no expert can look for, and why; they are never asked for by words."""
        return dict(self._lacking)

    @property
    def largest(self) -> int | None:
        """The most pictures at a time that are worth trying, once memory ran out; else None."""
        return self._router.largest

    @property
    def stuck(self) -> int:
        """How many calls were given up and hang in a thread each."""
        return self._router.stuck

    def look(self, pictures: Sequence[Picture], *, captions: bool = True) -> list[AnnotationRecord]:
        """One record a picture, in order; the fault of a picture is its record's failure.

        Args:
            pictures: The pictures.
            captions: Whether a language model that is given describes them.

        Raises:
            DetectorError: If so many calls hang that others would be refused.
        """
        if self.stuck >= STUCK:
            raise DetectorError(
                f"{self._router.who}: {self.stuck} calls hang, each in a thread that cannot be "
                "ended. Try: name an installed plugin, which gets a process of its own"
            )
        looks = [_Look(picture=one, image=image_of(self._own(one))) for one in pictures]
        with self._stage("detect"):
            self._detect(looks)
        if self._masks:
            with self._stage("segment"):
                self._segment(looks)
        if self._captioner is not None and captions:
            with self._stage("caption"):
                self._describe(looks, self._captioner)
        return [self._record(look) for look in looks]

    def close(self) -> None:
        """Let go of the experts."""
        # Their threads end once nobody uses the router; a hanging one ends with the process.

    # Making -----------------------------------------------------------------------------------

    def _find_lacking(self) -> dict[str, str]:
        prompts = [prompt.text for prompt in self._spec.classes.prompts]
        lost = self._router.ready([(text, "text") for text in prompts])
        shown = {prompt for boxes in self._exemplars.values() for prompt in boxes}
        by_box: list[tuple[str, PromptKind]] = [
            (text, "exemplar") for text in lost if text in shown
        ]
        unseen = self._router.ready(by_box)
        lost_both = [text for text in lost if text not in shown or text in unseen]
        if len(lost_both) == len(prompts):
            reasons = [f"{text!r}: {lost[text]}" for text in lost_both]
            raise InputError(
                "annotation: no expert can look for any of the prompts. "
                + listing(reasons, limit=3)
            )
        return lost

    def _make_captioner(self, model: LanguageModel | None) -> Captioner | None:
        name = self._spec.captioner
        if model is None and name is None:
            return None
        return Captioner(
            model if model is not None else str(name),
            self._spec.caption_prompt,
            options=dict(self._spec.caption_options),
            device=self._terms.device,
            deadline=self._terms.deadline,
        )

    def _own(self, picture: Picture) -> Picture:
        """A picture whose pixels stay, whatever becomes of the slot that they lie in."""
        if picture.slot < 0 or self._terms.deadline is None:
            return picture
        # A call that is given up may go on reading after the slot was handed back.
        return replace(picture, pixels=picture.pixels.copy(), slot=-1)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        if self._on_stage is not None:
            self._on_stage(name)
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - start
        if os.getpid() != self._process:
            os._exit(1)  # an expert forked, and this is the copy: there must be one of us

    # Detecting --------------------------------------------------------------------------------

    def _detect(self, looks: Sequence[_Look]) -> None:
        asked = [(look, *ask) for look in looks for ask in self._asks(look)]
        answers = self._router.answer([request for _, request, _ in asked], bare=True)
        for (look, request, prompts), answer in zip(asked, answers, strict=True):
            if not isinstance(answer, DetectResult):
                look.fail("detect", answer)
                continue
            least = None
            if request.thresholds is not None:
                given = [self._spec.classes.prompts[index].threshold for index in prompts]
                least = tuple(0.0 if score is None else score for score in given)
            look.answers.append(Answered(result=answer, prompts=prompts, least=least))
        for look in looks:
            self._settle(look)

    def _asks(self, look: _Look) -> Iterator[tuple[DetectRequest, tuple[int, ...]]]:
        """What is asked about a picture, and which prompts that is.

        A request has a threshold for each of its phrases or for none, so there may be two.
        """
        boxes = self._exemplars.get(look.picture.path, {})
        groups: dict[bool, list[int]] = {}
        for index, prompt in enumerate(self._spec.classes.prompts):
            if prompt.text not in self._lacking or prompt.text in boxes:
                groups.setdefault(prompt.threshold is None, []).append(index)
        for own, indices in groups.items():
            prompts = [self._spec.classes.prompts[index] for index in indices]
            least = [min(self._spec.floor, prompt.threshold or 0.0) for prompt in prompts]
            shown = tuple(boxes.get(prompt.text) for prompt in prompts)
            request = DetectRequest(
                image=look.image,
                phrases=tuple(prompt.text for prompt in prompts),
                thresholds=None if own else tuple(least),
                exemplars=shown if any(shown) else None,
            )
            yield request, tuple(indices)

    def _settle(self, look: _Look) -> None:
        """Bring what was found into the form that a record keeps."""
        if look.failure is not None:
            return
        try:
            look.rows = rows_of(
                look.answers, size=look.picture.size, floor=self._spec.floor, source=self._source
            )
        except GroundplaneError as error:
            name = look.picture.path
            look.fail("detect", f"{self._router.who} broke its contract on {name!r}: {error}")

    # Segmenting and describing ----------------------------------------------------------------

    def _segment(self, looks: Sequence[_Look]) -> None:
        bare = [
            (look, look.rows, index)
            for look in looks
            if look.rows is not None and (index := look.rows.bare())
        ]
        requests = [
            SegmentRequest(image=look.image, boxes=torch.from_numpy(rows.boxes[index]).float())
            for look, rows, index in bare
        ]
        for (look, rows, index), answer in zip(
            bare, self._router.answer_masks(requests), strict=True
        ):
            if not isinstance(answer, Regions):
                look.fail("segment", answer)
                continue
            look.rows = rows.with_masks(index, answer.masks or ())
            try:
                look.rows.check_masks()
            except GroundplaneError as error:
                name = look.picture.path
                look.fail("segment", f"the segmenter broke its contract on {name!r}: {error}")

    def _describe(self, looks: Sequence[_Look], captioner: Captioner) -> None:
        """Have pictures, and regions if that is wanted, described; a failure is a note."""
        whole = [look for look in looks if look.failure is None]
        asks: list[tuple[_Look, int, Image]] = [(look, -1, look.image) for look in whole]
        if self._spec.caption_regions:
            asks += [
                (look, row, cut_out(look.image, look.rows.boxes[row]))
                for look in whole
                if look.rows is not None
                for row in look.rows.kept.nonzero()[0].tolist()
            ]
        told: dict[int, dict[int, str]] = {}
        answers = captioner.describe([image for _, _, image in asks])
        for (look, row, _), answer in zip(asks, answers, strict=True):
            if isinstance(answer, str):
                told.setdefault(id(look), {})[row] = answer
            else:
                look.notes.append(f"no description: {' '.join(str(answer).split())[:500]}")
        for look in whole:
            said = told.get(id(look), {})
            look.caption = said.pop(-1, "")
            if said:
                count = len(look.rows) if look.rows is not None else 0
                look.attributes = tuple(
                    {"caption": said[row]} if row in said else {} for row in range(count)
                )

    def _record(self, look: _Look) -> AnnotationRecord:
        picture = look.picture
        if look.failure is not None or look.rows is None:
            stage, message = look.failure or ("detect", f"{self._router.who} gave no answer")
            return failed_record(picture, stage, message)
        prompts = len(self._spec.classes.prompts)
        return AnnotationRecord(
            path=picture.path,
            content_hash=picture.content_hash,
            status="done",
            size=picture.size,
            to_stored=picture.to_stored,
            regions=look.rows.regions(self._spec.classes, attributes=look.attributes),
            outcomes=outcomes_of(look.answers, look.rows, prompts=prompts),
            frame=picture.frame,
            caption=look.caption,
            note=join_notes([*(one.result.note for one in look.answers), *look.notes]),
        )


def _source(spec: JobSpec, detector: Detector | None) -> str:
    """Who found what comes without a name, where it is one expert alone."""
    if detector is not None:
        return type(detector).__name__
    return spec.detector if spec.detector is not None and "," not in spec.detector else ""

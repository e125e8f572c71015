"""What of a run's records goes out: thresholds, one region a thing, tracks. A pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.errors import InputError, ShapeError, did_you_mean, listing
from groundplane.grounding.duplicates import Overlap, RankedBoxes
from groundplane.grounding.near_pairs import areas

__all__ = ["View", "changed_thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How records of a log become those that are exported.

    Attributes:
        thresholds: The least score for each prompt; None for what the expert itself gave.
        merge: Intersection over union above which regions of one class that several prompts
            found are one thing: the higher score stays, of equal ones the earlier prompt's.
            None keeps all. Regions of one prompt are never merged: that is the expert's to
            decide, and what two truths say of one place stays two.
        candidates: Whether what is left out stays in the record, marked as not kept.
    """

    thresholds: tuple[float | None, ...]
    merge: float | None = None
    candidates: bool = False

    @classmethod
    def of(cls, spec: JobSpec, *, candidates: bool = False) -> View:
        """The view that a job asks for."""
        thresholds = tuple(prompt.threshold for prompt in spec.classes.prompts)
        return cls(thresholds=thresholds, merge=spec.merge, candidates=candidates)

    def apply(
        self, record: AnnotationRecord, tracks: Mapping[str, int] | None = None
    ) -> AnnotationRecord:
        """A record as this view has it.

        Args:
            record: As the log has it.
            tracks: The track of each region by its id; None where nothing is tracked.

        Returns:
            The record with `kept`, the tracks and the outcomes of the prompts as the view has
            them, and without what is not kept, unless candidates are wanted.

        Raises:
            ShapeError: If a region answers a prompt that this view does not know.
        """
        regions = record.regions
        wanted = self._wanted(regions, where=record.path)
        kept = self._merged(regions, wanted)
        outcomes = self._outcomes(record, wanted)
        seen = replace(
            regions,
            kept=kept,
            track_ids=regions.track_ids if tracks is None else _track_ids(regions, tracks),
        )
        return replace(
            record, regions=seen if self.candidates else seen.select(kept), outcomes=outcomes
        )

    def _wanted(self, regions: AnnotatedRegions, *, where: str) -> Bool[np.ndarray, " n"]:
        """Which regions reach the threshold of their prompt."""
        prompts = regions.prompt_ids
        if len(regions) and not -1 <= prompts.min() <= prompts.max() < len(self.thresholds):
            raise ShapeError(
                f"record of {where!r}: a region answers prompt {prompts.max()}, but there are "
                f"{len(self.thresholds)}"
            )
        # The last one is for regions that answer no prompt, whose number is -1.
        least = np.array([np.nan if t is None else t for t in (*self.thresholds, None)])[prompts]
        return np.asarray(np.where(np.isnan(least), regions.kept, regions.scores >= least))

    def _merged(
        self, regions: AnnotatedRegions, wanted: Bool[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        """Which of the wanted regions stay when those that are one thing are one."""
        rows = np.flatnonzero(wanted & (regions.class_ids >= 0))
        prompts = regions.prompt_ids[rows]
        if self.merge is None or rows.size < 2 or (prompts == prompts[0]).all():
            return wanted
        rows = _ranked(regions, rows)
        boxes = regions.boxes[rows]
        ranked = RankedBoxes(
            boxes=boxes,
            groups=regions.class_ids[rows],
            sizes=areas(boxes),
            overlap=Overlap(iou=self.merge),
            apart=regions.prompt_ids[rows],
        )
        kept = wanted.copy()
        kept[rows[ranked.winners() != np.arange(rows.size)]] = False
        return kept

    def _outcomes(
        self, record: AnnotationRecord, wanted: Bool[np.ndarray, " n"]
    ) -> tuple[str, ...]:
        """What became of each prompt, now that some regions came in and others went out."""
        found = set(record.regions.prompt_ids[wanted].tolist())
        return tuple(
            outcome if outcome == "cannot" else "found" if prompt in found else "none"
            for prompt, outcome in enumerate(record.outcomes)
        )


def _ranked(regions: AnnotatedRegions, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Rows by score, then prompt, then id: an order that no order of the log changes."""
    ids = np.array([regions.ids[i] for i in rows.tolist()], dtype=object)
    rank = np.empty(rows.size, dtype=np.int64)
    rank[np.argsort(ids, kind="stable")] = np.arange(rows.size)
    order = np.lexsort((rank, regions.prompt_ids[rows], -regions.scores[rows]))
    return np.asarray(rows[order])


def _track_ids(regions: AnnotatedRegions, tracks: Mapping[str, int]) -> Int64[np.ndarray, " n"]:
    return np.array([tracks.get(name, -1) for name in regions.ids], dtype=np.int64)


def changed_thresholds(
    classes: ClassTable,
    old: tuple[float | None, ...],
    *,
    floor: float,
    general: float | None = None,
    by_name: Mapping[str, float | None] | None = None,
) -> tuple[float | None, ...]:
    """Thresholds of each prompt after some were set.

    Args:
        classes: The run's.
        old: What holds now.
        floor: Candidates below it were not kept.
        general: For all prompts that are not named; None leaves them.
        by_name: By a prompt's text, or by a class's name for all that lead to it; None leaves
            it to the expert. A prompt counts before a class of the same name.

    Raises:
        InputError: If a name is unknown, or a threshold out of range or below the floor.

    Examples:
        >>> from groundplane.core.annotation import AnnotationPrompt
        >>> classes = ClassTable(
        ...     names=("dog",),
        ...     prompts=tuple(AnnotationPrompt(text=t, class_id=0) for t in ("dog", "puppy")),
        ... )
        >>> changed_thresholds(classes, (None, 0.2), floor=0.1, by_name={"puppy": 0.5})
        (None, 0.5)
        >>> changed_thresholds(classes, (None, 0.2), floor=0.1)
        (None, 0.2)
    """
    texts = [prompt.text for prompt in classes.prompts]
    now = [old[i] if general is None else general for i in range(len(texts))]
    named = dict(by_name or {})
    for name in sorted(named, key=lambda name: name in texts):
        if name in texts:
            now[texts.index(name)] = named[name]
        elif name in classes.names:
            class_id = classes.names.index(name)
            for i, prompt in enumerate(classes.prompts):
                now[i] = named[name] if prompt.class_id == class_id else now[i]
        else:
            known = dict.fromkeys((*texts, *classes.names))
            raise InputError(
                f"threshold of {name!r}: there is no such prompt or class; there are "
                f"{listing(map(repr, known))}.{did_you_mean(name, known)}"
            )
    for value in (general, *named.values()):
        if value is not None and not floor <= value <= 1:
            raise InputError(
                f"threshold: expected a number from {floor} to 1, got {value}; what scored less "
                f"than {floor} was not kept. To see that, annotate anew with a lower floor"
            )
    return tuple(now)

"""What of a run's records goes out: thresholds, one region a thing, tracks. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from groundplane.annotation.prompts import with_thresholds
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.errors import InputError, ShapeError
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
    spec: JobSpec,
    old: tuple[float | None, ...],
    given: float | str | Iterable[str] | Mapping[str, float],
) -> tuple[float | None, ...]:
    """The thresholds of a job's prompts after some were set.

    Args:
        spec: The job.
        old: What holds now.
        given: As for `with_thresholds`: a number for all that are not named, and numbers by
            name. Where there is no such number, what is not named stays; nothing at all goes
            back to what the job began with.

    Raises:
        InputError: If a name is unknown, or a number out of range or below the job's floor.

    Examples:
        >>> from groundplane.annotation.prompts import read_prompts
        >>> spec = JobSpec(source="a", classes=read_prompts("dog, cat"))
        >>> changed_thresholds(spec, (None, 0.2), ["dog=0.5"])
        (0.5, 0.2)
        >>> changed_thresholds(spec, (None, 0.2), [])
        (None, None)
    """
    prompts = spec.classes.prompts
    bare = replace(spec.classes, prompts=tuple(replace(p, threshold=None) for p in prompts))
    set_now = [prompt.threshold for prompt in with_thresholds(bare, given).prompts]
    if not any(value is not None for value in set_now):
        return tuple(prompt.threshold for prompt in prompts)
    for value in set_now:
        if value is not None and value < spec.floor:
            raise InputError(
                f"threshold {value}: what scored less than {spec.floor} was not kept; to see it, "
                "begin another run with a lower floor"
            )
    return tuple(was if now is None else now for was, now in zip(old, set_now, strict=True))

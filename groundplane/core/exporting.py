"""What exporters are given and what they say was lost; nothing here needs torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.output_folder import OutputFolder

__all__ = [
    "ExportTarget",
    "Exporter",
    "Feature",
    "Importer",
    "Loss",
    "LossCounter",
    "LossReport",
    "Records",
]


class Feature(StrEnum):
    """What records can hold and a format may not."""

    SCORES = "scores"
    FRACTIONS = "fractions of pixels"
    MASKS = "masks"
    MASK_PARTS = "masks in several parts"
    MASK_HOLES = "masks with holes"
    TRACKS = "tracks"
    ATTRIBUTES = "attributes"
    CAPTIONS = "captions"
    UNMAPPED = "regions without a class"
    PROMPTS = "the prompt of a region"
    SOURCES = "who found a region"
    IDS = "ids of regions"
    EMPTY = "pictures without regions"
    FAILURES = "pictures that failed"
    OUTCOMES = "what became of each prompt"
    TURNED = "how the picture was stored"
    TIMES = "place and time in a video"
    HASHES = "content hashes"
    NOTES = "notes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something that did not go out.

    Attributes:
        what: In words; of a `Feature` its value.
        count: How many regions, or pictures, it concerns.
        why: What the format has instead, or why it cannot hold it.
    """

    what: str
    count: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossReport:
    """What an export holds and what it lost.

    Attributes:
        format: The exporter's name.
        pictures: How many went out.
        regions: How many went out.
        losses: What did not; empty where the export is whole.
    """

    format: str
    pictures: int
    regions: int
    losses: tuple[Loss, ...] = ()

    def record(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "format": self.format,
            "pictures": self.pictures,
            "regions": self.regions,
            "losses": [
                {"what": loss.what, "count": loss.count, "why": loss.why} for loss in self.losses
            ],
        }


class LossCounter:
    """Counts what records hold that a format does not.

    Args:
        format: The exporter's name.
        holds: What the format can hold.
        why: For some features, what the format has instead.

    Examples:
        >>> counter = LossCounter("yolo", holds=frozenset(Feature) - {Feature.FAILURES})
        >>> counter.report().losses
        ()
    """

    def __init__(
        self,
        format: str,
        *,
        holds: frozenset[Feature],
        why: Mapping[Feature, str] | None = None,
    ) -> None:
        self._format = format
        self._lacks = frozenset(Feature) - holds
        self._why = dict(why or {})
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._pictures = self._regions = 0

    def see(self, record: AnnotationRecord, *, regions: int | None = None) -> None:
        """Take a record into account, of which so many regions went out (None: all)."""
        failed = record.status == "failed"
        self._pictures += not (failed and Feature.FAILURES in self._lacks)
        self._regions += len(record.regions) if regions is None else regions
        for feature, count in _held(record).items():
            if feature in self._lacks and count:
                self.lose(feature.value, count, why=self._why.get(feature, ""))

    def lose(self, what: str, count: int = 1, *, why: str = "") -> None:
        """Note a loss that only the exporter can see."""
        self._counts[what] += count
        self._reasons.setdefault(what, why)

    def report(self) -> LossReport:
        """All that was noted, in the order of the words."""
        return LossReport(
            format=self._format,
            pictures=self._pictures,
            regions=self._regions,
            losses=tuple(
                Loss(what=what, count=count, why=self._reasons[what])
                for what, count in sorted(self._counts.items())
            ),
        )


def _held(record: AnnotationRecord) -> dict[Feature, int]:
    """How often each feature occurs in a record, but for the parts and holes of its masks."""
    regions = record.regions
    n = len(regions)
    masks = [mask for mask in regions.masks or () if mask is not None]
    done = record.status == "done"
    return {
        Feature.SCORES: n,
        Feature.FRACTIONS: int((regions.boxes != np.floor(regions.boxes)).any(axis=1).sum()),
        Feature.MASKS: len(masks),
        Feature.TRACKS: int((regions.track_ids >= 0).sum()) if regions.track_ids is not None else 0,
        Feature.ATTRIBUTES: sum(map(bool, regions.attributes)),
        Feature.CAPTIONS: int(bool(record.caption)),
        Feature.UNMAPPED: int((regions.class_ids < 0).sum()),
        Feature.PROMPTS: int((regions.prompt_ids >= 0).sum()),
        Feature.SOURCES: sum(map(bool, regions.sources)),
        Feature.IDS: n,
        Feature.EMPTY: int(done and not n),
        Feature.FAILURES: int(not done),
        Feature.OUTCOMES: int(bool(record.outcomes)),
        Feature.TURNED: int(record.turned),
        Feature.TIMES: int(record.frame is not None),
        Feature.HASHES: int(bool(record.content_hash)),
        Feature.NOTES: int(bool(record.note)),
    }


@runtime_checkable
class Records(Protocol):
    """Records in the order of their paths; each iteration starts anew and holds one at a time."""

    def __iter__(self) -> Iterator[AnnotationRecord]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTarget:
    """Where an export goes and what it may look up.

    Attributes:
        folder: The only place to write to.
        classes: The run's classes.
        read: Gives the encoded bytes of a record's picture (of a video's frame, a PNG); raises
            `MediaError` if it is gone or has changed. None where pictures cannot be had.
        locate: Gives the file of a record's picture on this machine, absolute, for formats that
            link to it; None, or giving None, where there is no such file.
        title: The run's name, for people.
    """

    folder: OutputFolder
    classes: ClassTable
    read: Callable[[AnnotationRecord], bytes] | None = None
    locate: Callable[[AnnotationRecord], Path | None] | None = None
    title: str = "groundplane"


@runtime_checkable
class Exporter(Protocol):
    """Writes records in another format.

    The same records give the same bytes: no time, no random number, no order of their own.
    """

    @property
    def holds(self) -> frozenset[Feature]:
        """What the format, with these options, can hold."""
        ...

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records; what was lost is counted.

        Raises:
            OutputError: If something cannot be written.
            MediaError: If a picture is needed and cannot be read.
        """
        ...


@runtime_checkable
class Importer(Protocol):
    """An exporter that also reads what it wrote: those of formats without loss are such."""

    def load(self, folder: Path) -> tuple[ClassTable, Iterator[AnnotationRecord]]:
        """Read an export back.

        Raises:
            InputError: If it is malformed; the message names the file and the field.
        """
        ...

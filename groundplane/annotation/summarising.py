"""What a run holds, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from groundplane.annotation.listing import Listing
from groundplane.annotation.run_records import RunRecords
from groundplane.core.annotation import ClassTable

__all__ = ["RunSummary", "summarise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run holds, as its view has it.

    Attributes:
        done: Pictures and frames that were annotated.
        failed: Those that were not.
        empty: Annotated ones without a region.
        regions: In all of them.
        classes: Regions by class, in the order of the class table; those without a class last,
            under an empty name, where there are any.
        failures: Failed ones by the stage at which they failed.
        videos: Frames by video.
        num_bytes: Size of the logs.
        damaged: Stretches or entries of the logs that cannot be read. What stood there counts as
            not done.
        unread: Bytes at the end of the logs that are torn, or just being written.
    """

    done: int
    failed: int
    empty: int
    regions: int
    classes: tuple[tuple[str, int], ...]
    failures: tuple[tuple[str, int], ...]
    videos: tuple[tuple[str, int], ...]
    num_bytes: int
    damaged: int
    unread: int

    def record(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return {
            "done": self.done,
            "failed": self.failed,
            "empty": self.empty,
            "regions": self.regions,
            "classes": dict(self.classes),
            "failures": dict(self.failures),
            "videos": dict(self.videos),
            "num_bytes": self.num_bytes,
            "damaged": self.damaged,
            "unread": self.unread,
        }


def summarise(records: RunRecords, found: Listing, classes: ClassTable) -> RunSummary:
    """Count what there is.

    Args:
        records: All of a run.
        found: Where they lie.
        classes: The run's.

    Raises:
        InputError: If a log cannot be read.
    """
    by_class, stages = Counter[int](), Counter[str]()
    done = empty = 0
    for record in records:
        by_class.update(record.regions.class_ids.tolist())
        if record.failure is not None:
            stages[record.failure.stage] += 1
            continue
        done += 1
        empty += not len(record.regions)
    counts = [(name, by_class[i]) for i, name in enumerate(classes.names)]
    unmapped = [("", by_class[-1])] if by_class[-1] else []
    return RunSummary(
        done=done,
        failed=stages.total(),
        empty=empty,
        regions=by_class.total(),
        classes=(*counts, *unmapped),
        failures=tuple(sorted(stages.items())),
        videos=tuple((name, len(records.of_video(name))) for name in records.videos),
        num_bytes=found.num_bytes,
        damaged=found.damaged,
        unread=found.unread,
    )

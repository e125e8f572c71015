"""`groundplane evaluate coco RUN`: what a run found, and what of it cannot be compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from groundplane.annotation.run import Run
from groundplane.core.errors import listing
from groundplane.evaluation.coco import CocoTruth
from groundplane.evaluation.coco_runs import RunDetections, detections_of_run

__all__ = ["run_entries"]


def run_entries(folder: Path, truth: CocoTruth, *, masks: bool) -> Sequence[dict[str, Any]]:
    """The regions of a run in COCO's results format; the rest is told on stderr.

    Raises:
        InputError: If it is no run, or none of it can be compared.
    """
    run = Run.open(folder)
    found = detections_of_run(run.records(), run.spec.classes, truth, masks=masks)
    for line in _left_out(found):
        sys.stderr.write(f"groundplane: {line}\n")
    return found.entries


def _left_out(found: RunDetections) -> Iterator[str]:
    for names, what in (
        (found.unknown, "of the run are not in the annotations and not counted"),
        (found.missing, "of the annotations are not in the run; what is in them is not found"),
        (found.failed, "failed in the run; what is in them is not found"),
    ):
        if names:
            told = listing(map(repr, names), limit=3)
            yield f"{len(names):,} {'picture' if len(names) == 1 else 'pictures'} {what}: {told}"
    for name, count in found.classes.items():
        yield f"{count:,} regions are of {name!r}, which is no category, and not counted"
    if found.unmapped:
        yield f"{found.unmapped:,} regions have no class and are not counted"

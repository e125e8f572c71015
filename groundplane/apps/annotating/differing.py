"""`groundplane diff`: in what two runs differ."""

from __future__ import annotations

import sys
from pathlib import Path

from groundplane.annotation.comparing import compare_records
from groundplane.annotation.manifest import differences
from groundplane.annotation.run import Run
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.told import dump

__all__ = ["run"]


def run(first: Path, second: Path, *, as_json: bool) -> int:
    """Print it: the jobs, then the pictures and regions.

    Returns:
        0 whether they differ or not: to tell is what was asked.

    Raises:
        InputError: If one is no run.
    """
    old, new = Run.open(first), Run.open(second)
    jobs = differences(old.spec, new.spec)
    found = compare_records((old.records(), old.spec.classes), (new.records(), new.spec.classes))
    if as_json:
        told = dump({"job": list(jobs), **found.record()}, indent=2)
    else:
        told = "\n".join([*(f"job: {readable(change)}" for change in jobs), *found.lines()])
    sys.stdout.write(told + "\n")
    return 0

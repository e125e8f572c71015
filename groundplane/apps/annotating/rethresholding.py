"""`groundplane rethreshold`: other least scores, from what the run keeps; no model is asked."""

from __future__ import annotations

import sys
from pathlib import Path

from groundplane.annotation.run import Run
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.plugins import table
from groundplane.apps.told import one_line

__all__ = ["run"]


def run(folder: Path, thresholds: tuple[str, ...]) -> int:
    """Set them, and print how many regions each class had and has.

    Raises:
        InputError: If it is no run, a name is unknown, or a number is out of range or below what
            the run kept.
        OutputError: If another process writes to the run.
    """
    opened = Run.open(folder)
    before = opened.summary()
    opened.set_thresholds(thresholds)
    after = opened.summary()
    names = dict.fromkeys([*dict(before.classes), *dict(after.classes)])
    was, now = dict(before.classes), dict(after.classes)
    rows = [
        (one_line(readable(name), 40) or "(no class)", *_counts(was.get(name, 0), now.get(name, 0)))
        for name in names
    ]
    rows.append(("all", *_counts(before.regions, after.regions)))
    rows.append(("pictures without any", *_counts(before.empty, after.empty)))
    sys.stdout.write(table([("CLASS", "BEFORE", "AFTER", "CHANGE"), *rows]) + "\n")
    if any(opened.exports.glob("*/loss.json")):
        sys.stdout.write("\nExports are as they were: groundplane export makes them anew.\n")
    return 0


def _counts(before: int, after: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else ""

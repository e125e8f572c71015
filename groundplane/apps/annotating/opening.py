"""A run to be read, its pictures where they were when it was made, or where they lie by now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from groundplane.annotation.run import Run
from groundplane.annotation.sources import source_of

__all__ = ["open_run"]


def open_run(path: Path, *, source: str | None = None) -> Run:
    """A run to be read.

    Args:
        path: Its folder.
        source: Where its pictures lie by now; None for where they were.

    Raises:
        InputError: If it is no run.
        MediaError: If there is no such source.
    """
    run = Run.open(path)
    if source is None:
        return run
    spec = replace(run.spec, source=source)
    spec = replace(spec, source=source_of(spec).name)
    return replace(run, manifest=replace(run.manifest, spec=spec))

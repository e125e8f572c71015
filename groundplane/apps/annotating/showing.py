"""`groundplane show`: a run as a page to look through."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groundplane.annotation.run_pictures import RunPictures
from groundplane.apps.annotating.opening import open_run
from groundplane.apps.annotating.page import Page, write_page
from groundplane.apps.annotating.page_pictures import PageTerms
from groundplane.apps.told import counted
from groundplane.core.errors import InputError

__all__ = ["ShowJob", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowJob:
    """What the command line asks for.

    Attributes:
        run: Folder of the run.
        out: Folder of the page; None for `page` in the run.
        limit: How many pictures at most; None for all.
        source: The pictures, if they lie elsewhere by now.
        open: Whether it is opened in a browser.
    """

    run: Path
    out: Path | None = None
    limit: int | None = None
    source: str | None = None
    open: bool = False


def run(job: ShowJob) -> int:
    """Write the page and print where it is.

    Raises:
        InputError: If it is no run.
        OutputError: If the page cannot be written.
    """
    if job.limit is not None and job.limit < 1:
        raise InputError(f"--limit: expected 1 or more, got {job.limit}")
    opened = open_run(job.run, source=job.source)
    folder = opened.path / "page" if job.out is None else job.out
    records = opened.records()
    page = Page(
        title=opened.path.name,
        classes=opened.spec.classes,
        records=records,
        read=RunPictures(opened.spec).read,
        limit=job.limit,
        terms=PageTerms(max_pixels=opened.spec.max_pixels),
        seen=_counting(len(records)),
    )
    report = write_page(page, folder)
    if report.missing:
        sys.stderr.write(
            f"groundplane: gone or changed since: {counted(report.missing, 'picture')}; if they "
            "lie elsewhere: --source FOLDER\n"
        )
    index = folder / "index.html"
    held = f"{counted(report.pictures, 'picture')}, {counted(report.regions, 'region')}"
    sys.stdout.write(f"{index}: {held}\n")
    if job.open:
        webbrowser.open(index.absolute().as_uri())
    return 0


def _counting(total: int) -> Callable[[int], None] | None:
    """Counts on a terminal, where somebody waits."""
    if not sys.stderr.isatty():
        return None

    def seen(number: int) -> None:
        if number % 20 == 0 or number == total:
            sys.stderr.write(f"\r{number:,} of {total:,}" + "\n" * (number == total))
            sys.stderr.flush()

    return seen

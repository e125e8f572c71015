"""A static page of a run: a contact sheet, filters, and each picture with its regions.

It needs no server and asks none: scripts and styles are files of their own, the data are scripts
as well, and a content security policy keeps everything else out. Names of pictures, classes and
facts are data wherever they occur; the page sets them as text only.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from groundplane.apps.annotating.page_pictures import PageTerms, Pictures
from groundplane.apps.annotating.page_rows import detail_row, index_row, readable, script
from groundplane.apps.told import counted
from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.errors import OutputError
from groundplane.core.exporting import Records
from groundplane.core.files import one_line
from groundplane.core.output_folder import OutputFolder

__all__ = ["Page", "PageReport", "write_page"]

_ASSETS = ("index.html", "page.css", "core.js", "viewer.js", "sheet.js")
_PARTS = frozenset({*_ASSETS, "data", "pictures", "thumbs"})
_SHARD = 1000
_DETAIL = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page shows.

    Attributes:
        title: The run's name.
        classes: What class and prompt ids point into.
        records: As a view gives them.
        read: Gives a picture's encoded bytes, or raises `MediaError`; None for none.
        limit: How many pictures at most; None for all.
        terms: How large the copies of pictures are.
        seen: Called after each picture with how many there are by now.
    """

    title: str
    classes: ClassTable
    records: Records
    read: Callable[[AnnotationRecord], bytes] | None = None
    limit: int | None = None
    terms: PageTerms = field(default_factory=PageTerms)
    seen: Callable[[int], None] | None = None


@dataclass(slots=True, kw_only=True)
class PageReport:
    """What a page holds.

    Attributes:
        pictures: How many.
        empty: Of these without a region.
        failed: Of these without an annotation.
        regions: How many.
        missing: Pictures that could not be had, or were another one by now.
    """

    pictures: int = 0
    empty: int = 0
    failed: int = 0
    regions: int = 0
    missing: int = 0

    def see(self, record: AnnotationRecord) -> None:
        """Count a record."""
        self.pictures += 1
        if record.status == "failed":
            self.failed += 1
        else:
            self.empty += not len(record.regions)
            self.regions += len(record.regions)


def write_page(page: Page, folder: str | Path) -> PageReport:
    """Write a page; an earlier one in that folder is replaced in one step.

    Raises:
        OutputError: If it cannot be written, or the folder holds anything that is not of a page.
    """
    with _replaced(Path(folder)) as (out, earlier):
        for name in _ASSETS:
            out.write(name, files(__package__).joinpath("page", name).read_bytes())
        return _write_data(page, out, earlier)


def _write_data(page: Page, out: OutputFolder, earlier: Path) -> PageReport:
    report = PageReport()
    pictures = Pictures(page.read, out, earlier=earlier, terms=page.terms)
    index: list[list[Any]] = []
    details: list[list[Any]] = []
    shards = 0
    for record in islice(page.records, page.limit):
        report.see(record)
        index.append(index_row(record, file=pictures.of(record)))
        details.append(detail_row(record))
        if len(details) == _DETAIL:
            _put(out, "regions", (report.pictures - 1) // _DETAIL, details)
        if len(index) == _SHARD:
            _put(out, "index", shards, index)
            shards += 1
        if page.seen is not None:
            page.seen(report.pictures)
    if details:
        _put(out, "regions", (report.pictures - 1) // _DETAIL, details)
    if index:
        _put(out, "index", shards, index)
        shards += 1
    report.missing = pictures.missing
    out.write("data/meta-0.js", script("meta", 0, _meta(page, report, shards)))
    return report


def _put(out: OutputFolder, kind: str, number: int, rows: list[list[Any]]) -> None:
    out.write(f"data/{kind}-{number}.js", script(kind, number, rows))
    rows.clear()


def _meta(page: Page, report: PageReport, shards: int) -> dict[str, Any]:
    total = len(page.records)
    told = counted(report.pictures, "picture")
    if total > report.pictures:
        told = f"The first {report.pictures:,} of {counted(total, 'picture')}"
    told += f": {counted(report.regions, 'region')}, {report.empty:,} without any"
    told += f", {report.failed:,} failed"
    if report.missing:
        told += f"; {counted(report.missing, 'picture')} could not be had"
    return {
        "title": readable(page.title),
        "summary": told,
        "classes": [readable(name) for name in page.classes.names],
        "prompts": [readable(prompt.text) for prompt in page.classes.prompts],
        "pictures": report.pictures,
        "shards": shards,
        "detail": _DETAIL,
    }


# The folder ----------------------------------------------------------------------------------


@contextmanager
def _replaced(folder: Path) -> Iterator[tuple[OutputFolder, Path]]:
    """A new folder that takes the place of the old one once it is whole; and the old one."""
    place = Path(os.path.realpath(folder))
    _check_ours(place)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    aside = draft.with_suffix(".old")
    try:
        yield OutputFolder(draft), place
        try:
            if place.exists():
                place.rename(aside)
            draft.rename(place)
        except OSError as error:
            if aside.exists() and not place.exists():
                aside.rename(place)
            raise OutputError(
                f"{one_line(str(folder))}: cannot be replaced: {error.strerror}"
            ) from error
    finally:
        for rest in (draft, aside):
            shutil.rmtree(rest, ignore_errors=True)


def _check_ours(place: Path) -> None:
    try:
        names = sorted(os.listdir(place))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{one_line(str(place))}: {error.strerror}; name a folder") from error
    strange = [name for name in names if name not in _PARTS]
    if strange:
        raise OutputError(
            f"{one_line(str(place))} holds {one_line(strange[0])!r}, which is not of a page; "
            "name another folder with --out"
        )

"""Regions as tables of comma-separated values: a row a region, and beside it a row a picture.

`classes.csv` and `prompts.csv` say what the ids in them mean. Texts stand as they are, quoted as
RFC 4180 has it, in UTF-8. A spreadsheet takes a text that begins with `=` or the like for a
formula; the option `spreadsheet` puts an apostrophe before such texts, which other readers then
see.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import numpy as np

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records

__all__ = ["CsvExporter", "CsvOptions"]

_Cell = str | float | int | None

_PICTURES = (
    "path", "status", "width", "height", "regions", "outcomes", "caption", "note", "video",
    "frame", "time", "failure_stage", "failure", "content_hash", "to_stored",
)  # fmt: skip
_REGIONS = (
    "path", "id", "class_id", "class", "prompt_id", "prompt", "x0", "y0", "x1", "y1", "score",
    "kept", "track_id", "source", "attributes", "mask_height", "mask_width", "mask_counts",
)  # fmt: skip
# What spreadsheets begin a formula with: OWASP, CSV Injection.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """Options of `CsvExporter`.

    Attributes:
        spreadsheet: Whether texts that a spreadsheet takes for formulas get an apostrophe before
            them; how many is counted.
    """

    spreadsheet: bool = False


class CsvExporter:
    """Writes `regions.csv`, `pictures.csv`, `classes.csv` and `prompts.csv`.

    Boxes are `x0, y0, x1, y1` in pixels of the upright picture, half open; masks are COCO's
    compressed run lengths; facts, outcomes and the map to the stored picture are JSON.

    Args:
        options: See `CsvOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = CsvOptions
    holds = frozenset(Feature)

    def __init__(
        self, options: CsvOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records, in one pass.

        Raises:
            OutputError: If a file is there already or cannot be written.
        """
        counter = LossCounter("csv", holds=self.holds)
        classes = target.classes
        with ExitStack() as stack:

            def table(name: str, columns: Sequence[str]) -> _Table:
                file = stack.enter_context(target.folder.open(f"{name}.csv"))
                return _Table(file, columns, counter, guarded=self._options.spreadsheet)

            listed = table("classes", ("class_id", "class"))
            listed.add_all(enumerate(classes.names))
            asked = table("prompts", ("prompt_id", "prompt", "class_id", "threshold"))
            asked.add_all(
                (i, p.text, p.class_id, p.threshold) for i, p in enumerate(classes.prompts)
            )
            pictures, regions = table("pictures", _PICTURES), table("regions", _REGIONS)
            for record in records:
                counter.see(record)
                pictures.add(_picture(record))
                regions.add_all(_regions(record, classes))
        return counter.report()


class _Table:
    """A file of rows."""

    def __init__(
        self, file: IO[bytes], columns: Sequence[str], counter: LossCounter, *, guarded: bool
    ) -> None:
        self._file = file
        self._counter = counter
        self._guarded = guarded
        self._line = io.StringIO(newline="")
        # Both signs of a line's end make csv quote a text that holds either.
        self._writer = csv.writer(self._line, lineterminator="\r\n")
        self.add(columns)

    def add(self, cells: Sequence[_Cell]) -> None:
        self._writer.writerow([self._plain(c) if isinstance(c, str) else c for c in cells])
        self._file.write(self._line.getvalue().encode("utf-8"))
        self._line.seek(0)
        self._line.truncate()

    def add_all(self, rows: Iterable[Sequence[_Cell]]) -> None:
        for row in rows:
            self.add(row)

    def _plain(self, text: str) -> str:
        shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != text:
            self._counter.lose("texts that are no Unicode", why="they stand with escapes")
        if self._guarded and shown.startswith(_FORMULA):
            self._counter.lose("texts like formulas", why="an apostrophe stands before them")
            return f"'{shown}"
        return shown


def _picture(record: AnnotationRecord) -> tuple[_Cell, ...]:
    width, height = record.size or (None, None)
    frame, failure = record.frame, record.failure
    return (
        record.path,
        record.status,
        width,
        height,
        len(record.regions),
        _json(record.outcomes),
        record.caption,
        record.note,
        frame.video if frame else None,
        frame.index if frame else None,
        frame.time if frame else None,
        failure.stage if failure else None,
        failure.message if failure else None,
        record.content_hash,
        _json(record.to_stored),
    )


def _regions(record: AnnotationRecord, classes: ClassTable) -> Iterable[tuple[_Cell, ...]]:
    regions: AnnotatedRegions = record.regions
    tracks = regions.track_ids if regions.track_ids is not None else np.full(len(regions), -1)
    columns = (
        regions.class_ids.tolist(), regions.prompt_ids.tolist(), regions.boxes.tolist(),
        regions.scores.tolist(), regions.kept.tolist(), tracks.tolist(),
    )  # fmt: skip
    for row, (class_id, prompt_id, box, score, kept, track) in enumerate(
        zip(*columns, strict=True)
    ):
        mask = regions.masks[row] if regions.masks else None
        yield (
            record.path,
            regions.ids[row],
            class_id,
            classes.names[class_id] if class_id >= 0 else None,
            prompt_id,
            classes.prompts[prompt_id].text if prompt_id >= 0 else None,
            *box,
            score,
            int(kept),
            track if track >= 0 else None,
            regions.sources[row] if regions.sources else None,
            _json(dict(regions.attributes[row])) if regions.attributes else None,
            mask.size[0] if mask else None,
            mask.size[1] if mask else None,
            mask.counts.decode("ascii") if mask else None,
        )


def _json(value: object) -> str:
    # With escapes: half a surrogate pair in a fact is one as well.
    return json.dumps(value)

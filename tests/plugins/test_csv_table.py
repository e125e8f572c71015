"""Tables: every value is there, whatever signs its texts hold."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    VideoFrame,
)
from groundplane.core.masks import RleMask
from groundplane.plugins.csv_table import CsvExporter, CsvOptions
from groundplane.testing.annotations import (
    EXOTIC_CLASSES,
    GeneratedRecords,
    random_records,
    records_of_names,
)
from groundplane.testing.exporters import ExporterContract, export_into, record_differences

_CASES = int(os.environ.get("GROUNDPLANE_CASES", "30"))


class TestCsv(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CsvExporter(CsvOptions())


class TestForSpreadsheets(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CsvExporter(CsvOptions(spreadsheet=True))


def _export(records, folder, **options):
    return export_into(CsvExporter(CsvOptions(**options)), records, folder)


def _rows(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _read(folder):
    """The plain way back from the tables."""
    prompts = tuple(
        AnnotationPrompt(
            text=row["prompt"],
            class_id=int(row["class_id"]),
            threshold=float(row["threshold"]) if row["threshold"] else None,
        )
        for row in _rows(folder, "prompts")
    )
    names = tuple(row["class"] for row in _rows(folder, "classes"))
    found = {}
    for row in _rows(folder, "regions"):
        found.setdefault(row["path"], []).append(row)
    records = [
        _record(row, _regions(found.get(row["path"], []))) for row in _rows(folder, "pictures")
    ]
    return ClassTable(names=names, prompts=prompts), records


def _record(row, regions):
    done = row["status"] == "done"
    return AnnotationRecord(
        path=row["path"],
        content_hash=row["content_hash"],
        status=row["status"],
        size=(int(row["width"]), int(row["height"])) if row["width"] else None,
        to_stored=tuple(json.loads(row["to_stored"])),
        regions=regions,
        outcomes=tuple(json.loads(row["outcomes"])),
        failure=None if done else Failure(stage=row["failure_stage"], message=row["failure"]),
        frame=VideoFrame(video=row["video"], index=int(row["frame"]), time=float(row["time"]))
        if row["video"]
        else None,
        caption=row["caption"],
        note=row["note"],
    )


def _regions(rows):
    def column(name, kind):
        return np.array([kind(row[name]) for row in rows], dtype=kind)

    boxes = [[float(row[k]) for k in ("x0", "y0", "x1", "y1")] for row in rows]
    return AnnotatedRegions(
        ids=tuple(row["id"] for row in rows),
        boxes=np.array(boxes).reshape(-1, 4),
        scores=column("score", float),
        prompt_ids=column("prompt_id", int),
        class_ids=column("class_id", int),
        kept=np.array([row["kept"] == "1" for row in rows], dtype=bool),
        masks=tuple(
            RleMask(
                size=(int(row["mask_height"]), int(row["mask_width"])),
                counts=row["mask_counts"].encode(),
            )
            if row["mask_counts"]
            else None
            for row in rows
        ),
        track_ids=np.array([int(row["track_id"] or -1) for row in rows], dtype=np.int64),
        attributes=tuple(json.loads(row["attributes"] or "{}") for row in rows),
        sources=tuple(row["source"] for row in rows),
    )


def _check_tables(records, folder):
    classes, found = _read(folder)
    assert classes == records.classes
    for record, other in zip(found, records, strict=True):
        differ = set(record_differences(record, other))
        assert not differ - ({"path"} if "\udcff" in other.path else set())


def test_every_value_stands_in_the_tables(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=3)
        _export(records, tmp_path / str(seed))
        _check_tables(records, tmp_path / str(seed))


def test_a_changed_table_is_seen(tmp_path):
    records = random_records(4, num=8)
    _export(records, tmp_path)
    file = tmp_path / "regions.csv"
    file.write_bytes(file.read_bytes().replace(b",0.", b",0.9", 1))
    with pytest.raises(AssertionError):
        _check_tables(records, tmp_path)


def test_names_of_any_script_are_one_cell_each(tmp_path):
    records = records_of_names()
    report = _export(records, tmp_path)
    names = [row["path"] for row in _rows(tmp_path, "pictures")]
    assert len(names) == len(records)
    whole = [record.path for record in records if "\udcff" not in record.path]
    assert [name for name in names if name in whole] == whole
    assert {loss.what: loss.count for loss in report.losses} == {"texts that are no Unicode": 2}


def test_texts_like_formulas_are_guarded_if_asked(tmp_path):
    names = ("=1+1", "+x", "-x", "@x", "\tx", "fine", *EXOTIC_CLASSES[:5])
    records = GeneratedRecords(classes=ClassTable(names=names, prompts=()), records=())
    report = _export(records, tmp_path / "guarded", spreadsheet=True)
    found = [row["class"] for row in _rows(tmp_path / "guarded", "classes")]
    assert found == [f"'{name}" for name in names[:5]] + list(names[5:])
    assert [(loss.what, loss.count) for loss in report.losses] == [("texts like formulas", 5)]
    _export(records, tmp_path / "plain")
    assert [row["class"] for row in _rows(tmp_path / "plain", "classes")] == list(names)

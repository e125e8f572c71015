"""LabelMe files: read back by supervision and by LabelMe's own keys."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import supervision

from groundplane.annotation.exporting import ExportRequest, export_records, read_losses
from groundplane.core.masks import area, decode, encode, from_polygons
from groundplane.core.output_folder import OutputNames
from groundplane.plugins.labelme import LabelMeExporter, LabelMeOptions
from groundplane.testing.annotations import random_records, records_of_names
from groundplane.testing.exporters import ExporterContract, export_into, files_of

_CASES = int(os.environ.get("GROUNDPLANE_CASES", "20"))


class TestLabelMe(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return LabelMeExporter(LabelMeOptions())


def _export(records, folder, **options):
    return export_into(LabelMeExporter(LabelMeOptions(**options)), records, folder)


def _documents(folder, records):
    """Each picture that was annotated and its file."""
    names = OutputNames((r.path for r in records), avoid=("loss",))
    for record in records:
        if record.status == "done":
            yield record, json.loads((folder / f"{names.of(record.path)}.json").read_bytes())


def _mapped(record):
    return record.regions.select(record.regions.class_ids >= 0)


def _check_shapes(record, document, classes):
    """Every region is there in order: its rectangle, or polygons that fill to its mask."""
    shapes = list(document["shapes"])
    mapped = _mapped(record)
    for row in range(len(mapped)):
        first = shapes.pop(0)
        assert first["label"] == classes.names[mapped.class_ids[row]]
        assert first["score"] == mapped.scores[row]
        assert first["attributes"] == (dict(mapped.attributes[row]) if mapped.attributes else {})
        mask = mapped.masks[row] if mapped.masks else None
        if mask is None or not area(mask):
            assert first["shape_type"] == "rectangle"
            assert np.ravel(first["points"]).tolist() == mapped.boxes[row].tolist()
            continue
        parts = [first]
        while first["group_id"] is not None and shapes:
            if shapes[0]["group_id"] != first["group_id"]:
                break
            parts.append(shapes.pop(0))
        filled = from_polygons([np.ravel(p["points"]).tolist() for p in parts], mask.size)
        assert filled == encode(decode(mask))
    assert not shapes


def test_regions_come_back_from_shapes(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=4)
        _export(records, tmp_path / str(seed), images="none")
        for record, document in _documents(tmp_path / str(seed), records):
            assert (document["imageWidth"], document["imageHeight"]) == record.size
            assert document["imageData"] is None
            _check_shapes(record, document, records.classes)


def test_a_part_that_is_gone_is_seen(tmp_path):
    records = random_records(4, num=8)
    _export(records, tmp_path, images="none")
    for record, document in _documents(tmp_path, records):
        if document["shapes"]:
            del document["shapes"][0]
            with pytest.raises((AssertionError, IndexError)):
                _check_shapes(record, document, records.classes)


def test_each_file_names_the_picture_beside_it(tmp_path):
    records = records_of_names()
    _export(records, tmp_path)
    files = files_of(tmp_path)
    documents = {name: json.loads(data) for name, data in files.items() if name.endswith(".json")}
    assert len(documents) == len(records)
    for name, document in documents.items():
        folder, slash, _ = name.rpartition("/")
        assert f"{folder}{slash}{document['imagePath']}" in files
        if name.startswith("renamed/"):
            assert document["path"] in {record.path for record in records}


def test_the_report_of_losses_meets_no_picture(tmp_path):
    records = records_of_names(("loss.jpg", "loss.json"))
    export_records(
        records,
        ExportRequest(
            format="labelme", folder=tmp_path / "x", classes=records.classes, read=records.read
        ),
    )
    assert read_losses(tmp_path / "x")["pictures"] == 2


def test_supervision_reads_the_same_regions(tmp_path):
    records = random_records(13, num=12, hostile=False)
    _export(records, tmp_path)
    data = supervision.DetectionDataset.from_labelme(
        str(tmp_path / "a"), str(tmp_path / "a"), force_masks=False
    )
    found = {path.removeprefix(f"{tmp_path}/"): boxes for path, _, boxes in data}
    here = {r.path: r for r in records if r.path.startswith("a/") and r.status == "done"}
    assert sorted(found) == sorted(here) != []
    for path, boxes in found.items():
        mapped = _mapped(here[path])
        assert [data.classes[i] for i in boxes.class_id] == [
            records.classes.names[i] for i in mapped.class_ids
        ]
        for row, box in enumerate(boxes.xyxy):
            if not mapped.masks or mapped.masks[row] is None:
                assert np.allclose(box, mapped.boxes[row], atol=1e-3)

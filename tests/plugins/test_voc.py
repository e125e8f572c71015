"""Pascal VOC files: read back by supervision and by the rules of its development kit."""

from __future__ import annotations

import os
from xml.etree import ElementTree

import numpy as np
import pytest
import supervision

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.output_folder import OutputNames
from groundplane.core.xml_text import xml_plain
from groundplane.plugins.voc import VocExporter, VocOptions
from groundplane.testing.annotations import (
    EXOTIC_CLASSES,
    GeneratedRecords,
    random_records,
    records_of_names,
)
from groundplane.testing.exporters import ExporterContract, export_into, files_of

_CASES = int(os.environ.get("GROUNDPLANE_CASES", "20"))


class TestWhole(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return VocExporter(VocOptions())


class TestFractions(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return VocExporter(VocOptions(fractions=True, images="none"))


def _export(records, folder, **options):
    return export_into(VocExporter(VocOptions(**options)), records, folder)


def _document(folder, records, record):
    names = OutputNames(r.path for r in records)
    return ElementTree.parse(folder / f"Annotations/{names.of(record.path)}.xml").getroot()


def _box(element):
    tags = ("xmin", "ymin", "xmax", "ymax")
    return [float(element.find(f"bndbox/{tag}").text) for tag in tags]


def _mapped(record):
    return record.regions.select(record.regions.class_ids >= 0)


def _done(records):
    return [record for record in records if record.status == "done"]


def _records_of(boxes, size=(30, 20), **columns):
    """One picture with boxes of one class."""
    n = len(boxes)
    regions = AnnotatedRegions(
        ids=tuple(map(str, range(n))),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.ones(n),
        prompt_ids=np.zeros(n, dtype=np.int64),
        class_ids=np.zeros(n, dtype=np.int64),
        kept=np.ones(n, dtype=bool),
        **columns,
    )
    record = AnnotationRecord(
        path="a.jpg", content_hash="", status="done", size=size, regions=regions
    )
    return GeneratedRecords(classes=ClassTable(names=("dog",), prompts=()), records=(record,))


@pytest.mark.parametrize(
    ("box", "written"),
    [
        ([0, 0, 30, 20], [1, 1, 30, 20]),
        ([10, 5, 20, 6], [11, 6, 20, 6]),
        ([9.5, 5, 20.01, 6], [10, 6, 21, 6]),
        ([3.2, 5, 3.4, 6], [4, 6, 4, 6]),
        ([3, 5, 3, 6], [4, 6, 4, 6]),
        ([30, 20, 30, 20], [30, 20, 30, 20]),
    ],
)
def test_pixels_are_counted_from_one_and_the_last_is_named(box, written, tmp_path):
    records = _records_of([box])
    report = _export(records, tmp_path)
    found = _document(tmp_path, records, records.records[0])
    assert _box(found.find("object")) == written
    empty = box[0] == box[2]
    assert ("boxes without area" in [loss.what for loss in report.losses]) is empty


def test_whole_boxes_cover_each_pixel_that_they_touch_and_lie_in_the_picture(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=4)
        _export(records, tmp_path / str(seed), images="none")
        for record in _done(records):
            root = _document(tmp_path / str(seed), records, record)
            for element, box in zip(root.findall("object"), _mapped(record).boxes, strict=True):
                x0, y0, x1, y1 = _box(element)
                assert 1 <= x0 <= x1 <= record.size[0]
                assert 1 <= y0 <= y1 <= record.size[1]
                if box[2] > box[0] and box[3] > box[1]:
                    low, high = np.floor(box[:2]).tolist(), np.ceil(box[2:]).tolist()
                    assert [x0 - 1, y0 - 1, x1, y1] == [*low, *high]


def test_fractions_come_back(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=4)
        _export(records, tmp_path / str(seed), images="none", fractions=True)
        for record in _done(records):
            root = _document(tmp_path / str(seed), records, record)
            found = np.array([_box(e) for e in root.findall("object")]).reshape(-1, 4)
            found[:, :2] -= 1
            assert np.array_equal(np.round(found, 2), _mapped(record).boxes)


def test_supervision_reads_the_same_boxes(tmp_path):
    records = random_records(13, num=12, hostile=False)
    _export(records, tmp_path)
    data = supervision.DetectionDataset.from_pascal_voc(
        str(tmp_path / "JPEGImages/a"), str(tmp_path / "Annotations/a")
    )
    found = {path.rpartition("/JPEGImages/")[2]: boxes for path, _, boxes in data}
    here = [record for record in _done(records) if record.path.startswith("a/")]
    assert sorted(found) == [record.path for record in here] != []
    for record in here:
        mapped = _mapped(record)
        wide = np.concatenate([np.floor(mapped.boxes[:, :2]), np.ceil(mapped.boxes[:, 2:])], axis=1)
        assert np.array_equal(found[record.path].xyxy, wide)
        assert [data.classes[i] for i in found[record.path].class_id] == [
            records.classes.names[i] for i in mapped.class_ids
        ]


# Texts ---------------------------------------------------------------------------------------


def test_names_of_any_script_come_back_and_what_xml_lacks_is_counted(tmp_path):
    names = (*EXOTIC_CLASSES, "bell\x07", "bell\ufffd", "end\r\n")
    example = _records_of([[0, 0, 1, 1]] * len(names))
    regions = example.records[0].regions
    classes = ClassTable(names=names, prompts=())
    regions.class_ids[:] = np.arange(len(names))
    records = GeneratedRecords(classes=classes, records=example.records)
    report = _export(records, tmp_path)
    found = [
        element.find("name").text
        for element in _document(tmp_path, records, records.records[0]).findall("object")
    ]
    assert len(set(found)) == len(names)
    same = [name for name in names if xml_plain(name) == name]
    assert [name for name in found if name in same] == same
    lost = {loss.what: loss.count for loss in report.losses}
    assert lost["names of classes"] == len(names) - len(same)


def test_paths_stand_in_the_file(tmp_path):
    records = records_of_names()
    report = _export(records, tmp_path)
    lost = {loss.what: loss.count for loss in report.losses}
    whole = [record for record in records if xml_plain(record.path) == record.path]
    assert lost["names of pictures"] == len(records) - len(whole)
    for record in whole:
        assert _document(tmp_path, records, record).find("path").text == record.path
    listed = (tmp_path / "ImageSets/Main/trainval.txt").read_text().splitlines()
    assert {f"Annotations/{name}.xml" for name in listed} <= files_of(tmp_path).keys()
    assert len(listed) == len(records)


def test_known_flags_are_written_and_others_counted(tmp_path):
    facts = ({"truncated": True, "occluded": False, "difficult": 1}, {"colour": "red"})
    records = _records_of([[0, 0, 1, 1]] * 2, attributes=facts)
    report = _export(records, tmp_path)
    first, second = _document(tmp_path, records, records.records[0]).findall("object")
    flags = ("truncated", "difficult", "occluded")
    assert [first.find(flag).text for flag in flags] == ["1", "0", "0"]
    assert [second.find(flag).text for flag in flags] == ["0", "0", "0"]
    assert {loss.what: loss.count for loss in report.losses}["attributes"] == 2

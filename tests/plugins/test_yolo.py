"""YOLO labels: boxes and masks come back from the numbers, names from `data.yaml`."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest
import supervision
import yaml

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.exporting import ExportTarget, Feature
from groundplane.core.masks import area, decode, encode, from_polygons, intersection_over_union
from groundplane.core.output_folder import OutputFolder, OutputNames
from groundplane.plugins.yolo import (
    YoloExporter,
    YoloOptions,
    YoloSegmentExporter,
    YoloSegmentOptions,
)
from groundplane.testing.annotations import (
    EXOTIC_CLASSES,
    GeneratedRecords,
    random_records,
    records_of_names,
)
from groundplane.testing.exporters import ExporterContract, export_into, files_of

_CASES = int(os.environ.get("GROUNDPLANE_CASES", "20"))


class TestBoxes(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return YoloExporter(YoloOptions())


class TestRings(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return YoloSegmentExporter(YoloSegmentOptions(images="none"))


class TestLargestRings(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return YoloSegmentExporter(YoloSegmentOptions(images="copy", parts="largest"))


def _boxes(folder, records, **options):
    return export_into(YoloExporter(YoloOptions(**options)), records, folder)


def _labels(folder, records, record):
    """The class ids and numbers of a picture."""
    names = OutputNames((r.path for r in records), avoid=("images", "labels"))
    text = (folder / f"labels/{names.of(record.path)}.txt").read_text()
    rows = [line.split() for line in text.splitlines()]
    return [int(row[0]) for row in rows], [np.array(row[1:], dtype=float) for row in rows]


def _done(records):
    return [record for record in records if record.status == "done"]


def _mapped(record):
    return record.regions.select(record.regions.class_ids >= 0)


def _check_boxes(folder, records):
    for record in _done(records):
        mapped = _mapped(record)
        ids, rows = _labels(folder, records, record)
        assert ids == mapped.class_ids.tolist()
        found = np.array(rows).reshape(-1, 4)
        assert (found >= 0).all()
        assert (found <= 1).all()
        found *= np.array(record.size * 2)
        corners = np.concatenate(
            [found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2], axis=1
        )
        assert np.abs(corners - mapped.boxes).max(initial=0) < 0.005


def test_boxes_come_back_to_a_two_hundredth_of_a_pixel(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=4)
        _boxes(tmp_path / str(seed), records)
        _check_boxes(tmp_path / str(seed), records)


def test_a_moved_box_is_seen(tmp_path):
    records = random_records(4, num=6, hostile=False)
    _boxes(tmp_path, records)
    file = next(f for f in sorted((tmp_path / "labels").rglob("*.txt")) if f.read_text())
    first = file.read_text().split()
    first[1] = f"{float(first[1]) * 0.9:.6f}"
    file.write_text(" ".join(first[:5]) + "\n" + "\n".join(file.read_text().splitlines()[1:]))
    with pytest.raises(AssertionError):
        _check_boxes(tmp_path, records)


def test_supervision_reads_the_same_boxes(tmp_path):
    records = random_records(13, num=12, hostile=False)
    _boxes(tmp_path, records)
    # It looks in one folder only.
    for folder in ("a", "b"):
        data = supervision.DetectionDataset.from_yolo(
            str(tmp_path / "images" / folder),
            str(tmp_path / "labels" / folder),
            str(tmp_path / "data.yaml"),
        )
        here = [r for r in _done(records) if r.path.startswith(f"{folder}/")]
        found = {path.rpartition("/images/")[2]: boxes for path, _, boxes in data}
        assert sorted(found) == [record.path for record in here] != []
        for record in here:
            mapped = _mapped(record)
            assert np.allclose(found[record.path].xyxy, mapped.boxes, atol=0.01)
            assert [data.classes[i] for i in found[record.path].class_id] == [
                records.classes.names[i] for i in mapped.class_ids
            ]


# Names ---------------------------------------------------------------------------------------


def test_class_names_of_any_script_come_back_from_the_yaml(tmp_path):
    odd = (*EXOTIC_CLASSES, "\x7f\x85\u2028\ufffe\x00 ", "a: &b *c !!d", "'", "%TAG")
    records = GeneratedRecords(classes=ClassTable(names=odd, prompts=()), records=())
    _boxes(tmp_path, records)
    document = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert document == {"train": "images", "val": "images", "names": dict(enumerate(odd))}


def test_half_a_surrogate_pair_in_a_class_name_is_counted(tmp_path):
    classes = ClassTable(names=("raw\udcff", "fine"), prompts=())
    report = _boxes(tmp_path, GeneratedRecords(classes=classes, records=()))
    document = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert document["names"] == {0: "raw\ufffd", 1: "fine"}
    assert {loss.what: loss.count for loss in report.losses} == {"names of classes": 1}


def test_no_classes_are_an_empty_table(tmp_path):
    _boxes(
        tmp_path,
        GeneratedRecords(classes=ClassTable(names=(), prompts=()), records=()),
        images="none",
    )
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {"names": {}}


def test_each_picture_has_its_labels_where_readers_look(tmp_path):
    records = records_of_names()
    _boxes(tmp_path, records)
    files = files_of(tmp_path)
    images = [name for name in files if name.startswith("images/")]
    assert len(images) == len(records)
    for image in images:
        # Ultralytics: img2label_paths
        labels = "/labels/".join(f"/{image}".rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        assert labels[1:] in files


def test_changed_names_are_told(tmp_path):
    records = records_of_names()
    _boxes(tmp_path, records)
    rows = [json.loads(line) for line in (tmp_path / "renamed.jsonl").read_text().splitlines()]
    assert {row["path"] for row in rows} < {record.path for record in records}
    assert all((tmp_path / f"labels/{row['name']}.txt").exists() for row in rows)


# Pictures ------------------------------------------------------------------------------------


def test_links_lead_to_the_source_and_frames_are_written(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.jpg").write_bytes(b"theirs")
    records = records_of_names(("a.jpg", "walk.mp4#7"))
    target = ExportTarget(
        folder=OutputFolder(tmp_path / "out"),
        classes=records.classes,
        read=records.read,
        locate=lambda r: None if r.frame else tmp_path / "src" / r.path,
    )
    assert "pictures" not in [
        loss.what for loss in YoloExporter(YoloOptions()).export(records, target).losses
    ]
    assert (tmp_path / "out/images/a.jpg").readlink() == tmp_path / "src/a.jpg"
    assert (tmp_path / "out/images/walk.mp4/7.png").read_bytes() == records.read(records.records[1])
    assert files_of(tmp_path / "src") == {"a.jpg": b"theirs"}


def test_pictures_that_cannot_be_had_are_counted(tmp_path):
    records = records_of_names(("a.jpg", "b.jpg"))
    target = ExportTarget(folder=OutputFolder(tmp_path), classes=records.classes)
    report = YoloExporter(YoloOptions()).export(records, target)
    assert {loss.what: loss.count for loss in report.losses}["pictures"] == 2


def test_failed_pictures_have_no_labels_and_empty_ones_an_empty_file(tmp_path):
    records = random_records(1, num=30, hostile=False)
    _boxes(tmp_path, records, images="none")
    files = {k: v for k, v in files_of(tmp_path).items() if k.startswith("labels/")}
    assert len(files) == len(_done(records)) < len(records)
    assert sum(not data for data in files.values()) == sum(
        not len(_mapped(record)) for record in _done(records)
    )


# Masks ---------------------------------------------------------------------------------------


def _rings(folder, records, **options):
    return export_into(YoloSegmentExporter(YoloSegmentOptions(**options)), records, folder)


def test_joined_rings_fill_back_to_the_very_masks(tmp_path):
    for seed in range(2, 2 + _CASES):
        records = random_records(seed, num=3)
        _rings(tmp_path / str(seed), records, images="none")
        for record in _done(records):
            mapped = _mapped(record)
            _, rows = _labels(tmp_path / str(seed), records, record)
            assert len(rows) == len(mapped)
            for row, mask in zip(rows, mapped.masks or (), strict=False):
                if mask is not None and area(mask):
                    assert _filled(row, record.size) == encode(decode(mask))


def _filled(row, size):
    pixels = row * np.resize(size, row.size)
    assert np.abs(pixels - pixels.round()).max() < 0.005
    return from_polygons([pixels.round().tolist()], size[::-1])


@pytest.fixture
def ring_with_island():
    """A thick ring with an island within, at 200 by 160 pixels."""
    pixels = np.zeros((160, 200), dtype=np.uint8)
    cv2.circle(pixels, (100, 80), 60, 1, -1)
    cv2.circle(pixels, (100, 80), 40, 0, -1)
    cv2.circle(pixels, (100, 80), 15, 1, -1)
    regions = AnnotatedRegions(
        ids=("r0",),
        boxes=np.array([[40.0, 20.0, 161.0, 141.0]]),
        scores=np.array([0.5]),
        prompt_ids=np.array([0]),
        class_ids=np.array([0]),
        kept=np.array([True]),
        masks=(encode(pixels.astype(bool)),),
    )
    record = AnnotationRecord(
        path="a.jpg", content_hash="", status="done", size=(200, 160), regions=regions
    )
    return GeneratedRecords(classes=ClassTable(names=("ring",), prompts=()), records=(record,))


@pytest.mark.parametrize(("parts", "least", "most"), [("joined", 0.9, 1), ("largest", 0.5, 0.7)])
def test_what_a_reader_that_draws_outlines_sees(parts, least, most, ring_with_island, tmp_path):
    _rings(tmp_path, ring_with_island, parts=parts)
    record = ring_with_island.records[0]
    row = _labels(tmp_path, ring_with_island, record)[1][0]
    # Ultralytics: polygon2mask, which draws the pixels on the line as well.
    drawn = np.zeros((160, 200), dtype=np.uint8)
    pixels = (row.reshape(-1, 2) * np.array(record.size)).astype(np.int32)
    cv2.fillPoly(drawn, [pixels], color=1)
    overlap = intersection_over_union([encode(drawn.astype(bool))], record.regions.masks)[0, 0]
    assert least < overlap < most


@pytest.mark.parametrize("parts", ["joined", "largest"])
def test_parts_and_holes_are_counted_with_what_stands_instead(parts, ring_with_island, tmp_path):
    report = _rings(tmp_path, ring_with_island, parts=parts)
    losses = {loss.what: (loss.count, loss.why) for loss in report.losses}
    for feature in (Feature.MASK_PARTS, Feature.MASK_HOLES):
        assert losses[feature.value][0] == 1
        assert ("lines of no width" if parts == "joined" else "largest") in losses[feature.value][1]


def test_supervision_reads_the_same_masks(tmp_path):
    records = random_records(22, num=12, hostile=False)
    _rings(tmp_path, records)
    seen = 0
    data = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images/a"),
        str(tmp_path / "labels/a"),
        str(tmp_path / "data.yaml"),
        force_masks=True,
    )
    by_path = {record.path: record for record in records}
    for path, _, found in data:
        record = by_path[path.rpartition("/images/")[2]]
        mapped = _mapped(record)
        assert found.class_id.tolist() == mapped.class_ids.tolist()
        seen += len(mapped)
    assert seen

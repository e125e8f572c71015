"""COCO files: whole, read back by us and by others, in both forms of masks."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import supervision
from pycocotools import mask as referee
from pycocotools.coco import COCO

from groundplane.core.errors import InputError
from groundplane.core.exporting import Feature
from groundplane.core.masks import area, decode
from groundplane.plugins.coco_json import CocoExporter, CocoOptions
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names
from groundplane.testing.exporters import (
    ExporterContract,
    export_into,
    files_of,
    record_differences,
)

# 2,000 with GROUNDPLANE_CASES=2000: half a minute.
_FILE = "annotations/instances_default.json"
_CASES = int(os.environ.get("GROUNDPLANE_CASES", "200"))


class TestRle(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CocoExporter(CocoOptions())


class TestPolygons(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CocoExporter(CocoOptions(masks="polygons", results=True))


class TestWithPictures(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CocoExporter(CocoOptions(images="copy"))


class TestWithoutExtras(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CocoExporter(CocoOptions(extras=False, results=True))

    @pytest.fixture
    def loads(self):
        return False


def _load(folder, **options):
    classes, records = CocoExporter(CocoOptions(**options)).load(folder)
    return classes, list(records)


def _check_round_trip(records, folder, **options):
    exporter = CocoExporter(CocoOptions(**options))
    assert export_into(exporter, records, folder).losses == ()
    classes, back = _load(folder, **options)
    assert classes == records.classes
    assert len(back) == len(records)
    assert [record_differences(a, b) for a, b in zip(records, back, strict=True)] == [[]] * len(
        back
    )


@pytest.mark.parametrize(("masks", "num"), [("rle", _CASES), ("polygons", _CASES // 10)])
def test_made_up_records_come_back_without_a_difference(masks, num, tmp_path):
    for seed in range(2, 2 + num):
        _check_round_trip(random_records(seed, num=2), tmp_path / f"{seed}", masks=masks)


def test_a_changed_file_is_no_round_trip(tmp_path):
    records = random_records(4, num=4)
    export_into(CocoExporter(CocoOptions()), records, tmp_path)
    file = tmp_path / _FILE
    file.write_text(file.read_text().replace('"score": 0.', '"score": 0.0', 1))
    back = _load(tmp_path)[1]
    differ = [record_differences(a, b) for a, b in zip(records, back, strict=True)]
    assert ["scores"] in differ


# Other readers -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # numpy 2
@pytest.mark.parametrize("masks", ["rle", "polygons"])
@pytest.mark.parametrize("seed", [2, 3, 14, 15])
def test_pycocotools_reads_the_same_boxes_and_masks(masks, seed, tmp_path):
    records = random_records(seed, num=12)
    export_into(CocoExporter(CocoOptions(masks=masks)), records, tmp_path)
    coco = COCO(str(tmp_path / _FILE))
    done = [record for record in records if record.status == "done"]
    assert len(coco.getImgIds()) == len(done)
    assert len(coco.getCatIds()) == len(records.classes.names)
    for image_id, record in zip(sorted(coco.getImgIds()), done, strict=True):
        _check_image(coco, image_id, record)


def _check_image(coco, image_id, record):
    image = coco.loadImgs([image_id])[0]
    assert (image["width"], image["height"]) == record.size
    mapped = record.regions.select(record.regions.class_ids >= 0)
    found = coco.loadAnns(sorted(coco.getAnnIds(imgIds=[image_id])))
    assert [a["category_id"] - 1 for a in found] == mapped.class_ids.tolist()
    assert [a["score"] for a in found] == mapped.scores.tolist()
    boxes = np.array([a["bbox"] for a in found]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    assert np.allclose(boxes, mapped.boxes, atol=1e-6)
    for annotation, mask in zip(found, mapped.masks or [None] * len(found), strict=True):
        if mask is None or not annotation["segmentation"]:
            assert mask is None or area(mask) == 0
            continue
        rle = coco.annToRLE(annotation)
        assert np.array_equal(referee.decode(rle).astype(bool), decode(mask))
        assert annotation["area"] == area(mask) == referee.area(rle)
        ours = {"size": list(mask.size), "counts": mask.counts}
        assert referee.iou([rle], [ours], [0])[0, 0] == (1.0 if area(mask) else 0.0)


def test_pycocotools_takes_the_results(tmp_path):
    records = random_records(12, num=12)
    export_into(CocoExporter(CocoOptions(results=True)), records, tmp_path)
    coco = COCO(str(tmp_path / _FILE))
    results = coco.loadRes(str(tmp_path / "results.json"))
    assert len(results.anns) == len(coco.anns) > 0
    assert [a["bbox"] for a in results.anns.values()] == [a["bbox"] for a in coco.anns.values()]


def test_supervision_reads_the_same_boxes(tmp_path):
    records = random_records(13, num=12, hostile=False)
    export_into(CocoExporter(CocoOptions()), records, tmp_path)
    for record in records:
        if record.status == "done":
            (tmp_path / record.path).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / record.path).write_bytes(records.read(record))
    data = supervision.DetectionDataset.from_coco(
        str(tmp_path), str(tmp_path / _FILE), force_masks=False
    )
    found = {path.removeprefix(f"{tmp_path}/"): boxes for path, _, boxes in data}
    done = [record for record in records if record.status == "done"]
    assert len(found) == len(done)
    for record in done:
        mapped = record.regions.select(record.regions.class_ids >= 0)
        assert np.allclose(found[record.path].xyxy, mapped.boxes, atol=1e-3)
        assert found[record.path].class_id.tolist() == mapped.class_ids.tolist()


# Our own reading -----------------------------------------------------------------------------


def test_pictures_are_called_as_they_stand_here_if_they_do(tmp_path):
    records = records_of_names()
    export_into(CocoExporter(CocoOptions(images="copy")), records, tmp_path)
    document = json.loads((tmp_path / _FILE).read_text())
    names = {f"images/{image['file_name']}" for image in document["images"]}
    assert names | {_FILE} == files_of(tmp_path).keys()
    assert len(names) == len(records)


def test_numbers_are_plain_and_no_time_is_told(tmp_path):
    records = random_records(3, num=2, hostile=False)
    export_into(CocoExporter(CocoOptions()), records, tmp_path)
    document = json.loads((tmp_path / _FILE).read_text())
    assert document["info"] == {"description": "made up"}
    assert list(document) == [
        "info", "licenses", "categories", "images", "annotations", "groundplane",
    ]  # fmt: skip


def test_what_has_no_extras_is_not_read_back(tmp_path):
    export_into(CocoExporter(CocoOptions(extras=False)), random_records(3), tmp_path)
    with pytest.raises(InputError, match="with extras"):
        _load(tmp_path)


def test_without_extras_failures_and_unmapped_regions_are_counted_with_their_reason(tmp_path):
    records = random_records(1, num=60)
    report = export_into(CocoExporter(CocoOptions(extras=False)), records, tmp_path)
    reasons = {loss.what: loss.why for loss in report.losses}
    assert reasons[Feature.UNMAPPED.value] == "an annotation has a category"
    assert reasons[Feature.FAILURES.value]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", None),
        ("images", [7]),
        ("annotations", {}),
        ("annotations", [{"id": 1, "image_id": 99, "bbox": [0, 0, 1, 1], "score": 1}]),
        ("annotations", [{"id": 1, "image_id": 1, "bbox": [0, 0, "1", 1], "score": 1}]),
        ("annotations", [{"id": 1, "image_id": 1, "bbox": [0, 0, 1, 1], "category_id": 9**9}]),
        ("annotations", [{"id": "1"}]),
        ("groundplane", []),
        ("groundplane", {"version": 2}),
        ("groundplane", {"version": 1}),
        ("groundplane", {"version": 1, "exact": "["}),
        ("groundplane", {"version": 1, "classes": {"names": [1], "prompts": []}}),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(field, value, tmp_path):
    export_into(CocoExporter(CocoOptions()), random_records(3, num=2, hostile=False), tmp_path)
    file = tmp_path / _FILE
    document = {**json.loads(file.read_text()), field: value}
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"instances_default\.json: .") as caught:
        _load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(data, tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / _FILE).write_bytes(data)
    with pytest.raises(InputError, match=r"instances_default\.json"):
        _load(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        _load(tmp_path)


def test_damaged_values_are_refused_or_read(tmp_path):
    records = random_records(5, num=2)
    export_into(CocoExporter(CocoOptions()), records, tmp_path)
    file = tmp_path / _FILE
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(int(os.environ.get("GROUNDPLANE_FUZZ", "40"))):
        spoiled = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            spoiled[at] = rng.choice(list(b'0-9"{}[],:ne.'))
        file.write_bytes(spoiled)
        try:
            _load(tmp_path)
        except InputError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message


def test_an_empty_run_has_no_losses(tmp_path):
    empty = GeneratedRecords(classes=random_records(1).classes, records=())
    _check_round_trip(empty, tmp_path)

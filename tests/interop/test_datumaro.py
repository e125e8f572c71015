"""datumaro reads our COCO, VOC and YOLO; it needs a network once, so it runs only when asked to.

GROUNDPLANE_INTEROP=1 python -m pytest tests/interop/test_datumaro.py
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

import groundplane
from groundplane.core.annotation import AnnotationPrompt, ClassTable
from groundplane.core.masks import area, decode
from groundplane.testing.annotations import EXOTIC_CLASSES, random_records
from groundplane.testing.exporters import export_into

READ = Path(__file__).parents[1] / "support" / "read_with_datumaro.py"
APART = ["uv", "run", "--no-project", "--isolated", "--with", "datumaro", "python"]
pytestmark = pytest.mark.skipif(
    "GROUNDPLANE_INTEROP" not in os.environ, reason="set GROUNDPLANE_INTEROP=1"
)

# Names that VOC and datumaro can hold: no blanks at the ends, no control characters.
_NAMES = tuple(name for name in EXOTIC_CLASSES if name.isprintable() and name.strip() == name)


@pytest.fixture
def records():
    classes = ClassTable(
        names=_NAMES,
        prompts=tuple(AnnotationPrompt(text=name, class_id=i) for i, name in enumerate(_NAMES)),
    )
    made = random_records(7, num=24, classes=classes, hostile=False)
    # datumaro takes the folders of YOLO for subsets, and the frames of a video for nothing.
    kept = tuple(r for r in made if r.path.startswith("a/"))
    return type(made)(classes=classes, records=kept)


def _read(records, folder, *, name, form, options=(), **given):
    exporter = groundplane.load("exporters", name, device="cpu", **given)
    export_into(exporter, records, folder)
    command = [*APART, str(READ), str(folder), form, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    items = json.loads(ended.stdout)
    done = [record for record in records if record.status == "done"]
    assert len(items) == len(done) > 0
    for record in done:
        stem = str(PurePosixPath(record.path).with_suffix(""))
        found = items.get(stem, items.get(stem.partition("/")[2]))
        yield record.regions.select(record.regions.class_ids >= 0), found


def _check_boxes(regions, found, *, within, wide=False):
    boxes = [entry for entry in found if entry["kind"] == "Bbox"]
    assert [entry["label"] for entry in boxes] == [_NAMES[i] for i in regions.class_ids]
    expected = regions.boxes
    if wide:
        expected = np.concatenate([np.floor(expected[:, :2]), np.ceil(expected[:, 2:])], axis=1)
    numbers = np.array([entry["box"] for entry in boxes]).reshape(-1, 4)
    assert np.abs(numbers - expected).max(initial=0) <= within


@pytest.mark.parametrize("masks", ["rle", "polygons"])
def test_datumaro_reads_coco(masks, records, tmp_path):
    for regions, found in _read(
        records, tmp_path, name="coco", form="coco_instances", masks=masks, images="copy"
    ):
        _check_boxes(regions, found, within=0.01)
        if masks == "rle":
            whole = [entry for entry in found if entry["kind"] == "RleMask"]
            expected = [mask for mask in regions.masks or () if mask is not None]
            assert [entry["area"] for entry in whole] == [area(mask) for mask in expected]
            places = [int(np.flatnonzero(decode(mask)).sum()) for mask in expected]
            assert [entry["places"] for entry in whole] == places


def test_datumaro_reads_voc(records, tmp_path):
    options = ("coordinate_mode=voc-one-based",)
    for regions, found in _read(
        records, tmp_path, name="voc", form="voc_detection", options=options
    ):
        full = (regions.boxes[:, 2:] > regions.boxes[:, :2]).all(axis=1)
        assert len(found) == len(regions)
        kept = [entry for entry, whole in zip(found, full, strict=True) if whole]
        _check_boxes(regions.select(full), kept, within=0, wide=True)


def test_datumaro_reads_voc_with_fractions(records, tmp_path):
    options = ("coordinate_mode=voc-one-based",)
    for regions, found in _read(
        records, tmp_path, name="voc", form="voc_detection", options=options, fractions=True
    ):
        _check_boxes(regions, found, within=0.01)


def test_datumaro_reads_yolo(records, tmp_path):
    for regions, found in _read(records, tmp_path, name="yolo", form="yolo"):
        _check_boxes(regions, found, within=0.01)

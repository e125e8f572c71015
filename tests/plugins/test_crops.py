"""Regions cut out of their pictures."""

import io
import json

import numpy as np
import pytest
from PIL import Image as PILImage

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
)
from groundplane.core.errors import InputError, MediaError
from groundplane.core.exporting import ExportTarget
from groundplane.core.output_folder import OutputFolder
from groundplane.plugins.crops import CropsExporter, CropsOptions
from groundplane.testing.exporters import ExporterContract, files_of

PIXELS = np.arange(30 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3)
CLASSES = ClassTable(
    names=("cup", "../hat"),
    prompts=(AnnotationPrompt(text="mug", class_id=0), AnnotationPrompt(text="hat", class_id=1)),
)


class TestCrops(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CropsExporter(CropsOptions())


class TestJpegCrops(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return CropsExporter(CropsOptions(format="jpeg", margin=0.2))


def record(*boxes, path="a/b.png", size=(40, 30), class_ids=None):
    n = len(boxes)
    ids = np.array([0] * n if class_ids is None else class_ids, dtype=np.int64)
    regions = AnnotatedRegions(
        ids=tuple(f"r{i}" for i in range(n)),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.full(n, 0.5),
        prompt_ids=ids,
        class_ids=ids,
        kept=np.ones(n, dtype=np.bool_),
    )
    return AnnotationRecord(path=path, content_hash="c", status="done", size=size, regions=regions)


def png(_record):
    data = io.BytesIO()
    PILImage.fromarray(PIXELS).save(data, "PNG")
    return data.getvalue()


def export(records, folder, *, read=png, **options):
    target = ExportTarget(folder=OutputFolder(folder), classes=CLASSES, read=read)
    CropsExporter(CropsOptions(**options)).export(records, target)
    return files_of(folder)


def test_a_crop_is_the_pixels_of_the_box_and_the_index_says_of_what(tmp_path):
    files = export([record((1, 2, 9, 8.5))], tmp_path)
    name = "0000-cup/00000000-00000.png"
    assert list(files) == [name, "crops.jsonl"]
    assert np.array_equal(np.array(PILImage.open(io.BytesIO(files[name]))), PIXELS[2:9, 1:9])
    line = json.loads(files["crops.jsonl"])
    assert (line["file"], line["path"], line["class"], line["prompt"]) == (
        name, "a/b.png", "cup", "mug",
    )  # fmt: skip
    assert (line["box"], line["pixels"]) == ([1, 2, 9, 8.5], [1, 2, 9, 9])


def test_a_class_whose_name_is_no_name_of_a_folder_goes_by_its_id(tmp_path):
    files = export([record((1, 2, 9, 8), (1, 2, 9, 8), class_ids=[1, -1])], tmp_path)
    assert list(files)[:1] + list(files)[2:] == [
        "0001/00000000-00000.png",
        "unmapped/00000000-00001.png",
    ]


def test_a_margin_is_cut_at_the_edge(tmp_path):
    files = export([record((0, 0, 10, 10))], tmp_path, margin=0.5)
    picture = PILImage.open(io.BytesIO(files["0000-cup/00000000-00000.png"]))
    assert picture.size == (15, 15)


def test_pictures_without_regions_are_not_read(tmp_path):
    def fail(_record):
        raise MediaError("gone")

    assert list(export([record()], tmp_path, read=fail)) == ["crops.jsonl"]


def test_a_picture_of_another_size_is_refused(tmp_path):
    with pytest.raises(MediaError, match="has 40 x 30 pixels, but 60 x 30 were annotated"):
        export([record((1, 2, 9, 8), size=(60, 30))], tmp_path)
    with pytest.raises(MediaError, match="cannot be had"):
        export([record((1, 2, 9, 8))], tmp_path / "x", read=None)


@pytest.mark.parametrize("options", [{"margin": -1}, {"margin": float("nan")}, {"quality": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="crops: expected"):
        CropsOptions(**options)

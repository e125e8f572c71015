"""The Label Studio exporter; what it writes is read by the rules that Label Studio publishes."""

from __future__ import annotations

import json
import os
import urllib.parse
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable, VideoFrame
from groundplane.core.errors import InputError, OutputError
from groundplane.core.exporting import Exporter, ExportTarget
from groundplane.core.masks import decode, encode
from groundplane.core.output_folder import OutputFolder
from groundplane.plugins.label_studio import (
    LabelStudioExporter,
    LabelStudioOptions,
    brush_bytes,
    read_label_config,
    region_results,
    result_faults,
)
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names
from groundplane.testing.exporters import ExporterContract, export_into, files_of

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))
CONFIG = (
    '<View><Image name="i" value="$image"/><RectangleLabels name="b" toName="i">'
    '<Label value="Car"/></RectangleLabels><BrushLabels name="m" toName="i">'
    '<Label value="Car"/></BrushLabels></View>'
)


def make(**options: object) -> Exporter:
    return LabelStudioExporter(LabelStudioOptions(**options))


class TestContract(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return make()


class TestContractOfCopies(ExporterContract):
    @pytest.fixture
    def examples(self) -> list[GeneratedRecords]:
        return [random_records(seed, num=5) for seed in (2, 3)]

    @pytest.fixture
    def exporter(self) -> Exporter:
        return make(images="copy", masks=False, shard=2)


# Reading as Label Studio does --------------------------------------------------------------------


def plain_unpack(data: list[int]) -> np.ndarray:
    """What the packed bits of a brush mean, value by value, one bit after the other."""
    bits = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    num = read(32)
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < num:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    assert len(values) == num
    assert len(bits) - place < 8, "bytes are left over"
    return np.array(values, dtype=np.uint8)


def tasks_of(folder: Path) -> list[dict]:
    return [t for path in sorted(folder.glob("tasks-*.json")) for t in json.loads(path.read_text())]


def done(example: GeneratedRecords) -> list[AnnotationRecord]:
    return [record for record in example if record.status == "done"]


def check_read_back(folder: Path, example: GeneratedRecords) -> None:
    """Compare all regions with what the tasks say, by the rules of the format alone."""
    config = ElementTree.fromstring((folder / "config.xml").read_text())
    labels = [tag.get("value") for tag in config.find("RectangleLabels")]
    assert len(set(labels)) == len(example.classes.names)
    for task, record in zip(tasks_of(folder), done(example), strict=True):
        results = [r for made in task["predictions"] for r in made["result"]]
        boxes = {r["id"][1:]: r for r in results if r["type"] == "rectanglelabels"}
        brushes = {r["parentID"][1:]: r for r in results if r["type"] == "brushlabels"}
        regions, (width, height) = record.regions, record.size
        mapped = np.flatnonzero(regions.class_ids >= 0).tolist()
        assert sorted(boxes) == sorted(map(str, mapped))
        for row in mapped:
            value = boxes[str(row)]["value"]
            x, y = value["x"] * width / 100, value["y"] * height / 100
            w, h = value["width"] * width / 100, value["height"] * height / 100
            assert np.allclose([x, y, x + w, y + h], regions.boxes[row], atol=1e-6)
            assert value["rectanglelabels"] == [labels[regions.class_ids[row]]]
            mask = regions.masks[row] if regions.masks else None
            assert (str(row) in brushes) == (mask is not None)
            if mask is not None:
                channels = plain_unpack(brushes[str(row)]["value"]["rle"]).reshape(height, width, 4)
                for channel in range(4):
                    assert ((channels[..., channel] > 128) == decode(mask)).all()


@settings(max_examples=40, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_brushes_unpack_to_the_mask(pixels: np.ndarray) -> None:
    found = plain_unpack(list(brush_bytes(encode(pixels)))).reshape(*pixels.shape, 4)
    assert (found == np.where(pixels, 255, 0)[..., None]).all()


@pytest.mark.parametrize("length", [1, 2, 4, 5, 64, 65, 16384, 16385, 32768, 50_000])
def test_runs_of_any_length_fit(length: int) -> None:
    pixels = np.ones((1, length + 1), dtype=bool)
    pixels[0, 0] = False
    found = plain_unpack(list(brush_bytes(encode(pixels))))
    assert (found.reshape(-1, 4)[:, 3] > 128).tolist() == pixels[0].tolist()


def test_a_mask_without_pixels_is_a_brush_of_none() -> None:
    assert plain_unpack(list(brush_bytes(encode(np.zeros((0, 3), dtype=bool))))).size == 0


def test_large_masks_are_small_brushes() -> None:
    pixels = np.zeros((4000, 4000), dtype=bool)
    pixels[100:3900, 100:3900] = True
    assert len(brush_bytes(encode(pixels))) < 40_000


def test_regions_stand_in_percent_with_their_masks(tmp_path: Path) -> None:
    for seed in range(1, 1 + max(CASES, 7)):
        example = random_records(seed, num=4)
        where = tmp_path / str(seed)
        export_into(make(shard=3), example, where)
        check_read_back(where, example)


def test_the_reading_back_notices_a_wrong_box(tmp_path: Path) -> None:
    example = random_records(1, num=4, hostile=False)
    export_into(make(), example, tmp_path)
    path = tmp_path / "tasks-00000.json"
    tasks = json.loads(path.read_text())
    results = [r for task in tasks for made in task["predictions"] for r in made["result"]]
    results[0]["value"]["x"] += 1
    path.write_text(json.dumps(tasks))
    with pytest.raises(AssertionError):
        check_read_back(tmp_path, example)


# What Label Studio would not show ----------------------------------------------------------------


def result_of(**changes: object) -> dict:
    value = {"x": 1, "y": 1, "width": 1, "height": 1, "rotation": 0, "rectanglelabels": ["Car"]}
    return {
        "id": "r0", "from_name": "b", "to_name": "i", "type": "rectanglelabels",
        "original_width": 4, "original_height": 3, "value": value, **changes,
    }  # fmt: skip


def test_a_good_result_has_no_fault() -> None:
    assert result_faults([result_of()], read_label_config(CONFIG)) == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (result_of(from_name="tag"), "from_name 'tag' is none of: b, m"),
        (result_of(to_name="img"), "to_name 'img'"),
        (result_of(type="brushlabels"), "type 'brushlabels'"),
        (result_of(from_name="m"), "type 'rectanglelabels' is not 'brushlabels'"),
        (result_of(value={"rectanglelabels": ["Cat"]}), "not labels of 'b'"),
        (result_of(value={"rectanglelabels": []}), "not labels of 'b'"),
        (result_of(value={**result_of()["value"], "x": float("nan")}), "not all numbers"),
        (result_of(value={**result_of()["value"], "rotation": None}), "not all numbers"),
        (result_of(original_width=0), "original_width"),
        (result_of(parentID="r9"), "parentID 'r9'"),
        (
            result_of(
                from_name="m", type="brushlabels", value={"rle": [0], "brushlabels": ["Car"]}
            ),
            "another size",
        ),
    ],
)
def test_faults_of_results_are_named(result: dict, said: str) -> None:
    (first, *_) = result_faults([result], read_label_config(CONFIG))
    assert said in " ".join(result_faults([result], read_label_config(CONFIG)))
    assert first.startswith("result 0: ")


def test_two_regions_of_one_id_are_a_fault() -> None:
    faults = result_faults([result_of(), result_of()], read_label_config(CONFIG))
    assert faults == ["result 0: id 'r0' stands twice", "result 1: id 'r0' stands twice"]


def test_a_mask_of_another_size_is_not_written(tmp_path: Path) -> None:
    regions = replace(
        AnnotatedRegions.empty(),
        ids=("a",),
        boxes=np.zeros((1, 4)),
        scores=np.zeros(1),
        prompt_ids=np.zeros(1, dtype=np.int64),
        class_ids=np.zeros(1, dtype=np.int64),
        kept=np.ones(1, dtype=bool),
        masks=(encode(np.ones((2, 2), dtype=bool)),),
    )
    record = AnnotationRecord(
        path="a.jpg", content_hash="", status="done", size=(4, 3), regions=regions
    )
    classes = random_records(1, num=0).classes
    with pytest.raises(OutputError, match="another size"):
        export_into(make(), GeneratedRecords(classes=classes, records=(record,)), tmp_path)
    assert not list(tmp_path.glob("tasks-*.json"))


# Configurations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected XML"),
        ("<View>", "expected XML"),
        ("<View/>", "Image tag"),
        ('<View><Image name="i"/></View>', "Image tag"),
        ('<View><Image name="i" value="$i"/></View>', "RectangleLabels or BrushLabels"),
        (CONFIG.replace('toName="i"', 'toName="other"'), "RectangleLabels or BrushLabels"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View/>', "declarations"),
        ("<View>" * 20_000, "expected XML"),
        ("<View>" + "x" * 5_000_000 + "</View>", "too long"),
        ("\0", "expected XML"),
    ],
)
def test_bad_configurations_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_label_config(text)
    assert "\n" not in str(caught.value)


def test_comments_in_a_configuration_are_fine() -> None:
    assert read_label_config(CONFIG.replace("<View>", "<View><!-- a -->")).image == "i"


def test_labels_are_reached_by_their_words() -> None:
    config = read_label_config(
        CONFIG.replace('value="Car"', 'value="Car" alias="auto" predicted_values="sports car, van"')
    )
    assert config.controls[0].labels == {"Car": ("sports car", "van", "auto", "Car")}


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6, unique=True))
def test_classes_of_any_name_get_labels_of_their_own(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    classes = ClassTable(names=tuple(names), prompts=())
    make().export((), ExportTarget(folder=OutputFolder(folder), classes=classes))
    config = read_label_config((folder / "config.xml").read_text(encoding="utf-8"))
    for control in config.controls:
        assert len(control.labels) == len(names)
    plain = [n for n in names if n.isprintable() and n == " ".join(n.split())]
    assert set(plain) <= set(config.controls[0].labels)


def test_a_label_that_a_tag_does_not_know_is_left_out() -> None:
    record = next(r for r in random_records(3, num=9) if len(r.regions))
    config = read_label_config(CONFIG)
    labels = ["Cat"] * len(record.regions)
    found = region_results(record.regions, config=config, labels=labels, size=(4, 3))
    assert list(found) == []


# Addresses ---------------------------------------------------------------------------------------


def test_addresses_lead_back_to_the_path(tmp_path: Path) -> None:
    example = records_of_names()
    export_into(make(prefix="https://host/p/"), example, tmp_path)
    for task, record in zip(tasks_of(tmp_path), example, strict=True):
        address = task["data"]["image"].removeprefix("https://host/p/")
        assert urllib.parse.unquote_to_bytes(address) == os.fsencode(record.path)
        assert address.isascii()
        assert not set(address) & set("?#&\\ \n")


def test_copies_lie_where_their_addresses_say(tmp_path: Path) -> None:
    example = random_records(4, num=6)
    export_into(make(images="copy", prefix=""), example, tmp_path)
    for task, record in zip(tasks_of(tmp_path), done(example), strict=True):
        where = tmp_path / urllib.parse.unquote(task["data"]["image"])
        assert where.read_bytes() == example.read(record)


def test_frames_of_a_video_have_no_address_but_as_copies(tmp_path: Path) -> None:
    frame = VideoFrame(video="a.mp4", index=3, time=0.1)
    record = AnnotationRecord(
        path="a.mp4#3", content_hash="", status="done", size=(4, 3), frame=frame
    )
    example = GeneratedRecords(classes=random_records(1).classes, records=(record,))
    linked = export_into(make(), example, tmp_path / "a")
    assert [loss.what for loss in linked.losses] == ["addresses of the frames of videos"]
    assert export_into(make(images="copy"), example, tmp_path / "b").losses == ()


def test_copies_need_pictures(tmp_path: Path) -> None:
    example = random_records(1, num=2)
    target = ExportTarget(folder=OutputFolder(tmp_path), classes=example.classes)
    with pytest.raises(InputError, match="images"):
        make(images="copy").export(example, target)
    assert files_of(tmp_path) == {}


def test_texts_are_such_that_databases_hold_them(tmp_path: Path) -> None:
    export_into(make(), records_of_names(), tmp_path)
    text = (tmp_path / "tasks-00000.json").read_text(encoding="utf-8")
    assert "\\u0000" not in text
    assert json.loads(text.encode("utf-8"))


def test_a_shard_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="shard"):
        make(shard=0)

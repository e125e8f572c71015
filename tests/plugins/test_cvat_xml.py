"""The CVAT exporter; its files are read by their published rules and by cvat-sdk's own decoder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cvat_sdk.masks import decode_mask

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable, VideoFrame
from groundplane.core.exporting import Exporter, Feature
from groundplane.core.masks import decode, encode, from_polygons
from groundplane.core.xml_text import xml_plain
from groundplane.plugins.cvat_xml import CvatExporter, CvatOptions
from groundplane.testing.annotations import GeneratedRecords, random_records, records_of_names
from groundplane.testing.exporters import ExporterContract, export_into

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))


def make(**options: object) -> Exporter:
    return CvatExporter(CvatOptions(**options))


class TestContract(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return make()


class TestContractOfPlainBoxes(ExporterContract):
    @pytest.fixture
    def examples(self) -> list[GeneratedRecords]:
        return [random_records(seed, num=5) for seed in (2, 3)]

    @pytest.fixture
    def exporter(self) -> Exporter:
        return make(masks="none", facts=False)


def pictures(example: GeneratedRecords) -> list[AnnotationRecord]:
    return [record for record in example if record.status == "done" and record.frame is None]


def mapped(record: AnnotationRecord) -> list[int]:
    return np.flatnonzero(record.regions.class_ids >= 0).tolist()


def box_of(shape: ElementTree.Element) -> list[float]:
    return [float(shape.get(name)) for name in ("xtl", "ytl", "xbr", "ybr")]


def mask_of(shape: ElementTree.Element, width: int, height: int) -> np.ndarray:
    """By cvat-sdk, whose points end in the box's corners, the last ones included."""
    left, top, w, h = (int(shape.get(name)) for name in ("left", "top", "width", "height"))
    points = [*map(int, shape.get("rle").split(",")), left, top, left + w - 1, top + h - 1]
    return decode_mask(points, image_width=width, image_height=height)


def facts_of(shape: ElementTree.Element) -> dict[str, str]:
    return {fact.get("name"): fact.text or "" for fact in shape.iter("attribute")}


def check_pictures(folder: Path, example: GeneratedRecords) -> None:
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    labels = [tag.text for tag in root.iterfind("meta/task/labels/label/name")]
    images = root.findall("image")
    assert [int(image.get("id")) for image in images] == list(range(len(images)))
    assert root.findtext("meta/task/size") == str(len(images))
    for image, record in zip(images, pictures(example), strict=True):
        assert image.get("name") == xml_plain(record.path)
        assert (int(image.get("width")), int(image.get("height"))) == record.size
        for shape, row in zip(image, mapped(record), strict=True):
            assert shape.get("label") == labels[record.regions.class_ids[row]]
            assert float(facts_of(shape)["score"]) == pytest.approx(record.regions.scores[row])
            mask = record.regions.masks[row] if record.regions.masks else None
            if mask is None:
                assert shape.tag == "box"
                assert box_of(shape) == record.regions.boxes[row].tolist()
            else:
                assert (mask_of(shape, *record.size) == decode(mask)).all()


def test_pictures_hold_boxes_and_masks(tmp_path: Path) -> None:
    for seed in range(1, 1 + max(CASES, 7)):
        example = random_records(seed, num=4)
        export_into(make(), example, tmp_path / str(seed))
        check_pictures(tmp_path / str(seed), example)


def test_the_reading_back_notices_a_wrong_box(tmp_path: Path) -> None:
    example = GeneratedRecords(classes=DOGS, records=(one_region(),))
    export_into(make(), example, tmp_path)
    check_pictures(tmp_path, example)
    path = tmp_path / "annotations.xml"
    root = ElementTree.parse(path)
    shape = next(root.iter("box"))
    shape.set("xtl", str(float(shape.get("xtl")) + 1))
    root.write(path)
    with pytest.raises(AssertionError):
        check_pictures(tmp_path, example)


def test_polygons_of_one_region_are_one_group_and_fill_to_the_mask(tmp_path: Path) -> None:
    example = random_records(2, num=9, hostile=False)
    export_into(make(masks="polygons"), example, tmp_path)
    seen = 0
    for image, record in zip(
        ElementTree.parse(tmp_path / "annotations.xml").iter("image"),
        pictures(example),
        strict=True,
    ):
        width, height = record.size
        for row in mapped(record):
            mask = record.regions.masks[row] if record.regions.masks else None
            name = record.regions.ids[row]
            shapes = [shape for shape in image if facts_of(shape)["region"] == name]
            if mask is None or not decode(mask).any():
                assert [shape.tag for shape in shapes] == ["box"]
                continue
            seen += 1
            rings = [
                [float(n) for point in shape.get("points").split(";") for n in point.split(",")]
                for shape in shapes
            ]
            filled = decode(from_polygons(rings, (height, width)))
            assert (filled == decode(mask)).all()
            groups = {shape.get("group_id") for shape in shapes}
            assert len(groups) == 1
            assert (groups == {None}) == (len(shapes) == 1)
    assert seen > 3


def test_declared_attributes_and_labels_are_those_that_shapes_have(tmp_path: Path) -> None:
    example = random_records(4, num=8)
    export_into(make(), example, tmp_path)
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    declared = {
        tag.text for tag in root.find("meta/task/labels/label").iterfind(".//attribute/name")
    }
    used = {
        name for shape in root.iter() if shape.tag in ("box", "mask") for name in facts_of(shape)
    }
    assert used <= declared
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert [label["name"] for label in labels] == [
        tag.text for tag in root.iterfind("meta/task/labels/label/name")
    ]
    assert {entry["name"] for entry in labels[0]["attributes"]} == declared


def test_a_fact_of_the_name_of_ours_keeps_its_own_name(tmp_path: Path) -> None:
    record = one_region(attributes=({"score": "high", "fact score": 1, "big": True},))
    export_into(make(), GeneratedRecords(classes=DOGS, records=(record,)), tmp_path)
    shape = next(ElementTree.parse(tmp_path / "annotations.xml").iter("box"))
    facts = facts_of(shape)
    assert facts["score"] == "0.5000"
    assert facts["fact score"] == "1"
    assert facts["fact score (2)"] == "high"
    assert facts["big"] == "true"


def test_names_that_xml_cannot_hold_are_counted(tmp_path: Path) -> None:
    report = export_into(make(), records_of_names(("a\0b.jpg", "a\nb.jpg", "c.jpg")), tmp_path)
    counts = {loss.what: loss.count for loss in report.losses}
    assert counts["names of pictures that XML cannot hold"] == 1
    names = [i.get("name") for i in ElementTree.parse(tmp_path / "annotations.xml").iter("image")]
    assert names == ["a\ufffdb.jpg", "a\nb.jpg", "c.jpg"]


def test_what_is_held_follows_the_options() -> None:
    assert Feature.MASKS in make().holds
    assert Feature.MASKS not in make(masks="none").holds
    assert Feature.SCORES not in make(facts=False).holds


# Videos ------------------------------------------------------------------------------------------

DOGS = ClassTable(names=("dog", "cat"), prompts=())


def one_region(**changes: object) -> AnnotationRecord:
    return frame_of([(0, 0)], **changes)


def frame_of(
    seen: list[tuple[int, int]], *, at: int | None = None, video: str = "a.mp4", **changes: object
) -> AnnotationRecord:
    """A picture, or a video's frame, with a box for each track and class."""
    n = len(seen)
    regions = replace(
        AnnotatedRegions.empty(),
        ids=tuple(f"r{i}" for i in range(n)),
        boxes=np.array([[i, at or 0, i + 1, 5] for i in range(n)], dtype=float).reshape(-1, 4),
        scores=np.full(n, 0.5),
        prompt_ids=np.full(n, -1),
        class_ids=np.array([class_id for _, class_id in seen], dtype=np.int64),
        kept=np.ones(n, dtype=bool),
        track_ids=np.array([track for track, _ in seen], dtype=np.int64),
        **changes,
    )
    frame = None if at is None else VideoFrame(video=video, index=at, time=at / 30)
    path = "a.jpg" if at is None else f"{video}#{at}"
    return AnnotationRecord(
        path=path, content_hash="", status="done", size=(20, 10), regions=regions, frame=frame
    )


def exported(folder: Path, *records: AnnotationRecord, **options: object) -> Path:
    ordered = tuple(sorted(records, key=lambda record: record.path))
    export_into(make(**options), GeneratedRecords(classes=DOGS, records=ordered), folder)
    return folder


def tracks_of(path: Path) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    for track in ElementTree.parse(path).iter("track"):
        boxes = [(int(box.get("frame")), box.get("outside")) for box in track.iter("box")]
        yield track.get("label"), boxes


def test_a_track_goes_outside_where_the_next_frame_has_it_no_more(tmp_path: Path) -> None:
    frames = [frame_of([(7, 0)], at=at) if at not in (4, 10) else frame_of([], at=at)
              for at in (0, 2, 4, 6, 8, 10, 12)]  # fmt: skip
    (track,) = tracks_of(exported(tmp_path, *frames) / "videos/a.xml")
    expected = [(0, "0"), (2, "0"), (4, "1"), (6, "0"), (8, "0"), (10, "1"), (12, "0")]
    assert track == ("dog", expected)


def test_frames_of_any_order_make_tracks_in_order(tmp_path: Path) -> None:
    frames = [frame_of([(7, 0)], at=at) for at in range(12)]  # as texts 10 comes before 2
    (track,) = tracks_of(exported(tmp_path, *frames) / "videos/a.xml")
    assert [index for index, _ in track[1]] == list(range(12))


def test_a_box_without_a_track_is_a_track_of_its_own_frame(tmp_path: Path) -> None:
    frames = [frame_of([(-1, 1), (-1, 1)], at=0), frame_of([], at=1)]
    tracks = list(tracks_of(exported(tmp_path, *frames) / "videos/a.xml"))
    assert tracks == [("cat", [(0, "0"), (1, "1")])] * 2


def test_a_track_of_two_classes_is_two(tmp_path: Path) -> None:
    frames = [frame_of([(3, 0)], at=0), frame_of([(3, 1)], at=1)]
    tracks = list(tracks_of(exported(tmp_path, *frames) / "videos/a.xml"))
    assert tracks == [("dog", [(0, "0"), (1, "1")]), ("cat", [(1, "0")])]


def test_a_track_that_is_twice_in_a_frame_does_not_lose_a_box(tmp_path: Path) -> None:
    path = exported(tmp_path, frame_of([(3, 0), (3, 0)], at=0)) / "videos/a.xml"
    assert [boxes for _, boxes in tracks_of(path)] == [[(0, "0")], [(0, "0")]]


def test_each_video_has_a_file_and_pictures_another(tmp_path: Path) -> None:
    videos = [frame_of([(1, 0)], at=at, video=name) for at in (0, 1) for name in ("b.mp4", "B.mp4")]
    exported(tmp_path, *videos, frame_of([(0, 0)]))
    assert len(list((tmp_path / "videos").rglob("*.xml"))) == 2
    assert len(list(ElementTree.parse(tmp_path / "annotations.xml").iter("image"))) == 1
    root = ElementTree.parse(next((tmp_path / "videos").rglob("*.xml"))).getroot()
    assert root.findtext("meta/task/mode") == "interpolation"
    assert root.findtext("meta/task/original_size/width") == "20"


def test_masks_of_videos_are_counted(tmp_path: Path) -> None:
    record = frame_of([(1, 0)], at=0, masks=(encode(np.ones((10, 20), dtype=bool)),))
    example = GeneratedRecords(classes=DOGS, records=(record,))
    report = export_into(make(), example, tmp_path)
    assert "masks in videos" in {loss.what for loss in report.losses}

"""The FiftyOne exporter, read back by the rules of its importers; FiftyOne itself is not here."""

from __future__ import annotations

import base64
import io
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable, VideoFrame
from groundplane.core.errors import InputError
from groundplane.core.exporting import Exporter, ExportTarget
from groundplane.core.masks import decode, encode
from groundplane.core.output_folder import OutputFolder
from groundplane.plugins.fiftyone import FiftyOneExporter, FiftyOneOptions
from groundplane.testing.annotations import GeneratedRecords, random_records
from groundplane.testing.exporters import ExporterContract, export_into, files_of

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))
DOGS = ClassTable(names=("dog",), prompts=())


def make(**options: object) -> Exporter:
    return FiftyOneExporter(FiftyOneOptions(**options))


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
        return make(images="copy", field="found")


def document(path: Path) -> dict:
    return json.loads(path.read_text())


def mask_of(detection: dict, size: tuple[int, int]) -> np.ndarray | None:
    """A detection's mask in the picture, as FiftyOne draws it: stretched over its box."""
    if "mask" not in detection:
        return None
    data = zlib.decompress(base64.b64decode(detection["mask"]["$binary"]["base64"]))
    crop = np.load(io.BytesIO(data), allow_pickle=False)
    width, height = size
    x, y, w, h = detection["bounding_box"]
    left, top = round(x * width), round(y * height)
    assert crop.shape == (round(h * height), round(w * width))
    whole = np.zeros((height, width), dtype=bool)
    whole[top : top + crop.shape[0], left : left + crop.shape[1]] = crop > 0
    return whole


def check_regions(found: dict, record: AnnotationRecord, classes: ClassTable) -> None:
    assert found["_cls"] == "Detections"
    regions, (width, height) = record.regions, record.size
    for row, detection in enumerate(found["detections"]):
        class_id = int(regions.class_ids[row])
        assert detection["_cls"] == "Detection"
        assert (detection["label"] is None) == (class_id < 0)
        assert detection["confidence"] == regions.scores[row]
        x, y, w, h = detection["bounding_box"]
        box = [x * width, y * height, (x + w) * width, (y + h) * height]
        expected = regions.boxes[row].tolist()
        assert np.allclose(detection.get("box_pixels", box), expected, atol=1e-6)
        mask = regions.masks[row] if regions.masks else None
        drawn = mask_of(detection, record.size)
        if mask is not None and decode(mask).any():
            assert (drawn == decode(mask)).all()
        else:
            assert drawn is None
    assert len(found["detections"]) == len(regions)


def test_pictures_and_videos_come_back(tmp_path: Path) -> None:
    for seed in range(1, 1 + max(CASES, 7)):
        example = random_records(seed, num=5)
        folder = tmp_path / str(seed)
        export_into(make(), example, folder)
        done = [record for record in example if record.status == "done"]
        samples = document(folder / "samples.json")["samples"]
        pictures = [record for record in done if record.frame is None]
        for sample, record in zip(samples, pictures, strict=True):
            check_regions(sample["groundplane"], record, example.classes)
            assert (sample["metadata"]["width"], sample["metadata"]["height"]) == record.size
        for record in done:
            if record.frame is not None:
                (video,) = document(folder / "videos/samples.json")["samples"]
                frames = document(folder / "videos" / video["frames"])["frames"]
                frame = frames[str(record.frame.index + 1)]
                assert frame["frame_number"] == record.frame.index + 1
                check_regions(frame["groundplane"], record, example.classes)


def test_the_reading_back_notices_a_wrong_mask(tmp_path: Path) -> None:
    pixels = np.zeros((6, 8), dtype=bool)
    pixels[2:4, 3:7] = True
    record = picture(masks=(encode(pixels),))
    export_into(make(), GeneratedRecords(classes=DOGS, records=(record,)), tmp_path)
    found = document(tmp_path / "samples.json")["samples"][0]["groundplane"]
    check_regions(found, record, DOGS)
    other = replace(record, regions=replace(record.regions, masks=(encode(~pixels),)))
    with pytest.raises(AssertionError):
        check_regions(found, other, DOGS)


def picture(path: str = "a.jpg", *, frame: VideoFrame | None = None, **changes: object):
    regions = replace(
        AnnotatedRegions.empty(),
        ids=("r",),
        boxes=np.array([[1.0, 2.0, 5.0, 4.0]]),
        scores=np.array([0.5]),
        prompt_ids=np.array([-1]),
        class_ids=np.array([0]),
        kept=np.array([True]),
        **changes,
    )
    return AnnotationRecord(
        path=path, content_hash="", status="done", size=(8, 6), regions=regions, frame=frame
    )


def test_each_video_has_a_file_of_its_frames(tmp_path: Path) -> None:
    records = tuple(
        picture(f"{name}#{i}", frame=VideoFrame(video=name, index=i, time=i / 30))
        for name in ("A.mp4", "a.avi", "a.mp4")
        for i in (0, 10, 2)
    )
    export_into(make(), GeneratedRecords(classes=DOGS, records=records), tmp_path)
    samples = document(tmp_path / "videos/samples.json")["samples"]
    assert [sample["filepath"] for sample in samples] == ["A.mp4", "a.avi", "a.mp4"]
    for sample in samples:
        frames = document(tmp_path / "videos" / sample["frames"])["frames"]
        assert list(frames) == ["1", "11", "3"]
    assert document(tmp_path / "videos/metadata.json")["media_type"] == "video"
    assert document(tmp_path / "samples.json") == {"samples": []}


def test_what_breaks_off_leaves_no_half_a_file_of_frames(tmp_path: Path) -> None:
    class Broken:
        rounds = 0

        def __len__(self) -> int:
            return 2

        def __iter__(self):
            self.rounds += 1
            yield picture("a.mp4#0", frame=VideoFrame(video="a.mp4", index=0, time=0.0))
            if self.rounds == 2:  # the one before learns the names of videos
                raise RuntimeError("the log is gone")

    target = ExportTarget(folder=OutputFolder(tmp_path), classes=DOGS)
    with pytest.raises(RuntimeError):
        make().export(Broken(), target)
    assert list(files_of(tmp_path)) == ["metadata.json"]


def test_metadata_has_no_version_which_would_ask_for_a_databases_documents(tmp_path: Path) -> None:
    export_into(make(), random_records(1, num=1), tmp_path)
    metadata = document(tmp_path / "metadata.json")
    assert metadata["media_type"] == "image"
    assert metadata["default_classes"] == ["dog"]
    assert "version" not in metadata


def test_pictures_are_named_below_the_root_or_copied(tmp_path: Path) -> None:
    example = GeneratedRecords(classes=DOGS, records=(picture("b/a.jpg"),))
    export_into(make(root="/photos/"), example, tmp_path / "a")
    assert document(tmp_path / "a/samples.json")["samples"][0]["filepath"] == "/photos/b/a.jpg"
    export_into(make(images="copy"), example, tmp_path / "b")
    (sample,) = document(tmp_path / "b/samples.json")["samples"]
    assert (tmp_path / "b" / sample["filepath"]).read_bytes() == example.read(example.records[0])


def test_pictures_are_named_where_they_lie(tmp_path: Path) -> None:
    record = picture("b/a.jpg")
    for place, named in ((Path("/photos/b/a.jpg"), "/photos/b/a.jpg"), (None, "b/a.jpg")):
        folder = OutputFolder(tmp_path / str(place is None))
        target = ExportTarget(folder=folder, classes=DOGS, locate=lambda _, place=place: place)
        example = GeneratedRecords(classes=DOGS, records=(record,))
        report = make().export(example, target)
        assert document(folder.path / "samples.json")["samples"][0]["filepath"] == named
        assert ("places of pictures" in {loss.what for loss in report.losses}) == (place is None)


def test_facts_and_tracks_are_fields(tmp_path: Path) -> None:
    record = picture(attributes=({"a.b": 1, "$c": True},), track_ids=np.array([7]))
    export_into(make(), GeneratedRecords(classes=DOGS, records=(record,)), tmp_path)
    (detection,) = document(tmp_path / "samples.json")["samples"][0]["groundplane"]["detections"]
    assert detection["facts"] == ["a.b: 1", "$c: True"]
    assert detection["index"] == 7


@pytest.mark.parametrize("field", ["", "a b", "_x", "filepath", "1a"])
def test_fields_that_fiftyone_refuses_are_refused(field: str) -> None:
    with pytest.raises(InputError, match="field"):
        make(field=field)


def test_copies_need_pictures(tmp_path: Path) -> None:
    example = random_records(1, num=2)
    target = ExportTarget(folder=OutputFolder(tmp_path), classes=example.classes)
    with pytest.raises(InputError, match="images"):
        make(images="copy").export(example, target)
    assert files_of(tmp_path) == {}

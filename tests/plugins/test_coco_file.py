import copy
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.masks import RleMask, decode, encode
from groundplane.core.media import read_image
from groundplane.plugins.coco_file import CocoFileDetector, CocoFileOptions
from groundplane.testing.detectors import DetectorContract

COCO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "coco"
needs_data = pytest.mark.skipif(not COCO.is_dir(), reason="the folder ../shared/data is absent")

DOCUMENT = {
    "images": [
        {"id": 7, "file_name": "train/room.jpg", "width": 40, "height": 20},
        {"id": 8, "file_name": "empty.png", "width": 10, "height": 10},
    ],
    "categories": [
        {"id": 1, "name": "person"},
        {"id": 2, "name": "couch"},
        {"id": 5, "name": "dining table"},
    ],
    "annotations": [
        {"id": 11, "image_id": 7, "category_id": 1, "bbox": [2, 3, 10, 5], "iscrowd": 0,
         "segmentation": [[2, 3, 12, 3, 12, 8, 2, 8]]},
        {"id": 12, "image_id": 7, "category_id": 1, "bbox": [20, 0, 20, 20], "iscrowd": 1,
         "segmentation": {"size": [20, 40], "counts": [400, 400]}},
        {"id": 13, "image_id": 7, "category_id": 2, "bbox": [0, 10, 8.5, 10], "iscrowd": 0,
         "segmentation": [[0, 10, 8, 10, 8, 20, 0, 20]]},
    ],
}  # fmt: skip


def write(folder: Path, document: object) -> Path:
    path = folder / "instances.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def make(folder: Path, document: object = DOCUMENT, **options: object) -> CocoFileDetector:
    return CocoFileDetector(CocoFileOptions(annotations=write(folder, document), **options))


def image(name: str = "room.jpg", *, size=(40, 20), frame_map=None) -> Image:
    return Image(
        pixels=np.zeros((size[1], size[0], 3), np.uint8),
        source=Source(name=name, content_hash="0"),
        frame_map=frame_map or FrameMap.identity(),
    )


def find(detector: CocoFileDetector, picture: Image, *phrases: str) -> DetectResult:
    return detector.detect([DetectRequest(image=picture, phrases=phrases)])[0]


def changed(path: tuple, value: object) -> dict:
    """The document with one place replaced."""
    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


class TestAnswers:
    def test_regions_are_those_of_the_file(self, tmp_path):
        regions = find(make(tmp_path), image(), "couch", "person").regions
        assert regions.ids == ("ann-13", "ann-11", "ann-12")
        assert regions.boxes.tolist() == [[0, 10, 8.5, 20], [2, 3, 12, 8], [20, 0, 40, 20]]
        assert regions.scores.tolist() == [1, 1, 1]
        assert regions.phrase_ids.tolist() == [0, 1, 1]

    @pytest.mark.parametrize("phrase", ["people", "the persons", "human", "PERSON"])
    def test_other_words_for_a_category_are_understood(self, tmp_path, phrase):
        assert len(find(make(tmp_path), image(), phrase).regions) == 2

    def test_a_kind_is_found_and_said(self, tmp_path):
        result = find(make(tmp_path), image(), "table")
        assert result.outcomes == (Outcome.NONE,)
        assert result.note == "'table' was taken as: dining table"

    def test_found_none_and_cannot_are_told_apart(self, tmp_path):
        result = find(make(tmp_path), image(), "sofa", "dining table", "unicorn")
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE, Outcome.CANNOT)
        assert result.note == (
            "this expert cannot look for 'unicorn'; it knows: person, couch, dining table"
        )

    def test_a_colour_is_not_claimed(self, tmp_path):
        result = find(make(tmp_path), image(), "blue couch")
        assert result.outcomes == (Outcome.CANNOT,)
        assert "cannot check 'blue'" in result.note

    def test_a_region_is_given_for_each_phrase_that_it_answers(self, tmp_path):
        regions = find(make(tmp_path), image(), "couch", "sofas").regions
        assert regions.ids == ("ann-13", "ann-13/1")
        assert regions.phrase_ids.tolist() == [0, 1]

    def test_a_picture_without_annotations_has_none(self, tmp_path):
        result = find(make(tmp_path), image("empty.png", size=(10, 10)), "person")
        assert result.outcomes == (Outcome.NONE,)
        assert result.regions.boxes.shape == (0, 4)

    def test_a_threshold_of_one_keeps_all(self, tmp_path):
        request = DetectRequest(image=image(), phrases=("person",), thresholds=(1.0,))
        assert len(make(tmp_path).detect([request])[0].regions) == 2

    def test_masks_are_filled(self, tmp_path):
        masks = find(make(tmp_path), image(), "person", "couch").regions.masks
        assert [int(decode(mask).sum()) for mask in masks] == [50, 400, 80]
        assert decode(masks[0])[3:8, 2:12].all()
        assert decode(masks[1])[:, 20:].all()

    def test_without_a_segmentation_there_are_no_masks_and_it_is_said(self, tmp_path):
        document = changed(("annotations", 0, "segmentation"), [])
        result = find(make(tmp_path, document), image(), "person")
        assert result.regions.masks is None
        assert result.note.endswith(
            "no masks: annotations[0] of 'instances.json' has no segmentation"
        )

    def test_compressed_runs_are_read(self, tmp_path):
        mask = np.zeros((20, 40), dtype=bool)
        mask[2:9, 4:30] = True
        runs = {"size": [20, 40], "counts": encode(mask).counts.decode()}
        document = changed(("annotations", 2, "segmentation"), runs)
        found = find(make(tmp_path, document), image(), "couch").regions.masks
        assert np.array_equal(decode(found[0]), mask)

    def test_tensors_are_put_on_the_device(self, tmp_path):
        options = CocoFileOptions(annotations=write(tmp_path, DOCUMENT))
        regions = find(CocoFileDetector(options, device="meta"), image(), "person").regions
        assert {regions.boxes.device.type, regions.scores.device.type} == {"meta"}


class TestCrowds:
    def test_a_crowd_makes_the_number_unknown(self, tmp_path):
        result = find(make(tmp_path), image(), "people", "couch")
        note = "1 of the 2 regions of 'people' covers a group, so there are more"
        assert result.note == note

    def test_crowds_can_be_left_out_and_it_is_said(self, tmp_path):
        result = find(make(tmp_path, crowd=False), image(), "person")
        assert result.regions.ids == ("ann-11",)
        assert "1 of the 2 regions of 'person' covers a group and" in result.note

    def test_only_a_crowd_left_out_is_not_called_absent(self, tmp_path):
        document = changed(("annotations", 0, "category_id"), 2)
        result = find(make(tmp_path, document, crowd=False), image(), "person")
        assert result.outcomes == (Outcome.CANNOT,)


class TestWhichPicture:
    def test_folders_of_the_file_do_not_matter(self, tmp_path):
        assert len(find(make(tmp_path), image("room.jpg"), "couch").regions) == 1
        assert len(find(make(tmp_path), image("val\\room.jpg"), "couch").regions) == 1

    def test_a_picture_not_in_the_file_is_an_error_that_names_it(self, tmp_path):
        with pytest.raises(DetectorError, match=r"'rooms\.jpg' is not among .* Did you mean 'room"):
            find(make(tmp_path), image("rooms.jpg"), "person")

    def test_another_size_is_an_error_with_both_sizes(self, tmp_path):
        with pytest.raises(DetectorError, match=r"'room\.jpg' has 41 x 20 .* 40 x 20"):
            find(make(tmp_path), image(size=(41, 20)), "person")

    def test_a_cut_out_is_an_error_even_if_it_has_the_size(self, tmp_path):
        moved = FrameMap(matrix=np.array([[2.0, 0, 5], [0, 2, 5]]))
        with pytest.raises(DetectorError, match="pixels"):
            find(make(tmp_path), image(size=(20, 10), frame_map=moved), "person")

    def test_two_pictures_of_one_name_and_size_are_ambiguous(self, tmp_path):
        document = changed(
            ("images", 1), {**DOCUMENT["images"][0], "id": 9, "file_name": "b/room.jpg"}
        )
        with pytest.raises(DetectorError, match=r"may be any of 2 .*'train/room\.jpg'"):
            find(make(tmp_path, document), image(), "person")

    def test_the_full_name_or_the_size_tells_them_apart(self, tmp_path):
        other = {"id": 9, "file_name": "b/room.jpg", "width": 40, "height": 20}
        document = changed(("images", 1), other)
        assert len(find(make(tmp_path, document), image("b/room.jpg"), "person").regions) == 0
        document = changed(("images", 1), {**other, "width": 30})
        assert len(find(make(tmp_path, document), image(), "person").regions) == 2


class TestTurned:
    """EXIF orientation: the file speaks of stored pixels, the image is upright."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_boxes_and_masks_lie_on_the_same_pixels(self, tmp_path, orientation):
        stored = np.zeros((20, 40, 3), np.uint8)
        stored[10:20, 0:8] = 255
        exif = PILImage.Exif()
        exif[0x0112] = orientation
        PILImage.fromarray(stored).save(tmp_path / "room.png", exif=exif)
        document = changed(("images", 0, "file_name"), "room.png")
        document["annotations"][2]["bbox"] = [0, 10, 8, 10]
        picture = read_image(tmp_path / "room.png")
        assert picture.size == ((40, 20) if orientation < 5 else (20, 40))

        regions = find(make(tmp_path, document), picture, "couch").regions

        white = picture.pixels[:, :, 0] == 255
        x0, y0, x1, y1 = regions.boxes.int()[0].tolist()
        hull = np.zeros_like(white)
        hull[y0:y1, x0:x1] = True
        assert np.array_equal(hull, white)
        assert np.array_equal(decode(regions.masks[0]), white)

    def test_a_file_about_upright_pixels_is_taken_so(self, tmp_path):
        turned = FrameMap(matrix=np.array([[0.0, 1, 0], [-1, 0, 40]]))  # stored 20 x 40
        regions = find(make(tmp_path), image(frame_map=turned), "couch").regions
        assert regions.boxes.tolist() == [[0, 10, 8.5, 20]]

    def test_a_smaller_copy_gets_smaller_boxes_and_masks(self, tmp_path):
        half = FrameMap(matrix=np.array([[2.0, 0, 0], [0, 2, 0]]))
        regions = find(make(tmp_path), image(size=(20, 10), frame_map=half), "couch").regions
        assert regions.boxes.tolist() == [[0, 5, 4.25, 10]]
        mask = decode(regions.masks[0])
        assert mask.shape == (10, 20)
        assert mask[5:10, 0:4].all()
        assert mask.sum() == 20

    def test_a_slanted_picture_is_refused(self, tmp_path):
        slant = np.array([[1.0, 0.001, 0], [0, 1, 0]])
        with pytest.raises(DetectorError, match="multiple of 90 degrees"):
            find(make(tmp_path), image(frame_map=FrameMap(matrix=slant)), "couch")


class TestMalformed:
    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (
                ("annotations", 1, "bbox"),
                [1, 2, 3],
                r"annotations\[1\]\.bbox: expected four finite",
            ),
            (("annotations", 1, "bbox"), [1, 2, 3, float("nan")], r"annotations\[1\]\.bbox"),
            (("annotations", 1, "bbox"), [1, 2, 3, float("inf")], r"annotations\[1\]\.bbox"),
            (("annotations", 1, "bbox"), [1, 2, 3, 10**400], r"annotations\[1\]\.bbox"),
            (("annotations", 1, "bbox"), [1, 2, True, 4], r"annotations\[1\]\.bbox"),
            (("annotations", 1, "bbox"), [1, 2, "3", 4], r"annotations\[1\]\.bbox"),
            (("annotations", 1, "bbox"), [1, 2, -3, 4], r"bbox: expected a box within 40 x 20"),
            (("annotations", 1, "bbox"), [30, 2, 20, 4], r"bbox: expected a box within 40 x 20"),
            (("annotations", 1, "bbox"), None, r"bbox.* got nothing"),
            (("annotations", 2, "category_id"), 99, r"annotations\[2\]\.category_id: .* got 99"),
            (("annotations", 2, "image_id"), 99, r"annotations\[2\]\.image_id"),
            (("annotations", 2, "image_id"), "7", r"image_id: expected a whole number, got '7'"),
            (("annotations", 2, "id"), 11, r"annotations\[2\]\.id: expected an id that is not"),
            (("annotations", 2, "id"), True, r"annotations\[2\]\.id: expected a whole number"),
            (("annotations", 2, "iscrowd"), "no", r"annotations\[2\]\.iscrowd: expected 0 or 1"),
            (("annotations", 2, "segmentation"), "x", r"annotations\[2\]\.segmentation"),
            (("annotations", 2), [], r"annotations\[2\]: expected an object"),
            (("annotations",), {}, "annotations: expected a list"),
            (("annotations",), None, "annotations: expected a list, got nothing"),
            (("images", 1, "id"), 7, r"images\[1\]\.id: expected an id that is not used twice"),
            (("images", 1, "width"), 0, r"images\[1\]\.width: expected 1 to"),
            (("images", 1, "height"), 1.5, r"images\[1\]\.height: expected a whole number"),
            (("images", 1, "file_name"), " ", r"images\[1\]\.file_name"),
            (("categories", 0, "name"), 3, r"categories\[0\]\.name: expected a text, got 3"),
            (("categories", 1, "id"), 1, r"categories\[1\]\.id"),
        ],
    )
    def test_the_file_and_the_field_are_named(self, tmp_path, path, value, message):
        with pytest.raises(InputError, match=rf"(?s)'instances\.json': .*{message}"):
            make(tmp_path, changed(path, value))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is not JSON"),
            (b"{", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"1" * 5000, "is not JSON"),
            (b'{"images": "\xff"}', "is not UTF-8: byte 12"),
            (b"[]", "top level: expected an object"),
        ],
    )
    def test_what_is_no_json_object_is_refused(self, tmp_path, data, message):
        path = tmp_path / "instances.json"
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            CocoFileDetector(CocoFileOptions(annotations=path))

    def test_a_huge_file_is_refused_unread(self, tmp_path):
        with pytest.raises(InputError, match="expected at most 100"):
            make(tmp_path, max_bytes=100)

    @pytest.mark.parametrize("name", ["missing.json", "."])
    def test_no_file_is_told(self, tmp_path, name):
        with pytest.raises(InputError, match="there is no file"):
            CocoFileDetector(CocoFileOptions(annotations=tmp_path / name))

    @pytest.mark.parametrize(
        "segmentation",
        [
            [[1, 2, 3]],
            [["a", "b", "c", "d", "e", "f"]],
            [1, 2, 3, 4, 5, 6],
            {"size": [20, 40], "counts": [1, 2, 3]},
            {"size": [40, 20], "counts": [800]},
            {"size": [20, 40], "counts": [[800]]},
            {"size": [20, 40], "counts": {}},
            {"size": [20, 40], "counts": "!!"},
            {"size": [20, 40], "counts": "\u00e9"},
            {"counts": [800]},
        ],
    )
    def test_a_malformed_segmentation_is_named_when_it_is_needed(self, tmp_path, segmentation):
        detector = make(tmp_path, changed(("annotations", 2, "segmentation"), segmentation))
        assert len(find(detector, image(), "person").regions) == 2
        with pytest.raises(InputError, match=r"'instances\.json': annotations\[2\]\.segmentation"):
            find(detector, image(), "couch")

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_any_value_anywhere_gives_an_input_error_or_an_answer(self, tmp_path_factory, data):
        rows = {"images": 2, "categories": 3, "annotations": 3}
        table = data.draw(st.sampled_from(sorted(rows)))
        row = data.draw(st.integers(0, rows[table] - 1))
        key = data.draw(st.sampled_from(sorted(DOCUMENT[table][row])))
        json_value = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=6,
        )
        document = changed((table, row, key), data.draw(json_value))
        folder = tmp_path_factory.mktemp("coco")
        try:
            make(folder, document)
        except InputError as error:
            assert "instances.json" in str(error)  # noqa: PT017 - an answer is right as well


@needs_data
class TestRealFile:
    @pytest.fixture
    def document(self):
        return json.loads((COCO / "instances.json").read_text(encoding="utf-8"))

    @pytest.fixture
    def detector(self):
        return CocoFileDetector(CocoFileOptions(annotations=COCO / "instances.json"))

    def test_every_count_is_that_of_the_file(self, detector, document):
        names = {c["id"]: c["name"] for c in document["categories"]}
        truth = Counter((a["image_id"], names[a["category_id"]]) for a in document["annotations"])
        found = Counter()
        for entry in document["images"]:
            picture = read_image(COCO / "images" / entry["file_name"])
            result = find(detector, picture, *names.values())
            assert Outcome.CANNOT not in result.outcomes
            found.update((entry["id"], label) for label in result.regions.labels())
        assert len(document["images"]) == 36
        assert sum(found.values()) == 476
        assert found == truth

    # pycocotools hands NumPy 2 an array interface of NumPy 1.
    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    def test_pycocotools_reads_the_same_boxes_and_masks(self, detector, document):
        mask_tools = pytest.importorskip("pycocotools.mask")
        by_id = {a["id"]: a for a in document["annotations"]}
        sizes = {i["id"]: (i["height"], i["width"]) for i in document["images"]}
        checked = 0
        for entry in document["images"]:
            picture = read_image(COCO / "images" / entry["file_name"])
            regions = find(detector, picture, *detector.vocabulary).regions
            for index, name in enumerate(regions.ids):
                annotation = by_id[int(name.removeprefix("ann-"))]
                x, y, w, h = annotation["bbox"]
                expected = torch.tensor([x, y, x + w, y + h], dtype=torch.float32)
                assert torch.allclose(regions.boxes[index], expected, atol=1e-3)
                height, width = sizes[annotation["image_id"]]
                raw = mask_tools.frPyObjects(annotation["segmentation"], height, width)
                merged = mask_tools.merge(raw) if isinstance(raw, list) else raw
                ours = decode(regions.masks[index])
                assert np.array_equal(ours, mask_tools.decode(merged).astype(bool)), name
                checked += 1
        assert checked == 476

    def test_the_note_lists_near_words_and_how_many_more(self, detector, document):
        picture = read_image(COCO / "images" / document["images"][0]["file_name"])
        note = find(detector, picture, "unicorn").note
        assert note.startswith("this expert cannot look for 'unicorn'; it knows: person, bicycle,")
        assert note.endswith("and 68 more")
        near = find(detector, picture, "skatebord").note
        assert "it knows: skateboard, keyboard, person, bicycle" in near


@needs_data
class TestContract(DetectorContract):
    @pytest.fixture
    def images(self):
        names = ["000000229358.jpg", "000000303818.jpg", "000000475546.jpg"]
        return [read_image(COCO / "images" / name) for name in names]

    @pytest.fixture
    def phrases(self):
        return ("person", "bus", "cup")

    @pytest.fixture
    def detector(self, tmp_path):
        """The real file, and entries for the pictures that the contract makes up itself."""
        document = json.loads((COCO / "instances.json").read_text())
        for number, (width, height) in enumerate([(1, 1), (60, 40)]):
            document["images"].append(
                {"id": -1 - number, "file_name": f"{number}/made", "width": width, "height": height}
            )
        return make(tmp_path, document)


def test_a_mask_is_an_rle_of_the_image_size(tmp_path):
    masks = find(make(tmp_path), image(), "couch").regions.masks
    assert isinstance(masks[0], RleMask)
    assert masks[0].size == (20, 40)

"""COCO's twelve numbers: those of pycocotools, and files at fault named."""

import builtins
import json
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError
from groundplane.core.host import load
from groundplane.core.masks import encode
from groundplane.core.media import read_image
from groundplane.core.regions import Regions
from groundplane.evaluation.coco import detect_coco, evaluate_coco, read_coco

SQUARE = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]


def document(**changes):
    """Two pictures, two cats and a dog."""
    made = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 2, "file_name": "b.png", "width": 100, "height": 80},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            region(0, 1, 7, [10, 10, 20, 20]),
            region(1, 2, 7, [50, 40, 30, 20]),
            region(2, 2, 9, [5, 5, 40, 40]),
        ],
    }
    return made | changes


def region(key, image, category, box, **details):
    row = {"id": key, "image_id": image, "category_id": category, "bbox": box}
    return row | {"area": box[2] * box[3], "iscrowd": 0, "segmentation": SQUARE} | details


def found(image, category, box, score=0.9, **details):
    return {"image_id": image, "category_id": category, "bbox": box, "score": score} | details


RIGHT = [found(1, 7, [10, 10, 20, 20]), found(2, 7, [50, 40, 30, 20]), found(2, 9, [5, 5, 40, 40])]


@pytest.fixture
def truth(tmp_path):
    """Annotations read from a file; give what to change in it."""

    def read(iou_type="bbox", **changes):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(document(**changes)))
        return read_coco(path, iou_type=iou_type)

    return read


def stats(truth, detections, iou_type="bbox"):
    return evaluate_coco(truth, detections, iou_type=iou_type).stats


class TestReferees:
    @pytest.mark.parametrize(
        ("annotations", "detections", "expected"),
        [
            ("coco/instances.json", "coco_ap/detections.json", "coco_ap/expected.json"),
            (
                "coco_ap/sahi_dataset.json",
                "coco_ap/sahi_result.json",
                "coco_ap/sahi_expected.json",
            ),
        ],
    )
    def test_the_twelve_numbers(self, data_dir, annotations, detections, expected):
        wanted = json.loads((data_dir / expected).read_text())["stats"]
        got = stats(read_coco(data_dir / annotations), data_dir / detections)
        assert {name: round(value, 6) for name, value in got.items()} == wanted
        assert list(got) == list(wanted)

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_the_cases_of_torchmetrics(self, data_dir, tmp_path, place):
        lines = (data_dir / "coco_ap" / "torchmetrics_cases.jsonl").read_text().splitlines()
        case = json.loads(lines[place])
        labels = {n for side in ("preds", "targets") for p in case[side] for n in p["labels"]}
        rows = [
            (image, label, [x, y, right - x, bottom - y])
            for image, side in enumerate(case["targets"])
            for label, (x, y, right, bottom) in zip(side["labels"], side["boxes"], strict=True)
        ]
        written = {
            "images": [{"id": image} for image in range(len(case["targets"]))],
            "categories": [{"id": label, "name": f"kind {label}"} for label in labels],
            "annotations": [region(key, *row) for key, row in enumerate(rows)],
        }
        (tmp_path / "t.json").write_text(json.dumps(written))
        given = [
            found(image, label, [x, y, right - x, bottom - y], score)
            for image, side in enumerate(case["preds"])
            for label, score, (x, y, right, bottom) in zip(
                side["labels"], side["scores"], side["boxes"], strict=True
            )
        ]
        got = stats(read_coco(tmp_path / "t.json"), given)
        assert {name: round(value, 6) for name, value in got.items()} == case["expected"]

    @pytest.mark.parametrize("iou_type", ["bbox", "segm"])
    def test_the_annotations_played_back_are_all_found(self, data_dir, iou_type):
        path = data_dir / "coco" / "instances.json"
        known = read_coco(path, iou_type=iou_type)
        expert = load("detectors", "coco-file", annotations=path, device="cpu")
        pictures = data_dir / "coco" / "images"
        given = detect_coco(known, pictures, expert, name="coco-file", masks=iou_type == "segm")
        assert stats(known, given, iou_type)["AP"] == pytest.approx(1)


class TestCounting:
    def test_all_right_is_one_and_a_wrong_box_falls(self, truth):
        known = truth()
        assert stats(known, RIGHT)["AP"] == pytest.approx(1)
        moved = [found(1, 7, [60, 10, 20, 20]), *RIGHT[1:]]
        assert stats(known, moved)["AP"] < 1.0

    def test_by_hand(self, truth):
        # Of two cats one is found, before it nothing wrong: precision is 1 up to a recall of a
        # half, which are 51 of the 101 points. No dog is found.
        got = evaluate_coco(truth(), RIGHT[:1], iou_type="bbox")
        assert got.categories["cat"] == pytest.approx(float(Fraction(51, 101)))
        assert got.categories["dog"] == 0.0
        assert got.stats["AP"] == pytest.approx(float(Fraction(51, 202)))
        assert got.stats["AR100"] == pytest.approx(0.25)

    def test_the_id_zero_is_found_like_all_others(self, truth):
        known = truth(annotations=[region(0, 1, 7, [10, 10, 20, 20])])
        assert stats(known, RIGHT[:1])["AP"] == pytest.approx(1)

    def test_nothing_found_is_nought_and_nothing_there_is_minus_one(self, truth):
        assert stats(truth(), [])["AP"] == 0.0
        assert stats(truth(annotations=[]), RIGHT)["AP"] == -1.0

    def test_masks_are_compared_as_masks(self, truth):
        known = truth("segm", annotations=[region(3, 1, 7, [10, 10, 20, 20])])
        square = found(1, 7, [0, 0, 1, 1], segmentation=SQUARE)
        filled = np.zeros((80, 100), dtype=bool)
        filled[10:30, 10:30] = True
        runs = {"size": [80, 100], "counts": encode(filled).counts.decode()}
        half = found(1, 7, [10, 10, 20, 20], segmentation=[[10, 10, 20, 10, 20, 30, 10, 30]])
        assert stats(known, [square], "segm")["AP"] == pytest.approx(1)
        assert stats(known, [found(1, 7, [], segmentation=runs)], "segm")["AP"] == pytest.approx(1)
        assert stats(known, [half], "segm")["AP"] == pytest.approx(0.1)

    def test_strange_categories_are_told_and_not_counted(self, truth):
        got = evaluate_coco(truth(), [*RIGHT, found(1, 91, [0, 0, 5, 5])], iou_type="bbox")
        assert got.strangers == {91: 1}
        assert got.stats["AP"] == pytest.approx(1)
        with pytest.raises(InputError, match="no detection is of a category"):
            evaluate_coco(truth(), [found(1, 91, [0, 0, 5, 5])], iou_type="bbox")

    def test_nothing_is_printed_and_nothing_is_changed(self, truth, capsys):
        given = [dict(row) for row in RIGHT]
        evaluate_coco(truth(), given, iou_type="bbox")
        assert capsys.readouterr() == ("", "")
        assert given == RIGHT


class TestFiles:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"images": 3}, "expected an object with a list 'images'"),
            ({"images": [4]}, r"images\[0\]: expected an object, got 4"),
            ({"annotations": [region(1, 5, 7, [0, 0, 1, 1])]}, r"annotations\[0\]\.image_id"),
            ({"annotations": [region(1, 1, 8, [0, 0, 1, 1])]}, r"annotations\[0\]\.category_id"),
            ({"annotations": [region(1, 1, 7, [0, 0, -1, 1])]}, r"annotations\[0\]\.bbox"),
            ({"annotations": [region(1, 1, 7, [0, 0, 1, 1])] * 2}, "not used twice, got 1"),
            (
                {"annotations": [region(1, 1, 7, [0, 0, 1, 1], area=float("nan"))]},
                r"annotations\[0\]\.area: expected a number of at least 0, got nan",
            ),
            ({"categories": [{"id": 7}]}, r"categories\[0\]\.name: .* missing"),
        ],
    )
    def test_a_fault_is_named(self, truth, changes, said):
        with pytest.raises(InputError, match=said):
            truth(**changes)

    def test_a_missing_area_is_named(self, truth):
        row = region(1, 1, 7, [0, 0, 1, 1])
        del row["area"]
        with pytest.raises(InputError, match="area: expected a number of at least 0, but it is"):
            truth(annotations=[row])

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            (found(5, 7, [0, 0, 1, 1]), "image_id"),
            (found(1, 7, [0, 0, 1]), "bbox: expected four numbers"),
            (found(1, 7, [0, 0, 1, float("inf")]), "bbox: expected four numbers"),
            (found(1, 7, [0, 0, 1, 1], score="high"), "score: expected a number"),
            ({"image_id": 1, "category_id": 7, "score": 1.0}, "bbox: .* missing"),
        ],
    )
    def test_a_fault_of_a_detection_is_named(self, truth, row, said):
        with pytest.raises(InputError, match=rf"detections: \[1\].{said}"):
            evaluate_coco(truth(), [RIGHT[0], row], iou_type="bbox")

    @pytest.mark.parametrize(
        "segmentation",
        [
            [],
            [[1, 2, 3, 4]],
            [[0, 0, 1e9, 0, 0, 1]],
            [[0, 0, float("nan"), 0, 0, 1]],
            {"size": [80, 100], "counts": "not runs \u00e9"},
            {"size": [80, 100], "counts": "13"},
            {"size": [8, 10], "counts": [80]},
            {"size": [80, 100], "counts": [-5, 8005]},
        ],
    )
    def test_a_broken_mask_is_named_before_it_is_counted(self, truth, segmentation):
        row = found(1, 7, [0, 0, 1, 1], segmentation=segmentation)
        with pytest.raises(InputError, match=r"\[0\]\.segmentation"):
            evaluate_coco(truth("segm"), [row], iou_type="segm")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "the file is empty"),
            (b"{", "not JSON"),
            (b'{"a": 1}\n{', "line 2 is not JSON"),
            (b"\xff\xfe", "not UTF-8 at byte 0"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_a_file_that_is_no_json_is_named(self, tmp_path, content, said):
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"annotations 'bad\.json': .*{said}"):
            read_coco(path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"'none\.json': cannot be read: No such file"):
            read_coco(tmp_path / "none.json")


def test_without_pycocotools_the_extra_is_named(truth, monkeypatch):
    known = truth()
    for name in [name for name in sys.modules if name.startswith("pycocotools")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(PluginBrokenError, match=r"pip install 'groundplane\[evaluate\]'"):
        evaluate_coco(known, RIGHT, iou_type="bbox")


class Finder:
    """Finds one thing of the first phrase, and a weak one of the second among its candidates."""

    vocabulary = None

    def __init__(self, score=0.5, keeps=True):
        self.score, self.keeps = score, keeps

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        every = Regions(
            ids=("a", "b"),
            boxes=torch.tensor([[10.0, 10, 30, 30], [5, 5, 45, 45]]),
            scores=torch.tensor([self.score, 0.01]),
            phrases=request.phrases,
            phrase_ids=torch.tensor([0, 1]),
            image_size=request.image.size,
        )
        strong = every.select(torch.tensor([0]))
        outcomes = (Outcome.FOUND, Outcome.NONE)
        kept = every if self.keeps else None
        return DetectResult(regions=strong, outcomes=outcomes, candidates=kept)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (100, 80)).save(folder / name)
    return folder


class TestLooking:
    def test_low_candidates_are_scored_too(self, truth, pictures):
        known = truth()
        every = detect_coco(known, pictures, Finder(), name="finder")
        strong = detect_coco(known, pictures, Finder(keeps=False), name="finder")
        assert [row["category_id"] for row in every] == [7, 9, 7, 9]
        assert [row["category_id"] for row in strong] == [7, 7]
        assert every[0] | {"score": 0.5} == found(1, 7, [10.0, 10.0, 20.0, 20.0], 0.5)
        assert stats(known, every)["AP"] > stats(known, strong)["AP"]

    def test_of_a_category_as_many_are_kept_as_are_counted(self, truth, pictures):
        class Flood(Finder):
            def _answer(self, request):
                n = 130
                every = Regions(
                    ids=tuple(map(str, range(n))),
                    boxes=torch.tensor([[10.0, 10, 30, 30]]).expand(n, 4),
                    scores=torch.linspace(0.1, 0.9, n),
                    phrases=request.phrases,
                    phrase_ids=torch.zeros(n, dtype=torch.long),
                    image_size=request.image.size,
                )
                return DetectResult(regions=every, outcomes=(Outcome.FOUND, Outcome.NONE))

        rows = detect_coco(truth(), pictures, Flood(), name="flood")
        assert len(rows) == 200
        assert min(row["score"] for row in rows) > 0.25

    def test_a_score_that_is_no_number_fails_by_name(self, truth, pictures):
        with pytest.raises(DetectorError, match=r"'finder'.*score"):
            detect_coco(truth(), pictures, Finder(score=float("nan")), name="finder")

    def test_masks_are_asked_for_where_there_are_none(self, truth, pictures):
        with pytest.raises(DetectorError, match="'finder' gives no masks"):
            detect_coco(truth("segm"), pictures, Finder(), name="finder", masks=True)

    def test_a_picture_that_is_missing_or_of_another_size_is_named(self, truth, pictures):
        images = document()["images"]
        missing = truth(images=[*images, {"id": 3, "file_name": "../c.png"}])
        with pytest.raises(InputError, match=r"holds no picture 'c\.png'"):
            detect_coco(missing, pictures, Finder(), name="finder")
        larger = truth(images=[images[0] | {"width": 200}, images[1]])
        with pytest.raises(InputError, match=r"'a\.png' has 100 x 80 pixels, but .* 200 x 80"):
            detect_coco(larger, pictures, Finder(), name="finder")

    def test_boxes_of_a_turned_picture_are_of_its_stored_pixels(self, truth, data_dir, tmp_path):
        source = data_dir / "awkward" / "exif_orientation" / "Landscape_6.jpg"
        picture = read_image(source)
        width, height = (
            int(n) for n in picture.frame_map.boxes(np.array([[0.0, 0.0, *picture.size]]))[0][2:]
        )
        assert (width, height) != picture.size
        entry = {"id": 1, "file_name": "Landscape_6.jpg", "width": width, "height": height}
        known = truth(images=[entry], annotations=[])
        box = detect_coco(known, source.parent, Finder(), name="finder")[0]["bbox"]
        x, y, w, h = box
        back = picture.frame_map.inverse().boxes(np.array([[x, y, x + w, y + h]]))[0]
        assert back.tolist() == pytest.approx([10, 10, 30, 30])

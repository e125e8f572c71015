"""RefCOCO: the published forms that are read, overlaps by hand, and an expert that looks."""

import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.regions import Regions
from groundplane.evaluation.refcoco import (
    Expression,
    detect_expressions,
    evaluate_expressions,
    read_boxes,
    read_expressions,
)

CUP = Expression(id="1", text="left cup", image="a.png", box=(0.0, 0.0, 10.0, 10.0))


def expression(key, box, **details):
    fields = {"id": str(key), "text": "cup", "image": "a.png", "box": box, **details}
    return Expression(**fields)


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        lines = "\n".join(map(json.dumps, content)) if name.endswith("l") else json.dumps(content)
        path.write_text(lines)
        return path

    return to


def plain_overlap(a, b):
    """Intersection over union of two boxes, one coordinate after the other."""
    sides = [max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    areas = [max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b)]
    union = sum(areas) - sides[0] * sides[1]
    return sides[0] * sides[1] / union if union else 0.0


boxes = st.tuples(*[st.integers(0, 20).map(float)] * 4)


class TestNumbers:
    def test_by_hand(self):
        asked = [expression(k, (0.0, 0.0, 10.0, 10.0)) for k in range(4)]
        given_boxes = [(0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0), (0.0, 0.0, 4.9, 10.0), None]
        result = evaluate_expressions(asked, given_boxes)
        assert result.overlaps == pytest.approx([1, 0.5, 0.49, 0])
        assert result.accuracy == 0.5
        assert result.groups()["all"]["mean_iou"] == pytest.approx(1.99 / 4)
        assert result.groups()["all"]["without_box"] == 1

    def test_a_wrong_box_lowers_it(self):
        assert evaluate_expressions([CUP], [CUP.box]).accuracy == 1
        assert evaluate_expressions([CUP], [(20.0, 20.0, 30.0, 30.0)]).accuracy == 0

    def test_corners_turned_round_are_no_box(self):
        assert evaluate_expressions([CUP], [(10.0, 10.0, 0.0, 0.0)]).overlaps == (0.0,)

    @given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=8))
    def test_overlaps_are_those_of_one_pair_after_the_other(self, pairs):
        asked = [expression(k, a) for k, (a, _) in enumerate(pairs)]
        got = evaluate_expressions(asked, [b for _, b in pairs]).overlaps
        assert got == pytest.approx([plain_overlap(a, b) for a, b in pairs])

    def test_groups_are_told_apart(self):
        asked = [expression(1, CUP.box, group="refcoco"), expression(2, CUP.box, group="refcoco+")]
        groups = evaluate_expressions(asked, [CUP.box, None]).groups()
        assert {name: row["accuracy"] for name, row in groups.items()} == {
            "all": 0.5,
            "refcoco": 1,
            "refcoco+": 0,
        }

    def test_one_box_an_expression(self):
        with pytest.raises(InputError, match="1 expressions but 2 boxes"):
            evaluate_expressions([CUP], [None, None])
        with pytest.raises(InputError, match="0 expressions"):
            evaluate_expressions([], [])


class TestForms:
    def test_mdetr(self, write):
        document = {
            "images": [
                {"id": 3, "file_name": "COCO_train2014_1.jpg", "caption": "left cup", "width": 64,
                 "height": 48, "dataset_name": "refcoco+", "original_id": 1},
            ],
            "annotations": [{"id": 0, "image_id": 3, "bbox": [1, 2, 3, 4], "category_id": 47}],
            "categories": [],
        }  # fmt: skip
        (got,) = read_expressions(write("finetune_refcoco+_val.json", document))
        assert (got.id, got.text, got.image) == ("3", "left cup", "COCO_train2014_1.jpg")
        assert (got.box, got.group, got.size) == ((1, 2, 4, 6), "refcoco+", (64, 48))

    def test_qwen_vl(self, write):
        row = {"image": "data/coco/a.jpg", "sent": "left cup", "bbox": [1, 2, 3, 4], "width": 64,
               "height": 48}  # fmt: skip
        (got,) = read_expressions(write("refcoco_val.jsonl", [row]))
        assert (got.id, got.image, got.box) == ("1", "data/coco/a.jpg", (1, 2, 3, 4))

    @pytest.mark.parametrize(
        ("field", "form", "box"),
        [
            ("bbox_xywh", None, (1, 2, 4, 6)),
            ("bbox_xyxy", None, (1, 2, 3, 4)),
            ("bbox", "xywh", (1, 2, 4, 6)),
            ("bbox", "xyxy", (1, 2, 3, 4)),
        ],
    )
    def test_a_list_says_how_boxes_are_meant(self, write, field, form, box):
        row = {"expression": "cup", "file_name": "a.jpg", field: [1, 2, 3, 4]}
        assert read_expressions(write("e.json", [row]), form=form)[0].box == box

    def test_what_cannot_be_told_is_asked_for(self, write):
        row = {"expression": "cup", "file_name": "a.jpg", "bbox": [1, 2, 3, 4]}
        with pytest.raises(InputError, match="--box-form xyxy or --box-form xywh"):
            read_expressions(write("e.json", [row]))

    def test_the_original_as_json(self, write):
        refs = [
            {
                "ref_id": 9, "ann_id": 5, "image_id": 3, "split": "testA",
                "file_name": "COCO_train2014_3_5.jpg",
                "sentences": [
                    {"sent_id": 70, "sent": "left cup", "raw": "Left cup.", "tokens": []},
                    {"sent_id": 71, "sent": "cup", "raw": "cup", "tokens": []},
                ],
            }
        ]  # fmt: skip
        instances = {
            "images": [{"id": 3, "file_name": "COCO_train2014_3.jpg", "width": 64, "height": 48}],
            "annotations": [{"id": 5, "image_id": 3, "bbox": [1, 2, 3, 4]}],
        }
        refs_path, instances_path = write("refs.json", refs), write("instances.json", instances)
        got = read_expressions(refs_path, annotations=instances_path)
        assert [(e.id, e.text) for e in got] == [("70", "left cup"), ("71", "cup")]
        assert {e.image for e in got} == {"COCO_train2014_3.jpg"}
        assert {e.box for e in got} == {(1, 2, 4, 6)}
        assert evaluate_expressions(got, [None] * 2).groups()["testA"]["n"] == 2
        with pytest.raises(InputError, match=r"Try: --annotations instances\.json"):
            read_expressions(refs_path)
        strange = write("refs.json", [refs[0] | {"ann_id": 6}])
        with pytest.raises(InputError, match=r"\[0\]\.ann_id: expected the id of an annotation"):
            read_expressions(strange, annotations=instances_path)
        empty = write("refs.json", [refs[0] | {"sentences": [4]}])
        with pytest.raises(InputError, match=r"\[0\]\.sentences: expected a list of objects"):
            read_expressions(empty, annotations=instances_path)

    @pytest.mark.parametrize("name", ["refs(unc).p", "refs.json"])
    @pytest.mark.parametrize("protocol", [0, 2, 5])
    def test_a_pickle_is_refused_and_not_opened(self, tmp_path, name, protocol):
        class Canary:
            def __reduce__(self):
                return (open, (str(tmp_path / "canary"), "w"))

        (tmp_path / name).write_bytes(pickle.dumps([Canary()], protocol=protocol))
        with pytest.raises(InputError, match="is a Python pickle, which can run any code"):
            read_expressions(tmp_path / name)
        assert not (tmp_path / "canary").exists()

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ({"file_name": "a", "bbox_xyxy": [0, 0, 1, 1]}, "expected 'expression' or 'sent'"),
            ({"expression": "a", "bbox_xyxy": [0, 0, 1, 1]}, "expected 'file_name' or 'image'"),
            ({"expression": "a", "file_name": "a"}, "expected 'bbox_xyxy' or"),
            ({"expression": "a", "file_name": "a", "bbox_xyxy": [3, 0, 1, 1]}, "a box as xyxy"),
            ({"expression": "a", "file_name": "a", "bbox_xyxy": [0, 0, 1]}, "four numbers"),
        ],
    )
    def test_a_fault_is_named(self, write, row, said):
        with pytest.raises(InputError, match=r"expressions 'e\.json': \[0\].*" + said):
            read_expressions(write("e.json", [row]))

    def test_no_expressions_are_refused(self, write):
        with pytest.raises(InputError, match="there are none in it"):
            read_expressions(write("e.json", []))

    def test_two_regions_of_one_expression_are_refused(self, write):
        document = {
            "images": [{"id": 3, "file_name": "a", "caption": "b"}],
            "annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}] * 2,
        }
        with pytest.raises(InputError, match="one region an expression"):
            read_expressions(write("e.json", document))


class TestPredictions:
    ASKED = (expression("x", CUP.box), expression("y", CUP.box))

    def test_in_order_or_by_id(self, write):
        ordered = write("a.jsonl", [{"bbox": [1, 2, 3, 4]}, {"bbox": None}])
        named = write("b.json", [{"id": "y", "bbox": None}, {"id": "x", "bbox_xywh": [1, 2, 2, 2]}])
        assert read_boxes(ordered, self.ASKED) == ((1, 2, 3, 4), None)
        assert read_boxes(named, self.ASKED) == ((1, 2, 3, 4), None)
        assert read_boxes(ordered, self.ASKED, form="xywh") == ((1, 2, 4, 6), None)

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([{"bbox": None}], "expected one for each of 2 expressions, got 1"),
            ([{"bbox": [1, 2, 3, "4"]}] * 2, r"\[0\]\.bbox: expected four numbers"),
            ([{"bbox": None, "sent": "dog"}] * 2, r"\[0\]\.sent: expected 'cup' at this place"),
            ([{"id": "x", "bbox": None}], "expression y has none"),
            ([{"id": "x", "bbox": None}] * 2, "not used twice, got 'x'"),
            ([{"box_2d": [1, 2, 3, 4]}] * 2, "expected 'bbox_xyxy' or"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, write, rows, said):
        with pytest.raises(InputError, match=said):
            read_boxes(write("p.json", rows), self.ASKED)


class Finder:
    """Finds two boxes for every phrase but `ghost`; the second is the better one."""

    vocabulary = None

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        n = 0 if request.phrases == ("ghost",) else 2
        regions = Regions(
            ids=("a", "b")[:n],
            boxes=torch.tensor([[0.0, 0, 5, 5], [0, 0, 10, 10]])[:n],
            scores=torch.tensor([0.2, 0.7])[:n],
            phrases=request.phrases,
            phrase_ids=torch.zeros(n, dtype=torch.long),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=(Outcome.FOUND if n else Outcome.NONE,))


class TestLooking:
    @pytest.fixture
    def pictures(self, tmp_path):
        (tmp_path / "deep").mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / "deep" / "a.png")
        return tmp_path

    def test_the_best_box_is_given_or_none(self, pictures):
        asked = [expression(k, CUP.box, text=text) for k, text in enumerate(("cup", "ghost"))]
        got = detect_expressions(asked, pictures, Finder(), name="finder")
        assert got == (CUP.box, None)
        assert evaluate_expressions(asked, got).accuracy == 0.5

    def test_another_picture_of_the_name_is_refused(self, pictures):
        asked = [expression(1, CUP.box, size=(640, 480))]
        with pytest.raises(InputError, match=r"'a\.png' has \(64, 48\) pixels"):
            detect_expressions(asked, pictures, Finder(), name="finder")

    def test_one_of_two_pictures_is_never_guessed(self, pictures):
        Image.new("RGB", (64, 48)).save(pictures / "a.png")
        asked = [expression(1, CUP.box, image="elsewhere/a.png")]
        with pytest.raises(InputError, match=r"holds 2 pictures 'a\.png'"):
            detect_expressions(asked, pictures, Finder(), name="finder")
        exact = [expression(1, CUP.box, image="deep/a.png")]
        assert detect_expressions(exact, pictures, Finder(), name="finder") == (CUP.box,)

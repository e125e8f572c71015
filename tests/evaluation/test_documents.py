"""Files of benchmarks: whatever is in them is read or refused by name, never anything else."""

import json
import math
import os
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.evaluation.chair import read_captions
from groundplane.evaluation.coco import evaluate_coco, read_coco
from groundplane.evaluation.documents import Row, read_json, rows_of
from groundplane.evaluation.pope import read_answers, read_pope
from groundplane.evaluation.refcoco import read_boxes, read_expressions

CASES = int(os.environ.get("GROUNDPLANE_CASES", "25"))
_KEYS = (
    "id, image_id, category_id, bbox, bbox_xyxy, area, iscrowd, segmentation, counts, size, name, "
    "file_name, width, height, images, categories, annotations, caption, image, text, label, "
    "question_id, answer, expression, sent, score, imgToEval"
)
KEYS = _KEYS.split(", ")
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["yes", "no", "a.jpg", "13", "cat"])
)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
        | st.lists(st.integers(0, 9), min_size=4, max_size=8)
    ),
    max_leaves=30,
)


def readers():
    """Every reader, as a function of a path."""

    def detections(path):
        truth = read_coco(path, iou_type="segm")
        return evaluate_coco(truth, path, iou_type="segm")

    return {
        "coco": read_coco,
        "masks": detections,
        "questions": read_pope,
        "answers": lambda path: read_answers(path, ()),
        "captions": read_captions,
        "expressions": read_expressions,
        "xywh": lambda path: read_expressions(path, form="xywh"),
        "boxes": lambda path: read_boxes(path, ()),
    }


def refusal(read, path, *, instead):
    """What is said where a file is refused."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return instead


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        {"id": 0, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25,
         "segmentation": [[1, 1, 6, 1, 6, 6]]},
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 1,
         "segmentation": {"size": [10, 20], "counts": [20, 30, 150]}},
    ],
}  # fmt: skip


@settings(max_examples=4 * CASES, deadline=None)
@given(data=st.data())
def test_coco_with_any_field_changed_is_counted_or_refused_by_name(tmp_path_factory, data):
    document = json.loads(json.dumps(COCO))
    entries = [e for part in document.values() for e in part]
    entry = data.draw(st.sampled_from(entries))
    entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(documents)
    path = tmp_path_factory.mktemp("any") / "any.json"
    path.write_text(json.dumps(document))
    rows = [row | {"score": 0.5} for row in document["annotations"]]

    def count(path):
        return evaluate_coco(read_coco(path, iou_type="segm"), rows, iou_type="segm").stats

    assert refusal(count, path, instead="any.json").startswith(
        ("any.json", "annotations 'any.json'")
    )


@pytest.mark.parametrize("name", sorted(readers()))
@settings(max_examples=CASES, deadline=None)
@given(document=documents)
def test_any_json_is_read_or_refused_by_name(tmp_path_factory, name, document):
    path = tmp_path_factory.mktemp("any") / "any.json"
    path.write_text(json.dumps(document))
    assert "any.json" in refusal(readers()[name], path, instead="any.json")


@settings(max_examples=CASES, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "any.json"
    path.write_bytes(data)
    said = refusal(partial(read_json, what="file"), path, instead="file 'any.json': ")
    assert said.startswith("file 'any.json': ")


class TestLines:
    def test_json_and_json_lines_are_one(self, tmp_path):
        rows = [{"a": 1}, {"a": "two\u2028lines"}]
        path = tmp_path / "f.json"
        texts = [
            json.dumps(rows),
            "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
            "\r\n\r\n".join(json.dumps(row) for row in rows) + "\r\n",
            "\ufeff" + json.dumps(rows, indent=2),
        ]
        for text in texts:
            path.write_text(text, encoding="utf-8", newline="")
            assert read_json(path, what="file") == rows

    def test_a_single_line_is_one_row(self, tmp_path):
        path = tmp_path / "f.jsonl"
        path.write_text('{"a": 1}')
        (row,) = rows_of(read_json(path, what="file"), path=path, what="file")
        assert row.whole("a") == 1


class TestFields:
    ROW = Row(
        values={"t": "x", "n": 2, "f": 1.5, "b": True, "e": " ", "big": 10**400, "nan": math.nan},
        place="p",
    )

    def test_what_fits_is_given(self):
        assert (self.ROW.text("t"), self.ROW.name("n"), self.ROW.name("t")) == ("x", "2", "x")
        assert (self.ROW.number("n"), self.ROW.number("f"), self.ROW.whole("n")) == (2, 1.5, 2)
        assert self.ROW.first("none", "t", "n") == "t"

    @pytest.mark.parametrize(
        ("read", "said"),
        [
            (lambda row: row.text("n"), "p.n: expected text, got 2"),
            (lambda row: row.text("e"), "p.e: expected text, got ' '"),
            (lambda row: row.number("b"), "p.b: expected a number, got True"),
            (lambda row: row.number("nan"), "p.nan: expected a number, got nan"),
            (lambda row: row.number("big"), "p.big: expected a number, got 1000"),
            (lambda row: row.number("f", least=2), "p.f: expected a number of at least 2, got 1.5"),
            (lambda row: row.whole("f"), "p.f: expected a whole number, got 1.5"),
            (lambda row: row.whole("b"), "p.b: expected a whole number, got True"),
            (lambda row: row.four("t"), "p.t: expected four numbers, got 'x'"),
            (lambda row: row.text("gone"), "p.gone: expected text, but it is missing"),
            (lambda row: row.first("gone", "lost"), "p: expected 'gone' or 'lost', got neither"),
        ],
    )
    def test_what_does_not_fit_is_named(self, read, said):
        with pytest.raises(InputError) as raised:
            read(self.ROW)
        assert str(raised.value).startswith(said)

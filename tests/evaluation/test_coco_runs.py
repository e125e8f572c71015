"""Runs against COCO annotations: which picture is which, which class is which, what is left out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    rounded_boxes,
    rounded_scores,
)
from groundplane.core.errors import InputError
from groundplane.core.masks import encode
from groundplane.evaluation.coco import CocoTruth, evaluate_coco, read_coco
from groundplane.evaluation.coco_runs import detections_of_run

CLASSES = ClassTable(names=("dog", "unicorn"), prompts=(AnnotationPrompt(text="dog", class_id=0),))
BOX = (10.0, 20.0, 30.0, 60.0)


def truth(*names, size=(100, 80), categories=("cat", "dog")):
    return CocoTruth(
        images={7 * i + 1: (name, *size) for i, name in enumerate(names)},
        categories={10 + i: name for i, name in enumerate(categories)},
        annotations=(),
    )


def regions(*class_ids, boxes=(BOX,), scores=(0.9,), masks=None):
    n = len(class_ids)
    return AnnotatedRegions(
        ids=tuple(f"r{i}" for i in range(n)),
        boxes=rounded_boxes(np.array(boxes * n)[:n].reshape(n, 4)),
        scores=rounded_scores((scores * n)[:n]),
        prompt_ids=np.zeros(n, dtype=np.int64),
        class_ids=np.array(class_ids, dtype=np.int64),
        kept=np.ones(n, dtype=np.bool_),
        masks=masks,
    )


def record(path, *class_ids, **fields):
    fields = {"regions": regions(*class_ids), "size": (100, 80), **fields}
    return AnnotationRecord(path=path, content_hash="00", status="done", **fields)


def found(records, known, *, masks=False):
    return detections_of_run(records, CLASSES, known, masks=masks)


# Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "names", "expected"),
    [
        ("1.jpg", ["1.jpg", "2.jpg"], 1),
        ("a/2.jpg", ["a/1.jpg", "a/2.jpg"], 8),
        ("val/2.jpg", ["1.jpg", "2.jpg"], 8),
        ("2.jpg", ["val/1.jpg", "val/2.jpg"], 8),
        ("a/1.jpg", ["1.jpg", "a/1.jpg"], 8),
        ("x/a/1.jpg", ["1.jpg", "a/1.jpg"], 8),
    ],
)
def test_a_picture_is_found_by_its_path_or_the_end_of_it(path, names, expected):
    (entry,) = found([record(path, 0)], truth(*names)).entries
    assert entry["image_id"] == expected


def test_a_name_that_several_end_in_is_nobody_s():
    known = truth("a/1.jpg", "b/1.jpg", "2.jpg")
    result = found([record("1.jpg", 0), record("2.jpg", 0)], known)
    assert result.unknown == ("1.jpg",)
    assert result.missing == ("a/1.jpg", "b/1.jpg")


def test_a_name_within_a_name_is_another_picture():
    assert found([record("11.jpg", 0), record("x.jpg")], truth("1.jpg", "x.jpg")).entries == []


def test_two_pictures_for_one_are_refused():
    with pytest.raises(InputError, match=r"'b/1\.jpg' and 'a/1\.jpg' of the run are both"):
        found([record("a/1.jpg", 0), record("b/1.jpg", 0)], truth("1.jpg"))


def test_a_run_of_other_pictures_is_refused_with_examples():
    with pytest.raises(InputError, match=r"they name 'x\.jpg', the run 'y\.jpg'"):
        found([record("y.jpg", 0)], truth("x.jpg"))


def test_what_failed_or_is_missing_is_told():
    broken = AnnotationRecord(
        path="2.jpg", content_hash="", status="failed", size=None,
        failure=Failure(stage="decode", message="cut"),
    )  # fmt: skip
    result = found([record("1.jpg", 0), broken], truth("1.jpg", "2.jpg", "3.jpg"))
    assert (result.failed, result.missing) == (("2.jpg",), ("3.jpg",))


# Regions -------------------------------------------------------------------------------------


def test_boxes_are_given_as_corner_and_size_with_the_category_of_the_class_s_name():
    (entry,) = found([record("1.jpg", 0)], truth("1.jpg")).entries
    assert entry == {"image_id": 1, "category_id": 11, "bbox": [10, 20, 20, 40], "score": 0.9}


def test_boxes_of_a_turned_picture_go_where_the_annotations_speak_of():
    # Stored 80 x 100, shown 100 x 80: upright (x, y) is stored (80 - y, x).
    turned = record("1.jpg", 0, to_stored=(0.0, -1.0, 80.0, 1.0, 0.0, 0.0))
    (stored,) = found([turned], truth("1.jpg", size=(80, 100))).entries
    assert stored["bbox"] == [20, 10, 40, 20]
    (upright,) = found([turned], truth("1.jpg")).entries
    assert upright["bbox"] == [10, 20, 20, 40]


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(InputError, match="100 x 80 pixels, but"):
        found([record("1.jpg", 0)], truth("1.jpg", size=(50, 50)))


def test_of_a_category_the_best_hundred_count():
    many = regions(*[0] * 150, scores=tuple(i / 1000 for i in range(150)))
    entries = found([record("1.jpg", regions=many)], truth("1.jpg")).entries
    assert [entry["score"] for entry in entries] == [i / 1000 for i in range(149, 49, -1)]


def test_classes_that_are_no_category_are_told_and_unmapped_regions_counted():
    result = found([record("1.jpg", 0, 1, 1, -1)], truth("1.jpg"))
    assert (len(result.entries), result.classes, result.unmapped) == (1, {"unicorn": 2}, 1)


def test_a_run_without_any_of_the_categories_is_refused():
    with pytest.raises(InputError, match=r"has 'dog', 'unicorn', they have 'cat'"):
        found([record("1.jpg", 0)], truth("1.jpg", categories=("cat",)))


def test_masks_go_out_as_runs():
    mask = encode(np.eye(80, 100, dtype=np.bool_))
    with_mask = record("1.jpg", regions=regions(0, masks=(mask,)))
    (entry,) = found([with_mask], truth("1.jpg"), masks=True).entries
    assert entry["segmentation"] == {"size": [80, 100], "counts": mask.counts.decode()}


@pytest.mark.parametrize("masks", [None, (None,)])
def test_a_region_without_a_mask_is_refused_where_masks_are_compared(masks):
    without = record("1.jpg", regions=regions(0, masks=masks))
    with pytest.raises(InputError, match="'r0' has no mask"):
        found([without], truth("1.jpg"), masks=True)


def test_masks_of_a_turned_picture_are_refused():
    mask = encode(np.eye(80, 100, dtype=np.bool_))
    turned = record(
        "1.jpg", regions=regions(0, masks=(mask,)), to_stored=(0.0, -1.0, 80.0, 1.0, 0.0, 0.0)
    )
    with pytest.raises(InputError, match="EXIF"):
        found([turned], truth("1.jpg", size=(80, 100)), masks=True)


# Whole ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 40.0])
def test_the_truth_as_a_run_has_an_ap_of_one_and_a_shifted_one_has_not(data_dir, shift):
    path = data_dir / "coco" / "instances.json"
    known = read_coco(path, iou_type="bbox")
    classes = ClassTable(
        names=tuple(known.categories.values()),
        prompts=(AnnotationPrompt(text="x", class_id=0),),
    )
    places = {key: i for i, key in enumerate(known.categories)}
    document = json.loads(path.read_text())
    records = []
    for image in document["images"]:
        mine = [
            a for a in document["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]
        ]
        boxes = np.array([a["bbox"] for a in mine]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        shown = regions(*(places[a["category_id"]] for a in mine))
        records.append(
            record(
                f"images/{image['file_name']}", size=(image["width"], image["height"]),
                regions=replace(shown, boxes=rounded_boxes(boxes + shift)),
            )
        )  # fmt: skip
    result = detections_of_run(records, classes, known, masks=False)
    stats = evaluate_coco(known, result.entries, iou_type="bbox").stats
    assert (stats["AP"] == 1.0) == (shift == 0.0)

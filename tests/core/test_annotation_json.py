"""Records as JSON values: nothing is lost on the way out, nothing malformed comes back."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from groundplane.core.annotation_json import (
    classes_document,
    read_classes_document,
    read_record_document,
    record_document,
)
from groundplane.core.errors import InputError
from groundplane.testing.annotations import random_records, records_of_names
from groundplane.testing.exporters import record_differences

CASES = int(os.environ.get("GROUNDPLANE_CASES", "0"))


def test_records_and_classes_come_back_through_json() -> None:
    sets = [random_records(seed, num=6) for seed in range(max(CASES, 12))]
    for example in [*sets, records_of_names()]:
        classes = json.loads(json.dumps(classes_document(example.classes)))
        assert read_classes_document(classes, where="f") == example.classes
        for record in example:
            document = json.loads(json.dumps(record_document(record), allow_nan=False))
            found = read_record_document(document, where="f")
            assert record_differences(found, record) == []
            assert record_document(found) == record_document(record)


def test_the_comparison_notices_a_lost_field() -> None:
    record = next(r for r in random_records(2, num=9) if len(r.regions))
    found = read_record_document(record_document(record), where="f")
    assert record_differences(replace(found, note="other"), record) == ["note"]


def test_an_attribute_that_is_no_number_is_refused() -> None:
    record = next(r for r in random_records(2, num=9) if len(r.regions))
    facts = ({"weight": float("nan")},) * len(record.regions)
    broken = replace(record, regions=replace(record.regions, attributes=facts))
    with pytest.raises(InputError, match="'weight' is not finite"):
        record_document(broken)


def changed(**changes: object) -> dict:
    record = next(r for r in random_records(2, num=20, hostile=False) if len(r.regions) == 2)
    document = json.loads(json.dumps(record_document(record)))
    regions = {k: v for k, v in changes.items() if k in document["regions"] or k == "masks"}
    document["regions"] |= regions
    return document | {k: v for k, v in changes.items() if k not in regions}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": 7}, "path: expected text, got 7"),
        ({"status": "odd"}, "status: expected done or failed, got 'odd'"),
        ({"status": "failed"}, "a failure belongs to the status"),
        ({"size": None}, "what is done has a size"),
        ({"size": [1]}, "size: expected two whole numbers"),
        ({"size": [1.5, 2]}, "size: expected a whole number"),
        ({"size": [-1, 2]}, "size: expected two whole numbers of 0 or more"),
        ({"to_stored": [1, 2]}, "map of six numbers"),
        ({"to_stored": 5}, "to_stored: expected a list"),
        ({"failure": {"stage": "read"}}, "failure: message is not there"),
        ({"failure": []}, "failure: expected an object"),
        ({"frame": {"video": "a", "index": True, "time": 0}}, "index: expected a whole number"),
        ({"frame": {"video": "a", "index": 1, "time": "0"}}, "time: expected a number"),
        ({"outcomes": [1]}, r"outcomes\[0\]: expected text"),
        ({"caption": 1}, "caption: expected text"),
        ({"regions": []}, "regions: expected an object"),
        ({"ids": ["a", "a"]}, "ids are not unique"),
        ({"ids": ["a"]}, "1 ids but boxes"),
        ({"boxes": [[1, 2, 3], [1, 2, 3]]}, r"boxes\[0\]: expected four numbers"),
        ({"boxes": [[1, 2, 3, None], [1, 2, 3, 4]]}, r"boxes\[0\]: expected a number"),
        ({"scores": [0.5, float("nan")]}, r"scores\[1\]: expected a finite number"),
        ({"scores": [0.5, 10**400]}, r"scores\[1\]: expected a finite number"),
        ({"class_ids": [0, 2**70]}, r"class_ids\[1\]: expected a whole number"),
        ({"kept": [1, 0]}, r"kept\[0\]: expected true or false"),
        ({"masks": [None, 7]}, r"masks\[1\]: expected a mask"),
        ({"masks": [None, {"size": [2, 2], "counts": "\u00fc"}]}, r"masks\[1\]: .*ASCII"),
        ({"masks": [None, {"size": [2**20, 2**20], "counts": ""}]}, r"masks\[1\]: mask: expected"),
    ],
)
def test_what_is_malformed_is_named(changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_record_document(changed(**changes), where="part 3")
    assert str(caught.value).startswith("part 3: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "expected an object"),
        ({"names": "dog", "prompts": []}, "names: expected a list"),
        ({"names": ["dog", "dog"], "prompts": []}, "stands twice"),
        ({"names": [], "prompts": [7]}, r"prompts\[0\]: expected an object"),
        ({"names": [], "prompts": [{"text": "a", "class_id": 3}]}, "leads to class 3"),
        ({"names": [], "prompts": [{"text": " ", "class_id": -1}]}, "got an empty text"),
        (
            {"names": [], "prompts": [{"text": "a", "class_id": -1, "threshold": 2}]},
            "threshold from 0 to 1",
        ),
    ],
)
def test_malformed_classes_are_named(document: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_classes_document(document, where="f")


def test_any_change_of_a_record_is_read_or_refused() -> None:
    rng = np.random.default_rng(0)
    texts = [json.dumps(record_document(r)) for r in random_records(3, num=8)]
    for _ in range(max(CASES, 400)):
        text = bytearray(texts[rng.integers(len(texts))].encode())
        for place in rng.integers(0, len(text), 3).tolist():
            text[place] = int(rng.integers(32, 127))
        try:
            document = json.loads(text)
        except ValueError:
            continue
        try:
            read_record_document(document, where="f")
        except InputError as error:
            assert str(error).startswith("f")  # noqa: PT017 - most are read

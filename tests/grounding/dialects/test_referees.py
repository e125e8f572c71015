"""Texts with outside truth: what the authors of the models and of supervision say they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundplane.core.answer import GroundedText
from groundplane.core.errors import InputError
from groundplane.core.masks import decode
from groundplane.grounding.parsing import parse

_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "parser"


def _records(name: str) -> list[dict[str, Any]]:
    path = _DATA / name
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


_SUPERVISION = [
    record
    for record in _records("supervision_cases.jsonl")
    if not record["format"].startswith("util:")
]


def _boxes(found: GroundedText) -> np.ndarray[Any, Any]:
    rows = [m.located.boxes for m in found.mentions if m.located is not None]
    return np.concatenate([np.zeros((0, 4)), *rows])


def _phrases(found: GroundedText) -> list[str]:
    """The phrase of each box."""
    return [m.phrase for m in found.mentions for _ in (m.located.boxes if m.located else ())]


def _expected(record: dict[str, Any]) -> dict[str, Any]:
    """Boxes, and labels, scores and masks where the referee gives them."""
    if "expected_detections" in record:
        columns = record["expected_detections"]["Detections"]
        names = columns["data"]["class_name"]["array"]
        return {"boxes": columns["xyxy"]["array"], "labels": names}
    results = record["expected_results"]
    if isinstance(results, dict):
        return {"boxes": results["array"]}
    boxes, second, third, *more = (None if r is None else r["array"] for r in results)
    if record["format"] == "florence-2":
        return {"boxes": boxes, "labels": second, "masks": third}
    scores, masks = (*more, None, None)[:2]
    # A referee that gives a score to an object without one is not asked for it.
    scores = scores if scores and "confidence" in record["result"] else None
    return {"boxes": boxes, "labels": third, "scores": scores, "masks": masks}


def _parse(record: dict[str, Any]) -> GroundedText:
    text = record["florence_result"] if "florence_result" in record else record["result"]
    seen = record.get("input_wh")
    return parse(
        text,
        dialect=record["format"],
        size=tuple(record["resolution_wh"]),
        seen=None if seen is None else tuple(seen),
        classes=record.get("classes"),
    )


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("record", _SUPERVISION, ids=[record["id"] for record in _SUPERVISION])
def test_supervision_and_we_find_the_same(record: dict[str, Any]) -> None:
    if min(record["resolution_wh"]) <= 0:
        with pytest.raises(InputError):
            _parse(record)
        return
    found = _parse(record)
    if record["exception"] != "ok":
        # Where it raises for a text, here the text is passed through with a typed problem.
        assert found.problems
        return
    expected = _expected(record)
    np.testing.assert_allclose(
        _boxes(found), np.reshape(expected["boxes"], (-1, 4)), rtol=1e-5, atol=1e-9
    )
    labels = expected.get("labels")
    if labels:
        assert _phrases(found) == labels
    if expected.get("scores"):
        scores = [s for m in found.mentions if m.located for s in m.located.scores]
        assert scores == expected["scores"]
    if expected.get("masks"):
        masks = [decode(mask) for m in found.mentions if m.located for mask in m.located.masks]
        np.testing.assert_array_equal(masks, expected["masks"])


@pytest.mark.usefixtures("data_dir")
def test_kosmos_text_entities_and_boxes_are_those_of_transformers() -> None:
    [record] = _records("kosmos2_short.jsonl")

    found = parse(record["result"], dialect="kosmos-2", size=(1000, 1000))

    assert found.text == record["expected_text"]
    entities = [
        [m.phrase, list(m.span), (m.located.boxes / 1000).tolist()]
        for m in found.mentions
        if m.located is not None
    ]
    assert [entity[:2] for entity in entities] == [e[:2] for e in record["expected_entities"]]
    for ours, theirs in zip(entities, record["expected_entities"], strict=True):
        np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("identity", "name", "scale"),
    [
        ("qwen-vl:readme_caption", "qwen-vl", 1000),
        ("deepseek-vl2:readme_giraffe", "deepseek-vl2", 999),
        ("minigpt-v2:demo_identify", "minigpt-v2", 100),
    ],
)
def test_samples_of_the_models_own_pages_are_read(identity: str, name: str, scale: int) -> None:
    [record] = [r for r in _records("readme_literals.jsonl") if r["id"] == identity]

    found = parse(record["raw"], dialect=name, size=(640, 480))

    for mention, truth in zip(found.mentions, record["expected"], strict=True):
        [numbers] = [value for key, value in truth.items() if key.startswith("box")]
        expected = np.array(numbers) / scale * [640, 480, 640, 480]
        assert mention.phrase == truth.get("label", "")
        assert mention.located is not None
        np.testing.assert_allclose(mention.located.boxes, [expected])
    assert "<" not in found.text


@pytest.mark.usefixtures("data_dir")
def test_every_referee_is_asked() -> None:
    lines = sum(len(_records(path.name)) for path in _DATA.glob("*.jsonl"))
    util = [r for r in _records("supervision_cases.jsonl") if r["format"].startswith("util:")]

    assert lines == len(_SUPERVISION) + len(util) + 1 + 3

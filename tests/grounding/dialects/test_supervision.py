"""Made outputs, read by supervision's parsers and by ours: the same boxes, labels and masks.

Only what both can read is made: supervision drops boxes without a label, and keeps boxes that are
inside out, empty or repeated, which are corrected, dropped and said here.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from groundplane.core.masks import decode
from groundplane.grounding.parsing import parse

vlm = pytest.importorskip("supervision.detection.vlm")

_LABELS = st.text("abc xyz-", min_size=1, max_size=8).filter(lambda s: s.strip() == s)
_SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@st.composite
def _boxes(draw: Any, most: int) -> list[tuple[str, list[int]]]:
    """Labels and boxes with an area, none twice; x and y stand alike, for either order."""
    made: dict[tuple[object, ...], tuple[str, list[int]]] = {}
    for _ in range(draw(st.integers(0, 6))):
        x0, y0 = draw(st.integers(0, most - 1)), draw(st.integers(0, most - 1))
        x1, y1 = draw(st.integers(x0 + 1, most)), draw(st.integers(y0 + 1, most))
        label = draw(_LABELS)
        made[label, x0, y0, x1, y1] = (label, [x0, y0, x1, y1])
    return list(made.values())


def _same(
    text: object,
    theirs: tuple[Any, ...],
    *,
    dialect: str,
    size: tuple[int, int],
    seen: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
) -> None:
    found = parse(text, dialect=dialect, size=size, seen=seen, classes=classes)  # type: ignore[arg-type]
    rows = [
        (box, mention.phrase)
        for mention in found.mentions
        if mention.located is not None
        for box in mention.located.boxes.tolist()
    ]
    expected, labels = np.asarray(theirs[0]).reshape(-1, 4), list(theirs[2])
    assert [label for _, label in rows] == labels
    if rows:
        assert np.abs(np.array([box for box, _ in rows]) - expected).max() < 1e-6 * max(size)


@settings(deadline=None)
@given(_boxes(1024), _SIZES)
def test_paligemma(boxes: list[tuple[str, list[int]]], size: tuple[int, int]) -> None:
    boxes = [(label, [min(v, 1023) for v in box]) for label, box in boxes]
    boxes = [(label, box) for label, box in boxes if box[0] < box[2] and box[1] < box[3]]
    text = " ; ".join("".join(f"<loc{v:04d}>" for v in box) + f" {label}" for label, box in boxes)
    _same(text, vlm.from_paligemma(text, size), dialect="paligemma", size=size)


_JSON: dict[str, tuple[Callable[..., tuple[Any, ...]], str, dict[str, Any]]] = {
    "gemini-2.0": (vlm.from_google_gemini_2_0, "box_2d", {}),
    "gemini-2.5": (vlm.from_google_gemini_2_5, "box_2d", {}),
    "gemini-3.5": (vlm.from_google_gemini_3_5, "box_2d", {}),
    "qwen3-vl": (vlm.from_qwen_3_vl, "bbox_2d", {}),
    "qwen2.5-vl": (vlm.from_qwen_2_5_vl, "bbox_2d", {"input_wh": (1000, 1000)}),
}


@settings(deadline=None)
@given(_boxes(1000), _SIZES, st.sampled_from(sorted(_JSON)), st.booleans(), st.booleans())
def test_json(
    boxes: list[tuple[str, list[int]]],
    size: tuple[int, int],
    name: str,
    indented: bool,
    filtered: bool,
) -> None:
    read, key, options = _JSON[name]
    objects = [{key: box, "label": label} for label, box in boxes]
    text = "```json\n" + json.dumps(objects, indent=2 if indented else None) + "\n```"
    classes = [label for label, _ in boxes[::2]] if filtered else None
    wh = options.get("input_wh")
    arguments = (text, wh, size, classes) if wh else (text, size, classes)
    _same(text, read(*arguments), dialect=name, size=size, seen=wh, classes=classes)


@settings(deadline=None)
@given(_boxes(1000), _SIZES, st.sampled_from(["gemini-3.6", "gemini-3.7"]))
def test_outlines(boxes: list[tuple[str, list[int]]], size: tuple[int, int], name: str) -> None:
    size = (min(size[0], 200), min(size[1], 200))
    objects = [
        {"box_2d": box, "label": label, "mask": [box[:2], [box[2], box[1]], box[2:]]}
        for label, box in boxes
    ]  # fmt: skip
    text = json.dumps({"boxes": objects})
    theirs = vlm.from_google_gemini_3_6(text, size)
    _same(text, theirs, dialect=name, size=size)
    found = parse(text, dialect=name, size=size)
    ours = [decode(mask) for m in found.mentions if m.located for mask in m.located.masks]
    if boxes:
        assert np.array_equal(np.array(ours), theirs[4])


@settings(deadline=None, max_examples=30)
@given(_boxes(1000), st.integers(0, 2**32 - 1))
def test_pictures_of_masks(boxes: list[tuple[str, list[int]]], seed: int) -> None:
    size = (120, 90)
    random = np.random.default_rng(seed)
    objects = []
    for label, box in boxes:
        side = random.integers(1, 12, 2)
        picture = PILImage.fromarray(random.integers(0, 256, side, dtype=np.uint8))
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        mask = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        objects.append({"box_2d": box, "label": label, "mask": mask})
    text = "```json\n" + json.dumps(objects) + "\n```"
    theirs = vlm.from_google_gemini_2_5(text, size)
    found = parse(text, dialect="gemini-2.5", size=size)
    ours = [decode(mask) for m in found.mentions if m.located for mask in m.located.masks]
    if boxes:
        assert np.array_equal(np.array(ours), theirs[4])


@settings(deadline=None)
@given(_boxes(999), _SIZES, st.booleans())
def test_deepseek(
    boxes: list[tuple[str, list[int]]], size: tuple[int, int], filtered: bool
) -> None:
    if not boxes:
        return
    text = "".join(f"<|ref|>{label}<|/ref|><|det|>[{box}]<|/det|>" for label, box in boxes)
    classes = [label for label, _ in boxes[::2]] if filtered else None
    theirs = vlm.from_deepseek_vl_2(text, size, classes)
    _same(text, theirs, dialect="deepseek-vl2", size=size, classes=classes)


@settings(deadline=None)
@given(_boxes(1000), _SIZES)
def test_moondream(boxes: list[tuple[str, list[int]]], size: tuple[int, int]) -> None:
    keys = ("x_min", "y_min", "x_max", "y_max")
    places = {tuple(box): None for _, box in boxes}
    made = {"objects": [dict(zip(keys, (v / 1000 for v in box), strict=True)) for box in places]}
    theirs = np.asarray(vlm.from_moondream(made, size)).reshape(-1, 4)
    _same(made, (theirs, None, [""] * len(theirs)), dialect="moondream", size=size)


@settings(deadline=None)
@given(_boxes(1000), _SIZES)
def test_florence(boxes: list[tuple[str, list[int]]], size: tuple[int, int]) -> None:
    made = {"<OD>": {"bboxes": [box for _, box in boxes], "labels": [label for label, _ in boxes]}}
    theirs = vlm.from_florence_2(made, size)
    # The processor has scaled already; what lies beyond a small picture is dropped here.
    inside = [k for k, (_, box) in enumerate(boxes) if box[0] < size[0] and box[1] < size[1]]
    kept = (theirs[0][inside] if boxes else [], None, [boxes[k][0] for k in inside])
    _same(made, kept, dialect="florence-2", size=size)

"""The door to the dialects: sizes, frames, classes, regions, and any text at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs import OUTPUTS
from scanned import proposals

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.parsing import parse

_SIZE = (640, 480)
_TEXT = (
    "<ref>a dog</ref><box>(100,100),(500,500)</box> and <ref>The Cat</ref><box>(1,1),(90,90)</box>"
)


@pytest.mark.parametrize("size", [(0, 480), (640, -1)])
@pytest.mark.parametrize("name", ["qwen-vl", "qwen2.5-vl", "shikra", "janus"])
def test_size_that_is_none_is_refused(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="image size of two whole numbers above 0"):
        parse("text", dialect=name, size=size)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [(640.0, 480.0), ("640", "480"), (640,), None, (True, 1)])
def test_size_of_another_type_is_refused(size: Any) -> None:
    scan = parse.__wrapped__ if hasattr(parse, "__wrapped__") else parse
    with pytest.raises((InputError, TypeError)):
        scan("text", dialect="qwen-vl", size=size)


def test_unknown_dialect_names_near_ones() -> None:
    with pytest.raises(InputError, match="Did you mean 'kosmos-2'"):
        parse("text", dialect="kosmos-3", size=_SIZE)


@pytest.mark.parametrize("name", ["Kosmos_2", "KOSMOS-2", " kosmos2 "])
def test_names_are_found_however_they_are_spelled(name: str) -> None:
    assert dialect(name).name == "kosmos-2"


@pytest.mark.parametrize("name", dialects())
def test_every_dialect_answers_to_its_name(name: str) -> None:
    assert dialect(name).name == name


def test_frame_and_size_seen_together_are_refused() -> None:
    frame = Frame.original(_SIZE)
    with pytest.raises(InputError, match="do not go together"):
        parse("text", dialect="qwen-vl", size=_SIZE, seen=_SIZE, frame=frame)


def test_frame_of_another_image_is_refused() -> None:
    with pytest.raises(InputError, match="do not go together"):
        parse("text", dialect="qwen-vl", size=_SIZE, frame=Frame.original((64, 48)))


def test_size_seen_that_is_no_square_is_refused_by_a_model_that_pads() -> None:
    with pytest.raises(InputError, match="sees a square"):
        parse("text", dialect="shikra", size=_SIZE, seen=(336, 224))


def test_scale_of_the_padded_square_changes_nothing() -> None:
    text = "a dog [0.25,0.25,0.75,0.75]"

    plain = parse(text, dialect="shikra", size=_SIZE)
    seen = parse(text, dialect="shikra", size=_SIZE, seen=(224, 224))

    for found in (plain, seen):
        assert found.mentions[0].located is not None
        np.testing.assert_allclose(found.mentions[0].located.boxes, [[160, 80, 480, 400]])


def test_frames_that_compose_are_undone_together() -> None:
    whole = Frame.cropped(_SIZE, shortest=336, crop=336).then(Frame.resized((336, 336), (84, 84)))

    found = parse("<box>(0,0),(500,500)</box>", dialect="qwen-vl", size=_SIZE, frame=whole)

    assert found.mentions[0].located is not None
    np.testing.assert_allclose(found.mentions[0].located.boxes, [[80, 0, 320, 240]])


@pytest.mark.parametrize(
    ("classes", "kept"),
    [
        (["a dog"], ["a dog"]),
        (["A DOG ", "the cat"], ["a dog", "The Cat"]),
        (["dog"], []),
        ([], []),
        (None, ["a dog", "The Cat"]),
    ],
)
def test_mentions_of_other_classes_are_dropped(classes: list[str] | None, kept: list[str]) -> None:
    found = parse(_TEXT, dialect="qwen-vl", size=_SIZE, classes=classes)

    assert [mention.phrase for mention in found.mentions] == kept
    dropped = [p for p in found.problems if p.kind is ProblemKind.UNLISTED_CLASS]
    assert len(dropped) == 2 - len(kept)
    assert found.text == "a dog and The Cat"


def test_text_without_locations_says_so() -> None:
    found = parse("Nothing here.", dialect="paligemma", size=_SIZE)

    assert [problem.kind for problem in found.problems] == [ProblemKind.NOTHING]
    assert found.text == "Nothing here."


def test_text_whose_special_tokens_were_skipped_says_how_to_decode() -> None:
    found = parse("the dog", dialect="kosmos-2", size=_SIZE)

    assert "skip_special_tokens=False" in found.problems[0].message


def test_trace_says_how_the_text_was_read() -> None:
    assert parse(_TEXT, dialect="qwen-vl", size=_SIZE).trace[0].detail == "as qwen-vl"


def test_picture_of_one_pixel_has_boxes_of_its_own_size() -> None:
    found = parse("<box>(0,0),(999,999)</box>", dialect="qwen-vl", size=(1, 1))

    assert found.mentions[0].located is not None
    np.testing.assert_allclose(found.mentions[0].located.boxes, [[0, 0, 0.999, 0.999]])


@pytest.mark.parametrize(
    "value",
    [
        {"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]},
        {"objects": ({"x_min": np.float32(0.1), "y_min": 0.2, "x_max": 0.3, "y_max": 0.4},)},
        '{"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]}',
    ],
)
def test_mapping_of_a_processor_and_its_json_are_read_alike(value: Any) -> None:
    found = parse(value, dialect="moondream", size=_SIZE)

    assert found.mentions[0].located is not None
    np.testing.assert_allclose(found.mentions[0].located.boxes, [[64, 96, 192, 192]], rtol=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        {"<OD>": {"bboxes": [[1, 2, float("nan"), 4], [1, 2], "x", None], "labels": [1]}},
        {"<OD>": None},
        {"<OD>": {"bboxes": 3, "labels": None}},
        {"<OCR_WITH_REGION>": {"quad_boxes": [[]], "labels": []}},
        {"<REFERRING_EXPRESSION_SEGMENTATION>": {"polygons": [[[1, 2]], [], [[[]]]]}},
        {},
        {"a": {"b": object()}},
    ],
)
def test_mapping_that_is_broken_raises_nothing(value: dict[str, Any]) -> None:
    found = parse(value, dialect="florence-2", size=_SIZE)

    assert not found.mentions
    assert found.problems


@pytest.mark.parametrize("name", ["florence-2", "florence-2-ocr"])
def test_quads_of_florence_are_outlines_with_a_box_and_a_mask(name: str) -> None:
    value = {"<OCR_WITH_REGION>": {"quad_boxes": [[1, 1, 9, 1, 9, 5, 1, 5]], "labels": ["</s>hi"]}}

    found = parse(value, dialect=name, size=(10, 10))

    [mention] = found.mentions
    assert mention.located is not None
    assert (found.text, mention.phrase) == ("hi", "hi")
    assert mention.located.boxes.tolist() == [[1, 1, 9, 5]]
    assert len(mention.located.polygons) == len(mention.located.masks) == 1


@given(text=st.text(max_size=60), name=st.sampled_from(dialects()))
@settings(max_examples=200, deadline=None)
def test_no_text_raises(text: str, name: str) -> None:
    parse(text, dialect=name, size=_SIZE)


@pytest.mark.parametrize(
    "text",
    [
        "\ud800 lone surrogate",
        "\x00<ref>\x00</ref>",
        "<ref>e\u0301\u0301</ref><box>(1,1),(9,9)</box>",
        "<ref>\u0661\u0662</ref><box>(\u0661,\u0662),(\u0663,\u0664)</box>",
        '{"bbox_2d": [NaN, Infinity, 1e999, -1e999], "label": "x"}',
        '{"bbox_2d": [' + "9" * 5000 + ", 1, 2, 3]}",
        "[" * 3000 + "]" * 3000,
        '{"a":' * 500 + "1" + "}" * 500,
        "<box>(1e5,2),(3,4)</box>",
        "<box>(+-1,2),(3,4)</box>",
    ],
)
@pytest.mark.parametrize("name", ["qwen-vl", "qwen3-vl", "gemini", "shikra", "claude"])
def test_hostile_numbers_and_characters_raise_nothing(name: str, text: str) -> None:
    found = parse(text, dialect=name, size=_SIZE)

    for mention in found.mentions:
        assert mention.located is not None
        assert np.isfinite(mention.located.boxes).all()


@pytest.mark.parametrize("name", dialects())
def test_phrases_stand_where_their_spans_say(name: str) -> None:
    for text in OUTPUTS[name]:
        found = parse(text, dialect=name, size=_SIZE, regions=proposals())
        for mention in found.mentions:
            assert found.text[slice(*mention.span)] == mention.phrase

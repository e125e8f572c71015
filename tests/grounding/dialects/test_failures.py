"""How answers go wrong, each a typed problem and never an exception, for each dialect that can."""

from __future__ import annotations

import numpy as np
import pytest
from outputs import OUTPUTS
from scanned import proposals, scan

from groundplane.core.answer import GroundedText
from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects import dialect, dialects
from groundplane.grounding.parsing import parse

_SIZE = (640, 480)


# A box of each dialect that writes corners, with places for its four numbers in its own order.
_BOX = {
    "claude": ('[{{"label": "a dog", "bbox": [{}, {}, {}, {}]}}]', 1),
    "cogvlm": ("a dog [[{},{},{},{}]]", 1000),
    "deepseek-vl2": ("<|ref|>a dog<|/ref|><|det|>[[{}, {}, {}, {}]]<|/det|>", 999),
    "ferret": ("a dog [{}, {}, {}, {}]", 1000),
    "florence-2": ("a dog<loc_{}><loc_{}><loc_{}><loc_{}>", 999),
    "gemini": ('[{{"label": "a dog", "box_2d": [{}, {}, {}, {}]}}]', 1000),
    "glm-4.5v": ("a dog <|begin_of_box|>[[{},{},{},{}]]<|end_of_box|>", 1000),
    "internvl": ("<ref>a dog</ref><box>[[{}, {}, {}, {}]]</box>", 1000),
    "llava-1.5": ("a dog [{}, {}, {}, {}]", 1.0),
    "locateanything": ("<ref>a dog</ref><box><{}><{}><{}><{}></box>", 1000),
    "minigpt-v2": ("<p>a dog</p> {{<{}><{}><{}><{}>}}", 100),
    "moondream": ('{{"objects": [{{"x_min": {}, "y_min": {}, "x_max": {}, "y_max": {}}}]}}', 1.0),
    "paligemma": ("<loc{:04d}><loc{:04d}><loc{:04d}><loc{:04d}> a dog", 1023),
    "qwen-vl": ("<ref>a dog</ref><box>({},{}),({},{})</box>", 1000),
    "qwen2-vl": (
        "<|object_ref_start|>a dog<|object_ref_end|><|box_start|>({},{}),({},{})<|box_end|>",
        1000,
    ),
    "qwen2.5-vl": ('[{{"bbox_2d": [{}, {}, {}, {}], "label": "a dog"}}]', 640),
    "qwen3-vl": ('[{{"bbox_2d": [{}, {}, {}, {}], "label": "a dog"}}]', 1000),
    "rex-omni": (
        "<|object_ref_start|>a dog<|object_ref_end|><|box_start|><{}><{}><{}><{}><|box_end|>",
        999,
    ),
    "shikra": ("a dog [{},{},{},{}]", 1.0),
}
_UNBOUNDED = [name for name in _BOX if name not in ("florence-2", "paligemma")]
_JSON = [name for name in dialects() if dialect(name).syntax.objects]
_TAGGED = [name for name in _BOX if dialect(name).convention.phrase == "wrapped"]


def _written(name: str, *shares: float) -> str:
    """A box of shares of the side, as the dialect writes it."""
    template, scale = _BOX[name]
    # Claude and Qwen2.5-VL write pixels; a square picture of this side is seen as it is.
    scale = 644 if name in ("claude", "qwen2.5-vl") else scale
    numbers = [share * scale for share in shares]
    whole = scale > 1
    return template.format(*(round(n) if whole else round(n, 3) for n in numbers))


def _read(name: str, text: str) -> GroundedText:
    return parse(text, dialect=name, size=(644, 644))


def _boxes(found: GroundedText) -> np.ndarray:
    rows = [m.located.boxes for m in found.mentions if m.located is not None]
    return np.concatenate([np.zeros((0, 4)), *rows])


def _kinds(found: GroundedText) -> set[ProblemKind]:
    return {problem.kind for problem in found.problems}


def test_every_dialect_of_corners_is_tried() -> None:
    corners = {
        name for name in dialects() if dialect(name).kind == "coordinates" and "molmo" not in name
    }

    assert corners - set(_BOX) == {"kosmos-2", "florence-2-ocr", "florence-2-outlines"}


@pytest.mark.parametrize("name", _BOX)
def test_good_box_is_no_problem(name: str) -> None:
    found = _read(name, _written(name, 0.2, 0.3, 0.6, 0.7))

    assert not found.problems
    assert len(_boxes(found)) == 1


@pytest.mark.parametrize("name", _BOX)
def test_corners_in_the_wrong_order_are_swapped(name: str) -> None:
    good = _read(name, _written(name, 0.2, 0.3, 0.6, 0.7))

    found = _read(name, _written(name, 0.6, 0.7, 0.2, 0.3))

    assert _kinds(found) == {ProblemKind.INVERTED}
    np.testing.assert_allclose(_boxes(found), _boxes(good))


@pytest.mark.parametrize("name", _UNBOUNDED)
def test_number_beyond_the_range_is_kept_and_said(name: str) -> None:
    found = _read(name, _written(name, 0.2, 0.3, 1.3, 0.7))

    assert _kinds(found) == {ProblemKind.OUT_OF_RANGE}
    # What a padded model says of its padding is cut off; a square picture has none.
    assert _boxes(found)[0].max() == pytest.approx(1.3 * 644, rel=0.01)


@pytest.mark.parametrize("name", ["florence-2", "paligemma", "kosmos-2"])
def test_bin_that_does_not_exist_is_dropped(name: str) -> None:
    texts = {
        "florence-2": "a dog<loc_10><loc_10><loc_5000><loc_20>",
        "paligemma": "<loc0010><loc0010><loc5000><loc0020> a dog",
        "kosmos-2": "<phrase>a dog</phrase><object><patch_index_0001><patch_index_9999></object>",
    }

    found = _read(name, texts[name])

    assert ProblemKind.MALFORMED in _kinds(found)
    assert not len(_boxes(found))


@pytest.mark.parametrize("name", _UNBOUNDED)
def test_box_wholly_outside_is_dropped(name: str) -> None:
    found = _read(name, _written(name, 1.2, 0.3, 1.6, 0.7))

    assert ProblemKind.OUT_OF_IMAGE in _kinds(found)
    assert not len(_boxes(found))


@pytest.mark.parametrize("name", ["shikra", "llava-1.5"])
def test_box_in_the_padding_is_dropped_and_one_that_reaches_into_it_is_cut(name: str) -> None:
    template, _ = _BOX[name]

    outside = parse(template.format(0.1, 0.0, 0.5, 0.1), dialect=name, size=_SIZE)
    partly = parse(template.format(0.1, 0.0, 0.5, 0.5), dialect=name, size=_SIZE)

    assert _kinds(outside) == {ProblemKind.OUT_OF_IMAGE}
    assert not len(_boxes(outside))
    np.testing.assert_allclose(_boxes(partly), [[64, 0, 320, 240]])


@pytest.mark.parametrize("name", _BOX)
def test_box_without_area_is_dropped(name: str) -> None:
    found = _read(name, _written(name, 0.5, 0.3, 0.5, 0.7))

    assert _kinds(found) == {ProblemKind.ZERO_AREA}
    assert not len(_boxes(found))


@pytest.mark.parametrize("name", _BOX)
def test_box_of_zeros_says_that_the_thing_is_not_there(name: str) -> None:
    found = _read(name, _written(name, 0, 0, 0, 0))

    assert _kinds(found) == {ProblemKind.ABSENT}
    assert not found.mentions


@pytest.mark.parametrize("name", _BOX)
def test_same_box_over_and_over_is_kept_once(name: str) -> None:
    one = _written(name, 0.2, 0.3, 0.6, 0.7)
    between = " ; " if name == "paligemma" else "\n"

    found = _read(name, between.join([one] * 20))

    assert _kinds(found) == {ProblemKind.REPEATED}
    assert len(_boxes(found)) == 1


# GLM's tags stand around any final answer, so a row of three numbers is one.
@pytest.mark.parametrize("name", [name for name in _BOX if name != "glm-4.5v"])
def test_one_broken_box_is_dropped_alone(name: str) -> None:
    good = _written(name, 0.2, 0.3, 0.6, 0.7)
    broken = _broken(name)
    between = " ; " if name == "paligemma" else "\n"

    found = _read(name, between.join([good, broken, _written(name, 0.1, 0.1, 0.4, 0.4)]))

    assert ProblemKind.MALFORMED in _kinds(found), found.problems
    assert len(_boxes(found)) == 2


def _broken(name: str) -> str:
    """A box of three numbers, of something else that the dialect cannot mean."""
    text = _written(name, 0.3, 0.35, 0.61, 0.71)
    last = _written(name, 0.3, 0.35, 0.61, 0.72)
    if name == "moondream":
        return '{"objects": [{"x_min": 0.1, "y_min": "x", "x_max": 0.4, "y_max": 0.9}]}'
    if name in ("florence-2", "paligemma"):
        end = text.rindex("<loc")
        return text[:end] + text[text.index(">", end) + 1 :]
    # The fourth number, and the comma or bracket before it, is taken out.
    first = next(k for k, (a, b) in enumerate(zip(text, last, strict=True)) if a != b)
    start = first
    while text[start - 1] in "0123456789.":
        start -= 1
    end = first
    while text[end] in "0123456789.":
        end += 1
    if text[start - 1] == "<":
        return text[: start - 1] + text[end + 1 :]
    return text[:start].rstrip().rstrip(",") + text[end:]


@pytest.mark.parametrize("name", _JSON)
def test_fence_and_list_that_are_never_closed_keep_all_whole_objects(name: str) -> None:
    objects = [_written(name, 0.2, 0.3, 0.6, 0.7), _written(name, 0.1, 0.1, 0.4, 0.4)]
    rows = ", ".join(text.strip("[]") for text in objects)
    if name == "moondream":
        inner = [text[len('{"objects": [') : -2] for text in objects]
        rows = '{"objects": [' + ", ".join(inner)

    fenced = _read(name, f"```json\n{objects[0]}")
    opened = rows if name == "moondream" else f"[{rows}"
    listed = _read(name, opened)
    cut = _read(name, f"```json\n{opened[:-9]}")

    assert _kinds(fenced) == {ProblemKind.UNTERMINATED}
    assert _kinds(listed) == {ProblemKind.UNTERMINATED}
    assert (len(_boxes(fenced)), len(_boxes(listed))) == (1, 2)
    assert ProblemKind.TRUNCATED in _kinds(cut)
    assert len(_boxes(cut)) == 1
    assert {m.located.rung for m in cut.mentions if m.located} == {"salvage"}


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl", "gemini", "claude"])
def test_quotes_within_a_label_are_the_labels(name: str) -> None:
    labels = ['a 19" screen', 'the "big" dog', "the dog's bowl"]
    box = _written(name, 0.1, 0.1, 0.9, 0.9).strip("[]")
    rows = [box.replace("a dog", label) for label in labels]
    rows[2] = rows[2].replace('"', "'")

    for joint in (",\n", ", "):
        found = _read(name, "[" + joint.join(rows) + "]")
        assert [mention.phrase for mention in found.mentions] == labels
        assert not found.problems
        assert {mention.located.rung for mention in found.mentions if mention.located} == {
            "literal"
        }


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl", "gemini", "claude"])
def test_quote_that_cannot_be_told_costs_its_own_object_alone(name: str) -> None:
    rows = [_written(name, 0.1 * k, 0.1, 0.9, 0.9).strip("[]") for k in range(1, 4)]
    rows[1] = rows[1].replace("a dog", 'a 19", screen')

    found = _read(name, "```json\n[\n" + ",\n".join(rows) + "\n]\n```\nThat is all.")

    assert len(_boxes(found)) == 2
    assert _kinds(found) == {ProblemKind.MALFORMED}
    assert found.text == "a dog, a dog\nThat is all."


# MiniGPT-v2's closing sign is one bracket: a box without it may have lost digits.
@pytest.mark.parametrize("name", [n for n in _TAGGED if n != "minigpt-v2"])
def test_missing_closing_tag_at_the_end_is_said_and_the_box_kept(name: str) -> None:
    text = _written(name, 0.2, 0.3, 0.6, 0.7)

    found = _read(name, text[: text.rindex("<")])

    assert _kinds(found) == {ProblemKind.UNTERMINATED}
    assert len(_boxes(found)) == 1


@pytest.mark.parametrize("name", [*_TAGGED, *(n for n in _JSON if n != "moondream")])
def test_label_with_brackets_and_digits_is_a_label(name: str) -> None:
    label = "gate [A1, 2] (3,4),(5,6) {7} 100, 200, 300, 400"

    found = _read(name, _written(name, 0.2, 0.3, 0.6, 0.7).replace("a dog", label))

    assert [mention.phrase for mention in found.mentions] == [label]
    assert len(_boxes(found)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deepseek-vl2", "<|ref|>a dog<|/ref|> <|ref|>a cat<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>"),
        ("kosmos-2", "<phrase>a dog</phrase> and a cat"),
        ("qwen-vl", "<ref>a dog</ref> and <ref>a cat</ref><box>(1,2),(30,40)</box>"),
        ("groma", "<p>a dog</p> and <p>a cat</p><roi><r1></roi>"),
        ("glamm", "<p> a dog </p> and <p> a cat </p> [SEG]"),
    ],
)
def test_phrase_without_a_place_is_said_and_the_others_are_read(name: str, text: str) -> None:
    found = parse(text, dialect=name, size=_SIZE, regions=proposals())

    assert ProblemKind.COUNT_MISMATCH in _kinds(found)
    assert "a dog" not in [mention.phrase for mention in found.mentions]
    assert "a dog" in found.text


def test_none_instead_of_a_box_says_that_the_thing_is_not_there() -> None:
    found = _read("locateanything", "<ref>a dog</ref><box>none</box>")

    assert _kinds(found) == {ProblemKind.ABSENT}
    assert (found.text, found.mentions) == ("a dog", ())


@pytest.mark.parametrize(
    "mask",
    [
        "3.5",
        "null",
        "{}",
        "[[1, 2]]",
        "[1, 2, 3]",
        '"data:image/png;base64,AAAA"',
        '"x"',
        "[[1, 2], [3], [4, 5]]",
    ],
)
def test_mask_that_is_none_leaves_its_box(mask: str) -> None:
    found = _read("gemini", f'[{{"box_2d": [10, 20, 300, 400], "label": "a", "mask": {mask}}}]')

    assert len(_boxes(found)) == 1
    assert _kinds(found) == {ProblemKind.MALFORMED}


def test_answer_in_another_models_dialect_is_read_as_that() -> None:
    text = '<points x1="154" y1="104" x2="885" y2="104" alt="cups">cups</points>'

    found = parse(text, dialect="qwen3-vl", size=(1000, 1000))

    assert ProblemKind.OTHER_DIALECT in _kinds(found)
    assert found.mentions[0].located is not None
    np.testing.assert_allclose(found.mentions[0].located.points, [[154, 104], [885, 104]])


@pytest.mark.parametrize("name", ["shikra", "ferret", "llava-1.5"])
def test_full_width_brackets_and_commas_are_read(name: str) -> None:
    text = _written(name, 0.2, 0.3, 0.6, 0.7)
    wide = text.translate(str.maketrans({"[": "\uff3b", "]": "\uff3d", ",": "\uff0c"}))

    found = _read(name, wide)

    assert ProblemKind.BRACKETS in _kinds(found)
    np.testing.assert_allclose(_boxes(found), _boxes(_read(name, text)))


def test_numbers_in_prose_are_no_box() -> None:
    for name in _BOX:
        found = _read(name, "3 of the 4 chairs, 2 tables and 17 cups [1] (see 2, 3).")
        assert not found.mentions, name


@pytest.mark.parametrize("name", dialects())
def test_text_cut_anywhere_says_nothing_that_the_whole_does_not(name: str) -> None:
    for text in OUTPUTS[name]:
        whole = scan(name, [text], regions=proposals())
        boxes = [box for mention in whole.mentions for box in mention[3]]
        points = [point for mention in whole.mentions for point in mention[4]]
        for end in range(len(text)):
            part = scan(name, [text[:end]], regions=proposals())
            assert all(box in boxes for mention in part.mentions for box in mention[3]), part
            assert all(point in points for mention in part.mentions for point in mention[4]), part
            # One opening sign at the very end may be just that: it is kept.
            shown = part.text.rstrip().rstrip("<[{`").rstrip()
            assert whole.text.startswith(shown), (text[:end], part.text, whole.text)

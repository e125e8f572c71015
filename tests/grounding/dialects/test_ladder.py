"""What is tried where a text holds nothing in its own dialect, and what is never done."""

from __future__ import annotations

import pytest

from groundplane.core.locations import ProblemKind
from groundplane.grounding.parsing import parse

_SIZE = (640, 480)
_OTHER = "other_dialect"
_BOX = [64.0, 96.0, 192.0, 192.0]


@pytest.mark.parametrize(
    ("dialect", "text", "phrase", "rung", "kind"),
    [
        ("qwen3-vl", "{'bbox_2d': [100, 200, 300, 400], 'label': 'cup',}", "cup", "literal", None),
        ("qwen2-vl", '{"bbox_2d": [100, 200, 300, 400], "label": "cup"}', "cup", "json", _OTHER),
        ("ferret", '{"name": "cup", "box": [100, 200, 300, 400]}', "cup", "json", _OTHER),
        ("qwen3-vl", "a cup [100, 200, 300, 400]", "a cup", "brackets", None),
        ("cogvlm", "a cup (100, 200, 300, 400)", "a cup", "brackets", "brackets"),
        ("cogvlm", "a cup <100, 200, 300, 400>", "a cup", "brackets", "brackets"),
        ("cogvlm", "a cup {100, 200, 300, 400}", "a cup", "brackets", "brackets"),
        ("qwen2-vl", "a cup(100,200),(300,400)", "a cup", "brackets", "brackets"),
        ("qwen3-vl", "<ref>a cup</ref><box>(100,200),(300,400)</box>", "a cup", "tokens", _OTHER),
        ("qwen3-vl", '{"box_2d": [200, 100, 400, 300], "label": "cup"}', "cup", "json", _OTHER),
    ],
)  # fmt: skip
def test_each_rung_finds_the_box(
    dialect: str, text: str, phrase: str, rung: str, kind: str | None
) -> None:
    found = parse(text, dialect=dialect, size=_SIZE)
    (mention,) = found.mentions
    assert mention.phrase == phrase
    assert mention.located is not None
    assert mention.located.boxes.round(6).tolist() == [_BOX]
    assert mention.located.rung == rung
    kinds = {problem.kind.value for problem in found.problems}
    assert kinds == (set() if kind is None else {kind})
    assert found.text[slice(*mention.span)] == phrase


def test_points_in_the_elements_of_another_model_are_on_the_dialects_own_scale() -> None:
    text = '<points x1="154" y1="104" x2="885" y2="104" alt="cups">cups</points>'
    found = parse(text, dialect="qwen3-vl", size=(1000, 1000))
    (mention,) = found.mentions
    assert mention.located is not None
    assert mention.located.points.tolist() == [[154.0, 104.0], [885.0, 104.0]]
    assert [problem.kind for problem in found.problems] == [ProblemKind.OTHER_DIALECT]


def test_full_width_signs_are_read() -> None:
    wide = "".join(chr(0xFEE0 + ord(sign)) for sign in "[[100,200,300,400]]")
    found = parse("猫" + wide + "在这里", dialect="cogvlm", size=_SIZE)
    (mention,) = found.mentions
    assert mention.phrase == "猫"
    assert mention.located is not None
    assert mention.located.boxes.round(6).tolist() == [_BOX]
    assert found.text == "猫在这里"
    assert found.problems[0].kind is ProblemKind.BRACKETS


@pytest.mark.parametrize("dialect", ["shikra", "qwen-vl", "qwen2.5-vl", "gemini", "claude"])
@pytest.mark.parametrize(
    "text", ["3 of the 4 chairs, 2 tables, 1 lamp", "It costs 10, 20, 30 or 40.", "see (3) and [4]"]
)
def test_numbers_in_prose_are_never_a_box(dialect: str, text: str) -> None:
    found = parse(text, dialect=dialect, size=_SIZE)
    assert found.mentions == ()
    assert found.text == text
    assert [problem.kind for problem in found.problems] == [ProblemKind.NOTHING]


def test_numbers_in_prose_are_a_box_where_the_caller_asks_for_it() -> None:
    text = "The dog is at 100 200 300 400"
    found = parse(text, dialect="qwen3-vl", size=_SIZE, any_numbers=True)
    (mention,) = found.mentions
    assert mention.located is not None
    assert mention.located.boxes.round(6).tolist() == [_BOX]
    assert mention.located.rung == "numbers"
    assert found.text[slice(*mention.span)] == mention.phrase == "The dog"
    assert text[slice(*mention.located.phrase_source or (0, 0))] == "The dog"


def test_y_first_stays_y_first_in_brackets() -> None:
    found = parse("cup [200, 100, 400, 300]", dialect="gemini", size=_SIZE)
    (mention,) = found.mentions
    assert mention.located is not None
    assert mention.located.boxes.round(6).tolist() == [_BOX]


def test_what_was_read_and_dropped_is_not_read_again_otherwise() -> None:
    found = parse("<|det|>[[1, 2, 3, 4]]<|/det|>", dialect="deepseek-vl2", size=_SIZE)
    assert found.mentions == ()
    assert [problem.kind for problem in found.problems] == [ProblemKind.NO_PHRASE]


def test_a_cut_list_of_boxes_keeps_the_whole_ones() -> None:
    found = parse("dogs [[1, 2, 30, 40], [50, 60, 70", dialect="glm-4.5v", size=(1000, 1000))
    (mention,) = found.mentions
    assert mention.located is not None
    assert mention.located.boxes.tolist() == [[1.0, 2.0, 30.0, 40.0]]
    assert ProblemKind.TRUNCATED in {problem.kind for problem in found.problems}


def test_a_cut_list_in_another_dialect_keeps_its_whole_objects() -> None:
    text = '[{"box_2d": [200, 100, 400, 300], "label": "cup"}, {"box_2d": [1'
    found = parse(text, dialect="qwen3-vl", size=_SIZE)
    (mention,) = found.mentions
    assert mention.located is not None
    assert mention.located.boxes.round(6).tolist() == [_BOX]
    kinds = {problem.kind for problem in found.problems}
    assert {ProblemKind.OTHER_DIALECT, ProblemKind.TRUNCATED} <= kinds

"""Brackets of numbers as models write them: whole, cut, hostile."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.grounding.loose import narrow, read_brackets


def test_full_width_marks_are_read() -> None:
    wide = "".join(chr(0xFEE0 + ord(mark)) for mark in "[[10,20,30,40]]")
    text = narrow("猫" + wide)
    assert [b.groups for b in read_brackets(text)] == [((10.0, 20.0, 30.0, 40.0),)]
    assert len(text) == len(wide) + 1


@pytest.mark.parametrize(
    ("text", "groups", "opening"),
    [
        ("[1,2,3,4]", [((1, 2, 3, 4),)], "["),
        ("[[1, 2, 3, 4]]", [((1, 2, 3, 4),)], "[["),
        ("<1, 2, 3, 4>", [((1, 2, 3, 4),)], "<"),
        ("{1 2 3 4}", [((1, 2, 3, 4),)], "{"),
        ("(1,2),(3,4)", [((1, 2),), ((3, 4),)], "("),
        ("[[1,2,3,4;5,6,7,8]]", [((1, 2, 3, 4), (5, 6, 7, 8))], "[["),
        ("[0.5,0.25]", [((0.5, 0.25),)], "["),
    ],
)
def test_brackets_of_numbers(text: str, groups: list[object], opening: str) -> None:
    found = list(read_brackets(text))
    assert [b.groups for b in found] == groups
    assert found[0].opening == opening
    assert all(b.whole for b in found)


@pytest.mark.parametrize(
    "text", ["3 of the 4 chairs, 2 tables", "[sic]", "(see 3)", "a [1, 2, x] b", "[]", "[1)"]
)
def test_prose_is_no_bracket(text: str) -> None:
    assert list(read_brackets(text)) == []


def test_a_cut_bracket_keeps_its_whole_groups() -> None:
    (found,) = read_brackets("cats [[1, 2, 3, 4], [5, 6, 7")
    assert found.groups == ((1, 2, 3, 4),)
    assert not found.whole


@given(st.text(alphabet="[](){}<>,;:\"'\\ \n1.5-eax猫", max_size=200))
def test_nothing_raises(text: str) -> None:
    for bracket in read_brackets(text):
        assert 0 <= bracket.span[0] < bracket.span[1] <= len(text)


@pytest.mark.parametrize(
    "family",
    [
        "[",
        "{",
        '{"a":',
        "[1,",
        '{"a": "',
        "{'",
        '["\\\\',
        '\\"',
        "[ ",
        "((((",
        '{"a": {"a": [',
        "1 ",
        '"',
        "[1 x",
        "{]",
    ],
)
def test_time_grows_with_the_length(family: str) -> None:
    def seconds(size: int) -> float:
        text = family * (size // len(family))
        begun = time.perf_counter()
        list(read_brackets(text))
        return time.perf_counter() - begun

    seconds(5_000)
    # Twenty times the length; a quadratic reader would take four hundred times as long.
    assert seconds(100_000) < 100 * max(seconds(5_000), 1e-3)

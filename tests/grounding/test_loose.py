"""Values as models write them: whole, cut, loose, hostile."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.grounding.loose import narrow, read_brackets, read_values

_NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | _NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(_NAMES, _VALUES, max_size=4)


def _outermost(text: str) -> list[dict[str, object]]:
    return [found.value for found in read_values(text).objects if found.depth == 0]


@given(st.lists(_OBJECTS, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_strict_json_is_read_as_json_reads_it(
    objects: list[object], ascii_: bool, indent: int | None
) -> None:
    text = json.dumps(objects, ensure_ascii=ascii_, indent=indent)
    found = read_values(text)
    # An outermost object is one whose braces lie in no other's.
    assert [o.value for o in found.objects if o.depth == 0] == objects
    assert {o.rung for o in found.objects} <= {"json"}
    assert found.cut is None
    assert found.broken == ()


@given(st.lists(_OBJECTS, min_size=1, max_size=4), st.data())
def test_a_cut_list_keeps_every_whole_object(objects: list[object], data: st.DataObject) -> None:
    text = json.dumps(objects)
    at = data.draw(st.integers(1, len(text) - 1))
    ends = [len(json.dumps(objects[: n + 1])) - 1 for n in range(len(objects))]
    whole = sum(end <= at for end in ends)
    found = read_values(text[:at])
    assert [o.value for o in found.objects if o.depth == 0][:whole] == objects[:whole]
    assert found.cut == 0


@given(_OBJECTS)
def test_spans_hold_the_object(value: dict[str, object]) -> None:
    text = "Sure! " + json.dumps(value) + " Done."
    for found in read_values(text).objects:
        start, end = found.span
        assert json.loads(text[start:end]) == found.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[{'label': 'cat', 'bbox_2d': [1, 2, 3, 4]}]", {"label": "cat", "bbox_2d": [1, 2, 3, 4]}),
        (
            '[{"label": "cat", "bbox_2d": [1, 2, 3, 4,],},]',
            {"label": "cat", "bbox_2d": [1, 2, 3, 4]},
        ),
        ('{"label": "cat", "bbox_2d": (1, 2, 3, 4)}', {"label": "cat", "bbox_2d": [1, 2, 3, 4]}),
        ('{label: "cat", ok: True, none: None}', {"label": "cat", "ok": True, "none": None}),
        ("{'label': 'the man\\'s hat'}", {"label": "the man's hat"}),
        ("{'label': 'the man's hat'}", {"label": "the man's hat"}),
        ('{"label": "the "big" dog"}', {"label": 'the "big" dog'}),
        ('{"label": "two\nlines"}', {"label": "two\nlines"}),
        ('{"label": "sofa [left], 2 {seats}"}', {"label": "sofa [left], 2 {seats}"}),
        ('{"a": +1.5, "b": .5, "c": -2e3}', {"a": 1.5, "b": 0.5, "c": -2000.0}),
    ],
)
def test_loose_forms_are_read(text: str, expected: dict[str, object]) -> None:
    assert _outermost(text) == [expected]


def test_a_broken_entry_is_dropped_alone() -> None:
    found = read_values('[{"a": 1}, {"a": 2 3}, {"a": 4}]')
    assert [o.value for o in found.objects] == [{"a": 1}, {"a": 4}]
    assert found.objects[0].rung == "salvage"
    assert len(found.broken) == 1


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
    for found in read_values(text).objects:
        start, end = found.span
        assert text[start] + text[end - 1] == "{}"
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
        read_values(text)
        list(read_brackets(text))
        return time.perf_counter() - begun

    seconds(5_000)
    # Twenty times the length; a quadratic reader would take four hundred times as long.
    assert seconds(100_000) < 100 * max(seconds(5_000), 1e-3)

"""JSON as models write it, against the strict reader and Python's own."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.grounding.scanning.literals import read_value

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_VALUES)
def test_strict_json_is_what_json_says(value: object) -> None:
    assert read_value(json.dumps(value)) == (value, True)


@given(
    st.dictionaries(
        st.text("ab'\"\\\n \u72d7", max_size=4), st.text("ab'\"\\\n", max_size=6), min_size=1
    )
)
def test_python_literals_are_what_python_says(value: dict[str, str]) -> None:
    written = repr(value)

    found = read_value(written)

    assert found is not None
    assert found[0] == ast.literal_eval(written) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': [1, 2,],}", {"a": [1, 2]}),
        ("{'a': (0.5, -1e3)}", {"a": [0.5, -1000.0]}),
        ("{'a': True, 'b': null}", {"a": True, "b": None}),
        (r"{'a': '\u72d7\n'}", {"a": "\u72d7\n"}),
    ],
)
def test_loose_values_are_read(text: str, value: object) -> None:
    assert read_value(text) == (value, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{'a'}",
        "{'a' 1}",
        "{a: 1}",
        "{'a': 1 'b': 2}",
        "{'a': nan}",
        '{"a": NaN}',
        "{'a': __import__('os')}",
        "{'a': 1} x",
        "{'a': '\\u12'}",
        "[" * 50 + "]" * 50 + ",",
        "{'a': 1-2-3}",
        "{'a': " + "1" * 30 + ",}",
    ],
)
def test_what_is_no_value_is_not_read(text: str) -> None:
    assert read_value(text) is None

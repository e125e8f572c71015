"""Readers of payloads: strict, bounded, finite."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import Convention, Enclosed, Syntax
from groundplane.grounding.dialects.payloads import (
    bracketed,
    finite,
    number,
    numbers,
    shapes_of,
    tagged,
)


@given(st.text(max_size=30))
def test_every_number_that_is_read_is_finite(text: str) -> None:
    for value in [number(text), *(numbers(text) or ())]:
        assert value is None or math.isfinite(value)
    for row in (bracketed(text) or []) + (tagged(text) or []):
        assert all(map(math.isfinite, row))


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1_0", "\u0661", "1e9", "0x1", "--1", "", " ", "1" * 30]
)
def test_what_is_no_plain_number_is_not_read(text: str) -> None:
    assert number(text) is None


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=5), min_size=1, max_size=4))
def test_rows_in_any_brackets_are_read_back(rows: list[list[int]]) -> None:
    square = ", ".join(f"[{', '.join(map(str, row))}]" for row in rows)
    expected = [tuple(map(float, row)) for row in rows]

    assert bracketed(square) == expected
    assert bracketed(f"[{square}]") == expected
    assert bracketed(square.replace("[", "(").replace("]", ")")) == expected
    assert tagged(", ".join("".join(f"<{v}>" for v in row) for row in rows)) == expected


@pytest.mark.parametrize("values", [["1"], [None], [True], [float("nan")], [1e300], [[1]]])
def test_values_that_are_no_coordinates_are_not_read(values: list[object]) -> None:
    assert finite(values) is None


def test_row_of_another_length_is_dropped_alone() -> None:
    reading = shapes_of([(1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0), ()])

    assert [shape.kind for shape in reading.shapes] == ["box"]
    assert [kind for kind, _ in reading.problems] == [ProblemKind.MALFORMED] * 2


@pytest.mark.parametrize("tag", ["ref", "<ref", "<a><b>", "<" + "x" * 70 + ">", ""])
def test_tag_that_no_scanner_could_find_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match="is no tag that a scanner can find"):
        Syntax(ignored=(tag,))


def test_convention_with_a_divisor_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="divisor above 0"):
        Convention(divisor=0)


def test_payload_without_signs_is_refused() -> None:
    with pytest.raises(InputError, match="cannot enclose"):
        Enclosed(open="", close="]")

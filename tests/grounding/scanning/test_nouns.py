"""The noun phrase before a place, on sentences whose phrase is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.grounding.scanning.nouns import noun_span


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("There is a man", "a man"),
        ("a man and two small dogs", "two small dogs"),
        ("A cup of coffee", "A cup of coffee"),
        ("one of the dogs", "one of the dogs"),
        ("red car", "red car"),
        ("Sure! The dog:", "The dog"),
        ('I see "the cat"', "the cat"),
        ("The dog is located at", "The dog"),
        ("a T-shirt", "a T-shirt"),
        ("\u56fe\u4e2d\u6709\u4e00\u53ea\u72d7", "\u56fe\u4e2d\u6709\u4e00\u53ea\u72d7"),
        ("The two men", "The two men"),
        ("with a black and white headband", "a black and white headband"),
        ("a man and white", "white"),
        ("The button has been clicked", "The button"),
        ("The cat is painted", "The cat"),
        ("A red", "A red"),
        ("CLICK(box=", ""),
        ("pick apple \n box_2d: ", ""),
        ("first line\nthe dog", "the dog"),
        ("with", ""),
        ("...", ""),
        ("of", ""),
    ],
)
def test_phrase_is_the_last_noun_phrase(text: str, phrase: str) -> None:
    assert text[slice(*noun_span(text))] == phrase


@given(st.text(max_size=400))
def test_any_text_has_a_span_within_it(text: str) -> None:
    start, end = noun_span(text)

    assert 0 <= start <= end <= len(text)
    assert text[start:end] == text[start:end].strip()

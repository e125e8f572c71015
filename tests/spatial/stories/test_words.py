"""Tokens of stories."""

from __future__ import annotations

import pytest

from groundplane.spatial.stories.words import UnreadError, plain, tokens_of


def kinds(text):
    return " ".join(token.kind for token in tokens_of(plain(text)))


def names(text):
    return [token.text for token in tokens_of(plain(text)) if token.kind == "name"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A is above B", ["A", "B"]),
        ("The object A is above the object B.", ["A", "B"]),
        ("The object labeled A is above object B", ["A", "B"]),
        ("A box is above a cat", ["box", "cat"]),
        ("The red box is above block B2", ["red box", "block B2"]),
        ("The top shelf is left of the bottom drawer", ["top shelf", "bottom drawer"]),
        ("I is at G\u2019s 3 o\u2019clock", ["I", "G"]),
        ("Bob's cat is below Bob", ["Bob", "cat", "Bob"]),
        ("the tv-stand is left to the upper cupboard", ["tv stand", "upper cupboard"]),
    ],
)
def test_a_name_is_what_no_other_word_explains(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("hour", "offset"),
    [
        ("12 o'clock", (0, 1)), ("3 o'clock", (1, 0)), ("6:00 position", (0, -1)),
        ("nine o'clock", (-1, 0)), ("1 o'clock", (1, 1)), ("2 position of a clock face", (1, 1)),
        ("4 o'clock", (1, -1)), ("5 o' clock", (1, -1)), ("7 oclock", (-1, -1)),
        ("8 o'clock", (-1, -1)), ("10 o'clock", (-1, 1)), ("11 o'clock", (-1, 1)),
    ],
)  # fmt: skip
def test_an_hour_off_the_axes_lies_in_a_quarter(hour, offset):
    (token,) = (t for t in tokens_of(f"A is at the {hour}") if t.kind == "place")

    assert token.offset == (*offset, 0)


@pytest.mark.parametrize("first", range(1, 13))
def test_two_hours_in_a_row_are_the_quarter_between_them(first):
    (token,) = tokens_of(f"between {first} and {first % 12 + 1}")

    assert token.offset[0] == (1 if first in (12, 1, 2, 3, 4, 5) else -1)
    assert token.offset[1] == (1 if first in (9, 10, 11, 12, 1, 2) else -1)


@pytest.mark.parametrize("hours", ["2 and 5", "3 and 2", "12 and 11"])
def test_hours_that_are_no_neighbours_are_refused(hours):
    with pytest.raises(UnreadError, match="no single part"):
        tokens_of(f"between {hours}")


@pytest.mark.parametrize("word", ["not", "or", "maybe", "either", "never", "might"])
def test_words_of_doubt_are_never_passed_over(word):
    with pytest.raises(UnreadError, match=f"'{word}'"):
        tokens_of(f"A is {word} above B")


def test_a_side_is_told_from_right_as_exactly():
    assert kinds("A is right above B") == "name verb preposition name"
    assert kinds("A is right and above B") == "name verb place and preposition name"


def test_unknown_signs_are_refused():
    with pytest.raises(UnreadError, match="no word"):
        tokens_of("A is \u2192 of B")

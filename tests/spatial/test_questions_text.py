"""Cleaning and rewriting a question before the forms are tried."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.questions.parser import parse_question
from groundplane.spatial.questions.rewriting import rewrite
from groundplane.spatial.questions.text import (
    MAX_CHARACTERS,
    clean,
    split_list,
    split_options,
    strip_letter,
)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What's on the table?", "what is on the table"),
        ("Where're the chairs?", "where are the chairs"),
        ("The sofa\u2019s colour?", "the sofa colour"),
        ("Isn't there a lamp", "is not there a lamp"),
        ("Hey, could you please tell me how tall the door is?", "how tall the door is"),
        ("How tall is the door, please? Thanks!", "how tall is the door"),
        ("I want to know how tall the door is.", "how tall the door is"),
        ("How  many\n table(s)?", "how many tables"),
        ("Is it front-left or back right?", "is it front_left or back_right"),
        ("How far is chair-2 from the trash-can?", "how far is chair-2 from the trash can"),
        ("What is the area of the bed, seen from above?", "what is the area of the bed"),
        ("How tall is the “big” lamp", "how tall is the big lamp"),
    ],
)
def test_cleaning_keeps_only_the_question(question, text):
    assert clean(question).text == text


@pytest.mark.parametrize(
    ("question", "unit"),
    [
        ("How tall is the door?", None),
        ("How tall is the door in cm?", "cm"),
        ("How tall is the door (in inches)?", "in"),
        ("In feet, how tall is the door?", "ft"),
        ("How many mm wide is the door?", "mm"),
        ("How big is the room in square metres?", "m2"),
        ("How many square feet is this room?", "ft2"),
        ("How far is the sofa from the tv, measured in metres?", "m"),
        ("How wide is the cup in px", "px"),
    ],
)
def test_the_unit_asked_for_reaches_the_query(question, unit):
    parsed = parse_question(question)

    assert (parsed.unit, parsed.expression.unit) == (unit, unit)


STEM = "Is the tv to my left or right if I stand at the sofa facing the bed?"


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        (f"{STEM} A. left B. right", ()),
        (f"{STEM} Options: (A) left (B) right", ()),
        (f"{STEM}\n(A) left\n(B) right", ()),
        (f"{STEM} A: left; B: right", ()),
        (STEM, ("left", "right")),
        (STEM, ("A. left", "(B) right")),
    ],
)
def test_options_come_from_the_text_or_from_the_call(question, choices):
    parsed = parse_question(question, choices=choices)

    assert parsed.choices == ("left", "right")
    assert parsed.expression == parse_question(STEM).expression


@pytest.mark.parametrize(
    "question",
    [
        "How far is plan A. from here?",  # one letter is no list
        "A. left B. right",  # no question before it
        "Which? B. left C. right",  # does not begin with A
        "Which? A. left C. right",  # a letter is missing
        "Which? A. left A. right",
    ],
)
def test_letters_that_are_no_options_stay_in_the_text(question):
    assert split_options(question) == (question, ())


@given(
    st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), min_size=2, max_size=6),
    st.sampled_from(["{}. ", "({}) ", "{}) ", "{}: "]),
    st.sampled_from(["\n", " ", ", "]),
)
def test_any_list_of_options_is_read_back(options, letter, joint):
    listed = joint.join(
        letter.format(chr(ord("A") + i)) + option for i, option in enumerate(options)
    )

    assert split_options(f"Which one is it?\n{listed}") == ("Which one is it?", tuple(options))


@pytest.mark.parametrize("text", ["A. left", "(A) left", "A) left", "A: left", "left", " left "])
def test_an_option_loses_its_letter(text):
    assert strip_letter(text) == "left"


@pytest.mark.parametrize(
    "text",
    ["the chair, the table or the tv", "the chair, the table, and the tv",
     "the chair / the table / the tv", "(the chair; the table; the tv)",
     "the chair and the table and the tv"],
)  # fmt: skip
def test_an_enumeration_is_split(text):
    assert split_list(text) == ("the chair", "the table", "the tv")


def test_words_that_hold_and_or_or_are_not_split():
    assert split_list("the sandbox, the corridor") == ("the sandbox", "the corridor")


def test_the_longest_question_is_read_and_one_character_more_is_not():
    assert clean("how tall is the door" + " " * (MAX_CHARACTERS - 20)).text
    with pytest.raises(InputError, match="1501 characters; at most 1500"):
        clean("a" * (MAX_CHARACTERS + 1))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_cleaned_text_has_single_spaces_and_no_politeness_left_to_strip(text):
    cleaned = clean(text).text

    assert cleaned == " ".join(cleaned.split())
    assert not cleaned.startswith(("please ", "hello ", "?", ","))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("the keyboard is on the table, is not it", "is the keyboard on the table"),
        ("the tv is on the wall, right", "is the tv on the wall"),
        ("there is a lamp here, is there", "is there a lamp here"),
        ("is it true that the tv is on the wall", "is the tv on the wall"),
        ("where would the table be", "where is the table"),
        ("there are how many pillows", "how many pillows are there"),
        ("the bed is how far from the tv", "how far is the bed from the tv"),
        ("the bed and the tv are how far apart", "how far apart are the bed and the tv"),
        ("the bed is how long", "how long is the bed"),
        ("the bed is on which side", "on which side is the bed"),
        ("the bed is where", "where is the bed"),
        ("sofa to bookshelf, how far", "how far is sofa from bookshelf"),
        ("sofa and bookshelf: how far apart", "how far apart are sofa and bookshelf"),
        ("the sofa - how long is it", "how long is the sofa"),
        ("chair-2, how tall is it", "how tall is chair-2"),
        ("find the lamp", "where is the lamp"),
        ("anything under the bed", "is there anything under the bed"),
        ("name everything on the table", "what is on the table"),
        ("how tall is the door", "how tall is the door"),
    ],
)
def test_many_orders_become_one(text, plain):
    assert rewrite(text) == plain


def test_a_pronoun_is_filled_in_only_where_it_can_mean_one_thing():
    assert rewrite("the sofa, is it near it") == "the sofa, is it near it"

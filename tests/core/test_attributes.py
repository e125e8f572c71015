"""Words for what things are like: their attribute, their value, and what they describe."""

import pytest

from groundplane.core.attributes import ATTRIBUTES, attribute_named, meaning_of, same_value, states


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("big", ("size", "large")), ("TINY", ("size", "small")), ("shiny", ("material", "metal")),
        ("matte", ("material", "rubber")), ("wooden", ("material", "wood")),
        ("grey", ("color", "gray")), ("ball", ("shape", "sphere")), ("kitchen", None), ("", None),
    ],
)  # fmt: skip
def test_a_word_has_one_meaning_or_none(word, meaning):
    assert meaning_of(word) == meaning


def test_every_meaning_is_of_an_attribute_that_can_be_asked_for():
    for word in ("big", "metallic", "red", "cube"):
        assert meaning_of(word)[0] in ATTRIBUTES
    assert (attribute_named("Colour"), attribute_named("weight")) == ("color", None)


@pytest.mark.parametrize(
    ("told", "asked", "same"),
    [("large", "big", True), ("Red", "red", True), ("gray", "grey", True), ("red", "blue", False),
     ("steel", "steel", True), ("steel", "metal", False), ("rubber", "red", False)],
)  # fmt: skip
def test_two_words_for_one_value_are_the_same_both_ways(told, asked, same):
    assert same_value(told, asked) is same
    assert same_value(asked, told) is same


def test_an_object_is_described_by_what_is_stated_of_it():
    cup = {"color": "dark blue", "size": "small", "pattern": "striped"}
    described = ("blue", "dark", "tiny", "striped", "Small")
    assert [states(cup, word) for word in described] == [True] * 5
    assert not any(states(cup, word) for word in ("red", "big", "metal", "round", ""))
    assert not states({}, "red")

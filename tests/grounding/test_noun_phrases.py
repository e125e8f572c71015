import pytest

from groundplane.grounding.claim_words import words_of
from groundplane.grounding.noun_phrases import read_noun_phrase


@pytest.mark.parametrize(
    ("text", "noun", "modifiers", "after"),
    [
        ("a dog", "dog", (), 2),
        ("two red cars and", "car", ("red",), 3),
        ("a big, red car", "car", ("big", "red"), 5),
        ("a black and white cat", "cat", ("black and white",), 5),
        ("an orange", "orange", (), 2),
        ("an orange cat", "cat", ("orange",), 3),
        ("the dining table is", "dining table", (), 3),
        ("a dog house", "dog house", (), 3),
        ("the dog chases a cat", "dog", (), 2),
        ("two dogs run", "dog", (), 2),
        ("a horse ridden by", "horse", (), 2),
        ("a sleeping dog", "dog", ("sleeping",), 3),
        ("a man riding a bike", "man", (), 2),
        ("a zorblax on", "zorblax", (), 2),
        ("a red zorblax", "zorblax", ("red",), 3),
        ("people are", "person", (), 1),
        ("a single chair", "chair", (), 3),
        ("all of the chairs", "chair", (), 4),
        ("none of the dogs", "dog", (), 4),
    ],
)
def test_a_phrase_is_its_noun_and_what_is_said_before_it(
    text: str, noun: str, modifiers: tuple[str, ...], after: int
) -> None:
    found = read_noun_phrase(words_of(text), 0)
    assert found is not None
    assert (found.thing.noun, found.thing.modifiers, found.after) == (noun, modifiers, after)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("a dog", 1, None),
        ("the dogs", 1, None),
        ("one dog", 1, 1),
        ("a single dog", 1, 1),
        ("no dogs", 0, 0),
        ("twenty-one dogs", 21, 21),
        ("a dozen eggs", 12, 12),
        ("several dogs", 3, None),
        ("a couple of dogs", 2, 2),
        ("a pair of dogs", 2, 2),
        ("a pair of scissors", 1, None),
        ("2 to 4 dogs", 2, 4),
        ("about ten dogs", 10, 10),
        ("fewer than 3 dogs", 0, 2),
        ("up to 3 dogs", 0, 3),
        ("two of the dogs", 2, None),
        ("the two dogs", 2, 2),
        ("neither dog", 0, 0),
    ],
)
def test_a_number_is_read_with_its_bounds(text: str, least: int, most: int | None) -> None:
    found = read_noun_phrase(words_of(text), 0)
    assert found is not None
    assert (found.thing.number.least, found.thing.number.most) == (least, most)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the photo", "picture"),
        ("the atmosphere", "abstract"),
        ("a cozy living room", "abstract"),
        ("the dog's tail", "abstract"),
        ("a dog", "thing"),
    ],
)
def test_what_no_expert_can_look_for_is_marked(text: str, kind: str) -> None:
    found = read_noun_phrase(words_of(text), 0)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize("text", ["is it", "", "dog", "red", "the", "a red", "zorblaxes", "9" * 40])
def test_what_is_no_phrase_is_none(text: str) -> None:
    assert read_noun_phrase(words_of(text), 0) is None


def test_no_phrase_goes_on_where_a_relation_begins() -> None:
    words = words_of("a man facing away")
    found = read_noun_phrase(words, 0, stops={2})
    assert found is not None
    assert found.after == 2

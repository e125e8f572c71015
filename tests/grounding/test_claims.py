import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.claims import Claim
from groundplane.core.errors import InputError
from groundplane.grounding.claims import MAX_CHARACTERS, ReadText, read_claims
from groundplane.spatial.claim_relations import Wordings

WORDINGS = Wordings()


def read(text: str) -> ReadText:
    return read_claims(text, relations=WORDINGS)


def told(claim: Claim) -> str:
    """A claim in one line: kind, what of, what is said."""
    subject = claim.subject
    number = f"{subject.number.least}-{'' if subject.number.most is None else subject.number.most}"
    parts = [claim.kind, "not" if claim.negated else "", subject.noun]
    if claim.kind == "count":
        parts.append(number)
    parts.append(claim.value)
    if claim.relation is not None:
        parts += ["!" * claim.relation.negated + "+".join(claim.relation.names)]
    parts += [anchor.phrase for anchor in claim.anchors]
    if claim.amount is not None:
        parts.append(f"{claim.amount.measure} {claim.amount.bound} {claim.amount.quantity.value:g}")
    return " ".join(part for part in parts if part)


CASES = {
    "There is a dog.": ["exists dog"],
    "There's a fire hydrant here!": ["exists fire hydrant"],
    "There are two dogs.": ["count dog 2-2"],
    "There are 12 chairs.": ["count chair 12-12"],
    "There are at least three chairs": ["count chair 3-"],
    "There are no fewer than two cups.": ["count cup 2-"],
    "There are more than two cups.": ["count cup 3-"],
    "There are at most two cups.": ["count cup 0-2"],
    "There is only one person in the picture.": ["count person 1-1"],
    "There are two or three birds.": ["count bird 2-3"],
    "A total of five people can be seen.": ["count person 5-5"],
    "Several people and a bus are visible.": ["count person 3-", "exists bus"],
    "There is a pair of scissors.": ["exists scissors"],
    "There are two scissors.": ["count scissors 2-2"],
    "There are no cats.": ["exists not cat"],
    "There isn't a dog.": ["exists not dog"],
    "There are not any dogs": ["exists not dog"],
    "No cats are visible.": ["exists not cat"],
    "The dog is not visible.": ["exists not dog"],
    "The photo does not show any boats.": ["exists not boat"],
    "I cannot see a dog": ["exists not dog"],
    "There aren't two dogs.": ["count not dog 2-2"],
    "There are no dogs, but there is a cat.": ["exists not dog", "exists cat"],
    "In the image, there are three zebras.": ["count zebra 3-3"],
    "The image shows a cat, two dogs and a bird.": ["exists cat", "count dog 2-2", "exists bird"],
    "The living room features a couch and a tv.": ["exists couch", "exists tv"],
    "A red car.": ["exists car", "attribute car red"],
    "The car is red and shiny.": ["exists car", "attribute car red", "attribute car shiny"],
    "The car is not red.": ["exists car", "attribute not car red"],
    "A black and white cat": ["exists cat", "attribute cat black and white"],
    "No red car is here.": ["attribute car red"],
    "Two red cars.": ["count car 2-", "attribute car red"],
    "The chair is made of wood.": ["exists chair", "attribute chair wood"],
    "The dog is left of the car.": ["exists dog", "exists car", "relation dog left_of car"],
    "The dog is not to the left of the car.": [
        "exists dog", "exists car", "relation not dog left_of car",
    ],
    "A cup sits on the table.": ["exists cup", "exists table", "relation cup on table"],
    "There is a cup on a table next to a couch.": [
        "exists cup", "exists table", "relation cup on table", "exists couch",
        "relation table next_to couch",
    ],
    "Two dogs are on the couch.": ["count dog 2-", "exists couch", "relation dog on couch"],
    "No dog is on the couch.": ["exists couch", "relation dog on couch"],
    "A dog and two cats are on the bench.": [
        "exists dog", "count cat 2-", "exists bench", "relation dog on bench",
        "relation cat on bench",
    ],
    "The cup is between the plate and the knife.": [
        "exists cup", "exists plate", "exists knife", "relation cup between plate knife",
    ],
    "The dog is outside the car.": ["exists dog", "exists car", "relation dog !inside car"],
    "On the table is a vase.": ["exists table", "exists vase", "relation vase on table"],
    "On the table, there are two cups.": ["exists table", "count cup 2-", "relation cup on table"],
    "Next to the dog stands a man.": ["exists dog", "exists man", "relation man next_to dog"],
    "A man is riding a horse.": ["exists man", "exists horse"],
    "The dog chases a cat.": ["exists dog", "exists cat"],
    "A horse ridden by a man.": ["exists horse", "exists man"],
    "A dog house.": ["exists dog house"],
    "The chair is 2 m from the table.": [
        "exists chair", "exists table", "measurement chair table distance equal 2",
    ],
    "The table is at least 120 cm wide.": ["exists table", "measurement table width more 1.2"],
    "There is a dog. It is brown.": ["exists dog", "attribute dog brown"],
    "Two dogs are visible. They are brown.": ["count dog 2-2", "attribute dog brown"],
    "There is a shelf, and a clock hangs above it.": [
        "exists shelf", "exists clock", "relation clock above shelf",
    ],
    "Neither of the dogs is on the couch.": ["exists couch", "relation dog on couch"],
    "This is a photo of a dog.": ["exists dog"],
    "A woman is wearing glasses.": ["exists woman"],
    "There are more dogs than cats.": ["exists dog", "exists cat"],
    "There is a zorblax.": ["exists zorblax"],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_a_text_is_read_as_its_claims(text: str) -> None:
    assert [told(claim) for claim in read(text).claims] == CASES[text]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("The atmosphere is calm and peaceful.", "The atmosphere is calm"),
        ("Is there a dog?", "Is there a dog?"),
        ("There might be a giraffe.", "There might be a giraffe."),
        ("A table without chairs.", "A table without chairs."),
        ("The scene lacks any dogs.", "The scene lacks any dogs."),
        ("There is not only a dog but also a cat.", "There is not only a dog but also a cat."),
        ("The dog is not riding a bike.", "The dog is not riding a bike."),
        ("The kitchen looks like a ship.", "The kitchen looks like a ship."),
        ("Time flies.", "Time flies"),
    ],
)
def test_what_claims_nothing_is_unread_and_no_claim(text: str, part: str) -> None:
    result = read(text)
    assert result.claims == ()
    assert result.unread[0].text == part


@pytest.mark.parametrize(
    ("text", "part", "reason"),
    [
        ("A man is holding an umbrella.", "holding", "what somebody holds"),
        ("A man in a red shirt.", "in", "what somebody holds"),
        ("A woman with a hat.", "with", "tells company"),
        ("No dog is barking.", "No dog", "what is denied"),
        ("A cat and a dog. It is red.", "It is red", "what 'it' means"),
        ("The dog is at the edge of the bench.", "at the edge of", "tells where on a thing"),
        ("A glass of water.", "of water", "no claim"),
    ],
)
def test_a_part_that_is_no_claim_is_listed_with_its_reason(
    text: str, part: str, reason: str
) -> None:
    result = read(text)
    assert [part] == [found.text for found in result.unread if found.reason.startswith(reason)]


def test_a_span_holds_the_words_of_its_claim() -> None:
    text = "Well:  there are two  dogs left of a red car."
    count, exists, attribute, relation = read(text).claims
    assert text[slice(*count.span)] == "two  dogs"
    assert count.text == "two dogs"
    assert text[slice(*exists.span)] == text[slice(*attribute.span)] == "a red car"
    assert text[slice(*relation.span)] == "two  dogs left of a red car"


def test_a_number_with_a_relation_leaves_others_of_its_kind_open() -> None:
    count, _, relation = read("There are two dogs on the couch.").claims
    assert (count.subject.number.least, count.subject.number.most) == (2, None)
    assert (relation.subject.number.least, relation.subject.number.most) == (2, 2)


def test_a_thing_spoken_of_again_is_claimed_once() -> None:
    kinds = [told(claim) for claim in read("There is a dog. The dog is red.").claims]
    assert kinds == ["exists dog", "attribute dog red"]


def test_nouns_that_a_caller_knows_end_a_name() -> None:
    claims = read_claims("The widget spins.", relations=WORDINGS, nouns=["widgets"]).claims
    assert [claim.subject.noun for claim in claims] == ["widget"]


def test_phrases_are_what_an_expert_has_to_look_for() -> None:
    assert read("A red car is left of a small dog.").phrases == (
        "car", "red car", "dog", "small dog",
    )  # fmt: skip


@pytest.mark.parametrize("bad", [None, 3, b"a dog", ["a dog"]])
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_text_is_refused(bad: object) -> None:
    with pytest.raises(InputError, match="expected text"):
        read_claims(bad, relations=WORDINGS)  # type: ignore[arg-type]


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="at most 200,000 characters"):
        read("a" * (MAX_CHARACTERS + 1))


_WORDS = [
    "a", "the", "two", "no", "not", "dog", "cats", "car", "red", "is", "are", "there", "on",
    "left of", "between", "and", ",", ".", "?", "it", "they", "with", "of", "2 m from", "'s",
    "without", "image", "in", "several", "at least", "riding", "-", "狗", "🐶", "e\u0301", "\n\n",
    "one of the", "1.5", "9" * 30, "(", '"', "none", "made of", "can be seen", "which",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(_WORDS)).map(" ".join)))
def test_any_text_is_read_and_its_spans_are_its_own(text: str) -> None:
    result = read(text)
    for part in (*result.claims, *result.unread):
        start, end = part.span
        assert 0 <= start < end <= len(text)
        assert part.text == " ".join(text[start:end].split())
    for claim in result.claims:
        assert claim.subject.noun
        assert read(text).claims  # the same text, the same claims


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=30).map(" ".join))
def test_every_word_is_in_a_claim_or_a_structure_word_or_unread(text: str) -> None:
    """No noun is dropped: each is claimed, there or elsewhere in the text, or stands unread."""
    result = read(text)
    covered = [part.span for part in (*result.claims, *result.unread)]
    things = [thing for claim in result.claims for thing in (claim.subject, *claim.anchors)]
    for noun in ("dog", "cats", "car"):
        if noun.removesuffix("s") in [thing.noun for thing in things]:
            continue
        start = text.find(noun)
        while start >= 0:
            assert any(a <= start and start + len(noun) <= b for a, b in covered), (text, noun)
            start = text.find(noun, start + 1)


@pytest.mark.parametrize("piece", [
    "a dog and ", "on the ", "not ", "two ", "a, ", "the dog on ", "Two dogs on a bed. ",
    "A table without chairs. ", "3 cats. The cat is red. ", "It is red. ",
])  # fmt: skip
def test_reading_takes_work_in_proportion_to_the_text(piece: str) -> None:
    def calls(size: int) -> int:
        """How many functions are called: no clock, so that load changes nothing."""
        count = 0

        def note(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            read(piece * (size // len(piece)))
        finally:
            sys.setprofile(None)
        return count

    calls(200)  # caches are filled
    assert calls(1_600) < 1.3 * 8 * calls(200)

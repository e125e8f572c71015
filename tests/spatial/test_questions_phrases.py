"""Noun phrases: which set of objects the words name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.expressions import Relate, Select, Unique
from groundplane.core.lexicon import singular
from groundplane.core.queries import describe
from groundplane.spatial.nouns import relation_words
from groundplane.spatial.questions.phrases import (
    NEAREST,
    RELATIONS,
    SUPERLATIVES,
    PhraseError,
    find_relation,
    read_phrase,
)
from groundplane.spatial.questions.text import clean


def read(text):
    """`<sofa>` is the one sofa, `{chairs}` are all chairs, `*` is anything."""
    written = describe(read_phrase(clean(text).text))
    written = re.sub(r"unique\(select\('([^']*)'\)\)", r"<\1>", written)
    written = re.sub(r"select\('([^']*)'\)", r"{\1}", written).replace("select()", "*")
    written = re.sub(r"measure='distance', largest=False, anchor=", "nearest ", written)
    return re.sub(r"source=|relation=|measure=|anchor=", "", written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the sofa", "<sofa>"),
        ("a chair", "<chair>"),
        ("chairs", "{chairs}"),
        ("my chairs", "{chairs}"),
        ("all lamps", "{lamps}"),
        ("any lamp", "{lamp}"),
        ("two chairs", "{chairs}"),
        ("12 chairs", "{chairs}"),
        ("table(s)", "{tables}"),
        ("the trash can", "<trash can>"),
        ("the tv stand", "<tv stand>"),
        ("tv stands", "{tv stands}"),
        ("a touch screen", "<touch screen>"),
        ("chair-2", "<chair-2>"),
        ("chair 2", "<chair 2>"),
        ("chair #2", "<chair #2>"),
        ("anything", "*"),
        ("furniture", "*"),
        ("a piece of furniture", "*"),
        ("a piece of cake", "<piece of cake>"),
        ("things stand", "*"),
        ("wooden furniture", "{wooden things}"),
        ("red things", "{red things}"),
        ("the big red object", "<big red object>"),
    ],
)
def test_plain_names(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the biggest chair", "unique(extreme({chair}, 'volume', largest=True))"),
        ("the biggest", "unique(extreme(*, 'volume', largest=True))"),
        ("the second tallest object", "unique(extreme(*, 'height', largest=True, rank=2))"),
        ("the highest thing", "unique(extreme(*, 'top', largest=True))"),
        ("the chair nearest the door", "unique(extreme({chair}, nearest <door>))"),
        ("the chair that is nearest to the door", "unique(extreme({chair}, nearest <door>))"),
        ("the nearest chair to the door", "unique(extreme({chair}, nearest <door>))"),
        ("the second closest chair to chair-2",
         "unique(extreme({chair}, nearest <chair-2>, rank=2))"),
        ("the chair closest to the lamp on the table",
         "unique(extreme({chair}, nearest unique(relate({lamp}, 'on', <table>))))"),
        ("the farthest lamp from the window",
         "unique(extreme({lamp}, 'distance', largest=True, <window>))"),
    ],
)  # fmt: skip
def test_superlatives(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the lamp on the table", "unique(relate({lamp}, 'on', <table>))"),
        ("lamps on the table", "relate({lamps}, 'on', <table>)"),
        ("the lamp on the table next to the sofa",
         "unique(relate({lamp}, 'on', unique(relate({table}, 'next_to', <sofa>))))"),
        ("cups on tables near a door", "relate({cups}, 'on', relate({tables}, 'near', <door>))"),
        ("the bookcase that is next to the window",
         "unique(relate({bookcase}, 'next_to', <window>))"),
        ("the chair standing by the table", "unique(relate({chair}, 'near', <table>))"),
        ("lamps within 2 m of the bed", "relate({lamps}, 'within', <bed>, limit=2.0)"),
        ("lamps at most 50 cm from the bed", "relate({lamps}, 'within', <bed>, limit=0.5)"),
        ("chairs more than half a metre from the bed",
         "relate({chairs}, 'beyond', <bed>, limit=0.5)"),
        ("the chair between the sofa and the tv",
         "unique(relate({chair}, 'between', or([<sofa>, <tv>])))"),
        ("things between the windows", "relate(*, 'between', {windows})"),
        ("the lamp near the bed and left of the door",
         "unique(and([relate({lamp}, 'near', <bed>), relate({lamp}, 'left_of', <door>)]))"),
        ("the chair on my left", "unique(relate({chair}, 'left_of', None))"),
        ("the chairs behind me", "relate({chairs}, 'behind', None)"),
        ("objects other than chairs", "except(*, {chairs})"),
        ("everything except the sofa and the tv", "except(*, or([<sofa>, <tv>]))"),
    ],
)  # fmt: skip
def test_relations_nest_from_right_to_left(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "the", "is", "how far", "sofa and tv", "people live", "people can", "can opener", "2 m",
     "12", "💡", "chair - table", "the chair near", "on the table", "near the door", "chair;table",
     "put the sofa", "the biggest on the table"],
)  # fmt: skip
def test_what_is_no_noun_phrase_is_refused(text):
    with pytest.raises(PhraseError):
        read_phrase(text)


def test_a_phrase_is_at_most_seven_words():
    assert read_phrase("b c d e f g h") == Unique(Select("b c d e f g h"))
    with pytest.raises(PhraseError):
        read_phrase("b c d e f g h i")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("to the left of", "left_of"), ("right of", "right_of"), ("in front of", "in_front_of"),
        ("in back of", "behind"), ("in between", "between"), ("beside", "next_to"),
        ("right by", "next_to"), ("close to", "near"), ("on top of", "on"), ("beneath", "under"),
        ("over", "above"), ("inside of", "inside"), ("leaning against", "touches"),
        ("beyond", "behind"), ("ahead of", "in_front_of"), ("facing", "facing"),
        ("facing away from", "facing_away"), ("turned away from", "facing_away"),
        ("turned towards", "facing"), ("opposite", "opposite"), ("across from", "opposite"),
        ("parallel to", "parallel"), ("at right angles to", "perpendicular"),
        ("in line with", "aligned_with"), ("the same size as", "same_size"),
        ("as big as", "same_size"), ("larger than", "bigger"), ("far away from", "far"),
        ("not far from", "near"), ("containing", "contains"),
    ],
)  # fmt: skip
def test_wordings_of_relations(words, name):
    found = find_relation(f"lamp {words} the sofa")

    assert (found.name, found.start, found.end) == (name, 5, 5 + len(words))


def test_no_relation_is_none():
    assert find_relation("the orange inspector") is None


def test_between_needs_two_things():
    with pytest.raises(PhraseError, match="two things"):
        read_phrase("the chair between the sofa, the tv and the bed")


WORDS = {"inside": "inside", "under": "under", "opposite": "opposite to"}
NOUNS = st.sampled_from(["sofa", "table", "trash can", "window", "chair-2", "washing machine"])


@given(NOUNS, NOUNS, st.sampled_from([name for name, _ in RELATIONS if name != "between"]))
def test_a_relation_keeps_both_its_ends(a, b, name):
    words = WORDS.get(name, relation_words(name))

    read_back = read_phrase(f"the {a} {words} the {b}")

    assert read_back == Unique(Relate(source=Select(a), relation=name, anchor=Unique(Select(b))))


@given(NOUNS, st.sampled_from(sorted(SUPERLATIVES)))
def test_every_superlative_is_read(noun, word):
    extreme = read_phrase(f"the {word} {noun}").source

    assert (extreme.measure, extreme.largest) == SUPERLATIVES[word]
    assert extreme.source == Select(noun)


@given(NOUNS, NOUNS, st.sampled_from(sorted(NEAREST)))
def test_every_wording_of_nearest_is_read(a, b, word):
    extreme = read_phrase(f"the {a} {word} to the {b}").source

    assert (extreme.source, extreme.anchor) == (Select(a), Unique(Select(b)))
    assert extreme.largest is NEAREST[word]


@given(st.text(max_size=60))
def test_any_text_is_a_set_or_refused(text):
    try:
        read_phrase(text)
    except PhraseError:
        return
    assert singular(text) is not None

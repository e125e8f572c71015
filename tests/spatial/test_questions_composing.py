"""Questions that compose: what each becomes, what is refused, and what other forms keep."""

import contextlib
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import Maker, make_scene

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.queries import Attribute, Compare, Count, Exists, describe
from groundplane.spatial.questions.composing import EXAMPLES, read_composition
from groundplane.spatial.questions.form import Context
from groundplane.spatial.questions.nested import NounReader
from groundplane.spatial.questions.parser import NotUnderstoodError, known_forms, parse_question
from groundplane.testing.scenes import SceneBuilder

# `describe` in short: <sofa> is the one sofa, {chairs} are all chairs, * is anything.
SHORT = (
    (r"unique\(select\('([^']*)'\)\)", r"<\1>"), (r"select\('([^']*)'\)", r"{\1}"),
    (r"select\(\)", "*"), (r"largest=True", "most"),
    (r"(?:source|relation|anchor|attribute|operator|name|measure|left|right|of)=", ""),
    (r"relate\(([^()]+), '(\w+)', ([^()]+)\)", r"(\1 \2 \3)"),
    ("'", ""),
)  # fmt: skip

TABLE = """\
# Both, either, neither, not.
? How many chairs are both left of the table and near the sofa?
= count(and([({chairs} left_of <table>), ({chairs} near <sofa>)]))
? How many chairs are either near the table or near the sofa?
= count(or([({chairs} near <table>), ({chairs} near <sofa>)]))
? How many chairs are neither near the table nor near the sofa?
= count(except({chairs}, or([({chairs} near <table>), ({chairs} near <sofa>)])))
? How many chairs are near the table and not near the sofa?
= count(and([({chairs} near <table>), except({chairs}, ({chairs} near <sofa>))]))
? How many chairs that are not red are near the table?
= count(relate(except({chairs}, filter({chairs}, color, red)), near, <table>))
# Kinds.
? How many things are cups or plates?
= count(or([{cups}, {plates}]))
? What number of red things are cups or plates that are on the table?
= count(and([{red things}, or([{cups}, ({plates} on <table>)])]))
# Chains: a clause belongs to the nearest noun.
? How many cups are on the table that is next to the sofa that is near the door?
= count(relate({cups}, on, unique(relate({table}, next_to, unique(({sofa} near <door>))))))
? How many cups are on the table that is both near the sofa and near the bed?
= count(relate({cups}, on, unique(and([({table} near <sofa>), ({table} near <bed>)]))))
? How many cups are on the table near the sofa and left of the lamp?
= count(and([relate({cups}, on, unique(({table} near <sofa>))), ({cups} left_of <lamp>)]))
# The same as.
? Is there anything else of the same color as the sofa?
= exists(same(*, color, <sofa>))
? How many other chairs have the same material as the table next to the bed?
= count(same({chairs}, material, unique(({table} next_to <bed>))))
# Numbers.
? Is the number of cups on the table less than the number of plates?
= compare(count(({cups} on <table>)), fewer, count({plates}))
? Are there an equal number of cups on the table and plates on the desk?
= compare(count(({cups} on <table>)), equal, count(({plates} on <desk>)))
# Attributes.
? Does the chair next to the bed have the same material as the desk?
= compare(attribute(unique(({chair} next_to <bed>)), material), equal, attribute(<desk>, material))
? Is the cube to the left of the ball made of the same material as the cone?
= compare(attribute(unique(({cube} left_of <ball>)), material), equal, attribute(<cone>, material))
? The big cube is what color?
= attribute(<big cube>, color)
? What shape is the red thing?
= attribute(<red thing>, shape)
# What was introduced.
? There is a cube left of the ball; what color is it?
= attribute(unique(({cube} left_of <ball>)), color)
? There is a cube left of the ball; how many balls are the same size as it?
= count(same({balls}, size, unique(({cube} left_of <ball>))))
? There is a lamp on the desk. How far is it from the door?
= measure(distance, [unique(({lamp} on <desk>)), <door>])
? There is a lamp on the desk; what is its height?
= measure(height, [unique(({lamp} on <desk>))])
# Sets and truths.
? Which chairs are both red and near the door?
= and([filter({chairs}, color, red), ({chairs} near <door>)])
? List the chairs that are red or near the door.
= or([filter({chairs}, color, red), ({chairs} near <door>)])
? Is the cup both on the table and near the lamp?
= exists(and([(<cup> on <table>), (<cup> near <lamp>)]))
? Are the chairs near the table red?
= compare(count(filter(({chairs} near <table>), color, red)), equal, count(({chairs} near <table>)))
# A noun behind an adjective is part of a name, not what is said of it.
? Is the sphere behind the red block?
= exists((<sphere> behind <red block>))
? Is the cup next to the big glass?
= exists((<cup> next_to <big glass>))
? Is the sphere behind the red block rubber?
= exists(filter(unique(({sphere} behind <red block>)), material, rubber))
? Is the light red?
= exists(filter(<light>, color, red))
# The biggest is chosen among what the clause leaves.
? There is a cup on the biggest table near the door; what color is it?
= attribute(unique(relate({cup}, on, unique(extreme(({table} near <door>), volume, most)))), color)
"""
ROWS = [
    (block.split("\n")[0], block.split("\n")[1].removeprefix("= "))
    for block in TABLE.split("? ")[1:]
]


def short(question):
    """The query in a few characters."""
    text = describe(parse_question(question).expression)
    for long, brief in SHORT:
        text = re.sub(long, brief, text)
    return text


@pytest.mark.parametrize(("question", "query"), ROWS)
def test_a_question_becomes_a_typed_composition(question, query):
    assert short(question) == query


@pytest.mark.parametrize("question", EXAMPLES)
def test_every_example_is_read_and_shown_where_a_question_is_not(question):
    assert isinstance(parse_question(question).expression, Compare | Count | Exists | Attribute)
    assert question in known_forms()


@pytest.mark.parametrize(
    "question",
    [
        "How many chairs are both left of the table?",
        "How many chairs are both left of the table and the sofa?",
        "How many chairs are either?",
        "How many chairs are neither red or blue?",
        "Is there a chair that is the same?",
        "Is there a chair of the same as the table?",
        "There is a dog; is the cat sleeping?",
        "There is a chair; there is a table; how many cups are on it?",
        "There is a cube; how many balls are left of the cone?",
        "The chair is what?",
        "What is its color?",
        "Is the number of cups the number of plates?",
        "Do the chair and the table have the same?",
        "Do the chair and the table?",
        "How many pieces of furniture are both near the bed and near the door?",
        "How many " + "cups on the table next to the " * 13 + "door?",
    ],
)
def test_what_it_cannot_place_is_refused_not_guessed(question):
    with pytest.raises(NotUnderstoodError):
        parse_question(question)


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("How many chairs are there?", "count"),
        ("Is there a lamp on the table?", "exists"),
        ("What is on the table next to the sofa?", "what is there"),
        ("How big is this room?", "room size"),
        ("Standing at the sofa facing the tv, is the door in front of me or behind me?",
         "direction, front or back"),
        ("How many tables and chairs are there?", "count"),
    ],
)  # fmt: skip
def test_a_form_of_its_own_is_kept(question, form):
    assert parse_question(question).form == form


def test_the_viewpoint_is_part_of_every_side_in_it():
    question = (
        "If I stand at the sofa facing the tv, how many chairs are both to my left and behind "
        "the stool?"
    )
    query = parse_question(question).expression
    seen = [part.viewpoint.origin.source.phrase for part in query.source.sources]
    assert seen == ["sofa", "sofa"]


def test_a_reader_gives_back_what_it_cannot_place():
    reader = NounReader("the cup that is on the table quickly", Context())
    assert describe(reader.phrase()).startswith("unique(relate(source=select('cup')")
    assert read_composition("how many cups are on the", Context()) is None
    assert read_composition("", Context()) is None


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32))
def test_questions_of_a_maker_that_knows_no_parser_are_all_read(seed):
    rng = random.Random(seed)
    question = Maker(make_scene(rng, 0), rng).question()["question"]
    assert parse_question(question).expression is not None


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32))
def test_no_jumble_of_its_words_breaks_it(seed):
    rng = random.Random(seed)
    words = Maker(make_scene(rng, 0), rng).question()["question"].split()
    rng.shuffle(words)
    with contextlib.suppress(NotUnderstoodError):
        parse_question(" ".join(words))


@pytest.fixture(scope="module")
def kitchen():
    scene = (
        SceneBuilder("kitchen", view=[0, 1, 0])
        .add("table", at=(0, 0, 0.4), size=(2, 1, 0.8), attributes={"color": "brown"})
        .add("cup", at=(-0.5, 0, 0.85), size=(0.1, 0.1, 0.1), attributes={"color": "red"})
        .add("cup", at=(0.5, 0, 0.85), size=(0.1, 0.1, 0.1), attributes={"color": "blue"})
        .add("cup", at=(5, 0, 0.05), size=(0.1, 0.1, 0.1), attributes={"color": "red"})
        .add("lamp", at=(0.7, 0, 0.95), size=(0.2, 0.2, 0.3), attributes={"color": "red"})
        .add("bin", at=(5, 1, 0.3), size=(0.4, 0.4, 0.6))
    )
    return Asker(scene.build())


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many cups are both red and on the table?", "There is a red cup on the table."),
        ("How many cups are not on the table?", "There is a cup not on the table."),
        ("How many cups are on the table and red?", "There is a red cup on the table."),
        ("Which cups are both red and on the table?", "Red cups on the table: cup-1."),
        ("Is the lamp both on the table and near the bin?",
         "No, the lamp is not on the table and near the bin."),
        ("Is the lamp red?", "Yes, the lamp is red."),
        ("Is the lamp not red?", "No, the lamp is red."),
        ("Are the cups red?", "No, 2 of 3 cups are red."),
        ("Is the lamp the same color as the table?",
         "No, the lamp is not of the same color as the table: red and brown."),
        ("Is the number of cups on the table greater than the number of lamps?",
         "Yes, there are more cups on the table than lamps: 2 against 1."),
        ("There is a lamp on the table; how far is it from the bin?",
         "The lamp on the table is 4.07 m from the bin."),
        ("What is the material of the lamp?",
         "Nothing here tells the material of the lamp: the source does not state it."),
    ],
)  # fmt: skip
def test_answers_say_it_in_words(kitchen, question, text):
    assert kitchen.ask(question).text == text


def test_a_property_that_depends_on_which_is_meant_stays_open(kitchen):
    reply = kitchen.ask("Is the cup red?")
    assert reply.status is Status.AMBIGUOUS
    assert "it holds for cup-1, cup-3 only" in reply.text


def test_an_attribute_that_is_stated_of_some_only_is_told(kitchen):
    reply = kitchen.ask("How many other things are the same color as the lamp?")
    assert (reply.value, reply.status) == (2, Status.ANSWERED)
    assert "The color of 1 of them is not stated" in reply.text


def test_an_attribute_of_one_that_states_none_cannot_be_compared(kitchen):
    reply = kitchen.ask("Do the bin and the lamp have the same color?")
    assert reply.status is Status.CANNOT_DETECT
    assert "does not state the color of each of bin, lamp" in reply.text

"""Nested names in any form: how far, how tall, which is closest, how to get there."""

import pytest

from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Exists, describe, nodes_of
from groundplane.spatial.questions.form import Context
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
from groundplane.spatial.questions.stand_ins import introduced, put_back, stand_in

RED_CUP = "the cup that is both red and on the desk"
FOUND = (
    "unique(and([filter(select('cup'), 'color', 'red'), relate(source=select('cup'), "
    "relation='on', anchor=unique(select('desk')))]))"
)


@pytest.mark.parametrize(
    ("question", "form"),
    [
        (f"How far is {RED_CUP} from the door?", "distance"),
        (f"How far is the door from {RED_CUP}?", "distance"),
        (f"How tall is {RED_CUP}, in cm?", "size"),
        (f"Which chair is closest to {RED_CUP}?", "nearest"),
        (f"Where is {RED_CUP}?", "direction"),
        (f"How do I get from the sofa to {RED_CUP}?", "way"),
        (f"There is a lamp. How far is it from {RED_CUP}?", "distance"),
    ],
)
def test_any_form_takes_a_nested_name(question, form):
    parsed = parse_question(question)
    assert parsed.form == form
    assert FOUND in describe(parsed.expression)
    assert "antecedent" not in describe(parsed.expression)


def test_two_nested_names_keep_their_places():
    question = "How far is the chair that is not red from the table that is near the door?"
    query = parse_question(question).expression
    first, second = query.of
    assert "except" in describe(first)
    assert "near" in describe(second)


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("There is a lamp on the desk. How far is it from the door?", "distance"),
        ("There is a lamp on the desk; what is its height?", "height"),
        ("There is a lamp on the desk; is it taller than the vase?", "height"),
    ],
)
def test_what_was_introduced_may_be_asked_anything(question, asked):
    text = describe(parse_question(question).expression)
    assert asked in text or "taller" in text
    assert "relate(source=select('lamp'), relation='on', anchor=unique(select('desk')))" in text


def test_the_tallest_is_chosen_among_what_the_clause_leaves():
    text = describe(
        parse_question("What is the tallest thing that is both red and near the door?").expression
    )
    assert text.startswith("unique(extreme(source=and([filter(select(), 'color', 'red'), relate(")


def test_a_plain_name_needs_no_stand_in():
    assert stand_in("how far is the cup from the door", Context()) is None
    assert introduced("there is a cup", Context()) is None
    assert introduced("there is a cup. how tall is the door", Context()) is None


def test_a_stand_in_that_was_read_as_something_else_is_refused():
    things = {"antecedent": Unique(Select("lamp"))}
    assert put_back(Exists(Select("antecedent lamp")), things) is None
    assert put_back(Exists(Select("cup")), things) is None
    assert put_back(Exists(Unique(Select("antecedent"))), things) == Exists(Unique(Select("lamp")))


@pytest.mark.parametrize(
    "question",
    ["There is a lamp on the desk. How much does it weigh?", f"How much does {RED_CUP} weigh?"],
)
def test_what_no_form_asks_is_still_refused(question):
    with pytest.raises(NotUnderstoodError):
        parse_question(question)


def test_no_stand_in_is_left_in_any_query():
    query = parse_question(f"How far is {RED_CUP} from {RED_CUP}?").expression
    named = [node.phrase for node in nodes_of(query) if isinstance(node, Select)]
    assert not [phrase for phrase in named if phrase and "antecedent" in phrase]

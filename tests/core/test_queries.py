"""Expressions in words, and the phrases they hold."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Select,
    Unique,
    Viewpoint,
)
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Measure,
    Order,
    Route,
    describe,
    phrases_of,
    selects_anything,
)

CUP, DOG, TV = Select("cup"), Select("dog"), Unique(Select("tv"))


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Select(), "select()"),
        (CUP, "select('cup')"),
        (Filter(CUP, "color", "red"), "filter(select('cup'), 'color', 'red')"),
        (Relate(source=CUP, relation="on", anchor=TV),
         "relate(source=select('cup'), relation='on', anchor=unique(select('tv')))"),
        (Relate(source=CUP, relation="within", anchor=None, limit=2.0),
         "relate(source=select('cup'), relation='within', anchor=None, limit=2.0)"),
        (Extreme(source=CUP, measure="height", largest=True),
         "extreme(source=select('cup'), measure='height', largest=True)"),
        (And((CUP, DOG)), "and([select('cup'), select('dog')])"),
        (Or(()), "or([])"),
        (Except(CUP, DOG), "except(select('cup'), select('dog'))"),
        (Exists(CUP), "exists(select('cup'))"),
        (Measure(name="room_area", unit="m2"), "measure(name='room_area', unit='m2')"),
        (Compare(left=Count(CUP), operator="more", right=Count(DOG)),
         "compare(left=count(select('cup')), operator='more', right=count(select('dog')))"),
        (Attribute(source=CUP, name="color"), "attribute(source=select('cup'), name='color')"),
        (Direction(target=CUP, viewpoint=None), "direction(target=select('cup'), viewpoint=None)"),
        (Viewpoint(origin=None, facing=CUP), "viewpoint(origin=None, facing=select('cup'))"),
        (Order((CUP, DOG)), "order([select('cup'), select('dog')])"),
    ],
)  # fmt: skip
def test_an_expression_is_one_line(node, text):
    assert describe(node) == text


def test_a_field_that_is_not_the_default_is_told():
    plain = Extreme(source=CUP, measure="height", largest=True)

    assert "rank=2" in describe(dataclasses.replace(plain, rank=2))


SETS = st.recursive(
    st.sampled_from(["cup", "dog", "tv", None]).map(Select),
    lambda inner: st.one_of(
        inner.map(Unique),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
        st.tuples(inner, inner).map(lambda pair: Except(*pair)),
        st.tuples(inner, inner).map(lambda p: Relate(source=p[0], relation="on", anchor=p[1])),
        st.tuples(inner, inner).map(
            lambda p: Extreme(source=p[0], measure="distance", largest=False, anchor=p[1])
        ),
    ),
    max_leaves=8,
)


def leaves(node):
    """Every Select below a node, in plain recursion."""
    if isinstance(node, Select):
        return [node.phrase]
    parts = [getattr(node, field.name) for field in dataclasses.fields(node)]
    flat = [p for part in parts for p in (part if isinstance(part, tuple) else (part,))]
    return [leaf for part in flat if dataclasses.is_dataclass(part) for leaf in leaves(part)]


@given(SETS)
def test_phrases_are_all_leaves_each_once_in_order(node):
    named = [phrase for phrase in leaves(node) if phrase is not None]

    assert phrases_of(Count(node)) == tuple(dict.fromkeys(named))


@given(SETS)
def test_anything_is_selected_where_a_leaf_has_no_phrase(node):
    assert selects_anything(Exists(node)) is (None in leaves(node))


@given(SETS, SETS)
def test_equal_expressions_and_no_others_have_the_same_text(a, b):
    assert (describe(a) == describe(b)) is (a == b)


def test_phrases_of_a_viewpoint_and_a_route_are_found():
    view = Viewpoint(origin=CUP, facing=DOG)
    route = Route(start=CUP, facing=DOG, stops=(TV, CUP), turns=(None, "?"))

    assert phrases_of(Direction(target=TV, viewpoint=view)) == ("tv", "cup", "dog")
    assert phrases_of(route) == ("cup", "dog", "tv")


@pytest.mark.parametrize("node", [Measure(name="room_area"), Or(()), "cup", 3, None])
def test_what_selects_nothing_has_no_phrases(node):
    assert phrases_of(node) == ()
    assert not selects_anything(node)


@pytest.mark.parametrize(
    ("name", "number"), [("distance", 1), ("room_area", 1), ("height", 0), ("size", 2)]
)
def test_a_measure_of_the_wrong_number_of_objects_is_refused(name, number):
    with pytest.raises(InputError, match=rf"measure '{name}': expected . objects.*got {number}"):
        Measure(name=name, of=(Select("sofa"),) * number)

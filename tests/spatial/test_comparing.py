"""Comparisons of attributes, what shares one, and sets by what is stated."""

import pytest
import torch

from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Filter, Same, Select, Unique
from groundplane.core.queries import Attribute, Compare, Count, Exists, Measure
from groundplane.spatial.scene import MapScene
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def the(name):
    return Unique(Select(name))


def shelf():
    return (
        SceneBuilder("shelf")
        .add("cup", at=(0, 0, 0), attributes={"color": "red", "size": "big"})
        .add("cup", at=(1, 0, 0), attributes={"color": "blue", "size": "large"})
        .add("jug", at=(2, 0, 0), attributes={"color": "Red", "size": "small"})
        .add("jar", at=(3, 0, 0), attributes={"color": "red"})
        .add("box", at=(4, 0, 0))
    )


def ask(query):
    return Solver(MapScene(shelf().build())).solve(query)


def same(first, second, name="color"):
    return Compare(left=Attribute(source=first, name=name), operator="equal",
                   right=Attribute(source=second, name=name))  # fmt: skip


def test_values_are_equal_whatever_their_case_and_their_word():
    assert ask(same(the("jug"), the("jar"))).value is True
    assert ask(same(the("cup-1"), the("cup-2"), "size")).value is True
    assert ask(same(the("cup-2"), the("jar"))).value is False


def test_a_comparison_tells_both_values_and_rests_on_both():
    answer = ask(same(the("cup-2"), the("jar")))
    assert answer.measure == "attribute 'color' as the source states it: blue against red"
    assert answer.evidence == ("cup-2", "jar")


def test_a_name_that_fits_several_is_open_only_where_it_matters():
    split, agreed = ask(same(the("cup"), the("jar"))), ask(same(the("cup"), the("jug"), "size"))
    assert (split.value, split.status) == (None, Status.AMBIGUOUS)
    assert "it depends on which" in split.note
    assert (agreed.value, agreed.status) == (False, Status.ANSWERED)
    assert "the same for each" in agreed.note


def test_what_is_not_stated_cannot_be_compared():
    answer = ask(same(the("box"), the("jar")))
    assert answer.status is Status.CANNOT_DETECT
    assert answer.note == "the source does not state the color of each of box, jar"
    assert ask(same(the("vase"), the("jar"))).status is Status.UNKNOWN_OBJECT


@pytest.mark.parametrize(
    ("operator", "right"),
    [
        ("more", Attribute(source=the("jar"), name="color")),
        ("equal", Attribute(source=the("jar"), name="size")),
        ("equal", Count(Select("jar"))),
        ("equal", 3),
    ],
)
def test_an_attribute_compares_with_its_own_kind_only(operator, right):
    with pytest.raises(InputError, match="expected two values of one attribute and 'equal'"):
        Compare(left=Attribute(source=the("jug"), name="color"), operator=operator, right=right)


class TestSame:
    def test_what_shares_a_value_leaves_the_thing_itself_out(self):
        answer = ask(Same(source=Select(None), attribute="color", anchor=the("jug")))
        assert answer.value == ("jar", "cup-1")
        assert "the color of 1 of them is not stated" in answer.note

    def test_the_candidates_may_be_fewer(self):
        query = Count(Same(source=Select("cups"), attribute="color", anchor=the("jug")))
        assert ask(query).value == 1

    def test_a_thing_of_which_it_is_not_stated_is_like_nothing(self):
        answer = ask(Exists(Same(source=Select(None), attribute="color", anchor=the("box"))))
        assert answer.status is Status.CANNOT_DETECT

    def test_several_things_that_differ_leave_it_open(self):
        answer = ask(Count(Same(source=Select("jar"), attribute="color", anchor=the("cup"))))
        assert (answer.value, answer.status) == (1, Status.AMBIGUOUS)

    def test_it_agrees_with_a_plain_loop(self):
        scene = MapScene(shelf().build())
        stated = [scene.attributes(i).get("color", "").lower() for i in range(5)]
        for name, row in (("jug", 2), ("jar", 3), ("cup-2", 1)):
            node = Same(source=Select(None), attribute="color", anchor=the(name))
            found = SetSolver(scene=scene).find(node).index.tolist()
            assert found == [i for i in range(5) if i != row and stated[i] == stated[row]]


class TestStated:
    def test_a_filter_reads_other_words_for_a_value(self):
        assert ask(Count(Filter(Select(None), "size", "large"))).value == 2
        assert ask(Count(Filter(Select("cups"), "color", "red"))).value == 1

    def test_one_of_several_that_was_meant_is_open(self):
        answer = ask(Exists(Filter(the("cup"), "color", "red")))
        assert (answer.value, answer.status) == (True, Status.AMBIGUOUS)
        assert "it holds for cup-1 only" in answer.note

    def test_how_big_is_answered_as_stated_and_else_measured(self):
        stated, measured = (ask(Measure(name="size", of=(the(n),))) for n in ("jug", "jar"))
        assert (stated.value, stated.unit) == ("small", None)
        assert (measured.value, measured.unit) == (0.5, "m")
        asked = ask(Measure(name="size", of=(the("jug"),), unit="cm"))
        assert (asked.value, asked.unit) == (50, "cm")

    def test_a_phrase_of_any_label_is_chosen_by_what_is_stated(self):
        found = SetSolver(scene=MapScene(shelf().build())).find(Select("red things"))
        assert found.index.tolist() == [0, 2, 3]


def test_an_expression_that_stands_twice_is_solved_once():
    finder = SetSolver(scene=MapScene(shelf().build()))
    first = finder.find(Filter(Select("cups"), "color", "red"))
    steps = len(finder.steps)
    again = finder.find(Filter(Select("cups"), "color", "red"))
    assert again is first
    assert len(finder.steps) == steps
    assert torch.equal(first.index, torch.tensor([0]))

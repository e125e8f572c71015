"""Questions on fronts and long sides: the frame they name, and what is said where none is known."""

import pytest

import groundplane as gp
from groundplane.core.answer import Status
from groundplane.testing.scenes import SceneBuilder


@pytest.fixture(scope="module")
def scene():
    return (
        SceneBuilder("room", floor=0)
        .add("sofa", at=(0, 0, 0.4), size=(2, 0.9, 0.8), front=(0, 1, 0))
        .add("tv", at=(0, 3, 0.9), size=(1.2, 0.1, 0.7), front=(0, -1, 0))
        .add("bed", at=(5, 0, 0.3), size=(2.1, 1.2, 0.6))
        .add("chair", at=(1.2, 2, 0.45), size=(0.5, 0.5, 0.9), front=(-1, 0, 0))
        .add("chair", at=(-1.2, 2, 0.45), size=(0.5, 0.52, 0.9))
        .add("table", at=(0, 1.8, 0.25), size=(0.9, 0.9, 0.5))
        .add("shelf", at=(-3, 0, 1), size=(0.4, 2, 2), front=(1, 0, 0))
        .add("cup", at=(0, 1.8, 0.55), size=(0.08, 0.08, 0.1))
        .build()
    )


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("Is the sofa facing the tv?", True),
        ("Does the sofa face the tv?", True),
        ("Is the sofa facing away from the tv?", False),
        ("Is the chair-1 facing away from the bed?", True),
        ("Is the sofa opposite the tv?", True),
        ("Is the shelf opposite the tv?", True),
        ("Is the sofa across from the chair-1?", False),
        ("Is the sofa parallel to the bed?", True),
        ("Is the shelf perpendicular to the sofa?", True),
        ("Is the sofa aligned with the tv?", True),
        ("Is the sofa aligned with the chair-1?", False),
        ("Is the shelf far from the bed?", True),
        ("Is the sofa far from the table?", False),
        ("Is the sofa as big as the bed?", False),
        ("Is the sofa the same size as the bed?", False),
        ("Is the chair-1 the same size as the chair-2?", True),
        ("Is the table between the sofa and the tv?", True),
        ("Does the table contain the cup?", False),
        ("Is the sofa bigger than the chair-1?", True),
        ("How many objects are taller than the sofa?", 3),
        ("Which objects are bigger than the bed?", ("shelf",)),
    ],
)
def test_questions_reach_the_relations(scene, question, value):
    answer = gp.ask(scene, question).answer

    assert (answer.value, answer.status) == (value, Status.ANSWERED)


def test_the_front_is_named_as_the_frame(scene):
    answer = gp.ask(scene, "Is the sofa facing the tv?").answer

    assert answer.frame.kind == "object"
    assert answer.frame.origin == "sofa"
    assert answer.frame.text == "the sofa's own front: what lies before it"
    away = gp.ask(scene, "Is the sofa facing away from the tv?").answer
    assert away.frame.text == "the sofa's own front: what lies behind it"
    assert set(answer.evidence) == {"sofa", "tv"}


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Is the bed facing the tv?", "the bed has no known front"),
        ("Is the bed facing away from the tv?", "it cannot be told what it faces away from"),
        ("Is the sofa opposite the bed?", "the bed has no known front"),
        ("Is the table parallel to the bed?", "the table is about as wide as deep"),
        ("Is the sofa perpendicular to the chair-1?", "chair-1 is about as wide as deep"),
    ],
)
def test_what_cannot_be_told_says_why(scene, question, words):
    answer = gp.ask(scene, question).answer

    assert answer.status is Status.CANNOT_DETECT
    assert answer.value is None
    assert words in answer.note


def test_a_kind_of_which_one_front_is_unknown_is_open(scene):
    answer = gp.ask(scene, "How many chairs are facing the sofa?").answer

    assert (answer.value, answer.status) == (0, Status.AMBIGUOUS)
    assert "it cannot be told of chair-2: no front is known" in answer.note


def test_an_anchor_whose_front_is_unknown_leaves_it_open(scene):
    answer = gp.ask(scene, "Is the tv opposite a chair?").answer

    assert (answer.value, answer.status) == (False, Status.AMBIGUOUS)
    assert "it cannot be told of chair-2: no front is known" in answer.note


def test_whoever_asks_of_anything_hears_what_was_left_out(scene):
    answer = gp.ask(scene, "What is facing the sofa?").answer

    assert (answer.value, answer.status) == (("tv", "shelf"), Status.ANSWERED)
    assert "it cannot be told of bed, chair-2, table, cup" in answer.note
    assert answer.frame.text.startswith("each one's own front")

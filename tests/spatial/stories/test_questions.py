"""Questions about stories."""

from __future__ import annotations

import pytest

from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.spatial.stories.questions import read_story_question
from groundplane.spatial.stories.story import Story

STORY = Story.read("The red box is above the table. The lamp is to the right of the table.")


@pytest.mark.parametrize(
    "question",
    [
        "What is the relation of the red box to the lamp?",
        "what is the spatial relationship between the red box and the lamp",
        "Where is the red box relative to the lamp?",
        "Where's the red box with respect to the lamp?",
        "Where is the red box located in relation to the lamp?",
        "In which direction is the red box from the lamp?",
        "How is the red box placed compared to the lamp?",
        "What is the position of the red box relative to the lamp?",
        "On which side of the lamp is the red box?",
        "Where does the red box stand relative to the lamp?",
    ],
)
def test_the_relation_is_asked_for_in_many_ways(question):
    answer, text = STORY.tell(question)

    assert answer.value == "upper-left"
    assert text == "The red box is to the upper left of the lamp."


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("Is the red box above the lamp?", True),
        ("Is the red box to the left of the lamp?", True),
        ("Is the red box to the upper left of the lamp?", True),
        ("Is the red box directly above the lamp?", False),
        ("Is the red box directly above the table?", True),
        ("Is the red box right of the lamp?", False),
        ("Is the lamp below the red box?", True),
        ("Is the lamp inside the red box?", False),
        ("Is the lamp behind the table?", False),
        ("Does the table contain the lamp?", False),
        ("Does the lamp overlap the table?", False),
    ],
)
def test_a_claim_is_confirmed_or_denied(question, value):
    answer, text = STORY.tell(question)

    assert answer.value is value
    assert text.startswith("Yes: " if value else "No: ")


@pytest.mark.parametrize(
    "question",
    ["", "Why?", "How many lamps are there?", "Is the lamp left or right of the table?",
     "Is the lamp not above the table?", "Is it above the lamp?", "Is the lamp next to the table?",
     "What is the relation of to the lamp?", "Is the lamp above the table and left of the box?"],
)  # fmt: skip
def test_other_questions_are_not_understood_and_it_is_said_which_are(question):
    with pytest.raises(InputError, match="Forms that are: What is the relation of A to B"):
        read_story_question(question)
    answer = STORY.ask(question)
    assert (answer.value, answer.status) == (None, Status.NOT_UNDERSTOOD)

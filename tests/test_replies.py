"""What a language model says, as a reply: always a text, its own places, the option it names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import groundplane as gp
from groundplane.apps.asking import _told
from groundplane.core.image import FrameMap
from groundplane.core.session import Done, Ground, Locate, Text
from groundplane.core.session_notes import Note
from groundplane.testing.language_models import ScriptedModel, found, picture

SCHEMA = Path(__file__).parents[1] / "docs" / "schemas" / "record.schema.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))


class Boxes:
    """An expert that finds the whole picture for every word."""

    vocabulary = None

    def detect(self, requests):
        return [
            found(Ground(sequence=0, request="r", phrases=r.phrases), image_size=r.image.size)
            for r in requests
        ]


def reply(*events, question="What is there?", finish="complete"):
    model = ScriptedModel([[*events, Done(sequence=0, finish=finish)]])
    told = gp.ask(picture(64, 48), question, detector=Boxes(), model=model)
    VALIDATOR.validate(told.record())
    return told


def said(text):
    return Text(sequence=0, text=text)


def test_own_words_are_a_valid_record_without_a_value():
    told = reply(said("A dog."))
    assert (told.status, told.value, told.text) == (gp.Status.ANSWERED, None, "A dog.")


def test_a_computed_answer_without_a_value_is_still_refused():
    record = reply(said("A dog.")).record()
    assert not VALIDATOR.is_valid({**record, "measure": "count of dogs"})


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_model_without_a_word_is_said_to_be_so(text):
    told = reply(said(text))
    assert told.failed
    assert told.text == "The model ended its answer without a word."


def test_a_broken_answer_says_why():
    told = reply(Note(sequence=0, name="broken", detail="the server is gone"), finish="broken")
    assert told.text == "The model gave no answer: the server is gone"


def test_places_of_the_model_s_own_are_regions_without_a_score():
    box = np.array([[4.0, 5.0, 20.0, 30.0]])
    place = Locate(sequence=0, boxes=box, frame_map=FrameMap.identity(), span=(2, 5))
    told = reply(said("A dog."), place)
    [region] = told.record()["regions"]
    assert region == {
        "id": "located-1",
        "label": "dog",
        "box": [4.0, 5.0, 20.0, 30.0],
        "score": None,
    }


@pytest.mark.parametrize(
    ("text", "choice"),
    [("B", "B"), ("(B)", "B"), ("B. dog", "B"), ("Dog.", "B"), ("A. dog", None), ("C", None),
     ("a bird", None)],
)  # fmt: skip
def test_the_option_that_it_names(text, choice):
    assert reply(said(text), question="What is it? A. cat B. dog").choice == choice


def test_a_terminal_gets_no_command_from_a_model():
    assert _told(reply(said("\x1b[2JA 🐕‍🦺.\n狗"))) == "\ufffd[2JA 🐕‍🦺.\n狗\n"

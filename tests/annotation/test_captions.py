"""Descriptions by a language model."""

import threading
import time

import numpy as np
import pytest

from groundplane.annotation.captions import Captioner
from groundplane.core.errors import GroundplaneError, InputError, PluginNotFoundError
from groundplane.core.session import Done, Ground, Need, Text
from groundplane.testing.detectors import make_image
from groundplane.testing.language_models import ScriptedModel


def image(name="room", level=0):
    return make_image(np.full((30, 40, 3), level, np.uint8), name=name)


def parrot(index, prompt):
    """Says what it is asked and of what."""
    name = prompt.images[0].source.name
    if name == "bad":
        raise RuntimeError("cannot see")
    if name == "dumb":
        return [Done(sequence=index)]
    return [Text(sequence=index, text=f" {prompt.text} {name} "), Done(sequence=index)]


def test_each_picture_gets_its_own_words():
    told = Captioner(ScriptedModel(parrot), "What is").describe([image("a"), image("b")])
    assert told == ["What is a", "What is b"]


def test_a_picture_that_the_model_cannot_stand_fails_alone_by_name():
    first, bad, third = Captioner(ScriptedModel(parrot), "What is").describe(
        [image("a"), image("bad"), image("c")]
    )
    assert (first, third) == ("What is a", "What is c")
    assert isinstance(bad, GroundplaneError)
    assert str(bad) == "language model 'ScriptedModel' failed on 'bad': RuntimeError: cannot see"


def test_nothing_said_is_no_description():
    [told] = Captioner(ScriptedModel(parrot), "What is").describe([image("dumb")])
    assert "expected a description, got an empty text" in str(told)


def test_what_a_model_asks_for_is_not_looked_for_and_does_not_hold_it_up():
    script = [
        Ground(sequence=0, request="g", phrases=("cup",)),
        Need(sequence=0, requests=("g",)),
        Text(sequence=0, text="A cup."),
        Done(sequence=0),
    ]
    assert Captioner(ScriptedModel([script]), "What?").describe([image()]) == ["A cup."]


def test_a_model_that_hangs_is_given_up_in_time():
    over = threading.Event()

    def hang(index, prompt):
        over.wait(20)
        return [Done(sequence=index)]

    started = time.monotonic()
    [told] = Captioner(ScriptedModel(hang), "What?", deadline=0.3).describe([image()])
    assert time.monotonic() - started < 1.3
    over.set()
    assert "no result within 0.3 s" in str(told)


def test_no_pictures_give_nothing():
    assert Captioner(ScriptedModel(parrot), "What is").describe([]) == []


def test_what_is_no_model_is_refused(unchecked):
    with pytest.raises(InputError, match="expected the name of a language model"):
        Captioner(object(), "What?")
    with pytest.raises(InputError, match="given by its name"):
        Captioner(ScriptedModel(parrot), "What?", options={"weights": "x"})
    with pytest.raises(PluginNotFoundError):
        Captioner("no-such-model", "What?")

"""Asking a language model: by name or made, by a strategy, with all that happens kept."""

from __future__ import annotations

import pytest

import groundplane as gp
from groundplane.asking import Asker
from groundplane.core.errors import InputError, PluginNotFoundError
from groundplane.core.expressions import Select
from groundplane.core.orchestrator import Budget
from groundplane.core.queries import Count
from groundplane.core.record import Record, Recorder, replay
from groundplane.core.session import Done, Ground, Need, Query, Text
from groundplane.core.session_notes import Injected
from groundplane.spatial.stories import Story
from groundplane.testing.language_models import ScriptedModel, found, picture
from groundplane.testing.scenes import SceneBuilder


@pytest.fixture
def kitchen():
    builder = SceneBuilder()
    for x in (0, 2):
        builder = builder.add("cup", at=(x, 0, 1))
    return builder.build()


class Boxes:
    """An expert that finds the whole picture for every word."""

    vocabulary = None

    def detect(self, requests):
        return [
            found(Ground(sequence=0, request="r", phrases=r.phrases), image_size=r.image.size)
            for r in requests
        ]


def counting(text="Two cups."):
    return [
        Query(sequence=0, request="q", expression=Count(Select("cup"))),
        Need(sequence=0, requests=("q",)),
        Injected(sequence=0, request="q", text="2", tokens=(50,)),
        Text(sequence=0, text=text, refers=("cup-1",)),
        Done(sequence=0),
    ]


def test_a_model_that_is_made_answers_in_its_own_words_with_the_solver_s_value(kitchen):
    model = ScriptedModel([counting()])
    reply = gp.ask(kitchen, "How many cups?", model=model)
    assert (reply.text, reply.value, reply.unit) == ("Two cups.", 2, "count")
    assert "injected" in [step.name for step in reply.trace]
    [[prompt]] = model.opened
    assert (prompt.text, prompt.scene) == ("How many cups?", kitchen)


def test_a_strategy_tells_the_model_of_the_scene(kitchen):
    model = ScriptedModel([[Text(sequence=0, text="Two."), Done(sequence=0)]])
    reply = gp.ask(kitchen, "How many cups?", model=model, strategy="direct")
    assert reply.text == "Two."
    assert "cup (2)" in model.opened[0][0].text


def test_an_unknown_strategy_is_refused_and_the_planner_takes_none(kitchen):
    with pytest.raises(InputError, match="quer"):
        gp.ask(kitchen, "How many cups?", model=ScriptedModel([]), strategy="qery")
    with pytest.raises(InputError, match="the planner computes its answers"):
        gp.ask(kitchen, "How many cups?", strategy="direct")


def test_options_are_those_of_a_model_given_by_name(kitchen):
    with pytest.raises(InputError, match="given by its name"):
        gp.ask(kitchen, "How many?", model=ScriptedModel([]), model_options={"seed": 1})
    with pytest.raises(PluginNotFoundError, match="planner"):
        gp.ask(kitchen, "How many?", model="planer")
    with pytest.raises(InputError, match="seed"):
        gp.ask(kitchen, "How many?", model_options={"seed": 1})


def test_a_story_is_asked_without_a_model_and_leaves_no_record():
    story = Story.read("A is left of B.")
    with pytest.raises(InputError, match="without a language model"):
        Asker(story, model=ScriptedModel([]))
    with pytest.raises(InputError, match="no run to record"):
        Asker(story, recorder=Recorder("planner"))


def test_the_recorder_keeps_every_question_that_was_asked(kitchen, tmp_path):
    recorder = Recorder("planner")
    asker = Asker(kitchen, recorder=recorder)
    replies = [asker.ask("How many cups are there?"), asker.ask("Are there cups?")]
    recorder.record().save(tmp_path / "r.json")
    record = Record.load(tmp_path / "r.json")
    assert [asked.text for asked in record.prompts] == [
        "How many cups are there?",
        "Are there cups?",
    ]
    assert {asked.scene for asked in record.prompts} == {kitchen.name}
    assert [record.results[i].text for i in (0, 1)] == [reply.text for reply in replies]
    assert [text.text for text in replay(record)] == [reply.text for reply in replies]


def test_a_photo_s_record_replays_without_its_photo_and_its_experts(tmp_path):
    model = ScriptedModel(
        [[
            Text(sequence=0, text="A dog."),
            Ground(sequence=0, request="g", phrases=("dog",), span=(2, 5)),
            Need(sequence=0, requests=("g",)),
            Done(sequence=0),
        ]]
    )  # fmt: skip
    recorder = Recorder("scripted")
    asker = Asker(picture(64, 48), detector=Boxes(), model=model, recorder=recorder)
    reply = asker.ask("What is there?")
    recorder.record().save(tmp_path / "r.json")
    [again] = replay(Record.load(tmp_path / "r.json"))
    assert again.text == reply.text == "A dog."
    assert again.regions[0].boxes.tolist() == reply.regions.boxes.tolist()
    assert b"pixels" not in (tmp_path / "r.json").read_bytes()


def test_a_budget_holds_for_any_model(kitchen):
    asker = Asker(kitchen, model=ScriptedModel([counting()]), budget=Budget(calls=0))
    reply = asker.ask("How many cups?")
    assert (reply.text, reply.value) == ("Two cups.", None)
    assert any("budget" in step.detail for step in reply.trace if step.name == "failed")

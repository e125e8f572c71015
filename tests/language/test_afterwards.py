"""Phrases of a running text: which are looked for, when, and what becomes of them."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap
from groundplane.core.orchestrator import Budget, Orchestrator, Resolvers
from groundplane.core.regions import Regions
from groundplane.core.session import Done, Ground, Locate, Need, Prompt, Text
from groundplane.language.afterwards import AfterModel
from groundplane.language.phrases import closed_at, spoken_in
from groundplane.testing.language_models import (
    FakeResolver,
    LanguageModelContract,
    ScriptedModel,
    found,
    picture,
)

PHOTO = picture(64, 48)


def says(*pieces, before=()):
    events = [*before, *(Text(sequence=0, text=piece) for piece in pieces), Done(sequence=0)]
    return ScriptedModel(lambda index, prompt: [replace(e, sequence=index) for e in events])


def answer(call, *, absent=("unicorn",), unknown=("road",)):
    event = call.event
    if event.phrases[0] in absent + unknown:
        outcome = Outcome.CANNOT if event.phrases[0] in unknown else Outcome.NONE
        empty = Regions.empty(phrases=event.phrases, image_size=PHOTO.size)
        return DetectResult(regions=empty, outcomes=(outcome,))
    return found(event, image_size=PHOTO.size)


def run(model, *, images=(PHOTO,), resolver=True, **more):
    experts = FakeResolver(answer)
    runner = Orchestrator(model, resolvers=Resolvers(ground=experts if resolver else None))
    [text] = runner.run([Prompt(text="What is there?", images=images, **more)])
    named = [(text.text[slice(*mention.span)], mention.ids) for mention in text.mentions]
    told = [step.detail for step in text.trace if step.name == "after"]
    return text, named, told


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self):
        return AfterModel(says("A dog sits. ", "Its red ball lies on a unicorn; a dog", " too"))


def test_phrases_of_closed_sentences_are_asked_while_the_text_goes_on():
    session = AfterModel(says("A dog sle", "eps. A", " cat")).open(
        [Prompt(text="?", images=(PHOTO,))]
    )
    steps = [session.step([]) for _ in range(4)]
    asked = [[e.phrases for e in step if isinstance(e, Ground)] for step in steps]
    assert asked == [[], [("dog",)], [], [("cat",)]]
    assert not any(isinstance(e, Need) for step in steps[:3] for e in step)


def test_every_mention_of_a_thing_gets_its_regions_and_it_is_looked_for_once():
    model = AfterModel(says("A dog sits. The dog barks."))
    experts = FakeResolver(answer)
    [text] = Orchestrator(model, resolvers=Resolvers(ground=experts)).run(
        [Prompt(text="?", images=(PHOTO,))]
    )
    assert [text.text[slice(*m.span)] for m in text.mentions] == ["A dog", "The dog"]
    assert text.mentions[0].ids == text.mentions[1].ids
    assert sum(map(len, experts.batches)) == 1


def test_a_thing_that_is_named_again_and_again_uses_up_no_budget():
    model = AfterModel(says("A dog sits. " * 30))
    experts = FakeResolver(answer)
    runner = Orchestrator(model, resolvers=Resolvers(ground=experts), budget=Budget(calls=1))
    [text] = runner.run([Prompt(text="?", images=(PHOTO,))])
    assert len(text.mentions) == 30


def test_what_is_not_found_stays_text_and_the_trace_says_so():
    text, named, told = run(AfterModel(says("A unicorn and a dog on the road.")))
    assert [phrase for phrase, _ in named] == ["a dog"]
    assert "'unicorn' stays text: not found" in told
    assert "'road' stays text: no expert can look for it" in told
    assert text.finish == "complete"


def test_without_an_expert_the_text_is_whole_and_says_why_nothing_is_grounded():
    text, named, told = run(AfterModel(says("A dog.")), resolver=False)
    assert (text.text, named) == ("A dog.", [])
    assert told == ["'dog' stays text: unsupported: there is no ground resolver"]


def test_what_nobody_can_see_is_left_out_and_told():
    _, named, told = run(AfterModel(says("The question has a sense of calm. There is no cat.")))
    assert named == []
    assert "not looked for: 'question', 'sense' (abstract)" in told
    assert "not looked for: 'cat' (said not to be there)" in told


def test_places_of_the_models_own_are_left_alone():
    own = Locate(
        sequence=0,
        boxes=np.array([[1.0, 1.0, 5.0, 5.0]]),
        frame_map=FrameMap.identity(),
        span=(0, 5),
    )
    model = ScriptedModel(
        [[Text(sequence=0, text="A dog"), own, Text(sequence=0, text=" and a cat."),
          Done(sequence=0)]]
    )  # fmt: skip
    _, named, _ = run(AfterModel(model))
    assert [phrase for phrase, _ in named] == ["A dog", "a cat"]
    assert named[0][1] == ("located-1",)


def test_more_phrases_than_the_cap_are_told():
    _, named, told = run(AfterModel(says("A dog, a cat and a bus."), phrases=2))
    assert len(named) == 2
    assert told == ["not looked for: 'bus' (more than 2 phrases)"]
    with pytest.raises(InputError, match="phrases of 1 or more"):
        AfterModel(says(""), phrases=0)


def test_experts_of_few_words_are_asked_by_the_noun_and_that_is_told():
    _, named, told = run(AfterModel(says("A red car.")), vocabulary=("car",))
    assert [phrase for phrase, _ in named] == ["A red car"]
    assert told == ["'red car' was looked for as 'car'"]


def test_without_a_picture_nothing_is_asked():
    text, named, told = run(AfterModel(says("A dog.")), images=())
    assert (text.text, named, told) == ("A dog.", [], [])


def test_a_text_without_things_is_told():
    _, _, told = run(AfterModel(says("Yes.")))
    assert told == ["the text names nothing that could be looked for"]


def test_each_picture_is_looked_at():
    _, named, _ = run(AfterModel(says("A dog.")), images=(PHOTO, picture(8, 8)))
    assert [phrase for phrase, _ in named] == ["A dog", "A dog"]
    assert named[0][1] != named[1][1]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("a brown horse next to a wooden fence", ["brown horse", "wooden fence"]),
        ("图中有一只狗坐在沙发上，人们在门口。", ["dog", "sofa"]),
        ("牆上的鏡子", ["wall", "mirror"]),
        ("画面很美", []),
        ("I see cats and 2.5 m", ["cat"]),
        ("Собака 犬 🐕 e\u0301", []),
        ("\x00\ud800 [dog] {cup}", ["dog", "cup"]),
    ],
)
def test_phrases_of_many_scripts(text, phrases):
    assert [one.phrase for one in spoken_in(text) if not one.unseen] == phrases


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("a dog the cat.;\n狗猫，。只2 ,'-"), max_size=80))
def test_spans_lie_in_the_text_in_order_and_cut_texts_name_the_same(text):
    spans = [one.span for one in spoken_in(text)]
    assert all(0 <= start < stop <= len(text) for start, stop in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    end = closed_at(text)
    assert 0 <= end <= len(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=12))
def test_any_split_of_a_text_asks_for_the_same(cuts):
    said = "A red car and two dogs. It is 2.5 m wide; the dog sleeps. 一只猫。"
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(said[at : at + cut])
        at += cut
    whole = run(AfterModel(says(said)))[1]
    assert run(AfterModel(says(*pieces, said[at:])))[1] == whole


def test_a_sentence_without_end_is_read_in_bounded_parts():
    text = "a dog " * 2_000
    end = closed_at(text)
    assert len(text) - end <= 1000
    _, named, told = run(AfterModel(says(text)))
    assert len(named) <= 256
    assert any("more than 256 times" in line for line in told)

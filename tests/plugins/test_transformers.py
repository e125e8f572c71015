"""Models of transformers in this process: the contract of language models, and phrases."""

from __future__ import annotations

import pytest

import groundplane
from groundplane.core.errors import InputError
from groundplane.core.session import Done, Failed, Ground, Locate, Need, Prompt, Resolved, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.language.triggers import Trigger
from groundplane.testing.language_checkpoints import save_language_model
from groundplane.testing.language_models import LanguageModelContract, found, picture

PHOTO = picture(64, 48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = save_language_model(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def load(folder, **options):
    told = {"max_tokens": 12, "chunk": 4, "route": "none"} | options
    return groundplane.load(
        "language_models", "transformers", device="cpu", weights=str(folder), **told
    )


def drive(session, sequences=1, bound=60):
    events, given = [], []
    for _ in range(bound):
        step = session.step(given)
        given = [
            Resolved(sequence=e.sequence, request=e.request, value=found(e, image_size=PHOTO.size))
            for e in step
            if isinstance(e, Ground)
        ]
        events += step
        if sum(isinstance(e, Done) for e in events) == sequences:
            return events
    raise AssertionError(f"not done after {bound} steps: {events[-3:]}")


@pytest.fixture(scope="module")
def loaded(folders):
    return load(folders("llava"))


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self, loaded):
        return loaded


def asked_after(model, count, text=" red cup"):
    """A model that asks for a dog once it has said so many tokens, by a sign that it says."""
    prompt = Prompt(text="Where is the dog?", images=(PHOTO,))
    said = drive(model.open([prompt]))
    whole = "".join(e.text for e in said if isinstance(e, Text))
    sign = whole[count : count + 1]
    trigger = Trigger(
        open=whole[:1],
        close=sign,
        ask=lambda a: Ground(sequence=a.sequence, request=a.request, phrases=("dog",)),
        tell=lambda told: text,
    )
    return prompt, model.with_triggers([trigger])


def words(events, sequence):
    return "".join(e.text for e in events if isinstance(e, Text) and e.sequence == sequence)


class TestSession:
    def test_it_waits_only_for_its_own_request(self, folders):
        model = load(folders("llava"))
        prompt, asking = asked_after(model, 3)
        session = asking.open([prompt])
        events = [e for _ in range(6) for e in session.step([])]
        assert [e.requests for e in events if isinstance(e, Need)] == [("ask-1",)]
        assert not any(isinstance(e, Done) for e in events)

    def test_same_seed_same_text_whatever_shares_the_batch(self, folders):
        model = load(folders("llava"), temperature=1.0, top_p=0.9, seed=7)
        prompt = Prompt(text="Dog?", images=(PHOTO,))
        alone = words(drive(model.open([prompt])), 0)
        other = Prompt(text="Which chair is red?", images=(PHOTO,))
        assert words(drive(model.open([other, prompt]), sequences=2), 1) == alone

    def test_a_stopped_sequence_says_nothing_more(self, folders):
        session = load(folders("llava")).open([Prompt(text="Dog?", images=(PHOTO,))] * 2)
        session.step([])
        session.stop(0)
        events = [e for _ in range(6) for e in session.step([])]
        assert {e.sequence for e in events} == {1}

    @pytest.mark.parametrize(
        "option", [{"inject": "x"}, {"route": "x"}, {"state_offset": 3}, {"max_tokens": 0},
                   {"temperature": -1.0}],
    )  # fmt: skip
    def test_options_out_of_range(self, option):
        with pytest.raises(InputError, match=next(iter(option))):
            load("nowhere", **option)


class Saying:
    """Makes a model say a text that was planned; what it reads is the model's own affair."""

    def __init__(self, ids, end):
        self.ids, self.end = [*ids, end], end

    def allowed(self, said):
        at = getattr(self, "at", 0)
        self.at = at + 1
        return [self.ids[at]] if at < len(self.ids) else [self.end]


class TestPhrases:
    def say(self, folders, text, *, answer=True, **options):
        model = load(folders("llava"), route="own", dialect="qwen-vl", max_tokens=200, **options)
        tokenizer = model.engine.tokenizer
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        end = next(iter(model.engine.ends))
        asking = model.with_triggers(constrain=lambda prompt: Saying(ids, end))
        prompt = Prompt(text="Where?", images=(PHOTO,))
        session = asking.open([prompt])
        if answer:
            return drive(session, bound=200), session
        events, given = [], []
        while not any(isinstance(e, Done) for e in events):
            step = session.step(given)
            given = [
                Failed(sequence=0, request=e.request, kind="deadline", message="late")
                for e in step
                if isinstance(e, Ground)
            ]
            events += step
        return events, session

    def test_an_experts_place_stands_behind_the_phrase(self, folders):
        events, _ = self.say(folders, "See <ref>a dog</ref> now")
        [told] = [e for e in events if isinstance(e, Injected)]
        assert told.text == "<box>(0,0),(999,999)</box>"
        [ask] = [e for e in events if isinstance(e, Ground)]
        assert words(events, 0)[slice(*ask.span)] == "a dog"
        assert words(events, 0) == "See a dog now"
        assert not any(isinstance(e, Locate) for e in events)

    def test_a_late_expert_is_told_as_not_found(self, folders):
        events, _ = self.say(folders, "See <ref>a dog</ref> now", answer=False)
        [told] = [e for e in events if isinstance(e, Injected)]
        assert told.text == "<box>none</box>"

    def test_the_models_own_place_is_replaced(self, folders):
        said = "See <ref>a dog</ref><box>(1,2),(30,40)</box> now"
        events, session = self.say(folders, said, inject="replace")
        [told] = [e for e in events if isinstance(e, Injected)]
        assert told.cut > 0
        assert "30,40" not in session._engine.tokenizer.decode(session._sequences[0].said)
        assert words(events, 0) == "See a dog now"
        assert not any(isinstance(e, Locate) for e in events)

    def test_the_models_own_place_stands_where_the_expert_is_late(self, folders):
        said = "See <ref>a dog</ref><box>(100,200),(300,400)</box> now"
        events, _ = self.say(folders, said, inject="replace", answer=False)
        assert "fallback" in [e.name for e in events if isinstance(e, Note)]
        [place] = [e for e in events if isinstance(e, Locate)]
        assert words(events, 0)[slice(*place.span)] == "a dog"
        assert words(events, 0) == "See a dog now"

    @pytest.mark.parametrize(
        "text", ["See <ref>a dog", "<ref><ref></ref>", "</ref></ref>", "<ref> </ref> x"]
    )
    def test_broken_tags_end_all_the_same(self, folders, text):
        events, _ = self.say(folders, text)
        assert isinstance(events[-1], Done)

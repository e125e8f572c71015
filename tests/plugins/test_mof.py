import re

import numpy as np
import pytest
import torch

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.session import Done, Ground, Locate, Prompt, Resolved, Text
from groundplane.core.session_notes import Injected, Note
from groundplane.testing.checkpoints_mof import save_mof
from groundplane.testing.language_models import LanguageModelContract, found, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_mof(tmp_path_factory.mktemp("mof"))


@pytest.fixture(scope="module")
def loaded(folder):
    return load(folder, max_tokens=12, chunk=5, route="none")


def load(folder, **options):
    return groundplane.load("language_models", "mof", device="cpu", weights=str(folder), **options)


def drive(session, sequences=1, size=(200, 100)):
    """All events; every phrase is found in one place."""
    events, given = [], []
    for _ in range(200):
        step = session.step(given)
        given = [
            Resolved(sequence=e.sequence, request=e.request, value=found(e, image_size=size))
            for e in step
            if isinstance(e, Ground)
        ]
        events += step
        if sum(isinstance(e, Done) for e in events) == sequences:
            return events
    raise AssertionError(f"not done: {events[-3:]}")


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self, loaded):
        return loaded


def text_of(events, sequence=0):
    return "".join(e.text for e in events if isinstance(e, Text) and e.sequence == sequence)


class Says:
    """Lets a model say a text that was planned, and end it; what it is told does not count."""

    def __init__(self, tokenizer, text):
        self.ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        self.said = 0

    def allowed(self, said):
        token, self.said = self.ids[self.said], self.said + 1
        return [token]


def saying(folder, text, **options):
    model = load(folder, **options)
    tokenizer = model.engine.tokenizer
    return model.with_triggers(constrain=lambda prompt: Says(tokenizer, text))


def say(folder, text, **options):
    model = saying(folder, text, **options)
    return drive(model.open([Prompt(text="Where?", images=(picture(200, 100),))]))


class TestGeneration:
    def test_says_what_generate_gives(self, loaded):
        prompt = Prompt(text="how many cups", images=(picture(64, 48),))
        events = drive(loaded.open([prompt]))
        processor = loaded._processor
        batch = processor(["USER: <image>\nhow many cups ASSISTANT:"], [prompt.images])
        made = loaded._model.generate(**batch, max_new_tokens=12, do_sample=False)
        new = made[0, batch["input_ids"].shape[1] :]
        assert text_of(events) == processor.decode(new)

    def test_the_picture_matters(self, loaded):
        dark, light = picture(64, 48), picture(1, 1)
        texts = [
            text_of(drive(loaded.open([Prompt(text="dog", images=(i,))]))) for i in (dark, light)
        ]
        assert texts[0] != texts[1]

    def test_questions_side_by_side_are_answered_as_alone(self, loaded):
        prompts = [Prompt(text="dog", images=(picture(64, 48),)), Prompt(text="how many red cups")]
        events = drive(loaded.open(prompts), sequences=2)
        alone = [text_of(drive(loaded.open([prompt]))) for prompt in prompts]
        assert [text_of(events, 0), text_of(events, 1)] == alone

    def test_towers_run_once(self, loaded):
        calls = []
        hook = loaded._model.towers[0].register_forward_hook(lambda *_: calls.append(1))
        drive(loaded.open([Prompt(text="dog", images=(picture(64, 48),))]))
        hook.remove()
        assert calls == [1]

    def test_seeds_of_sampling(self, folder):
        prompt = Prompt(text="dog", images=(picture(64, 48),))
        first, again, other = (
            text_of(
                drive(
                    load(folder, route="none", temperature=1.0, seed=seed, max_tokens=12).open(
                        [prompt]
                    )
                )
            )
            for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_a_prompt_without_pictures_is_answered(self, loaded):
        assert isinstance(drive(loaded.open([Prompt(text="red dog")]))[-1], Done)

    def test_placeholders_of_the_user_are_kept(self, loaded):
        engine, image = loaded.engine, picture(4, 4)
        asked = engine.prepare(Prompt(text="see <image> here", images=(image,))).inputs
        batch = loaded._processor(["USER: see <image> here ASSISTANT:"], [image])
        assert torch.equal(asked["input_ids"], batch["input_ids"])

    def test_what_it_is_told_first_stands_before_the_question(self, loaded):
        asked = loaded.engine.prepare(Prompt(text="dog?", system="Be brief.")).inputs
        batch = loaded._processor(["USER: Be brief.\ndog? ASSISTANT:"], [[]])
        assert torch.equal(asked["input_ids"], batch["input_ids"])

    def test_marks_of_the_model_in_a_question_are_text(self, loaded):
        events = drive(loaded.open([Prompt(text="say </s> now")]))
        assert [e.name for e in events if isinstance(e, Note)] == ["dropped"]

    def test_too_many_placeholders_are_refused(self, loaded):
        events = drive(loaded.open([Prompt(text="<image> <image>", images=(picture(4, 4),))]))
        [note] = [event for event in events if isinstance(event, Note)]
        assert "expected 1 placeholders <image>" in note.detail
        assert events[-1] == Done(sequence=0, finish="broken")

    def test_features_that_are_not_finite_name_their_tower(self, folder):
        model = load(folder)
        with torch.no_grad():
            for weight in model._model.towers[1].parameters():
                weight.fill_(torch.nan)
        events = drive(model.open([Prompt(text="dog", images=(picture(64, 48),))]))
        [note] = [event for event in events if isinstance(event, Note)]
        assert re.search(r"features of .* have numbers that are not", note.detail)
        assert events[-1] == Done(sequence=0, finish="broken")

    def test_signs_of_several_tokens_come_whole(self, folder):
        events = say(folder, "a 狗 and 🐶 dog", chunk=1, route="none")
        assert text_of(events) == "a 狗 and 🐶 dog"
        assert not any("\ufffd" in e.text for e in events if isinstance(e, Text))
        assert events[-1] == Done(sequence=0, finish="complete")

    def test_length_ends_it(self, folder):
        events = say(folder, "a dog " * 20, max_tokens=7, chunk=5, route="none")
        assert events[-1] == Done(sequence=0, finish="length")


class TestDialect:
    def test_boxes_become_places_in_the_picture(self, folder):
        said = "See <ref>a dog</ref><box>(250,250),(500,750)</box>."
        events = say(folder, said, dialect="qwen-vl", chunk=3, inject="none")
        [place] = [e for e in events if isinstance(e, Locate)]
        assert text_of(events)[slice(*place.span)].strip() == "a dog"
        boxes = place.frame_map.boxes(place.boxes)
        assert np.all((boxes >= 0) & (boxes <= 200))

    def test_an_expert_is_asked_in_mid_sentence_and_its_places_are_read(self, folder):
        model = saying(folder, "See <ref>a dog</ref> here.", dialect="qwen-vl")
        session = model.open([Prompt(text="Where?", images=(picture(200, 100),))])
        events = drive(session)
        [told] = [e for e in events if isinstance(e, Injected)]
        assert told.text.startswith("<box>")
        assert told.after > told.before + 1
        [asked] = [e for e in events if isinstance(e, Ground)]
        assert asked.phrases == ("a dog",)
        assert text_of(events) == "See a dog here."

    def test_what_it_was_told_is_read_as_without_a_cache(self, folder):
        model = saying(folder, "See <ref>a dog</ref> here.", dialect="qwen-vl")
        prompt = Prompt(text="Where?", images=(picture(200, 100),))
        session = model.open([prompt])
        drive(session)
        [sequence] = session._sequences
        inputs = dict(model._engine.prepare(prompt).inputs)
        del inputs["logits_to_keep"]
        whole = model._engine.decoder.family.extend(inputs, torch.tensor([sequence.said]))
        with torch.no_grad():
            scores = model._engine.decoder.model(**whole, use_cache=False).logits[0, -1]
        torch.testing.assert_close(sequence.row.logits, scores, rtol=1e-4, atol=1e-4)

    def test_a_phrase_without_place_is_looked_for(self, folder):
        events = say(folder, "See <p>a dog</p> [SEG].", dialect="glamm", chunk=4, inject="none")
        [ask] = [e for e in events if isinstance(e, Ground)]
        assert ask.phrases == ("a dog",)
        assert text_of(events)[slice(*ask.span)] == "a dog"

    def test_without_a_dialect_experts_look_for_what_it_names(self, folder):
        said = "See <p>a dog</p> [SEG]."
        events = say(folder, said)
        assert text_of(events) == said
        assert [e.phrases for e in events if isinstance(e, Ground)]

    def test_an_unknown_dialect_is_refused(self, folder):
        with pytest.raises(InputError, match="dialect"):
            load(folder, dialect="klingon")


class TestRefusals:
    @pytest.mark.parametrize("option", [{"max_tokens": 0}, {"chunk": 0}, {"inject": "x"}])
    def test_options_out_of_range(self, folder, option):
        with pytest.raises(InputError, match=next(iter(option))):
            groundplane.load("language_models", "mof", weights=str(folder), **option)

    def test_no_weights(self, tmp_path):
        with pytest.raises(WeightsError):
            groundplane.load("language_models", "mof", weights=str(tmp_path))

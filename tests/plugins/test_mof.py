import numpy as np
import pytest
import torch

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.session import Done, Ground, Locate, Prompt, Text
from groundplane.testing.checkpoints_mof import save_mof
from groundplane.testing.language_models import LanguageModelContract, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_mof(tmp_path_factory.mktemp("mof"))


@pytest.fixture(scope="module")
def loaded(folder):
    return groundplane.load(
        "language_models", "mof", device="cpu", weights=str(folder), max_tokens=12, chunk=5
    )


def drive(session):
    events = []
    while not {e.sequence for e in events if isinstance(e, Done)} or step:
        step = session.step([])
        events += step
        if not step and any(isinstance(e, Done) for e in events):
            break
    return events


class TestContract(LanguageModelContract):
    @pytest.fixture
    def model(self, loaded):
        return loaded


def text_of(events, sequence=0):
    return "".join(e.text for e in events if isinstance(e, Text) and e.sequence == sequence)


class Says:
    """Stands for the decoding: it says a text that was planned."""

    def __init__(self, processor, text, end):
        self.ids = [*processor.tokenizer(text, add_special_tokens=False)["input_ids"], end]

    def advance(self, count):
        said, self.ids = self.ids[:count], self.ids[count:]
        return torch.tensor([said + [2] * (count - len(said))])


def say(folder, text, **options):
    model = groundplane.load("language_models", "mof", device="cpu", weights=str(folder), **options)
    session = model.open([Prompt(text="Where?", images=(picture(200, 100),))])
    session._decoding = Says(session._processor, text, end=2)
    return drive(session)


class TestGeneration:
    def test_says_what_generate_gives(self, loaded):
        prompt = Prompt(text="how many cups", images=(picture(64, 48),))
        events = drive(loaded.open([prompt]))
        session = loaded.open([prompt])
        batch = session._processor([session._worded(prompt)], [prompt.images])
        made = loaded._model.generate(**batch, max_new_tokens=12, do_sample=False)
        new = made[0, batch["input_ids"].shape[1] :]
        assert text_of(events) == session._processor.decode(new)

    def test_the_picture_matters(self, loaded):
        dark, light = picture(64, 48), picture(1, 1)
        texts = [
            text_of(drive(loaded.open([Prompt(text="dog", images=(i,))]))) for i in (dark, light)
        ]
        assert texts[0] != texts[1]

    def test_a_prompt_without_pictures_is_answered(self, loaded):
        assert isinstance(drive(loaded.open([Prompt(text="red dog")]))[-1], Done)

    def test_placeholders_of_the_user_are_kept(self, loaded):
        session = loaded.open([])
        worded = session._worded(Prompt(text="see <image> here", images=(picture(4, 4),)))
        assert worded == "USER: see <image> here ASSISTANT:"

    def test_too_many_placeholders_are_refused(self, loaded):
        session = loaded.open([Prompt(text="<image> <image>", images=(picture(4, 4),))])
        with pytest.raises(InputError, match="expected 1 placeholders <image>"):
            session.step([])

    def test_signs_of_several_tokens_come_whole(self, folder):
        events = say(folder, "a 狗 and 🐶 dog", chunk=1)
        assert text_of(events) == "a 狗 and 🐶 dog"
        assert not any("\ufffd" in e.text for e in events if isinstance(e, Text))
        assert events[-1] == Done(sequence=0, finish="complete")

    def test_length_ends_it(self, folder):
        events = say(folder, "a dog " * 20, max_tokens=7, chunk=5)
        assert events[-1] == Done(sequence=0, finish="length")


class TestDialect:
    def test_boxes_become_places_in_the_picture(self, folder):
        said = "See <ref>a dog</ref><box>(250,250),(500,750)</box>."
        events = say(folder, said, dialect="qwen-vl", chunk=3)
        [place] = [e for e in events if isinstance(e, Locate)]
        assert text_of(events)[slice(*place.span)].strip() == "a dog"
        boxes = place.frame_map.boxes(place.boxes)
        assert np.all((boxes >= 0) & (boxes <= 200))

    def test_a_phrase_without_place_is_looked_for(self, folder):
        events = say(folder, "See <p>a dog</p> [SEG].", dialect="glamm", chunk=4)
        [ask] = [e for e in events if isinstance(e, Ground)]
        assert ask.phrases == ("a dog",)
        assert text_of(events)[slice(*ask.span)] == "a dog"

    def test_without_a_dialect_all_is_text(self, folder):
        said = "See <p>a dog</p> [SEG]."
        assert text_of(say(folder, said)) == said

    def test_an_unknown_dialect_is_refused(self, folder):
        with pytest.raises(InputError, match="dialect"):
            say(folder, "x", dialect="klingon")


class TestRefusals:
    @pytest.mark.parametrize("option", [{"max_tokens": 0}, {"chunk": 0}])
    def test_options_out_of_range(self, folder, option):
        with pytest.raises(InputError, match=next(iter(option))):
            groundplane.load("language_models", "mof", weights=str(folder), **option)

    def test_no_weights(self, tmp_path):
        with pytest.raises(WeightsError):
            groundplane.load("language_models", "mof", weights=str(tmp_path))

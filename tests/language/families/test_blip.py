"""BLIP-2 and InstructBLIP: one picture, 6 queries before the text, no location language."""

import numpy as np
import pytest
import torch
from by_hand import ByHand, assert_as_without_cache, load, noise, without_cache

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.session import Prompt
from groundplane.language.families import family
from groundplane.testing.detectors import make_image
from groundplane.testing.language_checkpoints import blip

KINDS = [
    ("blip-2", "opt"),
    ("blip-2", "t5"),
    ("instructblip", "llama"),
    ("instructblip", "t5"),
]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def kind(request, tmp_path_factory):
    name, inner = request.param
    folder = blip.SAVERS[name](tmp_path_factory.mktemp(name), inner=inner)
    return family(name), *load(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return family("blip-2"), *load(blip.save_blip2(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    folder = blip.save_instructblip(tmp_path_factory.mktemp("asking"))
    return family("instructblip"), *load(folder)


def prompt(text="What is on the table?", *, seed=0, size=(31, 17), **more):
    return Prompt(text=text, images=(noise(*size, seed),), **more)


def written(processor, prepared):
    return processor.tokenizer.decode(prepared.inputs["input_ids"][0])


class TestDecoding:
    def test_going_on_with_a_cache_gives_what_passes_without_one_give(self, kind):
        assert_as_without_cache(*kind, prompt())

    def test_another_picture_gives_another_text(self, kind):
        said = [
            ByHand(kind[0], kind[1], kind[0].prepare(kind[2], kind[1], prompt(seed=seed)))
            .greedy(8)
            .ids
            for seed in (0, 1)
        ]
        assert said[0] != said[1]

    def test_a_model_of_another_picture_is_no_measure(self, kind):
        chosen, model, processor = kind
        one, other = (chosen.prepare(processor, model, prompt(seed=seed)) for seed in (0, 1))
        said = ByHand(chosen, model, one).greedy(4)
        wrong = without_cache(chosen, model, other, said.ids)
        assert not torch.allclose(torch.stack([*said.logits, said.next]), wrong, atol=1e-4)


class TestPrompt:
    @pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (31, 17)])
    def test_pictures_of_any_shape_are_seen_whole(self, kind, size):
        chosen, model, processor = kind
        prepared = chosen.prepare(processor, model, prompt(size=size))
        frame = prepared.frames[0]
        assert prepared.inputs["pixel_values"].shape == (1, 3, 28, 28)
        assert frame.canvas == (28, 28)
        np.testing.assert_allclose(frame.visible, (0, 0, *size))

    def test_the_picture_has_a_token_a_query(self, kind):
        chosen, model, processor = kind
        ids = chosen.prepare(processor, model, prompt()).inputs["input_ids"][0]
        assert (ids == model.config.image_token_index).sum() == 6

    def test_blip2_is_asked_as_it_was_trained(self, plain):
        chosen, model, processor = plain
        asked = prompt("Which?", choices=("A. cup", "B. 狗"))
        text = written(processor, chosen.prepare(processor, model, asked))
        assert text.endswith("<s>Question: Which?\nA. cup\nB. 狗 Answer:")

    def test_no_question_asks_for_a_caption(self, plain):
        chosen, model, processor = plain
        text = written(processor, chosen.prepare(processor, model, prompt("")))
        assert text == "<image>" * 6 + "<s>"

    def test_the_question_goes_to_the_q_former_too(self, asking):
        chosen, model, processor = asking
        one, other = (
            chosen.prepare(processor, model, prompt(text)).inputs["qformer_input_ids"]
            for text in ("a dog", "a cat")
        )
        assert not torch.equal(one, other)

    def test_a_spelled_image_token_is_text(self, kind):
        chosen, model, processor = kind
        prepared = chosen.prepare(processor, model, prompt("Is <image> a sign? </s>"))
        placed = (prepared.inputs["input_ids"] == model.config.image_token_index).sum()
        assert placed == 6
        assert any("<image>" in line for line in prepared.dropped)

    def test_words_before_the_question_are_told_as_dropped(self, kind):
        chosen, model, processor = kind
        prepared = chosen.prepare(processor, model, prompt(system="Be brief."))
        assert len(prepared.dropped) == 1
        assert "Be brief" not in written(processor, prepared)

    @pytest.mark.parametrize("count", [0, 2])
    def test_another_number_of_pictures_is_refused(self, kind, count):
        chosen, model, processor = kind
        asked = Prompt(text="What?", images=tuple(noise(9, 9, i) for i in range(count)))
        with pytest.raises(InputError, match=f"expected 1 pictures with a question, got {count}"):
            chosen.prepare(processor, model, asked)

    def test_a_picture_without_pixels_is_refused(self, plain):
        chosen, model, processor = plain
        empty = make_image(np.zeros((0, 5, 3), np.uint8))
        with pytest.raises(ShapeError, match="no pixels"):
            chosen.prepare(processor, model, Prompt(text="What?", images=(empty,)))

    def test_an_old_checkpoint_that_would_not_see_is_refused(self, plain, monkeypatch):
        chosen, model, processor = plain
        monkeypatch.setattr(processor, "num_query_tokens", None)
        with pytest.raises(InputError, match=r"writes 0 tokens of the picture.*6 queries"):
            chosen.prepare(processor, model, prompt())

    def test_a_question_too_long_for_the_q_former_is_refused(self, asking):
        chosen, model, processor = asking
        with pytest.raises(InputError, match="which reads 512 at most"):
            chosen.prepare(processor, model, prompt("dog " * 600))

"""LLaVA, LLaVA-NeXT, LLaVA-OneVision and ViP-LLaVA: padded or cut to a square, or in tiles."""

import numpy as np
import pytest
import torch
import transformers
from by_hand import ByHand, assert_as_without_cache
from family_contract import FamilyContract, there_and_back

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.grounding.parsing import parse
from groundplane.language.families.llava import padded_to_squares
from groundplane.testing.detectors import make_image

BOX = "a dog [0.25,0.25,0.75,0.75]"


def plain(width, height, grey=0):
    return make_image(np.full((height, width, 3), grey, np.uint8))


def read(chosen, frame):
    found = parse(BOX, dialect=chosen.dialect, size=frame.image_size, frame=frame)
    return found.mentions[0].located.boxes


class SquareContract(FamilyContract):
    """One square a picture, of which published processors cut the middle out."""

    def test_a_picture_has_the_tokens_of_its_patches(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=2)))
        assert text.count("<image>") == 2 * 16
        assert text.rindex("<image>") < text.index(self.QUESTION)

    def test_what_is_cut_off_is_told(self, ready):
        prepared = self.prepare(ready, self.prompt(size=(1, 200)))
        assert any(
            line.startswith("picture 0: the model sees its middle") for line in prepared.dropped
        )
        assert self.prepare(ready, self.prompt(size=(20, 20))).dropped == ()

    def test_the_frame_is_what_the_processor_shows(self, ready):
        """White is left of the column that the frame puts at the eighth pixel of the canvas."""
        size = (640, 480)
        frame = self.prepare(ready, Prompt(text="What?", images=(plain(*size),))).frames[0]
        edge = round(frame.points_to_image(np.array([[8.0, 8.0]]))[0, 0])
        pixels = np.zeros((*size[::-1], 3), np.uint8)
        pixels[:, :edge] = 255
        prepared = self.prepare(ready, Prompt(text="What?", images=(make_image(pixels),)))
        row = prepared.inputs["pixel_values"][0, 0, 16]
        bright = row > (row.max() + row.min()) / 2
        assert bright.tolist() == [True] * 8 + [False] * 24

    def test_a_picture_that_would_become_too_large_is_refused(self, ready):
        with pytest.raises(InputError, match="expected at most 40000000 pixels"):
            self.prepare(ready, Prompt(text="What?", images=(plain(60_000, 1),)))


class TestLlava(SquareContract):
    NAME = "llava"

    @pytest.fixture(scope="class")
    @classmethod
    def padding(cls, ready):
        chosen, model, processor = ready
        return chosen, model, chosen.seeing(processor, chosen.dialect)

    @pytest.mark.parametrize(
        ("size", "golden"), [((640, 480), (160, 80, 480, 400)), ((480, 640), (80, 160, 400, 480))]
    )
    def test_a_padded_picture_gives_the_golden_box(self, padding, size, golden):
        frame = self.prepare(padding, Prompt(text="Where?", images=(plain(*size),))).frames[0]
        np.testing.assert_allclose(read(padding[0], frame), [golden], atol=1e-3)

    def test_a_cut_picture_gives_the_golden_box(self, ready, monkeypatch):
        published = transformers.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size=336)
        monkeypatch.setattr(ready[2], "image_processor", published)
        frame = self.prepare(ready, Prompt(text="Where?", images=(plain(640, 480),))).frames[0]
        assert frame.visible == (80, 0, 560, 480)
        np.testing.assert_allclose(read(ready[0], frame), [[200, 120, 440, 360]], atol=1e-3)

    @pytest.mark.parametrize("size", [(640, 480), (31, 17), (20, 200)])
    def test_a_box_of_a_padded_picture_comes_back_within_a_step(self, padding, size):
        prepared = self.prepare(padding, self.prompt(size=size))
        box = (0.21 * size[0], 0.1 * size[1], 0.8 * size[0], 0.77 * size[1])
        back = there_and_back("llava-1.5", prepared.frames[0], box)
        np.testing.assert_allclose(back, box, atol=max(size) * 0.01)
        assert prepared.dropped == ()

    def test_padding_is_of_the_mean_colour(self, padding):
        prepared = self.prepare(padding, Prompt(text="Where?", images=(plain(640, 480, 255),)))
        seen = prepared.inputs["pixel_values"][0]
        assert seen.shape == (3, 32, 32)
        # The mean is 0 once normalised, but for the part of a grey level that is cut.
        assert seen[:, :2].abs().max() < 0.02
        assert seen[:, 5:27].min() > 1
        np.testing.assert_allclose(prepared.frames[0].covers, (0, 4, 32, 28))

    def test_a_padded_picture_is_read_as_without_a_cache(self, padding):
        assert_as_without_cache(*padding, self.prompt(size=(90, 20)), first=3, then=3)

    def test_padding_leaves_the_processor_as_it_was(self, ready):
        chosen, _, processor = ready
        before = processor.image_processor
        other = chosen.seeing(processor, "llava-1.5")
        assert other is not processor
        assert processor.image_processor is before
        assert other.tokenizer is processor.tokenizer
        assert other.image_processor.size == before.size

    @pytest.mark.parametrize("dialect", ["", "shikra"])
    def test_other_places_are_read_of_the_picture_as_it_is_prepared(self, ready, dialect):
        assert padded_to_squares(ready[2], dialect) is ready[2]

    def test_a_processor_of_pillow_stays_one(self, ready, monkeypatch):
        monkeypatch.setattr(
            ready[2], "image_processor", transformers.CLIPImageProcessorPil(crop_size=32)
        )
        other = padded_to_squares(ready[2], "llava-1.5").image_processor
        assert isinstance(other, transformers.LlavaImageProcessorPil)
        assert other.do_pad

    def test_the_question_is_put_as_it_was_trained(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(system="Be brief.")))
        assert text.endswith(f"{self.QUESTION} ASSISTANT:")
        assert text.index("Be brief.") < text.index("USER: ")

    def test_a_template_without_a_place_for_pictures_is_refused(self, ready, monkeypatch):
        monkeypatch.setattr(ready[2], "chat_template", "{{ messages[-1]['content'][-1]['text'] }}")
        with pytest.raises(InputError, match="llava"):
            self.prepare(ready, self.prompt())


class TestVipllava(SquareContract):
    NAME = "vipllava"

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt()))
        assert text.endswith(f"{self.QUESTION}###Assistant:")

    def test_features_of_several_layers_are_read(self, ready, monkeypatch):
        chosen, model, _ = ready
        prepared = self.prepare(ready, self.prompt())
        right = ByHand(chosen, model, prepared).next
        for told in (model.config, model.model.config):
            monkeypatch.setattr(told, "vision_feature_layer", [0, -2])
        assert not torch.allclose(ByHand(chosen, model, prepared).next, right, atol=1e-3)


class TiledContract(FamilyContract):
    """The whole picture and tiles of it."""

    @pytest.mark.parametrize("size", [(640, 480), (31, 17)])
    def test_shares_are_of_the_whole_picture(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        assert frame.canvas == (32, 32)
        np.testing.assert_allclose(frame.visible, (0, 0, *size))

    def test_a_wide_picture_has_more_tokens_than_one_square(self, ready):
        wide = self.text(ready, self.prepare(ready, self.prompt(size=(64, 32))))
        assert wide.count("<image>") > 2 * 16

    def test_the_first_tile_shows_all_of_the_picture(self, ready):
        pixels = np.zeros((40, 80, 3), np.uint8)
        pixels[:, 40:] = 255
        prepared = self.prepare(ready, Prompt(text="What?", images=(make_image(pixels),)))
        whole = prepared.inputs["pixel_values"][0, 0, 0]
        assert whole[:, :15].max() < whole[:, 17:].min()


class TestLlavaNext(TiledContract):
    NAME = "llava_next"


class TestLlavaOnevision(TiledContract):
    NAME = "llava_onevision"

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(system="Be brief.")))
        assert text.startswith("<|im_start|>system \nBe brief.<|im_end|><|im_start|>user <image>")
        assert text.endswith(f"\n{self.QUESTION}<|im_end|><|im_start|>assistant\n")

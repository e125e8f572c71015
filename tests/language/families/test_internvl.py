"""InternVL: tiles and the whole picture; places are thousandths of the whole."""

import numpy as np
import pytest
from by_hand import noise
from family_contract import FamilyContract, there_and_back

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt


class TestInternvl(FamilyContract):
    NAME = "internvl"
    MARK = "<IMG_CONTEXT>"

    @pytest.mark.parametrize(("size", "tiles"), [((32, 32), 1), ((64, 16), 4), ((90, 30), 3)])
    def test_a_picture_is_its_tiles_and_the_whole(self, ready, size, tiles):
        prepared = self.prepare(ready, self.prompt(size=size))
        views = tiles + 1 if tiles > 1 else 1
        assert prepared.inputs["pixel_values"].shape[0] == views
        assert f"<img>{self.MARK * 4 * views}</img>" in self.text(ready, prepared)

    def test_pictures_of_unlike_tiles_stand_in_their_order(self, ready):
        images = (noise(64, 16), noise(32, 32, 1))
        prepared = self.prepare(ready, Prompt(text="Which?", images=images))
        text = self.text(ready, prepared)
        first, second = (text.index(f"<img>{self.MARK * n}</img>") for n in (20, 4))
        assert first < second < text.index("Which?")

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=0, system="Be brief.")))
        assert text == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
            f"{self.QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_signs_of_a_phrase_reach_the_model(self, ready):
        asked = ready[0].grounded.format(question="the dog")
        prepared = self.prepare(ready, self.prompt(text=asked))
        mark = ready[2].tokenizer.convert_tokens_to_ids("<ref>")
        assert prepared.dropped == ()
        assert int((prepared.inputs["input_ids"] == mark).sum()) == 1

    @pytest.mark.parametrize("size", [(640, 480), (31, 17), (1, 200)])
    def test_a_box_is_read_where_it_was_written(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        width, height = size
        box = (0.1 * width, 0.05 * height, 0.7 * width, 0.9 * height)
        again = there_and_back("internvl", frame, box)
        np.testing.assert_allclose(again, box, atol=max(size) / 1000)

    def test_a_processor_of_another_model_is_refused(self, ready, monkeypatch):
        monkeypatch.setattr(ready[2], "image_seq_length", 256)
        with pytest.raises(InputError, match="writes 256 tokens a tile, the model has 4"):
            self.prepare(ready, self.prompt())

"""Florence-2: an encoder-decoder, task signs, bins of a grid of 1000 by 1000."""

import numpy as np
import pytest
from family_contract import FamilyContract, there_and_back

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.grounding.parsing import parse
from groundplane.testing.detectors import make_image


class TestFlorence(FamilyContract):
    NAME = "florence2"
    LEAST = MOST = 1

    def test_a_task_sign_becomes_the_words_that_it_was_trained_on(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(text="<OD>")))
        assert "Locate the objects with category name in the image." in text

    def test_a_task_that_stands_alone_takes_no_words(self, ready):
        with pytest.raises(InputError, match="refuses the question"):
            self.prepare(ready, self.prompt(text="<OD> a cat"))

    def test_the_text_starts_as_the_checkpoint_says(self, ready, monkeypatch):
        monkeypatch.setattr(ready[1].generation_config, "forced_bos_token_id", 0)
        start = self.prepare(ready, self.prompt()).inputs["decoder_input_ids"].tolist()
        assert start == [[ready[1].config.text_config.decoder_start_token_id, 0]]

    def test_the_picture_gives_the_golden_box(self, ready):
        image = make_image(np.zeros((480, 640, 3), np.uint8))
        frame = self.prepare(ready, Prompt(text="<OD>", images=(image,))).frames[0]
        text = "car<loc_52><loc_332><loc_932><loc_774>"
        found = parse(text, dialect="florence-2", size=(640, 480), frame=frame)
        boxes = found.mentions[0].located.boxes
        np.testing.assert_allclose(boxes, [[33, 159, 596, 371]], atol=1)

    @pytest.mark.parametrize("size", [(640, 480), (31, 17)])
    def test_a_box_comes_back_within_a_pixel_and_a_bin(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        box = (0.21 * size[0], 0.1 * size[1], 0.8 * size[0], 0.77 * size[1])
        back = there_and_back("florence-2", frame, box)
        np.testing.assert_allclose(back, box, atol=1 + max(size) / 1000)

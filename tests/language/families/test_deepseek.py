"""DeepSeek-VL: padded pictures of one size, no language of places."""

import numpy as np
import pytest
import torch
from family_contract import FamilyContract

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.testing.detectors import make_image


class TestDeepseekVl(FamilyContract):
    NAME = "deepseek_vl"
    MARK = "<image_placeholder>"

    def test_pictures_stand_before_the_question_in_their_tokens(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=2)))
        assert text.endswith(f"User: {self.MARK * 32}{self.QUESTION}\n\nAssistant:")

    def test_what_stands_before_the_question_has_no_name(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=0, system="Be brief.")))
        assert text.endswith(f"Be brief.\n\nUser: {self.QUESTION}\n\nAssistant:")

    @pytest.mark.parametrize(
        ("size", "covers"),
        [((640, 480), (0, 4, 32, 28)), ((480, 640), (4, 0, 28, 32)), ((1, 200), (14, 0, 18, 32))],
    )
    def test_the_frame_is_where_the_picture_stands_in_the_square(self, ready, size, covers):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        assert frame.canvas == (32, 32)
        np.testing.assert_allclose(frame.covers, covers)

    def test_the_frame_is_what_the_processor_draws(self, ready):
        white = make_image(np.full((24, 50, 3), 255, np.uint8))
        prepared = self.prepare(ready, Prompt(text="What?", images=(white,)))
        seen = prepared.inputs["pixel_values"][0].amin(0)
        rows = torch.nonzero((seen > 1.5).all(1)).flatten()
        _, top, _, bottom = prepared.frames[0].covers
        assert (rows.min(), rows.max() + 1) == (top, bottom)

    def test_a_processor_of_another_model_is_refused(self, ready, monkeypatch):
        monkeypatch.setattr(ready[2], "num_image_tokens", 576)
        with pytest.raises(InputError, match="writes 576 tokens a picture, the model has 16"):
            self.prepare(ready, self.prompt())

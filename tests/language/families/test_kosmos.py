"""Kosmos-2: one picture, cells of a grid of 32 by 32, phrases marked as they are said."""

import numpy as np
import pytest
from family_contract import FamilyContract, there_and_back

from groundplane.core.session import Prompt
from groundplane.grounding.parsing import parse
from groundplane.testing.detectors import make_image


class TestKosmos(FamilyContract):
    NAME = "kosmos-2"
    LEAST = MOST = 1

    def test_the_picture_has_the_tokens_of_the_model(self, ready):
        inputs = self.prepare(ready, self.prompt()).inputs
        assert inputs["image_embeds_position_mask"].sum() == 8
        assert inputs["image_embeds_position_mask"].shape == inputs["input_ids"].shape

    def test_the_sign_of_places_is_a_token(self, ready):
        asked = ready[0].grounded.replace("{question}", "An image of")
        prepared = self.prepare(ready, self.prompt(text=asked))
        sign = ready[2].tokenizer.convert_tokens_to_ids("<grounding>")
        assert sign in prepared.inputs["input_ids"]
        assert prepared.dropped == ()

    def test_a_stretched_picture_gives_the_golden_box(self, ready):
        image = make_image(np.zeros((480, 640, 3), np.uint8))
        frame = self.prepare(ready, Prompt(text="What?", images=(image,))).frames[0]
        text = "<phrase>a snowman</phrase><object><patch_index_0044><patch_index_0863></object>"
        found = parse(text, dialect="kosmos-2", size=(640, 480), frame=frame)
        np.testing.assert_allclose(found.mentions[0].located.boxes, [[250, 22.5, 630, 397.5]])

    @pytest.mark.parametrize("size", [(640, 480), (31, 17)])
    def test_a_box_comes_back_within_a_cell(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        box = (0.21 * size[0], 0.1 * size[1], 0.8 * size[0], 0.77 * size[1])
        back = there_and_back("kosmos-2", frame, box)
        np.testing.assert_allclose(back, box, atol=max(size) / 32)

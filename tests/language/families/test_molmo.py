"""Molmo2: the whole picture and parts of it; places are points in thousandths."""

import numpy as np
import pytest
import torch
from family_contract import FamilyContract, written_and_read

from groundplane.language.family import extended


class TestMolmo2(FamilyContract):
    NAME = "molmo2"
    MARK = "<im_patch>"

    @pytest.mark.parametrize(("size", "parts"), [((20, 20), 1), ((60, 30), 3), ((30, 60), 3)])
    def test_a_picture_is_the_whole_and_its_parts(self, ready, size, parts):
        prepared = self.prepare(ready, self.prompt(size=size))
        assert prepared.inputs["pixel_values"].shape[0] == 1 + parts
        text = self.text(ready, prepared)
        assert text.index("<low_res_im_start>") < text.index("<im_start>") < text.index("What")

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=0, system="Be brief.")))
        assert text.endswith(
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
            f"{self.QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_the_sign_of_a_picture_in_a_question_is_text(self, ready):
        asked = self.prompt(count=0, text="What does <|image|> mean?")
        prepared = self.prepare(ready, asked)
        assert self.MARK not in self.text(ready, prepared)
        assert len(prepared.dropped) == 1

    def test_what_is_said_is_no_picture(self, ready):
        prepared = self.prepare(ready, self.prompt())
        longer = extended(prepared.inputs, torch.tensor([[7, 8]]))
        assert longer["mm_token_type_ids"][0, -2:].tolist() == [0, 0]
        assert longer["mm_token_type_ids"].sum() == prepared.inputs["mm_token_type_ids"].sum()

    @pytest.mark.parametrize("size", [(640, 480), (31, 17), (1, 200)])
    def test_the_middle_of_a_box_is_read_where_it_was_written(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        width, height = size
        box = (0.1 * width, 0.05 * height, 0.7 * width, 0.9 * height)
        points = written_and_read("molmo2", frame, box).points
        middle = [[0.4 * width, 0.475 * height]]
        np.testing.assert_allclose(points, middle, atol=max(size) / 1000)

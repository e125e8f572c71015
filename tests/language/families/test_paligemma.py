"""PaliGemma: stretched pictures, positions from 1, a prompt that is read in both directions."""

import numpy as np
import pytest
import torch
from by_hand import ByHand, without_cache
from family_contract import FamilyContract, there_and_back

from groundplane.core.session import Prompt
from groundplane.grounding.parsing import parse
from groundplane.language.family import extended
from groundplane.testing.detectors import make_image


class TestPaligemma(FamilyContract):
    NAME = "paligemma"
    LEAST = 1

    def test_the_prompt_is_pictures_beginning_question_and_a_new_line(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=2, text="detect cat ; 狗")))
        assert text == "<image>" * 32 + "<bos>detect cat ; 狗\n"

    def test_places_in_a_question_are_tokens(self, ready):
        text = "describe <loc0256><loc0128><loc0768><loc0512>"
        prepared = self.prepare(ready, self.prompt(text=text))
        place = ready[2].tokenizer.convert_tokens_to_ids("<loc0256>")
        assert place in prepared.inputs["input_ids"]
        assert prepared.dropped == ()

    def test_a_stretched_picture_gives_the_golden_box(self, ready):
        image = make_image(np.zeros((480, 640, 3), np.uint8))
        frame = self.prepare(ready, Prompt(text="detect cat", images=(image,))).frames[0]
        found = parse(
            "<loc0256><loc0128><loc0768><loc0512> cat",
            dialect=ready[0].dialect,
            size=(640, 480),
            frame=frame,
        )
        np.testing.assert_allclose(found.mentions[0].located.boxes, [[80, 120, 320, 360]])

    def test_what_it_says_sees_only_what_came_before(self, ready):
        """The kinds of `extended`, zeros, would let the prompt see the answer."""
        chosen, model, _ = ready
        prepared = self.prepare(ready, self.prompt())
        said = ByHand(chosen, model, prepared).greedy(6).ids
        with torch.no_grad():
            wrong = model(**extended(prepared.inputs, torch.tensor([said])), use_cache=False)
        right = without_cache(chosen, model, prepared, said)
        assert not torch.allclose(wrong.logits[0, -7:], right, atol=1e-3)

    def test_positions_from_zero_are_others(self, ready):
        chosen, model, _ = ready
        prepared = self.prepare(ready, self.prompt())
        count = prepared.inputs["input_ids"].shape[1]
        with torch.no_grad():
            own, given = (
                model(**prepared.inputs, **more).logits[0, -1]
                for more in ({}, {"position_ids": torch.arange(count)[None] + chosen.first})
            )
        torch.testing.assert_close(own, given)

    @pytest.mark.parametrize("size", [(640, 480), (31, 17)])
    def test_a_box_comes_back_within_a_step_of_the_dialect(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        box = (0.21 * size[0], 0.1 * size[1], 0.8 * size[0], 0.77 * size[1])
        back = there_and_back(ready[0].dialect, frame, box)
        np.testing.assert_allclose(back, box, atol=max(size) / 1024)

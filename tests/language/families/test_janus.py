"""Janus: padded pictures, as many tokens each as stated; what makes pictures stays untouched."""

import numpy as np
import pytest
import torch
from by_hand import ByHand, noise
from family_contract import FamilyContract

from groundplane.core.errors import InputError
from groundplane.core.session import Prompt
from groundplane.testing.detectors import make_image


class TestJanus(FamilyContract):
    NAME = "janus"
    MARK = "<image_placeholder>"

    def test_each_picture_has_its_tokens_between_their_marks(self, ready):
        prepared = self.prepare(ready, self.prompt(count=2))
        text = self.text(ready, prepared)
        picture = f"<begin_of_image>{self.MARK * 16}<end_of_image>"
        assert text.count(picture) == 2
        assert text.index(picture) < text.index(self.QUESTION)

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=0, system="Be brief.")))
        assert text.endswith(f"System: Be brief.\n\n<|User|>: {self.QUESTION}\n\n<|Assistant|>:")

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
        seen = prepared.inputs["pixel_values"][0].amax(0)
        rows = torch.nonzero((seen > 1.5).all(1)).flatten()
        _, top, _, bottom = prepared.frames[0].covers
        assert (rows.min(), rows.max() + 1) == (top, bottom)

    def test_what_makes_pictures_is_never_run(self, ready):
        chosen, model, processor = ready
        run = []
        making = [model.model.vqmodel, model.model.generation_head, model.model.generation_aligner]
        hooks = [
            part.register_forward_hook(lambda part, *_: run.append(type(part).__name__))
            for making_part in making
            for part in making_part.modules()
        ]
        before = {k: v.clone() for k, v in model.state_dict().items()}
        ByHand(chosen, model, chosen.prepare(processor, model, self.prompt())).greedy(3)
        for hook in hooks:
            hook.remove()
        assert run == []
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    def test_a_processor_of_another_model_is_refused(self, ready, monkeypatch):
        monkeypatch.setattr(ready[2], "num_image_tokens", 576)
        with pytest.raises(InputError, match="writes 576 tokens a picture, the model has 16"):
            self.prepare(ready, Prompt(text="What?", images=(noise(9, 9),)))

"""GLM-4.1V: pictures on a grid of patches, places in thousandths of the whole."""

import numpy as np
import pytest
from family_contract import FamilyContract, there_and_back

from groundplane.core.errors import InputError


class TestGlm4v(FamilyContract):
    NAME = "glm4v"
    MARK = "<|image|>"

    def test_turns_are_those_of_its_template(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(size=(56, 28), system="Be brief.")))
        assert text == (
            "[gMASK]<sop><|system|>\nBe brief.<|user|>\n"
            f"<|begin_of_image|><|image|><|image|><|end_of_image|>{self.QUESTION}<|assistant|>\n"
        )

    @pytest.mark.parametrize(
        ("size", "canvas"),
        [((56, 28), (56, 28)), ((31, 17), (56, 28)), ((640, 480), (84, 56)), ((1, 1), (28, 28))],
    )
    def test_the_canvas_is_whole_patches(self, ready, size, canvas):
        prepared = self.prepare(ready, self.prompt(size=size))
        assert prepared.frames[0].canvas == canvas
        assert prepared.inputs["pixel_values"].shape[0] == canvas[0] * canvas[1] // 14**2

    def test_the_canvas_is_that_of_its_limits(self, ready, monkeypatch):
        published = {"shortest_edge": 112 * 112, "longest_edge": 28 * 28 * 15000}
        monkeypatch.setattr(ready[2].image_processor, "size", published)
        frame = self.prepare(ready, self.prompt(size=(640, 480))).frames[0]
        assert frame.canvas == (644, 476)

    def test_a_place_that_is_asked_about_reaches_the_model(self, ready):
        place = "<|begin_of_box|>[[1,2,3,4]]<|end_of_box|>"
        prepared = self.prepare(ready, self.prompt(text=f"What is at {place}?"))
        sign = ready[2].tokenizer.convert_tokens_to_ids("<|begin_of_box|>")
        assert prepared.dropped == ()
        assert int((prepared.inputs["input_ids"] == sign).sum()) == 1

    @pytest.mark.parametrize("size", [(640, 480), (31, 17), (1, 200)])
    def test_a_box_is_read_where_it_was_written(self, ready, size):
        frame = self.prepare(ready, self.prompt(size=size)).frames[0]
        width, height = size
        box = (0.1 * width, 0.05 * height, 0.7 * width, 0.9 * height)
        again = there_and_back("glm-4.5v", frame, box)
        np.testing.assert_allclose(again, box, atol=max(size) / 1000)

    def test_a_strip_that_its_processor_refuses_is_told_with_its_size(self, ready):
        with pytest.raises(InputError, match=r"\(1, 201\).*must be smaller than 200"):
            self.prepare(ready, self.prompt(size=(1, 201)))

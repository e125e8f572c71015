"""What holds of every family: a test class to inherit from, with `NAME` and how many pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import ByHand, assert_as_without_cache, load, noise, without_cache

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.frames import Frame
from groundplane.core.locations import Located
from groundplane.core.regions import Regions
from groundplane.core.session import Prompt
from groundplane.grounding.dialects import dialect
from groundplane.grounding.dialects.rendering import render
from groundplane.grounding.parsing import parse
from groundplane.language.families import family
from groundplane.testing.detectors import make_image
from groundplane.testing.language_checkpoints import save_language_model

SHAPES = [(1, 1), (1, 200), (200, 1), (31, 17), (3, 9)]


def there_and_back(language: str, frame: Frame, box: tuple[float, ...]) -> list[float]:
    """A box written in a dialect and read again, `xyxy` pixels of the image."""
    return written_and_read(language, frame, box).boxes[0].tolist()


def written_and_read(language: str, frame: Frame, box: tuple[float, ...]) -> Located:
    """What is read of a box that was written in a dialect, pixels of the image."""
    regions = Regions(
        ids=("one",),
        boxes=torch.tensor([box], dtype=torch.float32),
        scores=torch.ones(1),
        phrases=("a cat",),
        phrase_ids=torch.tensor([0]),
        image_size=frame.image_size,
    )
    text = render(dialect(language), regions, frame)
    found = parse(text, dialect=language, size=frame.image_size, frame=frame)
    return found.mentions[0].located


class FamilyContract:
    """Prompts, pictures and positions of one family, on its tiny checkpoint."""

    NAME = ""
    LEAST = 0  # pictures
    MOST: int | None = None
    MARK = "<image>"
    QUESTION = "What is on the table?"

    @pytest.fixture(scope="class")
    @classmethod
    def ready(cls, tmp_path_factory):
        folder = save_language_model(cls.NAME, tmp_path_factory.mktemp(cls.NAME))
        return family(cls.NAME), *load(folder)

    def prompt(self, *, seed=0, size=(31, 17), count=1, text=None, **more):
        images = tuple(noise(*size, seed + i) for i in range(count))
        return Prompt(text=self.QUESTION if text is None else text, images=images, **more)

    def prepare(self, ready, prompt):
        chosen, model, processor = ready
        return chosen.prepare(processor, model, prompt)

    def text(self, ready, prepared):
        ids = prepared.inputs["input_ids"][0]
        return ready[2].tokenizer.decode(ids, skip_special_tokens=False)

    def said(self, ready, prompt, count=10):
        return ByHand(ready[0], ready[1], self.prepare(ready, prompt)).greedy(count).ids

    def test_going_on_with_a_cache_gives_what_passes_without_one_give(self, ready):
        assert_as_without_cache(*ready, self.prompt())

    def test_a_pass_over_another_picture_is_no_measure(self, ready):
        one, other = (self.prepare(ready, self.prompt(seed=seed)) for seed in (0, 7))
        said = ByHand(ready[0], ready[1], one).greedy(4)
        wrong = without_cache(ready[0], ready[1], other, said.ids)
        assert not torch.allclose(torch.stack([*said.logits, said.next]), wrong, atol=1e-3)

    def test_another_picture_gives_another_text(self, ready):
        texts = [self.said(ready, self.prompt(seed=seed)) for seed in (0, 7, 11)]
        assert any(text != texts[0] for text in texts)

    def test_several_pictures_are_read_or_refused(self, ready):
        asked = self.prompt(count=2)
        if self.MOST == 1:
            with pytest.raises(InputError, match="expected 1 pictures with a question, got 2"):
                self.prepare(ready, asked)
            return
        assert len(self.prepare(ready, asked).frames) == 2
        assert_as_without_cache(*ready, asked, first=3, then=3)
        swapped = Prompt(text=asked.text, images=asked.images[::-1])
        one, other = (
            ByHand(ready[0], ready[1], self.prepare(ready, p)).next for p in (asked, swapped)
        )
        assert not torch.allclose(one, other, atol=1e-3)

    def test_a_question_without_a_picture_is_read_or_refused(self, ready):
        if self.LEAST:
            with pytest.raises(InputError, match="pictures with a question, got 0"):
                self.prepare(ready, self.prompt(count=0))
            return
        assert self.prepare(ready, self.prompt(count=0)).frames == ()
        assert_as_without_cache(*ready, self.prompt(count=0), first=3, then=3)

    @pytest.mark.parametrize("size", SHAPES)
    def test_pictures_of_any_shape_are_seen(self, ready, size):
        prepared = self.prepare(ready, self.prompt(size=size))
        assert prepared.frames[0].image_size == size
        assert len(self.said(ready, self.prompt(size=size), 1)) == 1

    def test_a_picture_without_pixels_is_refused(self, ready):
        empty = make_image(np.zeros((0, 5, 3), np.uint8))
        with pytest.raises(ShapeError, match="no pixels"):
            self.prepare(ready, Prompt(text="What?", images=(empty,)))

    def test_a_spelled_mark_is_text(self, ready):
        plain = self.prepare(ready, self.prompt())
        asked = self.prompt(text=f"{self.QUESTION} {self.MARK}", system=self.MARK)
        spelled = self.prepare(ready, asked)
        mark = ready[2].tokenizer.convert_tokens_to_ids(self.MARK)
        counts = [int((p.inputs["input_ids"] == mark).sum()) for p in (plain, spelled)]
        assert counts[0] == counts[1]
        assert any(self.MARK in line for line in spelled.dropped)

    def test_what_stands_before_the_question_is_read_or_told_as_dropped(self, ready):
        prepared = self.prepare(ready, self.prompt(system="Be brief."))
        read = "Be brief." in self.text(ready, prepared)
        assert read or len(prepared.dropped) == 1

    def test_options_stand_on_lines_of_their_own(self, ready):
        asked = self.prompt(choices=("A. cup", "B. 狗🐕"))
        text = self.text(ready, self.prepare(ready, asked))
        assert f"{self.QUESTION}\nA. cup\nB. 狗🐕" in text

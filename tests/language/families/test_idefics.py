"""Idefics2, Idefics3 and SmolVLM: chats over pictures that are cut into tiles."""

import pytest
from by_hand import load
from family_contract import FamilyContract

from groundplane.language.families import family
from groundplane.testing.language_checkpoints import save_language_model


class TestIdefics3(FamilyContract):
    NAME = "idefics3"

    def test_a_picture_is_tiles_and_a_view_of_the_whole(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(size=(64, 48))))
        assert text.count("<row_") == 4
        assert text.count("<global-img>") == 1
        assert text.count("<image>") == 5 * 4


class TestSmolvlm(TestIdefics3):
    NAME = "smolvlm"

    @pytest.fixture(scope="class")
    @classmethod
    def ready(cls, tmp_path_factory):
        pytest.importorskip("num2words", reason="its processor needs num2words")
        folder = save_language_model(cls.NAME, tmp_path_factory.mktemp(cls.NAME))
        return family(cls.NAME), *load(folder)


class TestIdefics2(FamilyContract):
    NAME = "idefics2"

    def test_a_picture_has_its_tokens_between_marks(self, ready):
        text = self.text(ready, self.prepare(ready, self.prompt(count=2)))
        assert text.count("<image>") == 2 * 4
        assert text.rstrip().endswith("Assistant:")

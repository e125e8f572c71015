import pytest

from groundplane.grounding.vocabulary import cannot_note, look_up


class TestNotes:
    def test_what_it_cannot_look_for_is_said_with_what_it_knows(self):
        note = cannot_note("sofa", ("face", "eye"))
        assert note == "this expert cannot look for 'sofa'; it knows: face, eye"

    def test_near_words_come_first(self):
        words = [*(f"word{i}" for i in range(30)), "refrigerator"]
        note = cannot_note("refridgerator", words)
        assert "it knows: refrigerator, word0" in note
        assert note.endswith("and 19 more")

    @pytest.mark.parametrize(
        ("phrase", "labels"), [("people", ("person",)), ("blue person", ()), ("owl", ())]
    )
    def test_only_whole_phrases_are_looked_up(self, phrase, labels):
        found, note = look_up(phrase, ("person", "chair"))
        assert found == labels
        assert bool(note) == (not labels)

"""Tokens to text: signs in several tokens are held back, and the stretches that ask."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.language.spans import Closed, Detokeniser, Given, Watcher, encode
from groundplane.language.triggers import Trigger
from groundplane.testing.language_checkpoints.tokenizers import byte_tokenizer

TOKENIZER = byte_tokenizer(marks=["<ref>", "</ref>"])
ASK = Trigger(open="<q>", close="</q>", ask=lambda asked: None, tell=lambda told: "")
QUIET = Trigger(open="{{", close="}}", ask=lambda asked: None, tell=lambda told: "", shown=False)


def ids_of(text):
    return TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def read(ids):
    reader = Detokeniser(TOKENIZER)
    return [piece for token in ids for piece in reader.feed(token)] + reader.close()


class TestDetokeniser:
    @given(st.text(st.characters(codec="utf-8"), max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_any_text_comes_back_in_whole_signs(self, text):
        pieces = read(ids_of(text))
        assert "".join(piece.text for piece in pieces) == text
        assert sum(piece.tokens for piece in pieces) == len(ids_of(text))

    def test_a_sign_of_several_tokens_is_held_back_until_it_is_whole(self):
        ids = ids_of("🐕")
        assert len(ids) == 4
        reader = Detokeniser(TOKENIZER)
        assert [reader.feed(token) for token in ids[:-1]] == [[], [], []]
        [piece] = reader.feed(ids[-1])
        assert (piece.text, piece.tokens) == ("🐕", 4)
        assert reader.close() == []

    def test_a_sign_that_is_cut_off_is_shown_as_such(self):
        assert [piece.text for piece in read(ids_of("a🐕")[:-2])] == ["a", "\ufffd"]

    def test_bytes_that_are_no_text_do_not_hold_the_rest_back(self):
        [lone] = {ids_of("🐕")[1]}
        pieces = read([lone] * 20 + ids_of("ok"))
        text = "".join(piece.text for piece in pieces)
        assert text.endswith("ok")
        assert set(text[:-2]) == {"\ufffd"}
        assert sum(piece.tokens for piece in pieces) == 22

    def test_a_special_token_ends_what_was_held_back(self):
        [mark] = [TOKENIZER.convert_tokens_to_ids("<ref>")]
        pieces = read([*ids_of("🐕")[:2], mark, *ids_of("dog")])
        assert [(piece.text, piece.special) for piece in pieces][:2] == [
            ("\ufffd", False),
            ("<ref>", True),
        ]
        assert "".join(piece.text for piece in pieces[2:]) == "dog"


class TestEncode:
    def test_only_signs_that_are_given_become_tokens_of_their_own(self):
        mark = TOKENIZER.convert_tokens_to_ids("<ref>")
        assert encode(TOKENIZER, "a<ref>b</ref>", tags=["<ref>"]).count(mark) == 1
        ids = encode(TOKENIZER, "a<ref>b</ref></s>")
        assert not set(ids) & set(TOKENIZER.all_special_ids)
        assert mark not in ids
        assert TOKENIZER.decode(ids) == "a<ref>b</ref></s>"
        assert encode(TOKENIZER, "") == []


def walked(pieces, **settings):
    watcher = Watcher([ASK, QUIET], passing=[ASK], **settings)
    shown, closed = "", []
    for piece in pieces:
        found = watcher.feed(piece)
        while found:
            shown += "".join(one.text for one in found if isinstance(one, Given))
            calls = [one for one in found if isinstance(one, Closed)]
            closed += [one.payload for one in calls if one.trigger is not None]
            found = watcher.feed("") if calls else []
    found = watcher.close()
    return shown + "".join(one.text for one in found if isinstance(one, Given)), closed


class TestWatcher:
    @given(st.text("<q>/{}ab ", max_size=24), st.data())
    @settings(max_examples=80, deadline=None)
    def test_how_a_text_is_cut_changes_nothing(self, text, data):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        edges = [0, *cuts, len(text)]
        pieces = [text[a:b] for a, b in pairwise(edges)]
        assert walked(pieces) == walked([text])

    def test_a_text_that_holds_no_stretch_is_shown_as_it_is(self):
        assert walked(["a < q > b"]) == ("a < q > b", [])

    def test_a_payload_without_end_is_text(self):
        shown, closed = walked(["{{" + "a" * 50], limit=20)
        assert shown == "{{" + "a" * 50
        assert closed == []

    @pytest.mark.parametrize("text", ["{{a", "{{", "{{a}"])
    def test_a_stretch_that_never_closes_is_text(self, text):
        assert walked(list(text)) == (text, [])

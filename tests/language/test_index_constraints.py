"""Whatever a model would rather say, a pick holds live indices and nothing else."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Scanner
from groundplane.language.constraints import Constraint
from groundplane.language.index_constraints import IndexConstraint, index_constraint

NAMES = ("groma", "rexseek", "spatialrgpt", "gpt-4o")
SIGNS = {
    "groma": ("<roi>", "</roi>"),
    "rexseek": ("<objects>", "</objects>"),
    "spatialrgpt": ("[", "]"),
    "gpt-4o": ("[", "]"),
}


def letters(text):
    return [ord(letter) for letter in text]


def spelled(tokens):
    return "".join(map(chr, tokens))


def said(held, begin, *, logits, most=4000):
    """Greedy text behind a beginning, each next token the likeliest that is allowed."""
    tokens = letters(begin)
    for _ in range(most):
        allowed = held.allowed(tokens)
        if allowed is None:
            return spelled(tokens)
        assert allowed
        tokens.append(max(allowed, key=lambda token: logits(len(tokens), token)))
    raise AssertionError("the pick never ended")


def regions(count):
    return Regions(
        ids=tuple(f"r{i}" for i in range(count)),
        boxes=torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(count, 4) + torch.arange(count)[:, None],
        scores=torch.ones(count),
        phrases=(),
        phrase_ids=torch.full((count,), -1),
        image_size=(640, 480),
    )


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    live=st.sets(st.integers(0, 120), min_size=1, max_size=12),
    seed=st.integers(0, 100_000),
)
def test_a_pick_is_a_list_of_live_indices_whatever_the_logits(name, live, seed):
    held = index_constraint(dialect(name), sorted(live), encode=letters)
    opening, closing = SIGNS[name]
    chance = random.Random(seed)
    scores = {}

    def logits(place, token):
        return scores.setdefault((place, token), chance.random())

    text = said(held, f"Here {opening}", logits=logits)
    assert text.endswith(closing)
    inside = text[len(f"Here {opening}") : -len(closing)]
    spoken = dialect(name)
    reading = spoken.read(inside)
    assert reading is not None
    assert not reading.problems
    assert len(reading.indices) >= 1
    assert set(reading.indices) <= live
    assert len(set(reading.indices)) == len(reading.indices)
    # The scanner, which reads what models write, finds the very regions.
    scanner = Scanner(spoken, Frame.original((640, 480)), regions(121))
    found = [one for one in scanner.feed(text) + scanner.close() if not isinstance(one, str)]
    mentions = [one for one in found if hasattr(one, "located")]
    ids = [name for mention in mentions for name in mention.located.region_ids]
    assert ids == [f"r{i}" for i in reading.indices]


def test_what_is_not_held_back_may_name_a_region_that_is_not_there():
    """The property above can fail."""
    reading = dialect("groma").read("<r240>")
    assert not set(reading.indices) <= {0, 1, 2}


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="abc <r12>/oi", max_size=60))
def test_outside_of_a_pick_nothing_is_held_back(text):
    held = index_constraint(dialect("groma"), [1, 2], encode=letters)
    plain = text.replace("<roi>", "")
    if "<roi>" not in plain:
        assert held.allowed(letters(plain)) is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_step_by_step_says_what_all_at_once_says(data):
    """The memory of what was said must not show, also where text is cut or put in."""
    pieces = st.sampled_from(["<roi>", "<r1>", "<r2>", "</roi>", "a", "<", "<r"])
    kept = index_constraint(dialect("groma"), [1, 2], encode=letters)
    tokens = []
    for piece in data.draw(st.lists(pieces, max_size=12)):
        tokens = (
            tokens[: data.draw(st.integers(0, len(tokens)))] if data.draw(st.booleans()) else tokens
        )
        tokens = tokens + letters(piece)
        fresh = index_constraint(dialect("groma"), [1, 2], encode=letters)
        assert kept.allowed(tokens) == fresh.allowed(tokens)


class TestSigns:
    def test_it_is_a_constraint(self):
        assert isinstance(IndexConstraint([(1,)], open=(2,), close=(3,)), Constraint)

    def test_single_tokens_are_named_and_the_closing_sign_only_behind_one(self):
        tags = {"<roi>": 1, "</roi>": 2, "<r0>": 10, "<r4>": 14}
        held = index_constraint(dialect("groma"), [0, 4], encode=lambda text: [tags[text]])
        assert held.allowed([99, 1]) == (10, 14)
        assert held.allowed([99, 1, 14]) == (2, 10)
        assert held.allowed([99, 1, 14, 10]) == (2,)
        assert held.allowed([99, 1, 14, 10, 2]) is None

    def test_several_picks_each_begin_anew(self):
        held = IndexConstraint([(10,), (11,)], open=(1,), close=(2,))
        assert held.allowed([1, 10, 2, 7, 1]) == (10, 11)

    def test_a_dialect_of_one_index_a_pick_closes_behind_it(self):
        held = index_constraint(dialect("spatialrgpt"), [0, 1], encode=letters)
        assert spelled(held.allowed(letters("Region [1"))) == "]"

    def test_an_index_may_begin_another(self):
        held = index_constraint(dialect("gpt-4o"), [0, 11], encode=letters)
        assert spelled(held.allowed(letters("[12"))) == ",]"
        assert spelled(held.allowed(letters("[12, "))) == "1"
        assert spelled(held.allowed(letters("[12, 1"))) == "]"

    def test_what_is_put_in_from_outside_ends_the_pick(self):
        held = IndexConstraint([(10,), (11,)], open=(1,), close=(2,))
        assert held.allowed([1, 10, 77]) is None

    def test_a_sign_is_known_however_it_is_cut_into_tokens(self):
        words = {1: "<ro", 2: "i>", 3: "<roi>", 10: "<r1>", 4: "</roi>"}
        back = {text: [token] for token, text in words.items()}
        spell = lambda tokens: "".join(words.get(token, "?") for token in tokens)  # noqa: E731
        by_ids = index_constraint(dialect("groma"), [1], encode=back.__getitem__)
        by_text = index_constraint(dialect("groma"), [1], encode=back.__getitem__, spell=spell)
        assert by_ids.allowed([1, 2]) is None
        assert by_text.allowed([1, 2]) == (10,)


class TestBadInput:
    def test_no_live_index_is_refused(self):
        with pytest.raises(InputError, match="no live index"):
            index_constraint(dialect("groma"), [], encode=letters)

    @pytest.mark.parametrize("name", ["qwen-vl", "lisa", "vila", "qwen3-vl"])
    def test_a_dialect_that_picks_nothing_is_refused(self, name):
        with pytest.raises(InputError, match="does not pick regions"):
            index_constraint(dialect(name), [0], encode=letters)

    def test_signs_without_tokens_are_refused(self):
        with pytest.raises(InputError, match="no tokens"):
            IndexConstraint([(1,)], open=(), close=(2,))


def test_a_hundred_regions_and_a_long_answer_are_quick_to_say():
    """A text of many tokens is read once, not anew at each of them."""
    held = index_constraint(dialect("groma"), range(100), encode=letters)
    tokens = np.random.default_rng(0).integers(97, 122, 3000).tolist()
    for end in range(len(tokens)):
        assert held.allowed(tokens[:end]) is None

"""Hidden states on their way through the router: to whom they go, and what becomes of the rest."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.regions import Regions
from groundplane.core.session import Ground, Prompt
from groundplane.core.workers import Call
from groundplane.grounding.experts import Expert
from groundplane.grounding.joining import join, narrow
from groundplane.grounding.router import Router
from groundplane.testing.detectors import make_image

GREY = make_image(np.full((40, 60, 3), 128, np.uint8))


class Finds:
    """Finds one box for all that it takes, and remembers what it was asked."""

    def __init__(self, *prompts, width=0, cost=1.0, words=None, outcome=Outcome.FOUND):
        self.capabilities = Capabilities(
            prompts=frozenset(prompts), cost=cost, embedding_width=width
        )
        self.vocabulary = words
        self.outcome = outcome
        self.asked = []

    def detect(self, requests):
        self.asked += requests
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        n = len(request.phrases) if self.outcome is Outcome.FOUND else 0
        regions = Regions(
            ids=tuple(f"r{i}" for i in range(n)),
            boxes=torch.tensor([[1.0, 1.0, 9.0, 9.0]]).expand(n, 4),
            scores=torch.full((n,), 0.9),
            phrases=request.phrases,
            phrase_ids=torch.arange(n),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=(self.outcome,) * len(request.phrases))


def router(**experts):
    return Router([Expert.of(expert, name=name) for name, expert in experts.items()])


def request(*phrases, embeddings=None):
    return DetectRequest(image=GREY, phrases=phrases, embeddings=embeddings)


def steps(result, name):
    return [step.detail for step in result.steps if step.name == name]


def call(*phrases, embedding=None, images=(GREY,)):
    event = Ground(sequence=0, request="g0", phrases=phrases, embedding=embedding)
    return Call(event=event, prompt=Prompt(text="?", images=images))


class TestWhoIsAsked:
    def test_a_state_goes_to_the_expert_that_takes_its_width(self):
        head, words = Finds("embedding", width=8, words=()), Finds("text", cost=0.1)
        state = torch.ones(8)
        [result] = router(head=head, words=words).detect([request("dog", embeddings=(state,))])
        assert result.outcomes == (Outcome.FOUND,)
        assert head.asked[0].embeddings[0] is state
        assert not words.asked
        assert steps(result, "by state") == ["'dog': 8 numbers"]

    def test_words_alone_do_not_go_to_an_expert_of_states(self):
        head, words = Finds("embedding", width=8, words=(), cost=0.1), Finds("text")
        [result] = router(head=head, words=words).detect([request("dog")])
        assert not head.asked
        assert len(words.asked) == 1
        assert not steps(result, "by state")

    def test_a_state_of_another_width_is_asked_by_words_and_that_is_told(self):
        head, words = Finds("embedding", width=16, words=()), Finds("text")
        asked = request("dog", embeddings=(torch.ones(8),))
        [result] = router(head=head, words=words).detect([asked])
        assert not head.asked
        assert words.asked[0].embeddings is None
        assert steps(result, "by words") == ["'dog': no expert takes a state of 8 numbers"]
        assert any(
            "takes embeddings of 16, not of 8" in told for told in steps(result, "passed over")
        )

    def test_an_expert_that_does_not_tell_its_width_is_passed_over(self):
        head, words = Finds("embedding", words=()), Finds("text")
        [result] = router(head=head, words=words).detect(
            [request("dog", embeddings=(torch.ones(8),))]
        )
        assert not head.asked
        assert any("does not tell" in told for told in steps(result, "passed over"))

    def test_without_any_expert_for_it_the_phrase_ends_as_cannot(self):
        head = Finds("embedding", width=16, words=())
        [result] = router(head=head).detect([request("dog", embeddings=(torch.ones(8),))])
        assert result.outcomes == (Outcome.CANNOT,)
        assert "takes embeddings of 16, not of 8" in result.note

    def test_a_state_without_words_is_never_asked_by_words(self):
        head, words = Finds("embedding", width=16, words=()), Finds("text")
        [result] = router(head=head, words=words).detect([request("", embeddings=(torch.ones(8),))])
        assert result.outcomes == (Outcome.CANNOT,)
        assert not words.asked

    def test_nothing_found_by_a_state_is_not_looked_for_again_by_words(self):
        head = Finds("embedding", width=8, words=(), outcome=Outcome.NONE)
        words = Finds("text")
        [result] = router(head=head, words=words).detect(
            [request("dog", embeddings=(torch.ones(8),))]
        )
        assert result.outcomes == (Outcome.NONE,)
        assert not words.asked

    def test_an_expert_of_states_that_cannot_after_all_hands_on_to_words(self):
        head = Finds("embedding", width=8, words=(), cost=9.0, outcome=Outcome.CANNOT)
        words = Finds("text")
        [result] = router(head=head, words=words).detect(
            [request("dog", embeddings=(torch.ones(8),))]
        )
        assert result.outcomes == (Outcome.FOUND,)
        assert len(head.asked) == len(words.asked) == 1

    def test_phrases_with_and_without_a_state_part_ways(self):
        head, words = Finds("embedding", width=8, words=()), Finds("text")
        asked = request("dog", "cat", "cow", embeddings=(torch.ones(8), None, torch.ones(4)))
        [result] = router(head=head, words=words).detect([asked])
        assert result.outcomes == (Outcome.FOUND,) * 3
        assert [one.phrases for one in head.asked] == [("dog",)]
        assert [one.phrases for one in words.asked] == [("cat", "cow")]


class TestGroundEvents:
    def test_the_state_of_an_event_reaches_the_expert(self):
        head = Finds("embedding", width=8, words=())
        state = torch.arange(8.0)
        [result] = router(head=head).resolve([call("dog", embedding=state)])
        assert result.outcomes == (Outcome.FOUND,)
        assert head.asked[0].embeddings[0] is state

    def test_two_events_of_one_phrase_keep_their_own_states(self):
        head = Finds("embedding", width=8, words=())
        one, two = torch.zeros(8), torch.ones(8)
        router(head=head).resolve([call("dog", embedding=one), call("dog", embedding=two)])
        [joined] = head.asked
        assert joined.phrases == ("dog", "dog")
        assert [state.sum().item() for state in joined.embeddings] == [0.0, 8.0]

    @pytest.mark.parametrize(
        ("phrases", "embedding"),
        [
            (("dog", "cat"), torch.ones(8)),
            (("dog",), [1.0, 2.0]),
            (("dog",), torch.ones(2, 4)),
            (("dog",), torch.full((8,), torch.nan)),
            (("dog",), torch.ones(0)),
        ],
    )
    def test_a_state_that_is_none_fails_alone(self, phrases, embedding):
        head = Finds("embedding", width=8, words=())
        good = call("dog", embedding=torch.ones(8))
        bad, fine = router(head=head).resolve([call(*phrases, embedding=embedding), good])
        assert isinstance(bad, InputError | ShapeError)
        assert fine.outcomes == (Outcome.FOUND,)


@pytest.mark.usefixtures("unchecked")
class TestRequests:
    @pytest.mark.parametrize("state", [torch.ones(2, 2), torch.ones(()), "dog", torch.ones(0)])
    def test_an_embedding_that_is_no_row_of_numbers_is_refused(self, state):
        with pytest.raises(ShapeError, match="expected a tensor of shape"):
            request("dog", embeddings=(state,))

    @pytest.mark.parametrize("state", [torch.tensor([torch.inf]), torch.tensor([1])])
    def test_an_embedding_that_is_not_finite_is_refused(self, state):
        with pytest.raises(InputError, match="finite"):
            request("dog", embeddings=(state,))

    def test_there_is_one_embedding_a_phrase(self):
        with pytest.raises(ShapeError, match="2 phrases but 1 embeddings"):
            request("dog", "cat", embeddings=(torch.ones(2),))

    def test_a_width_needs_the_prompt(self):
        with pytest.raises(InputError, match="width of embeddings"):
            Capabilities(prompts=frozenset({"text"}), embedding_width=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from([None, 0, 1, 2]), max_size=4), max_size=5))
def test_joined_requests_hold_each_state_where_places_say(rows):
    states = [torch.full((3,), float(i)) for i in range(3)]
    asked = [
        request(
            *["thing"] * len(row),
            embeddings=tuple(None if i is None else states[i] for i in row) or None,
        )
        for row in rows
    ]
    joined = join(asked)
    for row, (index, places) in zip(rows, joined.places, strict=True):
        held = joined.requests[index].embeddings or (None,) * len(joined.requests[index].phrases)
        assert [held[place] for place in places] == [None if i is None else states[i] for i in row]


def test_a_narrowed_request_keeps_the_states_of_its_phrases():
    state = torch.ones(3)
    asked = request("a", "b", "c", embeddings=(None, state, None))
    assert narrow(asked, [1]).embeddings == (state,)
    assert narrow(asked, [2, 0]).embeddings == (None, None)

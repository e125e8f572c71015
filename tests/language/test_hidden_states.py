"""Models that name a thing by a hidden state, from their token to the mention, end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.host import load
from groundplane.core.orchestrator import Orchestrator, Resolvers
from groundplane.core.regions import Regions
from groundplane.core.session import Done, Ground, Prompt
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router
from groundplane.grounding.setup import make_router
from groundplane.language.family import extended
from groundplane.testing.checkpoints_embedding_head import save_embedding_head
from groundplane.testing.detectors import make_image
from groundplane.testing.language_checkpoints.llava import save_llava

NOISE = np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8)
PROMPT = Prompt(text="Where is the dog?", images=(make_image(NOISE),))
GROUNDED = "There is <g_s> the dog<g_e> <seg>."
WIDTH = 32


class Forced:
    """What a tiny model of random weights must say."""

    def __init__(self, ids):
        self.ids = ids

    def allowed(self, said):
        return self.ids[len(said) : len(said) + 1]


class Words:
    """An expert that knows words and no states."""

    vocabulary = None

    def __init__(self):
        self.asked = []

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        self.asked.append((request.phrases, request.embeddings))
        n = len(request.phrases)
        regions = Regions(
            ids=tuple(f"w{i}" for i in range(n)),
            boxes=torch.tensor([[1.0, 2.0, 30.0, 40.0]]).expand(n, 4).clone(),
            scores=torch.full((n,), 0.9),
            phrases=request.phrases,
            phrase_ids=torch.arange(n),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * n)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    marks = ("<g_s>", "<g_e>", "<seg>", "[SEG]")
    return save_llava(tmp_path_factory.mktemp("grounding"), marks=marks)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    place = save_embedding_head(tmp_path_factory.mktemp("head"), embedding_width=WIDTH)
    options = {"weights": str(place), "threshold": 0.05}
    return make_router("embedding-head", options=options, device="cpu")


def saying(folder, text, **options):
    """A model that says a text, and the tokens of it."""
    told = {"dialect": "llava-grounding", "weights": str(folder)} | options
    model = load("language_models", "transformers", device="cpu", **told)
    ids = model.engine.tokenizer.encode(text, add_special_tokens=False)
    return model, model.with_triggers(constrain=lambda prompt: Forced(ids)), ids


def asked_by(spoken):
    session, events = spoken.open([PROMPT]), []
    while not any(isinstance(event, Done) for event in events):
        events += session.step([])
    return [event for event in events if isinstance(event, Ground)]


def states_of(model, ids):
    """The last hidden states over prompt and text, from one pass without a cache."""
    prepared = model.engine.prepare(PROMPT)
    inputs = extended(prepared.inputs, torch.tensor([ids]))
    with torch.no_grad():
        output = model.engine.decoder.model(**inputs, use_cache=False, output_hidden_states=True)
    return output.hidden_states[-1][0]


def ask(spoken, router):
    [text] = Orchestrator(spoken, resolvers=Resolvers(ground=router)).run([PROMPT])
    return text


class TestState:
    @pytest.mark.parametrize("offset", [0, -1])
    @pytest.mark.parametrize(
        ("dialect", "tag", "text"),
        [
            ("llava-grounding", "<seg>", GROUNDED),
            ("llava-grounding", "<seg>", "<g_s>dog<g_e><seg> and <g_s>sky<g_e><seg><seg>"),
            ("lisa", "[SEG]", "Sure, [SEG]."),
            ("lisa", "[SEG]", "[SEG]"),
        ],
    )
    def test_it_is_that_of_a_pass_without_a_cache(self, folder, offset, dialect, tag, text):
        model, spoken, ids = saying(folder, text, dialect=dialect, state_offset=offset)
        number = model.engine.tokenizer.convert_tokens_to_ids(tag)
        grounds, states = asked_by(spoken), states_of(model, ids)
        places = [at for at, token in enumerate(ids, len(states) - len(ids)) if token == number]
        assert len(grounds) == len(places)
        for ground, place in zip(grounds, places, strict=True):
            mine, other = states[place + offset], states[place - 1 - offset]
            torch.testing.assert_close(ground.embedding, mine, atol=1e-5, rtol=1e-5)
            assert not torch.allclose(ground.embedding, other, atol=1e-3)

    def test_a_phrase_comes_with_its_own_state(self, folder):
        _, spoken, _ = saying(folder, GROUNDED)
        [ground] = asked_by(spoken)
        assert ground.phrases == ("the dog",)
        assert ground.embedding.shape == (WIDTH,)


class TestEndToEnd:
    def test_the_expert_finds_by_state_what_the_mention_then_means(self, folder, head):
        model, spoken, ids = saying(folder, GROUNDED)
        text = ask(spoken, head)
        assert text.text == "There is the dog."
        [mention] = text.mentions
        assert text.text[slice(*mention.span)] == "the dog"
        behind = len(ids) - ids.index(model.engine.tokenizer.convert_tokens_to_ids("<seg>"))
        state = states_of(model, ids)[-behind]
        request = DetectRequest(image=PROMPT.images[0], phrases=("the dog",), embeddings=(state,))
        [direct] = head.detect([request])
        assert len(direct.regions)
        assert len(mention.ids) == len(direct.regions)
        [regions] = text.regions
        torch.testing.assert_close(regions.boxes, direct.regions.boxes, atol=1e-2, rtol=0)
        assert any("by state" in step.name or "by state" in step.detail for step in text.trace)

    def test_a_state_without_a_phrase_is_found(self, folder, head):
        _, spoken, _ = saying(folder, "Sure, [SEG].", dialect="lisa")
        text = ask(spoken, head)
        assert text.text == "Sure,."
        assert [bool(mention.ids) for mention in text.mentions] == [True]

    def test_an_expert_of_words_is_asked_by_words(self, folder):
        _, spoken, _ = saying(folder, GROUNDED)
        expert = Words()
        text = ask(spoken, Router([Expert.of(expert, name="words")]))
        assert expert.asked == [(("the dog",), None)]
        [mention] = text.mentions
        assert len(mention.ids) == 1
        assert any("by words" in step.name or "by words" in step.detail for step in text.trace)

    def test_a_state_without_words_is_not_asked_by_words(self, folder):
        _, spoken, _ = saying(folder, "Sure, [SEG].", dialect="lisa")
        expert = Words()
        text = ask(spoken, Router([Expert.of(expert, name="words")]))
        assert expert.asked == []
        assert [mention.ids for mention in text.mentions] in ([], [()])
        assert any(step.name == "route" and "to nobody" in step.detail for step in text.trace)

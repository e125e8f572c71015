"""Detection with a network that reads a prompt, over a network whose scores are known."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.pixels import PixelRule
from groundplane.grounding import prompted
from groundplane.grounding.packing import Encoded
from groundplane.grounding.prompted import (
    PromptedDetector,
    PromptedSettings,
    check_ranges,
    encoder_of,
)
from groundplane.testing.detectors import make_image

LIMIT = 12
COUNT = itertools.count()


def words(text):
    """A tokenizer for tests: a token a word and a dot, with a mark at each end."""
    spans, begin = [(0, 0)], 0
    for word in text.replace(".", " .").split():
        begin = text.index(word, begin)
        spans.append((begin, begin + len(word)))
        begin += len(word)
    spans.append((0, 0))
    ids = [sum(map(ord, text[a:b])) for a, b in spans]
    return Encoded(ids=tuple(ids), spans=tuple(spans))


class Network:
    """Query i scores token t by the brightness of the picture, the token's id, and i."""

    def __init__(self, queries=3):
        self.queries, self.encoded, self.read_at = queries, [], []
        self.key = next(COUNT)  # so that none is handed what the cache has of another

    def cells(self, canvas):
        return canvas[0] * canvas[1]

    def encode(self, values, mask):
        self.encoded.append(tuple(mask.shape))
        self.maps = [(values * mask[:, None]).sum((2, 3), keepdim=True).abs().clamp(max=3.0)]
        return self.maps

    def read(self, features, mask, ids):
        self.read_at.append((tuple(mask.shape), len(ids)))
        light = features[0].mean((1, 2, 3))
        token = torch.tensor(ids) % 7 / 7
        query = torch.arange(self.queries) / self.queries
        logits = light[:, None, None] + query[None, :, None] + token - 2
        boxes = torch.tensor([0.5, 0.5, 0.5, 0.5]).expand(len(mask), self.queries, 4).clone()
        boxes[..., 0] = 0.2 + 0.6 * query
        return logits, boxes


def detector(network, **changes):
    options = {"threshold": 0.0, "floor": 0.0, "overlap": 1.0, "apart": False, "batch": 2}
    settings = PromptedSettings(
        **({"name": "told", "key": ("test", network.key), "limit": LIMIT} | options | changes)
    )
    return PromptedDetector(
        network,
        tokenize=words,
        rule=PixelRule(size=16, longest=32),
        settings=settings,
        device=torch.device("cpu"),
    )


def request(*phrases, size=(24, 16), seed=0, **more):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return DetectRequest(image=make_image(pixels), phrases=phrases, **more)


def test_no_requests_and_no_phrases_run_nothing():
    network = Network()
    assert detector(network).detect([]) == []
    result = detector(network).detect([request()])[0]
    assert (len(result.regions), network.encoded, network.read_at) == (0, [], [])
    assert "no prompt" in result.steps[0].detail


def test_scores_are_those_of_the_best_token_of_the_phrase():
    network = Network(queries=2)
    kept = detector(network).detect([request("red cup", "dog")])[0].candidates
    mask = torch.ones(1, 16, 24, dtype=torch.bool)
    logits, _ = network.read(network.maps, mask, words("red cup. dog.").ids)
    expected = torch.stack([logits[0, :, 1:3].amax(1), logits[0, :, 4]]).sigmoid()
    for index in range(2):
        ours = kept.scores[kept.phrase_ids == index].sort().values
        torch.testing.assert_close(ours, expected[index].sort().values)


def test_phrases_beyond_the_limit_go_into_more_prompts_over_one_encoding():
    network = Network()
    phrases = tuple(f"thing {c}" for c in "abcdefgh")
    result = detector(network).detect([request(*phrases)])[0]
    assert network.encoded == [(1, 16, 24)]
    assert len(network.read_at) == 3
    assert all(length <= LIMIT for _, length in network.read_at)
    assert result.outcomes == (Outcome.FOUND,) * 8


def test_pictures_of_one_canvas_and_prompt_run_together_up_to_the_batch():
    network = Network()
    requests = [request("cup", seed=i) for i in range(3)] + [request("cup", size=(16, 24))]
    detector(network).detect(requests)
    assert sorted(shape for shape, _ in network.read_at) == [(1, 16, 24), (1, 24, 16), (2, 16, 24)]


@given(st.lists(st.sampled_from(["cup", "red cup", "dog", ""]), max_size=4), st.integers(0, 3))
def test_a_batch_gives_what_each_gives_alone(phrases, seed):
    requests = [request(*phrases, seed=seed), request("dog", size=(16, 40)), request("cup", "dog")]
    together = detector(Network()).detect(requests)
    for result, one in zip(together, requests, strict=True):
        alone = detector(Network()).detect([one])[0]
        assert result.outcomes == alone.outcomes
        assert torch.equal(result.candidates.scores, alone.candidates.scores)
        assert torch.equal(result.candidates.boxes, alone.candidates.boxes)


def test_a_canvas_with_fewer_cells_than_queries_is_padded():
    network = Network(queries=1000)
    result = detector(network).detect([request("cup")])[0]
    assert network.encoded == [(1, 64, 64)]
    assert "on 64 by 64 pixels" in result.steps[0].detail


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3, 0.4])), max_size=30),
    st.integers(1, 6),
)
def test_the_best_of_each_phrase_are_kept(rows, most):
    ids = torch.tensor([i for i, _ in rows], dtype=torch.long)
    scores = torch.tensor([s for _, s in rows], dtype=torch.float32)
    kept = prompted._best_of_each(ids, scores, most=most).tolist()
    plain = []
    for phrase in set(ids.tolist()):
        own = [n for n, (i, _) in enumerate(rows) if i == phrase]
        plain += sorted(own, key=lambda n: -rows[n][1])[:most]
    assert kept == sorted(plain)


def test_an_exemplar_cannot_be_looked_for():
    asked = request("cup", "dog", exemplars=((0.0, 0.0, 4.0, 4.0), None))
    result = detector(Network()).detect([asked])[0]
    assert result.outcomes == (Outcome.CANNOT, Outcome.FOUND)
    assert set(result.candidates.phrase_ids.tolist()) == {1}


def test_options_out_of_range_are_named():
    usual = {"threshold": 0.2, "floor": 0.1, "overlap": 1, "shortest": 0, "longest": 0}
    usual |= {"multiple": 1, "batch": 1, "most": 1}
    check_ranges(SimpleNamespace(**usual), who="x")
    for name, value in {"threshold": float("nan"), "batch": 0, "longest": 9000}.items():
        with pytest.raises(InputError, match=f"x: option {name}: expected .* got {value}"):
            check_ranges(SimpleNamespace(**usual | {name: value}), who="x")


def test_a_tokenizer_that_tells_no_characters_is_refused():
    with pytest.raises(WeightsError, match="does not say which characters"):
        encoder_of(SimpleNamespace(is_fast=False), who="x", source="folder")

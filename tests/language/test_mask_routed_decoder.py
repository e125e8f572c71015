"""A decoder layer with a second feed-forward network for tokens of pictures (Mono-InternVL)."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from groundplane.core.host import load
from groundplane.core.mask_routed import MaskRoutedExperts, Routes
from groundplane.core.session import Done, Prompt, Text
from groundplane.testing.detectors import make_image
from groundplane.testing.language_checkpoints import save_language_model

NOISE = np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8)
SEEING = Prompt(text="Where is the dog?", images=(make_image(NOISE),))
BLIND = Prompt(text="Where is the dog?")


class Layer(nn.Module):
    """The experts in place of a decoder layer's network; the ways are those of the pass."""

    def __init__(self, text):
        super().__init__()
        self.routed = MaskRoutedExperts.grown(text)
        self.routes, self.seen = None, []

    def forward(self, hidden):
        made = self.routed(hidden, self.routes)
        self.seen.append((hidden, made, self.routes))
        return made


def opened(folder):
    options = {"weights": str(folder), "route": "none", "max_tokens": 12}
    return load("language_models", "transformers", device="cpu", **options)


def with_experts(model):
    """Give a model's first layer an expert of its own for pictures; it has learned something."""
    whole = model.engine.decoder.model
    first = whole.model.language_model.layers[0]
    first.mlp = layer = Layer(first.mlp)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in layer.routed.experts[1].parameters():
            weight.add_(0.5 * torch.randn(weight.shape, generator=generator))

    def route(module, args, given):
        ids = given["input_ids"]
        mask = ids == whole.config.image_token_id
        layer.routes = Routes.of(mask) if bool(mask.any()) else None

    whole.register_forward_pre_hook(route, with_kwargs=True)
    return layer


def said(model, prompt):
    session, events = model.open([prompt]), []
    while not any(isinstance(event, Done) for event in events):
        events += session.step([])
    row = session._sequences[0].row
    return "".join(e.text for e in events if isinstance(e, Text)), row.logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_language_model("internvl", tmp_path_factory.mktemp("internvl"))


@pytest.fixture(scope="module")
def routed(folder):
    model = opened(folder)
    return model, with_experts(model)


def test_the_prompts_tokens_are_the_masked_sum_of_both_networks(routed):
    model, layer = routed
    layer.seen.clear()
    said(model, SEEING)
    hidden, made, routes = layer.seen[0]
    pictures = torch.zeros(hidden.shape[1], dtype=torch.bool)
    pictures[routes.order[routes.counts[0] :]] = True
    ids = model.engine.prepare(SEEING).inputs["input_ids"][0]
    assert pictures.tolist() == (ids == model.engine.banned[0]).tolist()
    text, visual = (copy.deepcopy(expert) for expert in layer.routed.experts)
    share = pictures[None, :, None].float()
    expected = text(hidden) * (1 - share) + visual(hidden) * share
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(made, text(hidden), atol=1e-3)


def test_tokens_that_it_writes_go_through_the_texts_network_alone(routed):
    model, layer = routed
    rows = []
    handle = layer.routed.experts[1].register_forward_hook(
        lambda module, given, made: rows.append(given[0].shape[0])
    )
    layer.seen.clear()
    said(model, SEEING)
    handle.remove()
    ids = model.engine.prepare(SEEING).inputs["input_ids"][0]
    assert rows == [int((ids == model.engine.banned[0]).sum())]
    assert len(layer.seen) > 3
    assert all(routes is None for _, _, routes in layer.seen[1:])


def test_text_without_pictures_is_as_before_bit_for_bit(folder, routed):
    before, after = said(opened(folder), BLIND), said(routed[0], BLIND)
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])


def test_a_picture_is_seen_otherwise_once_its_network_has_learned(folder, routed):
    before, after = said(opened(folder), SEEING), said(routed[0], SEEING)
    assert not torch.equal(before[1], after[1])


def test_experts_that_have_learned_nothing_change_nothing(folder):
    before, model = said(opened(folder), SEEING), opened(folder)
    layer = with_experts(model)
    layer.routed.experts[1].load_state_dict(layer.routed.experts[0].state_dict())
    after = said(model, SEEING)
    assert before[0] == after[0]
    torch.testing.assert_close(before[1], after[1], atol=1e-5, rtol=1e-5)

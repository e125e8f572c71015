"""Projectors: layers by their formula, the Q-Former and Janus's aligners by transformers."""

import sys

import pytest
import torch
import transformers
from fusing import QFORMER
from torch.nn import functional

from groundplane.core.errors import InputError, PluginBrokenError, ShapeError
from groundplane.core.fusion.operator import ProjectorRule
from groundplane.core.fusion.projectors import (
    DecoupledProjector,
    keeps_cells,
    make_projector,
    tokens_after,
)


def projector(kind, width_in=8, width_out=12, **options):
    torch.manual_seed(0)
    return make_projector(ProjectorRule(kind=kind, options=options), width_in, width_out).eval()


@pytest.mark.parametrize(("kind", "layers"), [("linear", 1), ("mlp1x_gelu", 1), ("mlp4x_gelu", 4)])
def test_layers_have_an_exact_gelu_between_them(kind, layers):
    made, rows = projector(kind).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    expected, weights = rows, dict(made.named_parameters())
    for index in range(layers):
        if index:
            expected = expected * 0.5 * (1 + torch.erf(expected / 2**0.5))
        expected = expected @ weights[f"{2 * index}.weight"].T + weights[f"{2 * index}.bias"]
    assert len(weights) == 2 * layers
    torch.testing.assert_close(made(rows), expected, rtol=0, atol=1e-12)


def test_the_parameters_have_the_names_of_llava():
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(projector("mlp2x_gelu").state_dict()) == names
    assert list(projector("mlp2x_gelu", bias=False).state_dict()) == names[::2]


def test_identity_gives_the_very_features():
    rows = torch.randn(1, 3, 8)
    assert projector("identity", 8, 8)(rows) is rows
    with pytest.raises(ShapeError, match="width, 12, got 8"):
        projector("identity")


def test_the_qformer_is_blip2s():
    made, rows = projector("qformer", **QFORMER.options), torch.randn(3, 5, 8)
    reference = transformers.Blip2QFormerModel(made.qformer.config).eval()
    reference.load_state_dict(made.qformer.state_dict())
    found = reference(
        query_embeds=made.query_tokens.repeat(3, 1, 1), encoder_hidden_states=rows
    ).last_hidden_state
    expected = functional.linear(found, made.proj.weight, made.proj.bias)
    torch.testing.assert_close(made(rows), expected)
    assert made(rows).shape == (3, 6, 12)
    # Its attention looks at the features: others give other tokens.
    assert not torch.allclose(made(rows), made(rows + 1))


def test_the_defaults_of_the_qformer_are_blip2s():
    config = transformers.Blip2QFormerConfig()
    options = make_projector(ProjectorRule(kind="qformer"), 1408, 4).qformer.config
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        assert getattr(options, name) == getattr(config, name)
    assert options.cross_attention_frequency == config.cross_attention_frequency
    assert (
        tokens_after(ProjectorRule(kind="qformer"), 576)
        == transformers.Blip2Config().num_query_tokens
    )


def janus():
    """A tiny Janus of random weights."""
    torch.manual_seed(1)
    return transformers.JanusModel(
        transformers.JanusConfig(
            text_config={
                "model_type": "llama",
                "hidden_size": 24,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "vocab_size": 40,
            },
            vision_config={
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 8,
                "patch_size": 4,
                "projection_dim": 24,
                "depth": 3,
            },
            vq_config={
                "embed_dim": 4,
                "num_embeddings": 10,
                "latent_channels": 4,
                "base_channels": 32,
                "channel_multiplier": [1],
                "num_res_blocks": 1,
                "projection_dim": 24,
                "num_hidden_layers": 2,
                "num_patches": 4,
            },
        )
    ).eval()


def aligner_state(aligner):
    """Its weights, by the names of `mlp{n}x_gelu`."""
    layers = [aligner.fc1, *aligner.hidden_layers]
    return {
        f"{2 * index}.{name}": value
        for index, layer in enumerate(layers)
        for name, value in layer.state_dict().items()
    }


def test_both_aligners_of_janus_are_one_decoupled_projector():
    model = janus()
    bank = DecoupledProjector(
        {
            "understanding": projector("mlp3x_gelu", 16, 24),
            "generation": projector("mlp2x_gelu", 4, 24),
        }
    )
    bank.projectors["understanding"].load_state_dict(aligner_state(model.aligner))
    bank.projectors["generation"].load_state_dict(aligner_state(model.generation_aligner))
    pixels, ids = torch.randn(2, 3, 8, 8), torch.tensor([[1, 7, 3]])
    seen = model.get_image_features(pixels)
    torch.testing.assert_close(
        bank(seen.last_hidden_state, "understanding"), seen.pooler_output, rtol=0, atol=1e-6
    )
    drawn = model.generation_embeddings(ids)
    torch.testing.assert_close(
        bank(drawn, "generation"), model.generation_aligner(drawn), rtol=0, atol=1e-6
    )


def test_an_unknown_task_is_refused():
    bank = DecoupledProjector({"understanding": projector("linear")})
    with pytest.raises(InputError, match=r"no task 'understand'; its tasks: understanding"):
        bank(torch.zeros(1, 2, 8), "understand")
    with pytest.raises(InputError, match="at least one task"):
        DecoupledProjector({})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("mlp", {}, "unknown projector 'mlp'; known: identity, linear, mlp2x_gelu, qformer"),
        ("mlp0x_gelu", {}, "unknown projector"),
        ("mlp100x_gelu", {}, "unknown projector"),
        ("mlp2x_gelu\n", {}, "unknown projector"),
        ("linear", {"biass": True}, "no option 'biass'"),
        ("identity", {"bias": True}, "no option 'bias'"),
        ("qformer", {"queries": 0}, "above 0"),
        ("qformer", {"heads": 7}, "that 7 heads divide, got 768"),
        ("qformer", {"dropout": 1.0}, "0 to below 1"),
        ("qformer", {"dropout": float("nan")}, "expected a number"),
    ],
)
def test_what_is_no_projector_is_refused(kind, options, message):
    with pytest.raises(InputError, match=message):
        projector(kind, **options)
    with pytest.raises(InputError, match="widths above 0"):
        make_projector(ProjectorRule(), 0, 4)


def test_a_qformer_without_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PluginBrokenError, match="projector 'qformer'"):
        projector("qformer")


def test_only_the_qformer_gives_up_the_cells():
    assert keeps_cells(ProjectorRule(kind="mlp3x_gelu"))
    assert not keeps_cells(QFORMER)
    assert tokens_after(QFORMER, 16) == 6

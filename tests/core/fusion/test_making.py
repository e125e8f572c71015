"""Operators from rules, rules from JSON, and what operators cost."""

import json

import pytest
import torch
from fusing import NAMES, QFORMER, features, operator, pair, query, tower
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from groundplane.core.errors import InputError
from groundplane.core.fusion.making import fusion_from_json, fusion_to_json, make_fusion
from groundplane.core.fusion.operator import FusionReport, FusionRule, ProjectorRule

TOWERS = [tower("clip"), tower("dinov2", side=8, width=16), tower("radio", side=12, width=16)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("projector", [ProjectorRule(), QFORMER])
def test_the_cost_is_what_a_run_costs(name, projector):
    if projector is QFORMER and name in ("gated", "saliency"):
        return
    made = operator(name, TOWERS, projector=projector)
    with FlopCounterMode(display=False) as counter:
        made(features(TOWERS, batch=1), query(batch=1))
    assert made.report().flops == counter.get_total_flops() > 0


def test_costs_are_those_of_the_formulas():
    n, d, e, k = 16, 16, 24, 2
    mlp = 2 * n * (d * e + e * e)
    reports = {name: operator(name).report() for name in NAMES}
    assert reports["additive"].flops == mlp
    assert reports["interleaved"].flops == k * mlp
    assert reports["channel_concat"].flops == 2 * n * (k * d * e + e * e)
    assert reports["gated"].flops == k * mlp + 2 * n * (k * d) * k
    assert reports["routed"].flops == k * mlp + 2 * (k * d + 5) * k
    assert reports["saliency"].flops == mlp * 5 // 4 + k * 2 * n * n * d
    h, layers = 32, 2
    layer = (
        2 * h * h  # queries and context mixed
        + h * h  # what is asked
        + k * 2 * d * h  # keys and values, one cell a window
        + 2 * k * h  # the attention: products with keys, and with values
        + h * h  # what was found
        + 2 * h * h  # the feed-forward part
    )
    rest = 2 * (k * d) * h + 2 * n * (h * e + e * e)
    assert reports["sva"].flops == 2 * n * layers * layer + rest


def test_clip_and_dinov2_of_the_published_size():
    # LLaVA-1.5-13B with MoF: two mlp2x_gelu adapters from 1024 to 5120, 24 by 24 cells.
    report = make_fusion(FusionRule(), pair(side=24, width=1024), 5120).report()
    parameters = 2 * (1024 * 5120 + 5120 + 5120 * 5120 + 5120)
    flops = 2 * 2 * 576 * (1024 * 5120 + 5120 * 5120)
    assert report == FusionReport(
        tokens=1152, width=5120, grid=(24, 24), flops=flops, parameters=parameters
    )


@pytest.mark.parametrize("side", [1, 2])
def test_the_cost_of_very_few_cells(side):
    made = operator("saliency", pair(side=side))
    with FlopCounterMode(display=False) as counter:
        made(features(made.towers, batch=1))
    assert made.report().flops == counter.get_total_flops() > 0


def test_what_is_frozen_is_not_counted_as_trained():
    made = operator("interleaved")
    made.adapters[0].requires_grad_(False)
    assert made.report().parameters == sum(p.numel() for p in made.adapters[1].parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_weights_and_leaves_the_callers_numbers(name):
    state = torch.get_rng_state()
    one, other, third = (operator(name, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert any(not torch.equal(one[key], third[key]) for key in one)


def test_without_a_seed_the_callers_numbers_are_used():
    torch.manual_seed(5)
    one = make_fusion(FusionRule(), pair(), 8)
    other = make_fusion(FusionRule(), pair(), 8)
    assert not torch.equal(one.adapters[0][0].weight, other.adapters[0][0].weight)


@pytest.mark.parametrize("name", NAMES)
def test_weights_go_through_a_state(name):
    one, other = operator(name, seed=1), operator(name, seed=2)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(features(), query()).tokens, other(features(), query()).tokens)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_weights_is_kept_so_that_an_empty_shell_can_be_filled(name):
    with torch.device("meta"):
        shell = operator(name, seed=None)
    made = operator(name)
    shell.to_empty(device="cpu").load_state_dict(made.state_dict())
    found, expected = shell(features(), query()), made(features(), query())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


_options = st.dictionaries(
    st.text(max_size=4),
    st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=3),
    max_size=3,
)


@given(
    st.sampled_from(NAMES), _options, st.sampled_from(["linear", "mlp3x_gelu", "qformer"]), _options
)
def test_a_rule_comes_back_from_json(name, options, kind, more):
    rule = FusionRule(name=name, options=options, projector=ProjectorRule(kind=kind, options=more))
    assert fusion_from_json(json.loads(json.dumps(fusion_to_json(rule)))) == rule


def test_tuples_come_back_as_options_that_are_taken():
    rule = FusionRule(name="additive", options={"shares": (0.25, 0.75)})
    again = fusion_from_json(json.loads(json.dumps(fusion_to_json(rule))))
    assert make_fusion(again, pair(), 8).shares == (0.25, 0.75)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "fusion: expected an object"),
        (None, "fusion: expected an object"),
        ({1: 2}, "fusion: expected an object"),
        ({"nam": "sva"}, r"no key 'nam'; its keys: .*name"),
        ({"name": "interleave"}, r"unknown 'interleave'; known: additive.*interleaved"),
        ({"name": 3}, "fusion: name: expected text, got 3"),
        ({"projector": "linear"}, "fusion: projector: expected an object"),
        ({"projector": {"type": "linear"}}, "no key 'type'"),
        ({"projector": {"kind": None}}, "expected text, got None"),
        ({"projector": {"options": 3}}, "projector options: expected an object"),
        ({"options": [1]}, "fusion: options: expected an object"),
    ],
)
def test_json_that_is_no_rule_is_refused(document, message):
    with pytest.raises(InputError, match=message):
        fusion_from_json(document)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (FusionRule(name="mean"), r"unknown fusion 'mean'; known: additive"),
        (FusionRule(name="additive", options={"share": 1}), "no option 'share'.*shares"),
        (FusionRule(name="additive", options={"shares": (0.5, 0.6)}), "a sum of 1"),
        (FusionRule(name="additive", options={"shares": (1.5, -0.5)}), "from 0 to 1"),
        (FusionRule(name="additive", options={"shares": (float("nan"), 1.0)}), "shares"),
        (FusionRule(name="additive", options={"shares": (float("inf"), 0.0)}), "from 0 to 1"),
        (FusionRule(name="additive", options={"shares": (1.0,)}), "expected 2, one a tower"),
        (FusionRule(name="additive", options={"shares": ()}), "a sum of 1"),
        (FusionRule(name="routed", options={"by": "text"}), "one of image, query, both"),
        (FusionRule(name="routed", options={"by": "query"}), "needs a number above 0"),
        (FusionRule(name="routed", options={"query_width": 3}), "looks at no query"),
        (FusionRule(name="interleaved", options={"order": 1}), "no option 'order'"),
        (FusionRule(name="gated", options={"budget": 1}), "no option 'budget'"),
    ],
)
def test_rules_that_cannot_be_made_are_refused(rule, message):
    with pytest.raises(InputError, match=message):
        make_fusion(rule, pair(), 8)


@pytest.mark.parametrize("name", NAMES)
def test_no_tower_is_refused(name):
    options = {"query_width": 5, "by": "both"} if name == "routed" else {}
    with pytest.raises(InputError, match=f"'{name}': expected at least one tower"):
        make_fusion(FusionRule(name=name, options=options), [], 8)

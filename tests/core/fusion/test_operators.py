"""Each operator against its formula, cell by cell, and what all of them have in common."""

import pytest
import torch
from fusing import NAMES, QFORMER, features, operator, pair, query, tower
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.layout import interleave
from groundplane.core.fusion.operator import MIXED, WHOLE, FusionOperator, ProjectorRule

THREE = [*pair(), tower("siglip")]
WIDE = [tower("clip", width=8), tower("dinov2", width=16)]


def mlp(adapter, row):
    """`mlp2x_gelu` of one cell, by its matrices; GELU by its definition."""
    first, _, second = adapter
    hidden = first.weight @ row + first.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return second.weight @ hidden + second.bias


def close(found, expected):
    """Compare to 1e-6 in float64; AssertionError where a number is further away."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def cells(batch=2, num=16):
    return [(picture, cell) for picture in range(batch) for cell in range(num)]


def doubled(name, towers, **options):
    made = operator(name, towers, **options).double()
    return made, features(towers, batch=2, dtype=torch.float64)


def test_additive_mixes_first_and_then_adapts():
    made, given = doubled("additive", THREE, shares=(0.5, 0.3, 0.2))
    found = made(given)
    for b, i in cells():
        mixed = 0.5 * given[0][b, i] + 0.3 * given[1][b, i] + 0.2 * given[2][b, i]
        close(found.tokens[b, i], mlp(made.adapter, mixed))
    assert found.cells.tolist() == [list(range(16))] * 2
    assert (found.towers == MIXED).all()


def test_shares_are_equal_where_none_are_given():
    made, given = doubled("additive", THREE)
    close(made(given).tokens, made.adapter((given[0] + given[1] + given[2]) / 3))


def test_a_tower_with_the_whole_share_is_alone():
    made, given = doubled("additive", pair(), shares=(1.0, 0.0))
    assert torch.equal(made(given).tokens, made.adapter(given[0]))


@pytest.mark.parametrize("towers", [pair(), THREE, WIDE])
def test_interleaved_puts_each_towers_token_of_a_cell_side_by_side(towers):
    made, given = doubled("interleaved", towers)
    found, k = made(given), len(towers)
    for b, i in cells():
        for j in range(k):
            close(found.tokens[b, k * i + j], mlp(made.adapters[j], given[j][b, i]))
            assert (found.cells[b, k * i + j], found.towers[b, k * i + j]) == (i, j)


@pytest.mark.parametrize(("size", "tokens"), [(336, 1152), (224, 512)])
def test_interleaved_gives_the_published_number_of_tokens_in_raster_order(size, tokens):
    towers = pair(side=size // 14, width=2)
    made = operator("interleaved", towers, width=2, projector=ProjectorRule(kind="identity"))
    columns = size // 14
    # Each feature says which row and column it is of, and CLIP's are above 0.
    place = torch.stack(
        torch.meshgrid(torch.arange(columns), torch.arange(columns), indexing="ij"), dim=-1
    )
    clip = place.reshape(1, -1, 2).float() + 1
    found = made([clip, -clip])
    assert found.tokens.shape == (1, tokens, 2) == (1, made.report().tokens, 2)
    assert found.tokens[0, :4].tolist() == [[1, 1], [-1, -1], [1, 2], [-1, -2]]
    assert found.tokens[0, 2 * columns].tolist() == [2, 1]
    assert found.tokens[0, -1].tolist() == [-columns, -columns]


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_every_kth_token_of_the_interleaved_is_one_towers(k, batch, num, width):
    tokens = [torch.randn(batch, num, width) for _ in range(k)]
    fused = interleave(tokens)
    for j in range(k):
        assert torch.equal(fused.tokens[:, j::k], tokens[j])
        assert (fused.towers[:, j::k] == j).all()
    assert fused.cells.tolist() == [[i // k for i in range(num * k)]] * batch


def test_channel_concat_adapts_the_numbers_of_all_towers():
    made, given = doubled("channel_concat", WIDE)
    found = made(given)
    for b, i in cells():
        row = torch.cat([given[0][b, i], given[1][b, i]])
        close(found.tokens[b, i], mlp(made.adapter, row))


def test_gated_weighs_the_adapted_tokens_in_each_cell():
    made, given = doubled("gated", [*WIDE, tower("siglip", width=4)])
    found, weights = made(given), made.weights(given)
    for b, i in cells():
        logits = made.gate.weight @ torch.cat([one[b, i] for one in given]) + made.gate.bias
        powers = [logit.exp() for logit in logits]
        shares = [power / sum(powers) for power in powers]
        close(weights[b, i], torch.stack(shares))
        parts = [share * mlp(made.adapters[j], given[j][b, i]) for j, share in enumerate(shares)]
        close(found.tokens[b, i], sum(parts))
    close(weights.sum(dim=2), torch.ones(2, 16, dtype=torch.float64))


@pytest.mark.parametrize("by", ["image", "query", "both"])
def test_routed_weighs_the_towers_of_each_picture(by):
    made, given = doubled("routed", WIDE, by=by, query_width=None if by == "image" else 5)
    asked = None if by == "image" else query(batch=2).double()
    found = made(given, asked)
    for b in range(2):
        seen = [] if by == "query" else [sum(one[b]) / 16 for one in given]
        seen = torch.cat(seen + ([] if asked is None else [asked[b]]))
        powers = (made.router.weight @ seen + made.router.bias).exp()
        shares = powers / powers.sum()
        close(made.weights(given, asked)[b], shares)
        for i in range(16):
            parts = [shares[j] * mlp(made.adapters[j], given[j][b, i]) for j in range(2)]
            close(found.tokens[b, i], parts[0] + parts[1])


def test_hard_routing_picks_exactly_one_tower_and_says_which():
    made = operator("routed", THREE, by="image", query_width=None, hard=True)
    given = features(THREE, batch=32)
    weights, found = made.weights(given), made(given)
    assert ((weights == 0) | (weights == 1)).all()
    assert (weights.sum(dim=1) == 1).all()
    assert len(weights.argmax(dim=1).unique()) > 1
    for b, chosen in enumerate(weights.argmax(dim=1).tolist()):
        torch.testing.assert_close(found.tokens[b], made.adapters[chosen](given[chosen][b]))
        assert (found.towers[b] == chosen).all()


def test_hard_routing_has_the_gradient_of_the_soft_weights():
    given, gradients = features(THREE), []
    for hard in (False, True):
        made = operator("routed", THREE, by="image", query_width=None, hard=hard)
        made.weights(given)[:, 1].sum().backward()
        gradients.append(made.router.weight.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1])


def test_routing_by_a_query_without_one_is_refused():
    made = operator("routed", by="query", query_width=5)
    with pytest.raises(InputError, match=r"by=query.*expected a query of 5 numbers"):
        made(features())
    with pytest.raises(ShapeError, match=r"query of shape \(3, 5\), got \(3, 4\)"):
        made(features(), query(width=4))


def test_a_query_does_not_change_those_that_do_not_route():
    for name in NAMES:
        if name != "routed":
            made = operator(name)
            assert torch.equal(made(features()).tokens, made(features(), query()).tokens), name


@pytest.mark.parametrize("name", NAMES)
class TestAll:
    def test_it_satisfies_the_interface(self, name):
        made = operator(name)
        found, report = made(features(), query()), made.report()
        assert isinstance(made, FusionOperator)
        assert [t.name for t in made.towers] == ["clip", "dinov2"]
        assert found.tokens.shape == (3, report.tokens, report.width) == (3, report.tokens, 24)
        assert found.cells.shape == found.towers.shape == (3, report.tokens)
        assert made.grid == report.grid == (4, 4)
        assert (found.cells.min(), found.cells.max()) == (0, 15)

    def test_pictures_do_not_mix(self, name):
        made, given, asked = operator(name), features(), query()
        order = torch.tensor([2, 0, 1])
        found = made(given, asked)
        turned = made([one[order] for one in given], asked[order])
        torch.testing.assert_close(turned.tokens, found.tokens[order])
        assert torch.equal(turned.cells, found.cells[order])

    def test_no_pictures_give_no_tokens(self, name):
        made = operator(name, [tower("clip"), tower("dinov2", side=8)])
        found = made(features(made.towers, batch=0), query(batch=0))
        assert found.tokens.shape == (0, made.report().tokens, 24)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_the_type_is_kept(self, name, dtype):
        made = operator(name, [tower("clip"), tower("dinov2", side=8)])
        plain = made(features(made.towers), query()).tokens
        found = made.to(dtype)(features(made.towers, dtype=dtype), query()).tokens
        assert found.dtype == dtype
        if dtype == torch.float64:
            torch.testing.assert_close(found.float(), plain, rtol=1e-4, atol=1e-5)

    def test_one_tower_is_enough(self, name):
        made = operator(name, [tower("clip")])
        found = made(features([tower("clip")]), query())
        assert found.tokens.shape == (3, 16, 24)
        assert (found.towers == 0).all()

    def test_more_than_two_towers_on_other_grids(self, name):
        towers = [tower("clip"), tower("dinov2", side=8), tower("radio", side=12)]
        made = operator(name, towers)
        found = made(features(towers), query())
        assert found.tokens.shape[1] == made.report().tokens
        assert found.tokens.isfinite().all()

    def test_gradients_reach_all_its_numbers_and_no_frozen_tower(self, name):
        made, given = operator(name), features()
        made(given, query()).tokens.square().sum().backward()
        for path, parameter in made.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.abs().max() > 0, path
        assert all(one.grad is None for one in given)

    def test_its_features_are_left_as_they_are(self, name):
        given, same = features(), features()
        operator(name)(given, query())
        assert all(torch.equal(one, other) for one, other in zip(given, same, strict=True))

    def test_another_number_of_towers_is_refused(self, name):
        with pytest.raises(ShapeError, match=r"2 towers \(clip, dinov2\), got 1"):
            operator(name)(features()[:1], query())

    @pytest.mark.parametrize("shape", [(3, 15, 16), (3, 16, 17), (3, 16, 16, 1)])
    @pytest.mark.usefixtures("unchecked")
    def test_another_grid_or_width_is_refused_by_the_towers_name(self, name, shape):
        given = [features()[0], torch.zeros(shape)]
        with pytest.raises(
            ShapeError, match=r"'dinov2': expected features of shape \(pictures, 16"
        ):
            operator(name)(given, query())

    @pytest.mark.usefixtures("unchecked")
    def test_another_number_of_pictures_is_refused(self, name):
        with pytest.raises(ShapeError, match="'dinov2': expected features of 3 pictures"):
            operator(name)([features()[0], features()[1][:2]], query())

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64])
    def test_unequal_types_are_refused(self, name, dtype):
        given = [features()[0], features()[1].to(dtype)]
        with pytest.raises(InputError, match=r"'dinov2': expected torch.float32, got torch\."):
            operator(name)(given, query())

    def test_features_of_another_type_than_the_numbers_are_refused(self, name):
        with pytest.raises(InputError, match=r"its own type, torch\.float32, got torch\.bfloat16"):
            operator(name)(features(dtype=torch.bfloat16), query())

    def test_features_on_another_device_are_refused(self, name):
        given = [one.to("meta") for one in features()]
        with pytest.raises(InputError, match="its own device, cpu, got meta"):
            operator(name)(given, query())
        with pytest.raises(InputError, match="'dinov2': expected features on cpu, as those of"):
            operator(name)([features()[0], given[1]], query())

    def test_autocast_takes_features_of_another_type(self, name):
        with torch.autocast("cpu", torch.bfloat16):
            found = operator(name)(features(dtype=torch.bfloat16), query())
        assert found.tokens.isfinite().all()

    def test_a_qformer_is_taken_or_refused_by_name(self, name):
        if name in ("gated", "saliency"):
            with pytest.raises(InputError, match=f"'{name}'.*a token a cell, got 'qformer'"):
                operator(name, projector=QFORMER)
            return
        made = operator(name, projector=QFORMER)
        found = made(features(), query())
        count = 12 if name == "interleaved" else 6
        assert found.tokens.shape == (3, count, 24)
        assert made.report().tokens == count
        assert (found.cells == WHOLE).all()
        if name == "interleaved":
            assert found.towers[0].tolist() == [0, 1] * 6


def test_nan_features_stay_in_their_picture():
    given = features()
    given[1][1, 3] = torch.nan
    for name in NAMES:
        found = operator(name)(given, query()).tokens.isfinite().all(dim=2).all(dim=1)
        assert found.tolist() == [True, False, True], name


def test_unequal_widths_cannot_be_added():
    with pytest.raises(ShapeError, match=r"clip 8, dinov2 16.*Try: interleaved"):
        operator("additive", WIDE)

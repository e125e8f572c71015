"""Each token goes through the expert that its mask names, and through no other."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.mask_routed import MaskRoutedExperts, Routes

WIDTH = 8


class Gated(nn.Module):
    """A feed-forward network as language models have it."""

    def __init__(self):
        super().__init__()
        self.gate, self.up = (nn.Linear(WIDTH, 16, bias=False) for _ in range(2))
        self.down = nn.Linear(16, WIDTH, bias=False)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


def made(experts=2, seed=0):
    torch.manual_seed(seed)
    return MaskRoutedExperts([Gated() for _ in range(experts)])


def formula(layer, hidden, kinds):
    """All experts over all tokens, each masked."""
    return sum(
        expert(hidden) * (kinds.long() == number)[..., None].to(hidden.dtype)
        for number, expert in enumerate(layer.experts)
    )


def gradients(layer, hidden, run):
    layer, hidden = copy.deepcopy(layer), hidden.clone().requires_grad_()
    run(layer, hidden).square().sum().backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in layer.parameters()]
    return [hidden.grad, *grads]


@settings(max_examples=60, deadline=None)
@given(
    experts=st.integers(1, 4),
    batch=st.integers(1, 3),
    length=st.integers(0, 9),
    seed=st.integers(0, 10_000),
)
def test_it_equals_the_masked_sum_and_so_do_its_gradients(experts, batch, length, seed):
    layer = made(experts, seed)
    hidden = torch.randn(batch, length, WIDTH)
    kinds = torch.randint(0, experts, (batch, length))
    routes = Routes.of(kinds, experts=experts)
    torch.testing.assert_close(layer(hidden, routes), formula(layer, hidden, kinds))
    ours = gradients(layer, hidden, lambda one, h: one(h, routes))
    plain = gradients(layer, hidden, lambda one, h: formula(one, h, kinds))
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_other_routes_give_another_result():
    """The comparison above can fail."""
    layer, hidden = made(), torch.randn(1, 4, WIDTH)
    kinds = torch.tensor([[0, 1, 0, 1]])
    wrong = layer(hidden, Routes.of(1 - kinds))
    assert not torch.allclose(wrong, formula(layer, hidden, kinds), atol=1e-3)


class TestTextAlone:
    @pytest.mark.parametrize("shape", [(1, 1), (2, 7), (3, 64)])
    def test_it_is_the_plain_network_bit_by_bit(self, shape):
        layer, hidden = made(), torch.randn(*shape, WIDTH)
        plain = layer.experts[0](hidden)
        assert torch.equal(layer(hidden), plain)
        assert torch.equal(layer(hidden, Routes.of(torch.zeros(shape, dtype=torch.bool))), plain)

    def test_pictures_alone_are_the_other_network_bit_by_bit(self):
        layer, hidden = made(), torch.randn(2, 5, WIDTH)
        routes = Routes.of(torch.ones(2, 5, dtype=torch.bool))
        assert torch.equal(layer(hidden, routes), layer.experts[1](hidden))

    def test_a_text_token_does_not_feel_the_other_expert(self):
        """Exactly: infinities of the other expert must not leak in, as 0 times infinity would."""
        layer, hidden = made(), torch.randn(1, 6, WIDTH)
        routes = Routes.of(torch.tensor([[0, 1, 0, 0, 1, 0]]))
        before = layer(hidden, routes)
        with torch.no_grad():
            layer.experts[1].down.weight.fill_(torch.inf)
        after = layer(hidden, routes)
        assert torch.equal(after[0, [0, 2, 3, 5]], before[0, [0, 2, 3, 5]])
        assert not after[0, [1, 4]].isfinite().any()


class TestGrown:
    def test_it_changes_nothing_at_first(self):
        text = Gated()
        layer = MaskRoutedExperts.grown(text, experts=2)
        hidden = torch.randn(2, 6, WIDTH)
        routes = Routes.of(torch.randint(0, 3, (2, 6)), experts=3)
        torch.testing.assert_close(layer(hidden, routes), text(hidden))
        assert layer.experts[0] is text

    def test_only_the_added_experts_learn(self):
        layer = MaskRoutedExperts.grown(Gated())
        before = copy.deepcopy(layer.state_dict())
        optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=0.1)
        layer(torch.randn(1, 4, WIDTH), Routes.of(torch.tensor([[0, 1, 1, 0]]))).sum().backward()
        optimizer.step()
        changed = [not torch.equal(before[name], now) for name, now in layer.state_dict().items()]
        assert changed == [False] * 3 + [True] * 3

    def test_weights_are_saved_and_read_again(self):
        layer, other = made(seed=1), made(seed=2)
        other.load_state_dict(layer.state_dict())
        hidden, routes = torch.randn(1, 3, WIDTH), Routes.of(torch.tensor([[1, 0, 1]]))
        assert torch.equal(layer(hidden, routes), other(hidden, routes))


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a number of the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "masked_select")
        return func(*args, **(kwargs or {}))


class TestHost:
    def test_a_pass_waits_for_no_device(self):
        # On the meta device there are no numbers: what looked at one would fail as well.
        routes = Routes.of(torch.tensor([[0, 1, 1, 0, 1]])).to("meta")
        layer, hidden = made().to("meta"), torch.zeros(1, 5, WIDTH, device="meta")
        with Waits() as waits:
            assert layer(hidden, routes).shape == hidden.shape
        assert waits.count == 0

    def test_the_count_sees_a_wait(self):
        kinds = torch.tensor([True, False])
        with Waits() as waits:
            torch.nonzero(kinds).sum().item()
        assert waits.count == 2

    @pytest.mark.usefixtures("unchecked")
    def test_it_compiles_as_one_graph_whatever_the_mask(self):
        layer = made()
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
        for kinds in ([[0, 1, 1, 0, 1]], [[0, 0, 0, 1]], [[1, 1], [0, 1], [0, 0]], [[0, 0]]):
            mask = torch.tensor(kinds)
            hidden, routes = torch.randn(*mask.shape, WIDTH), Routes.of(mask)
            torch.testing.assert_close(compiled(hidden, routes), layer(hidden, routes))
            torch.testing.assert_close(compiled(hidden, routes), formula(layer, hidden, mask))


@pytest.mark.usefixtures("unchecked")
class TestBadInput:
    @pytest.mark.parametrize("kinds", [torch.tensor([0, 2]), torch.tensor([-1, 0])])
    def test_an_expert_that_is_not_there_is_refused(self, kinds):
        with pytest.raises(InputError, match="1 tokens of an expert"):
            Routes.of(kinds)

    def test_a_mask_of_fractions_is_refused(self):
        with pytest.raises(ShapeError, match="booleans or whole numbers"):
            Routes.of(torch.tensor([0.5]))

    def test_routes_of_other_tokens_are_refused(self):
        with pytest.raises(ShapeError, match="5 tokens and 2 experts"):
            made()(torch.zeros(1, 5, WIDTH), Routes.of(torch.tensor([0, 1])))

    def test_routes_of_other_experts_are_refused(self):
        with pytest.raises(ShapeError, match="3 experts"):
            made()(torch.zeros(1, 2, WIDTH), Routes.of(torch.tensor([0, 1]), experts=3))

    def test_no_experts_are_refused(self):
        with pytest.raises(InputError, match="at least one"):
            MaskRoutedExperts([])
        with pytest.raises(InputError, match="1 or more"):
            MaskRoutedExperts.grown(Gated(), experts=0)

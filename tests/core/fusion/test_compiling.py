"""Operators as one graph, on the device of their features."""

import os

import pytest
import torch
from fusing import NAMES, QFORMER, features, operator, query, tower
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# aot_eager traces as eager does, and more; both are tried in the long form, and breaks counted.
LONG = "GROUNDPLANE_CASES" in os.environ
BACKENDS = ["eager", "aot_eager"] if LONG else ["aot_eager"]
TOWERS = [tower("clip"), tower("dinov2", side=8)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_compiles_as_one_graph_for_any_batch(name, backend):
    made = operator(name, TOWERS)
    torch._dynamo.reset()
    compiled = torch.compile(made, fullgraph=True, backend=backend, dynamic=True)
    for batch in (2, 5):
        given, asked = features(TOWERS, batch=batch), query(batch=batch)
        for found, expected in zip(compiled(given, asked), made(given, asked), strict=True):
            torch.testing.assert_close(found, expected)
    if LONG:
        explained = torch._dynamo.explain(made)(given, asked)
        assert (explained.graph_count, explained.graph_break_count) == (1, 0)


@pytest.mark.usefixtures("unchecked")
def test_the_compiled_graph_has_the_gradients():
    made, given = operator("interleaved", TOWERS), features(TOWERS)
    torch._dynamo.reset()
    made(given).tokens.square().sum().backward()
    expected = [parameter.grad.clone() for parameter in made.parameters()]
    made.zero_grad()
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    compiled(given).tokens.square().sum().backward()
    found = [parameter.grad for parameter in made.parameters()]
    torch.testing.assert_close(found, expected)


class Waits(TorchDispatchMode):
    """Notes what makes a device wait for the host, and where results lie."""

    def __init__(self):
        super().__init__()
        self.waits = 0
        self.devices = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.waits += func.__name__.startswith(("_local_scalar_dense", "nonzero"))
        found = func(*args, **(kwargs or {}))
        self.devices |= {x.device.type for x in tree_leaves(found) if torch.is_tensor(x)}
        return found


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaves_the_device(name):
    # On the meta device there are no numbers: what looked at one would fail.
    made = operator(name, TOWERS).to("meta")
    given, asked = [one.to("meta") for one in features(TOWERS)], query().to("meta")
    with Waits() as mode:
        made(given, asked)
    assert (mode.waits, mode.devices) == (0, {"meta"})


def test_the_qformer_waits_for_nothing_either():
    made = operator("interleaved", TOWERS, projector=QFORMER).to("meta")
    given = [one.to("meta") for one in features(TOWERS)]
    with Waits() as mode:
        made(given)
    assert (mode.waits, mode.devices) == (0, {"meta"})


def test_what_leaves_the_device_is_seen():
    with Waits() as mode:
        float(torch.ones(1))
    assert (mode.waits, mode.devices) == (1, {"cpu"})

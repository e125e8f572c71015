from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.core.feature_packing import pack_fields, pack_nested, pack_tensor

NAMES = st.text(min_size=1, max_size=3).filter(lambda name: "/" not in name)
VALUES = st.recursive(
    st.integers(0, 3).map(torch.arange),
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(a, b):
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))


@given(VALUES)
def test_nested_tensors_come_back_as_they_were(value):
    packing = pack_nested()
    packed = packing.pack(value)
    # A file gives its tensors in an order of its own.
    assert same(packing.unpack(dict(sorted(packed.items(), reverse=True))), value)


def test_the_comparison_of_this_file_finds_differences():
    assert not same((torch.ones(1),), [torch.ones(1)])
    assert not same({"a": torch.ones(1)}, {"b": torch.ones(1)})


@pytest.mark.parametrize(
    "value", [1, "a", None, {1: torch.ones(1)}, {"a/b": torch.ones(1)}, [{""}]]
)
def test_what_is_no_tensor_is_refused_with_its_place(value):
    with pytest.raises(InputError, match="expected tensors in tuples, lists"):
        pack_nested().pack(value)


def test_one_tensor_is_itself():
    assert torch.equal(pack_tensor().unpack(pack_tensor().pack(torch.ones(2))), torch.ones(2))


def test_a_dataclass_keeps_its_fields_and_leaves_out_none():
    @dataclass(frozen=True)
    class Seen:
        a: Tensor
        b: Tensor | None = None

    packing = pack_fields(Seen, torch.device("cpu"))
    assert packing.unpack(packing.pack(Seen(torch.ones(2)))).b is None
    assert packing.unpack(packing.pack(Seen(torch.ones(2), torch.ones(3)))).b.shape == (3,)

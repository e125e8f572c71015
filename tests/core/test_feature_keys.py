import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core import feature_keys
from groundplane.core.errors import InputError
from groundplane.core.feature_cache import image_key
from groundplane.core.feature_keys import stored_key
from groundplane.core.pixels import PixelRule
from groundplane.testing.detectors import make_image

# Finite alone: NaN is unlike itself, and so no key in memory either.
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.binary(max_size=4)
)
KEYS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


def typed(value):
    """A key with the type of every part, as `1 == True == 1.0` and `0.0 == -0.0`."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    return type(value), repr(value)


@given(KEYS, KEYS)
def test_keys_are_alike_exactly_where_their_values_and_types_are(a, b):
    assert (stored_key(a) == stored_key(b)) == (typed(a) == typed(b))


def test_a_key_is_the_same_in_another_process():
    key = ("clip", (("/w", (3, 4)),), 0.5, None, "猫", b"\x00")
    code = f"from groundplane.core.feature_keys import stored_key; print(stored_key({key!r}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == stored_key(key)


def test_what_an_expert_keys_by_can_be_stored():
    image = make_image(np.zeros((4, 5, 3), np.uint8))
    key = (Path("w"), torch.float16, torch.device("cpu"), PixelRule(size=8), image_key(image))
    assert stored_key(key) == stored_key(key)
    assert stored_key((PixelRule(size=8),)) != stored_key((PixelRule(size=9),))


def test_dataclasses_of_two_kinds_are_two_keys():
    @dataclass(frozen=True)
    class A:
        x: int

    @dataclass(frozen=True)
    class B:
        x: int

    assert stored_key(A(1)) != stored_key(B(1))
    assert stored_key(A(1)) != stored_key((("x", 1),))


@pytest.mark.parametrize("part", [object(), frozenset({1}), lambda: None, np.float32(1), int])
def test_what_differs_from_process_to_process_is_refused(part):
    with pytest.raises(InputError, match="has no form that is the same"):
        stored_key(("a", part))


def test_a_key_that_nests_without_end_is_refused():
    key = ()
    for _ in range(50):
        key = (key,)
    with pytest.raises(InputError, match="deeper than 32"):
        stored_key(key)


def test_an_update_of_a_library_is_another_key(monkeypatch):
    before = stored_key("a")
    monkeypatch.setattr(feature_keys, "_versions", lambda: ("9", "9", "9", "9"))
    assert stored_key("a") != before

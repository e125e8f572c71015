"""What is run together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import DetectorError, InputError
from groundplane.grounding.batching import buckets, in_halves


@given(keys=st.lists(st.integers(0, 5)), limit=st.integers(1, 4))
def test_every_item_is_in_one_batch_of_its_key(keys, limit):
    made = buckets(keys, limit=limit)
    assert sorted(i for batch in made for i in batch) == list(range(len(keys)))
    for batch in made:
        assert 1 <= len(batch) <= limit
        assert batch == sorted(batch)
        assert len({keys[i] for i in batch}) == 1
    # As few as can be.
    assert len(made) == sum(-(-keys.count(key) // limit) for key in set(keys))


def test_a_limit_below_one_is_refused():
    with pytest.raises(InputError, match="1 or more"):
        buckets([1], limit=0)


@pytest.mark.parametrize("room", [1, 2, 5, 100])
def test_a_batch_that_does_not_fit_is_run_in_parts(room):
    ran = []

    def run(part):
        if len(part) > room:
            raise torch.OutOfMemoryError("not enough memory: you tried to allocate")
        ran.append(len(part))
        return [n * n for n in part]

    assert in_halves(run, list(range(13)), who="test") == [n * n for n in range(13)]
    assert max(ran) <= room


def test_an_item_too_large_alone_fails_by_name():
    def run(part):
        raise torch.OutOfMemoryError("tried to allocate 99 GiB\nmore")

    with pytest.raises(DetectorError, match=r"^detector 'x': .* one picture alone.*99 GiB$"):
        in_halves(run, [1, 2, 3], who="detector 'x'")


def test_other_errors_pass_through():
    def run(part):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_halves(run, [1, 2], who="test")

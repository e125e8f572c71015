"""The cache of a text: cut, put together, taken apart; windows refuse."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, MistralConfig

from groundplane.core.errors import InputError
from groundplane.language.cache import can_cut, can_share, cut, entries, shared, taken


def filled(length, *, start=0.0, layers=2):
    cache = DynamicCache()
    for layer in range(layers):
        values = start + 100 * layer + torch.arange(length, dtype=torch.float32)
        plane = values[None, None, :, None].expand(1, 2, length, 3).contiguous()
        cache.update(plane, -plane, layer)
    return cache


def sliding():
    config = MistralConfig(
        num_hidden_layers=1, sliding_window=4, num_attention_heads=2, num_key_value_heads=2,
        hidden_size=6,
    )  # fmt: skip
    cache = DynamicCache(config=config)
    cache.update(torch.zeros(1, 2, 6, 3), torch.zeros(1, 2, 6, 3), 0)
    return cache


def same(one, other):
    for layer, twin in zip(one.layers, other.layers, strict=True):
        assert torch.equal(layer.keys, twin.keys)
        assert torch.equal(layer.values, twin.values)


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_cutting_leaves_what_stood_before(count):
    cache = filled(7)
    cut(cache, count)
    assert entries(cache) == 7 - count
    for layer, whole in zip(cache.layers, filled(7).layers, strict=True):
        assert torch.equal(layer.keys, whole.keys[:, :, : 7 - count])
        assert torch.equal(layer.values, whole.values[:, :, : 7 - count])


@pytest.mark.parametrize("count", [-1, 8])
def test_more_than_there_is_cannot_be_cut(count):
    with pytest.raises(InputError, match="to its 7 entries"):
        cut(filled(7), count)


def test_a_window_of_the_text_cannot_go_back_or_be_shared():
    cache = sliding()
    assert not can_cut(cache)
    assert not can_share(cache)
    with pytest.raises(InputError, match=r"DynamicSlidingWindowLayer.*inject='append'"):
        cut(cache, 1)


def test_what_is_shared_stands_at_the_end_of_its_row_and_is_taken_back_as_it_was():
    alone = [filled(3), filled(7, start=50.0), filled(5, start=20.0)]
    together = shared(alone, [3, 7, 5])
    assert entries(together) == 7
    assert not together.layers[0].keys[0, :, :4].any()
    for row, (one, length) in enumerate(zip(alone, [3, 7, 5], strict=True)):
        same(taken(together, row, length), one)


def test_a_shared_cache_does_not_change_what_it_came_from():
    one = filled(3)
    together = shared([one, filled(5)], [3, 5])
    more = torch.ones(2, 2, 1, 3)
    together.update(more, more, 0)
    same(one, filled(3))


def test_a_row_that_read_more_takes_it_along():
    together = shared([filled(3), filled(5)], [3, 5])
    more = torch.full((2, 2, 1, 3), 9.0)
    for layer in range(2):
        together.update(more, more, layer)
    alone = taken(together, 0, 4)
    assert entries(alone) == 4
    assert torch.equal(alone.layers[1].keys[:, :, :3], filled(3).layers[1].keys)
    assert (alone.layers[1].keys[:, :, 3] == 9.0).all()

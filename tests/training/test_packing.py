import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language import make_llama

from groundplane.core.errors import InputError
from groundplane.training.packing import block_mask, pack, restarting_positions


def rows_of_the_plain_way(lengths, room):
    """Best fit, longest first, by looking at every row."""
    rows, left = [], []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fits = [r for r in range(len(rows)) if left[r] >= lengths[index]]
        if fits:
            row = min(fits, key=lambda r: left[r])
        else:
            row = len(rows)
            rows.append([])
            left.append(room)
        rows[row].append(index)
        left[row] -= lengths[index]
    return rows


@given(lengths=st.lists(st.integers(1, 20), max_size=60))
def test_every_sample_is_in_one_row_and_no_row_is_too_full(lengths):
    rows = pack(lengths, room=20)
    assert sorted(itertools.chain(*rows)) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 20 for row in rows)


@given(lengths=st.lists(st.integers(1, 20), max_size=60))
def test_as_many_rows_as_the_plain_way(lengths):
    assert len(pack(lengths, room=20)) == len(rows_of_the_plain_way(lengths, 20))


def test_a_sample_longer_than_a_row_is_refused():
    with pytest.raises(InputError, match="expected at most 4 tokens a sample, got 5"):
        pack([5], room=4)


def mask_of_the_plain_way(lengths, room):
    mask = torch.full((room, room), torch.finfo(torch.float32).min)
    mask.fill_diagonal_(0)
    start = 0
    for length in lengths:
        for i, j in itertools.product(range(start, start + length), repeat=2):
            if j <= i:
                mask[i, j] = 0
        start += length
    return mask


@given(lengths=st.lists(st.integers(1, 5), max_size=4), padding=st.integers(0, 4))
@settings(max_examples=40)
def test_the_mask_is_that_of_the_plain_way(lengths, padding):
    room = sum(lengths) + padding
    assert torch.equal(block_mask(lengths, room=room), mask_of_the_plain_way(lengths, room))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_packed_row_gives_what_its_samples_give_alone(attention):
    model = make_llama()
    model.set_attn_implementation(attention)
    lengths, room = [5, 3, 7], 17
    ids = torch.randint(0, 500, (room,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        packed = model(
            input_ids=ids[None],
            attention_mask=block_mask(lengths, room=room)[None, None],
            position_ids=restarting_positions(lengths, room=room)[None],
        ).logits[0]
        parts = ids[:15].split(lengths)
        alone = torch.cat([model(input_ids=part[None]).logits[0] for part in parts])
    # Sums over rows of other lengths round differently.
    torch.testing.assert_close(packed[:15], alone, atol=1e-5, rtol=1e-5)
    assert bool(packed.isfinite().all())


def test_samples_that_see_each_other_are_told_apart():
    """The check above is one that fails: a causal mask over the whole row gives other numbers."""
    model = make_llama()
    ids = torch.randint(0, 500, (8,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(input_ids=ids[None]).logits[0, 5:]
        alone = model(input_ids=ids[None, 5:]).logits[0]
    assert float((whole - alone).abs().max()) > 1e-3

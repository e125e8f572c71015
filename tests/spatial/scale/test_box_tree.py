"""The tree holds every object once, under hulls that hold it, however they lie."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.spatial.scale.box_tree import NONE, build_tree, farthest_squared, gap_squared

DOUBLE = torch.float64
SEEDS = st.integers(0, 2**31)


def hulls(n, seed, *, places=None, dtype=DOUBLE):
    """Random hulls; with `places`, on few places of which many are the same."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.randn(3, n, generator=generator, dtype=dtype) * 10
    if places is not None:
        low = (low * places / 30).round()
    return low, low + torch.rand(3, n, generator=generator, dtype=dtype)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.one_of(st.none(), st.integers(0, 4)), SEEDS)
def test_every_object_stands_in_one_leaf_under_hulls_that_hold_it(n, places, seed):
    low, high = hulls(n, seed, places=places)
    index = torch.arange(n) * 3
    tree = build_tree(low, high, index)
    assert sorted(tree.index[tree.index < NONE].tolist()) == index.tolist()
    assert (tree.index[-1] == NONE).all()
    for depth, level in enumerate(tree.levels):
        assert len(level.counts) == 2**depth
        parts = tree.index[:-1].view(2**depth, -1)
        for part, members in enumerate(parts):
            known = members[members < NONE]
            assert int(level.counts[part]) == len(known)
            if len(known):
                rows = known // 3
                assert torch.equal(level.low[:, part], low[:, rows].amin(dim=1))
                assert torch.equal(level.high[:, part], high[:, rows].amax(dim=1))
                assert int(level.first[part]) == int(known.min())
                assert int(level.last[part]) == int(known.max())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), SEEDS)
def test_leaves_hold_about_as_many_each(n, seed):
    tree = build_tree(*hulls(n, seed), torch.arange(n))
    leaves = tree.index.shape[0] - 1
    assert tree.index.shape[1] == -(-n // leaves)
    assert leaves == 1 or tree.index.shape[1] > 8


def test_objects_at_one_place_stand_by_their_index():
    zero = torch.zeros(3, 200, dtype=DOUBLE)
    index = build_tree(zero, zero, torch.arange(200)).index.flatten()
    assert index[index < NONE].tolist() == list(range(200))


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from([torch.float32, DOUBLE]))
def test_hulls_bound_the_gaps_of_what_they_hold_to_the_last_bit(seed, dtype):
    low, high = hulls(20, seed, dtype=dtype)
    other, most = hulls(20, seed + 1, dtype=dtype)
    gaps = gap_squared(low[..., None], high[..., None], other[:, None], most[:, None])
    whole = (low.amin(dim=1), high.amax(dim=1), other.amin(dim=1), most.amax(dim=1))
    assert gap_squared(*whole) <= gaps.min()
    assert farthest_squared(*whole) >= gaps.max()


def test_what_holds_nothing_is_infinitely_far():
    low, high = torch.full((3,), torch.inf), torch.full((3,), -torch.inf)
    here = torch.zeros(3)
    assert gap_squared(here, here, low, high).isinf()
    assert gap_squared(low, high, low, high).isinf()
    assert farthest_squared(here, here, low, high).isinf()

"""Deformable attention, against the way over `grid_sample`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import grid_sample

from groundplane.core.errors import ShapeError
from groundplane.grounding import deformable
from groundplane.grounding.deformable import deformable_attention


def plainly(value, shapes, locations, weights):
    """Each level sampled by torch, then weighted and summed."""
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    total = torch.zeros(batch * heads, channels, queries)
    parts = value.split([height * width for height, width in shapes], dim=1)
    for level, part in enumerate(parts):
        maps = part.permute(0, 2, 3, 1).reshape(batch * heads, channels, *shapes[level])
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2)
        grid = grid.reshape(batch * heads, queries, points, 2)
        seen = grid_sample(maps, grid, align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        total = total + (seen * share).sum(-1)
    return total.view(batch, heads * channels, queries).transpose(1, 2)


def made(shapes, *, batch=2, heads=2, channels=4, queries=9, points=3, seed=0, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    rows = sum(height * width for height, width in shapes)
    value = torch.randn(batch, rows, heads, channels, generator=generator)
    places = torch.rand(batch, queries, heads, len(shapes), points, 2, generator=generator)
    shares = torch.randn(batch, queries, heads, len(shapes) * points, generator=generator)
    weights = shares.softmax(3).view(batch, queries, heads, len(shapes), points)
    return value, shapes, (places - 0.5) * spread + 0.5, weights


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    heads=st.integers(1, 3),
    points=st.integers(1, 4),
    spread=st.sampled_from([0.5, 1.0, 2.0, 50.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_it_equals_grid_sample(shapes, heads, points, spread, seed):
    given = made(shapes, heads=heads, points=points, spread=spread, seed=seed)
    # Weights sum to 1 a head, and values are of the order of 1: float32 rounds at 1e-6.
    torch.testing.assert_close(deformable_attention(*given), plainly(*given), atol=1e-5, rtol=0)


def test_a_shift_of_half_a_cell_would_be_noticed():
    value, shapes, locations, weights = made([(6, 8), (3, 4)])
    other = plainly(value, shapes, locations + 0.5 / 8, weights)
    ours = deformable_attention(value, shapes, locations, weights)
    assert not torch.allclose(ours, other, atol=1e-2)


def test_places_on_the_edges_and_corners_are_exact():
    shapes = [(2, 3), (1, 1)]
    edges = torch.tensor([0.0, 1 / 6, 1 / 3, 0.5, 5 / 6, 1.0, -0.5, 1.5, -1e-7, 1 + 1e-7])
    places = torch.cartesian_prod(edges, edges).view(1, -1, 1, 1, 1, 2).expand(-1, -1, -1, 2, 1, 2)
    value = torch.randn(1, 7, 1, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.ones(1, places.shape[1], 1, 2, 1)
    ours = deformable_attention(value, shapes, places, weights)
    torch.testing.assert_close(ours, plainly(value, shapes, places, weights), atol=1e-5, rtol=0)


def test_parts_give_what_the_whole_gives(monkeypatch):
    given = made([(6, 8), (3, 4)], queries=50)
    whole = deformable_attention(*given)
    monkeypatch.setattr(deformable, "_SAMPLES", 7)
    assert torch.equal(deformable_attention(*given), whole)


def test_a_batch_equals_its_images_alone():
    value, shapes, locations, weights = made([(6, 8), (3, 4)], batch=3)
    whole = deformable_attention(value, shapes, locations, weights)
    for i in range(3):
        one = slice(i, i + 1)
        alone = deformable_attention(value[one], shapes, locations[one], weights[one])
        assert torch.equal(alone, whole[one])


def test_a_place_that_is_no_number_spoils_its_image_only():
    value, shapes, locations, weights = made([(6, 8), (3, 4)])
    whole = deformable_attention(value, shapes, locations, weights)
    locations[1, 4, 0, 0, 0, 0] = torch.nan
    spoilt = deformable_attention(value, shapes, locations, weights)
    assert spoilt[1].isnan().all()
    assert torch.equal(spoilt[0], whole[0])


def test_places_at_infinity_and_far_away_give_zero():
    value, shapes, locations, weights = made([(6, 8)])
    for place in (torch.inf, -torch.inf, 1e30, -1e30):
        far = deformable_attention(value, shapes, torch.full_like(locations, place), weights)
        assert not far.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near_and_kept(dtype):
    value, shapes, locations, weights = made([(6, 8), (3, 4)])
    half = deformable_attention(value.to(dtype), shapes, locations, weights)
    assert half.dtype == dtype
    expected = plainly(value, shapes, locations, weights)
    torch.testing.assert_close(half.float(), expected, atol=3e-2, rtol=0)


def test_no_queries_and_no_images_give_nothing():
    value, shapes, locations, weights = made([(6, 8)])
    assert deformable_attention(value, shapes, locations[:, :0], weights[:, :0]).shape == (2, 0, 8)
    none = deformable_attention(value[:0], shapes, locations[:0], weights[:0])
    assert none.shape == (0, 9, 8)


@pytest.mark.parametrize("shapes", [[(6, 7)], [(6, 8), (1, 1)], []])
def test_shapes_that_do_not_fit_are_refused(shapes):
    value, _, locations, weights = made([(6, 8)])
    with pytest.raises(ShapeError, match="expected 1 shapes that add up to 48 rows"):
        deformable_attention(value, shapes, locations, weights)

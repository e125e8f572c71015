"""Signs of differences, where how alike things are is learned from all of them."""

import pytest
import torch

from groundplane.spatial.chances.shrinkage import LEAST_PAIRS, positive_chance


def observed(true, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return true + 0.1 * torch.randn(len(true), generator=generator, dtype=torch.float64)


def variance(count):
    return torch.full((count,), 0.01, dtype=torch.float64)


def test_few_differences_are_taken_each_by_itself():
    lead = torch.full((LEAST_PAIRS - 1,), 0.1, dtype=torch.float64)

    found = positive_chance(lead, variance(len(lead)))

    assert found.tolist() == pytest.approx([0.8413] * len(lead), abs=1e-4)


def test_what_is_all_noise_tells_no_sign():
    lead = observed(torch.zeros(400, dtype=torch.float64))

    assert float((positive_chance(lead, variance(400)) - 0.5).abs().mean()) < 0.15


def test_what_differs_by_far_keeps_its_sign():
    true = torch.linspace(-5, 5, 400, dtype=torch.float64)
    lead = observed(true)

    flat = torch.special.ndtr(lead / 0.1)
    assert float((positive_chance(lead, variance(400)) - flat).abs().max()) < 0.06


def test_the_other_way_round_is_the_complement():
    lead = observed(torch.linspace(-1, 1, 60, dtype=torch.float64))

    both = positive_chance(lead, variance(60)) + positive_chance(-lead, variance(60))

    assert torch.allclose(both, torch.ones(60, dtype=torch.float64))


def test_no_differences_give_no_chances():
    assert positive_chance(torch.zeros(0), torch.zeros(0)).shape == (0,)

"""A tower: how its pixels are normalised, and what it is made of on the way elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from groundplane.core.towers.encoding_all import encode_towers
from groundplane.core.towers.rules import CLIP_MEAN, CLIP_STD
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape


class Keeps(nn.Module):
    """Gives its normalised pixels as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen = torch.zeros(0)

    def forward(self, pixels: Tensor) -> TowerOutput:
        self.seen = pixels
        return TowerOutput(pixels.flatten(2).transpose(1, 2) * self.weight, None)


@pytest.fixture
def tower() -> Tower:
    config = TowerConfig(
        family="keeps", library="timm", architecture="none", size=4, mean=CLIP_MEAN, std=CLIP_STD
    )
    return Tower(Keeps(), config, shape=TowerShape(name="keeps", grid=(4, 4), width=3), patch=1)


def normal(shares: Tensor) -> Tensor:
    """In float64."""
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (CLIP_MEAN, CLIP_STD)
    )
    return (shares.double() - mean) / std


class TestNormalisation:
    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
    def test_colours_are_rounded_once_after_it(self, tower: Tower, kind: torch.dtype) -> None:
        shares = torch.linspace(0, 1, 48).view(1, 3, 4, 4)
        tower.to(kind)(shares)
        seen = tower.get_submodule("network").seen
        assert seen.dtype == kind
        half = {torch.float32: 2e-7, torch.bfloat16: 2**-8, torch.float16: 2**-11}[kind]
        off = (seen.double() - normal(shares)).abs()
        assert bool((off <= half * normal(shares).abs() + 1e-6).all())

    @pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
    def test_mean_and_deviation_survive_the_way_there_and_back(
        self, tower: Tower, kind: torch.dtype
    ) -> None:
        there = copy.deepcopy(tower).to(kind)
        assert there.dtype == kind
        for moved in (there, there.float(), there.lean(), there.half().cpu()):
            assert torch.equal(moved.mean, torch.tensor(CLIP_MEAN).view(1, 3, 1, 1))
            assert torch.equal(moved.std, torch.tensor(CLIP_STD).view(1, 3, 1, 1))

    def test_made_where_another_number_type_is_usual(self, tower: Tower) -> None:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            made = Tower(tower.network, tower.config, shape=tower.shape, patch=1)
        finally:
            torch.set_default_dtype(before)
        assert torch.equal(made.mean, tower.mean)

    def test_several_towers_get_exact_colours(self, tower: Tower) -> None:
        canvas = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4) * 5
        (output,) = encode_towers([tower.to(torch.bfloat16)], canvas)
        assert torch.equal(output.tokens, tower(canvas.float() / 255).tokens)


def test_a_network_without_weights_runs_in_float32(tower: Tower) -> None:
    bare = Tower(nn.Identity(), tower.config, shape=tower.shape, patch=1)
    assert bare.dtype == torch.float32


def test_a_lean_tower_is_of_the_same_modules_and_number_type(tower: Tower) -> None:
    lean = tower.to(torch.bfloat16).lean()
    assert lean.dtype == torch.bfloat16
    assert next(lean.parameters()) is next(tower.parameters())


def test_it_cannot_be_put_into_training(tower: Tower) -> None:
    tower.train()
    assert not any(part.training for part in tower.modules())

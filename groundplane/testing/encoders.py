"""Encoders for tests: a tower that needs no library."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape

__all__ = ["make_tower"]


class _Patches(nn.Module):
    """A random projection of patches; the summary is the mean of the cells."""

    def __init__(self, patch: tuple[int, int], width: int, *, summary: bool = True) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, patch, stride=patch)
        self.summary = summary

    def lean(self) -> _Patches:
        twin = _Patches(self.project.kernel_size, self.project.out_channels, summary=False)  # type: ignore[arg-type]
        twin.project = self.project
        return twin

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        tokens = self.project(pixels).flatten(2).transpose(1, 2)
        return TowerOutput(tokens, tokens.mean(dim=1) if self.summary else None)


def make_tower(
    name: str = "tiny",
    *,
    grid: tuple[int, int] = (4, 4),
    width: int = 16,
    size: int = 32,
    seed: int = 0,
) -> Tower:
    """A tower of random numbers for each patch, which needs no library.

    Args:
        name: For messages and reports.
        grid: Rows and columns of cells.
        width: Numbers a cell.
        size: Side of the input, pixels; a multiple of the rows and of the columns.
        seed: Of the weights.

    Examples:
        >>> tower = make_tower(grid=(2, 2), width=3)
        >>> tower(torch.zeros(5, 3, 32, 32)).tokens.shape
        torch.Size([5, 4, 3])
        >>> tower(torch.zeros(0, 3, 32, 32)).tokens.shape
        torch.Size([0, 4, 3])
    """
    rows, columns = grid
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Patches((size // rows, size // columns), width)
    config = TowerConfig(
        family=name,
        library="timm",
        architecture="none",
        size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    shape = TowerShape(name=name, grid=grid, width=width)
    return Tower(network, config, shape=shape, patch=size // rows)

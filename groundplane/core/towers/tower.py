"""One tower: pixels in, a grid of features out, whatever library its network comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, ShapeError

__all__ = ["Network", "Tower", "TowerConfig", "TowerOutput", "TowerShape"]


class TowerOutput(NamedTuple):
    """What a tower gives for a batch.

    Attributes:
        tokens: Cells in raster order; no class token, no registers.
        summary: One vector a picture for cosines, or None; see `FeatureGrid`.
    """

    tokens: Float[Tensor, "b n d"]
    summary: Float[Tensor, "b e"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerShape:
    """The grid that a tower gives: what a fusion operator needs to know of it.

    Attributes:
        name: For messages and reports, such as `clip`.
        grid: Rows and columns of cells.
        width: Numbers a cell.
    """

    name: str
    grid: tuple[int, int]
    width: int

    def __post_init__(self) -> None:
        if min(*self.grid, self.width) < 1:
            raise InputError(
                f"tower {self.name!r}: expected a grid and a width above 0, got a grid of "
                f"{self.grid} and a width of {self.width}"
            )

    @property
    def num_cells(self) -> int:
        """Rows times columns."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerConfig:
    """All that it takes to make a tower anew, without its weights. It is written to JSON.

    Attributes:
        family: Name of the encoder plugin, such as `dinov2`.
        library: `transformers` or `timm`.
        architecture: `model_type` of transformers, or a name of timm.
        settings: The library's own configuration of the network.
        layer: Whose output is read, counted in blocks: -1 is the last block, -2 the one before;
            0 what enters the first, 1 the first block. As `hidden_states` of transformers.
        final_norm: Whether the network's last norm is put on it.
        size: Side of the input, pixels; position embeddings are interpolated to it.
        mean: Taken from each channel, in shares of full brightness, red, green, blue.
        std: Each channel is then divided by this.

    Raises:
        InputError: If the library is unknown, the size not above 0, or a divisor not above 0.
    """

    family: str
    library: str
    architecture: str
    settings: Mapping[str, object] = field(default_factory=dict)
    layer: int = -1
    final_norm: bool = True
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.library not in ("transformers", "timm"):
            raise InputError(
                f"tower {self.family!r}: library: expected transformers or timm, got "
                f"{self.library!r}"
            )
        if not 1 <= self.size <= 65_536:
            raise InputError(
                f"tower {self.family!r}: size: expected 1 to 65536 pixels, got {self.size}"
            )
        if not all(value > 0 for value in self.std):  # NaN is not either
            raise InputError(
                f"tower {self.family!r}: std: expected numbers above 0, got {self.std}"
            )


@runtime_checkable
class Network(Protocol):
    """What a library's network is wrapped into: normalised pixels in, features out."""

    def __call__(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        """Features of a batch; the layer and the norm are already chosen."""
        ...


class Tower(nn.Module):
    """A frozen network of an encoder; normalises its pixels itself.

    It does so in float32 whatever the network runs in: the mean and deviation rounded to bfloat16
    would shift every colour.

    Args:
        network: A module that satisfies `Network`.
        config: What it is.
        shape: The grid and width that it gives.
        patch: Side of a cell, pixels of the input.
    """

    def __init__(
        self, network: nn.Module, config: TowerConfig, *, shape: TowerShape, patch: int
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.shape = shape
        self.patch = patch
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", _colour(config.mean), persistent=False)
        self.register_buffer("std", _colour(config.std), persistent=False)
        self.eval().requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """The number type that the network runs in."""
        kinds = (weight.dtype for weight in self.network.parameters())
        return next((kind for kind in kinds if kind.is_floating_point), torch.float32)

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> TowerOutput:
        """Encode a batch.

        Args:
            pixels: In shares of full brightness, 0 to 1, of the side `config.size`; float32 is
                exact.

        Raises:
            ShapeError: If the pixels are of another size.
        """
        side = self.config.size
        if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side):
            raise ShapeError(
                f"tower {self.shape.name!r}: expected pixels of shape (pictures, 3, {side}, "
                f"{side}), got {tuple(pixels.shape)}"
            )
        normal = (pixels.float() - self.mean) / self.std
        output: TowerOutput = self.network(normal.to(self.dtype))
        return output

    def lean(self) -> Tower:
        """A tower of the same modules that gives no summary, and computes no block for one.

        CLIP's second to last block needs no last one; only its projected embedding does.
        """
        without = getattr(self.network, "lean", None)
        network = self.network if without is None else without()
        made = Tower(network, self.config, shape=self.shape, patch=self.patch)
        return made.to(device=self.mean.device)

    def train(self, mode: bool = True) -> Tower:
        """A tower is never trained: it stays in evaluation mode, whatever its model does."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Tower:
        """Go to another device or number type: colours are never rounded."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.mean = _colour(self.config.mean, device=self.mean.device)
        self.std = _colour(self.config.std, device=self.std.device)
        return self


def _colour(values: tuple[float, float, float], *, device: Any = None) -> Float[Tensor, "1 3 1 1"]:
    """A number a channel, in float32 whatever torch makes unless told otherwise."""
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)

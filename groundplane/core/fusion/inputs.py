"""What every operator does first: look at what it is given, and bring it to one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.fusion.operator import ProjectorRule
from groundplane.core.fusion.projectors import keeps_cells
from groundplane.core.fusion.resampling import resample
from groundplane.core.towers.tower import TowerShape

__all__ = ["OverTowers", "TowerInputs", "equal_widths", "need_cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerInputs:
    """The features that an operator takes.

    All checks are of shapes and types, which are known without looking at a number: nothing is
    copied to the host for them, and they are gone from a compiled graph.

    Attributes:
        operator: Its name, for messages.
        towers: What it was made for, in order.

    Raises:
        InputError: If there is no tower.
    """

    operator: str
    towers: tuple[TowerShape, ...]

    def __post_init__(self) -> None:
        if not self.towers:
            raise InputError(f"fusion {self.operator!r}: expected at least one tower, got none")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the first tower."""
        return self.towers[0].grid

    @property
    def num_cells(self) -> int:
        """Cells of the first tower."""
        return self.towers[0].num_cells

    def checked(
        self, features: Sequence[Float[Tensor, "b _ _"]], module: nn.Module
    ) -> list[Float[Tensor, "b _ _"]]:
        """The features as they are, if they are what the operator was made for.

        Args:
            features: One a tower, in order.
            module: Whose parameters they will meet.

        Raises:
            ShapeError: If the number of towers, of cells, of pictures or a width is another.
            InputError: If they are of several types or on several devices, or of another type
                or on another device than the parameters.
        """
        if len(features) != len(self.towers):
            raise ShapeError(
                f"fusion {self.operator!r}: expected the features of {len(self.towers)} towers "
                f"({', '.join(tower.name for tower in self.towers)}), got {len(features)}"
            )
        for tower, given in zip(self.towers, features, strict=True):
            self._check_shape(tower, given, pictures=features[0].shape[0])
            self._check_type(tower, given, like=features[0])
        self._check_parameters(features[0], module)
        return list(features)

    def aligned(
        self, features: Sequence[Float[Tensor, "b _ _"]], module: nn.Module
    ) -> list[Float[Tensor, "b n _"]]:
        """The features, checked, on the first tower's grid."""
        return [
            resample(given, tower.grid, self.grid)
            for tower, given in zip(self.towers, self.checked(features, module), strict=True)
        ]

    def _check_shape(self, tower: TowerShape, given: Tensor, *, pictures: int) -> None:
        if given.ndim != 3 or given.shape[1:] != (tower.num_cells, tower.width):
            raise ShapeError(
                f"fusion {self.operator!r}: tower {tower.name!r}: expected features of shape "
                f"(pictures, {tower.num_cells}, {tower.width}) for its grid of {tower.grid[0]} by "
                f"{tower.grid[1]}, got {tuple(given.shape)}"
            )
        if given.shape[0] != pictures:
            raise ShapeError(
                f"fusion {self.operator!r}: tower {tower.name!r}: expected features of "
                f"{pictures} pictures, as many as of {self.towers[0].name!r}, got {given.shape[0]}"
            )

    def _check_type(self, tower: TowerShape, given: Tensor, *, like: Tensor) -> None:
        if not given.is_floating_point() or given.dtype != like.dtype:
            wanted = like.dtype if like.is_floating_point() else "floating-point numbers"
            raise InputError(
                f"fusion {self.operator!r}: tower {tower.name!r}: expected {wanted}, got "
                f"{given.dtype}; convert the features of all towers to one type"
            )
        if given.device != like.device:
            raise InputError(
                f"fusion {self.operator!r}: tower {tower.name!r}: expected features on "
                f"{like.device}, as those of {self.towers[0].name!r}, got {given.device}"
            )

    def _check_parameters(self, given: Tensor, module: nn.Module) -> None:
        parameter = next(module.parameters(), None)
        if parameter is None:
            return
        if parameter.device != given.device:
            raise InputError(
                f"fusion {self.operator!r}: expected features on its own device, "
                f"{parameter.device}, got {given.device}; move one of the two with .to(device)"
            )
        if parameter.dtype != given.dtype and not torch.is_autocast_enabled(given.device.type):
            raise InputError(
                f"fusion {self.operator!r}: expected features of its own type, {parameter.dtype}, "
                f"got {given.dtype}; convert one of the two with .to(dtype)"
            )


class OverTowers(nn.Module):
    """What the modules of all operators begin with: the towers, and the grid of their tokens.

    Args:
        operator: Its name, for messages.
        towers: What it is made for, in order.
        grid: Rows and columns of its cells; None: those of the first tower.

    Raises:
        InputError: If there is no tower.
    """

    def __init__(
        self,
        operator: str,
        towers: Sequence[TowerShape],
        *,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._inputs = TowerInputs(operator=operator, towers=tuple(towers))
        self._grid = grid or self._inputs.grid

    @property
    def towers(self) -> tuple[TowerShape, ...]:
        """What it was made for, in order."""
        return self._inputs.towers

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the cells that its tokens stand for."""
        return self._grid


def equal_widths(operator: str, towers: Sequence[TowerShape]) -> int:
    """The width of all towers, for an operator that adds features before they are projected.

    Raises:
        ShapeError: If the widths differ.

    Examples:
        >>> equal_widths("additive", [TowerShape(name="clip", grid=(2, 2), width=8)])
        8
        >>> equal_widths("additive", [])
        Traceback (most recent call last):
        groundplane.core.errors.InputError: fusion 'additive': expected at least one tower, got none
    """
    if not towers:
        raise InputError(f"fusion {operator!r}: expected at least one tower, got none")
    if len({tower.width for tower in towers}) > 1:
        widths = ", ".join(f"{tower.name} {tower.width}" for tower in towers)
        raise ShapeError(
            f"fusion {operator!r}: expected towers of one width, since it adds their features, got "
            f"{widths}. Try: interleaved, channel_concat, gated or routed"
        )
    return towers[0].width


def need_cells(operator: str, projector: ProjectorRule) -> None:
    """Refuse a projector whose tokens stand for no cell.

    Raises:
        InputError: If it is one.

    Examples:
        >>> need_cells("gated", ProjectorRule())
        >>> need_cells("gated", ProjectorRule(kind="qformer"))
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: fusion 'gated': expected a projector that gives a \
token a cell, got 'qformer'; additive, interleaved, channel_concat, routed and sva take it
    """
    if not keeps_cells(projector):
        raise InputError(
            f"fusion {operator!r}: expected a projector that gives a token a cell, got "
            f"{projector.kind!r}; additive, interleaved, channel_concat, routed and sva take it"
        )

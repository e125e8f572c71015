"""The one interface of fusion operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.towers.tower import TowerShape

__all__ = [
    "MIXED",
    "WHOLE",
    "Fused",
    "FusionOperator",
    "FusionReport",
    "FusionRule",
    "ProjectorRule",
]

# Of `Fused.towers`: the token is of several towers.
MIXED = -1
# Of `Fused.cells`: the token stands for the whole picture, as those of a Q-Former do.
WHOLE = -1


class Fused(NamedTuple):
    """The tokens of a batch, in the order in which the language model reads them.

    Attributes:
        tokens: `m` tokens of the language model's width a picture.
        cells: Which cell of the operator's grid each token stands for, counted in raster order;
            -1 if for the whole picture.
        towers: Which tower each token is of; -1 if of several.
    """

    tokens: Float[Tensor, "b m d"]
    cells: Int[Tensor, "b m"]
    towers: Int[Tensor, "b m"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionReport:
    """What an operator costs, for one picture.

    Attributes:
        tokens: Tokens that the language model reads.
        width: Numbers a token.
        grid: Rows and columns of the cells that the tokens stand for.
        flops: Floating-point operations of one forward pass, adapters included; a multiplication
            and an addition count as two. Of matrix products and attention, which are nearly all.
        parameters: Numbers that are trained.
    """

    tokens: int
    width: int
    grid: tuple[int, int]
    flops: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorRule:
    """How features are brought to the language model's width.

    Attributes:
        kind: `linear`, `mlp2x_gelu` (any number of layers: `mlp3x_gelu`), `qformer`, `identity`.
        options: Of the kind: `bias` of the first two, `QFormerOptions` of the third.
    """

    kind: str = "mlp2x_gelu"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRule:
    """Which operator, with which options. It is written to JSON.

    Attributes:
        name: `additive`, `interleaved`, `channel_concat`, `sva`, `gated`, `saliency`, `routed`.
        projector: Of its adapters.
        options: Of the operator, such as the share of each tower in `additive`.
    """

    name: str = "interleaved"
    projector: ProjectorRule = field(default_factory=ProjectorRule)
    options: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class FusionOperator(Protocol):
    """A torch module that fuses the features of towers.

    Its grid is that of the first tower; features on another grid are resampled to it. (`sva` has a
    grid of queries instead, with windows of each tower.) It runs on the device of the features,
    makes no copy to another, and compiles without graph breaks.
    """

    @property
    def towers(self) -> tuple[TowerShape, ...]:
        """What it was made for, in order."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the cells that its tokens stand for."""
        ...

    def __call__(
        self,
        features: Sequence[Float[Tensor, "b _ _"]],
        query: Float[Tensor, "b q"] | None = None,
    ) -> Fused:
        """Fuse a batch.

        Args:
            features: One a tower, in order: `b n_k d_k`, cells in raster order.
            query: What is asked, as one vector a picture; only operators that route by it look.

        Raises:
            ShapeError: If there is another number of towers, or one has another number of cells
                or another width than the operator was made for, or a batch differs.
            InputError: If the features are of several types or on several devices, of another
                type than the operator's numbers, or a query is missing.
        """
        ...

    def report(self) -> FusionReport:
        """What it costs."""
        ...

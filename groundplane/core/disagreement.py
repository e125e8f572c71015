"""How differently two encoders see each cell of a picture, though they share no space.

Two encoders number things differently, so their features cannot be compared. But each says how
alike any two cells of a picture are, and those statements can: where a cell is like its
neighbours to one encoder and unlike them to the other, one of them is blind to something.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from groundplane.core.errors import ShapeError

__all__ = ["disagreement"]

# With fewer cells a row has at most one number that the centring leaves free.
_LEAST_CELLS = 4
# A row whose likenesses differ by less than this (root mean square) is flat: float32 cosines of
# equal features differ by about 1e-7, those of bfloat16 features that were equal by nothing more.
_FLAT = 1e-5


def disagreement(
    first: Float[Tensor, "b n d"], second: Float[Tensor, "b n e"]
) -> Float[Tensor, "b n"]:
    """How differently two encoders see each cell: 1 - the correlation of its likenesses.

    A cell's likenesses are its cosines to all other cells of the picture, once by each encoder.
    They are centred by row and by column without the cell's likeness to itself, which is 1 to any
    encoder and would make all of them agree. So 0 says that both see the cell in the same way,
    1 that what one says tells nothing of the other (as of two unrelated encoders), 2 that they say
    the opposite. It does not change when an encoder's features are turned, mirrored or scaled.

    Runs on the features' device, in float32 at least, without a copy to another, and compiles.

    Args:
        first: Features of one encoder, one row a cell.
        second: Of the other, of the same cells; its width may be another.

    Returns:
        In [0, 2]. Where a cell is alike to all others to both encoders, as in a picture of one
        colour, they agree: 0; if only to one: 1. All 0 in a picture of fewer than 4 cells.
        NaN where features are not finite.

    Raises:
        ShapeError: If the pictures or the cells are not as many.

    Source: the centring of Székely and Rizzo, Partial distance correlation with methods for
    dissimilarities, Annals of Statistics 42(6), 2014, definition 2. Per cell it is what centred
    kernel alignment (Kornblith et al., Similarity of Neural Network Representations Revisited,
    ICML 2019) is of whole sets.

    Examples:
        >>> one = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
        >>> disagreement(one, -3 * one.flip(2)).abs().max().item() < 1e-5
        True
        >>> disagreement(one[:0], one[:0]).shape
        torch.Size([0, 9])
    """
    if first.shape[:2] != second.shape[:2]:
        raise ShapeError(
            f"disagreement: expected two encoders' features of the same cells, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}. Try: resample one to the other's grid"
        )
    if first.shape[1] < _LEAST_CELLS:
        return (first.float() * 0.0).sum(2) + (second.float() * 0.0).sum(2)
    one, other = _likenesses(first), _likenesses(second)
    rows = first.shape[1]
    least = rows * _FLAT**2
    power_one, power_other = one.square().sum(2), other.square().sum(2)
    flat_one, flat_other = power_one < least, power_other < least
    # Where a row is flat its power is replaced before the root, so that no gradient is infinite.
    whole = torch.where(flat_one | flat_other, 1.0, power_one * power_other).sqrt()
    told = 1 - ((one * other).sum(2) / whole).clamp(-1, 1)
    flat = torch.where(flat_one & flat_other, 0.0, 1.0).to(told.dtype)
    # `told` of a flat row is only noise; but NaN stays NaN, for no comparison with it holds.
    return torch.where(flat_one | flat_other, flat, told)


def _likenesses(features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n n"]:
    """Cosines between the cells of each picture, centred, 0 on the diagonal."""
    wide = features if features.dtype == torch.float64 else features.float()
    # The greatest number first, so that no square of a very large or small one is inf or 0.
    greatest = wide.detach().abs().amax(dim=2, keepdim=True)
    wide = wide / greatest.clamp_min(torch.finfo(wide.dtype).tiny)
    unit = functional.normalize(wide, dim=2)
    cells = unit.shape[1]
    own = torch.eye(cells, dtype=torch.bool, device=unit.device)
    cosines = (unit @ unit.mT).masked_fill(own, 0.0)
    # Sums are as symmetric as the cosines, so one serves for rows and columns.
    sums = cosines.sum(2)
    middle = sums.sum(1)[:, None, None] / ((cells - 1) * (cells - 2))
    centred = cosines - (sums[:, :, None] + sums[:, None, :]) / (cells - 2) + middle
    return centred.masked_fill(own, 0.0)

"""Pairs of pictures that one encoder takes for the same and another does not.

Source: Tong et al., Eyes Wide Shut? Exploring the Visual Shortcomings of Multimodal LLMs, CVPR
2024, where such pairs of CLIP and DINOv2 are the beginning of the MMVP benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError

__all__ = ["BlindPairs", "PairRule", "find_blind_pairs"]

# Rows of a tile: two tiles of float32 take 2 * 4 * 2048 * 2048 bytes, 32 MiB.
_TILE = 2048
# A cosine of float32 is off by far less; where products are let be less exact, by far less than
# the second one. Within it of a threshold a pair is reckoned anew in float64.
_MARGIN, _ROUGH_MARGIN = 1e-4, 2e-2
# Numbers gathered at a time to reckon pairs anew.
_GATHERED = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRule:
    """Which pairs are blind.

    Attributes:
        min_first: Least cosine of the first encoder's embeddings.
        max_second: Greatest cosine of the second's.
        most: How many pairs are kept, those with the greatest gap between the two.

    Raises:
        InputError: If a cosine is not in [-1, 1] or `most` is below 1.
    """

    min_first: float = 0.95
    max_second: float = 0.6
    most: int = 1000

    def __post_init__(self) -> None:
        for name in ("min_first", "max_second"):
            value = getattr(self, name)
            if not -1 <= value <= 1:  # NaN is not either
                raise InputError(f"blind pairs: {name}: expected -1 to 1, got {value}")
        if self.most < 1:
            raise InputError(f"blind pairs: most: expected 1 or more, got {self.most}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlindPairs:
    """The pairs that were kept, greatest gap first.

    Attributes:
        pairs: Two rows of the embeddings, the lower first.
        first: Their cosine by the first encoder.
        second: Their cosine by the second encoder.
        num_found: How many pairs there are, those that were not kept too.
    """

    pairs: Int[Tensor, "m 2"]
    first: Float[Tensor, " m"]
    second: Float[Tensor, " m"]
    num_found: int

    def __len__(self) -> int:
        return int(self.pairs.shape[0])


def find_blind_pairs(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "n e"],
    rule: PairRule | None = None,
    *,
    tile: int = _TILE,
) -> BlindPairs:
    """Find all pairs that the first encoder takes for alike and the second does not.

    Every pair is looked at, tile by tile, so that memory does not grow with the square of the
    pictures; and what a pair's cosines are does not hang on the tiles. Of equal gaps the pair
    with the greater first cosine comes first, then the one of the lower rows.

    Args:
        first: Embeddings by the first encoder, one row a picture; of any length but 0.
        second: By the second, of the same pictures.
        rule: Which pairs are blind; None: the defaults of `PairRule`.
        tile: Pictures a side of a tile.

    Raises:
        ShapeError: If the pictures are not as many.
        InputError: If an embedding is not finite or has length 0, or the tile is below 1.

    Examples:
        >>> clip = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> dino = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> found = find_blind_pairs(clip, dino)
        >>> found.pairs.tolist(), found.first.round(decimals=3).tolist(), found.second.tolist()
        ([[0, 1]], [0.995], [0.0])
        >>> len(find_blind_pairs(clip[:0], dino[:0]))
        0
    """
    if len(first) != len(second):
        raise ShapeError(
            f"blind pairs: expected embeddings of the same pictures, got {len(first)} of the "
            f"first encoder and {len(second)} of the second"
        )
    if tile < 1:
        raise InputError(f"blind pairs: tile: expected 1 or more, got {tile}")
    search = _Search(_units(first, "first"), _units(second, "second"), rule or PairRule())
    for top in range(0, len(first), tile):
        for left in range(top, len(first), tile):
            search.look(slice(top, top + tile), slice(left, left + tile))
    return search.result()


class _Search:
    """What was found so far; never much more than the rule keeps."""

    def __init__(
        self, first: Float[Tensor, "n d"], second: Float[Tensor, "n e"], rule: PairRule
    ) -> None:
        self._first, self._second, self._rule = first, second, rule
        exact = torch.get_float32_matmul_precision() == "highest"
        self._margin = _MARGIN if exact else _ROUGH_MARGIN
        self._found = 0
        # Columns: first cosine, second cosine, row, row. float64 counts exactly to 2^53.
        self._kept: Float[Tensor, "m 4"] = first.new_zeros((0, 4), dtype=torch.float64)
        self._least = -float("inf")

    def look(self, rows: slice, columns: slice) -> None:
        """Look at the pairs of a tile."""
        rule, margin = self._rule, self._margin
        one = self._first[rows] @ self._first[columns].mT
        likely = one >= rule.min_first - margin
        if rows.start == columns.start:
            likely &= torch.ones_like(likely).triu(1)
        if not bool(likely.any()):
            return
        other = self._second[rows] @ self._second[columns].mT
        likely &= other <= rule.max_second + margin
        sure = likely & (one >= rule.min_first + margin) & (other <= rule.max_second - margin)
        # Pairs that are there for sure but could not be kept are only counted.
        doubtful = likely & ~(sure & (one - other < self._least - 2 * margin))
        self._found += int((likely & ~doubtful).sum())
        self._reckon(doubtful, rows.start, columns.start)

    def _reckon(self, chosen: Bool[Tensor, "r c"], top: int, left: int) -> None:
        """Reckon pairs in float64 and keep the best."""
        row, column = torch.nonzero(chosen, as_tuple=True)
        step = max(1, _GATHERED // (self._first.shape[1] + self._second.shape[1]))
        for begin in range(0, len(row), step):
            a, b = row[begin : begin + step] + top, column[begin : begin + step] + left
            one, other = _cosines(self._first, a, b), _cosines(self._second, a, b)
            blind = (one >= self._rule.min_first) & (other <= self._rule.max_second)
            new = torch.stack([one, other, a.double(), b.double()], dim=1)[blind]
            self._found += len(new)
            self._keep(new)

    def _keep(self, new: Float[Tensor, "k 4"]) -> None:
        if not len(new):
            return
        kept = torch.cat([self._kept, new])
        # The last key first: each sort leaves what ties in the order of the one before.
        one, other, a, b = kept.unbind(1)
        order = b.argsort(stable=True)
        for key in (a, -one, other - one):
            order = order[key[order].argsort(stable=True)]
        self._kept = kept[order[: self._rule.most]]
        if len(self._kept) == self._rule.most:
            self._least = float(self._kept[-1, 0] - self._kept[-1, 1])

    def result(self) -> BlindPairs:
        """What was kept."""
        return BlindPairs(
            pairs=self._kept[:, 2:].long(),
            first=self._kept[:, 0],
            second=self._kept[:, 1],
            num_found=self._found,
        )


def _units(embeddings: Float[Tensor, "n d"], name: str) -> Float[Tensor, "n d"]:
    """Embeddings of length 1, float32."""
    lengths = embeddings.double().norm(dim=1)
    wrong = torch.nonzero(~(lengths.isfinite() & (lengths > 0))).flatten()
    if len(wrong):
        raise InputError(
            f"blind pairs: the {name} encoder's embedding of picture {int(wrong[0])} has no "
            f"direction (length {float(lengths[wrong[0]])}), as {len(wrong)} of "
            f"{len(lengths)} have"
        )
    units: Tensor = embeddings.double() / lengths[:, None]
    return units.float()


def _cosines(
    units: Float[Tensor, "n d"], a: Int[Tensor, " k"], b: Int[Tensor, " k"]
) -> Float[Tensor, " k"]:
    one, other = units[a].double(), units[b].double()
    cosines: Tensor = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    # Rounded, so that two equal embeddings have a cosine of 1 and not of a little less.
    return cosines.round(decimals=12).clamp(-1, 1)

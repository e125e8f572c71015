"""Pairs of boxes in columns, and how a table of pairs is cut into tiles.

Every quantity of a pair is a table whose last axis runs over the pairs, row by row of the table
asked for. A pair is looked at in the frame of its first box: centres are subtracted in world
coordinates before anything is rounded to the size of the scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.spatial.boxes import Boxes3D

__all__ = [
    "Nearest",
    "Pairs",
    "across",
    "drawn",
    "norms",
    "paired",
    "ranges",
    "tile_size",
    "tiles",
    "total",
]

# Pairs worked on together. On a CPU a table of three float64 a pair then takes less than 128 kB,
# above which the allocator asks the kernel for fresh pages each time, and it is too small for torch
# to start threads: on a machine with other work to do, they wait for each other ten times longer
# than the work takes. On a GPU what counts is few, wide launches.
_TILE_CPU = 5_120
_TILE_GPU = 262_144


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of boxes in the frame of the first.

    Attributes:
        offset: From the centre of a to the centre of b, in a's frame, metres.
        turn: `turn[i, j]` is axis i of a times axis j of b.
        half_a: Half the size of a, metres.
        half_b: Half the size of b, metres.
    """

    offset: Float[Tensor, "3 pairs"]
    turn: Float[Tensor, "3 3 pairs"]
    half_a: Float[Tensor, "3 pairs"]
    half_b: Float[Tensor, "3 pairs"]

    def swapped(self) -> Pairs:
        """The same pairs in the frame of the second."""
        return Pairs(
            offset=-self.to_b(self.offset),
            turn=self.turn.transpose(0, 1),
            half_a=self.half_b,
            half_b=self.half_a,
        )

    def __len__(self) -> int:
        return int(self.offset.shape[1])

    def parts(self, size: int) -> Iterator[Pairs]:
        """The same pairs, at most `size` at a time; none give one part of none."""
        for some in ranges(len(self), step=size) if len(self) else [slice(0, 0)]:
            yield Pairs(
                offset=self.offset[:, some],
                turn=self.turn[:, :, some],
                half_a=self.half_a[:, some],
                half_b=self.half_b[:, some],
            )

    def pick(self, index: Int[Tensor, " k"]) -> Pairs:
        """The pairs at these places."""
        return Pairs(
            offset=self.offset.index_select(1, index),
            turn=self.turn.index_select(2, index),
            half_a=self.half_a.index_select(1, index),
            half_b=self.half_b.index_select(1, index),
        )

    def from_b(self, local: Float[Tensor, "3 pairs"]) -> Float[Tensor, "3 pairs"]:
        """Points of b's frame in a's frame."""
        moved = torch.addcmul(self.offset, self.turn[:, 0], local[0])
        return moved.addcmul_(self.turn[:, 1], local[1]).addcmul_(self.turn[:, 2], local[2])

    def to_b(self, vectors: Float[Tensor, "3 pairs"]) -> Float[Tensor, "3 pairs"]:
        """Vectors of a's frame in b's frame; they are turned, not moved."""
        turned = self.turn[0] * vectors[0]
        return turned.addcmul_(self.turn[1], vectors[1]).addcmul_(self.turn[2], vectors[2])

    def rounding(self, units: float) -> Float[Tensor, " pairs"]:
        """What rounding may add to a length measured in this pair, metres.

        Args:
            units: How many machine epsilons of the pair's extent.
        """
        size = total(self.offset.abs() + self.half_a + self.half_b, dim=0)
        return units * torch.finfo(size.dtype).eps * size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The nearest points found so far, in the frame of the first box, metres."""

    gap: Float[Tensor, "*pairs"]
    on_a: Float[Tensor, "3 *pairs"]
    on_b: Float[Tensor, "3 *pairs"]

    @classmethod
    def joined(cls, parts: Sequence[Nearest]) -> Nearest:
        """The pairs of all parts, in their order."""
        return cls(
            gap=torch.cat([part.gap for part in parts]),
            on_a=torch.cat([part.on_a for part in parts], dim=1),
            on_b=torch.cat([part.on_b for part in parts], dim=1),
        )

    def or_nearer(self, other: Nearest) -> Nearest:
        """The nearer of the two for each pair."""
        keep = ~(other.gap < self.gap)
        return Nearest(
            gap=torch.where(keep, self.gap, other.gap),
            on_a=torch.where(keep, self.on_a, other.on_a),
            on_b=torch.where(keep, self.on_b, other.on_b),
        )

    def pick(self, index: Int[Tensor, " k"]) -> Nearest:
        """The pairs at these places."""
        return Nearest(gap=self.gap[index], on_a=self.on_a[:, index], on_b=self.on_b[:, index])

    def put(self, index: Int[Tensor, " k"], new: Nearest) -> Nearest:
        """All pairs, with those at these places replaced."""
        return Nearest(
            gap=self.gap.index_copy(0, index, new.gap),
            on_a=self.on_a.index_copy(1, index, new.on_a),
            on_b=self.on_b.index_copy(1, index, new.on_b),
        )


def total(parts: Tensor, *, dim: int) -> Tensor:
    """The sum over an axis of three; adding whole slices is much faster than a reduction here."""
    x, y, z = parts.unbind(dim)
    return x + y + z


def norms(vectors: Float[Tensor, "3 *some"]) -> Float[Tensor, "*some"]:
    """The length of each vector; unlike a root, torch takes this without starting threads."""
    x, y, z = vectors.unbind(0)
    return torch.hypot(torch.hypot(x, y), z)


def ranges(count: int, *, step: int) -> Iterator[slice]:
    """Slices of at most `step` that cover `count`."""
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def tile_size(device: torch.device) -> int:
    """How many pairs are worked on together on a device."""
    return _TILE_CPU if device.type == "cpu" else _TILE_GPU


def tiles(rows: int, columns: int, *, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most `size` pairs that cover a table, wide ones first."""
    width = min(max(columns, 1), size)
    for block in ranges(rows, step=max(1, size // width)):
        for part in ranges(columns, step=width):
            yield block, part


def across(a: Boxes3D, b: Boxes3D, rows: slice, columns: slice) -> Pairs:
    """All pairs of some boxes of a with some boxes of b, row by row."""
    offset = (b.centers[None, columns] - a.centers[rows, None]).permute(2, 0, 1)
    axes_a = a.axes[rows].permute(1, 2, 0)[..., None]
    axes_b = b.axes[columns].permute(1, 2, 0)[:, :, None]
    shape = (-1, offset.shape[1], offset.shape[2])
    return _pairs(
        offset,
        axes_a,
        axes_b,
        half_a=(a.sizes[rows] / 2).T[:, :, None].expand(shape),
        half_b=(b.sizes[columns] / 2).T[:, None].expand(shape),
    )


def drawn(boxes: Boxes3D, index: Int[Tensor, " k"]) -> Boxes3D:
    """The boxes at these places, without covariance; unlike indexing, it starts no threads."""
    return Boxes3D(
        centers=boxes.centers.index_select(0, index),
        sizes=boxes.sizes.index_select(0, index),
        axes=boxes.axes.index_select(0, index),
    )


def paired(a: Boxes3D, b: Boxes3D) -> Pairs:
    """Box i of a with box i of b."""
    return _pairs(
        (b.centers - a.centers).T,
        a.axes.permute(1, 2, 0),
        b.axes.permute(1, 2, 0),
        half_a=(a.sizes / 2).T,
        half_b=(b.sizes / 2).T,
    )


def _pairs(
    offset: Float[Tensor, "3 *pairs"],
    axes_a: Float[Tensor, "3 3 *rows"],
    axes_b: Float[Tensor, "3 3 *columns"],
    *,
    half_a: Float[Tensor, "3 *pairs"],
    half_b: Float[Tensor, "3 *pairs"],
) -> Pairs:
    """Pairs from the offset in the world and the axes of both; `rows` and `columns` broadcast."""
    # An operation lays its result out as its inputs lie, and a table must lie pair by pair.
    offset = offset.contiguous()
    axes_a, axes_b = (axes.to(offset.dtype).contiguous() for axes in (axes_a, axes_b))
    # Sums of products, not a matrix product: that one may round to TF32 on a GPU.
    local = offset[0] * axes_a[:, 0]
    local.addcmul_(offset[1], axes_a[:, 1]).addcmul_(offset[2], axes_a[:, 2])
    turn = local.new_empty(3, *local.shape)
    for i in range(3):
        row = axes_a[i, 0] * axes_b[:, 0]
        turn[i] = row.addcmul_(axes_a[i, 1], axes_b[:, 1]).addcmul_(axes_a[i, 2], axes_b[:, 2])
    return Pairs(
        offset=local.flatten(1),
        turn=turn.flatten(2),
        half_a=half_a.flatten(1).to(offset.dtype),
        half_b=half_b.flatten(1).to(offset.dtype),
    )

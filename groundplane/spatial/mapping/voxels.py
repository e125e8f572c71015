"""Points of things in voxels: a sorted column of keys, and what lies in each.

A key packs who owns the voxel and where it lies, 15 bits and three times 16, so one sort puts the
voxels of an owner together, and a voxel is found by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError

__all__ = ["AXIS_BITS", "OWNER_LIMIT", "PLACE_BITS", "Voxels", "coordinates", "packed", "union"]

AXIS_BITS = 16
PLACE_BITS = 3 * AXIS_BITS
OWNER_LIMIT = 1 << 15
_HALF = 1 << (AXIS_BITS - 1)
_AXIS = (1 << AXIS_BITS) - 1
_PLACE = (1 << PLACE_BITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voxels:
    """Occupied voxels of several owners, sorted by owner, then by place; each occurs once.

    Attributes:
        keys: Owner and place, see `packed`.
        means: Middle of the points in the voxel, metres.
        counts: Points in the voxel.
        seen: How many sightings put a point into it.

    Raises:
        ShapeError: If the columns differ in length.
    """

    keys: Int64[Tensor, " v"]
    means: Float[Tensor, "v 3"]
    counts: Int64[Tensor, " v"]
    seen: Int64[Tensor, " v"]

    def __post_init__(self) -> None:
        n = len(self.keys)
        if not len(self.means) == len(self.counts) == len(self.seen) == n:
            raise ShapeError(f"voxels: {n} keys, but a column of another length")

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Int64[Tensor, " m"] | Bool[Tensor, " v"]) -> Voxels:
        return Voxels(
            keys=self.keys[index],
            means=self.means[index],
            counts=self.counts[index],
            seen=self.seen[index],
        )

    @property
    def owners(self) -> Int64[Tensor, " v"]:
        """Who owns each voxel."""
        return self.keys >> PLACE_BITS

    def to(self, device: str | torch.device) -> Voxels:
        """The same voxels on another device."""
        return Voxels(
            keys=self.keys.to(device),
            means=self.means.to(device),
            counts=self.counts.to(device),
            seen=self.seen.to(device),
        )

    @classmethod
    def none(cls, device: str | torch.device = "cpu") -> Voxels:
        """No voxels."""
        whole = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(keys=whole, means=torch.zeros(0, 3, device=device), counts=whole, seen=whole)

    @classmethod
    def of(
        cls, points: Float[Tensor, "p 3"], *, owners: Int64[Tensor, " p"], size: float
    ) -> Voxels:
        """The voxels that points lie in.

        Args:
            points: Metres.
            owners: Whose each point is, from 0.
            size: Side of a voxel, metres.

        Raises:
            InputError: If a point is not finite or lies too far from the origin, or there are too
                many owners.

        Examples:
            >>> points = torch.tensor([[0.01, 0, 0], [0.03, 0, 0], [0.2, 0, 0]])
            >>> voxels = Voxels.of(points, owners=torch.zeros(3, dtype=torch.long), size=0.1)
            >>> voxels.counts.tolist(), round(float(voxels.means[0, 0]), 3)
            ([2, 1], 0.02)
            >>> len(Voxels.of(points[:0], owners=torch.zeros(0, dtype=torch.long), size=0.1))
            0
        """
        cells = torch.floor(points / size)
        # One trip from the device for all that may be wrong; NaN fails every comparison.
        if not bool(((cells >= -_HALF) & (cells < _HALF)).all() & (owners < OWNER_LIMIT).all()):
            raise InputError(
                f"points: expected finite coordinates within {_HALF * size:g} m of the origin and "
                f"at most {OWNER_LIMIT} things; check the scale of depth and poses"
            )
        keys, inverse, counts = torch.unique(
            packed(cells.long()) | (owners << PLACE_BITS), return_inverse=True, return_counts=True
        )
        sums = torch.zeros(len(keys), 3, dtype=torch.float64, device=points.device)
        sums.index_add_(0, inverse, points.double())
        means = (sums / counts[:, None]).to(points.dtype)
        return cls(keys=keys, means=means, counts=counts, seen=torch.ones_like(counts))

    def joined(self, other: Voxels) -> Voxels:
        """Both; where they share a voxel, its points are pooled."""
        keys, own, others = union(self.keys, other.keys)
        n, device = len(keys), keys.device
        counts = torch.zeros(n, dtype=torch.int64, device=device).index_copy_(0, own, self.counts)
        counts.index_add_(0, others, other.counts)
        seen = torch.zeros_like(counts).index_copy_(0, own, self.seen)
        seen.index_add_(0, others, other.seen)
        means = self.means.new_zeros(n, 3).index_copy_(0, own, self.means)
        # Moved towards the new ones by their share, which loses nothing where counts are large.
        share = (other.counts / counts[others])[:, None].to(means)
        before = means[others]
        means.index_copy_(0, others, before + (other.means - before) * share)
        return Voxels(keys=keys, means=means, counts=counts, seen=seen)

    def moved(
        self, owners: Int64[Tensor, " v"], *, levels: Int64[Tensor, " v"] | None = None
    ) -> Voxels:
        """The same points given to other owners, and to coarser voxels.

        Args:
            owners: Whose each voxel becomes; voxels that thereby fall together are pooled.
            levels: How often the side of each voxel doubles; places then count in the new side.
        """
        place = self.keys & _PLACE
        if levels is not None:
            place = packed(coordinates(place) >> levels[:, None])
        return self._pooled(place | (owners << PLACE_BITS))

    def _pooled(self, keys: Int64[Tensor, " v"]) -> Voxels:
        """The same points under other keys."""
        keys, inverse = torch.unique(keys, return_inverse=True)
        counts = torch.zeros_like(keys).index_add_(0, inverse, self.counts)
        # Sightings of neighbouring voxels are mostly the same ones: the most of them is the count.
        seen = torch.zeros_like(keys).scatter_reduce_(0, inverse, self.seen, "amax")
        sums = torch.zeros(len(keys), 3, dtype=torch.float64, device=keys.device)
        sums.index_add_(0, inverse, self.means.double() * self.counts[:, None])
        means = (sums / counts[:, None]).to(self.means)
        return Voxels(keys=keys, means=means, counts=counts, seen=seen)


def packed(cells: Int64[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """Three whole coordinates in one number; greater z is the next number.

    Examples:
        >>> coordinates(packed(torch.tensor([[-1, 2, 3]]))).tolist()
        [[-1, 2, 3]]
        >>> packed(torch.zeros(0, 3, dtype=torch.long)).shape
        torch.Size([0])
    """
    x, y, z = (cells + _HALF).unbind(dim=1)
    return (x << 2 * AXIS_BITS) | (y << AXIS_BITS) | z


def coordinates(keys: Int64[Tensor, " n"]) -> Int64[Tensor, "n 3"]:
    """The whole coordinates in keys; see `packed`."""
    shifts = torch.tensor((2 * AXIS_BITS, AXIS_BITS, 0), device=keys.device)
    return ((keys[:, None] >> shifts) & _AXIS) - _HALF


def union(
    old: Int64[Tensor, " n"], new: Int64[Tensor, " m"]
) -> tuple[Int64[Tensor, " k"], Int64[Tensor, " n"], Int64[Tensor, " m"]]:
    """Two sorted columns without repetition made into one.

    Only the new column is searched for, so adding a little to a lot is cheap.

    Returns:
        The column, and where in it the old and the new entries stand.

    Examples:
        >>> [part.tolist() for part in union(torch.tensor([1, 5]), torch.tensor([3, 5]))]
        [[1, 3, 5], [0, 2], [1, 2]]
        >>> [part.tolist() for part in union(torch.tensor([1]), torch.tensor([], dtype=torch.long))]
        [[1], [0], []]
    """
    place = torch.searchsorted(old, new)
    padded = torch.cat([old, old.new_full((1,), -1)])
    fresh = padded[place] != new
    before = torch.cumsum(fresh, dim=0)
    others = place + before - fresh.long()
    mark = torch.zeros(len(old) + 1, dtype=torch.int64, device=old.device)
    mark.index_add_(0, place, fresh.long())
    own = torch.arange(len(old), device=old.device) + torch.cumsum(mark, dim=0)[:-1]
    keys = old.new_empty(len(old) + int(fresh.sum()))
    return keys.index_copy_(0, own, old).index_copy_(0, others, new), own, others

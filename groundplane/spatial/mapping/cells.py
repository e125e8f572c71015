"""How much of one set of things is where another set is: all pairs in one pass.

Things known are kept in the cells of a grid, things seen in those of a grid moved by half a cell.
A moved cell meets the eight cells that it overlaps. So points nearer to each other than half a
cell along every axis always meet, and points one and a half cells apart never do: noise is
forgiven without looking at 27 neighbours of each voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from groundplane.spatial.mapping.voxels import (
    OWNER_LIMIT,
    Voxels,
    coordinates,
    packed,
    union,
)

__all__ = ["VOXELS_A_CELL", "Cells", "Meeting", "meet"]

# A cell is so many voxels wide, and half of it is a whole number of them.
VOXELS_A_CELL = 4
_OWNER_BITS = 15
_OWNER = OWNER_LIMIT - 1
# A moved cell overlaps two cells along each axis; those above each other have keys in a row.
_COLUMNS = ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0))
# Moved cells that are looked up at once, so that memory stays bounded.
_STEP = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Cells in which things are, sorted by place, then by owner; each occurs once.

    Attributes:
        keys: Place and owner; unlike in voxels, the place comes first.
    """

    keys: Int64[Tensor, " c"]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def owners(self) -> Int64[Tensor, " c"]:
        """Who is in each cell."""
        return self.keys & _OWNER

    @classmethod
    def none(cls, device: str | torch.device = "cpu") -> Cells:
        """No cells."""
        return cls(keys=torch.zeros(0, dtype=torch.int64, device=device))

    @classmethod
    def of(cls, voxels: Voxels, *, voxel: float, moved: bool = False) -> Cells:
        """The cells that voxels lie in, by the middles of their points.

        Args:
            voxels: Of any side.
            voxel: Side of the finest ones, metres.
            moved: In the grid moved by half a cell.

        Examples:
            >>> points = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.5, 0, 0]])
            >>> voxels = Voxels.of(points, owners=torch.zeros(3, dtype=torch.long), size=0.1)
            >>> len(Cells.of(voxels, voxel=0.1)), len(Cells.of(voxels, voxel=0.1, moved=True))
            (2, 2)
            >>> len(Cells.of(Voxels.none(), voxel=0.1))
            0
        """
        return cls.grids(voxels, voxel=voxel)[1 if moved else 0]

    @classmethod
    def grids(cls, voxels: Voxels, *, voxel: float) -> tuple[Cells, Cells]:
        """The cells that voxels lie in, in the grid and in the one that is moved; see `of`."""
        # Halves of cells first: both grids are made of them, and they are fewer than voxels.
        finest = torch.floor(voxels.means / voxel).long()
        halves = torch.div(finest, VOXELS_A_CELL // 2, rounding_mode="floor")
        keys = torch.unique((packed(halves) << _OWNER_BITS) | voxels.owners)
        halves, owners = coordinates(keys >> _OWNER_BITS), keys & _OWNER
        plain, moved = (
            torch.unique((packed(places >> 1) << _OWNER_BITS) | owners)
            for places in (halves, halves - 1)
        )
        return cls(keys=plain), cls(keys=moved)

    def amounts(self, num_owners: int) -> Float[Tensor, " o"]:
        """Cells of each owner; at least 1, so that one may divide by it."""
        return torch.bincount(self.owners, minlength=num_owners).clamp(min=1).float()

    def joined(self, other: Cells) -> Cells:
        """Both."""
        return Cells(keys=union(self.keys, other.keys)[0])

    def of_owners(self, wanted: Int64[Tensor, " k"]) -> Cells:
        """The cells of some owners alone."""
        return Cells(keys=self.keys[torch.isin(self.owners, wanted)])

    def renamed(self, table: Int64[Tensor, " o"]) -> Cells:
        """The cells given to others: owner i's to `table[i]`, or to nobody where that is -1."""
        owners = table[self.owners]
        keys = (self.keys & ~_OWNER) | owners
        return Cells(keys=torch.unique(keys[owners >= 0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meeting:
    """How much things seen and things known have in common.

    Attributes:
        of_seen: Share of the cells of each thing seen that meet each thing known.
        of_known: Share of the cells of each thing known that meet each thing seen.
    """

    of_seen: Float[Tensor, "n m"]
    of_known: Float[Tensor, "n m"]


def meet(seen: Cells, known: Cells, *, num_seen: int, num_known: int) -> Meeting:
    """What each thing seen has in common with each thing known.

    Args:
        seen: In the grid moved by half a cell.
        known: In the grid itself.
        num_seen: Things seen; their owners are below it.
        num_known: Things known.

    Examples:
        >>> points = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
        >>> owners = torch.zeros(2, dtype=torch.long)
        >>> known = Cells.of(Voxels.of(points, owners=owners, size=0.1), voxel=0.1)
        >>> near = Voxels.of(points[:1] + 0.05, owners=owners[:1], size=0.1)
        >>> seen = Cells.of(near, voxel=0.1, moved=True)
        >>> found = meet(seen, known, num_seen=1, num_known=1)
        >>> found.of_seen.tolist(), found.of_known.tolist()
        ([[1.0]], [[0.5]])
        >>> meet(Cells.none(), known, num_seen=0, num_known=1).of_seen.shape
        torch.Size([0, 1])
    """
    met = torch.zeros(num_seen * num_known, dtype=torch.int64, device=seen.keys.device)
    touched = [known.keys[:0]]
    for start in range(0, len(seen), _STEP):
        part = seen.keys[start : start + _STEP]
        rows, entries = _hits(part, known.keys)
        # A moved cell that meets several cells of one thing counts once, and so the other way.
        pairs = torch.unique(rows * OWNER_LIMIT + known.owners[entries])
        places = (part & _OWNER)[pairs >> _OWNER_BITS] * num_known + (pairs & _OWNER)
        met += torch.bincount(places, minlength=len(met))
        touched.append(torch.unique(entries * OWNER_LIMIT + (part & _OWNER)[rows]))
    pairs = torch.unique(torch.cat(touched)) if len(touched) > 2 else touched[-1]
    places = (pairs & _OWNER) * num_known + known.owners[pairs >> _OWNER_BITS]
    found = torch.bincount(places, minlength=len(met))
    shape = (num_seen, num_known)
    return Meeting(
        of_seen=met.view(shape) / seen.amounts(num_seen)[:, None],
        of_known=found.view(shape) / known.amounts(num_known)[None, :],
    )


def _hits(
    seen: Int64[Tensor, " q"], known: Int64[Tensor, " c"]
) -> tuple[Int64[Tensor, " h"], Int64[Tensor, " h"]]:
    """Which moved cell meets which entry of the table, in pairs."""
    base = coordinates(seen >> _OWNER_BITS)
    columns = torch.tensor(_COLUMNS, device=seen.device)
    low = packed((base[None] + columns[:, None]).flatten(0, 1)) << _OWNER_BITS
    start = torch.searchsorted(known, low)
    # Two places above each other: all keys from the first up to the one after the second.
    length = torch.searchsorted(known, low + 2 * OWNER_LIMIT) - start
    rows = torch.arange(len(seen), device=seen.device).repeat(len(_COLUMNS))
    total = torch.cumsum(length, dim=0)
    runs = torch.repeat_interleave(start - (total - length), length)
    entries = runs + torch.arange(len(runs), device=seen.device)
    return torch.repeat_interleave(rows, length), entries

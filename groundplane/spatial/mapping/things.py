"""The objects of a growing map: a tally each, their voxels, cells and boxes in columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.mapping.cells import Cells
from groundplane.spatial.mapping.oriented import Uprights, fit_uprights
from groundplane.spatial.mapping.tallies import BuilderOptions, Tally
from groundplane.spatial.mapping.voxels import OWNER_LIMIT, Voxels

__all__ = ["Things", "firm"]

# A box is fitted again when its object has grown by this share of its voxels.
_GROWN = 1.05
# Voxels seen once are outliers where nearly all of the object was seen more often.
_FIRM_SHARE = 0.9
_Slots = Int64[np.ndarray, " k"]


class Things:
    """What a map builder knows of its objects; each has a slot, its owner number in the columns.

    Args:
        options: How the map grows.

    Attributes:
        options: As given.
        tallies: By slot; None where a slot is free.
        voxels: Of all objects.
        cells: Of all objects.
        centers: Of the boxes, by slot, metres; of free slots without meaning.
        sizes: Of the boxes, metres.
        axes: Of the boxes.
        fitted: Voxels that each object had when its box was fitted.
    """

    def __init__(self, options: BuilderOptions) -> None:
        self.options = options
        self.tallies: list[Tally | None] = []
        self.voxels = Voxels.none()
        self.cells = Cells.none()
        self.centers: Float64[np.ndarray, "m 3"] = np.zeros((0, 3))
        self.sizes: Float64[np.ndarray, "m 3"] = np.zeros((0, 3))
        self.axes: Float64[np.ndarray, "m 3 3"] = np.zeros((0, 3, 3))
        self.fitted: Int64[np.ndarray, " m"] = np.zeros(0, dtype=np.int64)

    @property
    def num_slots(self) -> int:
        """Slots, free ones counted too."""
        return len(self.tallies)

    def to(self, device: torch.device) -> None:
        """Keep the columns on another device."""
        if self.voxels.keys.device != device:
            self.voxels = self.voxels.to(device)
            self.cells = Cells(keys=self.cells.keys.to(device))

    def live(self) -> list[int]:
        """The slots in use, in the order in which the objects were found."""
        used = [(tally.born, slot) for slot, tally in enumerate(self.tallies) if tally is not None]
        return [slot for _, slot in sorted(used)]

    def tally(self, slot: int) -> Tally:
        """The tally of a slot in use."""
        tally = self.tallies[slot]
        assert tally is not None, f"slot {slot} is free"
        return tally

    def begin(self, tally: Tally) -> int:
        """A new object: its slot.

        Raises:
            InputError: If there are too many objects.
        """
        for slot, old in enumerate(self.tallies):
            if old is None:
                self.tallies[slot] = tally
                self.fitted[slot] = 0
                return slot
        if len(self.tallies) == OWNER_LIMIT:
            raise InputError(
                f"map builder: more than {OWNER_LIMIT} objects; ask for fewer phrases, or look at "
                "fewer frames"
            )
        self.tallies.append(tally)
        self.centers = np.append(self.centers, np.zeros((1, 3)), axis=0)
        self.sizes = np.append(self.sizes, np.zeros((1, 3)), axis=0)
        self.axes = np.append(self.axes, np.eye(3)[None], axis=0)
        self.fitted = np.append(self.fitted, 0)
        return len(self.tallies) - 1

    def put(self, voxels: Voxels, cells: Cells, slots: _Slots) -> None:
        """Give voxels of the finest side to objects.

        Args:
            voxels: Of the regions of a frame.
            cells: That they lie in.
            slots: By region: whose its voxels become, or -1 for nobody's.
        """
        table = torch.from_numpy(slots).to(voxels.keys.device)
        owners = table[voxels.owners]
        if (slots < 0).any():
            voxels, owners = voxels[owners >= 0], owners[owners >= 0]
        levels = self._levels(voxels.keys.device)[owners]
        coarse = any(self.tally(slot).level for slot in set(slots[slots >= 0].tolist()))
        taken = voxels.moved(owners, levels=levels if coarse else None)
        self.voxels = self.voxels.joined(taken) if len(self.voxels) else taken
        cells = cells.renamed(table)
        self.cells = self.cells.joined(cells) if len(self.cells) else cells
        self._bound()

    def of(self, slots: Sequence[int]) -> tuple[Voxels, Int64[Tensor, " v"]]:
        """The voxels of some objects, and the place in `slots` of the owner of each."""
        order = torch.full((self.num_slots,), -1, dtype=torch.int64)
        order[list(slots)] = torch.arange(len(slots))
        place = order.to(self.voxels.keys.device)[self.voxels.owners]
        return self.voxels[place >= 0], place[place >= 0]

    def refit(self, slots: Sequence[int]) -> None:
        """Fit the boxes of objects that have grown."""
        counts = torch.bincount(self.voxels.owners, minlength=self.num_slots).cpu().numpy()
        grown = [slot for slot in slots if counts[slot] > _GROWN * self.fitted[slot]]
        if not grown:
            return
        boxes = self.fit(grown)
        self.centers[grown], self.sizes[grown] = boxes.centers, boxes.sizes
        self.axes[grown], self.fitted[grown] = boxes.axes, counts[grown]

    def fit(self, slots: Sequence[int]) -> Uprights:
        """Boxes round the firm points of some objects."""
        return fit_uprights(*self.points(slots))

    def points(
        self, slots: Sequence[int]
    ) -> tuple[Float[np.ndarray, "p 3"], Int64[np.ndarray, " k"]]:
        """The firm points of some objects, one object after another, and how many each has."""
        voxels, place = self.of(slots)
        kept = firm(voxels, place, len(slots))
        voxels, place = voxels[kept], place[kept]
        order = torch.argsort(place, stable=True)
        counts = torch.bincount(place, minlength=len(slots))
        return voxels.means[order].cpu().numpy(), counts.cpu().numpy()

    def merge(self, into: int, slot: int) -> None:
        """Two objects are one: the one slot is freed."""
        kept, gone = self.tally(into), self.tally(slot)
        level = max(kept.level, gone.level)
        owners = self.voxels.owners
        mine = (owners == into) | (owners == slot)
        levels = level - self._levels(owners.device)[owners[mine]]
        both = self.voxels[mine].moved(torch.full_like(owners[mine], into), levels=levels)
        self.voxels = self.voxels[~mine].joined(both)
        self._rename_cells({slot: into})
        kept.take(gone, self.options)
        kept.level = level
        self.tallies[slot] = None
        self.fitted[into] = 0
        self._bound()
        self.refit([into])

    def drop(self, slots: Sequence[int]) -> None:
        """Forget objects."""
        gone = torch.zeros(self.num_slots, dtype=torch.bool)
        gone[list(slots)] = True
        self.voxels = self.voxels[~gone.to(self.voxels.keys.device)[self.voxels.owners]]
        self._rename_cells(dict.fromkeys(slots, -1))
        for slot in slots:
            self.tallies[slot] = None

    def divide(self, slot: int, *, new: int, theirs: Bool[Tensor, " v"]) -> None:
        """An object is two: the other one gets some of its voxels.

        Args:
            slot: The object.
            new: The slot of the other one, which has no voxels yet.
            theirs: By voxel of the object: whether it becomes the other one's.
        """
        owners = self.voxels.owners
        mine = owners == slot
        part = self.voxels[mine]
        given = torch.where(theirs, new, slot)
        self.voxels = self.voxels[~mine].joined(part.moved(given))
        self.tally(new).level = self.tally(slot).level
        self._rename_cells({slot: -1})
        both = Cells.of(part.moved(given), voxel=self.options.voxel)
        self.cells = self.cells.joined(both)
        self.fitted[[slot, new]] = 0
        self.refit([slot, new])

    def _rename_cells(self, names: dict[int, int]) -> None:
        table = torch.arange(self.num_slots)
        for old, new in names.items():
            table[old] = new
        self.cells = self.cells.renamed(table.to(self.cells.keys.device))

    def _levels(self, device: torch.device) -> Int64[Tensor, " m"]:
        """How often the voxels of each object have doubled in side."""
        levels = [0 if tally is None else tally.level for tally in self.tallies]
        return torch.tensor(levels, dtype=torch.int64, device=device)

    def _bound(self) -> None:
        """Double the side of the voxels of objects that have too many."""
        while True:
            owners = self.voxels.owners
            counts = torch.bincount(owners, minlength=self.num_slots)
            large = counts > self.options.most_voxels
            slots = large.nonzero()[:, 0].tolist()
            if not slots:
                return
            mine = large[owners]
            coarse = self.voxels[mine].moved(owners[mine], levels=torch.ones_like(owners[mine]))
            self.voxels = self.voxels[~mine].joined(coarse)
            for slot in slots:
                self.tally(slot).level += 1


def firm(voxels: Voxels, place: Int64[Tensor, " v"], num: int) -> Bool[Tensor, " v"]:
    """Voxels that count for an object's box.

    Where nine tenths of an object's voxels were seen more than once, those seen once are taken for
    outliers. Where more of it was seen once, that may be a side that the camera passed by.

    Args:
        voxels: Of some objects.
        place: Which object owns each, from 0.
        num: How many objects they are.
    """
    often = voxels.seen > 1
    total = torch.bincount(place, minlength=num)
    twice = torch.zeros_like(total).index_add_(0, place, often.long())
    strict = twice >= _FIRM_SHARE * total
    return often | ~strict[place]

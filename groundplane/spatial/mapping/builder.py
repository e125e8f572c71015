"""The growing map: sightings come in frame by frame, and a cognitive map can be had at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from groundplane.core.camera import Frame
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.association import (
    RARE,
    Evidence,
    assign,
    common_shares,
    duplicates,
    inside_shares,
    likeness,
    misnamed,
)
from groundplane.spatial.mapping.builder_files import Saved, read_builder, write_builder
from groundplane.spatial.mapping.cells import meet
from groundplane.spatial.mapping.freezing import frozen
from groundplane.spatial.mapping.glances import Glances, take_in
from groundplane.spatial.mapping.missing import View, missed
from groundplane.spatial.mapping.rejoining import rejoined
from groundplane.spatial.mapping.room import Room
from groundplane.spatial.mapping.sightings import Sightings
from groundplane.spatial.mapping.tallies import BuilderOptions, Tally
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.untangling import Apart, divide, merge

__all__ = ["MapBuilder"]

# A leftover region is a claim on a taken object if so much of it is where that object was seen.
_CLAIMED = 0.3
# Objects seen side by side are remembered as two if their boxes' spheres are so near, metres.
_SIDE_BY_SIDE = 0.5
# Log odds of existence at which an object is forgotten: one in fifty.
_HOPELESS = -4.0
# Views that are kept to look back, and how many of them may speak against a new object.
_VIEWS, _BACK = 48, 2


class MapBuilder:
    """Grows a map from sightings, frame by frame, in bounded memory.

    Args:
        options: How sightings become objects.

    Examples:
        >>> builder = MapBuilder()
        >>> len(builder), builder.freeze(name="empty").ids
        (0, ())
    """

    def __init__(self, options: BuilderOptions | None = None) -> None:
        self._things = Things(options or BuilderOptions())
        self._apart = Apart()
        self._views: list[View] = []
        self._born = 0
        self._frames = 0

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Go on with a map that was saved; what follows is as if it had never been put down.

        Raises:
            InputError: If the file cannot be read, is none, or was cut or altered.
        """
        saved = read_builder(path)
        builder = cls(saved.things.options)
        builder._things, builder._apart = saved.things, Apart(saved.apart)
        builder._views = list(saved.views)
        builder._born, builder._frames = saved.born, saved.frames
        return builder

    def save(self, path: str | Path) -> None:
        """Put the map down to go on later; an old file stays whole until then.

        Raises:
            OutputError: If the file cannot be written.
        """
        saved = Saved(
            things=self._things,
            apart=self._apart.seen,
            views=tuple(self._views),
            born=self._born,
            frames=self._frames,
        )
        write_builder(saved, path)

    def __len__(self) -> int:
        """Objects so far, unlikely ones counted too."""
        return len(self._things.live())

    @property
    def options(self) -> BuilderOptions:
        """How sightings become objects."""
        return self._things.options

    @property
    def frames(self) -> int:
        """Frames so far, those that show nothing counted too."""
        return self._frames

    def add(self, sightings: Sightings, *, frame: Frame | None = None) -> None:
        """Take in what one frame shows.

        Args:
            sightings: Of one frame; in which order its regions come does not matter.
            frame: The frame, with depth and pose: objects that it should show and that no
                sighting is of become less likely. Without it nothing is ever missed.

        Raises:
            ShapeError: If columns do not fit together.
            InputError: If a number is not finite or out of range, points lie too far out, or the
                frame has no depth or no pose. The map stays as it was.
        """
        # Whatever may be refused is looked at before anything changes.
        view = None if frame is None else View.of(frame)
        glances = take_in(sightings, voxel=self.options.voxel) if len(sightings) else None
        self._frames += 1
        seen: set[int] = set()
        if glances is not None:
            self._things.to(sightings.points.device)
            slots = self._told_apart(glances)
            seen = set(slots[slots >= 0].tolist())
            merged = merge(self._things, sorted(seen), self._apart)
            seen = {merged.get(slot, slot) for slot in seen}
        if view is not None:
            self._miss(view, seen)

    def freeze(
        self,
        *,
        name: str = "",
        room: Room | None = None,
        floor: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> CognitiveMap:
        """The map as it is now; more sightings may follow.

        Args:
            name: Of the map.
            room: The room round the objects, where it is known.
            floor: z of the floor, metres, where it is known; else the room's.
            notes: What a reader must know of how the map came about.
        """
        things = rejoined(self._things, self._apart, self._views)
        return frozen(things, name=name, room=room, floor=floor, notes=notes)

    def _told_apart(self, glances: Glances) -> Int64[np.ndarray, " n"]:
        """Give each sighting to an object, new ones to new objects; the slot of each."""
        evidence = self._evidence(glances)
        scores = likeness(evidence, self.options)
        slots = assign(scores)
        repeated = self._repeated(glances, slots)
        # What a detector called by a wrong word is of an object that nothing else was given to.
        other = misnamed(evidence, self.options)
        other[slots >= 0] = 0
        other[:, slots[slots >= 0]] = 0
        slots = np.where(slots < 0, assign(other), slots)
        for i in np.flatnonzero(slots < 0).tolist():
            if slots[i] < 0 and not self._claims(glances, i, scores[i], slots):
                slots[i] = self._begin()
                repeated |= self._repeated(glances, slots)
        self._write(glances, slots, repeated)
        return slots

    def _repeated(self, glances: Glances, slots: Int64[np.ndarray, " n"]) -> set[int]:
        """Sightings of what another one of the frame shows too get its slot; which they are."""
        found: set[int] = set()
        if (slots < 0).any() and (slots >= 0).any():
            twins = self._twins(glances)
            for i in np.flatnonzero(slots < 0).tolist():
                same = np.flatnonzero(twins[i] & (slots >= 0))
                if len(same):
                    slots[i] = slots[same[0]]
                    found.add(i)
        return found

    def _miss(self, view: View, seen: set[int]) -> None:
        """Objects that a frame should show become less likely; hopeless ones are forgotten."""
        things = self._things
        gone = []
        unseen = [slot for slot in things.live() if slot not in seen]
        for slot in missed(things, view, unseen):
            things.tally(slot).miss(self.options)
            if things.tally(slot).log_odds <= _HOPELESS:
                gone.append(slot)
                self._apart.rename(slot, None)
        if gone:
            things.drop(gone)
        self._look_back(seen)
        self._views = [*self._views, view][-_VIEWS:]

    def _look_back(self, seen: set[int]) -> None:
        """What is new should have been seen by earlier frames as well."""
        fresh = [slot for slot in sorted(seen) if self._things.tally(slot).hits == 1]
        times = dict.fromkeys(fresh, 0)
        for view in reversed(self._views):
            fresh = [slot for slot in fresh if times[slot] < _BACK]
            if not fresh:
                return
            for slot in missed(self._things, view, fresh):
                self._things.tally(slot).miss(self.options)
                times[slot] += 1

    def _evidence(self, glances: Glances) -> Evidence:
        """What speaks for each sighting being of each object."""
        things = self._things
        num, slots = len(glances), things.num_slots
        met = meet(glances.moved, things.cells, num_seen=num, num_known=slots)
        of_seen, of_known = torch.stack([met.of_seen, met.of_known]).double().cpu().numpy()
        agreement = self._agreement(glances)
        boxes = (things.centers, things.sizes, things.axes)
        inside = inside_shares(
            glances.samples, boxes, allowed=agreement > RARE, margin=self.options.margin
        )
        return Evidence(
            of_seen=of_seen,
            of_known=of_known,
            inside=inside,
            agreement=agreement,
            looks=self._looks(glances),
        )

    def _agreement(self, glances: Glances) -> Float[np.ndarray, "n m"]:
        """Share of each object's votes for each sighting's label; 0 of free slots."""
        names = sorted(set(glances.labels))
        tallies = self._things.tallies
        table = np.array(
            [
                [0.0 if tally is None else tally.agreement(name) for tally in tallies]
                for name in names
            ]
        ).reshape(len(names), len(tallies))
        return np.asarray(table[[names.index(label) for label in glances.labels]])

    def _looks(self, glances: Glances) -> Float[np.ndarray, "n m"]:
        """Cosine of the appearances."""
        sums = {
            slot: tally.looks
            for slot, tally in enumerate(self._things.tallies)
            if tally is not None and tally.looks is not None
        }
        cosines = np.full((len(glances), self._things.num_slots), np.nan)
        looks = [glimpse.looks for glimpse in glances.glimpses if glimpse.looks is not None]
        if looks and sums:
            seen, known = np.stack(looks), np.stack(list(sums.values()))
            lengths = np.linalg.norm(seen, axis=1)[:, None] * np.linalg.norm(known, axis=1)[None]
            cosines[:, list(sums)] = seen @ known.T / np.maximum(lengths, 1e-12)
        return cosines

    def _twins(self, glances: Glances) -> Bool[np.ndarray, "n n"]:
        """Which sightings of the frame show one thing twice."""
        labels = np.array(glances.labels)
        shares = common_shares(glances.voxels, len(glances))
        twins = duplicates(shares, labels[:, None] == labels)
        np.fill_diagonal(twins, val=False)
        return twins

    def _claims(
        self,
        glances: Glances,
        i: int,
        scores: Float[np.ndarray, " m"],
        slots: Int64[np.ndarray, " n"],
    ) -> bool:
        """Whether a leftover sighting is of a part of an object that another one was given."""
        slot = int(scores.argmax()) if len(scores) else -1
        if slot < 0 or scores[slot] <= 0 or self._known_share(glances, i, slot) < _CLAIMED:
            return False
        taken = np.flatnonzero(slots == slot)
        places = [glances.centers[taken[0]].tolist(), glances.centers[i].tolist()]
        new = divide(self._things, slot, born=self._born, places=places)
        self._born += new is not None
        return True

    def _known_share(self, glances: Glances, i: int, slot: int) -> float:
        """Share of a sighting's voxels that are an object's, the very voxels."""
        mine = glances.voxels[glances.voxels.owners == i]
        level = self._things.tally(slot).level
        own = mine.moved(torch.full_like(mine.keys, slot), levels=torch.full_like(mine.keys, level))
        return float(torch.isin(own.keys, self._things.voxels.keys).float().mean())

    def _begin(self) -> int:
        slot = self._things.begin(Tally(born=self._born))
        self._born += 1
        return slot

    def _write(self, glances: Glances, slots: Int64[np.ndarray, " n"], repeated: set[int]) -> None:
        """Note what was seen of each object."""
        things, options = self._things, self.options
        for i, slot in enumerate(slots.tolist()):
            if slot >= 0 and i in repeated:
                things.tally(slot).note(glances.glimpses[i], options)
            elif slot >= 0:
                things.tally(slot).see(glances.glimpses[i], options)
        things.put(glances.voxels, glances.cells, slots)
        seen = sorted(set(slots[slots >= 0].tolist()))
        things.refit(seen)
        places, reach = things.centers[seen], np.linalg.norm(things.sizes[seen], axis=1) / 2
        off = np.linalg.norm(places[:, None] - places[None], axis=2)
        self._apart.note(seen, off <= reach[:, None] + reach[None] + _SIDE_BY_SIDE)

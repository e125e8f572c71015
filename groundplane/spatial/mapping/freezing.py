"""From a growing map to a frozen one."""

from __future__ import annotations

import numpy as np
import torch

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.fusing import fuse
from groundplane.spatial.mapping.oriented import LEAST_SIZE, fit_uprights
from groundplane.spatial.mapping.room import Room
from groundplane.spatial.mapping.tallies import Tally
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.scenes.fields import make_ids

__all__ = ["frozen"]


def frozen(
    things: Things, *, name: str, room: Room | None, floor: float | None, notes: tuple[str, ...]
) -> CognitiveMap:
    """The objects that are likely enough to exist, as a map.

    Args:
        things: What was seen.
        name: Of the map.
        room: The room round them, if known.
        floor: z of the floor, metres, if known; else the room's.
        notes: What a reader must know; the room's own follow.
    """
    options = things.options
    slots = [slot for slot in things.live() if _counts(things.tally(slot), things)]
    # In the order in which they were first seen; of those seen together, as they were found.
    slots.sort(key=lambda slot: (things.tally(slot).first_seen, things.tally(slot).born))
    tallies = [things.tally(slot) for slot in slots]
    labels = tuple(tally.label for tally in tallies)
    ids = make_ids(labels, {})
    told = () if room is None else room.notes
    return CognitiveMap(
        name=name,
        ids=ids,
        objects=_boxes(things, slots),
        labels=labels,
        scores=torch.tensor([tally.existence for tally in tallies], dtype=torch.float64),
        attributes=tuple({} for _ in ids),
        fronts=torch.full((len(ids), 3), torch.nan, dtype=torch.float64),
        first_seen=torch.tensor([tally.first_seen for tally in tallies], dtype=torch.float64),
        room=None if room is None else room.outline,
        room_area=None if room is None else room.area,
        floor=room.floor if floor is None and room is not None else floor,
        scale=options.scale,
        provenance={key: tally.cited() for key, tally in zip(ids, tallies, strict=True)},
        notes=tuple(dict.fromkeys((*notes, *told))),
    )


def _counts(tally: Tally, things: Things) -> bool:
    """Whether an object has the support that it needs."""
    options = things.options
    return tally.hits >= options.least_frames and tally.existence >= options.least_existence


def _boxes(things: Things, slots: list[int]) -> Boxes3D:
    """The boxes that views agree on; those round the points where no view was kept."""
    points, counts = things.points(slots)
    parts, noise = [fit_uprights(points[:0], counts[:0])], np.zeros((len(slots), 6, 6))
    common = things.options.common
    pieces = np.split(points, np.cumsum(counts))[:-1]
    for i, (slot, own) in enumerate(zip(slots, pieces, strict=True)):
        tally = things.tally(slot)
        if tally.boxes:
            part, noise[i] = fuse(tally.boxes, own.astype(np.float64), common=common)
        else:
            part = fit_uprights(own, np.array([len(own)]))
            turn = np.eye(6)
            turn[3:, 3:] = part.axes[0]
            noise[i] = turn @ tally.spread(common) @ turn.T
        parts.append(part)
    return Boxes3D(
        centers=torch.from_numpy(np.concatenate([part.centers for part in parts])),
        sizes=torch.from_numpy(
            np.maximum(np.concatenate([part.sizes for part in parts]), LEAST_SIZE)
        ),
        axes=torch.from_numpy(np.concatenate([part.axes for part in parts])),
        # All zero is what sightings without noise add up to: then nothing is known of it.
        covariance=torch.from_numpy((noise + noise.transpose(0, 2, 1)) / 2)
        if noise.any()
        else None,
    )

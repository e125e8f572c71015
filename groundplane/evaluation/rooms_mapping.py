"""The map of a rendered room, built from what a camera sees, with noise of a kind or without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from groundplane.core.masks import bounding_box, encode
from groundplane.core.regions import Regions
from groundplane.evaluation.rooms_records import Condition
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.lifting import Lifter
from groundplane.spatial.mapping.room import RoomBuilder
from groundplane.spatial.mapping.tallies import BuilderOptions
from groundplane.testing.rooms.questions_order import LEAST_SHARE
from groundplane.testing.rooms.room import RenderedFrame, Room

__all__ = ["map_room"]


def map_room(room: Room, shots: Sequence[RenderedFrame], condition: Condition) -> CognitiveMap:
    """Look at the pictures of a walk, lift what is seen, and put it together.

    Args:
        room: The room that is walked through.
        shots: What the camera saw.
        condition: What the detector, the depth or the poses get wrong.
    """
    labels = {thing.id: thing.label for thing in room.objects}
    pixels = shots[0].ids.size if shots else 0
    options = BuilderOptions(least_pixels=math.ceil(LEAST_SHARE * pixels))
    lifter, builder, rooms = Lifter(), MapBuilder(options), RoomBuilder()
    for shot in shots:
        frame = shot.frame()
        builder.add(lifter.lift(_look(shot, labels), frame))
        rooms.add(frame)
    return builder.freeze(name=room.name, room=rooms.room())


def _look(shot: RenderedFrame, labels: Mapping[int, str]) -> Regions:
    keys = [key for key in np.unique(shot.ids).tolist() if key > 0]
    masks = tuple(encode(shot.ids == key) for key in keys)
    phrases = tuple(dict.fromkeys(labels.values()))
    boxes = [bounding_box(mask) for mask in masks]
    return Regions(
        ids=tuple(map(str, keys)),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.ones(len(keys)),
        phrases=phrases,
        phrase_ids=torch.tensor([phrases.index(labels[key]) for key in keys], dtype=torch.long),
        image_size=(shot.ids.shape[1], shot.ids.shape[0]),
        masks=masks,
    )

"""A room with known truth as a capture on disk, and its ids as a COCO file that an expert plays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundplane.captures.opening import open_capture
from groundplane.core.camera import Frame
from groundplane.core.masks import area, bounding_box, encode, to_counts
from groundplane.testing.captures import write_capture
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.replay import Replay
from groundplane.testing.rooms.room import Room

SEED, STEP, SIZE = 3, 36, (160, 120)
# Metres by which two ways to the same box may differ.
LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedRoom:
    """A room, its frames with exact depth and poses, and where they are on disk."""

    room: Room
    replay: Replay
    frames: list[Frame]
    folder: Path
    instances: Path

    @property
    def labels(self) -> list[str]:
        """What is in it, each label once."""
        return sorted({thing.label for thing in self.room.objects})


def write_room(folder: Path) -> MappedRoom:
    """Draw a room and write it down."""
    room = make_room(SEED)
    replay = Replay.of(room)
    shots = list(room.shots(step=STEP, size=SIZE))
    frames = list(replay.watch(shots))
    capture = write_capture(folder / "walk", frames, layout="rgbd", up=(0.0, 0.0, 1.0))
    names = [frame.image.source.name for frame in open_capture(capture).frames()]
    labels = {thing.id: thing.label for thing in room.objects}
    kinds = sorted(set(labels.values()))
    rows = [
        {
            "image_id": index, "category_id": kinds.index(labels[key]) + 1, "iscrowd": 0,
            **_region(shot.ids == key),
        }
        for index, shot in enumerate(shots)
        for key in np.unique(shot.ids[shot.ids > 0]).tolist()
    ]  # fmt: skip
    document = {
        "images": [
            {"id": index, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for index, name in enumerate(names)
        ],
        # What is known and nowhere to be seen comes last.
        "categories": [{"id": i + 1, "name": kind} for i, kind in enumerate([*kinds, "dog"])],
        "annotations": [{"id": index + 1, **row} for index, row in enumerate(rows)],
    }
    instances = folder / "instances.json"
    instances.write_text(json.dumps(document))
    return MappedRoom(room=room, replay=replay, frames=frames, folder=capture, instances=instances)


def _region(mask: np.ndarray) -> dict[str, object]:
    rle = encode(mask)
    x0, y0, x1, y1 = np.asarray(bounding_box(rle)).tolist()
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(area(rle)),
        "segmentation": {"size": list(mask.shape), "counts": list(map(int, to_counts(rle)))},
    }

"""Rooms on disk: a capture that is read as any other, and beside it the truth.

image/ depth/ poses.json   the capture, in the layout `rgbd`
ids/00000.png              id of each pixel, 16 bits; 0 for walls, floor and ceiling
truth.json                 the things with ids, labels and boxes, and the floor's outline
scene.json                 the same as a map, for `groundplane ask`
coco.json                  masks of every picture, for the detector `coco-file`
walk.mp4                   the whole walk at 30 pictures a second, where it is asked for
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError, OutputError
from groundplane.core.masks import area, bounding_box, encode
from groundplane.core.media import read_image
from groundplane.testing.rooms.furniture import LABELS
from groundplane.testing.rooms.replay import Replay
from groundplane.testing.rooms.room import RenderedFrame, Room

__all__ = ["load_replay", "save_room"]

_FORMAT = "groundplane-room"


def save_room(
    room: Room,
    folder: str | Path,
    *,
    step: int = 10,
    size: tuple[int, int] = (320, 240),
    video: bool = False,
) -> Path:
    """Write a room's walk as a capture, and the truth beside it.

    Args:
        room: What to draw.
        folder: Made if it is not there; it must be empty.
        step: Every so many poses of the walk; the video has all of them.
        size: Width and height, pixels.
        video: Whether to write `walk.mp4` too; needs the extra `video`.

    Returns:
        The folder.

    Raises:
        OutputError: If the folder holds something, or cannot be written to.
        PluginBrokenError: If EGL or an extra is missing.
    """
    from groundplane.testing.captures import write_capture

    target = Path(folder)
    try:
        (target / "ids").mkdir(parents=True)
        if len(list(target.iterdir())) > 1:
            raise FileExistsError("it holds other files")
    except OSError as error:
        raise OutputError(
            f"rooms: {str(target)!r} cannot be written to ({error.strerror or error}); "
            "give a folder that is empty or not there"
        ) from error
    keeper = _Keeper(room, target)
    write_capture(
        target, keeper.frames(room.shots(step=step, size=size)), layout="rgbd", up=(0.0, 0.0, 1.0)
    )
    _write(target / "coco.json", keeper.coco)
    _write(target / "truth.json", _truth(room))
    _write(target / "scene.json", _scene(room))
    if video:
        write_capture(target, room.frames(step=1, size=size), layout="video")
    return target


def load_replay(folder: str | Path) -> Replay:
    """The replay of a room that was written: an oracle looks at its pictures from disk with it.

    Raises:
        InputError: If the folder was not written by `save_room`.
    """
    source = Path(folder)
    try:
        truth = json.loads((source / "truth.json").read_text(encoding="utf-8"))
        names = sorted((source / "ids").glob("*.png"))
        labels = {int(thing["id"]): str(thing["label"]) for thing in truth["objects"]}
        replay = Replay(labels, name=str(truth["name"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"rooms: {str(source)!r} is no room that was saved ({type(error).__name__}: {error})"
        ) from error
    for path in names:
        with PILImage.open(path) as picture:
            ids = np.asarray(picture).astype(np.int32)
        replay.add(read_image(source / "image" / path.name), ids)
    return replay


class _Keeper:
    """Writes ids, and gathers masks, of pictures on their way to a capture."""

    def __init__(self, room: Room, folder: Path) -> None:
        self._folder = folder / "ids"
        self._numbers = {label: number for number, label in enumerate(LABELS, start=1)}
        self._labels = {thing.id: thing.label for thing in room.objects}
        self.coco: dict[str, Any] = {
            "categories": [{"id": n, "name": label} for label, n in self._numbers.items()],
            "images": [],
            "annotations": [],
        }

    def frames(self, shots: Iterable[RenderedFrame]) -> Iterator[Frame]:
        """The frames of pictures, as they go by."""
        for shot in shots:
            name = f"{shot.index:05d}.png"
            PILImage.fromarray(shot.ids.astype(np.uint16)).save(self._folder / name)
            self._gather(shot, name)
            yield shot.frame()

    def _gather(self, shot: RenderedFrame, name: str) -> None:
        height, width = shot.ids.shape
        record = {"id": shot.index, "file_name": name, "width": width, "height": height}
        self.coco["images"].append(record)
        for id in np.unique(shot.ids).tolist():
            if id == 0:
                continue
            mask = encode(shot.ids == id)
            x0, y0, x1, y1 = bounding_box(mask)
            annotation = {
                "id": len(self.coco["annotations"]) + 1,
                "image_id": shot.index,
                "category_id": self._numbers[self._labels[id]],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": area(mask),
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": mask.counts.decode("ascii")},
            }
            self.coco["annotations"].append(annotation)


def _truth(room: Room) -> dict[str, Any]:
    things = []
    for thing in room.objects:
        center, size = thing.box
        things.append(
            {
                "id": thing.id,
                "label": thing.label,
                "support": thing.support,
                "center": center.tolist(),
                "size": size.tolist(),
                "axes": thing.axes.tolist(),
            }
        )
    return {
        "format": _FORMAT,
        "version": 1,
        "name": room.name,
        "seed": room.seed,
        "kind": room.kind,
        "area": room.area,
        "floor": room.floor,
        "height": room.height,
        "outline": room.outline.tolist(),
        "objects": things,
    }


def _scene(room: Room) -> dict[str, Any]:
    things = []
    for thing in room.objects:
        center, size = thing.box
        things.append(
            {
                "id": f"{thing.label}-{thing.id}",
                "label": thing.label,
                "center": center.tolist(),
                "size": size.tolist(),
                "yaw": math.degrees(thing.yaw),
            }
        )
    return {
        "format": "groundplane-map",
        "version": 1,
        "name": room.name,
        "floor": room.floor,
        "room": {"polygon": room.outline.tolist(), "area": room.area},
        "objects": things,
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

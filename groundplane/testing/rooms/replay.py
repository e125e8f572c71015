"""The ids of pictures that were drawn, kept small, to be found again by picture."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int32

from groundplane.core.camera import Frame
from groundplane.core.errors import DetectorError, InputError, ShapeError, did_you_mean
from groundplane.core.image import Image
from groundplane.testing.rooms.room import RenderedFrame, Room

__all__ = ["Replay"]

_WHO = "oracle"
_MOST = 2**16


class Replay:
    """What pictures truly show: for each the ids of its pixels; a few kilobytes a picture.

    Args:
        labels: The label of each id.
        name: Of the room; other names give other noise.

    Raises:
        InputError: If an id is not from 1 to 65535.
    """

    def __init__(self, labels: Mapping[int, str], *, name: str = "room") -> None:
        if strange := [id for id in labels if not 0 < id < _MOST]:
            raise InputError(f"replay: expected ids from 1 to {_MOST - 1}, got {strange[:5]}")
        self.labels, self.name = dict(labels), name
        # By the hash of the pixels; a picture that was written and read again has its name only.
        self._packed: dict[str, tuple[str, tuple[int, int], bytes]] = {}
        self._by_name: dict[str, str] = {}

    @classmethod
    def of(cls, room: Room) -> Replay:
        """An empty one for a room; fill it with `watch` or `add`."""
        return cls({thing.id: thing.label for thing in room.objects}, name=room.name)

    def __len__(self) -> int:
        return len(self._packed)

    def watch(self, shots: Iterable[RenderedFrame]) -> Iterator[Frame]:
        """Keep the ids of pictures as they go by, and give their frames on."""
        for shot in shots:
            frame = shot.frame()
            self.add(frame.image, shot.ids)
            yield frame

    def add(self, image: Image, ids: Int32[np.ndarray, "h w"]) -> None:
        """Keep what a picture shows; it is found again by its pixels or by its name.

        Raises:
            ShapeError: If there is not one id a pixel.
            InputError: If an id has no label.
        """
        if ids.shape != image.pixels.shape[:2]:
            raise ShapeError(f"replay: ids {ids.shape} for an image {image.pixels.shape[:2]}")
        known = np.array([0, *self.labels])
        if strange := np.setdiff1d(ids, known).tolist():
            raise InputError(f"replay: ids {strange[:5]} have no label")
        name = PurePosixPath(image.source.name).name
        size = (int(ids.shape[0]), int(ids.shape[1]))
        packed = zlib.compress(ids.astype("<u2").tobytes(), 1)
        self._packed[image.source.content_hash] = (name, size, packed)
        self._by_name[name] = image.source.content_hash

    def name_of(self, image: Image) -> str:
        """Under which name a picture was kept.

        Raises:
            DetectorError: If it was not, or has another size now.
        """
        return self._found(image)[0]

    def ids_of(self, image: Image) -> Int32[np.ndarray, "h w"]:
        """The ids of a picture's pixels; 0 for walls, floor and ceiling.

        Raises:
            DetectorError: If the picture was not kept, or has another size now.
        """
        _, size, packed = self._found(image)
        flat = np.frombuffer(zlib.decompress(packed), dtype="<u2")
        return flat.reshape(size).astype(np.int32)

    def _found(self, image: Image) -> tuple[str, tuple[int, int], bytes]:
        name = PurePosixPath(image.source.name).name
        key = image.source.content_hash
        kept = self._packed.get(key) or self._packed.get(self._by_name.get(name, ""))
        if kept is None:
            raise DetectorError(
                f"{_WHO}: picture {image.source.name!r} is none of the {len(self)} that it was "
                f"shown.{did_you_mean(name, self._by_name)}"
            )
        if kept[1] != image.pixels.shape[:2]:
            raise DetectorError(
                f"{_WHO}: picture {name!r} was shown with {kept[1][1]} x {kept[1][0]} pixels, now "
                f"it has {image.size[0]} x {image.size[1]}; give it as it was"
            )
        return kept

"""What a source lists and what decoding makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from groundplane.core.annotation import Failure, VideoFrame
from groundplane.core.errors import ShapeError

__all__ = ["Item", "ItemEnd", "Picture", "Unread"]

_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A picture or a video of a source, not read yet.

    Attributes:
        path: Relative to the source, with `/` between its parts; unique in the source.
        kind: `picture`, `video`, or `fault` for what listing found to be unreadable: its `where`
            holds a `message`.
        where: How a worker process gets at its bytes: plain values only, such as the path of a
            file, or that of an archive and a place in it.
        stamp: Size in bytes and time of change in nanoseconds (or another mark of the version,
            such as an object store's), by which an unchanged item is known without reading it;
            None where there is none.
        frame_step: Of a video, every how manieth frame is wanted.
        frames_done: Of a video, one bit a decoded frame, lowest first: 1 where it is done.
        held: The encoded bytes or the pixels themselves, where a program handed them over.
    """

    path: str
    kind: str = "picture"
    where: Mapping[str, str | int] = field(default_factory=dict)
    stamp: tuple[int, int] | None = None
    frame_step: int = 1
    frames_done: bytes = b""
    held: bytes | np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A decoded picture, or a decoded frame of a video.

    Attributes:
        path: As in the record: the item's, and of a frame `#` and its index behind it.
        content_hash: SHA-256 of the encoded bytes; of a frame that of the video.
        pixels: RGB, upright. Where `slot` is a number it lies in memory shared with worker
            processes and is valid only until the picture is released.
        to_stored: The rows of the affine map from upright pixels to stored ones.
        stamp: The item's.
        frame: Where it stands in a video.
        slot: Which shared slot holds the pixels; -1 where they are the process's own.
        seconds: What reading and decoding took.
    """

    path: str
    content_hash: str
    pixels: UInt8[np.ndarray, "h w 3"]
    to_stored: tuple[float, ...] = _UPRIGHT
    stamp: tuple[int, int] | None = None
    frame: VideoFrame | None = None
    slot: int = -1
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
            raise ShapeError(f"picture {self.path!r}: {self.pixels.dtype} {shape}")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An item that gave no picture.

    Attributes:
        path: As in the record.
        content_hash: SHA-256 of the bytes; empty where they could not be read.
        failure: Why.
        stamp: The item's.
    """

    path: str
    content_hash: str
    failure: Failure
    stamp: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEnd:
    """Nothing more comes of a video; a picture ends with its `Picture` or `Unread`.

    Attributes:
        path: The item's.
        content_hash: SHA-256 of the video's bytes; empty where they could not be read.
        frames: How many were decoded, those too that were not wanted or were done.
        stamp: The item's.
    """

    path: str
    content_hash: str
    frames: int
    stamp: tuple[int, int] | None = None

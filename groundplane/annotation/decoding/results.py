"""What a process that decodes says of an item, as the pool gives it on."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import UInt8

from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.annotation import Failure, VideoFrame

__all__ = ["end_of", "picture_of", "unread_of"]


def picture_of(item: Item, message: Any, pixels: UInt8[np.ndarray, "h w 3"], slot: int) -> Picture:
    """A picture, or a frame of a video.

    Raises:
        ValueError: If the message makes no sense; or another error of a lookup or a conversion.
    """
    path, frame = item.path, None
    to_stored = tuple(float(number) for number in message["map"])
    if len(to_stored) != 6 or not all(map(math.isfinite, to_stored)):
        raise ValueError("a map that is none")
    if "frame" in message:
        index, numerator, denominator = message["frame"]
        frame = VideoFrame(
            video=item.path, index=int(index), time=float(Fraction(numerator, denominator))
        )
        path = f"{item.path}#{frame.index}"
    return Picture(
        path=path,
        content_hash=str(message["hash"]),
        pixels=pixels,
        to_stored=to_stored,
        stamp=item.stamp,
        frame=frame,
        slot=slot,
        seconds={str(stage): float(taken) for stage, taken in message["seconds"].items()},
    )


def unread_of(item: Item, message: Any) -> Unread:
    """Word that an item has a fault."""
    return Unread(
        path=item.path,
        content_hash=str(message.get("hash", "")),
        failure=Failure(stage=str(message["stage"]), message=str(message["message"])),
        stamp=item.stamp,
    )


def end_of(item: Item, message: Any) -> ItemEnd:
    """Word that a video is over."""
    return ItemEnd(
        path=item.path,
        content_hash=str(message["hash"]),
        frames=int(message["frames"]),
        stamp=item.stamp,
    )

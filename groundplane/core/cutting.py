"""Parts of pictures."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from jaxtyping import Float64

from groundplane.core.image import FrameMap, Image, Source

__all__ = ["cut_out", "pixels_of"]


def pixels_of(
    box: Float64[np.ndarray, "4"], size: tuple[int, int], *, margin: float = 0.0
) -> tuple[int, int, int, int]:
    """The pixels that a box touches, at least one.

    Args:
        box: `xyxy`, pixels; it may leave the picture.
        size: Width and height of the picture, pixels.
        margin: What is added on each side, in shares of the box's width and height.

    Returns:
        Left, top, right, bottom in whole pixels, half-open, within the picture.

    Examples:
        >>> pixels_of(np.array([1.5, 2.0, 9.2, 8.0]), (40, 30))
        (1, 2, 10, 8)
        >>> pixels_of(np.array([1.5, 2.0, 9.5, 8.0]), (40, 30), margin=0.5)
        (0, 0, 14, 11)
        >>> pixels_of(np.array([40.0, 30.0, 40.0, 30.0]), (40, 30))
        (39, 29, 40, 30)
    """
    left, top, right, bottom = (float(edge) for edge in box)
    across, down = margin * (right - left), margin * (bottom - top)
    begin = [
        min(max(math.floor(edge), 0), side - 1)
        for edge, side in zip((left - across, top - down), size, strict=True)
    ]
    end = [
        max(min(math.ceil(edge), side), start + 1)
        for edge, side, start in zip((right + across, bottom + down), size, begin, strict=True)
    ]
    return begin[0], begin[1], end[0], end[1]


def cut_out(image: Image, box: Float64[np.ndarray, "4"], *, margin: float = 0.0) -> Image:
    """The part of a picture within a box.

    Args:
        image: The picture.
        box: `xyxy`, pixels.
        margin: See `pixels_of`.

    Returns:
        The part, with the way back to the whole picture's file. Its hash is its own.

    Examples:
        >>> grey = Image(
        ...     pixels=np.zeros((30, 40, 3), np.uint8),
        ...     source=Source(name="grey", content_hash="0"),
        ...     frame_map=FrameMap.identity(),
        ... )
        >>> cut_out(grey, np.array([1.5, 2.0, 9.2, 8.0])).size
        (9, 6)
        >>> cut_out(grey, np.zeros(4)).size
        (1, 1)
    """
    left, top, right, bottom = pixels_of(box, image.size, margin=margin)
    # A hash of its own, as a model keeps what it knows of a picture by it.
    key = f"{image.source.content_hash}@{left},{top},{right},{bottom}"
    moved = FrameMap(matrix=np.array([[1.0, 0.0, left], [0.0, 1.0, top]]))
    return Image(
        pixels=np.ascontiguousarray(image.pixels[top:bottom, left:right]),
        source=Source(
            name=image.source.name, content_hash=hashlib.sha256(key.encode()).hexdigest()
        ),
        frame_map=moved.then(image.frame_map),
    )

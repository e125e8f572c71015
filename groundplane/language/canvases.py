"""The canvas of a picture, read from the image processor that prepares it."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.image import FrameMap

__all__ = ["middle_frame", "processed_frame", "stretched_frame"]

# Most pixels of anything that is made of a picture on the way, as in `core.views`.
_MOST_PIXELS = 40_000_000


def processed_frame(pictures: Any, size: tuple[int, int]) -> Frame:
    """What an image processor of CLIP's or LLaVA's kind shows of a picture.

    Args:
        pictures: The image processor; its `do_pad`, `do_resize`, `size`, `do_center_crop` and
            `crop_size` are followed.
        size: Width and height of the picture, pixels.

    Raises:
        InputError: If it would make too large a picture on the way.

    Source: transformers, `LlavaImageProcessor` and `CLIPImageProcessor`.
    """
    frame = Frame.original(size)
    if getattr(pictures, "do_pad", None) and hasattr(pictures, "pad_to_square"):
        frame = frame.then(Frame.padded(size))
        _check_area(size, frame.canvas)
    if pictures.do_resize:
        seen = _resized(pictures.size, frame.canvas)
        _check_area(size, seen)
        frame = frame.then(Frame.resized(frame.canvas, seen))
    if pictures.do_center_crop:
        crop = (int(pictures.crop_size["width"]), int(pictures.crop_size["height"]))
        frame = frame.then(_cut(frame.canvas, crop))
    return frame


def middle_frame(pictures: Any, size: tuple[int, int]) -> Frame:
    """The longest side fills a square, the picture stands in its middle.

    Args:
        pictures: The image processor of Janus' or DeepSeek-VL's kind; its `size`, `min_size`,
            `do_resize` and `do_pad` are followed.
        size: Width and height of the picture, pixels.

    Source: transformers, `JanusImageProcessor` and `DeepseekVLImageProcessor`.
    """
    frame = Frame.original(size)
    if pictures.do_resize:
        scale = int(pictures.size["height"]) / max(size)
        width, height = (max(round(edge * scale), pictures.min_size) for edge in size)
        frame = Frame.resized(size, (width, height))
    if getattr(pictures, "do_pad", None) is False:
        return frame
    width, height = frame.canvas
    side = max(width, height)
    shift = np.array([[1.0, 0.0, (side - width) // 2], [0.0, 1.0, (side - height) // 2]])
    return frame.then(
        Frame(
            image_size=frame.canvas,
            canvas=(side, side),
            to_canvas=FrameMap(matrix=shift),
        )
    )


def stretched_frame(size: tuple[int, int], seen: tuple[int, int]) -> Frame:
    """The whole picture, stretched; see `processed_frame`."""
    _check_area(size, seen)
    return Frame.resized(size, seen)


def _resized(wanted: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height after the shortest side, or both, were brought to a size."""
    shortest = wanted.get("shortest_edge")
    if shortest is None:
        return int(wanted["width"]), int(wanted["height"])
    width, height = size
    if width <= height:
        return int(shortest), int(shortest * height / width)
    return int(shortest * width / height), int(shortest)


def _cut(size: tuple[int, int], crop: tuple[int, int]) -> Frame:
    """The middle of a picture; half pixels are cut, and what is too small is filled up."""
    lost = [side - kept for side, kept in zip(size, crop, strict=True)]
    across, down = (-(one // 2) if one >= 0 else -one // 2 for one in lost)
    shift = FrameMap(matrix=np.array([[1.0, 0.0, across], [0.0, 1.0, down]]))
    return Frame(image_size=size, canvas=crop, to_canvas=shift)


def _check_area(size: tuple[int, int], made: tuple[int, int]) -> None:
    if made[0] * made[1] > _MOST_PIXELS:
        raise InputError(
            f"picture of {size[0]} by {size[1]} pixels: expected at most {_MOST_PIXELS} pixels "
            f"while it is prepared for the model, got {made[0]} by {made[1]}; cut it into parts "
            "first"
        )

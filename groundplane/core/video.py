"""Videos frame by frame: bounded, upright RGB, with the time of each frame.

One frame is held at a time. Only containers of videos are opened: neither play lists nor anything
else that names further files or addresses.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import IO, Any

import numpy as np
from jaxtyping import Float, UInt8

from groundplane.core.errors import MediaError
from groundplane.core.hub import need_library
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.media import MediaLimits

__all__ = ["DecodedFrame", "is_video_name", "read_frames"]

_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
# Names of FFmpeg's demuxers.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,ogg,asf"
_LIMITS = MediaLimits()
_MOST_FRAMES = 10_000_000
_CLOCK = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,9})?)")
# Seconds that a stated end may lie behind the end of the last frame.
_SLACK = Fraction(1, 10)
_UPRIGHT = np.array([[1.0, 0.0], [0.0, 1.0]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedFrame:
    """A frame of a video.

    Attributes:
        index: In the order in which frames are shown, from 0.
        time: Presentation time as the file states it, seconds.
        image: The picture, named after the video, its hash empty; None where it was not wanted.
    """

    index: int
    time: Fraction
    image: Image | None


def is_video_name(path: str | PathLike[str]) -> bool:
    """Whether a file's ending says that it is a video.

    Examples:
        >>> is_video_name("walk.MP4"), is_video_name("walk.jpg")
        (True, False)
    """
    return str(path).lower().endswith(_SUFFIXES)


def read_frames(
    source: str | PathLike[str] | IO[bytes],
    *,
    name: str,
    limits: MediaLimits = _LIMITS,
    wanted: Callable[[int], bool] = lambda index: True,
) -> Iterator[DecodedFrame]:
    """Decode the first video stream of a file.

    A turn or a flip that the file states is applied. The index is that of the decoded frame,
    whatever its time, so it also holds where the frame rate varies.

    Args:
        source: The file's path, or the file opened in binary and at its beginning.
        name: What to call it in messages.
        limits: What a frame may be at most; `max_bytes` is not looked at.
        wanted: Whether the picture of a frame is wanted. The others cost no conversion.

    Raises:
        MediaError: If it is no video, or is broken or cut off: after the last good frame.
        PluginBrokenError: If PyAV is not installed.
    """
    av = need_library("av", who="reading videos", extra="video")
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    path = source if hasattr(source, "read") else str(source)
    try:
        with av.open(path, options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise _error(name, "it holds no video")
            yield from _frames(container, container.streams.video[0], name, limits, wanted)
    except (av.FFmpegError, OSError) as error:
        raise _error(name, f"it is broken or cut off ({_brief(error)})") from error


def _frames(
    container: Any, stream: Any, name: str, limits: MediaLimits, wanted: Callable[[int], bool]
) -> Iterator[DecodedFrame]:
    if stream.codec_context is None:
        raise _error(name, "nothing here decodes its codec")
    # Frames that several threads decode come out the same, but for those of broken files.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    packets = index = 0
    cut = False
    # What PyAV hands out of a frame's side data keeps the frame, and a thread of its conversion,
    # until garbage is collected; so it is looked at only where the rotation is another one.
    turns: dict[int, Float[np.ndarray, "2 2"]] = {}
    end = gap = Fraction(0)
    for packet in container.demux(stream):
        if packet.size:
            packets += 1
            cut = packet.is_corrupt
        for frame in packet.decode():
            _check_size(frame.width, frame.height, name, limits)
            if index >= _MOST_FRAMES:
                raise _error(name, f"it has more than {_MOST_FRAMES} frames")
            if frame.rotation not in turns:
                turns[frame.rotation] = _turn(frame)
            image = _upright(frame, turns[frame.rotation], name) if wanted(index) else None
            time = _time(frame, index, rate)
            yield DecodedFrame(index=index, time=time, image=image)
            index += 1
            gap, end = max(gap, time - end if index > 1 else gap), time
    if not index:
        raise _error(name, "it has no frame that can be decoded")
    if cut or packets < stream.frames or end + gap + _SLACK < _stated_end(stream):
        raise _error(name, f"it is cut off after {index} frames of {stream.frames or 'more'}")


def _stated_end(stream: Any) -> Fraction:
    """Where a Matroska file says that its stream ends, seconds; 0 where it does not say.

    What is cut off there ends without an error. Other containers count their packets instead.
    """
    stated = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    if stated is None:
        return Fraction(0)
    hours, minutes, seconds = (Fraction(number) for number in stated.groups())
    return hours * 3600 + minutes * 60 + seconds


def _time(frame: Any, index: int, rate: Fraction) -> Fraction:
    """Seconds; where the file does not state them, from the frame rate."""
    if frame.pts is None or not frame.time_base:
        return index / Fraction(rate)
    return Fraction(frame.time_base) * int(frame.pts)


def _upright(frame: Any, turn: Float[np.ndarray, "2 2"], name: str) -> Image:
    pixels: UInt8[np.ndarray, "h w 3"] = frame.to_ndarray(format="rgb24")
    height, width = pixels.shape[:2]
    # Rows and columns change places, or are run through backwards.
    if turn[0, 0] == 0:
        pixels = pixels.transpose(1, 0, 2)
    x_of, y_of = turn @ np.array([1.0, 1.0])
    pixels = pixels[:: int(y_of), :: int(x_of)]
    to_stored = np.zeros((2, 3))
    to_stored[:, :2] = turn.T
    # A backwards axis begins at the far side of the stored picture.
    to_stored[:, 2] = np.where(turn.T.sum(axis=1) < 0, [width, height], 0.0)
    return Image(
        pixels=np.ascontiguousarray(pixels),
        source=Source(name=name, content_hash=""),
        frame_map=FrameMap(matrix=to_stored),
    )


def _turn(frame: Any) -> Float[np.ndarray, "2 2"]:
    """How stored directions come to lie in the upright picture: right, then down, in columns.

    The matrix of nine numbers that containers state (ISO/IEC 14496-12, 8.3.2.3) maps row vectors;
    one that is no quarter turn or flip of the axes is taken as the nearest that is.
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
            if abs(a * d) >= abs(b * c):
                return np.array([[_sign(a), 0.0], [0.0, _sign(d)]])
            return np.array([[0.0, _sign(c)], [_sign(b), 0.0]])
    return _UPRIGHT


def _sign(number: float) -> float:
    return math.copysign(1.0, number)


def _check_size(width: int, height: int, name: str, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels:
        raise _error(
            name,
            f"{width} x {height} pixels are more than {limits.max_pixels}; "
            "make it smaller or raise MediaLimits.max_pixels",
        )
    if max(width, height) > limits.max_aspect * min(width, height):
        raise _error(name, f"{width} x {height} pixels are longer than {limits.max_aspect:g} to 1")


def _error(name: str, what: str) -> MediaError:
    return MediaError(f"cannot read video {name!r}: {what}")


def _brief(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160]

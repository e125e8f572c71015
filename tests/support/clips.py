"""Videos for tests, made by PyAV."""

import struct
from fractions import Fraction

import av
import numpy as np

_MILLI = Fraction(1, 1000)


def write_clip(path, pictures, *, times=None, rate=25, codec="ffv1", form="bgr0", **options):
    """Write pictures (uint8 h w 3) as a video; `times` in milliseconds, else at a fixed rate."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, form
        if times is not None:
            stream.time_base = stream.codec_context.time_base = _MILLI
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], _MILLI
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn_clip(path, matrix):
    """State another display matrix (a, b, c, d) in an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (int(number) * 65536 for number in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def noise(count, size=(32, 24), seed=0):
    width, height = size
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), "u1"))

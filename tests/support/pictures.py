"""Pictures for tests, made byte by byte."""

import io
import struct
import zlib

import pytest

from groundplane.core.errors import MediaError
from groundplane.core.media import read_image


def encode_picture(picture, format_, **options):
    stream = io.BytesIO()
    picture.save(stream, format_, **options)
    return stream.getvalue()


def make_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(size, *, depth=8, color=0, raw=b"", extra=b""):
    """A PNG of given header and raw rows, which need not fit each other."""
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    body = make_chunk(b"IHDR", header) + extra + make_chunk(b"IDAT", zlib.compress(raw, 9))
    return b"\x89PNG\r\n\x1a\n" + body + make_chunk(b"IEND", b"")


def refusal_of(source, **options):
    """The message with which a source is refused; one line, naming it, with a cause."""
    with pytest.raises(MediaError) as caught:
        read_image(source, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    return message

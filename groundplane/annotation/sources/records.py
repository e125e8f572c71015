"""The pictures of records, read again from their source: what exporters copy."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image as PILImage

from groundplane.annotation.items import Item
from groundplane.annotation.sources.source import Source
from groundplane.core.annotation import AnnotationRecord, VideoFrame
from groundplane.core.errors import MediaError
from groundplane.core.files import digest_of, one_line
from groundplane.core.media import read_image
from groundplane.core.video import DecodedFrame, read_frames

__all__ = ["RecordReader"]


class RecordReader:
    """Gives the encoded bytes of a record's picture; of a frame of a video, a PNG.

    Frames are cheap in their order; going back begins the video anew.

    Args:
        source: Where the pictures are.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._video = ""
        self._frames: Iterator[DecodedFrame] = iter(())
        self._next = 0
        self._wanted = 0

    def __call__(self, record: AnnotationRecord) -> bytes:
        """The bytes of a record's picture.

        Raises:
            MediaError: If it is gone or has changed since it was annotated.
        """
        item = self._source.find(record.frame.video if record.frame else record.path)
        if record.frame is not None:
            return self._frame(item, record, record.frame)
        if isinstance(item.held, np.ndarray):
            image = read_image(item.held, name=one_line(item.path))
            self._check(record, image.source.content_hash)
            return _png(image.pixels)
        data = self._source.read(item)
        self._check(record, hashlib.sha256(data).hexdigest())
        return data

    def _check(self, record: AnnotationRecord, found: str) -> None:
        if record.content_hash and record.content_hash != found:
            raise MediaError(
                f"cannot read {one_line(record.path)!r}: it has changed since it was annotated"
            )

    def _frame(self, item: Item, record: AnnotationRecord, frame: VideoFrame) -> bytes:
        if "file" not in item.where:
            raise MediaError(f"{one_line(item.path)}: frames are read from files only")
        if item.path != self._video or frame.index < self._next:
            self._open(item, record)
        self._wanted = frame.index
        for decoded in self._frames:
            self._next = decoded.index + 1
            if decoded.index == frame.index and decoded.image is not None:
                return _png(decoded.image.pixels)
        self._video = ""
        raise MediaError(f"{one_line(item.path)}: there is no frame {frame.index} (any more)")

    def _open(self, item: Item, record: AnnotationRecord) -> None:
        file = str(item.where["file"])
        try:
            self._check(record, digest_of(file))
        except OSError as error:
            raise MediaError(
                f"cannot read {one_line(item.path)!r}: {error.strerror or 'it is gone'}"
            ) from error
        self._frames = read_frames(
            file, name=one_line(item.path), wanted=lambda index: index == self._wanted
        )
        self._video, self._next = item.path, 0


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    PILImage.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()

"""Small copies of pictures for a page; the pictures themselves are only read."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PILImage

from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import GroundplaneError
from groundplane.core.media import MediaLimits, read_image
from groundplane.core.output_folder import OutputFolder

__all__ = ["PageTerms", "Pictures"]

_KINDS = ("pictures", "thumbs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTerms:
    """How large a page's copies are.

    Attributes:
        thumb: Longest side of a thumbnail, pixels.
        longest: Longest side of the picture that is opened, pixels.
        quality: Of JPEG.
        max_pixels: A larger picture is not copied.
    """

    thumb: int = 320
    longest: int = 1280
    quality: int = 80
    max_pixels: int = 40_000_000


class Pictures:
    """Copies each picture, or takes over the copies of an earlier page.

    A copy is named by what it was made from, so an unchanged picture has its copy already.

    Args:
        read: Gives a picture's encoded bytes; None if pictures cannot be had.
        folder: Where the copies go.
        earlier: Folder of the page that this one replaces; it may not be there.
        terms: How large the copies are.
    """

    def __init__(
        self,
        read: Callable[[AnnotationRecord], bytes] | None,
        folder: OutputFolder,
        *,
        earlier: Path,
        terms: PageTerms,
    ) -> None:
        self._read, self._folder, self._earlier, self._terms = read, folder, earlier, terms
        self._limits = MediaLimits(max_pixels=terms.max_pixels)
        self._there: set[bytes] = set()
        self.missing = 0

    def of(self, record: AnnotationRecord) -> str:
        """The name of a record's copies, without ending; empty if it has no picture to show."""
        if record.size is None or self._read is None:
            return ""
        key = _key(record, self._terms)
        name = f"{key.hex()[:2]}/{key.hex()[2:]}"
        if key in self._there or self._taken_over(name) or self._made(record, name):
            self._there.add(key)
            return name
        self.missing += 1
        return ""

    def _taken_over(self, name: str) -> bool:
        """Whether the earlier page has both copies; they are linked, or written again."""
        old = [self._earlier / kind / f"{name}.jpg" for kind in _KINDS]
        if not all(path.is_file() for path in old):
            return False
        for kind, path in zip(_KINDS, old, strict=True):
            place = self._folder.path / kind / f"{name}.jpg"
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)
            except OSError:  # a file system without links
                self._folder.write(f"{kind}/{name}.jpg", path.read_bytes())
        return True

    def _made(self, record: AnnotationRecord, name: str) -> bool:
        """Whether there is a picture of the record's size to be copied."""
        try:
            data = self._read(record) if self._read is not None else b""
            image = read_image(data, name=record.path, limits=self._limits)
        except GroundplaneError:  # gone, changed or refused: counted, and the page says so
            return False
        if image.size != record.size:
            return False
        large = _shrunk(PILImage.fromarray(image.pixels), self._terms.longest)
        for kind, copy in zip(_KINDS, (large, _shrunk(large, self._terms.thumb)), strict=True):
            buffer = io.BytesIO()
            copy.save(buffer, "JPEG", quality=self._terms.quality)
            self._folder.write(f"{kind}/{name}.jpg", buffer.getvalue())
        return True


def _key(record: AnnotationRecord, terms: PageTerms) -> bytes:
    """What a copy is made from: the bytes, the frame of a video, the sizes."""
    frame = "" if record.frame is None else record.frame.index
    made_of = f"{terms} {record.content_hash or record.path} {frame}"
    return hashlib.blake2b(made_of.encode("utf-8", "surrogatepass"), digest_size=10).digest()


def _shrunk(picture: PILImage.Image, longest: int) -> PILImage.Image:
    scale = longest / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), PILImage.Resampling.BILINEAR, reducing_gap=2.0)

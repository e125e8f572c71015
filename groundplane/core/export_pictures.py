"""Pictures beside exported labels: links, copies or none."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from groundplane.core.annotation import AnnotationRecord
from groundplane.core.exporting import ExportTarget, LossCounter

__all__ = ["PictureChoice", "picture_ending", "put_picture"]

PictureChoice = Literal["link", "copy", "none"]

# What readers of labels take for a picture.
_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def picture_ending(record: AnnotationRecord) -> str:
    """The ending under which a record's picture stands in an export.

    Readers of labels tell a picture by it, so one that they do not know becomes `.jpg`; what it
    is they find in its bytes. A video's frame is a PNG.

    Examples:
        >>> record = AnnotationRecord(path="a.PNG", content_hash="", status="done", size=(4, 3))
        >>> picture_ending(record)
        '.png'
    """
    if record.frame is not None:
        return ".png"
    ending = PurePosixPath(record.path).suffix.lower()
    return ending if ending in _ENDINGS else ".jpg"


def put_picture(
    record: AnnotationRecord,
    target: ExportTarget,
    counter: LossCounter,
    *,
    name: str,
    choice: PictureChoice,
) -> None:
    """Link or copy a record's picture into an export; one that cannot be had is counted.

    What is no file of its own, such as a video's frame or a picture in an archive, is copied.

    Args:
        record: The record.
        target: The export.
        counter: Its losses.
        name: Where in the export, with its ending.
        choice: What is wanted.

    Raises:
        MediaError: If it is gone or has changed.
        OutputError: If it cannot be written.
    """
    if choice == "none":
        return
    locate = target.locate if choice == "link" else None
    where = None if locate is None else locate(record)
    if where is not None:
        target.folder.link(name, where)
    elif target.read is not None:
        target.folder.write(name, target.read(record))
    else:
        counter.lose("pictures", why="they cannot be had; put them in by hand")

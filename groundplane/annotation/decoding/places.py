"""Files by path or address, opened to be read and sought in."""

from __future__ import annotations

import os
import stat
from typing import Protocol, runtime_checkable

from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library
from groundplane.core.regular_files import stamp_of

__all__ = ["Readable", "is_stored", "open_address", "open_place", "stamp_of_open"]


@runtime_checkable
class Readable(Protocol):
    """An open file; those of stores are no files of Python's, but can do the same."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or fewer at its end."""
        ...

    def seek(self, place: int, whence: int = 0, /) -> int:
        """Go to a place."""
        ...

    def tell(self) -> int:
        """The place."""
        ...

    def fileno(self) -> int:
        """Its descriptor."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def is_stored(place: str) -> bool:
    """Whether a place is the address of an object in a store rather than a path.

    Examples:
        >>> is_stored("s3://bucket/a.tar"), is_stored("/data/a.tar")
        (True, False)
    """
    return "://" in place


def open_place(place: str) -> Readable:
    """A file by its path or its address, to be read and sought in.

    Raises:
        OSError: If it cannot be opened.
        MediaError: If it is no regular file.
    """
    if is_stored(place):
        return open_address(place)
    # Opening a pipe must not wait for a writer.
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaError(f"{one_line(place)} is not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def open_address(address: str) -> Readable:
    """A file in an object store, to be read and sought in."""
    stores = need_library("fsspec", who=f"the source {one_line(address)}")
    file: Readable = stores.open(address, "rb").open()
    return file


def stamp_of_open(file: Readable) -> tuple[int, int] | None:
    """Size and time of change of an open file; None of an object in a store, which has none."""
    try:
        return stamp_of(os.fstat(file.fileno()))
    except (OSError, AttributeError):
        return None

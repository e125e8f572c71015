"""The bytes of a file that somebody else owns: regular, bounded, unchanged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from groundplane.core.errors import MediaError

__all__ = ["read_regular", "stamp_of"]


def read_regular(
    path: str | Path,
    *,
    name: str,
    max_bytes: int,
    stamp: tuple[int, int] | None = None,
) -> bytes:
    """Read a picture's file, which may be anything that has a name.

    Nothing but a regular file is opened, so neither a pipe nor a device keeps the caller waiting.

    Args:
        path: Where it is; a link is followed.
        name: What to call it in messages.
        max_bytes: A larger one is refused.
        stamp: What `stamp_of` gave when it was listed; None takes the file as it is.

    Raises:
        MediaError: If it is missing, no regular file, too large, cannot be read or has another
            stamp, before or after it was read.

    Examples:
        >>> read_regular("/dev/zero", name="zero.jpg", max_bytes=10)
        Traceback (most recent call last):
        ...
        groundplane.core.errors.MediaError: cannot read picture 'zero.jpg': it is not a regular file
    """
    try:
        _check(os.stat(path), name, max_bytes, stamp)
        # It may have become a pipe since: then opening must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check(os.fstat(file.fileno()), name, max_bytes, stamp)
            data = file.read(max_bytes + 1)
            if stamp is not None:
                _check(os.fstat(file.fileno()), name, max_bytes, stamp)
            return data
    except FileNotFoundError as error:
        raise _error(name, "there is no such file") from error
    except OSError as error:
        # Only the reason: the error's own text would give the whole path away.
        raise _error(name, error.strerror or type(error).__name__) from error
    except MediaError:
        raise
    except ValueError as error:
        raise _error(name, "the path is malformed") from error


def stamp_of(status: os.stat_result) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds, by which a version is known."""
    return status.st_size, status.st_mtime_ns


def _check(
    status: os.stat_result, name: str, max_bytes: int, stamp: tuple[int, int] | None
) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise _error(name, "it is a folder; expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise _error(name, "it is not a regular file")
    if status.st_size > max_bytes:
        raise _error(
            name,
            f"more than {max_bytes} bytes; make it smaller or raise MediaLimits.max_bytes",
        )
    if stamp is not None and stamp != stamp_of(status):
        raise _error(name, "it has changed since it was listed")


def _error(name: str, what: str) -> MediaError:
    return MediaError(f"cannot read picture {name!r}: {what}")

"""What experts print, in a file of bounded size beside the log of a run. It is no truth."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from groundplane.core.files import one_line

__all__ = ["ExpertsLog", "open_output"]

# Bytes from which on the file is cut, and that stay then; and so far back the last line may begin.
_MOST, _KEPT, _BACK = 8 * 2**20, 2**20, 4096
_CUT = b"[what stood here before was cut]\n"
_FLAGS = os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class ExpertsLog:
    """The file that one process of experts prints to.

    Args:
        path: The file; what stands in it already is kept.

    Raises:
        OSError: If it cannot be written.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     log = ExpertsLog(Path(folder) / "experts.log")
        ...     before = log.last_line()
        ...     fd = open_output(log.path)
        ...     os.write(fd, b"loading\\nno memory left\\n"), os.close(fd)
        ...     before, log.last_line()
        (23, None)
        ('', 'no memory left')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = open_output(path)
        try:
            self._since = os.fstat(fd).st_size
        finally:
            os.close(fd)

    def bound(self) -> None:
        """Cut it where it has grown too large; the end of it stays."""
        with suppress(OSError):  # words are lost then, and nothing else
            if os.stat(self.path).st_size <= _MOST:
                return
            fd = os.open(self.path, _FLAGS | os.O_RDWR)
            try:
                tail = os.pread(fd, _KEPT, os.fstat(fd).st_size - _KEPT)
                # Whoever prints appends, so goes on behind what is written here.
                os.ftruncate(fd, 0)
                os.write(fd, _CUT + tail.partition(b"\n")[2])
            finally:
                os.close(fd)
            self._since = 0

    def last_line(self) -> str:
        """The last line that was printed since this was made, or nothing."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            start = max(self._since, os.fstat(fd).st_size - _BACK)
            lines = os.pread(fd, _BACK, start).decode("utf-8", "replace").split("\n")
        finally:
            os.close(fd)
        said = [line.strip() for line in lines if line.strip()]
        return one_line(said[-1]) if said else ""


def open_output(path: str | Path) -> int:
    """A descriptor that appends to a file, which is made if need be; a link is not followed.

    Raises:
        OSError: If that cannot be.
    """
    return os.open(path, _FLAGS | os.O_WRONLY, 0o666)

"""One writer a log: a lock that ends with its process, and says whose it is."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Self

from groundplane.annotation.disk import SYSTEM, Disk, reason, write_fully
from groundplane.core.errors import OutputError
from groundplane.core.files import one_line

__all__ = ["Lock", "LockedError"]

_MOST = 500


class LockedError(OutputError):
    """Another process writes there; it may end."""


class Lock:
    """A lock on a file, held until it is closed or the process dies.

    Args:
        path: The file; it is made if it is not there, and stays.
        shared: Whether others that ask for a shared lock may hold it too.
        disk: Where it is.

    Raises:
        LockedError: If another process holds it, by name.
        OutputError: If the file cannot be opened.
    """

    def __init__(self, path: Path, *, shared: bool = False, disk: Disk = SYSTEM) -> None:
        self._disk = disk
        self._file: int | None = None
        run = one_line(str(path.parent))
        try:
            self._file = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW)
            if not disk.lock(self._file, shared=shared):
                raise LockedError(
                    f"{run}: is being written by {self._holder()}; wait until it is done or end "
                    "it, or name another folder"
                )
            if not shared:
                disk.cut(self._file, 0)
                write_fully(self._file, _name().encode(), disk=disk)
        except OSError as error:
            self.close()
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{run}: cannot be locked: {reason(error)}") from error

    def _holder(self) -> str:
        if self._file is None:
            return "another process"
        said = self._disk.read(self._file, _MOST, 0).decode("utf-8", "replace")
        return one_line(said) if said.strip() else "another process"

    def close(self) -> None:
        """Let go of it."""
        file, self._file = self._file, None
        if file is not None:
            self._disk.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name() -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime())
    return f"process {os.getpid()} on {socket.gethostname()} since {since}"

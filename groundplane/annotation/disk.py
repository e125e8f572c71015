"""The calls by which a run's truth reaches the disk, in one place, so that tests can fail each."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = [
    "SYSTEM",
    "Disk",
    "SystemDisk",
    "reason",
    "sync_folder",
    "write_durably",
    "write_fully",
]


@runtime_checkable
class Disk(Protocol):
    """What a run asks of a file system; each call raises `OSError` as the system does."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it; one that is there is fine."""
        ...

    def open(self, path: Path, flags: int) -> int:
        """A descriptor that no child process inherits."""
        ...

    def read(self, file: int, size: int, offset: int) -> bytes:
        """At most so many bytes from a place."""
        ...

    def write(self, file: int, data: bytes) -> int:
        """Write at the end; how many bytes were taken."""
        ...

    def sync(self, file: int) -> None:
        """Return when the bytes, or a folder's names, are on the disk."""
        ...

    def cut(self, file: int, size: int) -> None:
        """Shorten a file."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Replace a file in one step."""
        ...

    def lock(self, file: int, *, shared: bool) -> bool:
        """Take a lock without waiting; whether it was free."""
        ...

    def close(self, file: int) -> None:
        """Give a descriptor back, and its lock."""
        ...


class SystemDisk:
    """The operating system's own calls."""

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        path.mkdir(parents=True, exist_ok=True)

    def open(self, path: Path, flags: int) -> int:
        """See `Disk.open`."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def read(self, file: int, size: int, offset: int) -> bytes:
        """See `Disk.read`."""
        return os.pread(file, size, offset)

    def write(self, file: int, data: bytes) -> int:
        """See `Disk.write`."""
        return os.write(file, data)

    def sync(self, file: int) -> None:
        """See `Disk.sync`."""
        os.fsync(file)

    def cut(self, file: int, size: int) -> None:
        """See `Disk.cut`."""
        os.ftruncate(file, size)

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk.rename`."""
        os.replace(old, new)

    def lock(self, file: int, *, shared: bool) -> bool:
        """See `Disk.lock`."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self, file: int) -> None:
        """See `Disk.close`."""
        os.close(file)


SYSTEM = SystemDisk()


def write_durably(path: Path, data: bytes, *, disk: Disk) -> None:
    """Write a file whole or not at all, and have it and its name on the disk.

    Raises:
        OSError: If it cannot be written; a draft may be left behind, under a name of its own.
    """
    draft = path.with_name(f".{path.name}.part")
    file = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        write_fully(file, data, disk=disk)
        disk.sync(file)
    finally:
        disk.close(file)
    disk.rename(draft, path)
    sync_folder(path.parent, disk=disk)


def write_fully(file: int, data: bytes, *, disk: Disk) -> None:
    """Write all of it: a full disk takes a part first and refuses the rest."""
    left = data
    while left:
        taken = disk.write(file, left)
        if taken <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left = left[taken:]


def sync_folder(path: Path, *, disk: Disk) -> None:
    """Have the names in a folder on the disk."""
    folder = disk.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.sync(folder)
    finally:
        disk.close(folder)


def reason(error: OSError) -> str:
    """What the system says of a failed call.

    Examples:
        >>> reason(OSError(28, "No space left on device"))
        'No space left on device'
        >>> reason(OSError())
        'OSError'
    """
    return error.strerror or str(error) or type(error).__name__

"""Files below declared folders, and no others."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groundplane.apps.mcp.errors import ToolError
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import write_whole

__all__ = ["Found", "Output", "Roots"]

# A folder is only walked through, and opening a pipe must not wait for somebody who writes to it.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST, _DEEPEST = 1000, 32
# Names of other systems, of devices and streams, and of anything but files.
_STRANGE = re.compile(r"[\\:\x00-\x1f\x7f]|^~|^-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that was read.

    Attributes:
        name: Its last part.
        digest: SHA-256 of its bytes, hexadecimal.
    """

    name: str
    data: bytes
    digest: str


class Roots:
    """The folders that files may be read from.

    A name is looked for below each folder in turn. It may be absolute if it starts with one of
    them. Links are followed while they stay inside; what leaves is refused, whether it exists or
    not. Each part of the resolved path is opened from the one before it and without following
    links, so nothing that is swapped meanwhile leads out.

    Args:
        folders: May be empty; then there are no files.

    Raises:
        InputError: If one is no folder.

    Examples:
        >>> Roots([]).read("photo.jpg", most=100)
        Traceback (most recent call last):
        ...
        groundplane.apps.mcp.errors.ToolError: refused: the file is not below a folder that this \
server may read
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self._folders: list[Path] = []
        for folder in folders:
            path = Path(os.path.realpath(folder))
            if not path.is_dir():
                raise InputError(f"--root {str(folder)!r}: there is no such folder")
            if path == Path(path.anchor):
                raise InputError(f"--root {str(folder)!r}: that is all of the disk; name a folder")
            self._folders.append(path)

    def read(self, name: str, *, most: int) -> Found:
        """Read a file.

        Args:
            name: As a client gives it.
            most: Bytes at most.

        Raises:
            ToolError: If it is refused, is not there, or is too large.
        """
        missing = False
        for folder, inner in self._places(name):
            try:
                data = _read_below(folder, inner, most)
            except (FileNotFoundError, NotADirectoryError):
                missing = True
                continue
            except (OSError, ValueError) as error:
                # Whatever else the system says would tell what lies where.
                raise ToolError("refused") from error
            return Found(name=inner.name, data=data, digest=hashlib.sha256(data).hexdigest())
        raise ToolError("not_found" if missing else "refused")

    def _places(self, name: str) -> list[tuple[Path, PurePosixPath]]:
        """Below which folders a name may lie, and where there."""
        path = PurePosixPath(name)
        if (
            not name
            or len(os.fsencode(name.encode("utf-8", "replace"))) > _LONGEST
            or _STRANGE.search(name)
            or name.startswith("//")
            or not path.parts
            or len(path.parts) > _DEEPEST
            or any(part == ".." or part != part.rstrip(". ") for part in path.parts)
            or any("\ud800" <= letter <= "\udfff" for letter in name)
        ):
            raise ToolError("refused")
        if not path.is_absolute():
            return [(folder, path) for folder in self._folders]
        return [
            (folder, inner)
            for folder in self._folders
            if path.is_relative_to(folder) and (inner := path.relative_to(folder)).parts
        ]


def _read_below(root: Path, inner: PurePosixPath, most: int) -> bytes:
    """The bytes of a file below a folder.

    Raises:
        OSError, ValueError: If it is not there, leads out of the folder, or is no plain file.
        ToolError: If it is too large.
    """
    real = Path(os.path.realpath(root / inner))
    *folders, last = real.relative_to(root).parts  # ValueError where a link leads out
    here = os.open(root, _FOLDER)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        file = os.open(last, _FILE, dir_fd=here)
    finally:
        os.close(here)
    with os.fdopen(file, "rb") as stream:
        info = os.fstat(stream.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise ValueError("no plain file")
        data = stream.read(most + 1) if info.st_size <= most else b""
    if info.st_size > most or len(data) > most:
        raise ToolError("bad_input", f"the file is larger than {most // 2**20} MB")
    return data


class Output:
    """The folder that masks and drawings are written to; file names are made here alone.

    Args:
        folder: None for none.

    Raises:
        InputError: If it is no folder.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(os.path.realpath(folder))
        if self._folder is not None and not self._folder.is_dir():
            raise InputError(f"--out {str(folder)!r}: there is no such folder")

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self._folder is not None

    def path(self, name: str) -> Path:
        """Where a file of this name lies.

        Raises:
            ToolError: If there is no output folder.
        """
        if self._folder is None:
            raise ToolError("no_output")
        return self._folder / name

    def write(self, name: str, data: bytes) -> str:
        """Write a file whole; gives its name back.

        Raises:
            ToolError: If there is no output folder, or it cannot be written to.
        """
        path = self.path(name)
        if path.is_symlink():  # somebody else's; `write_whole` would follow it
            raise ToolError("output_failed")
        try:
            write_whole(path, data)
        except OutputError as error:
            raise ToolError("output_failed") from error
        return name

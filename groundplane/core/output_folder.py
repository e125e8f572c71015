"""A folder that only it writes to: new files, under names of ours, and nothing outside.

Names of pictures are data. Whatever they hold, `plain_name` makes a name from them that is a
relative path of harmless parts, or says that there is none.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from groundplane.core.errors import OutputError
from groundplane.core.files import one_line

__all__ = ["OutputFolder", "OutputNames", "plain_name"]

# Letters of any script are fine; what shells, file systems and other tools trip over is not.
_PART = re.compile(r"\w[\w.+=@,()\- ]*", re.UNICODE)
_MOST = 200
# A folder of such a name may stand where the file of another picture is to be.
_FILE = re.compile(r"\.(txt|xml|jsonl?|csv|ya?ml|npy|png|jpe?g|jpe|jfif|webp|bmp|gif|tiff?)$", re.I)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def plain_name(path: str) -> str | None:
    """A picture's own relative path, if it is harmless as the path of a file we write.

    Examples:
        >>> plain_name("a/1.jpg")
        'a/1.jpg'
        >>> plain_name("../1.jpg"), plain_name("/etc/passwd"), plain_name("a/con.jpg")
        (None, None, None)
    """
    parts = path.split("/")
    for part in parts:
        if not _PART.fullmatch(part) or part[-1] in ". " or _RESERVED.fullmatch(part):
            return None
    fits = all(len(part.encode()) <= _MOST for part in parts) and len(path.encode()) <= 4 * _MOST
    return path if fits else None


class OutputNames:
    """A name for each picture, without its ending, that no other picture gets.

    A name that is harmless, and that no other one is but for its ending, the case of its letters
    or how their marks are written, is kept; the others get a name from a hash of their path. The
    frames of a video get a folder of its name.

    Args:
        paths: The paths of all pictures, each once; only a hash of each is kept.
        avoid: Words that no part of a name may be, since readers look for them.

    Examples:
        >>> names = OutputNames(["a/1.jpg", "b/1.jpg", "b/1.png", "../x.jpg"])
        >>> names.of("a/1.jpg"), names.of("../x.jpg")
        ('a/1', 'renamed/e569073812746799')
        >>> OutputNames([]).of("cat.jpg"), OutputNames([]).of("a/walk.mp4#12")
        ('cat', 'a/walk.mp4/12')
    """

    def __init__(self, paths: Iterable[str], *, avoid: Iterable[str] = ()) -> None:
        self._avoid = {"renamed", *avoid}
        once: set[bytes] = set()
        self._shared: set[bytes] = set()
        for path in paths:
            key = _key(_stem(path))
            (self._shared if key in once else once).add(key)

    def of(self, path: str) -> str:
        """The name for a picture's file, with `/` between its parts."""
        stem = _stem(path)
        plain = plain_name(stem)
        parts = stem.split("/")
        taken = self._avoid & set(parts) or any(map(_FILE.search, parts[:-1]))
        if plain is None or taken or _key(stem) in self._shared:
            return f"renamed/{_digest(path).hex()}"
        return plain


def _stem(path: str) -> str:
    video, mark, index = path.rpartition("#")
    if mark and index.isdecimal():
        return f"{video}/{index}"
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{os.path.splitext(name)[0]}"


def _key(stem: str) -> bytes:
    return _digest(unicodedata.normalize("NFC", stem.casefold()))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class OutputFolder:
    """Creates files in a folder; nothing that is there is replaced, no link is followed.

    Args:
        path: The folder; it is made if it is not there.

    Raises:
        OutputError: If it cannot be made or is no folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _fault(self.path, error) from error

    def write(self, name: str, data: bytes) -> None:
        """Create a file.

        Raises:
            OutputError: If it is there, lies outside of the folder or cannot be written.
        """
        with self.open(name) as file:
            file.write(data)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Create a file to be written piece by piece; on an error it is taken away.

        Raises:
            OutputError: If it is there, lies outside of the folder or cannot be written.
        """
        where, last, folder = self._place(name)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(last, flags, 0o666, dir_fd=folder), "wb") as file:
                try:
                    yield file
                    file.flush()
                except BaseException:
                    os.unlink(last, dir_fd=folder)
                    raise
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise _fault(where, error) from error
        finally:
            os.close(folder)

    def link(self, name: str, to: Path) -> None:
        """Create a link to a file anywhere, which is only named.

        Raises:
            OutputError: If it is there, lies outside of the folder or cannot be made.
        """
        where, last, folder = self._place(name)
        try:
            os.symlink(to, last, dir_fd=folder)
        except OSError as error:
            raise _fault(where, error) from error
        finally:
            os.close(folder)

    def _place(self, name: str) -> tuple[Path, str, int]:
        """Where a file is to stand: its path, its last part, and its folder's descriptor."""
        parts = name.split("/")
        if not all(parts) or {".", ".."} & set(parts) or "\0" in name:
            raise OutputError(f"{one_line(name)!r} is no name for a file in an export")
        where = self.path / name
        try:
            return where, parts[-1], self._enter(parts[:-1])
        except OSError as error:
            raise _fault(where, error) from error

    def _enter(self, parts: list[str]) -> int:
        """A descriptor of a folder below this one, made where it is missing."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        here = os.open(self.path, flags & ~os.O_NOFOLLOW)
        for part in parts:
            try:
                try:
                    below = os.open(part, flags, dir_fd=here)
                except FileNotFoundError:
                    os.mkdir(part, dir_fd=here)
                    below = os.open(part, flags, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here


def _fault(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{one_line(str(path))}: cannot be written: {error.strerror or type(error).__name__}"
    )

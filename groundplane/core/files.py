"""Files: written whole or not at all, and named in one line."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from groundplane.core.errors import OutputError

__all__ = ["digest_of", "one_line", "picture_ending", "write_whole"]

_NAME_LIMIT = 200
_BEGINNINGS = {
    "jpg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n",
    "webp": rb"RIFF....WEBP",
    "gif": rb"GIF8",
    "bmp": rb"BM",
    "tiff": rb"II\*\0|MM\0\*",
}


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    A link is followed, and a file that is replaced keeps its permissions.

    Raises:
        OutputError: If it cannot be written; nothing is left behind.
    """
    try:
        _replace(Path(os.path.realpath(path)), data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{one_line(str(path))}: cannot be written: {reason}; name a file in a folder that "
            "exists and may be written to"
        ) from error


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; of a picture it is the content hash.

    Raises:
        OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(name: str) -> str:
    """A file's name as a message shows it: its last part where it is long, on one line.

    Examples:
        >>> one_line("scene.json")
        'scene.json'
        >>> one_line("a\\nb")
        "'a\\\\nb'"
    """
    shown = name if name.strip() and name.isprintable() else ascii(name)
    return shown[-_NAME_LIMIT:]


def picture_ending(data: bytes) -> str:
    """The ending for the name of an encoded picture, by how it begins; `bin` for what is none.

    Examples:
        >>> picture_ending(b"\\x89PNG\\r\\n"), picture_ending(b"")
        ('png', 'bin')
    """
    for ending, beginning in _BEGINNINGS.items():
        if re.match(beginning, data, re.DOTALL):
            return ending
    return "bin"


def _replace(target: Path, data: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    if mode is not None and not target.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    # Beside the target, since a rename is one step only within a file system.
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            if mode is not None:
                draft.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        if os.path.lexists(draft):
            draft.unlink()

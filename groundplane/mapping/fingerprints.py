"""What a capture's files are known by, without reading them: names, sizes and times."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from groundplane.core.errors import MediaError
from groundplane.core.files import one_line

__all__ = ["fingerprint", "option_fingerprints"]


def fingerprint(path: str | Path) -> str:
    """A hash of the names, sizes and times of change of a file, or of all files below a folder.

    Raises:
        MediaError: If it cannot be looked at.

    Examples:
        >>> fingerprint("/no/such/walk.mp4")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.MediaError: walk.mp4: No such file or directory
    """
    digest = hashlib.sha256()
    try:
        for name, status in _files(os.path.realpath(path)):
            digest.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    except OSError as error:
        raise MediaError(f"{one_line(Path(path).name)}: {error.strerror}") from error
    return digest.hexdigest()


def option_fingerprints(options: Mapping[str, object]) -> dict[str, str]:
    """Options as text; of one that names a file or a folder, what its files are known by as well.

    Raises:
        MediaError: If one that is there cannot be looked at.

    Examples:
        >>> option_fingerprints({"tilt": 5})
        {'tilt': '5'}
        >>> option_fingerprints({})
        {}
    """
    return {
        key: f"{value} {fingerprint(str(value))}" if _is_there(value) else str(value)
        for key, value in sorted(options.items())
    }


def _is_there(value: object) -> bool:
    try:
        return isinstance(value, str | Path) and bool(str(value)) and os.path.exists(value)
    except ValueError:  # a text that no file can be called
        return False


def _files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file by its name below the root, folder after folder in the order of names."""
    if not os.path.isdir(root):
        yield os.path.basename(root), os.stat(root)
        return
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            whole = os.path.join(folder, name)
            if os.path.isfile(whole):
                yield os.path.relpath(whole, root), os.stat(whole)

"""A path for each item that no other item of the source has."""

from __future__ import annotations

import hashlib
import os
import re

__all__ = ["UniqueNames"]

# The paths of a video's frames end so.
_FRAME = re.compile(r"#\d+\Z")


class UniqueNames:
    """Gives each item its own path: the second of one name gets a number before its ending.

    Examples:
        >>> names = UniqueNames()
        >>> [names.of(name) for name in ("a.jpg", "a.jpg", "a (2).jpg", "b/a.jpg", "a.mp4#1", "")]
        ['a.jpg', 'a (2).jpg', 'a (2) (2).jpg', 'b/a.jpg', 'a.mp4#1.picture', 'unnamed']
    """

    def __init__(self) -> None:
        # Hashes, since names may be long and many; a collision would only number one name more.
        self._seen: set[int] = set()

    def of(self, name: str) -> str:
        """The path of the next item, which calls itself `name`."""
        name = name or "unnamed"
        number = 1
        path = name if not _FRAME.search(name) else f"{name}.picture"
        while (key := _key(path)) in self._seen:
            number += 1
            stem, ending = os.path.splitext(name)
            path = f"{stem} ({number}){ending}"
        self._seen.add(key)
        return path


def _key(path: str) -> int:
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")

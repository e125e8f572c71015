"""How the bytes of an item are got at: from a file, an archive, a table or an address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from groundplane.annotation.decoding.places import open_address, open_place
from groundplane.annotation.decoding.table_rows import TableRows
from groundplane.annotation.items import Item
from groundplane.core.errors import GroundplaneError, MediaError
from groundplane.core.files import one_line
from groundplane.core.regular_files import read_regular

__all__ = ["Fetcher", "shown"]

Stamp = tuple[int, int] | None


class Fetcher:
    """Reads items; keeps open what the next item is likely to need too.

    Args:
        max_bytes: A larger picture is refused.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rows = TableRows()

    def fetch(self, item: Item) -> bytes:
        """The encoded bytes of a picture.

        Raises:
            MediaError: If they cannot be read, are too many, or are another version than the one
                that was listed.
        """
        where, name = item.where, shown(item.path)
        if isinstance(item.held, bytes):
            return self._bounded(item.held, name)
        if "message" in where:
            raise MediaError(str(where["message"]))
        if "file" in where:
            return read_regular(
                str(where["file"]), name=name, max_bytes=self._max_bytes, stamp=item.stamp
            )
        try:
            if "table" in where:
                data = self._rows.read(
                    str(where["table"]), row=int(where["row"]), column=str(where["column"]),
                    changed=item.stamp and item.stamp[1],
                )  # fmt: skip
                return self._bounded(data, name)
            if "archive" in where:
                return self._member(where, name, item.stamp)
            if "address" in where:
                with closing(open_address(str(where["address"]))) as file:
                    return self._bounded(file.read(self._max_bytes + 1), name)
        except GroundplaneError:
            raise
        except Exception as error:
            # A store's client raises whatever it likes.
            raise _error(name, _reason(error)) from error
        raise _error(name, "nothing says where it is")

    def _bounded(self, data: bytes, name: str) -> bytes:
        if len(data) > self._max_bytes:
            raise _too_heavy(name, self._max_bytes)
        return data

    def _member(self, where: Mapping[str, str | int], name: str, stamp: Stamp) -> bytes:
        """A member of a tar archive, from its place in it."""
        size, offset = int(where["size"]), int(where["offset"])
        if size > self._max_bytes:
            raise _too_heavy(name, self._max_bytes)
        with closing(open_place(str(where["archive"]))) as file:
            if stamp is not None and stamp[1] != os.fstat(file.fileno()).st_mtime_ns:
                raise _error(name, "its archive has changed since it was listed")
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise _error(name, f"its archive ends after {len(data)} of its {size} bytes")
        return data


def shown(path: str) -> str:
    """An item's path as messages name it."""
    return one_line(path)


def _too_heavy(name: str, most: int) -> MediaError:
    return _error(name, f"more than {most} bytes; make it smaller or raise MediaLimits.max_bytes")


def _reason(error: Exception) -> str:
    said: Any = getattr(error, "strerror", None) or str(error)
    text = "".join(c if c.isprintable() else " " for c in str(said))
    return f"{type(error).__name__}: {' '.join(text.split())[:160]}".removesuffix(": ")


def _error(name: str, what: str) -> MediaError:
    return MediaError(f"cannot read picture {name!r}: {what}")

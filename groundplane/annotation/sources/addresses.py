"""Files in object stores and elsewhere, by address: whatever fsspec has a file system for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from groundplane.annotation.items import Item
from groundplane.annotation.sources.source import Tally
from groundplane.core.errors import InputError, MediaError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library
from groundplane.core.media import is_picture_name
from groundplane.core.video import is_video_name

__all__ = ["AddressListing", "check_address", "is_address"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z0-9+.:-]*)?://")
# Stores that hold files of the one who runs this, reached with their own settings. What fetches
# from anywhere, or opens one address through another, is not among them.
_STORES = frozenset(
    {
        "abfs", "abfss", "adl", "az", "file", "gcs", "gs", "hdfs", "hf", "local", "memory", "oci",
        "oss", "r2", "s3", "s3a", "sftp", "ssh",
    }
)  # fmt: skip
_WEB = frozenset({"http", "https"})
_MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


def is_address(text: str) -> bool:
    """Whether a text is an address rather than a path.

    Examples:
        >>> is_address("s3://bucket/photos"), is_address("photos/a.jpg"), is_address("C:/a.jpg")
        (True, False, False)
    """
    return _ADDRESS.match(text) is not None


def check_address(address: str, *, http: bool = False) -> None:
    """Refuse an address that is not to be read.

    Args:
        address: It.
        http: Whether addresses of the web are read.

    Raises:
        InputError: If it is of the web, chained, or of a store that is not known.

    Examples:
        >>> check_address("s3://bucket/a.jpg")
        >>> check_address("https://example.com/a.jpg")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: 'https://example.com/a.jpg' is an address of the web, which is not read unless that is allowed; download it first
    """  # noqa: E501
    shown = one_line(address)
    store = address.partition("://")[0].lower()
    if "::" in address:
        raise InputError(f"{shown!r} leads through another address; expected a plain one")
    if store in _WEB and not http:
        raise InputError(
            f"{shown!r} is an address of the web, which is not read unless that is allowed; "
            "download it first"
        )
    if store not in _STORES | _WEB:
        raise InputError(
            f"{shown!r}: no store is known as {store!r}; expected one of "
            f"{', '.join(sorted(_STORES))}"
        )


class AddressListing:
    """Lists the pictures and videos below an address, in the order of their paths.

    Args:
        address: Of a folder.
        http: Whether addresses of the web are read.

    Raises:
        InputError: If the address is not to be read.
        MediaError: If there is nothing, or the store cannot be reached.
    """

    distinct = True

    def __init__(self, address: str, *, http: bool = False) -> None:
        check_address(address, http=http)
        self._address = address
        stores = need_library("fsspec", who=f"the source {one_line(address)}")
        try:
            self._store, self._top = stores.core.url_to_fs(address)
            self._top = self._top.rstrip("/")
            found = self._store.isdir(self._top)
        except Exception as error:
            # Every store's client has errors of its own.
            raise _unreachable(address, error) from error
        if not found:
            raise MediaError(f"{one_line(address)!r} is no folder of a store")

    def items(self, tally: Tally) -> Iterator[Item]:
        """The pictures and videos below it."""
        for path, facts in self._walk():
            name = path.rpartition("/")[2]
            if any(part.startswith(".") for part in path.split("/")):
                tally.hidden += 1
            elif is_picture_name(name) or is_video_name(name):
                yield self._item(path, facts)
            else:
                tally.leave_out(name)

    def count(self) -> None:
        """None: it would take a second walk over the store."""

    def find(self, path: str) -> Item | None:
        """The object of that path."""
        if not all(path.split("/")) or {".", ".."} & set(path.split("/")):
            return None
        return self._item(path, {})

    def _walk(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Paths below the top and what the store says of each; one folder at a time."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                listed = self._store.ls(f"{self._top}/{folder}".rstrip("/"), detail=True)
            except Exception as error:
                raise _unreachable(self._address, error) from error
            below: list[str] = []
            for facts in sorted(listed, key=lambda facts: str(facts["name"])):
                name = str(facts["name"]).rstrip("/").rpartition("/")[2]
                if facts["type"] == "directory":
                    below.append(f"{folder}{name}/")
                else:
                    yield folder + name, facts
            folders += below[::-1]

    def _item(self, path: str, facts: Mapping[str, Any]) -> Item:
        address = self._store.unstrip_protocol(f"{self._top}/{path}")
        kind = "video" if is_video_name(path) else "picture"
        mark = next((str(facts[name]) for name in _MARKS if facts.get(name)), None)
        stamp = None if mark is None else (int(facts.get("size") or 0), _number(mark))
        held = self._store.cat_file(f"{self._top}/{path}") if _is_here(address) else None
        return Item(path=path, kind=kind, where={"address": address}, stamp=stamp, held=held)


def _is_here(address: str) -> bool:
    """Whether what it leads to lives in this process only."""
    return address.startswith("memory://")


def _number(mark: str) -> int:
    """A mark of a version as a number."""
    return int.from_bytes(hashlib.blake2b(mark.encode(), digest_size=7).digest(), "big")


def _unreachable(address: str, error: Exception) -> MediaError:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return MediaError(f"{one_line(address)!r} cannot be listed ({said})")

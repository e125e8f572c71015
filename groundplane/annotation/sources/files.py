"""Items of files that are named one by one: pictures, videos, and archives and tables of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from groundplane.annotation.items import Item
from groundplane.annotation.sources.addresses import check_address, is_address
from groundplane.annotation.sources.folders import file_item
from groundplane.annotation.sources.source import Tally
from groundplane.annotation.sources.tables import table_items
from groundplane.annotation.sources.tars import tar_items
from groundplane.core.errors import GroundplaneError, MediaError
from groundplane.core.video import is_video_name

__all__ = ["FilesListing", "Named", "items_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A file that was named.

    Attributes:
        path: What its record is called.
        file: Where it is: a path, or the address of an object; empty where it cannot be said.
        fault: Why it cannot be read, if that is known already.
    """

    path: str
    file: str = ""
    fault: str = ""


class FilesListing:
    """Lists named files in their order.

    Args:
        named: Gives them, each time anew.
        column: Which column of a table holds pictures; None for the one that is called so.
        alone: Whether one file is given, so that what it holds needs no prefix.
        http: Whether addresses of the web are read.
    """

    distinct = False

    def __init__(
        self, named: Callable[[], Iterable[Named]], *, column: str | None = None,
        alone: bool = False, http: bool = False,
    ) -> None:  # fmt: skip
        self._named = named
        self._column = column
        self._alone = alone
        self._http = http

    def items(self, tally: Tally) -> Iterator[Item]:
        """The files' items; what an archive or a table holds stands in its place."""
        for one in self._named():
            if one.fault:
                yield Item(path=one.path, kind="fault", where={"message": one.fault})
                continue
            prefix = "" if self._alone else f"{one.path}/"
            try:
                if is_address(one.file):
                    check_address(one.file, http=self._http)
                yield from items_of(one, prefix, tally, column=self._column)
            except GroundplaneError as error:
                if self._alone:
                    raise
                yield Item(path=one.path, kind="fault", where={"message": str(error)})

    def count(self) -> int | None:
        """How many items there are; archives and tables would have to be listed for it."""
        count = 0
        for one in self._named():
            if one.file.lower().endswith((".tar", ".parquet")):
                return None
            count += 1
        return count

    def find(self, path: str) -> Item | None:
        """None: only listing tells."""
        return None


def items_of(
    named: Named, prefix: str, tally: Tally, *, column: str | None = None
) -> Iterator[Item]:
    """What a file holds.

    Raises:
        MediaError: If it is an archive or a table and cannot be listed at all.
    """
    name = named.file.lower()
    if name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")):
        raise MediaError(
            f"{named.path!r} is a compressed archive, whose members cannot be read one by one; "
            f"decompress it first, such as with: gunzip {os.path.basename(named.file)!r}"
        )
    if name.endswith(".tar"):
        yield from tar_items(named.file, named.path, prefix, tally)
    elif name.endswith(".parquet"):
        yield from table_items(named.file, prefix, column=column)
    elif is_address(named.file):
        kind = "video" if is_video_name(named.file) else "picture"
        yield Item(path=named.path, kind=kind, where={"address": named.file})
    else:
        yield file_item(named.file, named.path)

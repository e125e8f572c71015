"""The pictures in a tar archive, such as a shard of a webdataset: listed, never unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from groundplane.annotation.decoding.places import Readable, open_place, stamp_of_open
from groundplane.annotation.items import Item
from groundplane.annotation.sources.source import Tally
from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.media import is_picture_name

__all__ = ["tar_items"]

_BLOCK = 512
# The longest header that is believed: names are 4 kB, extended headers little more.
_HEADER = 2**20
_ERRORS = (tarfile.TarError, OSError, ValueError, ArithmeticError, RecursionError, LookupError)


def tar_items(file: str, name: str, prefix: str, tally: Tally) -> Iterator[Item]:
    """The members that are called as pictures are, each as an item.

    Members are data: nothing is written, no link is followed, and of members with one name each
    is an item. Where the archive is broken or cut off, the rest of it is one fault.

    Args:
        file: The archive, not compressed: a path or an address.
        name: What its own fault is called.
        prefix: What stands before the names of its members.
        tally: Counts what is left out.

    Raises:
        MediaError: If it cannot be opened or is no archive.
    """
    try:
        with closing(open_place(file)) as opened:
            stamp = stamp_of_open(opened)
            with tarfile.open(fileobj=_Guarded(opened), mode="r:") as archive:  # type: ignore[call-overload]
                for item in _members(archive, file, name, prefix=prefix, tally=tally):
                    yield _stamped(item, stamp)
    except _ERRORS as error:
        raise MediaError(f"{one_line(name)!r} is no tar archive ({_brief(error)})") from error


def _members(archive: Any, file: str, name: str, *, prefix: str, tally: Tally) -> Iterator[Item]:
    place = -1
    while True:
        try:
            member = archive.next()
            archive.members = []  # it would keep every one
            if member is None:
                fault = _rest(archive)
                break
            if archive.offset <= place:
                raise ValueError("it leads back into itself")
            place = archive.offset
        except _ERRORS as error:
            fault = _brief(error)
            break
        item = _item(member, file, prefix)
        if item is not None:
            yield item
        elif not member.isdir():
            tally.leave_out(member.name)
    if fault:
        shown = one_line(name)
        message = f"the archive {shown!r} is broken from byte {archive.offset} on ({fault})"
        yield Item(path=name, kind="fault", where={"message": message})


def _item(member: tarfile.TarInfo, file: str, prefix: str) -> Item | None:
    """A member's item; None where it is no picture by its name."""
    if member.isdir() or not is_picture_name(member.name):
        return None
    path = prefix + member.name
    if not member.isreg() or member.issparse() or member.size < 0:
        what = "a link" if member.issym() or member.islnk() else "no plain file"
        message = f"cannot read picture {one_line(path)!r}: in its archive it is {what}"
        return Item(path=path, kind="fault", where={"message": message})
    return Item(
        path=path,
        where={"archive": file, "offset": member.offset_data, "size": member.size},
    )


def _stamped(item: Item, archive: tuple[int, int] | None) -> Item:
    """With its size and the archive's time of change."""
    if archive is None or item.kind == "fault":
        return item
    return replace(item, stamp=(int(item.where["size"]), archive[1]))


def _rest(archive: Any) -> str:
    """What is wrong where listing ended without a word: the end is marked by zeros."""
    archive.fileobj.seek(archive.offset)
    block: bytes = archive.fileobj.read(_BLOCK)
    if not block:
        return "no mark of its end, so that it may be cut off"
    return "" if not block.strip(b"\0") else "no header where one is expected"


class _Guarded:
    """An archive's file whose headers cannot ask for much at once."""

    def __init__(self, file: Readable) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()


def _brief(error: Exception) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(text.split())[:160] or type(error).__name__

"""The pictures and videos of a folder of any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from groundplane.annotation.items import Item
from groundplane.annotation.sources.source import Tally
from groundplane.core.errors import MediaError
from groundplane.core.files import one_line
from groundplane.core.media import is_picture_name
from groundplane.core.regular_files import stamp_of
from groundplane.core.video import is_video_name

__all__ = ["FolderListing", "file_item"]

# A folder that holds both is a run of ours, whose exports are no pictures to annotate.
_RUN = {"manifest.json", "records.log"}


@dataclass(frozen=True, slots=True)
class _Found:
    """Something in a folder: its path below the top, and why it cannot be read, if so."""

    path: str
    fault: str = ""


class FolderListing:
    """Lists a folder, sorted by path; the names of one folder at a time are held.

    What begins with a dot is left out; links to folders are not entered, so listing ends whatever
    they lead to. A folder that cannot be listed is one fault, and the others go on.

    Args:
        top: The folder.

    Raises:
        MediaError: If it cannot be listed.
    """

    distinct = True

    def __init__(self, top: str) -> None:
        self._top = os.path.abspath(top)
        try:
            os.scandir(self._top).close()
        except OSError as error:
            raise MediaError(
                f"folder {one_line(top)!r} cannot be listed: {error.strerror}"
            ) from error

    def items(self, tally: Tally) -> Iterator[Item]:
        """The pictures and videos in it."""
        for found in self._walk(tally):
            if found.fault:
                yield Item(path=found.path, kind="fault", where={"message": found.fault})
            else:
                yield file_item(os.path.join(self._top, found.path), found.path)

    def count(self) -> int:
        """How many there are, which takes a walk but reads nothing."""
        return sum(1 for _ in self._walk(Tally()))

    def find(self, path: str) -> Item | None:
        """The file of that path, where it is one in this folder."""
        parts = path.split("/")
        if not all(parts) or {".", ".."} & set(parts) or "\0" in path:
            return None
        return file_item(os.path.join(self._top, path), path)

    def _walk(self, tally: Tally) -> Iterator[_Found]:
        """Everything that counts, in the order of the whole paths."""
        open_folders: list[tuple[str, Iterator[str], int]] = []
        found = 0
        yield from self._enter("", open_folders, tally, found)
        while open_folders:
            folder, names, before = open_folders[-1]
            name = next(names, None)
            if name is None:
                open_folders.pop()
                if found == before and folder and is_picture_name(folder[:-1]):
                    found += 1
                    yield _Found(folder[:-1], "it is a folder; expected a file")
            elif name.endswith("/"):
                for fault in self._enter(folder + name, open_folders, tally, found):
                    found += 1
                    yield fault
            elif is_picture_name(name) or is_video_name(name):
                found += 1
                yield _Found(folder + name)
            else:
                tally.leave_out(name)

    def _enter(
        self, folder: str, open_folders: list[tuple[str, Iterator[str], int]], tally: Tally,
        found: int,
    ) -> Iterator[_Found]:  # fmt: skip
        """List one folder; gives its fault if it has one."""
        try:
            with os.scandir(os.path.join(self._top, folder)) as entries:
                names = [entry.name + "/" * _is_folder(entry) for entry in entries]
        except OSError as error:
            yield _Found(folder[:-1], f"the folder cannot be listed: {error.strerror}")
            return
        if folder and set(names) >= _RUN:
            tally.runs += 1
            return
        shown = sorted(name for name in names if not name.startswith("."))
        tally.hidden += len(names) - len(shown)
        open_folders.append((folder, iter(shown), found))


def file_item(file: str, path: str) -> Item:
    """The item of a picture or video file, which need not be there."""
    try:
        stamp = stamp_of(os.stat(file))
    except (OSError, ValueError):
        stamp = None  # reading it says why
    kind = "video" if is_video_name(file) else "picture"
    return Item(path=path, kind=kind, where={"file": file}, stamp=stamp)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False

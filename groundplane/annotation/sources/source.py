"""What there is to annotate: a list of items, each under a path of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from groundplane.annotation.decoding.fetching import Fetcher
from groundplane.annotation.items import Item
from groundplane.annotation.sources.names import UniqueNames
from groundplane.core.errors import InputError, MediaError, listing
from groundplane.core.files import one_line
from groundplane.core.media import MediaLimits

__all__ = ["Listing", "Source", "Tally"]

# Different endings that are counted apart; the others are counted together.
_ENDINGS = 100


@dataclass(slots=True, eq=False)
class Tally:
    """What was come across while listing.

    Attributes:
        items: How many items were found, by kind.
        left_out: Files that are neither pictures nor videos, by ending.
        hidden: Files and folders whose name begins with a dot.
        runs: Folders of annotation runs, which are not entered.
    """

    items: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    runs: int = 0

    def leave_out(self, name: str) -> None:
        """Count a file that is left out."""
        stem, dot, ending = name.rpartition("/")[2].rpartition(".")
        shown = f".{ending.lower()}" if stem and dot and len(ending) <= 12 else "without ending"
        if shown not in self.left_out and len(self.left_out) >= _ENDINGS:
            shown = "others"
        self.left_out[shown] += 1

    def told(self) -> str:
        """In words for people.

        Examples:
            >>> tally = Tally(items=Counter(picture=3, video=1), left_out=Counter({".json": 2}))
            >>> tally.told()
            '3 pictures, 1 video; left out: 2 .json'
            >>> Tally().told()
            'nothing'
        """
        names = {"picture": "picture", "video": "video", "fault": "unreadable entry"}
        found = [
            f"{count} {_plural(names[kind], count)}" for kind, count in sorted(
                self.items.items(), key=lambda pair: list(names).index(pair[0])
            )
        ]  # fmt: skip
        out = [f"{n} {ascii(end)[1:-1]}" for end, n in self.left_out.most_common()]
        out += [f"{self.hidden} hidden"] * bool(self.hidden)
        out += [f"{self.runs} {_plural('folder', self.runs)} of runs"] * bool(self.runs)
        text = ", ".join(found) or "nothing"
        return text + (f"; left out: {listing(out)}" if out else "")


@runtime_checkable
class Listing(Protocol):
    """One kind of source."""

    @property
    def distinct(self) -> bool:
        """Whether no path can come twice."""
        ...

    def items(self, tally: Tally) -> Iterator[Item]:
        """List the items, and count what is left out."""
        ...

    def count(self) -> int | None:
        """How many items there are, or fewer where that costs less to know; None if unknown."""
        ...

    def find(self, path: str) -> Item | None:
        """The item of a path, where it is known without listing all; None where it is not."""
        ...


class Source:
    """What there is to annotate.

    Args:
        name: As a person reads it: the absolute path, or the address.
        listing: What lists it.
        frame_step: Every how manieth frame of a video is wanted.

    Attributes:
        tally: What was come across when it was last listed.
    """

    def __init__(self, name: str, given: Listing, *, frame_step: int = 1) -> None:
        if frame_step < 1:
            raise InputError(f"source: expected frame_step of 1 or more, got {frame_step}")
        self.name = name
        self.tally = Tally()
        self._listing = given
        self._frame_step = frame_step
        self._index: dict[str, Item] | None = None
        self._fetcher = Fetcher(MediaLimits().max_bytes)

    def items(self) -> Iterator[Item]:
        """List all items, in an order that is the same each time; no path comes twice.

        What cannot be read comes as an item too, of kind `fault`.

        Raises:
            MediaError: If there is none.
        """
        self.tally = tally = Tally()
        names = None if self._listing.distinct else UniqueNames()
        for item in self._listing.items(tally):
            tally.items[item.kind] += 1
            if names is not None and (path := names.of(item.path)) != item.path:
                item = replace(item, path=path)  # noqa: PLW2901 - the same item
            if item.kind == "video" and self._frame_step > 1:
                item = replace(item, frame_step=self._frame_step)  # noqa: PLW2901
            yield item
        if not tally.items:
            raise MediaError(
                f"{one_line(self.name)} holds no picture and no video ({tally.told()}); expected "
                "files ending in .jpg, .png, .webp, .bmp, .tif, .gif or .mp4, or a list of files"
            )

    def count(self) -> int | None:
        """How many items there are; None where that is known only at the end."""
        return self._listing.count()

    def find(self, path: str) -> Item:
        """The item of a path, as its record names it (of a frame, the video's).

        Raises:
            MediaError: If there is none.
        """
        item = self._listing.find(path)
        if item is None:
            if self._index is None:
                self._index = {item.path: item for item in self.items()}
            item = self._index.get(path)
        if item is None:
            raise MediaError(f"{one_line(self.name)} holds no {one_line(path)!r} (any more)")
        return item

    def read(self, item: Item) -> bytes:
        """The encoded bytes of a picture.

        Raises:
            MediaError: If they cannot be read or have changed since they were listed.
        """
        return self._fetcher.fetch(item)


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"

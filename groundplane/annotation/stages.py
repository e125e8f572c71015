"""What the pipeline needs of those it puts together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.annotation import AnnotationRecord

__all__ = ["Decoding", "Keeping", "Listing", "Looking", "Stamp"]

Stamp = tuple[int, int] | None


@runtime_checkable
class Listing(Protocol):
    """Lists what there is to annotate."""

    def items(self) -> Iterator[Item]:
        """All items, each path once."""
        ...

    def count(self) -> int | None:
        """How many there are; None where that takes a walk over all of them."""
        ...


@runtime_checkable
class Decoding(Protocol):
    """Reads and decodes items; `release` may be called from another thread than the rest."""

    def submit(self, item: Item) -> None:
        """Hand over an item."""
        ...

    def next(self, timeout: float) -> Picture | Unread | ItemEnd | None:
        """What has come of some item; None where nothing did in so many seconds."""
        ...

    def release(self, picture: Picture) -> None:
        """A picture's pixels are no longer needed."""
        ...

    def close(self) -> None:
        """End all processes."""
        ...


@runtime_checkable
class Looking(Protocol):
    """Makes records of pictures."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """What each of its stages has taken so far."""
        ...

    @property
    def largest(self) -> int | None:
        """The most pictures at a time that are worth trying, once memory ran out; else None."""
        ...

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        """One record a picture, in order; the fault of a picture is its record's failure."""
        ...

    def close(self) -> None:
        """Let go of the experts."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """Where records go and what is known to be done."""

    def is_done(self, path: str, stamp: Stamp, content_hash: str | None = None) -> bool:
        """Whether there is a record of this version of a picture."""
        ...

    def frames_done(self, video: str, stamp: Stamp) -> bytes:
        """The frames of this version of a video that have a record: a bit each, lowest first."""
        ...

    def touch(self, path: str, content_hash: str, stamp: Stamp) -> bool:
        """Keep that a picture or a video that is done has another mark; whether that is new."""
        ...

    def write(self, record: AnnotationRecord, stamp: Stamp) -> None:
        """Keep a record."""
        ...

    def write_end(self, end: ItemEnd) -> None:
        """Keep that all frames of a video are kept."""
        ...

    def sync(self) -> None:
        """Make all that was written durable."""
        ...

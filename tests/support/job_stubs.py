"""Stand-ins for the stages of a job, for tests of what puts them together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationRecord,
    Failure,
    VideoFrame,
    rounded_boxes,
    rounded_scores,
)


@dataclass
class ListedItems:
    """A source of names; `videos` gives the number of frames of those that are videos."""

    names: Sequence[str]
    stamp: tuple[int, int] | None = (1, 1)

    def items(self) -> Iterator[Item]:
        for name in self.names:
            kind = "video" if name.endswith(".mp4") else "picture"
            yield Item(path=name, kind=kind, stamp=self.stamp)

    def count(self) -> int:
        return len(self.names)


@dataclass
class InlinePool:
    """Decodes in the thread that asks: a picture of a size that follows from its name.

    A name with `bad` in it cannot be read; one with `.mp4` is a video of five frames.
    """

    sizes: Sequence[tuple[int, int]] = ((8, 6),)
    held: int = 0
    most_held: int = 0
    closed: bool = False
    _line: deque[Item] = field(default_factory=deque)
    _ready: deque[Picture | Unread | ItemEnd] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def submit(self, item: Item) -> None:
        self._line.append(item)

    def next(self, timeout: float) -> Picture | Unread | ItemEnd | None:
        if not self._ready and self._line:
            self._ready.extend(self._decode(self._line.popleft()))
        if not self._ready:
            threading.Event().wait(timeout)
            return None
        got = self._ready.popleft()
        if isinstance(got, Picture):
            with self._lock:
                self.held += 1
                self.most_held = max(self.most_held, self.held)
        return got

    def release(self, picture: Picture) -> None:
        with self._lock:
            self.held -= 1

    def close(self) -> None:
        self.closed = True

    def _decode(self, item: Item) -> list[Picture | Unread | ItemEnd]:
        if "bad" in item.path:
            why = Failure(stage="decode", message="not a picture")
            return [Unread(path=item.path, content_hash="", failure=why, stamp=item.stamp)]
        width, height = self.sizes[sum(item.path.encode()) % len(self.sizes)]
        picture = Picture(
            path=item.path,
            content_hash=f"{item.path!r}-hash",
            pixels=np.full((height, width, 3), len(item.path), dtype=np.uint8),
            stamp=item.stamp,
            seconds={"decode": 0.001},
        )
        if item.kind != "video":
            return [picture]
        frames = [
            replace(
                picture,
                path=f"{item.path}#{index}",
                frame=VideoFrame(video=item.path, index=index, time=index / 25),
            )
            for index in range(5)
        ]
        return [
            *frames,
            ItemEnd(path=item.path, content_hash=picture.content_hash, frames=5, stamp=item.stamp),
        ]


@dataclass
class StubLooker:
    """Finds one region in each picture, or does what `act` does to a batch first."""

    act: Callable[[Sequence[Picture]], None] = lambda pictures: None
    batches: list[list[str]] = field(default_factory=list)
    closed: bool = False
    largest: int | None = None
    restarts: int = 0

    @property
    def seconds(self) -> Mapping[str, float]:
        return {"detect": 0.001 * len(self.batches)}

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        self.batches.append([picture.path for picture in pictures])
        self.act(pictures)
        return [record_of(picture) for picture in pictures]

    def close(self) -> None:
        self.closed = True


def record_of(picture: Picture) -> AnnotationRecord:
    """What the stub says of a picture: it follows from its hash only."""
    width, height = picture.size
    score = (sum(picture.content_hash.encode()) % 97) / 100
    regions = AnnotatedRegions(
        ids=("r0",),
        boxes=rounded_boxes(np.array([[0.123, 0.5, width / 2, height / 3]])),
        scores=rounded_scores([score]),
        prompt_ids=np.zeros(1, dtype=np.int64),
        class_ids=np.zeros(1, dtype=np.int64),
        kept=np.array([score > 0.3]),
        sources=("stub",),
    )
    return AnnotationRecord(
        path=picture.path,
        content_hash=picture.content_hash,
        status="done",
        size=picture.size,
        to_stored=picture.to_stored,
        regions=regions,
        outcomes=("found",),
        frame=picture.frame,
    )


@dataclass
class ListKeeper:
    """Keeps records in a list."""

    records: dict[str, AnnotationRecord] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    stamps: dict[str, object] = field(default_factory=dict)
    syncs: int = 0
    ends: list[tuple[str, int]] = field(default_factory=list)
    fails_at: int | None = None

    def __len__(self) -> int:
        return len(self.records)

    def is_done(
        self, path: str, stamp: tuple[int, int] | None, content_hash: str | None = None
    ) -> bool:
        if path not in self.records:
            return False
        if content_hash is not None and self.records[path].content_hash == content_hash:
            return True
        return stamp is not None and self.stamps[path] == stamp

    def write(self, record: AnnotationRecord, stamp: tuple[int, int] | None) -> None:
        if self.fails_at is not None and len(self.written) >= self.fails_at:
            raise OSError(28, "No space left on device")
        self.written.append(record.path)
        self.records[record.path] = record
        self.stamps[record.path] = stamp

    def touch(self, path: str, content_hash: str, stamp: tuple[int, int] | None) -> bool:
        known = self.records.get(path)
        if known is None or known.content_hash != content_hash or self.stamps[path] == stamp:
            return False
        self.stamps[path] = stamp
        return True

    def frames_done(self, video: str, stamp: tuple[int, int] | None) -> bytes:
        return b""

    def write_end(self, end: ItemEnd) -> None:
        self.ends.append((end.path, len(self.written)))

    def sync(self) -> None:
        self.syncs += 1

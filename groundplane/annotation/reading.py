"""The first stage of a job: items are listed, those that are done skipped, the rest decoded."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace

from groundplane.annotation.batches import Batches
from groundplane.annotation.events import Draining, JobEvent, Started
from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.annotation.pipes import Pipe
from groundplane.annotation.stages import Decoding, Keeping, Listing, Stamp
from groundplane.core.annotation import AnnotationRecord

__all__ = ["TICK", "Entry", "Marks", "Reading", "Settings", "Tick", "VideoEnd", "Word"]

# Seconds: how long the decoders are listened to before it is seen whether the job shall end; and
# between two words of progress.
_LISTEN, _TELL = 0.05, 0.2
# Items that are looked up before the decoders are listened to again.
_LOOK_UP = 64
# Decoded pixels that may be under way at a time, in bytes.
_BYTES = 768 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a pipeline runs; nothing of it changes what comes out.

    Attributes:
        batch: The most pictures that the experts get at a time.
        patience: Seconds that the experts wait for a batch to fill.
        max_failures: More failed pictures end the job; None goes on whatever fails.
        limit: So many items at most; None for all.
        hint: How to go on after an end before the end.
    """

    batch: int = 16
    patience: float = 0.1
    max_failures: int | None = None
    limit: int | None = None
    hint: str = ""

    @property
    def under_way(self) -> int:
        """Pictures that are decoded and not looked at yet, at most."""
        return 3 * self.batch + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record and the mark of the file that it is of."""

    record: AnnotationRecord
    stamp: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEnd:
    """A video gives nothing more; its record may be kept once so many frames' records are."""

    end: ItemEnd
    frames: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time to tell how far the job is."""


TICK = Tick()
Word = Entry | VideoEnd | Tick | JobEvent


class Marks:
    """How the job is to end.

    Plain attributes: a signal's handler may set them, whatever lock its thread holds.

    Attributes:
        drain: Why nothing new is to be begun; empty where it is.
        stopped: Whether what is begun is given up.
    """

    def __init__(self) -> None:
        self.drain = ""
        self.stopped = False


class Reading:
    """Feeds the decoders and passes on what comes from them.

    Args:
        source: What to annotate.
        pool: Who decodes.
        batches: Where pictures go.
        out: Where everything else goes.
        marks: How the job is to end.
        keeper: Who knows what is done; None takes nothing for done.
        settings: How it runs.

    Attributes:
        total: Items of the source; None where unknown.
        skipped: Items that were done before.
        seconds: What reading and decoding took, added up over all processes.
        cut: Whether it ended before the source did.
    """

    def __init__(
        self, source: Listing, pool: Decoding, *, batches: Batches, out: Pipe[Word],
        marks: Marks, keeper: Keeping | None, settings: Settings,
    ) -> None:  # fmt: skip
        self._source = source
        self._pool = pool
        self._batches = batches
        self._out = out
        self._marks = marks
        self._keeper = keeper
        self._settings = settings
        self._open: dict[str, str] = {}  # the kinds of the items that are being decoded
        self._frames: dict[str, int] = {}
        # Of videos that are being decoded: the frames that are done under another date, a bit each.
        self._known_frames: dict[str, bytes] = {}
        self._broken: set[str] = set()
        self._taken = self._released = 0
        self._freed = threading.Event()
        self._largest = 1
        self.total: int | None = None
        self.skipped = 0
        self.seconds: dict[str, float] = {}
        self.cut = False

    def run(self) -> None:
        """Work until the source ends, or the job is to end."""
        items = self._begin()
        more, told = True, 0.0
        while not self._marks.drain and (more or self._under_way()):
            fed = 0
            while more and fed < _LOOK_UP and self._under_way() < self._room():
                item = next(items, None)
                more = item is not None
                fed += 1
                if item is not None:
                    self._submit(item)
            if self._open:
                self._receive(self._pool.next(0.0 if fed == _LOOK_UP else _LISTEN))
            elif not fed:
                self._freed.wait(_LISTEN)  # all that is decoded waits to be looked at
                self._freed.clear()
            if time.monotonic() - told > _TELL:
                told = time.monotonic()
                self._out.put(TICK)
        self.cut = more or bool(self._open)
        if self._marks.drain and not self._marks.stopped:
            self._out.put(Draining(why=self._marks.drain))

    def release(self, pictures: Sequence[Picture]) -> None:
        """Pictures were looked at; called by the thread that looks."""
        for picture in pictures:
            self._pool.release(picture)
        self._released += len(pictures)
        self._freed.set()

    def _begin(self) -> Iterator[Item]:
        count, limit = self._source.count(), self._settings.limit
        self.total = count if limit is None or count is None else min(count, limit)
        recorded = len(self._keeper) if isinstance(self._keeper, Sized) else 0
        self._out.put(Started(total=self.total, recorded=recorded))
        return itertools.islice(self._source.items(), limit)

    def _under_way(self) -> int:
        """Items that are not decoded yet, and pictures that are not looked at yet."""
        return len(self._open) + self._taken - self._released

    def _room(self) -> int:
        return min(self._settings.under_way, max(2, _BYTES // self._largest))

    def _submit(self, item: Item) -> None:
        if self._keeper is not None:
            if self._keeper.is_done(item.path, item.stamp):
                self.skipped += 1
                return
            if item.kind == "video":
                done = self._keeper.frames_done(item.path, item.stamp)
                item = replace(item, frames_done=done)
        self._open[item.path] = item.kind
        self._pool.submit(item)

    def _receive(self, got: Picture | Unread | ItemEnd | None) -> None:
        """Send on what was decoded."""
        if got is None:
            return
        if isinstance(got, ItemEnd) or self._open.get(got.path) != "video":
            self._open.pop(got.path, None)  # a frame's path is not the video's
        if isinstance(got, ItemEnd):
            self._end(got)
        elif isinstance(got, Picture):
            self._accept(got)
        else:
            self._refuse(got)

    def _accept(self, picture: Picture) -> None:
        for stage, seconds in picture.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        if self._known(picture):
            self._pool.release(picture)
            return
        if picture.frame is not None:
            video = picture.frame.video
            self._frames[video] = self._frames.get(video, 0) + 1
        self._largest = max(picture.pixels.nbytes, self._largest * 15 // 16)
        self._taken += 1
        self._batches.put(picture)

    def _refuse(self, unread: Unread) -> None:
        if unread.path in self._open:
            self._broken.add(unread.path)
        if not self._known(unread):
            record = AnnotationRecord(
                path=unread.path, content_hash=unread.content_hash, status="failed", size=None,
                failure=unread.failure,
            )  # fmt: skip
            self._out.put(Entry(record=record, stamp=unread.stamp))

    def _end(self, end: ItemEnd) -> None:
        frames = self._frames.pop(end.path, 0)
        known = self._known_frames.pop(end.path, b"")
        if end.path in self._broken:
            self._broken.remove(end.path)  # not done as a whole: it may be tried again
        else:
            self.skipped += bool(known and not frames)
            self._out.put(VideoEnd(end=end, frames=frames))

    def _known(self, got: Picture | Unread) -> bool:
        """Whether the same bytes are done, under another date of the file."""
        if self._keeper is None or not got.content_hash:
            return False
        if isinstance(got, Picture) and got.frame is not None:
            video, index = got.frame.video, got.frame.index
            if video not in self._known_frames:
                self._known_frames[video] = self._frames_known(video, got, self._keeper)
            bits = self._known_frames[video]
            return index >> 3 < len(bits) and bool(bits[index >> 3] >> (index & 7) & 1)
        done = self._keeper.is_done(got.path, got.stamp, got.content_hash)
        if done:
            self._keeper.touch(got.path, got.content_hash, got.stamp)
        self.skipped += done
        return done

    @staticmethod
    def _frames_known(video: str, got: Picture, keeper: Keeping) -> bytes:
        """The frames that are done of a video that has another date; none where it has not."""
        if not keeper.touch(video, got.content_hash, got.stamp):
            return b""
        return keeper.frames_done(video, got.stamp)

"""The way of a picture: listed, decoded, put into a batch, looked at, written, handed out.

Each stage has its thread (decoding and, mostly, looking have processes of their own behind it) and
hands on to the next through something bounded, so that no stage waits for another while it has
work and memory does not grow with the number of items.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass

from groundplane.annotation.batches import Batches
from groundplane.annotation.events import (
    BatchHalved,
    Draining,
    Ending,
    ExpertRestarted,
    Finished,
    ItemFailed,
    JobEvent,
    Progress,
    Started,
    Summary,
)
from groundplane.annotation.items import Item, Picture, Unread
from groundplane.annotation.pipes import Pipe
from groundplane.annotation.stages import Decoding, Ended, Keeping, Listing, Looking, Stamp
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import DetectorError

__all__ = ["Pipeline", "Settings"]

# Seconds: how long the decoders are listened to before it is seen whether the job shall end; and
# between two words of progress.
_LISTEN, _TELL = 0.05, 0.2
# Items that are looked up before the decoders are listened to again.
_LOOK_UP = 64
# Decoded pixels that may be under way at a time, in bytes.
_BYTES = 768 * 2**20
# Seconds that a thread gets to end; one that hangs in an expert is left behind.
_JOIN = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a job runs; nothing of it changes what comes out.

    Attributes:
        batch: The most pictures that the experts get at a time.
        patience: Seconds that the experts wait for a batch to fill.
        max_failures: More failed pictures end the job; None goes on whatever fails.
        hint: How to go on after an end before the end.
    """

    batch: int = 16
    patience: float = 0.1
    max_failures: int | None = None
    hint: str = ""

    @property
    def under_way(self) -> int:
        """Pictures that are decoded and not looked at yet, at most."""
        return 3 * self.batch + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    record: AnnotationRecord
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to tell how far it is."""


_TICK = _Tick()
_Word = _Entry | _Tick | JobEvent


class Pipeline:
    """Runs one job once.

    Args:
        source: What to annotate.
        pool: Who decodes; it should hold as many pictures as `settings.under_way`.
        looker: Who makes records.
        keeper: Where they go; None keeps nothing and takes nothing for done.
        settings: How it runs.

    Attributes:
        summary: What it did; None until it is over.
    """

    def __init__(
        self, source: Listing, pool: Decoding, looker: Looking, *,
        keeper: Keeping | None = None, settings: Settings | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self._pool = pool
        self._looker = looker
        self._keeper = keeper
        self._settings = settings or Settings()
        most = self._settings.batch
        self._batches = Batches(most, hold=2 * most, patience=self._settings.patience)
        self._looked: Pipe[_Word] = Pipe(2 * most)
        self._out: Pipe[_Word] = Pipe(2 * most)
        # Plain marks and counts, each set by one thread only: a signal's handler may set the first
        # two whatever lock its thread holds at that moment.
        self._drain_why = ""
        self._stopped = False
        self._fault: BaseException | None = None
        self._open: set[str] = set()
        self._freed = threading.Event()
        self._skipped = self._released = self._taken = 0
        self._largest = 1
        self._done = self._failed = self._regions = 0
        self._too_many = self._cut = False
        self._total: int | None = None
        self._begun = time.monotonic()
        self._stages: dict[str, float] = {}
        self._writing = 0.0
        self.summary: Summary | None = None

    def run(self) -> Iterator[AnnotationRecord | JobEvent]:
        """Give each record when it is kept, and what there is to tell in between.

        Raises:
            OutputError: If a record cannot be kept.
            DetectorError: If the experts cannot go on.
        """
        self._begun = time.monotonic()
        threads = [
            threading.Thread(target=self._guarded, args=(stage, after), daemon=True)
            for stage, after in (
                (self._read, self._batches.end),
                (self._look, self._looked.end),
                (self._write, self._out.end),
            )
        ]
        for thread in threads:
            thread.start()
        ended: Ending = "stopped"
        try:
            yield from self._hand_out()
            ended = self._ending()
        finally:
            self._close(threads, early=ended == "stopped")
            self.summary = self._summarise(ended)
        yield Finished(summary=self.summary)

    def drain(self, why: str = "interrupted") -> None:
        """Begin nothing new; what is decoded is finished. May be called by a signal's handler."""
        self._drain_why = self._drain_why or why

    def stop(self) -> None:
        """Give up at once what is not written. May be called by a signal's handler."""
        self._stopped = True
        self._drain_why = self._drain_why or "stopped"

    def _guarded(self, stage: Callable[[], None], after: Callable[[], None]) -> None:
        """Run a stage; a fault of it ends the job and is raised where the records are taken."""
        try:
            stage()
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever iterates
            if self._fault is None:
                self._fault = error
            self.stop()
            self._looked.close()
            self._out.close()
        finally:
            after()

    def _read(self) -> None:
        """List, skip what is done, have the rest decoded."""
        self._total = self._source.count()
        recorded = len(self._keeper) if isinstance(self._keeper, Sized) else 0
        self._looked.put(Started(total=self._total, recorded=recorded))
        items = iter(self._source.items())
        more, told = True, 0.0
        while not self._drain_why and (more or self._under_way()):
            fed = 0
            while more and fed < _LOOK_UP and self._under_way() < self._room():
                item = next(items, None)
                more = item is not None
                fed += 1
                if item is not None and self._to_do(item):
                    self._open.add(item.path)
                    self._pool.submit(item)
            if self._open:
                self._receive(self._pool.next(0.0 if fed == _LOOK_UP else _LISTEN))
            elif not fed:
                self._freed.wait(_LISTEN)  # all that is decoded waits to be looked at
                self._freed.clear()
            if time.monotonic() - told > _TELL:
                told = time.monotonic()
                self._looked.put(_TICK)
        self._cut = more or bool(self._open)
        if self._stopped:
            self._out.close()
        elif self._drain_why:
            self._looked.put(Draining(why=self._drain_why))

    def _under_way(self) -> int:
        """Items that are not decoded yet, and pictures that are not looked at yet."""
        return len(self._open) + self._taken - self._released

    def _room(self) -> int:
        return min(self._settings.under_way, max(2, _BYTES // self._largest))

    def _to_do(self, item: Item) -> bool:
        if self._keeper is None or not self._keeper.is_done(item.path, item.stamp):
            return True
        self._skipped += 1
        return False

    def _receive(self, got: Picture | Unread | Ended | None) -> None:
        """Send on what was decoded."""
        if got is None:
            return
        if not isinstance(got, Picture) or got.frame is None:
            self._open.discard(got.path)
        if not isinstance(got, Picture | Unread):
            return
        if self._keeper is not None and self._keeper.is_done(got.path, got.stamp, got.content_hash):
            self._skipped += 1  # the same bytes under a new date
            if isinstance(got, Picture):
                self._pool.release(got)
        elif isinstance(got, Picture):
            for stage, seconds in got.seconds.items():
                self._stages[stage] = self._stages.get(stage, 0.0) + seconds
            self._largest = max(got.pixels.nbytes, self._largest * 15 // 16)
            self._taken += 1
            self._batches.put(got)
        else:
            record = AnnotationRecord(
                path=got.path, content_hash=got.content_hash, status="failed", size=None,
                failure=got.failure,
            )  # fmt: skip
            self._looked.put(_Entry(record=record, stamp=got.stamp))

    def _look(self) -> None:
        """Have batches looked at."""
        largest, restarts = self._settings.batch, 0
        while batch := self._batches.take():
            try:
                records = [] if self._stopped else self._looker.look(batch)
            finally:
                for picture in batch:
                    self._pool.release(picture)
                self._released += len(batch)
                self._freed.set()
            if self._stopped:
                return
            if [record.path for record in records] != [picture.path for picture in batch]:
                raise DetectorError(
                    f"{type(self._looker).__name__}: expected a record of each of {len(batch)} "
                    f"pictures in order, got {len(records)}"
                )
            for record, picture in zip(records, batch, strict=True):
                self._looked.put(_Entry(record=record, stamp=picture.stamp))
            fits = getattr(self._looker, "largest", None) or largest
            if fits < largest:
                largest = fits
                self._batches.limit(largest)
                self._looked.put(BatchHalved(size=largest))
            now = getattr(self._looker, "restarts", 0)
            if now > restarts:
                restarts = now
                self._looked.put(ExpertRestarted(count=restarts))

    def _write(self) -> None:
        """Keep records and send them on."""
        while (word := self._looked.get()) is not None:
            if isinstance(word, _Entry) and self._keeper is not None:
                begun = time.perf_counter()
                self._keeper.write(word.record, word.stamp)
                self._writing += time.perf_counter() - begun
            self._out.put(word)
        if self._keeper is not None and self._fault is None:
            self._keeper.sync()

    def _hand_out(self) -> Iterator[AnnotationRecord | JobEvent]:
        """What comes out of the last stage, until it ends."""
        while (word := self._out.get()) is not None:
            if isinstance(word, _Tick):
                yield self._progress()
            elif isinstance(word, _Entry):
                yield from self._count(word.record)
            else:
                yield word
        if self._fault is not None:
            raise self._fault
        yield self._progress()

    def _count(self, record: AnnotationRecord) -> Iterator[AnnotationRecord | JobEvent]:
        failure = record.failure
        if failure is None:
            self._done += 1
            self._regions += int(record.regions.kept.sum())
        else:
            self._failed += 1
            yield ItemFailed(path=record.path, stage=failure.stage, message=failure.message)
        yield record
        most = self._settings.max_failures
        if most is not None and self._failed > most:
            self._too_many = True
            self.drain(f"{self._failed} pictures failed, and {most} may")

    def _ending(self) -> Ending:
        if self._stopped:
            return "stopped"
        if self._too_many:
            return "failures"
        return "interrupted" if self._cut else "complete"

    def _close(self, threads: list[threading.Thread], *, early: bool) -> None:
        """End all threads and processes; what is written is made durable."""
        if early:
            self.stop()
            self._looked.close()
            self._out.close()
            self._batches.end()
            self._looker.close()  # whoever looks right now ends
        for thread in threads:
            thread.join(_JOIN)
        self._pool.close()
        self._looker.close()

    def _progress(self) -> Progress:
        return Progress(
            total=self._total, skipped=self._skipped, done=self._done, failed=self._failed,
            seconds=time.monotonic() - self._begun, stages=self._spent(),
        )  # fmt: skip

    def _spent(self) -> dict[str, float]:
        return {**self._stages, **self._looker.seconds, "write": self._writing}

    def _summarise(self, ended: Ending) -> Summary:
        hint = "" if ended == "complete" else self._settings.hint
        return Summary(
            ended=ended, total=self._total, skipped=self._skipped, done=self._done,
            failed=self._failed, regions=self._regions,
            seconds=time.monotonic() - self._begun, stages=self._spent(), hint=hint,
        )  # fmt: skip

"""The way of a picture: listed, decoded, put into a batch, looked at, written, handed out.

Each stage has its thread (decoding and, mostly, looking have processes of their own behind it) and
hands on to the next through something bounded, so that no stage waits for another while it has
work and memory does not grow with the number of items.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from groundplane.annotation.batches import Batches
from groundplane.annotation.events import (
    BatchHalved,
    Ending,
    ExpertRestarted,
    Finished,
    ItemFailed,
    JobEvent,
    Progress,
    Summary,
)
from groundplane.annotation.pipes import Pipe
from groundplane.annotation.reading import Entry, Marks, Reading, Settings, Tick, VideoEnd, Word
from groundplane.annotation.stages import Decoding, Keeping, Listing, Looking
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import DetectorError

__all__ = ["Pipeline"]

# Seconds that a thread gets to end; one that hangs in an expert is left behind.
_JOIN = 2.0


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
        self._pool = pool
        self._looker = looker
        self._keeper = keeper
        self._settings = settings or Settings()
        most = self._settings.batch
        self._batches = Batches(most, hold=2 * most, patience=self._settings.patience)
        self._looked: Pipe[Word] = Pipe(2 * most)
        self._out: Pipe[Word] = Pipe(2 * most)
        self._marks = Marks()
        self._reading = Reading(
            source, pool, batches=self._batches, out=self._looked, marks=self._marks,
            keeper=keeper, settings=self._settings,
        )  # fmt: skip
        self._fault: BaseException | None = None
        self._done = self._failed = self._regions = 0
        self._too_many = False
        self._frames: Counter[str] = Counter()
        self._ends: dict[str, VideoEnd] = {}
        self._begun = time.monotonic()
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
        self._marks.drain = self._marks.drain or why

    def stop(self) -> None:
        """Give up at once what is not written. May be called by a signal's handler."""
        self._marks.stopped = True
        self._marks.drain = self._marks.drain or "stopped"

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
        """Have the source read."""
        self._reading.run()
        if self._marks.stopped:
            self._out.close()

    def _look(self) -> None:
        """Have batches looked at."""
        largest, restarts = self._settings.batch, 0
        while batch := self._batches.take():
            try:
                records = [] if self._marks.stopped else self._looker.look(batch)
            finally:
                self._reading.release(batch)
            if self._marks.stopped:
                return
            if [record.path for record in records] != [picture.path for picture in batch]:
                raise DetectorError(
                    f"{type(self._looker).__name__}: expected a record of each of {len(batch)} "
                    f"pictures in order, got {len(records)}"
                )
            for record, picture in zip(records, batch, strict=True):
                self._looked.put(Entry(record=record, stamp=picture.stamp))
            fits = self._looker.largest or largest
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
            if self._keeper is not None:
                begun = time.perf_counter()
                self._keep(word, self._keeper)
                self._writing += time.perf_counter() - begun
            self._out.put(word)
        if self._keeper is not None and self._fault is None:
            self._keeper.sync()

    def _keep(self, word: Word, keeper: Keeping) -> None:
        if isinstance(word, Entry):
            keeper.write(word.record, word.stamp)
            if word.record.frame is None:
                return
            video = word.record.frame.video
            self._frames[video] += 1
        elif isinstance(word, VideoEnd):
            video = word.end.path
            self._ends[video] = word
        else:
            return
        # The end of a video may be seen before its last frames are looked at.
        end = self._ends.get(video)
        if end is not None and self._frames[video] >= end.frames:
            keeper.write_end(end.end)
            del self._ends[video], self._frames[video]

    def _hand_out(self) -> Iterator[AnnotationRecord | JobEvent]:
        """What comes out of the last stage, until it ends."""
        while (word := self._out.get()) is not None:
            if isinstance(word, Tick):
                yield self._progress()
            elif isinstance(word, Entry):
                yield from self._count(word.record)
            elif not isinstance(word, VideoEnd):
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
        if self._marks.stopped:
            return "stopped"
        if self._too_many:
            return "failures"
        return "interrupted" if self._reading.cut else "complete"

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
            total=self._reading.total, skipped=self._reading.skipped,
            done=self._done, failed=self._failed, seconds=time.monotonic() - self._begun,
            stages=self._spent(),
        )  # fmt: skip

    def _spent(self) -> dict[str, float]:
        return {**self._reading.seconds, **self._looker.seconds, "write": self._writing}

    def _summarise(self, ended: Ending) -> Summary:
        hint = "" if ended == "complete" else self._settings.hint
        return Summary(
            ended=ended, total=self._reading.total, skipped=self._reading.skipped, done=self._done,
            failed=self._failed, regions=self._regions,
            seconds=time.monotonic() - self._begun, stages=self._spent(), hint=hint,
        )  # fmt: skip

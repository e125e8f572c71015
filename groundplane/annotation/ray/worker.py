"""What runs on each machine: shard after shard, with the experts made once."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.annotation.beginning import make_looker, make_pool
from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.events import Summary
from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.annotation.locks import LockedError
from groundplane.annotation.looking import Looker
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.ray.shards import ShardListing, count_try
from groundplane.annotation.reading import Settings
from groundplane.annotation.run import Run
from groundplane.annotation.run_writer import RunWriter
from groundplane.annotation.running import Running
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.files import one_line

__all__ = ["ShardJob", "ShardWorker"]

# Seconds. A file server lets go of a dead machine's locks after its lease, 90 seconds for NFS 4 in
# Linux.
_PATIENCE, _PAUSE = 180.0, 0.5
# Whatever ends a process again and again ends the job; Ray would never tire.
_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """What every machine is told.

    Attributes:
        run: The run's folder, under the same path on all machines.
        key: The run's key, by which a machine knows that it sees that very folder.
        running: How it runs; `limit` and `max_failures` are for the whole job, not for a shard.
    """

    run: str
    key: str
    running: Running


class ShardWorker:
    """Annotates the shards that it is given; Ray makes one a process.

    A shard may be given again, to another process, after one has died with it: what the shard's
    log holds is not done again.

    Args:
        job: What to do.

    Raises:
        InputError: If this machine does not see the run's folder.
    """

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._folder = Path(job.run)
        if not Run.exists(self._folder) or Run.open(self._folder).key.hex() != job.key:
            raise InputError(
                f"{one_line(job.run)}: machine {socket.gethostname()} does not see this run; "
                "put it on a file system that all machines share, under the same path"
            )
        self._parts: ExitStack | None = None
        self._pool: _KeptPool | None = None
        self._looker: _KeptLooker | None = None

    def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        """Annotate shards: a column of their numbers in, a row of counts a shard out."""
        numbers = [int(number) for number in batch["shard"]]
        rows = [_row(number, self.annotate(number)) for number in numbers]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def annotate(self, shard: int) -> Summary:
        """Annotate what a shard lists and its log does not hold.

        Raises:
            DetectorError: If the experts cannot go on, or the process died too often.
            OutputError: If the log cannot be written, or another process writes it.
        """
        run = Run.open(self._folder)
        listing = ShardListing(folder=self._folder / "shards", shard=shard)
        if count_try(listing.folder, shard) > _TRIES:
            raise DetectorError(
                f"ray: the process died {_TRIES} times over shard {shard}; Ray's logs may say "
                "why (too little memory, mostly). The same call goes on where it ended"
            )
        running = self._job.running
        try:
            with self._writer(run, shard) as writer:
                pool, looker = self._experts(run)
                looker.begin()
                pipeline = Pipeline(
                    listing, pool, looker, keeper=writer, settings=Settings(batch=running.batch)
                )
                for _ in pipeline.run():
                    pass  # what there is to tell stands in the log and in the summary
        except BaseException:
            self.close()
            raise
        assert pipeline.summary is not None
        return pipeline.summary

    def close(self) -> None:
        """Let go of processes; they are made again when there is another shard."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.close()

    def _writer(self, run: Run, shard: int) -> RunWriter:
        """The shard's log; whose machine has just died may hold its lock for a while yet."""
        late = time.monotonic() + _PATIENCE
        while True:
            try:
                return run.writer(shard=shard, retry_failed=self._job.running.retry_failed)
            except LockedError:
                if time.monotonic() > late:
                    raise
                time.sleep(_PAUSE)

    def _experts(self, run: Run) -> tuple[_KeptPool, _KeptLooker]:
        """Who decodes and who looks, made at the first shard."""
        if self._parts is None or self._pool is None or self._looker is None:
            running = self._job.running
            with ExitStack() as parts:
                slots = Settings(batch=running.batch).under_way
                pool = make_pool(run.spec, running, slots=slots)
                parts.callback(pool.close)
                looker = make_looker(run.spec, running, pool)
                parts.callback(looker.close)
                self._pool, self._looker = _KeptPool(pool), _KeptLooker(looker)
                self._parts = parts.pop_all()
        return self._pool, self._looker


class _KeptPool:
    """A pool that outlives the pipeline that uses it."""

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool

    def submit(self, item: Item) -> None:
        self._pool.submit(item)

    def next(self, timeout: float) -> Picture | Unread | ItemEnd | None:
        return self._pool.next(timeout)

    def release(self, picture: Picture) -> None:
        self._pool.release(picture)

    def close(self) -> None:
        """It stays for the next shard."""


class _KeptLooker:
    """Experts that outlive the pipeline that uses them; their seconds are those of one shard."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker
        self._before: Mapping[str, float] = {}

    @property
    def seconds(self) -> Mapping[str, float]:
        now = self._looker.seconds
        return {name: spent - self._before.get(name, 0.0) for name, spent in now.items()}

    @property
    def restarts(self) -> int:
        restarts: int = getattr(self._looker, "restarts", 0)
        return restarts

    @property
    def largest(self) -> int | None:
        largest: int | None = getattr(self._looker, "largest", None)
        return largest

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        return self._looker.look(pictures)

    def begin(self) -> None:
        """From here on its seconds are counted."""
        self._before = dict(self._looker.seconds)

    def close(self) -> None:
        """They stay for the next shard."""


def _row(shard: int, summary: Summary) -> dict[str, Any]:
    """What a shard did, as Ray hands it on."""
    return {
        "shard": shard,
        "skipped": summary.skipped,
        "done": summary.done,
        "failed": summary.failed,
        "regions": summary.regions,
        "stages": dict(summary.stages),
    }

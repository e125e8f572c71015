"""A job over the machines of a Ray cluster, with the log of a run as its truth.

This process lists the items and leaves out what the run holds; the rest goes to shards. Each
shard is a row of a Ray dataset, and a pool of actors runs the stages of a job for it: they decode,
look, and write the shard's own log. When an actor dies, Ray hands its shard to another one, which
opens the log and goes on. No record passes through Ray.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from groundplane.annotation.beginning import how_to_go_on
from groundplane.annotation.events import Ending, Finished, JobEvent, Progress, Started, Summary
from groundplane.annotation.items import Item
from groundplane.annotation.ray.shards import write_shards
from groundplane.annotation.ray.worker import ShardJob, ShardWorker
from groundplane.annotation.run import Run
from groundplane.annotation.run_writer import RunWriter
from groundplane.annotation.running import Running
from groundplane.annotation.stages import Listing
from groundplane.annotation.tracking import need_tracker
from groundplane.core.errors import DetectorError, GroundplaneError, InputError
from groundplane.core.hub import need_library

__all__ = ["RayTerms", "annotate_on_ray"]

_SHARD = 10_000
_RUNNING = Running()


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTerms:
    """What is taken of a cluster.

    Attributes:
        address: The cluster; empty for the one that `RAY_ADDRESS` names or, without it, for one
            that is started on this machine, which only this machine can reach.
        actors: Processes that annotate; each has its own experts and decoders.
        cpus: Processor cores of each.
        gpus: Devices of each; a part, such as 0.5, where several share one.
        num_shards: None for one for each ten thousand items, and at least four an actor.

    Raises:
        InputError: If a number is out of range.
    """

    address: str = ""
    actors: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    num_shards: int | None = None

    def __post_init__(self) -> None:
        for name, number, least in (
            ("actors", self.actors, 1), ("num_shards", self.num_shards, 1),
            ("cpus", self.cpus, 0), ("gpus", self.gpus, 0),
        ):  # fmt: skip
            if number is not None and not number >= least:
                raise InputError(f"ray: expected {name} of {least} or more, got {number}")


def annotate_on_ray(
    run: Run, source: Listing, *, terms: RayTerms, running: Running = _RUNNING
) -> Iterator[JobEvent]:
    """Annotate what a source lists and a run does not hold yet.

    Args:
        run: Where the records go; a folder that all machines see under the same path.
        source: What is annotated; its files must be seen by all machines too.
        terms: What is taken of the cluster.
        running: How each actor runs.

    Yields:
        Progress at the end of each shard, and at last what the call did.

    Raises:
        InputError: If experts or items are objects of this program, or a machine does not see
            the run.
        DetectorError: If the experts cannot go on.
        OutputError: If a log cannot be written, or another process writes to the run.
        PluginBrokenError: If Ray is not installed.
    """
    ray = _checked(run)
    ended: Ending = "complete"
    with run.writer(retry_failed=running.retry_failed) as writer:
        skipped = _Skipped()
        todo = skipped.of(itertools.islice(source.items(), running.limit), writer)
        num_shards = terms.num_shards or max(4 * terms.actors, (source.count() or 0) // _SHARD + 1)
        folder = run.path.resolve()
        counts = write_shards(todo, folder / "shards", num_shards=num_shards)
        writer.begin()
        told = _Told(total=sum(counts) + skipped.count, skipped=skipped.count)
        yield Started(total=told.total, recorded=len(writer))
        job = ShardJob(run=str(folder), key=run.key.hex(), running=running)
        shards = [shard for shard, count in enumerate(counts) if count]
        try:
            with _cluster(ray, terms) if shards else nullcontext():
                for row in _rows(ray, job, shards, terms=terms) if shards else ():
                    yield told.add(row)
                    if running.max_failures is not None and told.failed > running.max_failures:
                        ended = "failures"
                        break
        except KeyboardInterrupt:
            ended = "stopped"
        if ended == "complete":
            run.follow(writer)
    yield Finished(summary=told.summary(ended, hint=how_to_go_on(run.path)))


def _checked(run: Run) -> Any:
    """Ray, where a run can go to other machines and all that it needs here is installed."""
    for name in (run.spec.detector, run.spec.captioner):
        if name is not None and name.startswith("object:"):
            raise InputError(
                f"ray: {name.removeprefix('object:')} is an object of this program, which no "
                "other machine has; name an installed plugin"
            )
    if run.spec.tracks:
        need_tracker()
    return need_library("ray", who="--ray", extra="ray")


class _Told:
    """What the shards have told by now, added up."""

    def __init__(self, *, total: int, skipped: int) -> None:
        self.total, self._skipped = total, skipped
        self.done = self.failed = self._regions = 0
        self._stages: Counter[str] = Counter()
        self._begun = time.monotonic()

    def add(self, row: Mapping[str, Any]) -> Progress:
        """Take in what a shard did."""
        # What a task that died had done already is skipped by the one after it.
        self.done += row["done"] + row["skipped"]
        self.failed += row["failed"]
        self._regions += row["regions"]
        self._stages.update(row["stages"])
        return Progress(
            total=self.total, skipped=self._skipped, done=self.done, failed=self.failed,
            seconds=time.monotonic() - self._begun, stages=dict(self._stages),
        )  # fmt: skip

    def summary(self, ended: Ending, *, hint: str) -> Summary:
        """What the call did."""
        return Summary(
            ended=ended, total=self.total, skipped=self._skipped, done=self.done,
            failed=self.failed, regions=self._regions, seconds=time.monotonic() - self._begun,
            stages=dict(self._stages), hint="" if ended == "complete" else hint,
        )  # fmt: skip


class _Skipped:
    """Leaves out items that are done, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, items: Iterator[Item], writer: RunWriter) -> Iterator[Item]:
        for item in items:
            if writer.is_done(item.path, item.stamp):
                self.count += 1
            elif item.kind == "video":
                done = writer.frames_done(item.path, item.stamp)
                yield replace(item, frames_done=done)
            else:
                yield item


def _rows(
    ray: Any, job: ShardJob, shards: list[int], *, terms: RayTerms
) -> Iterator[dict[str, Any]]:
    """What each shard did, as they are done."""
    data = need_library("ray.data", who="--ray", extra="ray")
    for name in ("ray.data", "ray.data.progress"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    table = data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    done = table.map_batches(
        ShardWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=data.ActorPoolStrategy(
            size=min(terms.actors, len(shards)), max_tasks_in_flight_per_actor=1
        ),
        num_cpus=terms.cpus,
        num_gpus=terms.gpus,
    )
    try:
        yield from done.iter_rows()
    except ray.exceptions.RayError as error:
        raise _cause(error) from error


def _cause(error: BaseException) -> GroundplaneError:
    """Our own error behind one of Ray's; else one that says what Ray said."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, GroundplaneError):
            return seen
        inner = getattr(seen, "cause", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return DetectorError(f"ray: {' '.join(str(error).split())[-500:]}")


@contextmanager
def _cluster(ray: Any, terms: RayTerms) -> Iterator[None]:
    """A connection to the cluster; one that the caller has is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It tells of each dataset and actor on stderr, where the progress of the job is told.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    address = terms.address or os.environ.get("RAY_ADDRESS", "")
    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        ray.init(
            include_dashboard=False, log_to_driver=False, configure_logging=False,
            _node_ip_address="127.0.0.1",
        )  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()

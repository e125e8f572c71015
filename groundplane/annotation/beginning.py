"""Puts the parts of a job together, and refuses what cannot work before anything is begun."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.items import Item
from groundplane.annotation.job import AnnotationJob
from groundplane.annotation.looking import Looker, LookTerms
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.reading import Settings
from groundplane.annotation.run import Run
from groundplane.annotation.running import Running
from groundplane.annotation.sources import Source
from groundplane.annotation.spec import JobSpec
from groundplane.annotation.tracking import need_tracker
from groundplane.annotation.view import View
from groundplane.core.host import available
from groundplane.core.media import MediaLimits

if TYPE_CHECKING:
    from groundplane.core.detection import Detector
    from groundplane.core.session import LanguageModel

__all__ = ["Handed", "begin_job", "how_to_go_on", "make_looker", "make_pool", "versions_of"]

_RUNNING = Running()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handed:
    """Experts that are made already. They run in this process.

    Attributes:
        detector: Who detects; None where the job names one.
        captioner: Who describes pictures; None where the job names one, or none does.
    """

    detector: Detector | None = None
    captioner: LanguageModel | None = None


def begin_job(
    spec: JobSpec,
    source: Source,
    *,
    out: str | Path | None = None,
    running: Running = _RUNNING,
    handed: Handed | None = None,
) -> AnnotationJob:
    """Make a job; it runs as it is iterated, and is to be closed.

    Args:
        spec: What it is to do.
        source: What is annotated.
        out: The folder of the run: a new one, or one that was begun with the same job and goes
            on. None keeps no log.
        running: How it runs.
        handed: Experts that are made already.

    Raises:
        MediaError: If the source holds nothing.
        InputError: If the folder holds another job or something that is no run, or nobody can
            look for any of the prompts.
        OutputError: If another process writes to the run, or it cannot be written.
        PluginNotFoundError, PluginBrokenError: If an expert cannot be made.
    """
    begun = _Begun(source)
    handed = handed or Handed()
    if spec.tracks and out is not None:
        need_tracker()
    with ExitStack() as parts:
        run = writer = None
        if out is not None and Run.exists(out):
            # Whoever cannot go on here should not wait for a model first.
            run = Run.resume(out, spec)
            writer = parts.enter_context(run.writer(retry_failed=running.retry_failed))
        settings = Settings(
            batch=running.batch,
            max_failures=running.max_failures,
            limit=running.limit,
            hint="" if out is None else how_to_go_on(out),
        )
        pool = make_pool(spec, running, slots=settings.under_way)
        parts.callback(pool.close)
        looker = make_looker(spec, running, pool, handed=handed)
        parts.callback(looker.close)
        if out is not None and run is None:
            # Another process may have begun it meanwhile; it is told by name then.
            run = Run.resume(out, spec) if Run.exists(out) else Run.create(out, spec)
            writer = parts.enter_context(run.writer(retry_failed=running.retry_failed))
        view = View.of(spec, candidates=running.candidates)
        if run is not None:
            _print_beside(run, looker)
            view = replace(view, thresholds=run.thresholds())
        pipeline = Pipeline(begun, pool, looker, keeper=writer, settings=settings)
        after = None if run is None or writer is None else partial(run.follow, writer)
        return AnnotationJob(
            pipeline,
            parts=parts.pop_all(),
            run=run,
            show=view.apply,
            after=after,
            lacking=looker.lacking,
        )


def make_pool(spec: JobSpec, running: Running, *, slots: int) -> DecodePool:
    """Who decodes for a job; to be closed.

    Args:
        spec: What the job is to do.
        running: How it runs.
        slots: Pictures that are decoded and not looked at yet, at most.

    Raises:
        WorkerError: If a limit of the system does not let the processes begin.
    """
    return DecodePool(
        running.num_workers,
        replace(MediaLimits(), max_pixels=spec.max_pixels),
        seconds=running.decode_seconds,
        slots=slots,
    )


class _Begun:
    """A source of which the first item is listed already, so that an empty one is refused early.

    It is listed once only: what a program hands over may be an iterator.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._items = source.items()
        self._first = tuple(islice(self._items, 1))

    def items(self) -> Iterator[Item]:
        """All items."""
        return chain(self._first, self._items)

    def count(self) -> int | None:
        """As the source says."""
        return self._source.count()


def versions_of(spec: JobSpec) -> JobSpec:
    """The same job with the versions of groundplane and of the distributions of its experts."""
    found = {"groundplane": metadata.version("groundplane")}
    for kind, given in (
        ("detectors", spec.detector),
        ("segmenters", spec.segmenter),
        ("language_models", spec.captioner),
    ):
        if given is None and kind != "detectors":
            continue
        names = None if given is None else {name.strip() for name in given.split(",")}
        for info in available(kind, read=False):
            if names is None or info.name in names or info.qualified in names:
                found[info.distribution] = info.version
    return replace(spec, versions=tuple(sorted(found.items())))


def make_looker(
    spec: JobSpec, running: Running, pool: DecodePool, *, handed: Handed | None = None
) -> Looker:
    """Who looks at the pictures of a pool.

    Args:
        spec: What is looked for, and by whom.
        running: Whether experts run apart, where, and how long they may take.
        pool: Who decodes.
        handed: Experts that are made already.

    Raises:
        InputError: If nobody can look for any of the prompts.
        PluginNotFoundError, PluginBrokenError, DetectorError: If an expert cannot be made.
    """
    handed = handed or Handed()
    terms = LookTerms(device=running.device, deadline=running.deadline, memory=running.memory)
    if running.apart and handed.detector is None and handed.captioner is None:
        from groundplane.annotation.expert_process import ProcessLooker

        return ProcessLooker(spec, terms=terms, slots=pool.slot_fds())
    from groundplane.annotation.in_thread import ThreadLooker

    return ThreadLooker(spec, terms=terms, detector=handed.detector, captioner=handed.captioner)


def _print_beside(run: Run, looker: Looker) -> None:
    """What experts print goes into the folder of their run: it would come between other words."""
    from groundplane.annotation.expert_process import ProcessLooker

    if isinstance(looker, ProcessLooker):
        looker.print_to(run.experts_log)


def how_to_go_on(out: str | Path) -> str:
    return f"what is done is kept in {shlex.quote(str(out))}; the same call goes on from there"

"""`groundplane annotate`: from a folder of pictures to a run and its exports."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from groundplane.annotation.beginning import begin_job, versions_of
from groundplane.annotation.events import Finished, JobEvent, Summary
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.run import Run
from groundplane.annotation.running import Running
from groundplane.annotation.signals import drained_by_signals
from groundplane.annotation.sources import Source, open_source
from groundplane.annotation.spec import JobSpec
from groundplane.apps.annotating.exporting import check_formats, export_all, losses_told
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.annotating.planning import plan_told
from groundplane.apps.annotating.telling import ending, tellers
from groundplane.apps.given import expert_options
from groundplane.apps.told import counted, one_line, quiet
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import InputError

__all__ = ["AnnotateJob", "job_of", "run"]

# As a shell has it after SIGINT.
_INTERRUPTED = 130
# So many prompts that nobody can look for are told one by one.
_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateJob:
    """What the command line asks for.

    Attributes:
        source: What is annotated.
        out: Folder of the run.
        find: Prompts in one text; None for those of the class file alone.
        classes: Class file.
        thresholds: Least scores, `NUMBER` or `NAME=NUMBER`.
        detector, segmenter, captioner: Who looks, by name; as a `JobSpec` has them.
        options: The experts' options, `key=value`.
        caption_options: The language model's.
        caption_prompt, caption_regions: As a `JobSpec` has them.
        floor, tracks, frame_step, column, http: As a `JobSpec` has them.
        merge: Whether what several prompts of a class found at one place is made one.
        running: How it runs.
        formats: Exports that follow.
        new: Whether another run is begun where this folder is taken by another job.
        dry_run: Whether only is told what would be done.
        quiet: Whether nothing is told meanwhile.
        json_log: Where events go as JSON lines.
        ray: What is taken of a Ray cluster, as `RayTerms` has it; None for this machine alone.
    """

    source: str
    out: Path
    find: str | None = None
    classes: Path | None = None
    thresholds: tuple[str, ...] = ()
    detector: str | None = None
    segmenter: str | None = None
    captioner: str | None = None
    options: tuple[str, ...] = ()
    caption_options: tuple[str, ...] = ()
    caption_prompt: str = "Describe the picture in one sentence."
    caption_regions: bool = False
    floor: float = 0.1
    merge: bool = True
    tracks: bool = False
    frame_step: int = 1
    column: str | None = None
    http: bool = False
    running: Running = field(default_factory=Running)
    formats: tuple[str, ...] = ()
    new: bool = False
    dry_run: bool = False
    quiet: bool = False
    json_log: str | None = None
    ray: Mapping[str, Any] | None = None


def job_of(flags: Mapping[str, Any]) -> AnnotateJob:
    """What the flags of the command ask for, by their names."""
    ray = {key: flags[f"ray_{key}"] for key in ("address", "actors", "cpus", "gpus")}
    same = (
        "source", "out", "find", "classes", "detector", "segmenter", "floor", "merge", "tracks",
        "frame_step", "column", "caption_prompt", "caption_regions", "new", "dry_run", "quiet",
        "json_log",
    )  # fmt: skip
    running = (
        "device", "batch", "workers", "limit", "deadline", "max_failures", "retry_failed",
    )  # fmt: skip
    return AnnotateJob(
        **{name: flags[name] for name in same},
        thresholds=tuple(flags["threshold"] or ()),
        captioner=flags["caption"],
        http=flags["allow_http"],
        options=tuple(flags["option"] or ()),
        caption_options=tuple(flags["caption_option"] or ()),
        running=Running(**{name: flags[name] for name in running}, apart=not flags["in_process"]),
        formats=tuple(flags["formats"] or ()),
        ray=ray if flags["ray"] else None,
    )


def run(job: AnnotateJob) -> int:
    """Annotate, export, say what became of it.

    Returns:
        0 if every picture is annotated; 1 if some failed; 130 after Ctrl-C.

    Raises:
        InputError, MediaError, OutputError, DetectorError, PluginNotFoundError,
        PluginBrokenError: One line for stderr.
    """
    check_formats(job.formats)
    _check_here(job.out)
    source = open_source(job.source, frame_step=job.frame_step, column=job.column, http=job.http)
    spec = _spec(job, source)
    out = _untaken(job.out) if job.new else job.out
    if job.dry_run:
        sys.stdout.write(plan_told(spec, source, out=out, formats=job.formats))
        return 0
    summary, opened = _annotate(job, spec, source, out)
    if summary.ended != "complete":
        return _ended_early(job, summary, out)
    sys.stdout.write(f"{out}: {ending(summary)}\n")
    if job.formats:
        sys.stdout.write(losses_told(export_all(opened, job.formats)))
    failed = opened.summary().failed
    if not failed:
        return 0
    sys.stdout.flush()
    _say(
        job,
        f"{failed:,} failed; the reasons: groundplane status {shlex.quote(str(out))}; to try them "
        f"again: {_same_call(job, out)} with --retry-failed",
    )
    return 1


def _annotate(job: AnnotateJob, spec: JobSpec, source: Source, out: Path) -> tuple[Summary, Run]:
    """Run the job to its end, or to where it is ended."""
    begin = _begun_here if job.ray is None else _begun_on_ray
    summary = None
    with (
        tellers(sys.stderr, quiet=job.quiet, json_log=job.json_log) as told,
        quiet(),
        begin(job, spec, source, out) as (events, opened),
    ):
        for event in events:
            for teller in told:
                teller.tell(event)
            if isinstance(event, Finished):
                summary = event.summary
    if summary is None:
        raise AssertionError("a job ends with its summary")
    return summary, opened


@contextmanager
def _begun_here(
    job: AnnotateJob, spec: JobSpec, source: Source, out: Path
) -> Iterator[tuple[Iterator[JobEvent], Run]]:
    """The events of a job on this machine, and its run."""
    with begin_job(spec, source, out=out, running=job.running) as begun, drained_by_signals(begun):
        if begun.run is None:
            raise AssertionError("a job with a folder has a run")
        for prompt, why in islice(begun.lacking.items(), _TOLD):
            _say(job, f"nobody can look for {readable(prompt)!r}: {one_line(why, 300)}")
        if (more := len(begun.lacking) - _TOLD) > 0:
            _say(job, f"nor for {counted(more, 'other prompt')}")
        yield (w for w in begun.words() if not isinstance(w, AnnotationRecord)), begun.run


@contextmanager
def _begun_on_ray(
    job: AnnotateJob, spec: JobSpec, source: Source, out: Path
) -> Iterator[tuple[Iterator[JobEvent], Run]]:
    """The events of a job on a Ray cluster, and its run."""
    from groundplane.annotation.ray.driver import RayTerms, annotate_on_ray

    terms = RayTerms(**job.ray or {})
    next(source.items())  # raises where there is none
    opened = Run.resume(out, spec) if Run.exists(out) else Run.create(out, spec)
    yield annotate_on_ray(opened, source, terms=terms, running=job.running), opened


def _ended_early(job: AnnotateJob, summary: Summary, out: Path) -> int:
    """Say how to go on."""
    sys.stdout.flush()
    why = {
        "failures": f"ended after {summary.failed:,} failures, more than --max-failures allows",
        "interrupted": "interrupted; all that was begun is finished and kept",
        "stopped": "stopped at once",
    }
    kept = f"what is done is kept in {shlex.quote(str(out))}"
    again = f"{kept}; {_same_call(job, out)} goes on from there"
    _say(job, f"{why[summary.ended]}: {ending(summary)}; {again}")
    return 1 if summary.ended == "failures" else _INTERRUPTED


def _same_call(job: AnnotateJob, out: Path) -> str:
    """How to call again: where `--new` made a folder, another one must not be made."""
    if not job.new:
        return "the same call"
    return f"the same call without --new and with --out {shlex.quote(str(out))}"


def _say(job: AnnotateJob, text: str) -> None:
    """A line on stderr, in JSON where all else there is."""
    line = json.dumps({"event": "said", "text": text}) if job.json_log == "-" else ""
    sys.stderr.write(f"{line or f'groundplane: {text}'}\n")


def _spec(job: AnnotateJob, source: Source) -> JobSpec:
    if job.find is None and job.classes is None:
        raise InputError('annotate: name what to look for: --find "dog, red car" or --classes FILE')
    classes = read_prompts(job.find, classes=job.classes, thresholds=job.thresholds)
    caption_options = expert_options(job.caption_options, flag="--caption-option")
    spec = JobSpec(
        source=source.name,
        classes=classes,
        detector=job.detector,
        segmenter=job.segmenter,
        captioner=job.captioner,
        options=tuple(sorted(expert_options(job.options).items())),
        caption_options=tuple(sorted(caption_options.items())),
        caption_prompt=job.caption_prompt,
        caption_regions=job.caption_regions,
        floor=job.floor,
        tracks=job.tracks,
        frame_step=job.frame_step,
        column=job.column,
        http=job.http,
    )
    return versions_of(spec if job.merge else replace(spec, merge=None))


def _check_here(out: Path) -> None:
    """Refuse an address, which as a path would lead to a folder called `s3:`."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(out)):
        raise InputError(
            f"--out {str(out)!r} looks like an address. A run's log is appended to, which object "
            "stores cannot do: name a folder of a file system, and copy the finished export with "
            "groundplane export --to ADDRESS"
        )


def _untaken(out: Path) -> Path:
    """The folder, or the first of `RUN-2`, `RUN-3`, ... that is not there yet."""
    place, number = out, 1
    while os.path.lexists(place):
        number += 1
        place = out.with_name(f"{out.name}-{number}")
    return place

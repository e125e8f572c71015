"""`groundplane status`: how far a run is, what it found, what failed and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from groundplane.annotation.exporting import read_losses
from groundplane.annotation.run import Run
from groundplane.annotation.summarising import RunSummary
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.annotating.planning import size_told
from groundplane.apps.plugins import table
from groundplane.apps.told import counted, dump, one_line

__all__ = ["run"]

_MOST = 20


def run(folder: Path, *, as_json: bool) -> int:
    """Print it.

    Returns:
        0 whatever failed: to tell is what was asked.

    Raises:
        InputError: If it is no run, or a log cannot be read.
    """
    opened = Run.open(folder)
    if as_json:
        sys.stdout.write(dump(_record(opened), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(opened)) + "\n")
    return 0


def _record(opened: Run) -> dict[str, Any]:
    """The same as JSON values, with all failures."""
    spec = opened.spec
    held = zip(spec.classes.prompts, opened.thresholds(), strict=True)
    return {
        "run": str(opened.path),
        "source": spec.source,
        "detector": spec.detector,
        "segmenter": spec.segmenter,
        "captioner": spec.captioner,
        **opened.summary().record(),
        "thresholds": {prompt.text: value for prompt, value in held},
        "exports": dict(_exports(opened)),
        "failed_pictures": [
            {"path": path, "stage": failure.stage, "message": failure.message}
            for path, failure in opened.failures()
        ],
    }


def _lines(opened: Run) -> Iterator[str]:
    spec, summary = opened.spec, opened.summary()
    yield f"source    {one_line(readable(spec.source), 1000)}"
    yield f"detector  {spec.detector or 'all installed'}"
    if spec.segmenter is not None:
        yield f"segmenter {spec.segmenter}"
    if spec.captioner is not None:
        yield f"captions  {spec.captioner}"
    yield f"pictures  {_pictures(summary)}"
    if summary.videos:
        frames = sum(count for _, count in summary.videos)
        yield f"videos    {len(summary.videos):,} with {counted(frames, 'frame')}"
    yield f"regions   {summary.regions:,}"
    yield f"log       {size_told(summary.num_bytes)}"
    if summary.damaged:
        places = counted(summary.damaged, "place")
        yield f"damage    {places} of the log; what stood there is not done"
    for name, loss in _exports(opened):
        held = f"{counted(loss['pictures'], 'picture')}, {counted(loss['regions'], 'region')}"
        yield f"export    {name}: {held}"
    yield ""
    yield from _classes(opened, summary)
    yield from _failures(opened, summary)


def _pictures(summary: RunSummary) -> str:
    told = f"{summary.done:,} done, {summary.empty:,} of them without a region"
    return f"{told}, {summary.failed:,} failed"


def _classes(opened: Run, summary: RunSummary) -> Iterator[str]:
    """Regions by class, with the thresholds of its prompts."""
    prompts = opened.spec.classes.prompts
    held = opened.thresholds()
    rows = []
    for number, (name, count) in enumerate(summary.classes):
        place = number if name else -1
        mine = [
            "the expert's" if least is None else f"{least:g}"
            for prompt, least in zip(prompts, held, strict=True)
            if prompt.class_id == place
        ]
        shown = one_line(readable(name), 40) if name else "(no class)"
        rows.append((shown, f"{count:,}", ", ".join(dict.fromkeys(mine))))
    yield table([("CLASS", "REGIONS", "FROM SCORE"), *rows])


def _failures(opened: Run, summary: RunSummary) -> Iterator[str]:
    if not summary.failed:
        return
    yield ""
    stages = ", ".join(f"{count:,} at {stage}" for stage, count in summary.failures)
    yield f"{summary.failed:,} failed: {stages}"
    for path, failure in islice(opened.failures(), _MOST):
        message = one_line(readable(failure.message), 300)
        yield f"  {one_line(readable(path))}: {failure.stage}: {message}"
    if summary.failed > _MOST:
        yield f"  and {summary.failed - _MOST:,} more; all are in --json"


def _exports(opened: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """The exports that stand in the run, and what their loss reports say."""
    folders = sorted(opened.exports.iterdir()) if opened.exports.is_dir() else []
    for folder in folders:
        losses = read_losses(folder)
        if losses is not None:
            keys = ("pictures", "regions", "losses")
            yield folder.name, {key: losses.get(key, 0) for key in keys}

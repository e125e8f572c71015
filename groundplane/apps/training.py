"""`groundplane train`: reads the configuration, tells progress, prints the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from groundplane.apps.told import dump, one_line, quiet
from groundplane.core.errors import InputError
from groundplane.core.hub import need_library
from groundplane.core.options import read_options
from groundplane.training.forgetting import measure_forgetting

__all__ = ["run_forgetting", "run_mof"]

# Skipped samples that are named on stderr; the report has all.
_NAMED = 10


def run_mof(config: Path, *, resume: bool, as_json: bool) -> int:
    """Train; give exit code 1 if samples were left out, else 0."""
    from groundplane.training.configuration import read_config

    told = read_config(config)
    for library in ("transformers", "accelerate", "peft"):
        need_library(library, who="training", extra="train")
    from groundplane.training.running import run_training

    with quiet():
        report = run_training(told, resume=resume, tell=_tell)
    skipped = [one for stage in report["stages"].values() for one in stage["skipped"]]
    for one in skipped[:_NAMED]:
        sys.stderr.write(f"left out: {one_line(one['name'])}: {one_line(one['reason'])}\n")
    if skipped:
        sys.stderr.write(f"left out: {len(skipped)} samples\n")
    lines = [dump(report, indent=2)] if as_json else [*_lines(report), f"wrote {told.output}"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if skipped else 0


def run_forgetting(scores: Path) -> int:
    """Print the report as JSON; give exit code 0."""
    table = read_options(scores, plugin="train forgetting")
    unknown = sorted(set(table) - {"tasks", "scores"})
    rows, tasks = table.get("scores"), table.get("tasks")
    fits = isinstance(rows, list) and all(
        isinstance(row, list) and all(type(score) in (int, float) for score in row) for row in rows
    )
    named = tasks is None or (
        isinstance(tasks, list) and all(isinstance(task, str) for task in tasks)
    )
    if unknown or not isinstance(rows, list) or not fits or not named:
        raise InputError(
            f'{one_line(scores.name)}: expected {{"tasks": [names], "scores": [rows of numbers]}}'
        )
    report = measure_forgetting(rows, tasks if isinstance(tasks, list) else None)
    sys.stdout.write(f"{dump(report.to_json(), indent=2)}\n")
    return 0


def _tell(progress: object) -> None:
    sys.stderr.write(f"{progress}\n")
    sys.stderr.flush()


def _frozen(stage: Mapping[str, Any]) -> Iterator[str]:
    """The parts that did not learn; of one that did in part, that the rest did not."""
    for part in stage["frozen"]:
        if part not in stage["trained"]["after"]:
            yield part
        elif part == "language_model" and stage["train"] == "lora":
            yield "language_model but for its low-rank matrices"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report in short."""
    for name, stage in report["stages"].items():
        first, last = stage["losses"][0][1], stage["losses"][-1][1]
        yield (
            f"{name}: {stage['steps']} steps, {stage['samples']} samples, loss {first:.4f} to "
            f"{last:.4f}, {stage['trained_parameters']} numbers trained"
        )
        yield f"{name}: frozen weights unchanged (SHA-256): {', '.join(_frozen(stage))}"
    for after, scores in report["scores"].items():
        for what, score in scores.items():
            known = f"perplexity {score['perplexity']:.3f}" if score["perplexity"] else "no number"
            yield f"after {after}, {what}: accuracy {score['accuracy']:.4f}, {known}"
    if report["forgetting"]:
        yield from report["forgetting"]["said"]

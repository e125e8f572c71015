"""`groundplane evaluate`: benchmark tables on the terminal and as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import write_whole
from groundplane.evaluation.vsibench import Item, Result, evaluate

__all__ = ["check_out", "run_vsibench"]


def run_vsibench(
    scenes: Sequence[Path], questions: Path, *, out: Path | None, distance: str, misses: int
) -> int:
    """Evaluate, print the table and the misses, write the JSON.

    Raises:
        InputError: If a file is malformed.
        OutputError: If the JSON cannot be written.
    """
    if distance not in ("sampled", "exact"):
        raise InputError(f"--distance: expected 'sampled' or 'exact', got {distance!r}")
    if out is not None:
        check_out(out)
    result = evaluate(scenes, questions, distance=distance)  # type: ignore[arg-type]
    if out is not None:
        write_whole(out, (json.dumps(result.record(), indent=1) + "\n").encode())
    sys.stdout.write(_table(result) + _misses(result, misses))
    return 0


def check_out(path: Path) -> None:
    """Before any work: the file can be written at all.

    Raises:
        OutputError: If it cannot.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise OutputError(f"--json {str(path)!r}: there is no such folder")
    if os.path.isdir(path):
        raise OutputError(f"--json {str(path)!r}: it is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"--json {str(path)!r}: its folder may not be written to")


def _table(result: Result) -> str:
    lines = [f"{'task':<30}{'n':>6}{'score':>9}{'covered':>9}{'covered score':>15}"]
    for task, row in result.tasks().items():
        covered = "-" if row["covered_score"] is None else f"{row['covered_score']:.4f}"
        lines.append(f"{task:<30}{row['n']:>6}{row['score']:>9.4f}{row['covered']:>9}{covered:>15}")
    lines.append(f"{'mean over the eight tasks':<30}{'':>6}{result.mean():>9.4f}")
    return "\n".join(lines) + "\n"


def _misses(result: Result, most: int) -> str:
    """The misses of each task with their reasons; equal reasons are counted, not repeated."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in result.items:
        if item.score < 1:
            groups[item.task].append(item)
    lines = []
    for task, items in groups.items():
        lines.append(f"\n{task}: {len(items)} below 1")
        reasons: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            reasons[item.reason].append(item)
        ranked = sorted(reasons.items(), key=lambda pair: -len(pair[1]))
        for reason, same in ranked[:most]:
            who = f"{len(same)} items" if len(same) > 1 else f"item {same[0].id}"
            lines.append(f"  {who} ({same[0].score:.1f}): {reason}")
        if len(ranked) > most:
            lines.append(f"  and {len(ranked) - most} more reasons; all scores are in --json")
    return "\n".join(lines) + ("\n" if lines else "")

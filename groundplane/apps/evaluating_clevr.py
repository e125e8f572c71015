"""`groundplane evaluate clevr`: the table of compositional questions."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from groundplane.apps.evaluating import check_out
from groundplane.core.errors import InputError
from groundplane.core.files import write_whole
from groundplane.evaluation.clevr import ClevrResult, evaluate_clevr

__all__ = ["run"]


def run(scenes: Path, questions: Path, *, reading: str, out: Path | None, misses: int) -> int:
    """Evaluate, print the table and the misses, write the JSON.

    Raises:
        InputError: If a file is malformed.
        OutputError: If the JSON cannot be written.
    """
    if reading not in ("text", "program"):
        raise InputError(f"--from: expected 'text' or 'program', got {reading!r}")
    if out is not None:
        check_out(out)
    start = time.perf_counter()
    result = evaluate_clevr(scenes, questions, reading=reading)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    if out is not None:
        write_whole(out, (json.dumps(result.record(), indent=1) + "\n").encode())
    speed = f"answered in {seconds:.1f} s, {len(result.items) / seconds:.0f} a second\n"
    sys.stdout.write(_table(result) + speed + _misses(result, misses))
    return 0


def _table(result: ClevrResult) -> str:
    lines = [f"{'family':<20}{'n':>6}{'score':>9}{'steps':>8}{'right':>8}"]
    for family, row in result.families().items():
        lines.append(
            f"{family:<20}{row['n']:>6}{row['score']:>9.4f}{row['steps']:>8}{row['steps_right']:>8}"
        )
    checked, right = result.steps
    lines.append(f"{'all':<20}{len(result.items):>6}{result.score:>9.4f}{checked:>8}{right:>8}")
    return "\n".join(lines) + "\n"


def _misses(result: ClevrResult, most: int) -> str:
    """Wrong answers with their reasons, and steps whose output differs."""
    missed = [item for item in result.items if not item.score or item.wrong]
    several = "questions" if len(missed) > 1 else "question"
    lines = [f"\n{len(missed)} {several} with a wrong answer or step"] if missed else []
    for item in missed[:most]:
        lines.append(f"  {item.id} ({item.family}): {item.reason or 'the answer is right'}")
        lines += [f"    {step}" for step in item.wrong]
    if len(missed) > most:
        lines.append(f"  and {len(missed) - most} more; all are in --json")
    return "\n".join(lines) + ("\n" if lines else "")

"""`groundplane evaluate stepgame`: the tables of text-only stories."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from groundplane.apps.evaluating import check_out
from groundplane.core.files import write_whole
from groundplane.evaluation.stepgame import StepGameResult, evaluate_stepgame

__all__ = ["run"]


def run(questions: Path, *, out: Path | None, misses: int) -> int:
    """Evaluate, print the tables and the disagreements, write the JSON.

    Raises:
        InputError: If the file is malformed.
        OutputError: If the JSON cannot be written.
    """
    if out is not None:
        check_out(out)
    result = evaluate_stepgame(questions)
    if out is not None:
        write_whole(out, (json.dumps(result.record(), indent=1) + "\n").encode())
    sys.stdout.write(_table(result) + _patterns(result) + _disagreements(result, misses))
    return 0


def _table(result: StepGameResult) -> str:
    lines = [f"{'hops':<14}{'n':>6}{'score':>9}{'contradict themselves':>24}"]
    for name, row in result.hops().items():
        lines.append(f"{name:<14}{row['n']:>6}{row['score']:>9.4f}{row['contradict']:>24}")
    contradict = sum(item.contradicts for item in result.items)
    lines.append(f"{'all':<14}{len(result.items):>6}{result.score:>9.4f}{contradict:>24}")
    return "\n".join(lines) + "\n"


def _patterns(result: StepGameResult) -> str:
    """Which ways to write a sentence the disagreements rest on."""
    most = [pattern for pattern in result.patterns() if pattern.missed][:10]
    lines = [f"\n{'answers that rest on':<72}{'n':>5}{'disagree':>10}"] if most else []
    lines += [f"  {p.text:<70.70}{p.used:>5}{p.missed:>10}" for p in most]
    return "\n".join(lines) + ("\n" if lines else "")


def _disagreements(result: StepGameResult, most: int) -> str:
    """The stories where plain English and the label differ, each with its derivation."""
    found = result.disagreements
    lines = [f"\n{len(found)} of {len(result.items)} answers are not the label"] if found else []
    for item in found[:most]:
        answer = item.answer or f"no answer ({item.status.value})"
        lines.append(f"  {item.id}: {answer}, label {item.label}")
        lines += [f"    {step}" for step in item.derivation]
        lines += [f"    {item.note}"] * bool(item.note)
    if len(found) > most:
        lines.append(f"  and {len(found) - most} more; all are in --json")
    return "\n".join(lines) + ("\n" if lines else "")

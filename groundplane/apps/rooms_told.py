"""What is told of rooms and videos on the terminal: how far it is, the table, and the misses."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from groundplane.evaluation.rooms_result import RoomsResult, Summary

__all__ = ["misses_of", "table_of", "tell_done"]


def tell_done(done: int, of: int, begun: float, *, what: str) -> None:
    """On a terminal, how far it is; elsewhere nothing."""
    if sys.stderr.isatty():
        left = (time.monotonic() - begun) / done * (of - done)
        end = "\n" if done == of else ""
        sys.stderr.write(f"\r{done} of {of} {what}, about {left:.0f} s left \x1b[K{end}")
        sys.stderr.flush()


def table_of(result: RoomsResult) -> str:
    """Tasks down, conditions across; then what the maps are like."""
    summaries = list(result.summaries().values())
    heads = [str(each.condition) for each in summaries]
    wide = max([9, *(len(head) + 2 for head in heads)])
    tasks = dict.fromkeys(task for each in summaries for task in each.answers.tasks())
    lines = [f"{'task':<30}" + "".join(f"{head:>{wide}}" for head in heads)]
    for task in tasks:
        rows = [each.answers.tasks().get(task) for each in summaries]
        scores = ["-" if row is None else f"{row['score']:.4f}" for row in rows]
        lines.append(f"{task:<30}" + "".join(f"{score:>{wide}}" for score in scores))
    lines.append("")
    for name, values in _numbers(summaries).items():
        told = ["-" if value is None else f"{value:.4f}" for value in values]
        lines.append(f"{name:<30}" + "".join(f"{each:>{wide}}" for each in told))
    return "\n".join(lines) + "\n"


def _numbers(summaries: Sequence[Summary]) -> dict[str, list[float | None]]:
    means = [each.answers.mean() if each.answers.items else None for each in summaries]
    return {
        "mean over the eight tasks": means,
        "questions": [float(len(each.answers.items)) for each in summaries],
        "rooms with exact counts": [each.counted for each in summaries],
        "precision of objects": [each.precision for each in summaries],
        "recall of objects": [each.recall for each in summaries],
        "position, median, m": [each.position for each in summaries],
        "longest side, median, share": [each.size for each in summaries],
        "area, mean, share": [each.area for each in summaries],
        "numbers within 90 % bars": [each.numbers.share for each in summaries],
        "boxes within 90 % bars": [each.boxes.share for each in summaries],
    }


def misses_of(result: RoomsResult, most: int) -> str:
    """The lowest scores of maps without noise, or of videos, each with the reason."""
    condition = result.looked()
    missed = [
        (answer.item.score, record.room, answer)
        for record in result.records
        if record.condition == condition
        for answer in record.answers
        if answer.item.score < 1
    ]
    missed.sort(key=lambda each: each[:2])
    lines = [f"\nunder {condition}, {len(missed)} below 1"] if missed and most else []
    for score, room, answer in missed[:most]:
        lines.append(f"  {room} {answer.item.task} ({score:.1f}): {answer.item.reason}")
    return "\n".join(lines) + ("\n" if lines else "")

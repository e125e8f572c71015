"""`groundplane evaluate rooms`: rooms whose truth is known, a page on them, and the numbers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundplane.apps.evaluating import check_out
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import write_whole
from groundplane.evaluation.rooms import RoomsJob, evaluate_room, plan_of_room
from groundplane.evaluation.rooms_records import CLEAN, RoomRecord, read_noise
from groundplane.evaluation.rooms_report import Report, write_report
from groundplane.evaluation.rooms_result import RoomsResult, Summary

__all__ = ["job_of", "run"]

_FORMAT = {"format": "groundplane-rooms", "version": 1}
_LOG, _PAGE = "rooms.jsonl", "index.html"
# Rooms of which a plan is drawn.
_PLANS = 6


def job_of(rooms: int, *, seed: int, noise: Sequence[str], per_task: int, step: int) -> RoomsJob:
    """The job that a command line names.

    Raises:
        InputError: If a noise is unknown or a number is out of range.
    """
    return RoomsJob(rooms=rooms, seed=seed, per_task=per_task, step=step, noises=read_noise(noise))


def run(job: RoomsJob, *, folder: Path | None, out: Path | None, misses: int) -> int:
    """Evaluate, room by room; print the table, write the page and the JSON.

    Args:
        job: What is evaluated.
        folder: Where the page goes, and the log of rooms from which a run goes on.
        out: Where the JSON goes.
        misses: How many misses to print.

    Raises:
        InputError: If the folder holds something else, or a run with other settings.
        OutputError: If nothing can be written there.
        PluginBrokenError: If the extra `render` or EGL is missing.
    """
    if out is not None:
        check_out(out)
    log = None if folder is None else _Log(folder, job.record())
    records: list[RoomRecord] = []
    begun = time.monotonic()
    for number in range(job.rooms):
        made = None if log is None else log.known(job.seed + number)
        if made is None:
            made = evaluate_room(job, number)
            if log is not None:
                log.add(made)
        records += made
        _tell(number + 1, job.rooms, begun)
    result = RoomsResult(records=tuple(records))
    if out is not None:
        write_whole(out, (json.dumps(result.record(), indent=1) + "\n").encode())
    if folder is not None:
        _write_page(job, result, folder)
    sys.stdout.write(_table(result) + _misses(result, misses))
    return 0


class _Log:
    """Rooms that are done, a line each, in a folder of their own.

    A line that was cut off, as by a kill, is done again.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._path = folder / _LOG
        self._known: dict[int, list[RoomRecord]] = {}
        head = _FORMAT | settings
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = sorted(os.listdir(folder))
            if names and _LOG not in names:
                raise InputError(
                    f"--out {str(folder)!r}: expected an empty folder, or one of an earlier run; "
                    f"it holds {names[0]!r}"
                )
            whole = self._path.read_bytes() if _LOG in names else b""
            kept = self._read(whole, head)
            self._path.write_bytes(kept or _line(head))
        except OSError as error:
            raise OutputError(f"--out {str(folder)!r}: {error.strerror}") from error

    def _read(self, whole: bytes, head: dict[str, Any]) -> bytes:
        """What of a log is whole; its rooms are known from then on."""
        first, *lines = whole[: whole.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
        if not first:
            return b""
        try:
            same = json.loads(first) == head
            for line in lines if same else []:
                records = [RoomRecord.of(record) for record in json.loads(line)]
                self._known[records[0].seed] = records
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"{str(self._path)!r}: damaged: {type(error).__name__}; remove it to begin anew"
            ) from error
        if not same:
            raise InputError(
                f"{str(self._path)!r}: is of a run with other settings; expected {head}. "
                "Give another --out, or the same settings"
            )
        return first + b"".join(lines)

    def known(self, seed: int) -> list[RoomRecord] | None:
        """What came of a room in an earlier run."""
        return self._known.get(seed)

    def add(self, records: Sequence[RoomRecord]) -> None:
        """Keep what came of a room."""
        try:
            with self._path.open("ab") as file:
                file.write(_line([record.record() for record in records]))
        except OSError as error:
            raise OutputError(f"{str(self._path)!r}: {error.strerror}") from error


def _line(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _tell(done: int, of: int, begun: float) -> None:
    """On a terminal, how far it is."""
    if sys.stderr.isatty():
        left = (time.monotonic() - begun) / done * (of - done)
        end = "\n" if done == of else ""
        sys.stderr.write(f"\r{done} of {of} rooms, about {left:.0f} s left \x1b[K{end}")
        sys.stderr.flush()


def _write_page(job: RoomsJob, result: RoomsResult, folder: Path) -> None:
    worst = result.worst(CLEAN, _PLANS)
    plans = {each.room: plan_of_room(job, each.seed - job.seed, CLEAN) for each in worst}
    report = Report(
        title=f"{job.rooms} rooms whose truth is known",
        result=result,
        settings=job.record(),
        plans=plans,
        most=_PLANS,
    )
    write_whole(folder / _PAGE, write_report(report).encode())


def _table(result: RoomsResult) -> str:
    """Tasks down, conditions across; then what the maps are like."""
    summaries = list(result.summaries().values())
    heads = [str(each.condition) for each in summaries]
    wide = max(9, *(len(head) + 2 for head in heads))
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


def _misses(result: RoomsResult, most: int) -> str:
    """The lowest scores without noise, each with the reason."""
    missed = [
        (answer.item.score, record.room, answer)
        for record in result.records
        if record.condition == CLEAN
        for answer in record.answers
        if answer.item.score < 1
    ]
    missed.sort(key=lambda each: each[:2])
    lines = [f"\nwithout noise, {len(missed)} below 1"] if missed and most else []
    for score, room, answer in missed[:most]:
        lines.append(f"  {room} {answer.item.task} ({score:.1f}): {answer.item.reason}")
    return "\n".join(lines) + ("\n" if lines else "")

"""`groundplane evaluate rooms`: rooms whose truth is known, a page on them, and the numbers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from groundplane.annotation.signals import drained_by_signals
from groundplane.apps.evaluating import check_out
from groundplane.apps.rooms_log import RoomsLog
from groundplane.apps.rooms_told import misses_of, table_of, tell_done
from groundplane.core.files import write_whole
from groundplane.evaluation.rooms import RoomsJob, evaluate_room, plan_of_room
from groundplane.evaluation.rooms_records import CLEAN, RoomRecord, read_noise
from groundplane.evaluation.rooms_report import Report, write_report
from groundplane.evaluation.rooms_result import RoomsResult

__all__ = ["job_of", "run"]

_PAGE = "index.html"
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
    log = None if folder is None else RoomsLog(folder, job.record())
    records: list[RoomRecord] = []
    begun = time.monotonic()
    ending = _Ending()
    with drained_by_signals(ending):
        for number in range(job.rooms):
            made = None if log is None else log.known(job.seed + number)
            if made is None:
                made = evaluate_room(job, number)
                if log is not None:
                    log.add(made)
            records += made
            tell_done(number + 1, job.rooms, begun, what="rooms")
            if ending.asked:
                return _interrupted(number + 1, folder)
    result = RoomsResult(records=tuple(records))
    if out is not None:
        write_whole(out, (json.dumps(result.record(), indent=1) + "\n").encode())
    if folder is not None:
        _write_page(job, result, folder)
    sys.stdout.write(table_of(result) + misses_of(result, misses))
    return 0


class _Ending:
    """Ctrl-C ends the run after the room that is being evaluated, once more at once."""

    asked = False

    def drain(self, why: str = "") -> None:
        del why
        self.asked = True

    def stop(self) -> None:
        raise KeyboardInterrupt


def _interrupted(rooms: int, folder: Path | None) -> int:
    kept = "" if folder is None else "; the same call goes on from there"
    sys.stderr.write(f"groundplane: interrupted after room {rooms}{kept}\n")
    return 130


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

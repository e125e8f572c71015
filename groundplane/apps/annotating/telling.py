"""What a job tells while it runs: a bar on a terminal, else a line now and then, or JSON lines.

All of it goes to stderr or to a file: stdout is for results alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import IO, Any, Protocol, cast, runtime_checkable

from groundplane.annotation.events import (
    BatchHalved,
    Draining,
    ExpertRestarted,
    Finished,
    ItemFailed,
    JobEvent,
    Progress,
    Started,
    Summary,
)
from groundplane.apps.annotating.pace import Pace, lasting, shares
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.telling import Stream, TellerKinds, chosen_tellers
from groundplane.apps.told import counted, one_line

__all__ = ["Bar", "JsonLog", "Lines", "Teller", "ending", "tellers"]

# Failures that are told one by one; `groundplane status` lists all.
_MOST = 20


@runtime_checkable
class Teller(Protocol):
    """Takes the events of a job."""

    def tell(self, event: JobEvent) -> None:
        """Show an event."""
        ...


class Lines:
    """Plain lines: one every few seconds, and one for what is out of the ordinary.

    Args:
        stream: Where to.
        every: Seconds between two words of progress.
    """

    def __init__(self, stream: Stream, *, every: float = 5.0) -> None:
        self._stream, self._every = stream, every
        self._pace, self._last, self._failures = Pace(), 0.0, 0

    def tell(self, event: JobEvent) -> None:
        """Write a line, or none."""
        if isinstance(event, Progress):
            self._pace.see(event)
            if event.seconds - self._last >= self._every:
                self._last = event.seconds
                self._write(_progress(event, self._pace))
            return
        if isinstance(event, ItemFailed):
            self._failures += 1
        line = _remark(event, self._failures)
        if line:
            self._write(line)

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Bar:
    """A bar on a terminal; what is out of the ordinary scrolls above it.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: Stream) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Shown

        self._console = Console(
            file=cast(IO[str], stream), markup=False, highlight=False, emoji=False
        )
        columns = (
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._shown = Shown(*columns, console=self._console, transient=True)
        self._task = self._shown.add_task("starting", total=None)
        self._pace, self._failures = Pace(), 0

    def __enter__(self) -> Bar:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def tell(self, event: JobEvent) -> None:
        """Move the bar, or write a line above it."""
        if isinstance(event, Progress):
            self._pace.see(event)
            seen = event.skipped + event.done + event.failed
            total = event.total if event.total is not None and seen <= event.total else None
            text = ", ".join(_facts(event, self._pace))
            self._shown.update(self._task, completed=seen, total=total, description=text)
            return
        if isinstance(event, ItemFailed):
            self._failures += 1
        line = _remark(event, self._failures)
        if line:
            self._console.print(line, soft_wrap=True)


class JsonLog:
    """One JSON object a line for each event, with its kind under `event`.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def tell(self, event: JobEvent) -> None:
        """Write the event."""
        self._stream.write(json.dumps(_record(event)) + "\n")
        self._stream.flush()


@contextmanager
def tellers(
    stream: Stream, *, quiet: bool = False, json_log: str | None = None
) -> Iterator[Sequence[Teller]]:
    """Those who tell of a job.

    Args:
        stream: For people: a bar if it is a terminal, else lines.
        quiet: Nothing for people.
        json_log: A file for JSON lines, which go on at its end; `-` for `stream` itself, which
            then holds nothing else.

    Raises:
        OutputError: If the file cannot be written.
    """
    kinds: TellerKinds[Teller] = TellerKinds(log=JsonLog, bar=Bar, lines=Lines)
    with chosen_tellers(kinds, stream, quiet=quiet, json_log=json_log) as told:
        yield told


def ending(summary: Summary) -> str:
    """The last line of a job: what it did, what failed, how to go on."""
    before = f"{counted(summary.skipped, 'item')} done before"
    if summary.skipped and not summary.done + summary.failed:
        return f"nothing was left to do; {before}"
    found = counted(summary.regions, "region")
    parts = [f"{counted(summary.done, 'picture')} annotated, {found}"]
    if summary.failed:
        parts.append(f"{summary.failed:,} failed")
    if summary.skipped:
        parts.append(before)
    parts.append(f"{lasting(summary.seconds)}, {summary.rate:.1f} pictures a second")
    if stages := shares(summary.stages):
        parts.append(stages)
    return "; ".join(parts)


def _record(event: JobEvent) -> dict[str, Any]:
    """An event as plain JSON values."""
    told = event.summary if isinstance(event, Finished) else event
    values = {field.name: getattr(told, field.name) for field in fields(told)}
    plain = {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}
    return {"event": _KINDS[type(event)], **plain}


_KINDS = {
    Started: "started", Progress: "progress", ItemFailed: "item_failed",
    BatchHalved: "batch_halved", ExpertRestarted: "expert_restarted", Draining: "draining",
    Finished: "finished",
}  # fmt: skip


def _facts(progress: Progress, pace: Pace) -> Iterator[str]:
    if progress.failed:
        yield f"{progress.failed:,} failed"
    yield f"{pace.rate:.1f} a second"
    if pace.left is not None:
        yield f"{lasting(pace.left)} left"
    if stages := shares(progress.stages):
        yield stages


def _progress(progress: Progress, pace: Pace) -> str:
    seen = progress.skipped + progress.done + progress.failed
    known = progress.total is not None and seen <= progress.total
    return ", ".join(
        [f"{seen:,}" + (f" of {progress.total:,}" if known else ""), *_facts(progress, pace)]
    )


def _remark(event: JobEvent, failures: int) -> str:
    """A line for what is out of the ordinary; empty for what is not."""
    if isinstance(event, Started):
        total = (
            "items, nobody knows how many" if event.total is None else counted(event.total, "item")
        )
        done = f"; {counted(event.recorded, 'record')} there already" if event.recorded else ""
        return f"{total}{done}"
    if isinstance(event, ItemFailed):
        if failures > _MOST:
            return ""
        more = (
            "; further ones are not told, groundplane status lists all" if failures == _MOST else ""
        )
        message = one_line(readable(event.message), 300)
        return f"failed: {one_line(readable(event.path))}: {event.stage}: {message}{more}"
    if isinstance(event, BatchHalved):
        return f"out of memory: at most {event.size} pictures go together from now on"
    if isinstance(event, ExpertRestarted):
        return f"the experts' process ended; it was started again (restart {event.count})"
    if isinstance(event, Draining):
        return f"ending: {readable(event.why)}; what is begun is finished and written"
    return ""

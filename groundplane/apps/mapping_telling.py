"""What is told of a map that is being built: a bar on a terminal, else lines, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Protocol, cast, runtime_checkable

from groundplane.apps.annotating.pace import lasting
from groundplane.apps.telling import Stream, TellerKinds, chosen_tellers
from groundplane.apps.told import counted, one_line
from groundplane.mapping.events import FrameTold, MapEvent, MapSummary
from groundplane.spatial.map import CognitiveMap

__all__ = ["summary_lines", "telling"]

# Seconds between two lines, where there is no terminal.
_EVERY = 5.0


@runtime_checkable
class _Teller(Protocol):
    def tell(self, event: MapEvent) -> None: ...


class _Lines:
    def __init__(self, stream: Stream) -> None:
        self._stream, self._last = stream, 0.0

    def tell(self, event: MapEvent) -> None:
        if isinstance(event, FrameTold) and event.seconds - self._last >= _EVERY:
            self._last = event.seconds
            self._stream.write(f"{_progress(event)}\n")
            self._stream.flush()


class _JsonLog:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def tell(self, event: MapEvent) -> None:
        kind = "frame" if isinstance(event, FrameTold) else "summary"
        self._stream.write(json.dumps({"event": kind, **asdict(event)}) + "\n")
        self._stream.flush()


class _Bar:
    def __init__(self, stream: Stream) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(file=cast(IO[str], stream), markup=False, highlight=False, emoji=False)
        text = TextColumn("{task.description}", markup=False)
        self._shown = Progress(BarColumn(bar_width=24), text, console=console, transient=True)
        self._task = self._shown.add_task("starting", total=None)

    def __enter__(self) -> _Bar:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def tell(self, event: MapEvent) -> None:
        if isinstance(event, FrameTold):
            self._shown.update(
                self._task, completed=event.frame + 1, total=event.length,
                description=_progress(event),
            )  # fmt: skip


@contextmanager
def telling(
    stream: Stream, *, quiet: bool = False, json_log: str | None = None
) -> Iterator[list[_Teller]]:
    """Those who tell of a map.

    Args:
        stream: For people: a bar if it is a terminal, else a line now and then.
        quiet: Nothing for people.
        json_log: A file for JSON lines, which go on at its end; `-` for `stream` itself, which
            then holds nothing else.

    Raises:
        OutputError: If the file cannot be written.
    """
    kinds: TellerKinds[_Teller] = TellerKinds(log=_JsonLog, bar=_Bar, lines=_Lines)
    with chosen_tellers(kinds, stream, quiet=quiet, json_log=json_log) as told:
        yield told


def summary_lines(scene: CognitiveMap, summary: MapSummary) -> list[str]:
    """What a map holds, what it was made from, and what was left out and why."""
    counts = ", ".join(
        f"{one_line(label, 40)} {number}" for label, number in sorted(scene.counts.items())
    )
    first = counted(len(scene), "object") + (f": {counts}" if counts else "")
    made = (
        f"from {counted(summary.regions, 'region')} in {counted(summary.keyframes, 'keyframe')} of "
        f"{counted(summary.frames, 'frame')}, {lasting(summary.seconds)}"
    )
    unit = "m\N{SUPERSCRIPT TWO}" if scene.scale == "metric" else "square units"
    room = f"; room {scene.room_area:.1f} {unit}" if scene.room_area is not None else ""
    lines = [f"{first}; {made}{room}"]
    lines += _reasons("passed over", summary.passed_over, "frame")
    lines += _reasons("left out", summary.left_out, "region")
    return lines + [f"  note: {one_line(note, 1000)}" for note in scene.notes]


def _reasons(what: str, reasons: Mapping[str, int], noun: str) -> list[str]:
    often = sorted(reasons.items(), key=lambda item: -item[1])
    return [f"  {what}: {counted(number, noun)}: {one_line(why, 300)}" for why, number in often]


def _progress(event: FrameTold) -> str:
    whole = "" if event.length is None else f" of {event.length:,}"
    return (
        f"frame {event.frame + 1:,}{whole}, {counted(event.keyframes, 'keyframe')}, "
        f"{event.keyframes / max(event.seconds, 1e-6):.1f} a second"
    )

"""What came of rooms and videos, a line each in a folder, so that a run goes on where it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError, OutputError
from groundplane.evaluation.rooms_records import RoomRecord

__all__ = ["RoomsLog"]

_FORMAT = {"format": "groundplane-rooms", "version": 1}
_LOG = "rooms.jsonl"


class RoomsLog:
    """Rooms that are done, a line each, in a folder of their own.

    A line that was cut off, as by a kill, is done again.

    Args:
        folder: Made if it is not there.
        settings: Of the run; one with others is not gone on with.

    Raises:
        InputError: If the folder holds something else, or a run with other settings.
        OutputError: If nothing can be written there.
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
        """What came of a room in an earlier run, by what it was made from."""
        return self._known.get(seed)

    def add(self, records: Sequence[RoomRecord]) -> None:
        """Keep what came of a room.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            with self._path.open("ab") as file:
                file.write(_line([record.record() for record in records]))
        except OSError as error:
            raise OutputError(f"{str(self._path)!r}: {error.strerror}") from error


def _line(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()

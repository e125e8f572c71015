"""The log of a run: the truth on disk, to which records are only ever appended.

What `sync` returned for is on the disk. Between two syncs, each a group of records or a second
long, a power failure may take the last records; a death of the process alone takes none but the
one that is being written. Nothing else is promised and nothing less.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from groundplane.annotation.disk import SYSTEM, Disk, reason, write_durably, write_fully
from groundplane.annotation.framing import (
    HEADER_SIZE,
    Damage,
    LogScan,
    make_frame,
    make_header,
    read_header,
    scan_log,
)
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import one_line

__all__ = ["Pace", "RecordLog", "Recovery", "scan_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long appended records may stay off the disk, whichever comes first.

    Attributes:
        records: So many.
        seconds: So long; infinity for no limit.
    """

    records: int = 32
    seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found when a log was opened.

    Attributes:
        num_records: Sound records.
        torn: Bytes after the last sound record, which were cut off: an append that never ended.
        damage: Stretches between sound records that hold none; they stay as they are.
    """

    num_records: int
    torn: int
    damage: tuple[Damage, ...] = ()


class RecordLog:
    """A log that is open for appending. Its threads may be many, its processes one: see `locks`.

    Args:
        path: The file; `create` makes it.
        key: The log's key: who else's frames are none of it.
        visit: Is given the place and payload of each record that is there.
        pace: When what was appended is brought to the disk.
        disk: Where it is.

    Raises:
        InputError: If it is no log, or its header is damaged and no key is known.
        OutputError: If it cannot be opened or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        visit: Callable[[int, bytes], None] | None = None,
        pace: Pace | None = None,
        disk: Disk = SYSTEM,
    ) -> None:
        self._path, self._key, self._disk, self._pace = path, key, disk, pace or Pace()
        self._name = one_line(str(path))
        self._changed = threading.Condition()
        self._pending, self._oldest = 0, math.inf
        self._fault: str | None = None
        self._closed = self._midway = False
        try:
            self._file = disk.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
            try:
                self.recovery = self._recover(visit)
            except BaseException:
                disk.close(self._file)
                raise
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{self._name}: cannot be opened: {reason(error)}") from error
        self._safe = self._written = self.recovery.num_records
        self._timer: threading.Thread | None = None
        if math.isfinite(self._pace.seconds):
            self._timer = threading.Thread(target=self._keep_time, name="log", daemon=True)
            self._timer.start()

    @classmethod
    def create(cls, path: Path, *, key: bytes, disk: Disk = SYSTEM) -> None:
        """Make an empty log, durably. One of the same key that is there is kept, and an empty
        one of another, which a process left that died while it made a run, replaced.

        Nobody else may be doing the same: hold the lock.

        Raises:
            InputError: If there is something else under that name that holds anything.
            OutputError: If it cannot be written.
        """
        name = one_line(str(path))
        try:
            # Put in place whole, so that no part of a header is ever found there.
            if not os.path.lexists(path):
                write_durably(path, make_header(key), disk=disk)
                return
            file = disk.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                start = disk.read(file, HEADER_SIZE + 1, 0)
            finally:
                disk.close(file)
            there = read_header(start, name=name)
            if there is None or (there != key and len(start) > HEADER_SIZE):
                raise InputError(
                    f"{name}: there is a log of a run whose manifest is gone; put that back, or "
                    "name another folder"
                )
            if there != key:
                write_durably(path, make_header(key), disk=disk)
        except OSError as error:
            raise OutputError(f"{name}: cannot be made: {reason(error)}") from error

    def _recover(self, visit: Callable[[int, bytes], None] | None) -> Recovery:
        start = self._disk.read(self._file, HEADER_SIZE, 0)
        there = read_header(start, name=self._name)
        if there is not None and there != self._key:
            raise InputError(
                f"{self._name}: belongs to another run; put the log of this run in its place"
            )
        if len(start) < HEADER_SIZE:
            # Cut within its header it holds no record. Records have their place in the file as a
            # part of their sum, so they must not begin before a whole one.
            self._disk.cut(self._file, 0)
            write_fully(self._file, make_header(self._key), disk=self._disk)
        scan = LogScan(self._file, key=self._key, disk=self._disk)
        for offset, payload in scan:
            if visit is not None:
                visit(offset, payload)
        torn = max(scan.size - scan.end, 0)
        if torn:
            self._disk.cut(self._file, scan.end)
        # What a process that died wrote last may be in memory only; who skips it relies on it.
        self._disk.sync(self._file)
        self._end = self._synced = scan.end
        return Recovery(num_records=scan.num_records, torn=torn, damage=tuple(scan.damage))

    @property
    def num_safe(self) -> int:
        """How many records are known to be on the disk."""
        return self._safe

    def append(self, payload: bytes) -> int:
        """Add a record; its place.

        Raises:
            InputError: If it is too large for one record.
            OutputError: If it cannot be written, or an earlier one could not: the message says
                what is safe and how to go on.
        """
        with self._changed:
            self._check()
            offset = self._end
            frame = make_frame(payload, offset, key=self._key)
            try:
                if self._midway:  # an append was interrupted, by Ctrl-C say, and left something
                    self._disk.cut(self._file, self._end)
                self._midway = True
                write_fully(self._file, frame, disk=self._disk)
            except OSError as error:
                raise self._refused(error) from error
            self._end += len(frame)
            self._midway = False
            self._written += 1
            self._pending += 1
            if self._pending >= self._pace.records:
                self._sync()
            elif self._oldest == math.inf:
                self._oldest = time.monotonic()
                self._changed.notify()
            return offset

    def sync(self) -> None:
        """Return when all that was appended is on the disk.

        Raises:
            OutputError: If that cannot be known.
        """
        with self._changed:
            self._check()
            self._sync()

    def close(self) -> None:
        """Bring all to the disk and close the file; a second time does nothing.

        Raises:
            OutputError: If the disk does not take it.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
            try:
                if self._fault is None:
                    self._sync()
            finally:
                self._disk.close(self._file)
        if self._timer is not None:
            self._timer.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._fault is not None:
            raise OutputError(self._fault)
        if self._closed:
            raise OutputError(f"{self._name}: is closed")

    def _sync(self) -> None:
        if not self._pending:
            return
        try:
            self._disk.sync(self._file)
        except OSError as error:
            raise self._lost(error) from error
        self._safe, self._synced = self._written, self._end
        self._pending, self._oldest = 0, math.inf

    def _refused(self, error: OSError) -> OutputError:
        """A write failed: what stands before it is whole, and is brought to the disk."""
        try:
            self._disk.cut(self._file, self._end)
            self._disk.sync(self._file)
            self._safe = self._written
        except OSError:  # the torn end is cut off when the log is opened again
            self._written = self._safe
        self._fault = (
            f"{self._name}: cannot be written: {reason(error)}; {self._safe} records are safe. "
            "Mend that (make room, say) and run the same command again: it goes on from there"
        )
        return OutputError(self._fault)

    def _lost(self, error: OSError) -> OutputError:
        """A sync failed. To ask again would be told a lie: the system drops what it could not
        write and then says that all is well (Rebello et al., Can Applications Recover from fsync
        Failures?, USENIX ATC 2020). So what was not synced before is taken out of the log.
        """
        try:
            self._disk.cut(self._file, self._synced)
        except OSError as also:
            error.add_note(f"nor could the log be cut: {reason(also)}")
        self._fault = (
            f"{self._name}: the disk did not take the last {self._pending} records: "
            f"{reason(error)}; the {self._safe} before are safe. See to the disk and run the same "
            "command again: it goes on from there"
        )
        self._pending = 0
        return OutputError(self._fault)

    def _keep_time(self) -> None:
        """Bring records to the disk that have waited long enough."""
        with self._changed:
            while not self._closed and self._fault is None:
                left = self._oldest + self._pace.seconds - time.monotonic()
                if left > 0:
                    self._changed.wait(None if math.isinf(left) else left)
                    continue
                try:
                    self._sync()
                except OutputError:
                    return  # kept as the log's fault; the next call raises it

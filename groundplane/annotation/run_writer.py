"""Writes the records of a run, each version of a picture once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from groundplane.annotation.codec import RecordHead, Stamp, encode_record
from groundplane.annotation.done import DoneIndex
from groundplane.annotation.entries import (
    Opened,
    Thresholds,
    Touched,
    Tracks,
    decode_head,
    encode_entry,
)
from groundplane.annotation.framing import scan_log
from groundplane.annotation.items import ItemEnd
from groundplane.annotation.locks import Lock
from groundplane.annotation.log import Pace, RecordLog, Recovery
from groundplane.annotation.run_records import LogFiles
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import InputError

__all__ = ["RunWriter"]


class RunWriter:
    """The one process that writes a log; several threads of it may.

    Args:
        files: The log that is written first, then others whose records count as done.
        lock: The file that only one writer holds.
        begin: Whether the log is made where it is not there.
        retry_failed: Whether what failed counts as not done.
        pace: When records are brought to the disk.

    Attributes:
        recovery: What was found in the log.

    Raises:
        OutputError: If another process writes, or the log cannot be written.
        InputError: If the log is not of this run.
    """

    def __init__(
        self,
        files: LogFiles,
        *,
        lock: Path,
        begin: bool = False,
        retry_failed: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._retry = retry_failed
        self._index, self._epoch = DoneIndex(), 0
        # Of files whose record is in a log that is read later.
        self._early: list[Touched] = []
        self._mutex = threading.Lock()
        self._begun = False
        self._lock = Lock(lock, disk=files.disk)
        try:
            own, *others = files.paths
            if begin:
                RecordLog.create(own, key=files.key, disk=files.disk)
            for path in others:
                for _, payload in scan_log(path, key=files.key, disk=files.disk):
                    self._see(payload)
            self._log = RecordLog(
                own,
                key=files.key,
                visit=lambda _, payload: self._see(payload),
                pace=pace,
                disk=files.disk,
            )
        except BaseException:
            self._lock.close()
            raise
        for touched in self._early:
            self._index.touch(touched)
        self._early = []
        self.recovery: Recovery = self._log.recovery

    def __len__(self) -> int:
        """Pictures and frames that have a record."""
        return len(self._index)

    @property
    def num_safe(self) -> int:
        """How many entries of its log are known to be on the disk."""
        return self._log.num_safe

    def is_done(self, path: str, stamp: Stamp, content_hash: str | None = None) -> bool:
        """Whether there is a record of this version of a picture, or all of a video.

        Args:
            path: The item's.
            stamp: Its mark, by which it is known without being read; None where it has none.
            content_hash: Where it was read; it decides where the mark is another one.
        """
        with self._mutex:
            return self._index.is_done(path, stamp, content_hash, retry=self._retry)

    def frames_done(self, video: str, stamp: Stamp) -> bytes:
        """The frames of this version of a video that have a record: a bit each, lowest first."""
        with self._mutex:
            return self._index.frames_done(video, stamp, retry=self._retry)

    def write(self, record: AnnotationRecord, stamp: Stamp) -> None:
        """Keep a record. One of a version that is done already is not kept a second time.

        Raises:
            InputError: If the log cannot hold it.
            OutputError: If it cannot be written; the message says what is safe.
        """
        payload = encode_record(record, stamp)
        head = RecordHead.of(record, stamp)
        with self._mutex:
            if self._index.holds(head):
                path = head.path if head.frame is None else head.frame[0]
                self._touch(Touched(path, head.content_hash, stamp))
            else:
                self._append(payload)
                self._index.add(head)

    def touch(self, path: str, content_hash: str, stamp: Stamp) -> bool:
        """Keep that a file is still the same under another mark, so that it is not read again.

        Args:
            path: The picture's or the video's.
            content_hash: Of its bytes, as they were read just now.
            stamp: Its mark.

        Returns:
            Whether that was new; where the file is not done, or had that mark, nothing is kept.

        Raises:
            OutputError: If it cannot be written.
        """
        with self._mutex:
            return self._touch(Touched(path, content_hash, stamp))

    def write_end(self, end: ItemEnd) -> None:
        """Keep that nothing more comes of a video, so that it need not be read again.

        Raises:
            OutputError: If it cannot be written.
        """
        with self._mutex:
            self._append(encode_entry(end))
            self._index.add_end(end)

    def write_tracks(self, video: str, table: Mapping[str, Mapping[str, int]]) -> None:
        """Keep the tracks of a video, in the place of those that there were.

        Args:
            video: Its path.
            table: By the path of a frame, by the id of a region: the number of its track.

        Raises:
            OutputError: If it cannot be written.
        """
        with self._mutex:
            self._append(encode_entry(Tracks(video, table)))

    def write_thresholds(self, values: Sequence[float | None]) -> None:
        """Keep thresholds, one a prompt, that hold from here on.

        Raises:
            OutputError: If it cannot be written.
        """
        with self._mutex:
            self._append(encode_entry(Thresholds(tuple(values))))

    def begin(self) -> None:
        """Have shards that are opened from here on count after all that the run holds now.

        Raises:
            OutputError: If that cannot be written.
        """
        with self._mutex:
            self._begin()
        self._log.sync()

    def sync(self) -> None:
        """Return when all that was written is on the disk.

        Raises:
            OutputError: If that cannot be known; the message says what is safe.
        """
        self._log.sync()

    def close(self) -> None:
        """Bring all to the disk and let others write.

        Raises:
            OutputError: If the disk does not take it.
        """
        try:
            self._log.close()
        finally:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _touch(self, touched: Touched) -> bool:
        new = self._index.touch(touched)
        if new:
            self._append(encode_entry(touched))
        return new

    def _append(self, payload: bytes) -> None:
        self._begin()
        self._log.append(payload)

    def _begin(self) -> None:
        if not self._begun:
            self._log.append(encode_entry(Opened(self._epoch + 1)))
            self._begun = True

    def _see(self, payload: bytes) -> None:
        """Take an entry of the log into account. One that makes no sense makes nothing done."""
        try:
            entry = decode_head(payload)
        except InputError:
            return
        if isinstance(entry, RecordHead):
            self._index.add(entry)
        elif isinstance(entry, ItemEnd):
            self._index.add_end(entry)
        elif isinstance(entry, Touched):
            if not self._index.touch(entry):
                self._early.append(entry)
        elif isinstance(entry, Opened):
            self._epoch = max(self._epoch, entry.epoch)

"""Records of a run in the order of their paths, as a view has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from groundplane.annotation.codec import decode_record
from groundplane.annotation.disk import SYSTEM, Disk
from groundplane.annotation.entries import decode_tracks
from groundplane.annotation.framing import read_frame
from groundplane.annotation.listing import Listing, OpenLogs, opened
from groundplane.annotation.view import View
from groundplane.core.annotation import AnnotationRecord

__all__ = ["LogFiles", "RunRecords"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFiles:
    """The logs of a run.

    Attributes:
        paths: In the order in which a listing numbers them.
        key: The run's.
        disk: Where they are.
    """

    paths: tuple[Path, ...]
    key: bytes
    disk: Disk = SYSTEM


class RunRecords:
    """Records by path, a video's frames by their index; one is held at a time.

    What is appended later is not among them.

    Args:
        files: Where they are read.
        listing: Where each lies.
        view: How they are seen.
        rows: Which of the listing; None for all.
    """

    def __init__(
        self,
        files: LogFiles,
        listing: Listing,
        *,
        view: View,
        rows: Int64[np.ndarray, " n"] | None = None,
    ) -> None:
        self._files, self._listing, self._view = files, listing, view
        self._rows = np.arange(len(listing)) if rows is None else rows

    def __len__(self) -> int:
        return int(self._rows.size)

    def __iter__(self) -> Iterator[AnnotationRecord]:
        """Each record.

        Raises:
            InputError: If a log was damaged since it was listed, or cannot be read.
        """
        disk, key = self._files.disk, self._files.key
        logs, offsets = self._listing.logs, self._listing.offsets
        video, tracks = "", None
        with opened(self._files.paths, disk=disk) as files:
            for row in self._rows.tolist():
                file, offset = files[int(logs[row])], int(offsets[row])
                record, _ = decode_record(read_frame(file, offset, key=key, disk=disk))
                if record.frame is None:
                    yield self._view.apply(record)
                    continue
                if record.frame.video != video:
                    video = record.frame.video
                    tracks = self._tracks(files, video)
                own = None if tracks is None else tracks.get(record.path, {})
                yield self._view.apply(record, own)

    @property
    def view(self) -> View:
        """How they are seen."""
        return self._view

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos of which there are frames, in order."""
        return tuple(self._listing.videos)

    def of_video(self, video: str) -> RunRecords:
        """The frames of a video, in the order of their index; none if there is no such video."""
        place = self._listing.videos.get(video, slice(0, 0))
        return self._among(np.arange(place.start, place.stop))

    def failed(self) -> RunRecords:
        """Those that failed."""
        return self._among(self._rows[self._listing.failed[self._rows]])

    def tracks_of(self, video: str) -> Mapping[str, Mapping[str, int]] | None:
        """The tracks that are kept of a video, by frame and region; None where none are.

        Raises:
            InputError: If a log cannot be read.
        """
        with opened(self._files.paths, disk=self._files.disk) as files:
            return self._tracks(files, video)

    def _among(self, rows: Int64[np.ndarray, " n"]) -> RunRecords:
        return RunRecords(self._files, self._listing, view=self._view, rows=rows)

    def _tracks(self, files: OpenLogs, video: str) -> Mapping[str, Mapping[str, int]] | None:
        place = self._listing.tracks.get(video)
        if place is None:
            return None
        log, offset = place
        payload = read_frame(files[log], offset, key=self._files.key, disk=self._files.disk)
        return decode_tracks(payload).table

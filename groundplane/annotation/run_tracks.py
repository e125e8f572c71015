"""Tracks of all videos of a run, derived from its records and kept beside them."""

from __future__ import annotations

from groundplane.annotation.run_records import RunRecords
from groundplane.annotation.run_writer import RunWriter
from groundplane.annotation.tracking import track_video

__all__ = ["follow_videos"]


def follow_videos(records: RunRecords, writer: RunWriter) -> int:
    """Keep the tracks of each video, where they are not kept already.

    Args:
        records: Of the run, in the view that holds, with candidates.
        writer: The run's.

    Returns:
        How many tracks there are. Each has a number of its own in the run: those of a video come
        after those of the videos before it.

    Raises:
        OutputError: If they cannot be written.
        PluginBrokenError: If the library `trackers` is not installed.
    """
    count = 0
    for video in records.videos:
        found = track_video(records.of_video(video), first=count)
        table = {frame.path: dict(frame.tracks) for frame in found if frame.tracks}
        numbers = {track for tracks in table.values() for track in tracks.values()}
        count = max(numbers, default=count - 1) + 1
        if table != records.tracks_of(video):
            writer.write_tracks(video, table)
    return count

"""Which regions of a video are one thing: followed by ByteTrack through the logged detections.

Tracks are never stored as truth. They follow from the records of a video in the order of its
frames, with no model and no pictures, so a run that was resumed, or whose thresholds changed,
gets the tracks that an undisturbed run gets.

Source: Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box,
ECCV 2022, as the library `trackers` has it. Where we differ: what a view keeps is a high score
and what it leaves out is a low one, whatever the numbers (thresholds belong to prompts here); each
class is followed for itself; the frame before a track is confirmed belongs to it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.core.hub import need_library

__all__ = ["FrameTracks", "need_tracker", "track_video"]

# A thing that is not seen for so long is another one when it comes back; where few frames are
# looked at, for so many of them.
_LOST_SECONDS, _LOST_FRAMES = 1.0, 5
# The filter's noise is tuned for this rate; the time between frames is told in seconds.
_RATE = 30.0
_LEAST_OVERLAP = 0.1
# A candidate on a better region of its class is that region once more, not another thing.
_SAME = 0.7
# Of one class in one frame; the cost of an assignment grows with the third power.
_MOST = 1000
# Ids of tracks that have ended are kept up to so many, since to look for them takes time.
_ENDED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTracks:
    """The tracks of one frame.

    Attributes:
        path: The record's.
        tracks: The track of each region that belongs to one, by the region's id.
    """

    path: str
    tracks: Mapping[str, int]


def track_video(frames: Iterable[AnnotationRecord], *, first: int = 0) -> Iterator[FrameTracks]:
    """Follow what was found through a video.

    Args:
        frames: The records of one video in the order of their frames, held two at a time. What is
            `kept` starts tracks and goes on with them; candidates only go on with them, so that a
            thing half hidden stays the same. Failed frames are passed over, but their time passes.
        first: The id of the first track; the next ones follow in the order of appearance.

    Yields:
        The tracks of each record, failed ones too, in the order given.

    Raises:
        InputError: If a record is of no video, of another one, or out of order.
        PluginBrokenError: If the library `trackers` is not installed.

    Examples:
        >>> import numpy as np
        >>> from groundplane.core.annotation import VideoFrame
        >>> one = np.zeros(1, dtype=np.int64)
        >>> def frame(index):
        ...     left = 10.0 + index
        ...     regions = AnnotatedRegions(
        ...         ids=("r0",), boxes=np.array([[left, 10, left + 20, 30]]), prompt_ids=one,
        ...         scores=np.array([0.9]), class_ids=one, kept=np.array([True]),
        ...     )
        ...     return AnnotationRecord(
        ...         path=f"walk.mp4#{index}", content_hash="", status="done", size=(99, 50),
        ...         regions=regions, frame=VideoFrame(video="walk.mp4", index=index, time=index/9),
        ...     )
        >>> [dict(found.tracks) for found in track_video(map(frame, range(3)))]
        [{'r0': 0}, {'r0': 0}, {'r0': 0}]
        >>> list(track_video([]))
        []
    """
    head, records = _head(frames)
    if not head:
        return
    interval = _interval(head)
    follower, names = _Follower(interval), _Names(first)
    before: tuple[AnnotationRecord, list[_Track | None]] | None = None
    for record, clock in _timed(records, interval):
        seen = follower.see(record.regions, clock) if record.status == "done" else []
        if before is not None:
            yield names.named(*before)
        names.forget(follower, seen)
        before = record, seen
    if before is not None:
        yield names.named(*before)


def need_tracker() -> tuple[Any, Any]:
    """The library's tracker and the type of what it is given.

    Raises:
        PluginBrokenError: If it is not installed; the message says what to install.
    """
    trackers = need_library("trackers", who="tracking", extra="tracks")
    supervision = need_library("supervision", who="tracking", extra="tracks")
    return trackers.ByteTrackTracker, supervision.Detections


class _Track:
    """A track of the library, and the class that it is of."""

    __slots__ = ("key", "tracklet")

    def __init__(self, key: tuple[int, int], tracklet: Any) -> None:
        self.key, self.tracklet = key, tracklet

    @property
    def number(self) -> tuple[int, int, int] | None:
        """Its place among all tracks of the video; None as long as it is not confirmed."""
        number = int(self.tracklet.tracker_id)
        return None if number < 0 else (*self.key, number)


class _Names:
    """Ids of tracks in the order in which they come to be told."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._ids: dict[tuple[int, int, int], int] = {}

    def named(self, record: AnnotationRecord, seen: list[_Track | None]) -> FrameTracks:
        tracks = {}
        for name, track in zip(record.regions.ids, seen, strict=record.status == "done"):
            number = None if track is None else track.number
            if number is None:
                continue
            if number not in self._ids:
                self._ids[number] = self._next
                self._next += 1
            tracks[name] = self._ids[number]
        return FrameTracks(path=record.path, tracks=tracks)

    def forget(self, follower: _Follower, seen: list[_Track | None]) -> None:
        """Drop ids of tracks that have ended, so that a long video takes no more room."""
        if len(self._ids) > 2 * len(seen) + _ENDED:
            alive = follower.alive()
            self._ids = {number: i for number, i in self._ids.items() if number in alive}


class _Follower:
    """One tracker a class (of regions without a class, one a prompt), made when first needed."""

    def __init__(self, interval: float) -> None:
        self._make, self._detections = need_tracker()
        self._lost = max(_LOST_SECONDS, _LOST_FRAMES * interval)
        self._by_class: dict[tuple[int, int], Any] = {}

    def alive(self) -> set[tuple[int, int, int]]:
        """The confirmed tracks that may go on."""
        return {
            (*key, int(tracklet.tracker_id))
            for key, tracker in self._by_class.items()
            for tracklet in tracker.tracks
            if tracklet.tracker_id >= 0
        }

    def see(self, regions: AnnotatedRegions, clock: float) -> list[_Track | None]:
        """Which track each region belongs to, at a time in seconds from the first frame."""
        found: list[_Track | None] = [None] * len(regions)
        groups = _by_class(regions)
        for key in sorted(groups.keys() | self._by_class.keys()):
            rows = groups.get(key, np.zeros(0, dtype=np.int64))
            tracker = self._by_class.get(key)
            if tracker is None:
                tracker = self._by_class[key] = self._make(
                    lost_track_buffer=round(self._lost * _RATE),
                    frame_rate=_RATE,
                    track_activation_threshold=0.5,
                    high_conf_det_threshold=0.5,
                    minimum_consecutive_frames=2,
                    minimum_iou_threshold=_LEAST_OVERLAP,
                )
            if len(rows) or tracker.tracks:
                for row, tracklet in self._update(tracker, regions, rows, clock=clock):
                    found[row] = _Track(key, tracklet)
        return found

    def _update(
        self,
        tracker: Any,
        regions: AnnotatedRegions,
        rows: Int64[np.ndarray, " n"],
        *,
        clock: float,
    ) -> Iterator[tuple[int, Any]]:
        """The rows that belong to a track, and the track."""
        high = regions.kept[rows]
        given = self._detections(
            xyxy=regions.boxes[rows],
            confidence=high.astype(np.float32),
            data={"row": rows},
        )
        told = tracker.update(given, timestamp=clock)
        by_number = {int(t.tracker_id): t for t in tracker.tracks if t.tracker_id >= 0}
        # What it has just begun has no number before the next frame, but stands in the order of
        # the rows that began it.
        begun = iter([t for t in tracker.tracks if t.tracker_id < 0])
        kept = dict(zip(rows.tolist(), high.tolist(), strict=True))
        numbers: list[int] = told.tracker_id.tolist()
        order: list[int] = told.data["row"].tolist() if len(told) else []
        for row, number in zip(order, numbers, strict=True):
            if number >= 0:
                yield row, by_number[number]
            elif kept[row]:
                tracklet = next(begun, None)
                if tracklet is None or not np.array_equal(
                    tracklet.get_state_bbox(), regions.boxes[row]
                ):
                    raise PluginBrokenError(
                        "tracking: this version of the library 'trackers' begins tracks in another "
                        "way than expected. Try: pip install 'groundplane[tracks]'"
                    )
                yield row, tracklet


def _by_class(regions: AnnotatedRegions) -> dict[tuple[int, int], Int64[np.ndarray, " _"]]:
    """The rows of each class that take part: all that is kept, and candidates for themselves."""
    classes = regions.class_ids
    # Without a class, what answers another prompt is another kind of thing.
    prompts = np.where(classes < 0, regions.prompt_ids, -1)
    keys = np.stack([classes, prompts], axis=1)
    groups = {}
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        best = rows[np.lexsort((rows, -regions.scores[rows], ~regions.kept[rows]))][:_MOST]
        alone = _alone(regions.boxes[best], regions.kept[best])
        groups[(int(key[0]), int(key[1]))] = np.sort(best[alone])
    return groups


def _alone(
    boxes: Float64[np.ndarray, "n 4"], kept: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which boxes, best first, are kept or lie on no better one."""
    stays = kept.copy()
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    for row in np.flatnonzero(~kept):
        better = np.flatnonzero(stays[:row])
        low = np.maximum(boxes[better, :2], boxes[row, :2])
        high = np.minimum(boxes[better, 2:], boxes[row, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        stays[row] = (
            areas[row] > 0 and not (shared > _SAME * (areas[better] + areas[row] - shared)).any()
        )
    return stays


def _head(
    frames: Iterable[AnnotationRecord],
) -> tuple[list[AnnotationRecord], Iterator[AnnotationRecord]]:
    """The first two records, and all of them."""
    records = iter(frames)
    head = list(islice(records, 2))
    return head, chain(head, records)


def _interval(head: list[AnnotationRecord]) -> float:
    """Seconds between the frames that were looked at, by the first two."""
    times = [record.frame.time for record in head if record.frame is not None]
    step = times[-1] - times[0] if times else 0.0
    return step if 0 < step < np.inf else 1 / _RATE


def _timed(
    records: Iterator[AnnotationRecord], interval: float
) -> Iterator[tuple[AnnotationRecord, float]]:
    """Each record and its time, which always grows, in seconds from the first."""
    video, index, time, clock = "", -1, 0.0, 0.0
    for record in records:
        frame = record.frame
        if frame is None or (video and frame.video != video) or frame.index <= index:
            raise InputError(
                f"tracking: expected the frames of one video in order, got {record.path!r}"
                + (f" after frame {index} of {video!r}" if video else "")
            )
        passed = frame.time - time
        if video:
            # A file with broken times still has an order.
            clock += passed if 0 < passed < np.inf else interval
        video, index, time = frame.video, frame.index, frame.time
        yield record, clock

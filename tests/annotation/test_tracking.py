"""Tracks follow things whose identity is known; they depend on nothing but the records."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation import tracking
from groundplane.annotation.tracking import track_video
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, Failure, VideoFrame
from groundplane.core.errors import InputError, PluginBrokenError

FRAMES = int(os.environ.get("GROUNDPLANE_CASES", "300"))


def regions(rows):
    """Regions of `(id, box, class, kept)`."""
    n = len(rows)
    return AnnotatedRegions(
        ids=tuple(row[0] for row in rows),
        boxes=np.array([row[1] for row in rows], dtype=np.float64).reshape(n, 4),
        scores=np.array([0.9 if row[3] else 0.2 for row in rows]),
        prompt_ids=np.array([row[2] for row in rows], dtype=np.int64),
        class_ids=np.array([row[2] for row in rows], dtype=np.int64),
        kept=np.array([row[3] for row in rows], dtype=np.bool_),
    )


def frame(index, rows, *, rate=30.0, video="v.mp4"):
    return AnnotationRecord(
        path=f"{video}#{index}",
        content_hash="",
        status="done",
        size=(4000, 1000),
        regions=regions(rows),
        frame=VideoFrame(video=video, index=index, time=index / rate),
    )


def lost(record):
    return replace(
        record,
        status="failed",
        size=None,
        regions=AnnotatedRegions.empty(),
        failure=Failure(stage="detect", message="no"),
    )


def box(x, y=10.0, side=20.0):
    return (x, y, x + side, y + side)


def told(frames, **options):
    return [dict(found.tracks) for found in track_video(frames, **options)]


def world(num_frames, *, num_things=12, seed=0, missed=0.0, weak=0.0, jitter=0.5):
    """Records of things that move in their lanes and bounce; each region's id ends in its thing."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(100, 900, num_things)
    speed = rng.uniform(-4, 4, num_things)
    for index in range(num_frames):
        x += speed
        speed = np.where((x < 50) | (x > 950), -speed, speed)
        rows = []
        for thing in range(num_things):
            if rng.random() < missed:
                continue
            # Two things a lane, so that they cross; two classes, so that they touch.
            place = box(x[thing] + rng.normal(0, jitter), 40.0 * (thing // 2), 36.0)
            rows.append((f"{index}-{thing}", place, thing % 4 // 2, rng.random() >= weak))
        yield frame(index, rows)


def nearest(records, reach=0.1):
    """Plain reference: the region that overlaps most with one of the frame before is the same."""
    before, count = [], 0
    for record in records:
        now = []
        free = list(range(len(before)))
        for name, place, kind in zip(
            record.regions.ids,
            record.regions.boxes.tolist(),
            record.regions.class_ids.tolist(),
            strict=True,
        ):
            scores = {i: overlap(place, before[i][0]) for i in free if before[i][1] == kind}
            best = max(scores, key=scores.__getitem__, default=None)
            if best is not None and scores[best] >= reach:
                free.remove(best)
                now.append((place, kind, before[best][2], name))
            else:
                now.append((place, kind, count, name))
                count += 1
        before = now
        yield {name: track for _, _, track, name in now}


def overlap(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return wide * high / (area - wide * high) if area else 0.0


def switches(frames):
    """How often a thing's track is another than the last time it had one."""
    last, count = {}, 0
    for tracks in frames:
        for name, track in tracks.items():
            thing = name.split("-")[1]
            count += last.setdefault(thing, track) != track
            last[thing] = track
    return count


def test_no_frames_give_no_tracks():
    assert told([]) == []


def test_frames_without_regions_give_none():
    assert told([frame(i, []) for i in range(3)]) == [{}, {}, {}]


def test_thing_keeps_its_track_from_its_first_frame():
    assert told(frame(i, [("a", box(10 + i), 0, True)]) for i in range(4)) == [{"a": 0}] * 4


def test_thing_seen_once_has_no_track():
    rows = [[("a", box(10), 0, True)], [], [("a", box(10), 0, True)]]
    assert told(frame(i, r) for i, r in enumerate(rows)) == [{}, {}, {}]


def test_tracks_count_on_from_the_first():
    frames = [frame(i, [("a", box(10), 0, True), ("b", box(90), 0, True)]) for i in range(2)]
    assert told(frames, first=7) == [{"a": 7, "b": 8}] * 2


def test_each_call_counts_anew():
    frames = [frame(i, [("a", box(10), 0, True)]) for i in range(2)]
    assert told(frames) == told(frames)


def test_track_keeps_its_class():
    rows = [("a", box(10), 0, True)], [("a", box(10), 1, True)]
    found = told(frame(i, rows[i // 3]) for i in range(6))
    assert [tracks["a"] for tracks in found] == [0, 0, 0, 1, 1, 1]


def test_things_of_two_classes_in_one_place_have_two_tracks():
    rows = [("a", box(10), 0, True), ("b", box(10), 1, True)]
    assert told(frame(i, rows) for i in range(2)) == [{"a": 0, "b": 1}] * 2


def test_regions_without_a_class_are_followed_by_prompt():
    frames = []
    for i in range(4):
        record = frame(i, [("a", box(10), 0, True), ("b", box(10), 1, True)])
        unmapped = replace(record.regions, class_ids=np.full(2, -1, dtype=np.int64))
        frames.append(replace(record, regions=unmapped))
    assert told(frames) == [{"a": 0, "b": 1}] * 4


def test_candidate_goes_on_with_a_track_and_begins_none():
    weak = [("a", box(10), 0, False), ("b", box(200), 0, False)]
    frames = [frame(i, [("a", box(10), 0, True)] if i < 3 else weak) for i in range(9)]
    assert told(frames) == [{"a": 0}] * 9


def test_candidate_on_a_better_region_is_not_another_thing():
    rows = [("a", box(10), 0, True), ("b", box(11), 0, False)]
    assert told(frame(i, rows) for i in range(4)) == [{"a": 0}] * 4


def test_thing_that_comes_back_within_a_second_is_the_same_and_later_another():
    def gap(missing):
        rows = [("a", box(10), 0, True)]
        return told(frame(i, [] if 5 <= i < 5 + missing else rows) for i in range(missing + 10))[-1]

    assert gap(25) == {"a": 0}
    assert gap(40) == {"a": 1}


def test_failed_frames_have_no_tracks_but_their_time_passes():
    moving = [frame(i, [("a", box(10.0 + 6 * i), 0, True)]) for i in range(30)]
    broken = [lost(f) if 10 <= i < 15 else f for i, f in enumerate(moving)]
    found = told(broken)
    assert found[10:15] == [{}] * 5
    assert found[:10] + found[15:] == [{"a": 0}] * 25


def test_few_frames_a_second_are_followed():
    frames = [frame(60 * i, [("a", box(10), 0, True)]) for i in range(5)]
    assert told(frames) == [{"a": 0}] * 5


@pytest.mark.parametrize("time", [0.0, float("nan"), float("inf"), -1.0])
@pytest.mark.filterwarnings("error")
def test_broken_times_leave_the_order(time):
    frames = []
    for i in range(5):
        record = frame(i, [("a", box(10 + i), 0, True)])
        frames.append(replace(record, frame=replace(record.frame, time=time)))
    assert told(frames) == [{"a": 0}] * 5


@pytest.mark.parametrize("make", [lambda f: [f, f], lambda f: [replace(f, frame=None)]])
def test_frames_out_of_order_and_pictures_are_refused(make):
    with pytest.raises(InputError, match="frames of one video in order"):
        told(make(frame(3, [])))


def test_frame_of_another_video_is_refused():
    with pytest.raises(InputError, match=r"after frame 0 of 'v.mp4'"):
        told([frame(0, []), frame(1, [], video="w.mp4")])


@pytest.mark.parametrize(
    "rows", [[("a", (5, 5, 5, 5), 0, True)], [("a", (0, 0, 1e9, 1e9), 0, True)]]
)
def test_odd_boxes_do_no_harm(rows):
    assert len(told(frame(i, rows) for i in range(4))) == 4


def test_crowd_takes_part_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(tracking, "_MOST", 3)
    rows = [(f"r{i}", box(30.0 * i), 0, i > 1) for i in range(6)]
    assert told(frame(i, rows) for i in range(2)) == [{"r2": 0, "r3": 1, "r4": 2}] * 2


def test_library_that_begins_tracks_otherwise_is_refused(monkeypatch):
    frames = [frame(0, [("a", box(10), 0, True)])]
    told(frames)
    import trackers

    class Other(trackers.ByteTrackTracker):
        tracker_id = None

        def update(self, *args, **options):
            found = super().update(*args, **options)
            self.tracks = []
            return found

    monkeypatch.setattr(trackers, "ByteTrackTracker", Other)
    with pytest.raises(PluginBrokenError, match="another way than expected"):
        told(frames)


@pytest.mark.parametrize(
    ("missed", "weak"), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.2)], ids=["clear", "missed", "weak"]
)
def test_identities_hold_where_the_plain_reference_loses_them(missed, weak):
    options = {"missed": missed, "weak": weak, "num_frames": FRAMES}
    ours = switches(told(world(**options)))
    plain = switches(nearest(world(**options)))
    num_seen = sum(len(record.regions) for record in world(**options))
    assert ours <= plain
    assert ours <= 0.01 * num_seen
    if missed:
        assert ours * 5 < plain


def test_switches_are_counted():
    assert switches([{"0-a": 1, "0-b": 2}, {"1-a": 2, "1-b": 1}, {"2-a": 2}]) == 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_any_world_gives_unique_tracks_of_one_class_from_regions_that_exist(seed, missed, weak):
    records = list(world(20, num_things=6, seed=seed, missed=missed, weak=weak))
    found = list(track_video(records))
    assert [each.path for each in found] == [record.path for record in records]
    kinds = {}
    for each, record in zip(found, records, strict=True):
        assert set(each.tracks) <= set(record.regions.ids)
        assert len(set(each.tracks.values())) == len(each.tracks)
        for name, track in each.tracks.items():
            kind = int(record.regions.class_ids[record.regions.ids.index(name)])
            assert kinds.setdefault(track, kind) == kind
    first = [track for each in found for track in each.tracks.values()]
    assert list(dict.fromkeys(first)) == list(range(len(kinds)))


def test_state_stays_bounded_over_many_births(monkeypatch):
    monkeypatch.setattr(tracking, "_ENDED", 10)
    # A new thing every second frame, in another place each time, gone after two.
    frames = (frame(i, [("a", box(50.0 * (i // 2 % 60)), 0, True)]) for i in range(600))
    found = track_video(frames)
    tracks = {}
    for each in found:
        tracks = each.tracks
        inner = found.gi_frame.f_locals
        assert len(inner["names"]._ids) <= 40
        assert len(inner["follower"].alive()) <= 20
    assert tracks == {"a": 299}


def test_module_imports_neither_torch_nor_the_tracker():
    code = (
        "import sys, groundplane.annotation.tracking;"
        "print([m for m in ('trackers', 'supervision', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

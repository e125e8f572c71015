"""Tracks of a run: the same however it came about, derived anew with its thresholds."""

import numpy as np
import pytest

from groundplane.annotation import run_tracks, tracking
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, VideoFrame
from groundplane.core.errors import PluginBrokenError


def begun(folder, *, tracks=True):
    classes = read_prompts("person", thresholds=0.5)
    return Run.create(folder, JobSpec(source="x", classes=classes, tracks=tracks))


def walk(video, *, num_frames=12, seed=0):
    """Two people who walk; the scores of the second waver around the threshold."""
    rng = np.random.default_rng(seed)
    for index in range(num_frames):
        left = np.array([10.0 + 2 * index, 300.0 - 2 * index])
        zero = np.zeros(2, dtype=np.int64)
        regions = AnnotatedRegions(
            ids=("a", "b"),
            boxes=np.stack([left, left * 0 + 10, left + 30, left * 0 + 90], axis=1),
            scores=np.round([0.9, rng.uniform(0.2, 0.8)], 4),
            prompt_ids=zero,
            class_ids=zero,
            kept=np.array([True, True]),
        )
        yield AnnotationRecord(
            path=f"{video}#{index}",
            content_hash="ab" * 32,
            status="done",
            size=(400, 100),
            regions=regions,
            outcomes=("found",),
            frame=VideoFrame(video=video, index=index, time=index / 25),
        )


def write(run, records):
    with run.writer() as writer:
        for record in records:
            writer.write(record, (1, 1))
        run.follow(writer)


def tracks_of(run):
    return {
        record.path: dict(
            zip(record.regions.ids, record.regions.track_ids.tolist(), strict=True)
            if record.regions.track_ids is not None
            else ()
        )
        for record in run.records()
    }


def test_tracks_of_all_videos_are_numbered_through(tmp_path):
    run = begun(tmp_path / "run")
    write(run, [*walk("b.mp4"), *walk("a.mp4")])
    found = tracks_of(run)

    assert {tracks["a"] for path, tracks in found.items() if path.startswith("a")} == {0}
    assert {tracks["b"] for tracks in found.values() if "b" in tracks} == {1, 3}
    assert {tracks["a"] for path, tracks in found.items() if path.startswith("b")} == {2}


@pytest.mark.parametrize("seed", range(3))
def test_run_that_was_interrupted_anywhere_has_the_same_tracks(tmp_path, seed):
    whole = begun(tmp_path / "whole")
    frames = [*walk("a.mp4"), *walk("b.mp4")]
    write(whole, frames)
    run = begun(tmp_path / "run")
    order = np.random.default_rng(seed).permutation(len(frames)).tolist()
    for part in (order[:5], order[5:6], order[6:]):
        write(run, [frames[i] for i in part])

    assert tracks_of(run) == tracks_of(whole)


def test_tracks_follow_other_thresholds_without_a_model(tmp_path):
    run = begun(tmp_path / "run")
    write(run, walk("a.mp4"))
    before = tracks_of(run)
    run.set_thresholds(0.85)
    high = tracks_of(run)
    assert all(set(tracks) == {"a"} for tracks in high.values())
    assert {tracks["a"] for tracks in high.values()} == {0}
    run.set_thresholds(0.5)
    assert tracks_of(run) == before


def test_frames_in_logs_of_several_shards_are_followed_together(tmp_path):
    whole = begun(tmp_path / "whole")
    frames = list(walk("a.mp4"))
    write(whole, frames)
    run = begun(tmp_path / "run")
    with run.writer() as giver:
        giver.begin()
        for shard in range(2):
            with run.writer(shard=shard) as writer:
                for record in frames[shard::2]:
                    writer.write(record, (1, 1))
        run.follow(giver)
    assert tracks_of(run) == tracks_of(whole)


def test_tracks_of_earlier_thresholds_do_not_count(tmp_path):
    run = begun(tmp_path / "run")
    write(run, walk("a.mp4"))
    before = tracks_of(run)
    with run.writer() as writer:
        writer.write_thresholds((0.5,))  # and here the process dies
    assert set(map(len, tracks_of(run).values())) == {0}
    write(run, [])  # the same call again
    assert tracks_of(run) == before


def test_same_tracks_are_not_kept_twice(tmp_path):
    run = begun(tmp_path / "run")
    write(run, walk("a.mp4"))
    size = (run.path / "records.log").stat().st_size
    write(run, [])
    assert (run.path / "records.log").stat().st_size == size


def test_job_that_wants_no_tracks_has_none(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", tracks=False)
    monkeypatch.setattr(run_tracks, "track_video", None)  # nobody asks it
    write(run, walk("a.mp4"))
    assert set(map(len, tracks_of(run).values())) == {0}


def test_without_the_library_no_threshold_is_changed(tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    write(run, walk("a.mp4"))
    before = tracks_of(run)

    def missing(*_, **__):
        raise PluginBrokenError("tracking needs the library 'trackers'")

    monkeypatch.setattr(tracking, "need_library", missing)
    with pytest.raises(PluginBrokenError, match="trackers"):
        run.set_thresholds(0.85)
    assert run.thresholds() == (0.5,)
    assert tracks_of(run) == before


def test_pictures_have_no_tracks(tmp_path):
    run = begun(tmp_path / "run")
    write(run, [AnnotationRecord(path="a.jpg", content_hash="", status="done", size=(9, 9))])
    (record,) = run.records()
    assert record.regions.track_ids is None

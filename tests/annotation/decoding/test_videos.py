"""Videos in processes that decode: frames that are wanted, faults, limits, resuming."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from fractions import Fraction

import numpy as np
import pytest
from clips import noise, write_clip
from decoding import collect, file_item, outcomes

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.items import Item, ItemEnd, Picture, Unread
from groundplane.core.media import MediaLimits


@pytest.fixture(scope="module")
def pool():
    with DecodePool(2, slots=6) as pool:
        yield pool


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mkv", noise(10), times=[100 * n * n for n in range(10)])


def _video(path, **more):
    return file_item(path, kind="video", **more)


def test_frames_come_in_order_with_their_times_and_an_end(pool, clip):
    *frames, end = outcomes(pool, [_video(clip, stamp=None)])["clip.mkv"]
    digest = hashlib.sha256(clip.read_bytes()).hexdigest()
    assert end == ItemEnd(path="clip.mkv", content_hash=digest, frames=10)
    for number, ((picture, pixels), expected) in enumerate(zip(frames, noise(10), strict=True)):
        assert picture.path == f"clip.mkv#{number}"
        assert picture.frame.video == "clip.mkv"
        assert picture.frame.index == number
        assert picture.frame.time == float(Fraction(number * number, 10))
        assert picture.content_hash == digest
        assert np.array_equal(pixels, expected)


def test_only_frames_that_are_wanted_and_not_done_come(pool, clip):
    done = bytes([0b01000001])  # 0 and 6
    *frames, end = outcomes(pool, [_video(clip, frame_step=3, frames_done=done)])["clip.mkv"]
    assert [picture.frame.index for picture, _ in frames] == [3, 9]
    assert end.frames == 10
    [end] = outcomes(pool, [_video(clip, frames_done=b"\xff\xff")])["clip.mkv"]
    assert isinstance(end, ItemEnd)


def test_a_video_that_is_cut_off_gives_frames_a_fault_and_an_end(pool, clip):
    os.truncate(clip, clip.stat().st_size * 6 // 10)
    *frames, unread, end = outcomes(pool, [_video(clip)])["clip.mkv"]
    assert [picture.frame.index for picture, _ in frames] == list(range(end.frames))
    assert 0 < end.frames < 10
    assert (unread.path, unread.failure.stage) == ("clip.mkv", "decode")
    assert "cut off" in unread.failure.message
    assert unread.content_hash == end.content_hash == hashlib.sha256(clip.read_bytes()).hexdigest()


def test_what_is_no_video_has_one_fault_and_an_end(pool, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("only words")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    names = ["pipe.mp4", "folder.mp4", "empty.mp4", "words.mp4", "zero.mp4", "missing.mp4"]
    got = outcomes(pool, [_video(tmp_path / name) for name in names])
    for name in names:
        unread, end = got[name]
        assert isinstance(unread, Unread)
        assert end.frames == 0
        assert unread.failure.message
        assert unread.failure.message.isprintable()
        assert str(tmp_path) not in unread.failure.message


def test_a_video_that_has_changed_since_it_was_listed_is_unread(pool, clip):
    unread, end = outcomes(pool, [_video(clip, stamp=(1, 1))])["clip.mkv"]
    assert "has changed" in unread.failure.message
    assert unread.stamp == end.stamp == (1, 1)


def test_frames_over_the_limit_are_a_fault(clip):
    with DecodePool(1, MediaLimits(max_pixels=100), slots=2) as pool:
        unread, _ = outcomes(pool, [_video(clip)])["clip.mkv"]
    assert "more than 100" in unread.failure.message


def test_a_video_waits_for_slots_and_pictures_pass_it_by(clip):
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    with DecodePool(2, slots=3, seconds=1.5) as pool:
        outcomes(pool, [_video(clip, frames_done=b"\xff\xff")] * 2)  # the library is loaded
        pool.submit(_video(clip))
        held = [pool.next(timeout=20) for _ in range(3)]
        assert pool.next(timeout=2.0) is None  # longer than an item may take
        pool.submit(Item(path="still", held=pixels))
        for picture in held:
            pool.release(picture)
        got = collect(pool, 2)
        assert len(got["clip.mkv"]) == 10 - 3 + 1
        assert isinstance(got["still"][0][0], Picture)


def test_a_process_that_dies_in_a_video_costs_the_rest_of_it(clip):
    with DecodePool(1, slots=2) as pool:
        pool.submit(_video(clip))
        first = pool.next(timeout=20)
        second = pool.next(timeout=20)
        time.sleep(0.05)  # it waits for a slot
        os.kill(pool.pids[0], signal.SIGKILL)
        unread, end = pool.next(timeout=20), pool.next(timeout=20)
        assert "SIGKILL" in unread.failure.message
        assert end.path == "clip.mkv"
        pool.release(first)
        pool.release(second)
        *frames, end = outcomes(pool, [_video(clip, frames_done=b"\x03")])["clip.mkv"]
        assert [picture.frame.index for picture, _ in frames] == list(range(2, 10))


def test_the_clip_of_a_camera_comes_through(pool, data_dir):
    path = data_dir / "video" / "04_coffee.mp4"
    *frames, end = outcomes(pool, [_video(path, frame_step=60)])[path.name]
    assert [picture.frame.index for picture, _ in frames] == [0, 60, 120, 180, 240]
    assert end.frames == 287
    assert frames[1][0].frame.time == float(Fraction(60060, 30000))

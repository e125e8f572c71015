"""What is done is known exactly, and takes little room."""

import tracemalloc
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation import done
from groundplane.annotation.codec import RecordHead
from groundplane.annotation.done import DoneIndex
from groundplane.annotation.entries import Touched
from groundplane.annotation.items import ItemEnd


def head(path, *, version=1, stamp=(1, 1), failed=False, frame=None):
    return RecordHead(path, f"hash{version}", failed, stamp, frame)


def frame(video, index, **terms):
    return head(f"{video}#{index}", frame=(video, index), **terms)


class Plain:
    """The same by a dictionary of all there is."""

    def __init__(self):
        self.entries = {}

    def add(self, entry):
        self.entries[entry.path] = entry

    def touch(self, touched):
        entry = self.entries.get(touched.path)
        new = (
            entry is not None
            and touched.stamp not in (None, entry.stamp)
            and entry.content_hash == touched.content_hash != ""
        )
        if new:
            self.entries[touched.path] = replace(entry, stamp=touched.stamp)
        return new

    def is_done(self, path, stamp, content_hash, *, retry):
        entry = self.entries.get(path)
        if entry is None or (retry and entry.failed):
            return False
        if stamp is not None and entry.stamp == stamp:
            return True
        return bool(content_hash) and entry.content_hash == content_hash

    def holds(self, entry):
        there = self.entries.get(entry.path)
        return (
            there is not None
            and there.content_hash == entry.content_hash != ""
            and not there.failed
        )


PATHS = st.sampled_from([f"{i}.jpg" for i in range(9)])
STAMPS = st.sampled_from([None, (1, 1), (1, 2), (2, 1)])
HASHES = st.sampled_from(["", "a", "b"])
HEADS = st.builds(RecordHead, PATHS, HASHES, st.booleans(), STAMPS, st.none())
TOUCHED = st.builds(Touched, PATHS, HASHES, STAMPS)


@settings(max_examples=60)
@given(entries=st.lists(HEADS | TOUCHED, max_size=30), recent=st.integers(1, 5), data=st.data())
def test_it_is_what_a_dictionary_of_all_would_be(entries, recent, data):
    index, plain = DoneIndex(), Plain()
    before, done._RECENT = done._RECENT, recent
    try:
        for entry in entries:
            if isinstance(entry, Touched):
                assert index.touch(entry) == plain.touch(entry)
            else:
                index.add(entry)
                plain.add(entry)
    finally:
        done._RECENT = before
    assert len(index) == len(plain.entries)
    path, stamp, content = data.draw(PATHS), data.draw(STAMPS), data.draw(HASHES)
    retry = data.draw(st.booleans())
    assert index.is_done(path, stamp, content, retry=retry) == plain.is_done(
        path, stamp, content, retry=retry
    )
    entry = data.draw(HEADS)
    assert index.holds(entry) == plain.holds(entry)


def test_the_same_file_under_a_new_mark_is_known_by_its_content():
    index = DoneIndex()
    index.add(head("a"))
    assert index.is_done("a", (1, 1))
    assert not index.is_done("a", (9, 9))
    assert index.is_done("a", (9, 9), "hash1")


def test_a_video_of_the_same_bytes_is_known_under_its_new_mark_with_its_frames():
    index = DoneIndex()
    for number in (0, 3):
        index.add(frame("v", number))
    assert not index.touch(Touched("v", "hash2", (9, 9)))
    assert index.frames_done("v", (9, 9)) == b""
    assert index.touch(Touched("v", "hash1", (9, 9)))
    assert index.frames_done("v", (9, 9)) == b"\x09"
    assert index.frames_done("v", (1, 1)) == b""
    assert not index.touch(Touched("v", "hash1", (9, 9)))
    assert not index.is_done("a", (9, 9), "hash2")
    assert not index.is_done("a", None)


def test_frames_are_done_bit_by_bit():
    index = DoneIndex()
    for number in (0, 3, 9):
        index.add(frame("v.mp4", number))
    assert index.frames_done("v.mp4", (1, 1)) == bytes([0b1001, 0b10])
    assert index.frames_done("v.mp4", (2, 2)) == b""
    assert index.frames_done("other.mp4", (1, 1)) == b""
    assert not index.is_done("v.mp4", (1, 1))
    assert len(index) == 3
    index.add_end(ItemEnd(path="v.mp4", content_hash="hash1", frames=10, stamp=(1, 1)))
    assert index.is_done("v.mp4", (1, 1))
    assert len(index) == 3


def test_failed_frames_are_tried_again_where_that_is_wanted():
    index = DoneIndex()
    index.add(frame("v", 0))
    index.add(frame("v", 1, failed=True))
    index.add_end(ItemEnd(path="v", content_hash="hash1", frames=2, stamp=(1, 1)))
    assert index.is_done("v", (1, 1))
    assert not index.is_done("v", (1, 1), retry=True)
    assert index.frames_done("v", (1, 1)) == b"\x03"
    assert index.frames_done("v", (1, 1), retry=True) == b"\x01"
    index.add(frame("v", 1))
    assert index.is_done("v", (1, 1), retry=True)


def test_another_version_of_a_video_begins_anew():
    index = DoneIndex()
    for number in range(5):
        index.add(frame("v", number))
    index.add(frame("v", 2, version=2, stamp=(2, 2)))
    assert index.frames_done("v", (2, 2)) == b"\x04"
    assert index.holds(frame("v", 2, version=2))
    assert not index.holds(frame("v", 2))
    assert len(index) == 1


def test_ten_thousand_pictures_take_less_than_half_a_megabyte(monkeypatch):
    monkeypatch.setattr(done, "_RECENT", 128)
    index = DoneIndex()
    for number in range(256):
        index.add(head(f"folder/of/pictures/{number:09}.jpg"))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(256, 1792):
        index.add(head(f"folder/of/pictures/{number:09}.jpg"))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / 1536 * 10_000 < 0.5e6
    assert all(index.is_done(f"folder/of/pictures/{n:09}.jpg", (1, 1)) for n in range(1792))

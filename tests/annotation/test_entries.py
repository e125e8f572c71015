"""Entries beside records: they return, and nothing else is made of hostile bytes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import done

from groundplane.annotation.codec import RecordHead, encode_record
from groundplane.annotation.entries import (
    Opened,
    Thresholds,
    Touched,
    Tracks,
    TracksOf,
    decode_head,
    decode_tracks,
    encode_entry,
)
from groundplane.annotation.items import ItemEnd
from groundplane.core.errors import InputError

TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
STAMPS = st.none() | st.tuples(st.integers(0, 2**62), st.integers(-(2**62), 2**62))
LEAST = st.lists(st.none() | st.floats(0, 1), max_size=5).map(tuple)
TABLES = st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers(0, 2**40), max_size=3), max_size=3)


@given(epoch=st.integers(0, 2**50), values=LEAST, path=TEXT, content=TEXT, stamp=STAMPS)
def test_entries_return(epoch, values, path, content, stamp):
    end = ItemEnd(path=path, content_hash=content, frames=epoch, stamp=stamp)
    touched = Touched(path, content, stamp)
    for entry in (Opened(epoch), Thresholds(values), end, touched):
        assert decode_head(encode_entry(entry)) == entry


@given(video=TEXT, table=TABLES)
def test_tracks_return_and_are_told_by_their_head(video, table):
    data = encode_entry(Tracks(video, table))
    assert decode_tracks(data) == Tracks(video, table)
    assert decode_head(data) == TracksOf(video)


def test_tracks_of_a_long_video_are_compressed():
    table = {f"v.mp4#{i}": {"r0": i % 7, "r1": 3} for i in range(5000)}
    data = encode_entry(Tracks("v.mp4", table))
    assert len(data) < 100_000
    assert decode_tracks(data).table == table


def test_a_record_is_told_by_its_head():
    assert decode_head(encode_record(done("a"))) == RecordHead.of(done("a"))


def test_a_threshold_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="cannot hold"):
        encode_entry(Thresholds((float("nan"),)))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"null", b'["x",1]', b'["o"]', b'["o",-1]', b'["o",true]', b'["o",1.5]',
     b'["s",[2]]', b'["s",[true]]', b'["s",0.5]', b'["s",["1"]]', b'["t",1]', b'["e","a","",1]',
     b'["e","a","",1,[1]]',
     b'["m"]', b'["m","a","",[1]]', b'["m",1,"",null]',
     b'["e","a","",1,["1",2]]', b'[["o"],1]', b"[" * 5000, b"\xff\xfe"],
)  # fmt: skip
def test_malformed_entries_are_refused(data):
    with pytest.raises(InputError, match="malformed"):
        decode_head(data)
    with pytest.raises(InputError, match="malformed"):
        decode_tracks(data)


def test_hostile_bytes_are_refused_and_nothing_else_is_raised():
    chance = random.Random(2)
    seeds = [
        encode_entry(entry)
        for entry in (Opened(3), Thresholds((0.5, None)), Tracks("v", {"v#0": {"r0": 1}}),
                      ItemEnd(path="v", content_hash="x", frames=3, stamp=(1, 2)),
                      Touched("v", "x", (1, 2)))
    ]  # fmt: skip
    for _ in range(2000):
        held = bytearray(chance.choice(seeds))
        at = chance.randrange(len(held))
        held[at : at + chance.randint(0, 3)] = chance.choice(
            [b"null", b"9" * 40, b"[", b'"', b"\0"]
        )
        for decode in (decode_head, decode_tracks):
            try:
                decode(bytes(held))
            except InputError:
                continue

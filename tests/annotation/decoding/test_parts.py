"""Messages, slots, and who is granted one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation.decoding.granting import Grants
from groundplane.annotation.decoding.item_json import item_of, item_record
from groundplane.annotation.decoding.messages import Unpacker, pack, receive
from groundplane.annotation.decoding.process import Job
from groundplane.annotation.decoding.slots import KEPT, Slots, map_slot, write_slot
from groundplane.annotation.items import Item

_TEXT = st.text(st.characters(codec=None), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(_TEXT, _TEXT | st.integers()), max_size=5), st.data())
def test_messages_come_together_from_any_pieces(messages, data):
    stream = b"".join(map(pack, messages))
    unpacker, got = Unpacker(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += unpacker.feed(stream[:size])
        stream = stream[size:]
    assert got == messages


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\0\0\0\1x", b"\0\0\0\2[]", b"\0\0\0\2\xff\xff"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - of the JSON decoder, or of ours
        list(Unpacker().feed(data))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        with pytest.raises(ValueError):  # noqa: PT011
            receive(ours)


def test_the_end_of_the_other_side_is_noticed():
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(pack({"a": 1}) + b"\0\0")
        theirs.close()
        assert receive(ours) == {"a": 1}
        with pytest.raises(EOFError):
            receive(ours)


@settings(max_examples=60, deadline=None)
@given(
    path=_TEXT, where=st.dictionaries(_TEXT, _TEXT | st.integers()), done=st.binary(max_size=9),
    stamp=st.none() | st.tuples(st.integers(), st.integers()), step=st.integers(1, 99),
    kind=st.sampled_from(["picture", "video"]),
)  # fmt: skip
def test_items_come_through_as_they_are(path, where, done, stamp, step, kind):
    item = Item(path=path, kind=kind, where=where, stamp=stamp, frame_step=step, frames_done=done)
    assert item_of(json.loads(json.dumps(item_record(item)))) == item


@pytest.fixture
def slots():
    slots = Slots(3, most=10 * KEPT)
    yield slots
    slots.close()


def _blocks(slots, slot):
    return os.fstat(slots.fds[slot]).st_blocks * 512


def test_a_slot_holds_what_was_written_and_keeps_little(slots):
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 2000, 3), dtype=np.uint8)
    write_slot(slots.fds[0], pixels)
    shown = map_slot(slots.fds[0], pixels.shape)
    assert np.array_equal(shown, pixels)
    assert _blocks(slots, 0) >= pixels.nbytes
    slots.trim(0, pixels.nbytes)
    assert _blocks(slots, 0) == KEPT
    assert shown[-1, -1].tolist() == [0, 0, 0]  # no fault of the bus
    write_slot(slots.fds[0], pixels)
    assert np.array_equal(map_slot(slots.fds[0], pixels.shape), pixels)


def test_nobody_can_cut_a_slot_off(slots):
    for size in (0, 20 * KEPT):
        with pytest.raises(PermissionError):
            os.ftruncate(slots.fds[0], size)


def test_small_pictures_need_only_a_free_slot(slots):
    grants = Grants(slots, spare=0)
    jobs = [Job(item=Item(path=str(n))) for n in range(4)]
    assert [grants.grant(job, KEPT) for job in jobs] == [True, True, True, False]
    assert sorted(job.slot for job in jobs[:3]) == [0, 1, 2]
    grants.free(jobs[1].slot)
    grants.free(jobs[1].slot)
    assert grants.grant(jobs[3])
    assert jobs[3].slot == jobs[1].slot
    assert not grants.grant(Job(item=Item(path="x")))


def test_large_pictures_share_what_is_spared_and_one_alone_always_passes(slots):
    grants = Grants(slots, spare=2 * KEPT)
    first, second, third = (Job(item=Item(path=str(n))) for n in range(3))
    assert grants.grant(first, 9 * KEPT)
    assert not grants.grant(second, 2 * KEPT)
    assert second.slot == -1
    grants.free(first.slot)
    assert grants.grant(second, 2 * KEPT)
    assert grants.grant(third)  # a slot first, and more of it later
    assert grants.grant(third, 2 * KEPT)
    assert grants.covers(third.slot, 2 * KEPT)
    assert not grants.covers(third.slot, 2 * KEPT + 1)
    assert not grants.covers(0 if third.slot else 1, 9 * KEPT)


def test_a_process_that_decodes_loads_little():
    code = (
        "import sys, groundplane.annotation.decoding.worker, groundplane.annotation.sources\n"
        "print([name for name in ('torch', 'scipy', 'av', 'pyarrow', 'fsspec', 'cv2', 'rich')\n"
        "       if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"

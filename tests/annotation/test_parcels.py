"""What processes tell each other arrives as it was sent, or is refused."""

import socket
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation.parcels import receive, send

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    st.lists,
    max_leaves=5,
)


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.lists(st.binary(max_size=50), max_size=5))
def test_a_parcel_arrives_as_it_was_sent(head, blocks):
    here, there = socket.socketpair()
    with here, there:
        send(here, head, blocks)
        assert receive(there) == (head, blocks)


def test_names_that_are_no_text_and_large_blocks_arrive(ends):
    here, there = ends
    head, block = {"path": "a\udcff\n"}, bytes(5_000_000)
    sender = threading.Thread(target=send, args=(here, head, [block]))
    sender.start()
    assert receive(there, until=time.monotonic() + 60) == (head, [block])
    sender.join()


def test_what_does_not_come_in_time_is_told(ends):
    with pytest.raises(TimeoutError):
        receive(ends[1], until=time.monotonic() + 0.05)


def test_the_end_of_the_other_side_is_told_also_in_the_middle(ends):
    here, there = ends
    here.sendall(struct.pack("<2I", 1, 10) + b"abc")
    here.close()
    with pytest.raises(EOFError):
        receive(there)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (struct.pack("<I", 0), "0 blocks"),
        (struct.pack("<I", 2**31), "blocks"),
        (struct.pack("<2I", 1, 2**32 - 1), "bytes"),
        (struct.pack("<2I", 1, 2) + b"[]", "no JSON object"),
        (struct.pack("<2I", 1, 2) + b"{x", "property name"),
        (struct.pack("<2I", 1, 1) + b"\xff", "decode"),
    ],
)
def test_what_is_no_parcel_is_refused(ends, data, why):
    ends[0].sendall(data)
    with pytest.raises(ValueError, match=why):
        receive(ends[1])

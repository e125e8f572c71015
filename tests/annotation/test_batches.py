"""Pictures are put together by size, and nothing waits for ever."""

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundplane.annotation.batches import Batches
from groundplane.annotation.items import Picture


def make_picture(name, size=(4, 3)):
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    return Picture(path=name, content_hash="", pixels=pixels)


def taken(batches):
    return [picture.path for picture in batches.take()]


@given(
    sizes=st.lists(st.integers(1, 3), max_size=40),
    most=st.integers(1, 7),
    hold=st.integers(1, 20),
)
def test_each_picture_comes_out_once_in_batches_of_one_size(sizes, most, hold):
    batches = Batches(most, hold=hold, patience=0.0)
    for index, side in enumerate(sizes):
        batches.put(make_picture(str(index), (side, side)))
    batches.end()

    out = []
    while batch := batches.take():
        assert len({picture.size for picture in batch}) == 1
        assert len(batch) <= most
        out += [int(picture.path) for picture in batch]

    assert sorted(out) == list(range(len(sizes)))


def test_a_full_batch_goes_before_a_fuller_hold():
    batches = Batches(2, hold=99, patience=60)
    for name, side in (("a", 1), ("b", 2), ("c", 2)):
        batches.put(make_picture(name, (side, side)))

    assert taken(batches) == ["b", "c"]


def test_one_size_keeps_its_order():
    batches = Batches(2, hold=99, patience=60)
    for name in "abcde":
        batches.put(make_picture(name))
    batches.end()

    assert [taken(batches) for _ in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]


def test_a_crowd_of_sizes_goes_out_without_waiting():
    batches = Batches(4, hold=3, patience=60)
    for side in range(1, 4):
        batches.put(make_picture(str(side), (side, 1)))

    assert len(taken(batches)) == 1


def test_whoever_waits_long_gets_what_there_is():
    batches = Batches(4, hold=99, patience=0.05)
    batches.put(make_picture("a"))
    begun = time.monotonic()

    assert taken(batches) == ["a"]
    assert time.monotonic() - begun >= 0.04


def test_a_picture_wakes_whoever_waits():
    batches = Batches(1, hold=9, patience=60)
    threading.Timer(0.05, lambda: batches.put(make_picture("a"))).start()

    assert taken(batches) == ["a"]


def test_of_large_pictures_fewer_go_together():
    class Large(Picture):
        size = (40_000, 1_000)

    large = [Large(path=str(i), content_hash="", pixels=make_picture("").pixels) for i in range(3)]
    batches = Batches(16, hold=99, patience=60)
    for picture in large:
        batches.put(picture)

    assert taken(batches) == ["0"]


def test_a_lower_limit_holds_from_now_on():
    batches = Batches(4, hold=99, patience=60)
    for index in range(4):
        batches.put(make_picture(str(index)))
    batches.limit(2)
    batches.limit(3)  # it never grows again

    assert taken(batches) == ["0", "1"]


def test_cleared_pictures_are_handed_back_and_do_not_come_out():
    batches = Batches(4, hold=99, patience=60)
    batches.put(make_picture("a"))
    batches.end()

    assert [picture.path for picture in batches.clear()] == ["a"]
    assert taken(batches) == []

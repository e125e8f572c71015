"""Items go to shards by their paths alone, and come back from the listings as they were."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.annotation.items import Item
from groundplane.annotation.ray import shards
from groundplane.annotation.ray.shards import ShardListing, count_try, shard_of, write_shards
from groundplane.core.errors import InputError, OutputError

ITEMS = [
    Item(path="a.jpg", where={"file": "/x/a.jpg"}, stamp=(7, 9)),
    Item(path="b\nc/\udcff\U0001f408.jpg", where={"file": "/x/b", "at": 512}),
    Item(path="walk.mp4", kind="video", frame_step=3, frames_done=b"\x07\x80"),
    Item(path="gone", kind="fault", where={"message": "no"}),
]


def read(folder, num_shards):
    found = []
    for shard in range(num_shards):
        if (folder / f"{shard:05d}.items").exists():
            listing = ShardListing(folder=folder, shard=shard)
            mine = list(listing.items())
            assert listing.count() == len(mine)
            assert {shard_of(item.path, num_shards) for item in mine} == {shard}
            found += mine
    return found


@pytest.mark.parametrize("num_shards", [1, 3, 64])
def test_items_come_back_from_their_shards(tmp_path, num_shards):
    counts = write_shards(ITEMS, tmp_path / "s", num_shards=num_shards)
    assert sum(counts) == len(ITEMS)
    assert sorted(read(tmp_path / "s", num_shards), key=lambda i: i.path) == sorted(
        ITEMS, key=lambda i: i.path
    )


def test_no_items_give_no_listing(tmp_path):
    assert write_shards([], tmp_path, num_shards=2) == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_listings_of_an_earlier_call_are_replaced(tmp_path):
    write_shards(ITEMS, tmp_path, num_shards=4)
    (tmp_path / "00009.items.part").write_bytes(b"torn")
    write_shards(ITEMS[:1], tmp_path, num_shards=2)
    assert read(tmp_path, 2) == ITEMS[:1]
    assert len(list(tmp_path.iterdir())) == 1


def test_tries_are_counted_until_the_lists_are_written_anew(tmp_path):
    write_shards(ITEMS, tmp_path, num_shards=1)
    assert [count_try(tmp_path, 0) for _ in range(3)] == [1, 2, 3]
    write_shards(ITEMS, tmp_path, num_shards=1)
    assert count_try(tmp_path, 0) == 1
    with pytest.raises(OutputError, match=r"00000.tries"):
        count_try(tmp_path / "none", 0)


def test_items_beyond_what_memory_holds_are_all_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_HELD", 500)
    items = [Item(path=f"{i}.jpg") for i in range(200)]
    write_shards(iter(items), tmp_path, num_shards=3)
    assert Counter(i.path for i in read(tmp_path, 3)) == Counter(i.path for i in items)


def test_shards_are_about_even():
    counts = Counter(shard_of(f"photos/{i}.jpg", 8) for i in range(8000))
    assert all(900 < count < 1100 for count in counts.values())


@given(st.text(st.characters(), max_size=30), st.integers(1, 1000))
def test_shard_of_any_name_is_one_of_them(path, num_shards):
    assert 0 <= shard_of(path, num_shards) < num_shards


def test_item_that_a_program_holds_is_refused(tmp_path):
    held = replace(ITEMS[0], held=np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(InputError, match="other machines do not have"):
        write_shards([held], tmp_path, num_shards=2)


def test_no_shards_and_a_folder_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected 1 or more"):
        write_shards(ITEMS, tmp_path, num_shards=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="listings cannot be written"):
        write_shards(ITEMS, tmp_path / "file", num_shards=2)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"path": "a"}', b"\xff", b"[" * 10**5])
def test_malformed_listing_is_refused(tmp_path, line):
    (tmp_path / "00000.items").write_bytes(line)
    with pytest.raises(InputError, match=r"00000.items: line 1 is no item"):
        list(ShardListing(folder=tmp_path, shard=0).items())


def test_listing_that_is_gone_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        ShardListing(folder=tmp_path, shard=0).count()

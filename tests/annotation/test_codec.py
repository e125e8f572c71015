"""Records as bytes: nothing lost, nothing believed."""

import os
import random
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import done, failed, frame_of, regions

from groundplane.annotation.codec import decode_record, encode_record, read_head
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import InputError
from groundplane.core.masks import RleMask
from groundplane.testing.annotations import random_records
from groundplane.testing.exporters import record_differences

SETS = int(os.environ.get("GROUNDPLANE_CASES", "25"))
FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "1500"))
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # half surrogate pairs too


def assert_returns(record, stamp=(1, 2)):
    back, stamped = decode_record(encode_record(record, stamp))
    assert record_differences(record, back) == []
    assert stamped == stamp
    assert back.regions.boxes.dtype == np.float64
    assert back.regions.kept.dtype == np.bool_


@pytest.mark.parametrize("seed", range(SETS))
def test_generated_records_return_without_a_difference(seed):
    for record in random_records(seed):
        assert_returns(record)


def test_a_difference_would_be_seen():
    back, _ = decode_record(encode_record(done("a.jpg", version=2)))
    assert record_differences(done("a.jpg"), back) != []


@given(path=TEXT, note=TEXT, video=TEXT, index=st.integers(0, 2**60))
def test_any_text_returns_even_half_a_surrogate_pair(path, note, video, index):
    record = frame_of(video, index)
    record = AnnotationRecord(
        path=path, content_hash="x", status="done", size=(1, 1), note=note, frame=record.frame,
        outcomes=(note,),
    )  # fmt: skip
    assert_returns(record)
    head = read_head(encode_record(record, None))
    own = path == f"{video}#{index}"
    assert (head.path, head.frame, head.stamp) == (path, (video, index) if own else None, None)
    assert read_head(encode_record(frame_of(video, index))).frame == (video, index)


@given(
    numbers=st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=5, max_size=5
    )
)
def test_numbers_that_are_not_rounded_return_bit_for_bit(numbers):
    assert_returns(done("a", rows=[(tuple(numbers[:4]), numbers[4], 0, 0, False)]))


def test_rounded_numbers_are_small():
    rows = [((1.25, 2.5, 3.75, 4.01), 0.1234, 0, 0, True)] * 1
    data = encode_record(done("a.jpg", rows=rows), None)
    assert b"[125,250,375,401]" in data
    assert b"[1234]" in data


def test_large_records_are_compressed_and_return():
    rows = [((i, i, i + 1.5, i + 2), 0.5, 0, 0, True) for i in range(3000)]
    record = done("crowd.jpg", rows=rows)
    assert len(encode_record(record, None)) < 3000 * 12
    assert_returns(record)


def test_masks_of_another_size_than_the_picture_return():
    one = ((0, 0, 2, 2), 0.5, 0, 0, True)
    masks = (RleMask(size=(480, 640), counts=b"13"), None, RleMask(size=(2, 2), counts=b"\xff"))
    record = done("a", rows=[one] * 3)
    for at in range(3):
        held = regions([one] * 3, masks=masks[at:] + masks[:at])
        assert_returns(
            AnnotationRecord(
                path="a", content_hash="", status="done", size=record.size, regions=held
            )
        )


WRONG = {"NaN": float("nan"), "infinite": float("inf"), "float32": np.float32(1), "none": None,
         "5,000 digits": 10**5000, "list": [1]}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_a_log_cannot_hold_is_refused_by_the_pictures_name(wrong, unchecked):
    one = regions([((0, 0, 2, 2), 0.5, 0, 0, True)], attributes=({"depth": wrong},))
    record = AnnotationRecord(
        path="bad.jpg", content_hash="", status="done", size=(4, 4), regions=one
    )
    with pytest.raises(InputError, match=r"bad\.jpg"):
        encode_record(record)


def test_a_box_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match=r"bad\.jpg"):
        encode_record(done("bad.jpg", rows=[((0, 0, np.nan, 2), 0.5, 0, 0, True)]))


def mutated(data, chance):
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        what, at = chance.randrange(4), chance.randrange(len(data))
        if what == 0:
            data[at] = chance.randrange(256)
        elif what == 1:
            del data[at : at + chance.randint(1, 9)]
        elif what == 2:
            data[at:at] = chance.choice(
                [b"null", b"-1", b"[", b"{}", b"1e999", b'"', b"NaN", b"true", b"9" * 30, b"[[[["]
            )
        else:
            data[at:at] = data[: chance.randint(1, 40)]
        data = data or bytearray(b"x")
    return bytes(data)


def test_hostile_bytes_are_refused_and_nothing_else_is_raised():
    chance = random.Random(7)
    seeds = [encode_record(record, (1, 2)) for s in range(12) for record in random_records(s)]
    seeds += [encode_record(failed("x")), b'["r",' + b"[" * 9000, b'["r","a","",0,null,null]\n[]']
    refused = 0
    for _ in range(FUZZ):
        try:
            record, _ = decode_record(mutated(chance.choice(seeds), chance))
        except InputError:
            refused += 1
        else:
            assert isinstance(record, AnnotationRecord)
    assert refused > FUZZ / 2


def test_a_bomb_is_refused_before_it_is_unpacked():
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    with pytest.raises(InputError, match="do not end"):
        decode_record(b'["r","a","",0,null,null]\n' + body)

"""The log: what was synced is there, what is torn is cut, what is damaged is passed over."""

import errno
import math
import os
import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation import framing
from groundplane.annotation.framing import (
    HEADER_SIZE,
    LogScan,
    make_frame,
    make_header,
    read_frame,
    scan_log,
)
from groundplane.annotation.log import Pace, RecordLog, Recovery
from groundplane.core.errors import InputError, OutputError
from groundplane.testing.disks import FaultyDisk

KEY = bytes(range(16))
NEVER = Pace(records=10**9, seconds=math.inf)


def new_log(folder, payloads=(), name="records.log"):
    path = folder / name
    RecordLog.create(path, key=KEY)
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        for payload in payloads:
            log.append(payload)
    return path


def payloads_of(path, **terms):
    return [payload for _, payload in scan_log(path, **terms)]


def plain_scan(data, key):
    """Every place at which a sound frame begins and that no earlier one covers."""
    found, at = [], HEADER_SIZE
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        payload = data[at + 16 : at + 16 + length]
        if len(payload) == length and data[at : at + 16 + length] == make_frame(
            payload, at, key=key
        ):
            found.append(payload)
            at += 16 + length
        else:
            at += 1
    return found


def test_what_is_appended_is_read_in_order(tmp_path):
    given_payloads = [b"", b"a", b"\n" * 5, os.urandom(3_000_000), b"end"]
    assert payloads_of(new_log(tmp_path, given_payloads)) == given_payloads


def test_an_empty_log_holds_nothing(tmp_path):
    assert payloads_of(new_log(tmp_path)) == []


def test_a_frame_is_read_by_its_place(tmp_path):
    path = new_log(tmp_path, [b"a", b"b" * 10_000])
    with path.open("rb") as file:
        for offset, payload in scan_log(path):
            assert read_frame(file.fileno(), offset, key=KEY) == payload
        with pytest.raises(InputError, match="no sound record"):
            read_frame(file.fileno(), HEADER_SIZE + 1, key=KEY)


@settings(max_examples=60)
@given(data=st.data(), sizes=st.lists(st.integers(0, 60), max_size=12))
def test_damage_anywhere_costs_no_record_but_those_it_hits(tmp_path_factory, data, sizes):
    payloads = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    path = new_log(tmp_path_factory.mktemp("log"), payloads)
    held = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(held) - HEADER_SIZE, 1))) + HEADER_SIZE
        held[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    path.write_bytes(held)
    scanned = payloads_of(path, key=KEY)
    assert scanned == plain_scan(bytes(held), KEY)
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        assert log.recovery.num_records == len(scanned)
        log.append(b"after")
    assert payloads_of(path, key=KEY) == [*scanned, b"after"]


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_end_is_cut_and_told(tmp_path, cut):
    path = new_log(tmp_path, [b"first", b"x" * 24])
    whole = path.stat().st_size
    os.truncate(path, whole - cut)
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        assert log.recovery.num_records == 1
        assert log.recovery.torn == 40 - cut
        assert log.recovery.damage == ()
    assert payloads_of(path) == [b"first"]


def test_damage_in_the_middle_is_told_and_stays(tmp_path):
    path = new_log(tmp_path, [b"first", b"second", b"third"])
    held = bytearray(path.read_bytes())
    held[HEADER_SIZE + 16 + 5 + 16] ^= 1
    path.write_bytes(held)
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        (damage,) = log.recovery.damage
        assert damage.stop - damage.start == 16 + len(b"second")
        assert log.recovery.torn == 0
    assert payloads_of(path) == [b"first", b"third"]
    assert path.read_bytes() == held


def test_a_frame_within_a_payload_or_of_another_log_is_no_record(tmp_path):
    inner = make_frame(b"inner", 7, key=KEY)
    other = make_frame(b"other", HEADER_SIZE, key=bytes(16))
    path = new_log(tmp_path, [b"first", inner * 3])
    held = bytearray(path.read_bytes())
    held[-len(inner) * 3 - 1] ^= 1  # the outer frame is damaged, what it holds is not
    path.write_bytes(held + other)
    assert payloads_of(path) == [b"first"]


def test_frames_across_the_edge_of_a_piece_are_found(tmp_path, monkeypatch):
    path = new_log(tmp_path, [bytes([i]) * i for i in range(100)])
    held = bytearray(path.read_bytes())
    held[HEADER_SIZE + 3] ^= 255
    path.write_bytes(held)
    for size in (16, 17, 33, 100):
        monkeypatch.setattr(framing, "_CHUNK", size)
        assert payloads_of(path) == [bytes([i]) * i for i in range(1, 100)]


def test_a_log_made_to_waste_time_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(framing, "_VAIN", 2**20)
    bad = bytearray(make_frame(bytes(60_000), HEADER_SIZE, key=KEY))
    bad[20] ^= 1
    path = tmp_path / "log"
    path.write_bytes(make_header(KEY) + bytes(bad[:16]) * 4000)
    with pytest.raises(InputError, match="no accident"):
        payloads_of(path)


def test_a_length_beyond_the_limit_is_no_frame_and_no_memory(tmp_path):
    path = new_log(tmp_path, [b"first"])
    with path.open("ab") as file:
        file.write(b"\xf5\xc7\xae\xf9" + b"\xff" * 12)
    assert payloads_of(path) == [b"first"]
    with pytest.raises(InputError, match="at most"):
        make_frame(bytes(2**26 + 1), 0, key=KEY)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"PK\x03\x04 something else", "no log"),
        (b"", "header is damaged"),
        (make_header(KEY)[:20], "header is damaged"),
        (b"GPLOG\r\n\x1a" + bytes(32), "header is damaged"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, held, said):
    path = tmp_path / "log"
    path.write_bytes(held)
    with pytest.raises(InputError, match=said):
        payloads_of(path)
    with pytest.raises(InputError, match="cannot be read"):
        payloads_of(tmp_path / "nowhere")


def test_a_newer_log_and_that_of_another_run_are_refused(tmp_path, monkeypatch):
    path = new_log(tmp_path, [b"a"])
    with pytest.raises(InputError, match="another run"):
        RecordLog(path, key=bytes(16))
    monkeypatch.setattr(framing, "FORMAT", 2)
    newer = new_log(tmp_path, name="newer.log")
    monkeypatch.undo()
    with pytest.raises(InputError, match="newer groundplane"):
        payloads_of(newer)
    with pytest.raises(InputError, match="newer groundplane"):
        RecordLog(newer, key=KEY)


def test_a_damaged_header_loses_nothing_where_the_key_is_known(tmp_path):
    path = new_log(tmp_path, [b"a", b"b"])
    held = bytearray(path.read_bytes())
    held[14] ^= 1
    path.write_bytes(held)
    assert payloads_of(path, key=KEY) == [b"a", b"b"]
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        assert log.recovery.num_records == 2


@pytest.mark.parametrize("size", [0, 1, 7, 20, 35])
def test_a_log_that_was_cut_within_its_header_takes_records_again(tmp_path, size):
    path = new_log(tmp_path, [b"a"])
    os.truncate(path, size)
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        assert log.recovery.num_records == 0
        log.append(b"b")
        log.append(b"c")
    assert payloads_of(path) == payloads_of(path, key=KEY) == [b"b", b"c"]
    with RecordLog(path, key=KEY, pace=NEVER) as log:
        assert log.recovery == Recovery(num_records=2, torn=0)


def test_making_a_log_keeps_one_that_is_there_and_refuses_anothers(tmp_path):
    path = new_log(tmp_path, [b"a"])
    RecordLog.create(path, key=KEY)
    assert payloads_of(path) == [b"a"]
    with pytest.raises(InputError, match="manifest is gone"):
        RecordLog.create(path, key=bytes(16))
    empty = new_log(tmp_path, name="empty.log")
    RecordLog.create(empty, key=bytes(16))
    assert payloads_of(empty, key=bytes(16)) == []


def test_a_link_is_not_followed(tmp_path):
    target = new_log(tmp_path, [b"a"])
    link = tmp_path / "link.log"
    link.symlink_to(target)
    with pytest.raises(OutputError, match="cannot be opened"):
        RecordLog(link, key=KEY)


def test_records_are_brought_to_the_disk_in_groups(tmp_path):
    path = new_log(tmp_path)
    disk = FaultyDisk(kinds=frozenset({"sync"}))
    with RecordLog(path, key=KEY, pace=Pace(records=4, seconds=math.inf), disk=disk) as log:
        opened = disk.calls
        for i in range(11):
            log.append(b"x")
            assert log.num_safe == (i + 1) // 4 * 4
        assert disk.calls - opened == 2
    assert disk.calls - opened == 3


def test_a_single_record_is_brought_to_the_disk_after_a_while(tmp_path):
    path = new_log(tmp_path)
    with RecordLog(path, key=KEY, pace=Pace(records=1000, seconds=0.05)) as log:
        log.append(b"x")
        until = time.monotonic() + 5
        while not log.num_safe and time.monotonic() < until:
            time.sleep(0.01)
        assert log.num_safe == 1


def test_many_threads_write_whole_records(tmp_path):
    path = new_log(tmp_path)
    with RecordLog(path, key=KEY) as log:
        threads = [
            threading.Thread(target=lambda i=i: [log.append(b"%d" % i * 50) for _ in range(100)])
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(payloads_of(path)) == sorted([b"%d" % i * 50 for i in range(4)] * 100)


def test_a_closed_log_takes_nothing_and_closes_twice(tmp_path):
    log = RecordLog(new_log(tmp_path), key=KEY)
    log.close()
    log.close()
    with pytest.raises(OutputError, match="is closed"):
        log.append(b"x")


def test_a_full_disk_leaves_whole_records_and_says_how_to_go_on(tmp_path):
    path = new_log(tmp_path)
    disk = FaultyDisk(at=3, error=errno.ENOSPC, kinds=frozenset({"write"}))
    with RecordLog(path, key=KEY, pace=NEVER, disk=disk) as log:
        log.append(b"one")
        log.append(b"two")
        with pytest.raises(OutputError, match="No space left on device; 2 records are safe"):
            log.append(b"three" * 100)
        with pytest.raises(OutputError, match="run the same command again"):
            log.append(b"four")
        with pytest.raises(OutputError):
            log.sync()
    assert payloads_of(path) == [b"one", b"two"]
    assert path.stat().st_size == HEADER_SIZE + 2 * 19


def test_after_a_failed_sync_nothing_that_may_be_lost_is_believed(tmp_path):
    path = new_log(tmp_path)
    disk = FaultyDisk(at=3, error=errno.EIO, kinds=frozenset({"sync"}))
    with RecordLog(path, key=KEY, pace=NEVER, disk=disk) as log:
        log.append(b"one")
        log.sync()
        log.append(b"two")
        with pytest.raises(OutputError, match=r"did not take the last 1 records.*1 before"):
            log.sync()
        calls = disk.calls
        with pytest.raises(OutputError, match="did not take"):
            log.sync()
        assert disk.calls == calls  # it is not asked again
    assert payloads_of(path) == [b"one"]


def test_a_sync_that_fails_in_the_background_is_told_by_the_next_call(tmp_path):
    path = new_log(tmp_path)
    disk = FaultyDisk(at=2, error=errno.EIO, kinds=frozenset({"sync"}))
    with RecordLog(path, key=KEY, pace=Pace(records=99, seconds=0.01), disk=disk) as log:
        log.append(b"one")
        until = time.monotonic() + 5
        while not disk.has_failed and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(OutputError, match="did not take"):
            log.append(b"two")
    assert payloads_of(path) == []


@pytest.mark.parametrize("part", [0, 5, 10**6])
def test_an_append_that_is_interrupted_harms_no_later_one(tmp_path, part):
    class Interrupted(FaultyDisk):
        def write(self, file, data):
            taken = super().write(file, data[:part] if b"second" in data else data)
            if b"second" in data:
                raise KeyboardInterrupt
            return taken

    path = new_log(tmp_path)
    with RecordLog(path, key=KEY, disk=Interrupted()) as log:
        log.append(b"first")
        with pytest.raises(KeyboardInterrupt):
            log.append(b"second")
        log.append(b"third")
        log.append(b"fourth")
    assert payloads_of(path) == [b"first", b"third", b"fourth"]


def test_the_always_full_device_is_refused(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")

    class Full(FaultyDisk):
        def write(self, file, data):
            with open("/dev/full", "wb", buffering=0) as device:
                return device.write(data)

    path = new_log(tmp_path)
    with RecordLog(path, key=KEY, disk=Full()) as log, pytest.raises(OutputError, match="space"):
        log.append(b"one")


def test_a_scan_holds_one_piece_at_a_time(tmp_path):
    path = new_log(tmp_path, [bytes(1000)] * 5000)
    with path.open("rb") as file:
        scan = LogScan(file.fileno(), key=KEY)
        assert sum(1 for _ in scan) == 5000
        assert len(scan._piece) <= 2**20
        assert (scan.num_records, scan.end, scan.damage) == (5000, path.stat().st_size, [])


def test_random_bytes_are_scanned_to_the_end(tmp_path):
    chance = random.Random(3)
    for size in (1, 15, 16, 17, 3000, 100_000):
        path = tmp_path / f"{size}"
        path.write_bytes(make_header(KEY) + chance.randbytes(size))
        assert payloads_of(path) == []

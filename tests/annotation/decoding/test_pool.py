"""Decoding in processes: the same pictures and refusals as in this one, and no way to harm it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from decoding import collect, file_item, outcomes, used_memory
from mutants import mutant_of, seed_files
from pictures import encode_picture, make_chunk, make_png
from PIL import Image as PILImage

from groundplane.annotation.decoding import DecodePool, foreman, map_slot, process
from groundplane.annotation.decoding.slots import KEPT
from groundplane.annotation.items import Item, Picture, Unread
from groundplane.core.errors import InputError, MediaError, WorkerError
from groundplane.core.media import MediaLimits, read_image

_DIED = "the process that decoded it"


@pytest.fixture(scope="module")
def pool():
    with DecodePool(2, slots=8) as pool:
        yield pool


def _expect(source, **options):
    """What this process makes of a picture: the image, or the refusal."""
    try:
        return read_image(source, **options)
    except MediaError as error:
        return str(error)


def _check(got, path):
    [result] = got
    expected = _expect(path)
    if isinstance(expected, str):
        assert isinstance(result, Unread)
        assert result.failure.message == expected
        return
    picture, pixels = result
    assert np.array_equal(pixels, expected.pixels)
    assert picture.content_hash == expected.source.content_hash
    assert picture.to_stored == tuple(expected.frame_map.matrix.ravel())
    assert picture.path == path.name


# The same as in this process -------------------------------------------------------------------


def test_awkward_files_come_out_as_in_this_process(pool, data_dir):
    folder = data_dir / "awkward"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    paths = {row["file"]: folder / row["file"] for row in rows}
    assert len(paths) == 63
    got = outcomes(pool, [file_item(path, name=name) for name, path in paths.items()])
    assert set(got) == set(paths)
    for name, path in paths.items():
        [result] = got[name]
        expected = _expect(path)
        if isinstance(expected, str):
            assert result.failure.message.partition(": ")[2] == expected.partition(": ")[2]
            assert result.failure.stage == "decode"
            assert result.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            picture, pixels = result
            assert np.array_equal(pixels, expected.pixels)
            assert picture.content_hash == expected.source.content_hash
            assert picture.to_stored == tuple(expected.frame_map.matrix.ravel())


def test_a_wrong_pixel_would_be_seen(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(make_png((2, 2), raw=bytes(14)))
    image = read_image(path)
    wrong = image.pixels.copy()
    wrong[0, 0, 0] ^= 1
    picture = Picture(path="a.png", content_hash=image.source.content_hash, pixels=wrong)
    with pytest.raises(AssertionError):
        _check([(picture, wrong)], path)


def test_bytes_and_pixels_that_are_handed_over_come_out_the_same(pool):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    data = encode_picture(PILImage.fromarray(pixels), "PNG")
    got = outcomes(pool, [Item(path="bytes", held=data), Item(path="pixels", held=pixels)])
    for name, source in (("bytes", data), ("pixels", pixels)):
        [(picture, shown)] = got[name]
        assert np.array_equal(shown, pixels)
        assert picture.content_hash == read_image(source, name="x").source.content_hash
        assert picture.slot >= 0
    assert len(outcomes(pool, [Item(path=str(n), held=data) for n in range(40)])) == 40


def test_what_is_handed_over_and_is_no_picture_is_unread(pool):
    wrong = {
        "empty": (b"", "the file is empty"),
        "words": (b"only a few words here", "not a picture"),
        "floats": (np.zeros((4, 4, 3)), "float64"),
        "flat": (np.zeros((0, 4, 3), dtype=np.uint8), "no pixels"),
        "deep": (np.zeros((4, 4, 7), dtype=np.uint8), "(4, 4, 7)"),
        "long": (np.zeros((1, 400), dtype=np.uint8), "longer than 200"),
    }
    got = outcomes(pool, [Item(path=name, held=held) for name, (held, _) in wrong.items()])
    for name, (_, message) in wrong.items():
        [unread] = got[name]
        assert message in unread.failure.message
        assert repr(name) in unread.failure.message


def test_a_fault_of_listing_comes_out_as_it_is(pool):
    item = Item(path="sub", kind="fault", where={"message": "it cannot be listed"})
    [unread] = outcomes(pool, [item])["sub"]
    assert (unread.failure.stage, unread.failure.message) == ("read", "it cannot be listed")


# Anything that has a name ----------------------------------------------------------------------


def test_whatever_is_called_a_picture_has_one_outcome(pool, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    expected = {
        "pipe.jpg": ("read", "not a regular file"),
        "folder.jpg": ("read", "it is a folder"),
        "empty.jpg": ("decode", "the file is empty"),
        "nowhere.jpg": ("read", "no such file"),
        "circle.jpg": ("read", "symbolic links"),
        "device.jpg": ("read", "not a regular file"),
        "missing.jpg": ("read", "no such file"),
        "nul\0.jpg": ("read", "malformed"),
        "x" * 4096 + ".jpg": ("read", "too long"),
    }
    items = [Item(path=name, where={"file": f"{tmp_path}/{name}"}) for name in expected]
    got = outcomes(pool, items)
    for name, (stage, message) in expected.items():
        [unread] = got[name]
        assert unread.failure.stage == stage, name
        assert message in unread.failure.message
        assert len(unread.failure.message) < 400
        assert str(tmp_path) not in unread.failure.message
        assert unread.failure.message.isprintable()


@pytest.mark.parametrize(
    "name", ["a\nb.png", "\udce9.png", "\u202egnp.png", "猫🐈.png", " .png", "%s.png", "é́.png"]
)
def test_names_are_data(pool, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(make_png((2, 2), raw=bytes(14)))
    [(picture, _)] = outcomes(pool, [file_item(path)])[name]
    assert picture.path == name


def test_a_file_that_has_changed_or_vanished_since_it_was_listed_is_unread(pool, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(make_png((2, 2), raw=bytes(14)))
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns)
    [(picture, _)] = outcomes(pool, [file_item(path, stamp=stamp)])["a.png"]
    assert picture.stamp == stamp
    os.utime(path, ns=(1, 1))
    [unread] = outcomes(pool, [file_item(path, stamp=stamp)])["a.png"]
    assert unread.failure.message.endswith("it has changed since it was listed")
    assert unread.stamp == stamp
    path.unlink()
    [unread] = outcomes(pool, [file_item(path, stamp=stamp)])["a.png"]
    assert unread.failure.message.endswith("there is no such file")


# Bombs and mutants -----------------------------------------------------------------------------


def _bombs():
    rgb = PILImage.effect_noise((64, 64), 50).convert("RGB")
    frames = {"save_all": True, "append_images": [rgb.rotate(n) for n in range(1, 60)]}
    swelling = b"key\0\0" + zlib_of(2**24)
    return {
        "wide.png": make_png((9400, 9400), depth=1, raw=bytes(9400 * 1176)),
        "wider.png": make_png((60000, 60000)),
        "thin.png": make_png((1, 100000)),
        "text.png": make_png((2, 2), raw=bytes(14), extra=make_chunk(b"zTXt", swelling)),
        "icc.png": make_png((2, 2), raw=bytes(14), extra=make_chunk(b"iCCP", b"x\0\0" + swelling)),
        "cut.png": make_png((6000, 6000), raw=bytes(1000)),
        "circle.tif": _circular_tiff(),
        "frames.gif": encode_picture(rgb, "GIF", **frames),
        "frames.png": encode_picture(rgb, "PNG", **frames),
    }


def zlib_of(size):
    return zlib.compress(bytes(size), 9)


def _circular_tiff():
    """Grey pixels, 2 by 2; the directory after the first is the first."""
    tags = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 12) + bytes([1, 2, 3, 4])
    return head + struct.pack("<H", len(tags)) + rows + struct.pack("<I", 12)


def test_bombs_come_out_as_in_this_process_and_leave_no_memory_behind(pool):
    bombs = _bombs()
    before = used_memory(pool)
    begun = time.monotonic()
    got = outcomes(pool, [Item(path=name, held=data) for name, data in bombs.items()])
    assert time.monotonic() - begun < 20
    for name, data in bombs.items():
        expected = _expect(data, name=name)
        if isinstance(expected, str):
            assert got[name][0].failure.message == expected
        else:
            assert np.array_equal(got[name][0][1], expected.pixels)
    assert used_memory(pool) <= max(before, len(pool.slot_fds()) * KEPT)


def test_every_mutant_has_one_outcome(capfd):
    """Change small pictures at random: 300 by default, or as many as GROUNDPLANE_FUZZ says."""
    seeds = list(seed_files())
    count = int(os.environ.get("GROUNDPLANE_FUZZ", "300"))
    limits = MediaLimits(max_pixels=1_000_000)
    read = died = 0
    with DecodePool(2, limits, seconds=5, slots=16) as pool:
        for first in range(0, count, 200):
            numbers = range(first, min(first + 200, count))
            data = {n: mutant_of(seeds[n % len(seeds)], random.Random(n)) for n in numbers}
            got = outcomes(pool, [Item(path=str(n), held=data[n]) for n in numbers], seconds=600)
            assert set(got) == {str(n) for n in numbers}
            for number in numbers:
                [result] = got[str(number)]
                read += not isinstance(result, Unread)
                died += isinstance(result, Unread) and _DIED in result.failure.message
                if first == 0:  # a sample is compared with this process
                    _check_mutant(result, data[number], str(number), limits)
    assert count / 20 < read < count
    assert died <= count / 1000
    assert "Traceback" not in capfd.readouterr().err


def _check_mutant(result, data, name, limits):
    expected = _expect(data, name=name, limits=limits)
    if isinstance(expected, str):
        assert result.failure.message == expected
    else:
        assert np.array_equal(result[1], expected.pixels)


# Processes that die or hang --------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU])
def test_a_process_that_is_killed_costs_one_item(tmp_path, number):
    small = make_png((2, 2), raw=bytes(14))
    with DecodePool(1, slots=4) as pool:
        outcomes(pool, [Item(path="first", held=small)])  # it has started
        victim = pool.pids[0]
        os.kill(victim, signal.SIGSTOP)
        for name in ("guilty", "next", "last"):
            pool.submit(Item(path=name, held=small))
        time.sleep(0.05)
        os.kill(victim, number)
        os.kill(victim, signal.SIGCONT)
        got = collect(pool, 3)
        assert "next" in got
        assert len(got["last"][0]) == 2
        failed = [name for name in got if isinstance(got[name][0], Unread)]
        assert failed == ["guilty"]
        failure = got["guilty"][0].failure
        assert signal.Signals(number).name in failure.message
        assert failure.stage == "decode"
        assert pool.pids[0] != victim


def test_a_process_that_hangs_is_ended_in_time_and_costs_one_item(tmp_path):
    small = make_png((2, 2), raw=bytes(14))
    with DecodePool(2, seconds=1.0, slots=8) as pool:
        outcomes(pool, [Item(path=str(n), held=small) for n in range(20)])
        stopped = pool.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        begun = time.monotonic()
        got = outcomes(pool, [Item(path=str(n), held=small) for n in range(20)])
        assert 1.0 <= time.monotonic() - begun < 10
        failures = [got[n][0].failure for n in got if isinstance(got[n][0], Unread)]
        assert [failure.message.partition(": ")[2] for failure in failures] == [
            "it took more than 1 s"
        ]
        assert len(got) == 20
        assert stopped not in pool.pids


def test_a_picture_that_takes_too_long_is_unread():
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    data = encode_picture(PILImage.fromarray(noise), "PNG", compress_level=1)
    with DecodePool(1, seconds=0.01, slots=2) as pool:
        [unread] = outcomes(pool, [Item(path="a", held=data)])["a"]
    assert "took more than 0.01 s" in unread.failure.message


def test_a_process_that_needs_too_much_memory_says_so(tmp_path):
    data = make_png((6000, 6000), raw=bytes(18001 * 6000))
    small = make_png((2, 2), raw=bytes(14))
    with DecodePool(1, memory=400 * 2**20, slots=2) as pool:
        got = outcomes(pool, [Item(path="large", held=data), Item(path="small", held=small)])
    assert "memory" in got["large"][0].failure.message
    assert len(got["small"][0]) == 2


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = (
        "from groundplane.annotation.decoding import DecodePool\n"
        "from groundplane.annotation.items import Item\n"
        "pool = DecodePool(2, slots=2)\n"
        "pool.submit(Item(path='x', where={'file': '/dev/zero'}))\n"
        "pool.next()\n"
        "print(*pool.pids, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    deadline = time.monotonic() + 5
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_that_cannot_start_are_an_error(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with DecodePool(1, slots=1) as pool:
        pool.submit(Item(path="x", where={"file": "/dev/zero"}))
        with pytest.raises(WorkerError, match="before they are ready"):
            pool.next(timeout=30)
        with pytest.raises(WorkerError):
            pool.next()


# Says that it is ready, then answers every item with what an environment variable holds.
_LIAR = """
import json, os, socket, struct
line = socket.socket(fileno=0)
answer = os.environ["ANSWER"].encode()
line.sendall(struct.pack(">I", 16) + b'{"kind":"ready"}')
while line.recv(1 << 20):
    line.sendall(struct.pack(">I", len(answer)) + answer)
"""
_GOOD = {
    "kind": "picture",
    "slot": 0,
    "shape": [1, 1, 3],
    "map": [1] * 6,
    "hash": "",
    "seconds": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "nonsense"}, {"kind": None}, {"kind": "want"}, {"kind": "want", "bytes": -1},
        {"kind": "want", "bytes": 10**18}, {"slot": 1}, {"slot": -1}, {"slot": "0"},
        {"shape": [1, 1]}, {"shape": [-1, -1, 3]}, {"shape": [1000, 100000, 3]},
        {"shape": [1, 1, 4]}, {"shape": "abc"}, {"shape": None}, {"map": [1]}, {"map": ["x"]},
        {"map": [float("nan")] * 6},
        {"seconds": []}, {"frame": [0, 1, 0]}, {"frame": 7}, {"kind": "unread"}, {"kind": "end"},
    ],
    ids=str,
)  # fmt: skip
def test_a_process_that_was_taken_over_cannot_do_harm(change, monkeypatch):
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", _LIAR))
    monkeypatch.setenv("ANSWER", json.dumps(_GOOD | change))
    with DecodePool(1, slots=1) as pool:
        pool.submit(Item(path="a", where={"file": "a"}))
        unread = pool.next(timeout=30)
    assert isinstance(unread, Unread)
    assert "said what makes no sense" in unread.failure.message


def test_what_is_sensible_is_taken_from_any_process(monkeypatch):
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", _LIAR))
    monkeypatch.setenv("ANSWER", json.dumps(_GOOD))
    with DecodePool(1, slots=1) as pool:
        pool.submit(Item(path="a", where={"file": "a"}))
        assert pool.next(timeout=30).size == (1, 1)


def test_no_descriptor_left_is_an_error_that_leaves_nothing_behind(monkeypatch):
    started = []

    def popen(*arguments, **options):
        if len(started) == 1:
            raise OSError(24, "Too many open files")
        started.append(original(*arguments, **options))
        return started[0]

    original = subprocess.Popen
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(WorkerError, match="Too many open files"):
        DecodePool(2, slots=4)
    assert not _lives(started[0].pid)
    assert len(os.listdir("/proc/self/fd")) == before


def test_more_pictures_at_a_time_than_descriptors_is_an_error_that_leaves_nothing_behind():
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        with pytest.raises(WorkerError, match=r"memory for 100 pictures.*Too many open files"):
            DecodePool(1, slots=100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("limit", "most", "cure"),
    [(resource.RLIMIT_FSIZE, 2**20, "ulimit -f"), (resource.RLIMIT_NOFILE, None, "ulimit -n")],
)
def test_limits_of_the_system_are_an_error_that_says_which(limit, most, cure):
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(limit)
    try:
        resource.setrlimit(limit, (before + 5 if most is None else most, hard))
        with pytest.raises(WorkerError, match=f"cannot be memory for 64 .*{cure}"):
            DecodePool(1)
    finally:
        resource.setrlimit(limit, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before


def test_processes_outlive_the_thread_that_made_their_pool():
    made = []
    thread = threading.Thread(target=lambda: made.append(DecodePool(2, slots=2)))
    thread.start()
    thread.join()
    [pool] = made
    with pool:
        before = pool.pids
        time.sleep(0.1)
        assert len(outcomes(pool, [Item(path="x", where={"file": "/dev/zero"})])) == 1
        assert pool.pids == before


def test_a_process_is_confined():
    with DecodePool(1, slots=1) as pool:
        outcomes(pool, [Item(path="x", where={"file": "/dev/zero"})])
        with open(f"/proc/{pool.pids[0]}/limits") as file:
            limits = {line[:26].strip(): line[26:].split()[0] for line in file}
        assert limits["Max file size"] == "0"
        assert limits["Max core file size"] == "0"
        assert limits["Max address space"] == str(2 * 2**30 + KEPT)
        assert int(limits["Max cpu time"]) < 60
        with open(f"/proc/{pool.pids[0]}/maps") as file:
            maps = file.read()
    assert "torch" not in maps
    assert "/scipy/" not in maps


# Memory ----------------------------------------------------------------------------------------


def test_large_pictures_give_their_memory_back_when_they_are_released(tmp_path):
    data = make_png((4000, 3000), raw=bytes(12001 * 3000))
    with DecodePool(1, slots=4) as pool:
        for number in range(4):
            pool.submit(Item(path=str(number), held=data))
        held = []
        while len(held) < 4:
            held.append(pool.next(timeout=30))
        assert used_memory(pool) >= 4 * 36_000_000
        for picture in held:
            assert int(picture.pixels.max()) == 0
            pool.release(picture)
        deadline = time.monotonic() + 5
        while used_memory(pool) > 4 * KEPT:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_large_pictures_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(foreman, "_SPARE", 0)
    # 12 MB each, of which a slot keeps 4; and 24 MB for all.
    data = make_png((2000, 2000), raw=bytes(6001 * 2000))
    with DecodePool(2, MediaLimits(max_pixels=4_000_000), slots=8) as pool:
        for number in range(4):
            pool.submit(Item(path=str(number), held=data))
        held = [pool.next(timeout=30) for _ in range(3)]
        assert all(isinstance(one, Picture) for one in held)
        assert pool.next(timeout=0.5) is None
        assert used_memory(pool) < 3 * 12_000_000 + 8 * KEPT
        pool.release(held.pop())
        assert isinstance(pool.next(timeout=30), Picture)


def test_no_more_pictures_are_decoded_than_there_are_slots():
    data = make_png((2, 2), raw=bytes(14))
    with DecodePool(2, slots=3) as pool:
        for number in range(10):
            pool.submit(Item(path=str(number), held=data))
        held = [pool.next(timeout=10) for _ in range(3)]
        assert len({picture.slot for picture in held}) == 3
        assert pool.next(timeout=0.3) is None
        pool.release(held[0])
        assert pool.next(timeout=10).slot == held[0].slot
        pool.release(held[1])
        pool.release(held[1])  # twice is once
        pool.release(held[2])
        assert len([pool.next(timeout=10) for _ in range(2)]) == 2


def test_another_map_of_a_slot_shows_the_pixels_and_keeps_its_changes():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    with DecodePool(1, slots=2) as pool:
        pool.submit(Item(path="a", held=pixels))
        picture = pool.next(timeout=10)
        other = map_slot(pool.slot_fds()[picture.slot], picture.pixels.shape)
        assert np.array_equal(other, pixels)
        other[:] = 0
        assert np.array_equal(picture.pixels, pixels)


def test_descriptors_threads_and_processes_end_with_the_pool():
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    pool = DecodePool(2, slots=5)
    outcomes(pool, [Item(path="x", where={"file": "/dev/zero"})])
    pids = pool.pids
    pool.close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert not any(_lives(pid) for pid in pids)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"seconds": float("nan")}, {"slots": 0}])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DecodePool(**wrong)

"""Captures spoiled at random: each is read or refused in one line, in bounded time and memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import struct
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from walks import walk

from groundplane.captures.opening import open_capture
from groundplane.core.errors import GroundplaneError
from groundplane.testing.captures import write_capture

CASES = int(os.environ.get("GROUNDPLANE_FUZZ", "60"))
LAYOUTS = ("rgbd", "tum", "scannet", "arkitscenes", "colmap", "nerfstudio", "frames", "video")
NUMBERS = ("nan", "-inf", "1e309", "-1", "0", "9" * 400, "1e-320", "0x10", "1_0", "\u0663", "true")
WORDS = (
    "..",
    "/etc/passwd",
    "\0",
    "a" * 5000,
    "\u6905\u5b50.png",
    "../rgb/0.png",
    "",
    "\ud83d\ude00",
)
SECONDS, MEGABYTES = 10.0, 400.0


def bomb_png():
    """A few bytes that say they are 60,000 by 60,000 pixels."""

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6)))


def bomb_json(rng):
    """JSON that is deep, wide, of long numbers or of keys that repeat."""
    return [
        b'{"frames":' * 50_000,
        b"[" * 200_000,
        b'{"frames": [' + b"{}," * 10_000 + b"{}]}",
        b'{"fps": 1e' + b"9" * 300 + b', "frames": [{"camera_to_world": 1}]}',
        b'{"frames": ' + b"1" * 100_000 + b"}",
        b"{" + b",".join(b'"frames": []' for _ in range(50_000)) + b"}",
    ][rng.integers(6)]


class Spoiler:
    """Spoils one file of a capture, in one of many ways."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def spoil(self, folder):
        """Spoil some file; gives what was done, for the message."""
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
        )
        if not files:
            return "nothing is left"
        # As many pictures as texts: there are more of them.
        texts = [path for path in files if path.suffix in (".txt", ".json", ".traj", ".pincam")]
        chosen = texts if texts and self.rng.random() < 0.6 else files
        path = chosen[self.rng.integers(len(chosen))]
        ways = [self.cut, self.flip, self.garbage, self.vanish, self.bomb, self.odd_file, self.link]
        if path in texts:
            ways += [self.number, self.number, self.word, self.line, self.value, self.value]
        way = ways[self.rng.integers(len(ways))]
        way(path)
        return f"{way.__name__} {path.relative_to(folder)}"

    def cut(self, path):
        data = path.read_bytes()
        path.write_bytes(data[: self.rng.integers(len(data) + 1)])

    def flip(self, path):
        data = bytearray(path.read_bytes())
        for _ in range(self.rng.integers(1, 8)):
            if data:
                data[self.rng.integers(len(data))] = self.rng.integers(256)
        path.write_bytes(data)

    def garbage(self, path):
        path.write_bytes(self.rng.bytes(self.rng.integers(3000)))

    def vanish(self, path):
        path.unlink()

    def bomb(self, path):
        path.write_bytes(bomb_json(self.rng) if path.suffix == ".json" else bomb_png())

    def odd_file(self, path):
        path.unlink()
        kind = self.rng.integers(3)
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            os.mkfifo(path)
        else:
            path.touch(mode=0)

    def link(self, path):
        path.unlink()
        targets = [path, path.parent, "/dev/zero", "/proc/self/mem", path.parent / "none"]
        path.symlink_to(targets[self.rng.integers(len(targets))])

    def number(self, path):
        words = path.read_bytes().decode("utf-8", "replace").split(" ")
        at = [i for i, word in enumerate(words) if any(c.isdigit() for c in word)]
        if at:
            words[self.rng.choice(at)] = str(self.rng.choice(NUMBERS))
        path.write_text(" ".join(words), encoding="utf-8", errors="replace")

    def word(self, path):
        words = path.read_bytes().decode("utf-8", "replace").split(" ")
        words[self.rng.integers(len(words))] = WORDS[self.rng.integers(len(WORDS))]
        path.write_text(" ".join(words), encoding="utf-8", errors="replace")

    def line(self, path):
        lines = path.read_bytes().splitlines(keepends=True)
        if lines:
            at = self.rng.integers(len(lines))
            lines[at : at + self.rng.integers(2)] = [lines[at]] * self.rng.integers(4)
        path.write_bytes(b"".join(lines))

    def value(self, path):
        if path.suffix != ".json":
            return self.line(path)
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return None
        place = self.place_in(document)
        strange = [None, True, [], {}, "", "x", -1, 0, 1e308, 10**30, [[1]], {"a": 1}, float("nan")]
        if place is not None:
            place[0][place[1]] = strange[self.rng.integers(len(strange))]
        path.write_text(json.dumps(document))
        return None

    def place_in(self, document):
        """Some value of a document: what holds it, and where."""
        holder, key = None, None
        inner = document
        while (
            isinstance(inner, dict | list) and inner and (holder is None or self.rng.random() < 0.8)
        ):
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            holder, key = inner, keys[self.rng.integers(len(keys))]
            inner = holder[key]
        return None if holder is None else (holder, key)


@contextmanager
def within_seconds(seconds):
    """What takes longer is stopped, also where it waits for a file."""

    def late(*_):
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(folder, layout):
    """The message of a capture that is refused; none where it is read."""
    source = folder / "walk.mp4" if layout == "video" else folder
    try:
        with within_seconds(SECONDS):
            capture = open_capture(source, layout=layout)
            for glance in capture.glances():
                glance.read()
    except GroundplaneError as error:
        return str(error)
    return ""


def peak():
    """Megabytes that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    top = tmp_path_factory.mktemp("captures")
    for layout in LAYOUTS:
        write_capture(top / layout, walk(3, size=(24, 18)), layout=layout)
    return top


def test_spoiled_captures_are_read_or_refused(captures, tmp_path):
    for layout in LAYOUTS:
        assert outcome(captures / layout, layout) == ""
    before, refused = peak(), 0
    for seed in range(CASES):
        layout, spoiler = LAYOUTS[seed % len(LAYOUTS)], Spoiler(seed)
        folder = tmp_path / str(seed)
        shutil.copytree(captures / layout, folder)
        done = [spoiler.spoil(folder) for _ in range(1 + int(spoiler.rng.random() < 0.3))]
        told = outcome(folder, layout)
        refused += bool(told)
        assert len(told.splitlines()) <= 1, (seed, done, told)
        assert len(told) < 1000, (seed, done, told)
        assert str(tmp_path) not in told, (seed, done, told)
        shutil.rmtree(folder)
    assert peak() - before < MEGABYTES
    assert 0.3 * CASES < refused < CASES


def test_what_waits_for_ever_is_stopped(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AssertionError, match="took more"), within_seconds(0.05):
        (tmp_path / "pipe").read_bytes()

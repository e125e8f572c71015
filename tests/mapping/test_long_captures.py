"""Long captures: memory that stays, frames that are not read, and going on in the middle."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from groundplane.core.camera import Camera
from groundplane.core.errors import MediaError
from groundplane.mapping import MapTerms
from groundplane.mapping.building import make_mapper
from groundplane.mapping.events import MapSummary
from groundplane.mapping.state import FoundLog
from groundplane.spatial.mapping.keyframes import KeyframeOptions
from groundplane.testing.captures import write_capture
from groundplane.testing.rooms.oracle import OracleDetector

SOAK = int(os.environ.get("GROUNDPLANE_SOAK", "100"))
EVERY = MapTerms(keyframes=KeyframeOptions(least_move=0.0, least_turn=0.0, blur=0.0))
# A frame is 0.13 MB: in the long form one in twenty that were kept would show.
SLACK = 6.0


class Counting:
    """An oracle that counts the pictures it is shown."""

    def __init__(self, mapped):
        self._oracle, self.looked = OracleDetector(mapped.replay), 0
        self.capabilities, self.vocabulary = self._oracle.capabilities, self._oracle.vocabulary

    def detect(self, requests):
        self.looked += len(requests)
        return self._oracle.detect(requests)


def forth_and_back(frames, number):
    """So many frames, each made when it is asked for, its camera moved by a hair."""
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    for index in range(number):
        frame = frames[order[index % len(order)]]
        pose = frame.camera.T_world_cam.copy()
        pose[:3, 3] += 1e-3 * np.sin([index, 2 * index, 3 * index])
        yield replace(
            frame,
            index=index,
            time=index / 30,
            depth=frame.depth.clone(),
            camera=Camera(K=frame.camera.K, T_world_cam=pose),
        )


def resident():
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def walked(mapper):
    """The summary of a map that is built, and the memory after each tenth frame."""
    memory = []
    for event in mapper.words():
        if isinstance(event, MapSummary):
            return event, memory
        if event.frame % 10 == 0:
            memory.append(resident())
    raise AssertionError("a map without a summary")


def growth(memory):
    """Megabytes from the second third to the last."""
    third = len(memory) // 3
    return float(np.median(memory[-third:]) - np.median(memory[third : 2 * third]))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_over_a_long_walk_that_is_taken_up_again(mapped, tmp_path):
    job, path, cut = {"source": "walk"}, tmp_path / "state", SOAK // 2
    looked = []
    for number in (cut, SOAK):
        detector = Counting(mapped)
        frames = islice(forth_and_back(mapped.frames, SOAK), number)
        with FoundLog(path, job=job) as log:
            mapper = make_mapper(frames, mapped.labels, detector=detector, terms=EVERY, log=log)
            summary, memory = walked(mapper)
        looked.append(detector.looked)

    assert summary.keyframes == SOAK
    # Where the walk turns, one picture comes twice in a batch, and is looked at once.
    assert 0.9 * SOAK < sum(looked) <= SOAK
    assert growth(memory) < SLACK, f"megabytes: {memory}"
    assert len(mapper.map())


def test_a_leak_is_seen():
    kept, memory = [], []
    for _ in range(30):
        kept.append(np.ones(10**6))
        memory.append(resident())
    assert growth(memory) > SLACK


def test_frames_that_are_no_keyframes_are_not_read(mapped, tmp_path):
    first = mapped.frames[0]
    frames = [replace(first, index=index, time=index / 30) for index in range(6)]
    folder = write_capture(tmp_path / "walk", [*frames, replace(mapped.frames[9], index=6, time=1)])
    for name in ("00003.png", "00006.png"):
        (folder / "image" / name).write_bytes(b"no picture")

    mapper = make_mapper(folder, mapped.labels, detector=OracleDetector(mapped.replay))
    with pytest.raises(MediaError, match=r"00006\.png"):
        list(mapper.words())

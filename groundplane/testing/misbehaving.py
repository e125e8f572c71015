"""Experts that misbehave, each in one way, for tests of whatever asks experts.

    @pytest.mark.parametrize("way", MISBEHAVIOURS, ids=str)
    def test_mine(way):
        expert = MisbehavingDetector(way, when=lambda request: "cat" in request.phrases)

An expert answers well whatever `when` does not pick, so a test can see that the neighbours of a
request that fails are served right. `FATAL` ways take their process along, or all of its memory
or time: they are only for what runs experts in a process of their own, where `WildDetector` can be
installed as a plugin.
"""

from __future__ import annotations

import copy
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import torch

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions

__all__ = [
    "FATAL",
    "MISBEHAVIOURS",
    "MisbehavingDetector",
    "Misbehaviour",
    "WildDetector",
    "well_behaved",
]

_HANG = 30.0
_SLOW = 0.1
# What fills the memory stops here, should nobody stop it.
_MOST_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """One way to misbehave.

    Attributes:
        name: What it does, in a few words.
        act: What it makes of a request; gives the result, or does what results do not.
        says: Words that the error has to hold; empty where the request is to be served.
    """

    name: str
    act: Callable[[DetectRequest], object]
    says: str = ""

    def __str__(self) -> str:
        return self.name


class MisbehavingDetector:
    """A detector of any words that finds each phrase once, or misbehaves.

    Args:
        way: How it misbehaves.
        when: At which requests; None for all.

    Attributes:
        batches: The requests of each call.
        released: Set it to end what hangs.
    """

    vocabulary: tuple[str, ...] | None = None

    def __init__(
        self, way: Misbehaviour, *, when: Callable[[DetectRequest], bool] | None = None
    ) -> None:
        self._way = way
        self._when = when
        self.batches: list[list[DetectRequest]] = []
        self.released = threading.Event()

    def detect(self, requests: Sequence[DetectRequest]) -> Any:
        """Answer each request, in order; or not."""
        self.batches.append(list(requests))
        picked = [self._when is None or self._when(request) for request in requests]
        if any(picked) and self._way.name in _WHOLE:
            return _WHOLE[self._way.name]([well_behaved(request) for request in requests])
        return [
            self._act(request) if bad else well_behaved(request)
            for request, bad in zip(requests, picked, strict=True)
        ]

    def _act(self, request: DetectRequest) -> object:
        if self._way.name == "hangs":
            self.released.wait(_HANG)
        return self._way.act(request)


def well_behaved(request: DetectRequest) -> DetectResult:
    """One region for each phrase: a box of its own in the image's upper left quarter."""
    n = len(request.phrases)
    w, h = request.image.size
    rows = [(i / 100, 0.0, w / 2, h / 2) for i in range(n)]
    return DetectResult(
        regions=Regions(
            ids=tuple(f"r{i}" for i in range(n)),
            boxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4).clamp(max=min(w, h) / 2),
            scores=torch.full((n,), 0.9),
            phrases=request.phrases,
            phrase_ids=torch.arange(n),
            image_size=request.image.size,
        ),
        outcomes=(Outcome.FOUND,) * n,
    )


def _forced(value: Any, **fields: object) -> Any:
    """A copy with fields replaced unchecked, as a class of the expert's own could hold them."""
    made = copy.copy(value)
    for name, field in fields.items():
        object.__setattr__(made, name, field)
    return made


def _bent(**columns: Callable[[Regions], object]) -> Callable[[DetectRequest], object]:
    """Good answers with some columns of their regions replaced."""

    def act(request: DetectRequest) -> object:
        result = well_behaved(request)
        new = {name: bend(result.regions) for name, bend in columns.items()}
        return _forced(result, regions=_forced(result.regions, **new))

    return act


def _with(**fields: Callable[[DetectRequest], object]) -> Callable[[DetectRequest], object]:
    """Good answers with some fields replaced."""

    def act(request: DetectRequest) -> object:
        new = {name: make(request) for name, make in fields.items()}
        return _forced(well_behaved(request), **new)

    return act


def _boxes(*box: float) -> Callable[[Regions], object]:
    return lambda regions: torch.tensor([box] * len(regions), dtype=torch.float32).reshape(-1, 4)


def _small_masks(regions: Regions) -> object:
    return (RleMask(size=(1, 1), counts=b"1"),) * len(regions)


def _raising(error: BaseException) -> Callable[[DetectRequest], object]:
    def act(request: DetectRequest) -> object:
        raise error

    return act


def _million(request: DetectRequest) -> Regions:
    n = 1_000_000
    return Regions(
        ids=tuple(map(str, range(n))),
        boxes=torch.zeros(n, 4),
        scores=torch.zeros(n),
        phrases=request.phrases,
        phrase_ids=torch.zeros(n, dtype=torch.long),
        image_size=request.image.size,
    )


def _writes(request: DetectRequest) -> object:
    request.image.pixels[:] = 0
    return well_behaved(request)


def _prints(request: DetectRequest) -> object:
    sys.stdout.write("loading weights ...\n")
    return well_behaved(request)


def _sleeps(request: DetectRequest) -> object:
    time.sleep(_SLOW)
    return well_behaved(request)


def _recurses(request: DetectRequest) -> object:
    return _recurses(request)


class _Stop(BaseException):
    """No `Exception`, as some libraries end their own loops."""


class _Trap(DetectResult):
    """A result that cannot be looked at."""

    @property
    def regions(self) -> Regions:
        raise RuntimeError("the result was freed")


def _trap(request: DetectRequest) -> object:
    return object.__new__(_Trap)


_NAN, _INF = float("nan"), float("inf")


def _way(name: str, act: Callable[[DetectRequest], object], says: str = "") -> Misbehaviour:
    return Misbehaviour(name=name, act=act, says=says)


_RAISING = (
    _way("raises", _raising(ValueError("no\nluck")), "ValueError: no luck"),
    _way("raises nothing said", _raising(KeyError()), "KeyError"),
    _way("exits", _raising(SystemExit(3)), "SystemExit: 3"),
    _way("raises no Exception", _raising(_Stop("over")), "_Stop: over"),
    _way("raises a megabyte", _raising(RuntimeError("x" * 2**20)), "RuntimeError: xxx"),
    _way("runs out of memory", _raising(torch.OutOfMemoryError("full")), "OutOfMemoryError"),
    _way("recurses", _recurses, "RecursionError"),
    _way("hangs", well_behaved, "no result within"),
    _way("writes to the pixels", _writes, "read-only"),
)

_RESULTS = (
    _way("gives None", lambda r: None, "expected a DetectResult, got NoneType"),
    _way("gives a dict", lambda r: {"boxes": []}, "expected a DetectResult, got dict"),
    _way("gives a trap", _trap, "RuntimeError: the result was freed"),
    _way("a million boxes", _with(regions=_million), "at most 10000 regions, got 1000000"),
    _way("a million candidates", _with(candidates=_million), "at most 100000 candidates"),
    _way("outcomes in words", _with(outcomes=lambda r: ("found",) * len(r.phrases)), "an Outcome"),
    _way("too few outcomes", _with(outcomes=lambda r: ()), "outcomes, got 0"),
    _way(
        "none, but a region",
        _with(outcomes=lambda r: (Outcome.NONE,) * len(r.phrases)),
        "but has a region",
    ),
    _way("a note in bytes", _with(note=lambda r: b"note"), "a note in words, got bytes"),
    _way("a note of a megabyte", _with(note=lambda r: "x" * 2**20), "a note of at most"),
    _way("a presence of NaN", _with(presence=lambda r: (_NAN,)), "presences in [0, 1]"),
    _way("steps in words", _with(steps=lambda r: ("look",)), "steps as Step"),
)

_REGIONS = (
    _way("other phrases", _bent(phrases=lambda r: ("sofa",) * len(r.phrases)), "the phrases"),
    _way("another size", _bent(image_size=lambda r: (3, 3)), "expected the image size"),
    _way("a box of NaN", _bent(boxes=_boxes(_NAN, 0, 1, 1)), "a box that is not finite"),
    _way("a box without end", _bent(boxes=_boxes(0, 0, _INF, 1)), "a box that is not finite"),
    _way(
        "a box from right to left", _bent(boxes=_boxes(9, 0, 1, 1)), "right or bottom comes first"
    ),
    _way("a box off the image", _bent(boxes=_boxes(-9, 0, 1, 1)), "leaves the image"),
    _way("boxes of three numbers", _bent(boxes=lambda r: torch.zeros(len(r), 3)), "boxes of shape"),
    _way("boxes in whole numbers", _bent(boxes=lambda r: r.boxes.int()), "boxes as a tensor of"),
    _way("boxes in an array", _bent(boxes=lambda r: r.boxes.numpy()), "numbers, got ndarray"),
    _way("a score of NaN", _bent(scores=lambda r: r.scores * _NAN), "a score that is not in"),
    _way("a score of 9", _bent(scores=lambda r: r.scores * 10), "a score that is not in"),
    _way("scores too many", _bent(scores=lambda r: torch.zeros(len(r) + 1)), "scores of shape"),
    _way("phrase ids off the table", _bent(phrase_ids=lambda r: r.phrase_ids + 99), "a phrase id"),
    _way("ids in bytes", _bent(ids=lambda r: (b"r0",) * len(r)), "ids as text, got bytes"),
    _way("masks of another size", _bent(masks=_small_masks), "expected masks of size"),
)


def _twice(request: DetectRequest) -> object:
    """Each region twice, under one id."""
    result = well_behaved(request)
    rows = torch.arange(len(result.regions)).repeat(2)
    once = result.regions
    doubled = _forced(
        once,
        ids=once.ids * 2,
        boxes=once.boxes[rows],
        scores=once.scores[rows],
        phrase_ids=once.phrase_ids[rows],
    )
    return _forced(result, regions=doubled)


# What concerns a call as a whole: its results are cut or wrapped.
_WHOLE: dict[str, Callable[[list[DetectResult]], object]] = {
    "one result too few": lambda results: results[:-1],
    "one result too many": lambda results: [*results, results[0]],
    "gives a generator": iter,
    "gives nothing": lambda results: None,
}

MISBEHAVIOURS: tuple[Misbehaviour, ...] = (
    *_RAISING,
    *_RESULTS,
    *_REGIONS,
    _way("one id twice", _twice, "ids that are unique"),
    *(_way(name, well_behaved, "expected a list of") for name in _WHOLE),
    _way("is slow", _sleeps),
    _way("prints", _prints),
)


def _fills(request: DetectRequest) -> object:
    held = []
    for _ in range(_MOST_MIB // 32):
        held.append(torch.ones(2**23))
        time.sleep(0.01)  # so that whoever watches has a chance
    return well_behaved(request)


def _blocks(request: DetectRequest) -> object:
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter's lock for years
    return well_behaved(request)


def _forks(request: DetectRequest) -> object:
    os.fork()
    return well_behaved(request)


def _prints_below(request: DetectRequest) -> object:
    os.write(1, b"\x00\xff raw\n")
    subprocess.run(["echo", "from a process of mine"], check=True)
    return _prints(request)


FATAL: tuple[Misbehaviour, ...] = (
    _way("ends its process", lambda r: os._exit(3), "exit code 3"),
    _way("crashes", lambda r: ctypes.string_at(0), "SIGSEGV"),
    _way("aborts", lambda r: os.abort(), "SIGABRT"),
    _way("is killed", lambda r: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    _way("blocks the interpreter", _blocks, "no result within"),
    _way("fills the memory", _fills, "MiB of memory"),
    _way("forks", _forks),
    _way("prints from below", _prints_below),
)


class WildDetector:
    """A detector, to be installed as a plugin, that misbehaves as a picture's name says.

    At `photos/crashes.png` it crashes; names that are no way of `MISBEHAVIOURS` or `FATAL` are
    served well.
    """

    vocabulary: tuple[str, ...] | None = None

    @dataclass(frozen=True)
    class Options:
        """It has none."""

    def __init__(
        self, options: Options, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._ways = {way.name: way for way in (*MISBEHAVIOURS, *FATAL)}

    def detect(self, requests: Sequence[DetectRequest]) -> Any:
        """Answer each request, in order; or not."""
        names = [PurePosixPath(request.image.source.name).stem for request in requests]
        for name in names:
            if name in _WHOLE:
                return _WHOLE[name]([well_behaved(request) for request in requests])
        return [
            self._act(self._ways.get(name), request)
            for name, request in zip(names, requests, strict=True)
        ]

    def _act(self, way: Misbehaviour | None, request: DetectRequest) -> object:
        if way is None:
            return well_behaved(request)
        if way.name == "hangs":
            time.sleep(_HANG)
        return way.act(request)

"""Geometry experts that misbehave, each in one way, for tests of whatever asks them.

    @pytest.mark.parametrize("way", GEOMETRY_MISBEHAVIOURS, ids=str)
    def test_mine(way):
        expert = WildGeometry(truth, way, when=lambda frame: frame.index == 5)

What `when` does not pick is answered well, as the truth has it.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.geometry import GeometryCapabilities, Known
from groundplane.core.image import Image

__all__ = ["GEOMETRY_MISBEHAVIOURS", "GeometryMisbehaviour", "WildGeometry"]

_HANG = 30.0
_ALL: frozenset[Known] = frozenset({"depth", "intrinsics", "pose"})
_NAN, _INF = float("nan"), float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryMisbehaviour:
    """One way to misbehave.

    Attributes:
        name: What it does, in a few words.
        act: What it makes of a frame that is filled in well; `whole` ways make it of all frames.
        says: Words that the error has to hold; empty where the frame is taken or left out.
        whole: Whether it concerns a call as a whole.
        lost: Words of the note that says why a frame was left out or filled in part; empty
            where nothing is lost.
        gives: What the expert states that it gives.
    """

    name: str
    act: Callable[[Any], object]
    says: str = ""
    whole: bool = False
    lost: str = ""
    gives: frozenset[Known] = _ALL

    def __str__(self) -> str:
        return self.name


class WildGeometry:
    """Fills in frames as the truth has them, or misbehaves.

    Args:
        truth: Frames whose depth and camera are known.
        way: How it misbehaves; None not at all.
        when: At which frames; None for all.

    Attributes:
        released: Set it to end what hangs.
    """

    def __init__(
        self,
        truth: Iterable[Frame],
        way: GeometryMisbehaviour | None = None,
        *,
        when: Callable[[Frame], bool] | None = None,
    ) -> None:
        self._truth = {frame.index: frame for frame in truth}
        self._way, self._when = way, when
        self.released = threading.Event()
        self.capabilities = GeometryCapabilities(gives=_ALL if way is None else way.gives)

    def begin(self) -> None:
        """Nothing is carried over."""

    def estimate(self, frames: Sequence[Frame]) -> Any:
        """Fill in each frame, in order; or not."""
        filled = [self._well(frame) for frame in frames]
        picked = [self._when is None or self._when(frame) for frame in frames]
        way = self._way
        if way is None or not any(picked):
            return filled
        if way.name == "hangs":
            self.released.wait(_HANG)
        if way.whole:
            return way.act(filled)
        return [way.act(frame) if bad else frame for frame, bad in zip(filled, picked, strict=True)]

    def _well(self, frame: Frame) -> Frame:
        true = self._truth[frame.index]
        gives = self.capabilities.gives
        if "depth" in gives:
            frame = replace(frame, depth=true.depth, noise=true.noise)
        return replace(frame, camera=true.camera) if "pose" in gives else frame


def _forced(value: Any, **values: object) -> Any:
    """A copy with fields replaced unchecked, as a class of the expert's own could hold them."""
    made = copy.copy(value)
    for name, one in values.items():
        object.__setattr__(made, name, one)
    return made


def _with(**make: Callable[[Frame], object]) -> Callable[[Frame], object]:
    """Good frames with some fields replaced."""
    return lambda frame: _forced(frame, **{name: one(frame) for name, one in make.items()})


def _filled(value: float, *, rows: int | None = None) -> Callable[[Frame], object]:
    """Depth whose first rows, or all, are one number."""

    def act(frame: Frame) -> object:
        depth = _depth(frame).clone()
        depth[:rows] = value
        return replace(frame, depth=depth)

    return act


def _depth(frame: Frame) -> torch.Tensor:
    if frame.depth is None:
        raise ValueError(f"frame {frame.index} has no depth")
    return frame.depth


def _posed(bend: Callable[[np.ndarray], object]) -> Callable[[Frame], object]:
    """Good frames whose pose is bent."""
    return lambda frame: _forced(
        frame, camera=_forced(frame.camera, T_world_cam=bend(_pose(frame)))
    )


def _pose(frame: Frame) -> np.ndarray:
    if frame.camera is None or frame.camera.T_world_cam is None:
        raise ValueError(f"frame {frame.index} has no pose")
    return frame.camera.T_world_cam


def _focal(value: float) -> Callable[[Frame], object]:
    K = np.array([[value, 0.0, 1.0], [0.0, value, 1.0], [0.0, 0.0, 1.0]])
    return _with(camera=lambda frame: _forced(frame.camera, K=K))


def _other_picture(frame: Frame) -> Image:
    return replace(frame.image, pixels=frame.image.pixels[::-1].copy())


def _raising(error: BaseException) -> Callable[[Any], object]:
    def act(frame: object) -> object:
        raise error

    return act


def _mirrors(frame: Frame) -> object:
    return Camera(K=np.eye(3), T_world_cam=np.diag([1.0, 1.0, -1.0, 1.0]))


def _writes(frame: Frame) -> object:
    frame.image.pixels[:] = 0
    return frame


class _Trap(Frame):
    """A frame that cannot be looked at."""

    @property
    def image(self) -> Image:
        raise RuntimeError("the frame was freed")


def _way(name: str, act: Callable[[Any], object], says: str = "", **more: Any) -> Any:
    return GeometryMisbehaviour(name=name, act=act, says=says, **more)


_NOT_USABLE = "gave no usable number"
_NO_DEPTH = "depth not known"

GEOMETRY_MISBEHAVIOURS: tuple[GeometryMisbehaviour, ...] = (
    _way("gives None", lambda frames: None, "a list of frames, got NoneType", whole=True),
    _way("gives a generator", iter, "a list of frames, got list_iterator", whole=True),
    _way("one frame too few", lambda frames: frames[:-1], "their order, got", whole=True),
    _way("one frame too many", lambda frames: [*frames, frames[0]], "their order, got", whole=True),
    _way("turns the order round", lambda frames: frames[::-1], "got another", whole=True),
    _way("gives one frame for all", lambda frames: frames[:1] * len(frames), "got", whole=True),
    _way("hangs", lambda frames: frames, "no result within", whole=True),
    _way("raises", _raising(ValueError("no\nluck")), "ValueError: no luck"),
    _way("raises nothing said", _raising(KeyError()), "KeyError"),
    _way("exits", _raising(SystemExit(3)), "SystemExit: 3"),
    _way("raises a megabyte", _raising(RuntimeError("x" * 2**20)), "RuntimeError: xxx"),
    _way("runs out of memory", _raising(torch.OutOfMemoryError("full")), "OutOfMemoryError: full"),
    _way("makes a camera that mirrors", _mirrors, "it scales, shears or mirrors"),
    _way("writes to the pixels", _writes, "read-only"),
    _way("gives a frame of None", lambda frame: None, "expected a Frame, got NoneType"),
    _way("gives a dict", lambda frame: {"depth": 1}, "expected a Frame, got dict"),
    _way("gives a trap", lambda frame: object.__new__(_Trap), "RuntimeError: the frame was freed"),
    _way("another picture", _with(image=_other_picture), "expected the picture"),
    _way("another index", _with(index=lambda f: f.index + 1), "expected the index"),
    _way("another time", _with(time=lambda f: f.time + 1), "expected the time"),
    _way("a time of NaN", _with(time=lambda f: _NAN), "expected the time"),
    _way("depth of another size", _with(depth=lambda f: torch.ones(3, 3)), "depth of shape (3, 3)"),
    _way("depth in an array", _with(depth=lambda f: _depth(f).numpy()), "got ndarray"),
    _way("depth in doubles", _with(depth=lambda f: _depth(f).double()), "depth as float32"),
    _way("a pose of NaN", _posed(lambda T: T * _NAN), "is not finite"),
    _way("a pose that scales", _posed(lambda T: T @ np.diag([2.0, 2, 2, 1])), "it scales"),
    _way("a pose that mirrors", _posed(lambda T: T @ np.diag([1.0, 1, -1, 1])), "or mirrors"),
    _way("a pose of three rows", _posed(lambda T: T[:3]), "must have shape (4, 4)"),
    _way("a pose far away", _posed(lambda T: T + 1e30 * np.eye(4, k=3)), "beyond all bounds"),
    _way("a pose in a list", _posed(lambda T: T.tolist()), "as arrays of"),
    _way("a focal length of 0", _focal(0.0), "positive focal lengths"),
    _way("a focal length of NaN", _focal(_NAN), "positive focal lengths"),
    _way("a focal length without bounds", _focal(1e30), "of a pinhole camera"),
    _way("a camera in words", _with(camera=lambda f: "wide"), "expected a Camera, got str"),
    _way("another scale", _with(scale=lambda f: "relative"), "expected the scale 'metric'"),
    _way("a scale in no unit", _with(scale=lambda f: "feet"), "expected the scale 'metric'"),
    _way("noise in a number", _with(noise=lambda f: 0.1), "expected noise as DepthNoise"),
    _way("a note in bytes", _with(notes=lambda f: (*f.notes, b"note")), "notes in words"),
    _way("a note of a megabyte", _with(notes=lambda f: (*f.notes, "x" * 2**20)), "notes in words"),
    _way("notes in a text", _with(notes=lambda f: "note"), "expected notes as tuple"),
    _way(
        "depth it does not give", lambda frame: replace(frame, depth=_depth(frame) + 1),
        "it changed the depth", gives=frozenset({"intrinsics", "pose"}),
    ),
    _way(
        "a pose it does not give", _posed(lambda T: T + 0.1 * np.eye(4, k=3)),
        "it changed the pose", gives=frozenset({"depth"}),
    ),
    _way("some depth of NaN", _filled(_NAN, rows=9), lost=_NOT_USABLE),
    _way("some depth of infinity", _filled(_INF, rows=9), lost=_NOT_USABLE),
    _way("some depth below 0", _filled(-1.0, rows=9), lost=_NOT_USABLE),
    _way("depth of NaN", _filled(_NAN), lost=_NO_DEPTH),
    _way("depth of infinity", _filled(_INF), lost=_NO_DEPTH),
    _way("depth below 0", _filled(-1.0), lost=_NO_DEPTH),
    _way("depth without bounds", _filled(1e30), lost=_NO_DEPTH),
    _way("no depth", _with(depth=lambda f: None), lost=_NO_DEPTH),
    _way("no pose", _posed(lambda T: None), lost="pose is not known"),
    _way("no camera", _with(camera=lambda f: None), lost="pose is not known"),
)  # fmt: skip

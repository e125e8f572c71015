"""Geometry experts are somebody else's code: their answers are checked, and waited for so long."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeVar, cast

import numpy as np
import torch

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.errors import DetectorError, GroundplaneError, InputError, PluginBrokenError
from groundplane.core.geometry import GeometryCapabilities, GeometryExpert
from groundplane.core.workers import Inbox, WorkerPool
from groundplane.grounding.joining import read_only

__all__ = ["GuardedExpert"]

# Metres, or units: what is farther is no number of a camera in a place.
_FAR = 1e9
# Intrinsics and poses are computed in several precisions.
_CLOSE = 1e-6
_LONGEST_NOTE = 10_000
_LONGEST_ERROR = 500

T = TypeVar("T")


class GuardedExpert:
    """A geometry expert whose frames are checked, and that is given up on when its time is over.

    It runs in one thread of its own, which can be left behind. What holds the interpreter's lock
    cannot be given up on.

    Args:
        name: What messages call it.
        expert: The expert.
        seconds: How long it may take for a frame, and to begin.

    Attributes:
        capabilities: The expert's, as they were when this was made.

    Raises:
        PluginBrokenError: If the expert does not state what it needs and gives.
    """

    def __init__(self, name: str, expert: GeometryExpert, *, seconds: float) -> None:
        able = expert.capabilities
        if not isinstance(able, GeometryCapabilities):
            raise PluginBrokenError(
                f"geometry {name!r}: expected its capabilities as GeometryCapabilities, got "
                f"{type(able).__name__}"
            )
        self.capabilities = able
        self._name, self._expert, self._seconds = name, expert, seconds
        self._pool = WorkerPool(1)
        self._pool.__enter__()
        weakref.finalize(self, self._pool.__exit__)

    def begin(self) -> None:
        """A new capture begins.

        Raises:
            DetectorError: If the expert fails, or is late.
        """
        self._ask(self._expert.begin, where="begin", seconds=self._seconds)

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Let the expert fill in what it gives; see `GeometryExpert.estimate`.

        Returns:
            The same frames. Numbers of depth that are none are unknown, with a note; a frame
            without any is without depth.

        Raises:
            InputError: If a frame lacks what the expert needs.
            DetectorError: If the expert fails, is late, or gives something else than the frames.
        """
        if not frames:
            return []

        shown = [replace(frame, image=read_only(frame.image)) for frame in frames]

        def run() -> list[Frame]:
            told = self._checked(self._expert.estimate(list(shown)), shown)
            pairs = zip(told, frames, strict=True)
            return [replace(frame, image=before.image) for frame, before in pairs]

        first, last = frames[0].index, frames[-1].index
        where = f"frame {first}" if len(frames) == 1 else f"frames {first} to {last}"
        return self._ask(run, where=where, seconds=self._seconds * len(frames))

    def _ask(self, call: Callable[[], T], *, where: str, seconds: float) -> T:
        inbox: Inbox[None] = Inbox(self._pool, deadline=seconds)
        try:
            inbox.submit(call, tag=None)
            news = inbox.collect(time.monotonic() + seconds)
        finally:
            inbox.close()
        who = f"geometry {self._name!r}: {where}"
        for task, what in news:
            if what == "ended" and task.error is None:
                return cast(T, task.value)
            if what == "ended" and task.error is not None:
                raise self._told(task.error, who) from task.error
            if what == "refused":
                raise DetectorError(f"{who}: not asked: calls to it hang")
        raise DetectorError(f"{who}: no result within {seconds:g} s")

    def _told(self, error: BaseException, who: str) -> GroundplaneError:
        """The error with the expert's name, of a kind that callers know."""
        if isinstance(error, GroundplaneError) and f"{self._name!r}" in str(error):
            return error
        said = " ".join(str(error).split())[:_LONGEST_ERROR]
        if isinstance(error, InputError):
            return InputError(f"{who}: {said}")
        kind = "" if isinstance(error, GroundplaneError) else type(error).__name__
        return DetectorError(f"{who}: {': '.join(filter(None, (kind, said)))}")

    def _checked(self, told: object, given: Sequence[Frame]) -> list[Frame]:
        if not isinstance(told, list | tuple):
            raise DetectorError(f"expected a list of frames, got {type(told).__name__}")
        if len(told) != len(given):
            raise DetectorError(
                f"expected the {len(given)} frames that it was given, in their order, got "
                f"{len(told)}"
            )
        frames = [
            self._of(frame, before, f"frame {before.index}")
            for frame, before in zip(told, given, strict=True)
        ]
        return self._usable(frames, given)

    def _of(self, told: object, before: Frame, where: str) -> Frame:
        """A frame as it must be, whatever class holds it."""
        if not isinstance(told, Frame):
            raise DetectorError(f"{where}: expected a Frame, got {type(told).__name__}")
        values = {field.name: getattr(told, field.name) for field in fields(Frame)}
        if values["image"] is not before.image:
            raise DetectorError(f"{where}: expected the picture that it was given, got another")
        for name in ("index", "time"):
            if values[name] != getattr(before, name):
                raise DetectorError(
                    f"{where}: expected the {name} {getattr(before, name)}, got {values[name]!r}"
                )
        _check_types(values, where)
        try:
            frame = Frame(
                **{
                    **values,
                    "camera": _remade(values["camera"]),
                    "noise": replace(values["noise"]),
                }
            )
        except GroundplaneError as error:
            raise DetectorError(f"{where}: {error}") from error
        self._check_given(frame, before, where)
        return frame

    def _check_given(self, frame: Frame, before: Frame, where: str) -> None:
        """What it does not give stays as it was."""
        gives = self.capabilities.gives
        same = {
            "depth": frame.depth is before.depth,
            "intrinsics": _alike(frame, before, "K"),
            "pose": _alike(frame, before, "T_world_cam"),
        }
        if changed := [what for what, kept in same.items() if not kept and what not in gives]:
            raise DetectorError(f"{where}: it changed the {changed[0]}, which it does not give")
        if frame.notes[: len(before.notes)] != before.notes:
            raise DetectorError(f"{where}: expected its notes after those before, which are gone")
        own = self.capabilities.scale
        scales = {own} if not same["depth"] and frame.depth is not None else {own, before.scale}
        if frame.scale not in scales:
            raise DetectorError(
                f"{where}: expected the scale {own!r}, as it states, got {frame.scale!r}"
            )

    def _usable(self, frames: Sequence[Frame], given: Sequence[Frame]) -> list[Frame]:
        """Numbers of new depth that are none become unknown: one copy from the device a call."""
        new = {
            row: frame.depth
            for row, (frame, before) in enumerate(zip(frames, given, strict=True))
            if frame.depth is not None and frame.depth is not before.depth and frame.depth.numel()
        }
        done = list(frames)
        if not new:
            return done
        ends = torch.stack([torch.stack(depth.aminmax()).cpu() for depth in new.values()]).tolist()
        for (row, depth), (least, most) in zip(new.items(), ends, strict=True):
            if not (least >= 0 and most <= _FAR):
                done[row] = self._cleaned(frames[row], depth)
        return done

    def _cleaned(self, frame: Frame, depth: torch.Tensor) -> Frame:
        good = (depth >= 0) & (depth <= _FAR)
        bad = depth.numel() - int(good.sum())
        note = (
            f"{bad} of {depth.numel()} pixels have no depth: geometry {self._name!r} gave no "
            "usable number"
        )
        kept = torch.where(good, depth, 0.0) if bad < depth.numel() else None
        return replace(frame, depth=kept, notes=(*frame.notes, note))


def _check_types(values: dict[str, object], where: str) -> None:
    kinds = {"depth": (torch.Tensor, type(None)), "noise": (DepthNoise,), "notes": (tuple,)}
    for name, allowed in kinds.items():
        if not isinstance(values[name], allowed):
            raise DetectorError(
                f"{where}: expected {name} as {allowed[0].__name__}, got "
                f"{type(values[name]).__name__}"
            )
    for note in cast(tuple[object, ...], values["notes"]):
        if not isinstance(note, str) or len(note) > _LONGEST_NOTE:
            raise DetectorError(
                f"{where}: expected notes in words, of at most {_LONGEST_NOTE} characters"
            )


def _remade(camera: object) -> Camera | None:
    """A camera, checked again.

    Raises:
        InputError, ShapeError: If it is none.
    """
    if camera is None:
        return None
    if not isinstance(camera, Camera):
        raise InputError(f"expected a Camera, got {type(camera).__name__}")
    K, pose = camera.K, camera.T_world_cam
    for matrix in (K,) if pose is None else (K, pose):
        if not isinstance(matrix, np.ndarray) or matrix.dtype.kind != "f":
            raise InputError("camera: expected matrices as arrays of floating-point numbers")
    made = Camera(K=K, T_world_cam=pose)
    if np.abs([*K[2] - (0.0, 0.0, 1.0), K[1, 0]]).max() > _CLOSE or K.max() > _FAR:
        raise InputError(f"camera: expected intrinsics of a pinhole camera, got {K.tolist()}")
    if pose is not None and np.abs(pose[:3, 3]).max() > _FAR:
        raise InputError("camera: the pose is beyond all bounds")
    if pose is not None and np.abs(pose[3] - (0.0, 0.0, 0.0, 1.0)).max() > _CLOSE:
        raise InputError("camera: expected a pose that ends in 0 0 0 1")
    return made


def _alike(one: Frame, other: Frame, part: str) -> bool:
    """Whether two frames agree on a matrix of their cameras."""
    matrices = [getattr(frame.camera, part, None) for frame in (one, other)]
    if matrices[0] is None or matrices[1] is None:
        return matrices[0] is matrices[1]
    return bool(np.allclose(matrices[0], matrices[1], rtol=_CLOSE, atol=_CLOSE))

"""Depth, intrinsics and poses that were recorded beside the pictures, played back.

For pictures that come from elsewhere than the capture that holds their geometry: a video whose
poses lie in a TUM file, or frames that were cut out of one for a `transforms.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from groundplane.captures.lenses import lens_matrix
from groundplane.captures.opening import open_capture
from groundplane.captures.options import CaptureOptions
from groundplane.captures.pairing import pair
from groundplane.captures.shots import ShotSource
from groundplane.captures.tum import read_trajectory
from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError, did_you_mean
from groundplane.core.files import one_line
from groundplane.core.geometry import GeometryCapabilities, Known

__all__ = ["RecordedGeometry", "RecordedOptions"]

_WHO = "geometry 'recorded'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOptions:
    """Options of `RecordedGeometry`.

    Attributes:
        path: A capture on disk in any layout that holds geometry, or a text file of rows
            `time tx ty tz qx qy qz qw`, camera to world.
        layout: The capture's layout; empty finds out.
        match: How a frame is found: by its picture's name, or by its time, counted from the first
            picture of either. Rows of a text file are always found by time, counted from the
            first row.
        offset: Seconds to add to a frame's time.
        tolerance: Seconds by which times may differ.
        fps: Pictures a second of a capture whose files state no times.
        intrinsics: fx, fy, cx, cy in pixels, in place of those of the capture.
        depth_scale: What a depth of one metre is in the files.

    Raises:
        InputError: If a number is not finite or out of range.
    """

    path: Path
    layout: str = ""
    match: Literal["name", "time"] = "name"
    offset: float = 0.0
    tolerance: float = 0.02
    fps: float | None = None
    intrinsics: tuple[float, float, float, float] | None = None
    depth_scale: float | None = None

    def __post_init__(self) -> None:
        if not abs(self.offset) < float("inf"):
            raise InputError(f"{_WHO}, option offset: expected seconds, got {self.offset}")
        self.capture()

    def capture(self) -> CaptureOptions:
        """The same as a reader of captures is told it."""
        return CaptureOptions(
            tolerance=self.tolerance,
            fps=self.fps,
            intrinsics=self.intrinsics,
            depth_scale=self.depth_scale,
        )


class RecordedGeometry:
    """Fills frames with what was recorded of them; what was not stays as it is, with a note.

    Args:
        options: See `RecordedOptions`.
        device: Where depth is put.
        dtype: Not used: depth is float32.

    Raises:
        InputError: If the capture is malformed or holds no geometry.
    """

    Options = RecordedOptions

    def __init__(
        self, options: RecordedOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._device = torch.device(device)
        rows = options.path.suffix.lower() == ".txt" and options.path.is_file()
        self._book: _Capture | _Rows = _Rows(options) if rows else _Capture(options)

    @property
    def capabilities(self) -> GeometryCapabilities:
        """What the files tell."""
        return self._book.capabilities

    def begin(self) -> None:
        """Nothing is carried over from frame to frame."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in what was recorded.

        Raises:
            InputError: If a frame lacks intrinsics that rows of poses need, its picture has
                another shape than the recorded one, or what was recorded is malformed.
            MediaError: If a depth cannot be read.
        """
        return [self._moved(self._book.filled(frame)) for frame in frames]

    def _moved(self, frame: Frame) -> Frame:
        if frame.depth is None or frame.depth.device == self._device:
            return frame
        return replace(frame, depth=frame.depth.to(self._device))


class _Capture:
    """A capture on disk, whose pictures are found by name or by time."""

    def __init__(self, options: RecordedOptions) -> None:
        capture = open_capture(
            options.path, layout=options.layout or None, options=options.capture()
        )
        source = capture.source
        if not isinstance(source, ShotSource) or not capture.gives - {"intrinsics"}:
            raise InputError(
                f"{_WHO}: {one_line(capture.name)!r} of layout {capture.layout!r} holds neither "
                "depth nor poses; expected a capture that does"
            )
        self._source = source
        self._name = one_line(capture.name)
        self._options = options
        places = [source.shots.place(index) for index in range(len(source.shots))]
        self._by_name: dict[str, int] = {}
        self._doubles: set[str] = set()
        for index, (picture, _) in enumerate(places):
            if self._by_name.setdefault(picture.name, index) != index:
                self._doubles.add(picture.name)
        times = np.array([time for _, time in places])
        self._order = np.argsort(times, kind="stable")
        self._times = times[self._order]
        self.capabilities = GeometryCapabilities(
            gives=capture.gives, scale=source.options.scale or source.scale
        )

    def filled(self, frame: Frame) -> Frame:
        """The frame with what was recorded of it."""
        index = self._by_time(frame) if self._options.match == "time" else self._named(frame)
        if isinstance(index, str):
            return replace(frame, notes=(*frame.notes, index))
        return _noted(frame, self._source.geometry(index, frame), self.capabilities.gives)

    def _by_time(self, frame: Frame) -> int | str:
        asked = np.array([frame.time + self._options.offset])
        at = int(pair(asked, self._times, self._options.tolerance)[0])
        if at < 0:
            return f"nothing was recorded within {self._options.tolerance:g} s of {asked[0]:.3f} s"
        return int(self._order[at])

    def _named(self, frame: Frame) -> int | str:
        name = one_line(frame.image.source.name)
        if name in self._doubles:
            raise InputError(
                f"{_WHO}: {name!r} is the name of several pictures of {self._name!r}; match by time"
            )
        if name not in self._by_name:
            hint = did_you_mean(name, list(self._by_name)[:1000])
            return f"picture {name!r} is not among those of {self._name!r}.{hint}"
        return self._by_name[name]


class _Rows:
    """Rows of poses alone."""

    def __init__(self, options: RecordedOptions) -> None:
        self._trajectory = read_trajectory(options.path)
        if not self._trajectory.known.any():
            raise InputError(f"{_WHO}: {one_line(options.path.name)}: expected rows of poses")
        self._options = options
        given = options.intrinsics is not None
        gives: set[Known] = {"pose", "intrinsics"} if given else {"pose"}
        self.capabilities = GeometryCapabilities(
            gives=frozenset(gives), needs=frozenset(() if given else {"intrinsics"})
        )

    def filled(self, frame: Frame) -> Frame:
        """The frame with the pose of its time."""
        options = self._options
        if options.intrinsics is not None:
            K = lens_matrix(options.intrinsics, where=f"{_WHO}, option intrinsics")
        elif frame.camera is not None:
            K = frame.camera.K
        else:
            raise InputError(
                f"{_WHO}: frame {frame.index} has no intrinsics, without which its pose is of no "
                "use. Try: --option intrinsics=FX,FY,CX,CY"
            )
        time = float(self._trajectory.times[0]) + frame.time + options.offset
        poses, known = self._trajectory.at(np.array([time]), options.tolerance)
        kept = frame.camera.T_world_cam if frame.camera is not None else None
        pose = poses[0] if known[0] else kept
        filled = replace(frame, camera=Camera(K=K, T_world_cam=pose))
        if known[0]:
            return filled
        note = f"no pose was recorded within {options.tolerance:g} s of it"
        return replace(filled, notes=(*filled.notes, note))


def _noted(before: Frame, after: Frame, gives: frozenset[Known]) -> Frame:
    """A note where a capture that tells something does not tell it of this frame."""
    camera = after.camera
    told = {
        "depth": after.depth is not None,
        "intrinsics": camera is not None,
        "pose": camera is not None and camera.T_world_cam is not None,
    }
    silent = sorted(what for what in gives if not told[what])
    if not silent or len(after.notes) > len(before.notes):
        return after
    return replace(after, notes=(*after.notes, f"{' and '.join(silent)} was not recorded of it"))

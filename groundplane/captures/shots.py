"""Frames of pictures on disk, each with what the files of its layout tell of its geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.captures.capture import Glance
from groundplane.captures.depth_files import read_depth
from groundplane.captures.lenses import (
    Lens,
    lens_matrix,
    resample_depth,
    shrink,
    straighten,
    unturned,
)
from groundplane.captures.options import CaptureOptions
from groundplane.core.camera import Camera, DepthNoise, Frame, Scale
from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.core.media import read_image

__all__ = ["Shot", "ShotList", "ShotSource"]

_Size = tuple[int, int]
_EXACT = DepthNoise()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """What the files tell of one frame, before its picture and depth are read.

    Attributes:
        picture: The picture's file.
        time: Seconds since the start.
        depth: The depth's file, or None.
        lens: Of the picture, or None.
        depth_lens: Of the depth where it has one of its own; else the picture's counts, resized.
        pose: Camera to world, checked, or None.
        notes: What is to be said of the frame.
    """

    picture: Path
    time: float
    depth: Path | None = None
    lens: Lens | None = None
    depth_lens: Lens | None = None
    pose: Float[np.ndarray, "4 4"] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class ShotList(Protocol):
    """The frames of a folder; what a shot needs is read when it is asked for."""

    def __len__(self) -> int: ...

    def place(self, index: int) -> tuple[Path, float]:
        """The picture of a frame and its time, without reading a file."""
        ...

    def shot(self, index: int) -> Shot:
        """What the files tell of one frame."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShotSource:
    """Frames of a list of shots.

    Attributes:
        shots: What the layout's files tell.
        options: What the user said.
        depth_scale: What one metre is in the depth files.
        noise: How far the depth may be off.
        scale: Whether depth and poses are metric.
    """

    shots: ShotList
    options: CaptureOptions
    depth_scale: float = 1000.0
    noise: DepthNoise = _EXACT
    scale: Scale = "metric"

    def frames(self, start: int, step: int) -> Iterator[Frame]:
        """Frames in order, one picture in memory at a time."""
        for index in range(start, len(self.shots), step):
            yield self._frame(self._shot(index), index)

    def glances(self, start: int, step: int) -> Iterator[Glance]:
        """What the layout's files tell of frames, without reading a picture or a depth."""
        for index in range(start, len(self.shots), step):
            shot = self._shot(index)
            K = shot.lens.K if shot.lens is not None else None
            yield Glance(
                index=index,
                time=shot.time,
                pose=shot.pose if K is not None else None,
                scale=self._scale,
                notes=_notes(shot, K),
                read=partial(self._frame, shot, index),
            )

    def geometry(self, index: int, frame: Frame) -> Frame:
        """Give a picture that was read elsewhere the depth and the camera of a shot.

        Raises:
            InputError: If the shapes of the two pictures differ.
        """
        shot = self._shot(index)
        size = frame.image.size
        lens, notes = shot.lens, frame.notes
        K = frame.camera.K if frame.camera is not None else None
        pose = frame.camera.T_world_cam if frame.camera is not None else None
        if lens is not None:
            K = lens.scaled(_fitting(lens.size or size, frame), size)
            if lens.bends:
                notes += ("the picture's lens distortion is left as it is",)
                lens = Lens(K=lens.K, size=lens.size)
        depth = self._depth(shot, lens, K, size)
        pose = shot.pose if shot.pose is not None else pose
        return Frame(
            image=frame.image,
            index=frame.index,
            time=frame.time,
            camera=Camera(K=K, T_world_cam=pose) if K is not None else None,
            depth=depth[0] if depth is not None else frame.depth,
            noise=self._noise if depth is not None else frame.noise,
            scale=self._scale if depth is not None or frame.depth is None else frame.scale,
            notes=notes + _notes(shot, K) + (depth[1] if depth is not None else ()),
        )

    @property
    def _noise(self) -> DepthNoise:
        return self.options.noise or self.noise

    @property
    def _scale(self) -> Scale:
        return self.options.scale or self.scale

    def _shot(self, index: int) -> Shot:
        shot = self.shots.shot(index)
        if self.options.intrinsics is None:
            return shot
        where = "capture option intrinsics"
        return Shot(
            picture=shot.picture,
            time=shot.time,
            depth=shot.depth,
            lens=Lens(K=lens_matrix(self.options.intrinsics, where=where)),
            pose=shot.pose,
            notes=shot.notes,
        )

    def _frame(self, shot: Shot, index: int) -> Frame:
        image = read_image(shot.picture, limits=self.options.limits)
        lens, K = shot.lens, None
        if lens is not None:
            # Files speak of the pixels that they store, not of those that EXIF turned upright;
            # who knows no more than the intrinsics speaks of the picture as it is seen.
            bare = shot.depth is None and shot.pose is None and self.options.intrinsics is not None
            image = image if bare else unturned(image)
            if lens.size not in (None, image.size):
                raise InputError(
                    f"frame {index}, picture {one_line(shot.picture.name)!r}: expected "
                    f"{lens.size[0]} x {lens.size[1]} pixels as its intrinsics say, got "
                    f"{image.size[0]} x {image.size[1]}; a capture of several sizes needs "
                    "intrinsics for each"
                )
            stored = image.size
            image = straighten(image, lens)
            image = shrink(image, self.options.longest)
            K = lens.scaled(stored, image.size)
            lens = Lens(K=lens.K, size=stored, distortion=lens.distortion)
        else:
            image = shrink(image, self.options.longest)
        depth = self._depth(shot, lens, K, image.size)
        return Frame(
            image=image,
            index=index,
            time=shot.time,
            camera=Camera(K=K, T_world_cam=shot.pose) if K is not None else None,
            depth=depth[0] if depth is not None else None,
            noise=self._noise if depth is not None else _EXACT,
            scale=self._scale,
            notes=_notes(shot, K) + (depth[1] if depth is not None else ()),
        )

    def _depth(
        self,
        shot: Shot,
        lens: Lens | None,
        K: Float[np.ndarray, "3 3"] | None,
        size: _Size,
    ) -> tuple[Float[Tensor, "h w"], tuple[str, ...]] | None:
        """A shot's depth as the pixels of the picture see it, and what is to be said of it."""
        if shot.depth is None:
            return None
        scale = self.options.depth_scale or self.depth_scale
        depth, num_bad = read_depth(shot.depth, scale=scale, limits=self.options.limits)
        stored = (depth.shape[1], depth.shape[0])
        if lens is not None and K is not None:
            source = shot.depth_lens or lens
            fitted = Lens(
                K=source.scaled(source.size or stored, stored), distortion=source.distortion
            )
            depth = resample_depth(depth, fitted, K, size)
        elif stored != size:
            flat = Lens(K=np.diag([float(stored[0]), float(stored[1]), 1.0]))
            depth = resample_depth(
                depth, flat, np.diag([float(size[0]), float(size[1]), 1.0]), size
            )
        notes = (f"{num_bad} depths were negative or no numbers",) if num_bad else ()
        return torch.from_numpy(np.ascontiguousarray(depth)), notes


def _notes(shot: Shot, K: Float[np.ndarray, "3 3"] | None) -> tuple[str, ...]:
    """What is to be said of a shot; a pose without intrinsics is of no use, which must be told."""
    if shot.pose is None or K is not None:
        return shot.notes
    return (*shot.notes, "the pose was left out, since the intrinsics are not known")


def _fitting(stored: _Size, frame: Frame) -> _Size:
    """The size that intrinsics speak of, if the frame's picture is that one, resized as a whole."""
    width, height = frame.image.size
    if abs(stored[0] * height - stored[1] * width) > max(*stored, width, height):
        raise InputError(
            f"picture {one_line(frame.image.source.name)!r} has {width} x {height} pixels, but "
            f"the capture's intrinsics are for {stored[0]} x {stored[1]}; give the pictures that "
            "were recorded, uncut"
        )
    return stored

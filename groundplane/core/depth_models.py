"""What all depth networks share: frames in groups of one size, memory, unusable numbers, notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.camera import Camera, DepthNoise, Frame, Scale
from groundplane.core.errors import InputError
from groundplane.core.image import Image

__all__ = [
    "DepthExpert",
    "DepthNetwork",
    "DepthSettings",
    "Predicted",
    "camera_of_view",
    "check_depth_options",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicted:
    """What a network says of pictures of one size.

    Attributes:
        depth: z in the camera, of the pictures' size, metres or an unknown unit; what is not
            above 0 and finite is unknown.
        focals: Focal lengths, pixels of the pictures; None where the network tells none.
    """

    depth: Float[Tensor, "b h w"]
    focals: Float[Tensor, " b"] | None = None


@runtime_checkable
class DepthNetwork(Protocol):
    """A network, ready to be asked."""

    def fault(self, size: tuple[int, int]) -> str:
        """Why a picture of a width and height cannot be looked at, or nothing."""
        ...

    def predict(self, images: Sequence[Image], focals: Sequence[float | None]) -> Predicted:
        """Look at pictures of one size, at once; focal lengths in pixels where they are known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSettings:
    """How a network's depth is told.

    Attributes:
        scale: Whether it is metres.
        noise: How far it may be off.
        notes: What each frame is told beside.
        batch: Most pictures that are looked at together.
        fov: Horizontal field of view, degrees, for frames whose intrinsics nobody knows; 0: they
            stay unknown.
    """

    scale: Scale
    noise: DepthNoise
    notes: tuple[str, ...] = ()
    batch: int = 8
    fov: float = 0.0


class DepthExpert:
    """Fills in depth, and intrinsics where they are told, with a network.

    Args:
        network: Asked for pictures of one size at a time.
        settings: See `DepthSettings`.
    """

    def __init__(self, network: DepthNetwork, settings: DepthSettings) -> None:
        self._network = network
        self._settings = settings

    @torch.no_grad()
    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in frames, in order; see `GeometryExpert.estimate`."""
        done: dict[int, Frame] = {}
        groups: dict[tuple[int, int], list[int]] = {}
        for place, frame in enumerate(frames):
            size = frame.image.size
            fault = self._network.fault(size)
            if fault:
                done[place] = replace(frame, depth=None, notes=_with(frame, f"no depth: {fault}"))
            else:
                groups.setdefault(size, []).append(place)
        step = self._settings.batch
        for places in groups.values():
            for start in range(0, len(places), step):
                part = places[start : start + step]
                filled = self._filled([frames[place] for place in part])
                done.update(zip(part, filled, strict=True))
        return [done[place] for place in range(len(frames))]

    def _filled(self, frames: Sequence[Frame]) -> list[Frame]:
        """Frames of one size at once; where the memory does not do, half of them at a time."""
        try:
            return self._filled_at_once(frames)
        except torch.OutOfMemoryError:
            if len(frames) == 1:
                raise
        half = len(frames) // 2
        return [*self._filled(frames[:half]), *self._filled(frames[half:])]

    def _filled_at_once(self, frames: Sequence[Frame]) -> list[Frame]:
        images = [frame.image for frame in frames]
        told = self._network.predict(images, [self._focal(frame) for frame in frames])
        depth = told.depth.float()
        good = depth.isfinite() & (depth >= 0)
        depth = torch.where(good, depth, 0.0)
        focals = told.focals
        if focals is None:
            focals = torch.full((len(frames),), math.nan, device=depth.device)
        # One copy a batch: how many numbers are unusable, and the focal lengths.
        bad = (~good).flatten(1).sum(dim=1)
        rows = torch.stack([bad.double(), focals.double()], dim=1).tolist()
        return [
            self._told(frame, depth[i].clone(), round(row[0]), row[1])
            for i, (frame, row) in enumerate(zip(frames, rows, strict=True))
        ]

    def _focal(self, frame: Frame) -> float | None:
        """What is known of a frame's focal length, or is to be assumed, pixels."""
        camera = frame.camera
        if camera is None and self._settings.fov:
            camera = camera_of_view(frame.image.size, self._settings.fov)
        return None if camera is None else float(camera.K[0, 0])

    def _told(self, frame: Frame, depth: Float[Tensor, "h w"], bad: int, focal: float) -> Frame:
        settings = self._settings
        notes = [*settings.notes]
        if bad:
            notes.append(
                f"{bad} of {depth.numel()} pixels have no depth: the network gave no usable number"
            )
        camera = frame.camera
        if camera is None and settings.fov:
            camera = camera_of_view(frame.image.size, settings.fov)
            notes.append(f"a field of view of {settings.fov:g} degrees is assumed")
        elif camera is None and math.isfinite(focal) and focal > 0:
            camera = Camera(K=_centred(frame.image.size, focal))
            notes.append("the focal length is estimated from the picture")
        return replace(
            frame,
            camera=camera,
            depth=depth,
            noise=settings.noise,
            scale=settings.scale,
            notes=_with(frame, *notes),
        )


def camera_of_view(size: tuple[int, int], degrees: float) -> Camera:
    """A camera that looks through the middle of the picture, its pose unknown.

    Args:
        size: Width and height, pixels.
        degrees: Horizontal field of view.

    Raises:
        InputError: If the angle is not between 0 and 180 degrees, or the picture has no pixels.

    Examples:
        >>> camera_of_view((200, 100), 90.0).K.round(6).tolist()
        [[100.0, 0.0, 100.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]
        >>> camera_of_view((0, 0), 90.0)
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: expected a picture with pixels, got 0 by 0
    """
    if not 0 < degrees < 180:
        raise InputError(
            f"field of view: expected more than 0 and less than 180 degrees, got {degrees}"
        )
    if min(size) < 1:
        raise InputError(f"expected a picture with pixels, got {size[0]} by {size[1]}")
    return Camera(K=_centred(size, 0.5 * size[0] / math.tan(math.radians(degrees) / 2)))


def check_depth_options(
    *, who: str, noise: float, common: float, batch: int, fov: float = 0.0
) -> None:
    """Check what all depth experts are given.

    Raises:
        InputError: If a value is out of range.
    """
    limits = {"noise": (noise, 0, 10), "common": (common, 0, 10), "batch": (batch, 1, 1024)}
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise InputError(f"{who}: option {name}: expected {least} to {most}, got {value}")
    if not 0 <= fov < 180:
        raise InputError(
            f"{who}: option fov: expected degrees below 180, or 0 for unknown, got {fov}"
        )


def _centred(size: tuple[int, int], focal: float) -> Float[np.ndarray, "3 3"]:
    return np.array([[focal, 0.0, size[0] / 2], [0.0, focal, size[1] / 2], [0.0, 0.0, 1.0]])


def _with(frame: Frame, *notes: str) -> tuple[str, ...]:
    """A frame's notes and new ones, each once."""
    return tuple(dict.fromkeys((*frame.notes, *notes)))

"""Cameras, frames of a capture, and how far depth may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.image import Image

__all__ = ["Camera", "DepthNoise", "Frame", "Scale"]

Scale = Literal["metric", "relative"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera: x right, y down, z forward.

    Attributes:
        K: Intrinsics, pixels. As everywhere, the origin is the outer corner of the top-left
            pixel, so the middle of that pixel is at (0.5, 0.5). Files that put it at (0, 0), as
            TUM, ScanNet and Open3D do, are half a pixel off; their readers add it.
        T_world_cam: Maps camera points to the world, metres; None where the pose is unknown.

    Raises:
        ShapeError: If a matrix has another shape.
        InputError: If a number is not finite, a focal length is not positive, or the pose is no
            rigid motion.
    """

    K: Float[np.ndarray, "3 3"]
    T_world_cam: Float[np.ndarray, "4 4"] | None = None

    def __post_init__(self) -> None:
        if self.K.shape != (3, 3):
            raise ShapeError(f"camera: K must have shape (3, 3), got {self.K.shape}")
        if not (np.isfinite(self.K).all() and self.K[0, 0] > 0 and self.K[1, 1] > 0):
            raise InputError(f"camera: expected finite, positive focal lengths, got {self.K}")
        pose = self.T_world_cam
        if pose is None:
            return
        if pose.shape != (4, 4):
            raise ShapeError(f"camera: T_world_cam must have shape (4, 4), got {pose.shape}")
        if not np.isfinite(pose).all():
            raise InputError("camera: a number of the pose is not finite")
        turn = pose[:3, :3].astype(np.float64)
        if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
            raise InputError(
                "camera: expected a pose that turns and moves; it scales, shears or mirrors"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthNoise:
    """How far a depth may be off: a standard deviation that grows with the depth.

    Attributes:
        base: Metres, at any depth.
        linear: Metres a metre: the share of the depth that it may be off.
        quadratic: Metres a square metre, as for cameras that match two views.
        common: Share of the depth by which all of a frame may be off together, as a model's
            scale is; it does not average out over pixels.

    Raises:
        InputError: If a number is negative or not finite.

    Examples:
        >>> DepthNoise(base=0.5, quadratic=0.25).sigma(torch.tensor([0.0, 2.0])).tolist()
        [0.5, 1.5]
        >>> DepthNoise().sigma(torch.zeros(0)).tolist()
        []
    """

    base: float = 0.0
    linear: float = 0.0
    quadratic: float = 0.0
    common: float = 0.0

    def __post_init__(self) -> None:
        for name in ("base", "linear", "quadratic", "common"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"depth noise: {name} must be a number of at least 0")

    def sigma(self, depth: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Standard deviation of each depth by itself, metres."""
        return self.base + depth * (self.linear + depth * self.quadratic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A picture of a capture with what is known of its geometry.

    Attributes:
        image: The picture.
        index: Its place in the capture, from 0; what is left out keeps its number.
        time: Seconds since the start.
        camera: Intrinsics, and the pose where it is known; or None.
        depth: z in the camera, float32, on the device where it was made; 0 means unknown. Metres,
            or an unknown unit where `scale` is relative.
        noise: How far the depth may be off.
        scale: Whether depth and pose are metric.
        notes: What a reader of an answer must know of the geometry, in words.

    Raises:
        ShapeError: If the depth has not the picture's size.
        InputError: If the depth is not float32, or the time is not finite.
    """

    image: Image
    index: int = 0
    time: float = 0.0
    camera: Camera | None = None
    depth: Float[Tensor, "h w"] | None = None
    noise: DepthNoise = DepthNoise()
    scale: Scale = "metric"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not abs(self.time) < float("inf"):
            raise InputError(f"frame: the time must be finite, got {self.time}")
        if self.depth is None:
            return
        if tuple(self.depth.shape) != self.image.pixels.shape[:2]:
            raise ShapeError(
                f"frame: depth of shape {tuple(self.depth.shape)} for an image of "
                f"{self.image.pixels.shape[:2]}"
            )
        if self.depth.dtype != torch.float32:
            raise InputError(f"frame: expected depth as float32, got {self.depth.dtype}")

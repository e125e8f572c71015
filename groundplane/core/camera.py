"""Cameras and posed frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from groundplane.core.errors import ShapeError
from groundplane.core.image import Image

__all__ = ["Camera", "Frame", "Scale"]

Scale = Literal["metric", "relative"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera: x right, y down, z forward.

    Attributes:
        K: Intrinsics, pixels.
        T_world_cam: Maps camera points to the world, metres; world z is up.
    """

    K: Float[np.ndarray, "3 3"]
    T_world_cam: Float[np.ndarray, "4 4"]

    def __post_init__(self) -> None:
        for name, shape in (("K", (3, 3)), ("T_world_cam", (4, 4))):
            got = getattr(self, name).shape
            if got != shape:
                raise ShapeError(f"camera: {name} must have shape {shape}, got {got}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A picture with what is known of its geometry.

    Attributes:
        image: The picture.
        camera: Intrinsics and pose, or None.
        depth: z in metres (or in units of `scale`), camera frame; 0 means unknown.
        time: Seconds since the start.
        scale: Whether depth and pose are metric.
    """

    image: Image
    camera: Camera | None = None
    depth: Float[np.ndarray, "h w"] | None = None
    time: float = 0.0
    scale: Scale = "metric"

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth.shape != self.image.pixels.shape[:2]:
            raise ShapeError(
                f"frame: depth of shape {self.depth.shape} for an image of "
                f"{self.image.pixels.shape[:2]}"
            )

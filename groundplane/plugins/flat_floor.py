"""A flat floor below a camera of known height and tilt: metric geometry without weights.

Each pixel below the horizon shows the floor at one distance, which follows from the height of the
camera and the angle of the pixel's ray. Of what stands on the floor only the foot is right, and
everything above the horizon is unknown; `core.geometry.FLOOR_ONLY` marks such frames.

Source: Criminisi, Reid and Zisserman, Single View Metrology, 2000, for a plane and its horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64

from groundplane.core.camera import Camera, DepthNoise, Frame
from groundplane.core.depth_models import camera_of_view
from groundplane.core.errors import InputError
from groundplane.core.geometry import FLOOR_ONLY, GeometryCapabilities

__all__ = ["FlatFloorGeometry", "FlatFloorOptions"]

_WHO = "geometry 'flat-floor'"
# A pixel is left unknown where the error of the tilt alone is this share of its depth.
_WORST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFloorOptions:
    """Options of `FlatFloorGeometry`.

    Attributes:
        height: Of the camera above the floor, metres.
        tilt: How far the camera looks down from level, degrees; below 0 it looks up.
        roll: How far it is turned clockwise about its line of sight, seen from behind, degrees.
        fov: Horizontal field of view, degrees.
        focal: Focal length, pixels; instead of `fov`. Where neither is given the frames must
            have intrinsics.
        height_error: By what share of it the height may be off, a standard deviation.
        tilt_error: How far the tilt may be off, degrees, a standard deviation.

    Raises:
        InputError: If a value is out of range, or both `fov` and `focal` are given.
    """

    height: float
    tilt: float
    roll: float = 0.0
    fov: float = 0.0
    focal: float = 0.0
    height_error: float = 0.05
    tilt_error: float = 1.0

    def __post_init__(self) -> None:
        limits = {
            "height": (0.01, 1000.0),
            "tilt": (-89.0, 90.0),
            "roll": (-180.0, 180.0),
            "fov": (0.0, 179.0),
            "focal": (0.0, 1e6),
            "height_error": (0.0, 1.0),
            "tilt_error": (0.0, 45.0),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")
        if self.fov and self.focal:
            raise InputError(
                f"{_WHO}: options fov and focal: expected one of them, got {self.fov} and "
                f"{self.focal}"
            )


class FlatFloorGeometry:
    """Depth of the floor, and the pose over it, from what is known of the camera.

    The world's origin is on the floor below the camera, z up; the camera looks along y. Every
    frame is taken to be seen from there. Safe to use from several threads.

    Args:
        options: See `FlatFloorOptions`.
        device: Where the depth is put.
        dtype: Not used: the depth is float32.
    """

    Options = FlatFloorOptions
    capabilities = GeometryCapabilities(gives=frozenset({"depth", "intrinsics", "pose"}))

    def __init__(
        self, options: FlatFloorOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._options = options
        self._device = torch.device(device)
        if not (options.fov or options.focal):
            self.capabilities = GeometryCapabilities(
                gives=frozenset({"depth", "pose"}), needs=frozenset({"intrinsics"})
            )

    def begin(self) -> None:
        """Nothing is carried over from frame to frame."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in the depth of the floor, the intrinsics and the pose.

        Raises:
            InputError: If neither `fov` nor `focal` was given, and a frame has no intrinsics.
        """
        return [self._told(frame) for frame in frames]

    def _told(self, frame: Frame) -> Frame:
        options = self._options
        if min(frame.image.size) < 1:
            said = "no depth: the picture has no pixels"
            return replace(frame, depth=None, notes=(*frame.notes, said))
        camera = Camera(K=self._intrinsics(frame), T_world_cam=_pose(options))
        depth = _floor_depth(camera, frame.image.size, farthest=self._farthest(camera))
        how = (
            f"the floor is taken to be flat, {options.height:g} m below a camera tilted down by "
            f"{options.tilt:g} degrees"
        )
        none = () if (depth > 0).any() else ("no floor is seen: the camera looks too far up",)
        return replace(
            frame,
            camera=camera,
            depth=torch.from_numpy(depth.astype(np.float32)).to(self._device),
            noise=self._noise(depth),
            scale="metric",
            notes=tuple(dict.fromkeys((*frame.notes, how, FLOOR_ONLY, *none))),
        )

    def _intrinsics(self, frame: Frame) -> Float64[np.ndarray, "3 3"]:
        options, size = self._options, frame.image.size
        if options.fov:
            return camera_of_view(size, options.fov).K
        if options.focal:
            f = options.focal
            return np.array([[f, 0.0, size[0] / 2], [0.0, f, size[1] / 2], [0.0, 0.0, 1.0]])
        if frame.camera is None:
            raise InputError(
                f"{_WHO}: frame {frame.index} has no intrinsics: expected them, or option fov "
                "(degrees) or focal (pixels). Try: --option fov=DEGREES"
            )
        return frame.camera.K.astype(np.float64)

    def _farthest(self, camera: Camera) -> float:
        """Depth beyond which half a pixel, or the error of the tilt, is too much of it."""
        error = max(math.radians(self._options.tilt_error), 0.5 / float(camera.K[1, 1]))
        return _WORST * self._options.height / error

    def _noise(self, depth: Float64[np.ndarray, "h w"]) -> DepthNoise:
        """What errors of height and tilt do.

        Depth is height / q with q the ray's fall, so that an error of the angle counts with
        depth^2 / height. All pixels share it, so it does not average out: what it does at the
        middle depth of the floor that is seen is common to all.
        """
        angle = math.radians(self._options.tilt_error)
        floor = depth[depth > 0]
        middle = float(np.median(floor)) if floor.size else 0.0
        return DepthNoise(
            quadratic=angle / self._options.height,
            common=math.hypot(self._options.height_error, angle * middle / self._options.height),
        )


def _pose(options: FlatFloorOptions) -> Float64[np.ndarray, "4 4"]:
    tilt, roll = math.radians(options.tilt), math.radians(options.roll)
    c, s = math.cos(tilt), math.sin(tilt)
    # Columns: right, down and forward of a camera that is not rolled.
    level = np.array([[1.0, 0.0, 0.0], [0.0, -s, c], [0.0, -c, -s]])
    turn = np.array(
        [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1.0]]
    )
    pose = np.eye(4)
    pose[:3, :3] = level @ turn
    pose[2, 3] = options.height
    return pose


def _floor_depth(
    camera: Camera, size: tuple[int, int], *, farthest: float
) -> Float64[np.ndarray, "h w"]:
    """z of the floor in the camera through the middle of each pixel; 0 where there is none."""
    pose = camera.T_world_cam
    assert pose is not None, "made here, with a pose"
    # The height that a ray loses while it goes one metre along the camera's z.
    across, down, along = -(pose[2, :3] @ np.linalg.inv(camera.K))
    u = np.arange(size[0]) + 0.5
    v = np.arange(size[1]) + 0.5
    fall = across * u[None] + (down * v[:, None] + along)
    least = float(pose[2, 3]) / farthest
    depth = np.where(fall > least, float(pose[2, 3]) / np.maximum(fall, least), 0.0)
    return np.asarray(depth, dtype=np.float64)

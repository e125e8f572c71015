"""What a frame's depth shows of surfaces: points on a grid, pieces that face one way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError

__all__ = ["Patches", "frame_pose", "grid_points", "patches"]

# In inverse depth a plane is linear over the picture: where the middle of three differs more than
# this share from the mean of the outer two, they do not lie on one plane.
_BEND = 0.03
# A surface seen at a lower angle than about 8 degrees counts as one seen at it: what its depth
# says of its slope, and so of its area, is mostly noise.
_GRAZING = 0.14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """Small pieces of surface.

    Attributes:
        points: Their middles, metres.
        normals: Unit vectors out of the surface, towards the camera.
        areas: Square metres that each stands for.
    """

    points: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    areas: Float[Tensor, " n"]

    def __len__(self) -> int:
        return int(self.points.shape[0])


def frame_pose(frame: Frame) -> Float[Tensor, "4 4"]:
    """Where a frame's camera stands, on the device of its depth.

    Raises:
        InputError: If the frame has no depth, or its pose is not known.
    """
    depth, camera = _needed(frame)
    if camera.T_world_cam is None:
        raise InputError(
            f"frame {frame.index}: the pose is not known. Try a geometry expert that gives it, "
            "such as odometry"
        )
    return torch.as_tensor(camera.T_world_cam, dtype=torch.float32, device=depth.device)


def grid_points(
    frame: Frame, *, most: int = 16384, limit: float = float("inf")
) -> Float[Tensor, "n 3"]:
    """Points of a frame on an even grid of pixels, in the camera's own axes.

    Args:
        frame: With depth and intrinsics.
        most: Points at most, about.
        limit: What is further away is left out, metres.

    Raises:
        InputError: If the frame has no depth or no intrinsics.

    Examples:
        >>> import numpy as np
        >>> from groundplane.core.image import FrameMap, Image, Source
        >>> image = Image(pixels=np.zeros((2, 2, 3), np.uint8), frame_map=FrameMap.identity(),
        ...               source=Source(name="", content_hash=""))
        >>> camera = Camera(K=np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]]))
        >>> near = Frame(image=image, camera=camera, depth=torch.tensor([[2.0, 0], [0, 0]]))
        >>> grid_points(near).tolist()
        [[-1.0, -1.0, 2.0]]
        >>> grid_points(Frame(image=image, camera=camera, depth=torch.zeros(2, 2))).tolist()
        []
    """
    depth, camera = _needed(frame)
    step = max(1, round((depth.numel() / most) ** 0.5))
    z = depth[step // 2 :: step, step // 2 :: step]
    grid = _lifted(z, camera, step=step, first=step // 2 + 0.5).reshape(-1, 3)
    z = grid[:, 2]
    return grid[(z > 0) & (z <= limit) & torch.isfinite(z)]


def patches(frame: Frame, *, across: int = 48, limit: float = float("inf")) -> Patches:
    """Pieces of surface on an even grid of pixels, in the camera's own axes.

    Depth is averaged over each step, against noise; each normal comes from the four neighbours on
    the grid. Where these do not lie on a plane (an edge, a hole) there is none.

    Args:
        frame: With depth and intrinsics.
        across: Steps of the grid along the longer side of the picture.
        limit: What is further away is left out, metres.

    Raises:
        InputError: If the frame has no depth or no intrinsics.
    """
    depth, camera = _needed(frame)
    step = max(1, max(depth.shape) // across)
    if min(depth.shape) < 3 * step:
        none = depth.new_zeros(0, 3)
        return Patches(points=none, normals=none, areas=none[:, 0])
    grid = _lifted(_averaged(depth, step=step), camera, step=step, first=step / 2)
    middle, z = grid[1:-1, 1:-1], grid[..., 2]
    known = (z > 0) & torch.isfinite(z)
    near = torch.where(known, 1 / z.clamp_min(1e-6), torch.nan)
    across_bend = near[1:-1, :-2] + near[1:-1, 2:] - 2 * near[1:-1, 1:-1]
    down_bend = near[:-2, 1:-1] + near[2:, 1:-1] - 2 * near[1:-1, 1:-1]
    # What is not known is NaN here, and no comparison with NaN holds.
    bend = torch.maximum(across_bend.abs(), down_bend.abs()) * middle[..., 2]
    flat = (bend < 2 * _BEND) & (middle[..., 2] <= limit)
    right = (grid[1:-1, 2:] - grid[1:-1, :-2])[flat]
    below = (grid[2:, 1:-1] - grid[:-2, 1:-1])[flat]
    # y points down and z ahead: this order makes a wall in front face the camera.
    normal = torch.linalg.cross(below, right)
    length = normal.norm(dim=1, keepdim=True).clamp_min(1e-12)
    normals, points = normal / length, middle[flat]
    views = torch.nn.functional.normalize(points, dim=1)
    slope = (normals * views).sum(dim=1).neg().clamp_min(_GRAZING)
    areas = (points[:, 2] * step) ** 2 / float(camera.K[0, 0] * camera.K[1, 1]) / slope
    return Patches(points=points, normals=normals, areas=areas)


def _needed(frame: Frame) -> tuple[Float[Tensor, "h w"], Camera]:
    if frame.depth is None or frame.camera is None:
        what = "depth" if frame.depth is None else "intrinsics"
        raise InputError(
            f"frame {frame.index}: the {what} of the frame must be known. Try a geometry expert "
            "that gives it, such as depth-anything"
        )
    return frame.depth, frame.camera


def _averaged(depth: Float[Tensor, "h w"], *, step: int) -> Float[Tensor, "r c"]:
    """Depth of each square of pixels; 0 where less than half of it is known.

    Inverse depth is averaged, as it is linear over the picture of a plane.
    """
    known = (depth > 0) & torch.isfinite(depth)
    near = torch.where(known, 1 / depth.clamp_min(1e-6), 0.0)
    pooled = torch.nn.functional.avg_pool2d(torch.stack([near, known.float()])[None], step)[0]
    return torch.where(pooled[1] >= 0.5, pooled[1] / pooled[0].clamp_min(1e-9), 0.0)


def _lifted(
    z: Float[Tensor, "r c"], camera: Camera, *, step: int, first: float
) -> Float[Tensor, "r c 3"]:
    """Points of pixels a step apart, in camera axes; the first lies `first` from the border."""
    K = camera.K
    u = torch.arange(z.shape[1], device=z.device, dtype=torch.float32) * step + first
    v = torch.arange(z.shape[0], device=z.device, dtype=torch.float32) * step + first
    y = (v - float(K[1, 2])) / float(K[1, 1])
    x = (u[None, :] - float(K[0, 2]) - float(K[0, 1]) * y[:, None]) / float(K[0, 0])
    return torch.stack([x * z, y[:, None] * z, z], dim=2)

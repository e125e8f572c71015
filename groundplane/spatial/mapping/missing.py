"""Which objects a frame should show and does not: what a map holds by mistake is found out so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.voxels import PLACE_BITS

__all__ = ["View", "looked", "missed"]

_SAMPLES = 32
# A view is kept with about so many depths across.
_ACROSS = 80
# An object is in view if so many of its points are in the picture, and so many of them are hidden
# by nothing: its own far side is always hidden.
_IN_PICTURE, _OPEN = 0.8, 0.25
# How far a measured depth may lie from a point that is seen: metres, and a share of the depth.
_NEAR, _NEAR_SHARE = 0.1, 0.04
# An object must cover so many times the pixels that make it seen, or a detector may overlook it.
_COVERS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What a frame looked at, small enough to be kept.

    Attributes:
        K: Intrinsics for the kept depths.
        world_to_cam: The pose, turned round.
        depth: Every so many pixels, metres; 0 where unknown.
        stride: How many pixels, across and down.
    """

    K: Float[np.ndarray, "3 3"]
    world_to_cam: Float[np.ndarray, "4 4"]
    depth: Float[Tensor, "h w"]
    stride: int

    @classmethod
    def of(cls, frame: Frame) -> View:
        """The view of a frame with depth and a pose in the map's world.

        Raises:
            InputError: If the frame has no depth or no pose.
        """
        camera, depth = frame.camera, frame.depth
        if depth is None or camera is None or camera.T_world_cam is None:
            raise InputError(
                f"map builder: frame {frame.index} has no depth or no pose, so nothing tells what "
                "it should show; add its sightings without the frame"
            )
        stride = max(1, depth.shape[1] // _ACROSS)
        kept = depth[stride // 2 :: stride, stride // 2 :: stride]
        scale = np.diag([1 / stride, 1 / stride, 1.0])
        return cls(
            K=scale @ camera.K.astype(np.float64),
            world_to_cam=np.linalg.inv(camera.T_world_cam.astype(np.float64)),
            depth=kept.half().contiguous(),
            stride=stride,
        )


def missed(things: Things, view: View, slots: Sequence[int]) -> list[int]:
    """Which of some objects a view should show in full.

    Args:
        things: All objects.
        view: Of a frame in which none of the objects was seen.
        slots: The objects.
    """
    if not slots or not view.depth.numel():
        return []
    points = _points(things, slots)
    uv, z = _projected(points, view)
    inside, there = _there(uv, z, view)
    # What lies behind the point was seen through the place where the point should be.
    bare = inside & (there > 0) & (there >= z - (_NEAR + _NEAR_SHARE * z))
    least = _COVERS * things.options.least_pixels / view.stride**2
    viewed = (
        (inside.float().mean(dim=1) >= _IN_PICTURE)
        & (bare.float().mean(dim=1) >= _OPEN)
        & (_area(uv, inside) >= least)
    )
    return [slot for slot, yes in zip(slots, viewed.tolist(), strict=True) if yes]


def looked(
    points: Float[Tensor, "p 3"], view: View
) -> tuple[Bool[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """Which places a view saw through, and which it looked at but something hid.

    Args:
        points: Metres, in the map's world.
        view: With depth.
    """
    if not view.depth.numel():
        return np.zeros(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
    uv, z = _projected(points[None], view)
    inside, there = _there(uv, z, view)
    known, near = inside & (there > 0), _NEAR + _NEAR_SHARE * z
    through, hidden = known & (there > z + near), known & (there < z)
    return through[0].cpu().numpy(), hidden[0].cpu().numpy()


def _there(
    uv: Float[Tensor, "k s 2"], z: Float[Tensor, "k s"], view: View
) -> tuple[Bool[Tensor, "k s"], Float[Tensor, "k s"]]:
    """Which places are in the picture, and the depth that was measured there."""
    limits = uv.new_tensor([view.depth.shape[1], view.depth.shape[0]])
    inside = (z > 0) & ((uv >= 0) & (uv < limits)).all(dim=2)
    cells = torch.where(inside[..., None], uv, 0).long().to(view.depth.device)
    return inside, view.depth[cells[..., 1], cells[..., 0]].to(z)


def _points(things: Things, slots: Sequence[int]) -> Float[Tensor, "k s 3"]:
    """As many points of each object, evenly over its voxels."""
    keys = things.voxels.keys
    owners = torch.tensor(list(slots), device=keys.device)
    first = torch.searchsorted(keys, owners << PLACE_BITS)
    length = torch.searchsorted(keys, (owners + 1) << PLACE_BITS) - first
    steps = torch.arange(_SAMPLES, device=keys.device)
    return things.voxels.means[first[:, None] + steps * length[:, None] // _SAMPLES]


def _projected(
    points: Float[Tensor, "k s 3"], view: View
) -> tuple[Float[Tensor, "k s 2"], Float[Tensor, "k s"]]:
    """Where points are among the depths of a view, and how far in front of it, metres."""
    turn = torch.from_numpy(view.K @ view.world_to_cam[:3, :3]).to(points)
    shift = torch.from_numpy(view.K @ view.world_to_cam[:3, 3]).to(points)
    places = points @ turn.T + shift
    z = places[..., 2]
    return places[..., :2] / z.clamp(min=1e-6)[..., None], z


def _area(uv: Float[Tensor, "k s 2"], inside: Bool[Tensor, "k s"]) -> Float[Tensor, " k"]:
    """Area of the box round the points of each object in the picture; 0 where there are none."""
    here = inside[..., None]
    high = torch.where(here, uv, -torch.inf).amax(dim=1)
    low = torch.where(here, uv, torch.inf).amin(dim=1)
    return (high - low).clamp(min=0).prod(dim=1)

"""Which objects a frame should show and does not: what a map holds by mistake is found out so."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.voxels import PLACE_BITS

__all__ = ["missed"]

_SAMPLES = 32
# An object is in view if so many of its points are in the picture, and so many of them are hidden
# by nothing: its own far side is always hidden.
_IN_PICTURE, _OPEN = 0.8, 0.25
# How far a measured depth may lie from a point that is seen: metres, and a share of the depth.
_NEAR, _NEAR_SHARE = 0.1, 0.04
# An object must cover so many times the pixels that make it seen, or a detector may overlook it.
_COVERS = 4


def missed(things: Things, frame: Frame, seen: Set[int]) -> list[int]:
    """Slots of objects in full view of a frame that no sighting is of.

    Args:
        things: All objects.
        frame: With depth and a pose in the map's world.
        seen: Slots that the frame's sightings are of.

    Raises:
        InputError: If the frame has no depth or no pose.
    """
    camera, depth = frame.camera, frame.depth
    if depth is None or camera is None or camera.T_world_cam is None:
        raise InputError(
            f"map builder: frame {frame.index} has no depth or no pose, so nothing tells what it "
            "should show; add its sightings without the frame"
        )
    slots = [slot for slot in things.live() if slot not in seen]
    if not slots:
        return []
    points = _points(things, slots)
    uv, z = _projected(points, camera.K, np.linalg.inv(camera.T_world_cam))
    inside = _in_picture(uv, z, depth)
    known, gap = _gaps(uv, z, inside, depth)
    # What lies behind the point was seen through the place where the point should be.
    open_ = known & (gap >= -(_NEAR + _NEAR_SHARE * z))
    span = torch.where(inside[..., None], uv, torch.nan)
    area = (_most(span) + _most(-span)).prod(dim=1)
    viewed = (
        (inside.float().mean(dim=1) >= _IN_PICTURE)
        & (open_.float().mean(dim=1) >= _OPEN)
        & (area >= _COVERS * things.options.least_pixels)
    )
    return [slot for slot, yes in zip(slots, viewed.tolist(), strict=True) if yes]


def _points(things: Things, slots: list[int]) -> Float[Tensor, "k s 3"]:
    """As many points of each object, evenly over its voxels."""
    keys = things.voxels.keys
    owners = torch.tensor(slots, device=keys.device)
    first = torch.searchsorted(keys, owners << PLACE_BITS)
    length = torch.searchsorted(keys, (owners + 1) << PLACE_BITS) - first
    steps = torch.arange(_SAMPLES, device=keys.device)
    return things.voxels.means[first[:, None] + steps * length[:, None] // _SAMPLES]


def _projected(
    points: Float[Tensor, "k s 3"],
    K: Float[np.ndarray, "3 3"],
    world_to_cam: Float[np.ndarray, "4 4"],
) -> tuple[Float[Tensor, "k s 2"], Float[Tensor, "k s"]]:
    """Where points are in the picture, pixels, and how far in front of the camera, metres."""
    turn = torch.from_numpy(K @ world_to_cam[:3, :3]).to(points)
    shift = torch.from_numpy(K @ world_to_cam[:3, 3]).to(points)
    places = points @ turn.T + shift
    z = places[..., 2]
    return places[..., :2] / z.clamp(min=1e-6)[..., None], z


def _in_picture(
    uv: Float[Tensor, "k s 2"], z: Float[Tensor, "k s"], depth: Float[Tensor, "h w"]
) -> Bool[Tensor, "k s"]:
    limits = uv.new_tensor([depth.shape[1], depth.shape[0]])
    return (z > 0) & ((uv >= 0) & (uv < limits)).all(dim=2)


def _gaps(
    uv: Float[Tensor, "k s 2"],
    z: Float[Tensor, "k s"],
    inside: Bool[Tensor, "k s"],
    depth: Float[Tensor, "h w"],
) -> tuple[Bool[Tensor, "k s"], Float[Tensor, "k s"]]:
    """Where depth is known, and how much farther than the point it is, metres."""
    cells = torch.where(inside[..., None], uv, 0).long().to(depth.device)
    there = depth[cells[..., 1], cells[..., 0]].to(z)
    return inside & (there > 0), there - z


def _most(span: Float[Tensor, "k s 2"]) -> Float[Tensor, "k 2"]:
    """The greatest of the numbers that are none of them NaN; 0 where all are."""
    return torch.where(span.isnan(), -torch.inf, span).amax(dim=1).nan_to_num(neginf=0.0)

"""What a thing's upright face leaves open: how deep it is, and where its top is.

A picture over a flat floor tells where the foot of a thing is, and how wide and high its outline.
A box as wide as the outline is taken to be seven tenths as deep, and that share is told as unsure;
what follows for its height and its place goes into the error bars. The shares are assumptions of
ours, held against made rooms (docs/geometry.md).
"""

from __future__ import annotations

import numpy as np
import torch

from groundplane.core.camera import Camera
from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.mapping.spread import covariance_of_faces

__all__ = ["deepened"]

# Depth as a share of the outline's width, and its standard deviation.
_DEEP, _DEEP_SIGMA = 0.7, 0.35
# Where the highest visible point is, as a share of the depth behind the face; likewise.
_TOP, _TOP_SIGMA = 0.5, 0.3
# A thing is at least so high, as a share of its face.
_LEAST = 0.3


def deepened(faces: Boxes3D, camera: Camera, *, by_distance: float) -> Boxes3D:
    """Boxes of the things whose upright faces stand on a floor.

    Args:
        faces: Thin upright boxes, metres, in a world whose floor lies at height 0.
        camera: From where they were seen, with its pose.
        by_distance: By what share of it a distance may be off, for each metre of it: what an error
            of the camera's tilt does.

    Returns:
        Boxes with covariance: deeper, away from the camera, with what is not known of them.

    Raises:
        InputError: If the camera has no pose.

    Source: the horizon and the height of the camera order heights in a picture: Hoiem, Efros and
    Hebert, Putting Objects in Perspective, 2006.

    Examples:
        >>> eye = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
        >>> camera = Camera(K=np.eye(3), T_world_cam=eye)
        >>> face = Boxes3D(
        ...     centers=torch.tensor([[0.0, 4, 0.5]]), sizes=torch.tensor([[1.0, 0.01, 1]]),
        ...     axes=torch.eye(3)[None],
        ... )
        >>> box = deepened(face, camera, by_distance=0.01)
        >>> [round(side, 2) for side in box.sizes[0].tolist()]
        [1.04, 0.7, 0.96]
        >>> len(deepened(face[torch.tensor([], dtype=torch.long)], camera, by_distance=0.01))
        0
    """
    pose = camera.T_world_cam
    if pose is None:
        raise InputError("standing: expected a camera with a pose, got none")
    if not len(faces):
        return faces
    rows = np.arange(len(faces))
    centers, sizes, axes = (
        column.detach().cpu().numpy().astype(np.float64)
        for column in (faces.centers, faces.sizes, faces.axes)
    )
    away = centers[:, :2] - pose[:2, 3]
    far = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    facing = np.einsum("nij,nj->ni", axes[:, :2, :2], away / far[:, None])
    back = np.abs(facing).argmax(axis=1)
    across, sign = 1 - back, np.sign(facing[rows, back])
    wide, high, up = sizes[rows, across], sizes[:, 2], float(pose[2, 3])
    deep = np.maximum(sizes[rows, back], _DEEP * wide)
    # A ray over the top of the face goes on to the top of the thing.
    behind = deep / far
    top = np.maximum(up + (high - up) * (1 + _TOP * behind), _LEAST * high)
    grown = sizes.copy()
    grown[rows, across] = wide * (1 + behind / 4)
    grown[rows, back], grown[:, 2] = deep, top
    moved = centers + axes[rows, back] * (sign * (deep - sizes[rows, back]) / 2)[:, None]
    moved[:, 2] = centers[:, 2] - high / 2 + top / 2
    low, more = np.zeros((len(faces), 3)), np.zeros((len(faces), 3))
    unsure = np.hypot(_TOP_SIGMA * deep, _TOP * _DEEP_SIGMA * wide)
    more[:, 2] = (np.abs(high - up) * unsure / far) ** 2
    low[rows, across] = more[rows, across] = (wide * behind / 4) ** 2
    ahead = sign > 0
    more[rows, back] = np.where(ahead, (_DEEP_SIGMA * wide) ** 2, 0.0)
    low[rows, back] = np.where(ahead, 0.0, (_DEEP_SIGMA * wide) ** 2)
    ray = np.concatenate([away, np.zeros((len(faces), 1))], axis=1)
    share = by_distance * far
    common = np.concatenate([ray, grown], axis=1) * share[:, None]
    spread = covariance_of_faces(low, more, axes, common=common)
    before = faces.covariance
    if before is not None:
        spread = spread + before.detach().cpu().numpy()
    made = (torch.from_numpy(column).to(faces.centers) for column in (moved, grown, spread))
    center, size, covariance = made
    return Boxes3D(centers=center, sizes=size, axes=faces.axes, covariance=covariance)

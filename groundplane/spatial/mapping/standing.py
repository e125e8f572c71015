"""Things put upright on a floor that is all that is known of a picture's depth.

Where only the floor's depth is known, a thing is as far away as the floor at its lowest point; all
of it is taken to be an upright face there, turned to the camera. How deep it is stays unknown.

Source: Hoiem, Efros and Hebert, Putting Objects in Perspective, 2006, for things that stand on a
ground plane below a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float64

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError, listing
from groundplane.core.geometry import FLOOR_ONLY
from groundplane.core.masks import bounding_box, decode
from groundplane.core.regions import Regions

__all__ = ["stand_on_floor"]


def stand_on_floor(frame: Frame, regions: Regions) -> Frame:
    """The frame with the depth of what stands on its floor.

    Args:
        frame: One of which only the floor is known, in a world whose floor lies at height 0, as
            the expert `flat-floor` tells it; any other is given back as it is.
        regions: What was found in it. Where two overlap the nearer one is seen.

    Returns:
        The frame, its noise that of faces: what a wrong tilt does is left to `standing_depth`.
        A thing whose foot is not in the picture, or that hangs so high or stands so
        far that its foot meets no known floor, gets no depth, and a note names it.

    Raises:
        InputError: If the frame has no pose.
    """
    if FLOOR_ONLY not in frame.notes or frame.depth is None or not len(regions):
        return frame
    camera = frame.camera
    if camera is None or camera.T_world_cam is None:
        raise InputError(
            f"standing: frame {frame.index} tells the depth of a floor, and no pose over it"
        )
    rows, columns = frame.depth.shape
    rays = _rays(camera, columns, rows)
    depth = frame.depth.detach().cpu().numpy().astype(np.float64)
    known = depth > 0
    found, lost = [], []
    for i, box in enumerate(regions.boxes.tolist()):
        where, foot = _place(regions, i, box, shape=(rows, columns))
        face = None if foot is None else _face(camera, rays, foot, known=known)
        depth[where] = 0.0
        if face is None:
            lost.append(_name(regions, i))
        else:
            found.append((face[0], where, face[1]))
    # From far to near, so that the nearer ones stand before the others.
    for _, where, face_depth in sorted(found, key=lambda one: -one[0]):
        depth[where] = face_depth[where]
    notes = () if not lost else (f"no foot on the floor was seen of: {listing(lost)}",)
    return replace(
        frame,
        depth=torch.from_numpy(depth.astype(np.float32)).to(frame.depth.device),
        # An error of the tilt moves all of a face alike; no pixel of it sticks out by itself.
        noise=replace(frame.noise, quadratic=0.0),
        notes=tuple(dict.fromkeys((*frame.notes, *notes))),
    )


def _place(
    regions: Regions, index: int, box: Sequence[float], *, shape: tuple[int, int]
) -> tuple[Bool[np.ndarray, "h w"], tuple[float, float] | None]:
    """A region's pixels, and the point of the picture below its lowest ones if it is seen."""
    rows, columns = shape
    if regions.masks is not None:
        where = decode(regions.masks[index])
        x0, y0, x1, y1 = bounding_box(regions.masks[index])
        across = np.flatnonzero(where[int(y1) - 1]) + 0.5 if y1 > y0 else np.zeros(0)
        middle = float(across.mean()) if across.size else 0.0
    else:
        inside = np.clip(box, 0, [columns, rows] * 2)
        x0, y0, x1, y1 = np.rint(inside).astype(np.int64).tolist()
        where = np.zeros(shape, dtype=bool)
        where[y0:y1, x0:x1] = True
        middle = (x0 + x1) / 2
    seen = y1 < rows and where.any()
    return where, ((middle, float(y1)) if seen else None)


def _face(
    camera: Camera,
    rays: Float64[np.ndarray, "h w 3"],
    foot: tuple[float, float],
    *,
    known: Bool[np.ndarray, "h w"],
) -> tuple[float, Float64[np.ndarray, "h w"]] | None:
    """How far away an upright face on the foot is, and its depth in each pixel."""
    pose = np.asarray(camera.T_world_cam, dtype=np.float64)
    ray = pose[:3, :3] @ np.linalg.inv(camera.K) @ [foot[0], foot[1], 1.0]
    row, column = int(foot[1]), min(int(foot[0]), known.shape[1] - 1)
    if ray[2] >= 0 or not known[row, column]:
        return None
    # Across the floor towards the foot: the face's normal. A foot right below has no such way.
    across = np.array([ray[0], ray[1], 0.0]) * (pose[2, 3] / -ray[2])
    away = float(np.linalg.norm(across))
    if away < 1e-6:
        return None
    fall = rays @ (across / away)
    return away, np.where(fall > 1e-9, away / np.maximum(fall, 1e-9), 0.0)


def _rays(camera: Camera, columns: int, rows: int) -> Float64[np.ndarray, "h w 3"]:
    """Rays of the pixels' middles in the world, one metre along the camera's z."""
    pose = np.asarray(camera.T_world_cam, dtype=np.float64)
    u, v = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    points = np.stack([u, v, np.ones_like(u)], axis=-1)
    return np.asarray(points @ (pose[:3, :3] @ np.linalg.inv(camera.K)).T)


def _name(regions: Regions, index: int) -> str:
    phrase = int(regions.phrase_ids[index])
    return regions.phrases[phrase] if phrase >= 0 else regions.ids[index]
